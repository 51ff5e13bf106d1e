"""People in the loop from outside: over HTTP, across restarts.

| the original's test | ours |
|---|---|
| integration/serve/test_hitl_respond | test_an_answer_and_who_may_give_it, test_what_cannot_be_answered |
| integration/test_interrupt_timeout | test_a_deadline_survives_a_restart |
| integration/serve/test_counterfactual_respond_rejection | test_replay.py: test_an_answer_in_a_fork_is_told_apart, test_a_fork_that_makes_no_sense_is_422 |
| integration/cli/test_run_hitl, test_hitl_fixture | tests/e2e/cli/test_run.py: test_waiting; test_several_questions_in_one_run |
| integration/test_resume_latest | test_several_questions_in_one_run (each answer after a restart, and warm) |
| integration/test_cli_counterfactual, test_counterfactual_e2e | test_replay.py: test_a_counterfactual_by_the_verb, test_a_fork_takes_each_mutation_and_leaves_its_parent_alone |
| integration/test_counterfactual_invariant | test_property.py |
| integration/test_counterfactual_diff | test_compare.py |
| integration/test_cli_inspect | test_inspect.py |
| integration/serve/test_replay_isolation | test_replay.py: test_a_long_replay_holds_nobody_up, test_a_replay_of_a_run_that_wrote_writes_nothing |
| integration/test_replay_determinism_sweep, test_replay_safety_enforcement | test_kinds.py, test_property.py |
"""
import hashlib
import json
import time
from datetime import datetime

import pytest
from core import Core, Grant, Who
from evidence import stargraph

ALICE, BOB, EVE = Who("CN=alice"), Who("CN=bob"), Who("CN=eve")
TWO = """ir_version: "1.0.0"
id: "run:two"
state_schema: {one: str, two: str}
nodes:
  - {id: first, kind: interrupt, config: {prompt: "first?", interrupt_payload: {why: "because"}, requested_capability: "claims:approve"}}
  - {id: second, kind: interrupt, config: {prompt: "second?"}}
  - {id: end, kind: halt}
"""
LATE = """ir_version: "1.0.0"
id: "run:late-%s"
state_schema: {one: str}
nodes:
  - {id: gate, kind: interrupt, config: {prompt: "soon?", timeout: 4%s}}
  - {id: not_this, kind: halt}
  - {id: late, kind: halt}
"""


def graphs(tmp_path):
    for name, text in ("two", TWO), ("halt", LATE % ("halt", "")), ("goto", LATE % ("goto", ', on_timeout: "goto:late"')):
        (tmp_path / f"{name}.yaml").write_text(text)
    return [tmp_path / f"{n}.yaml" for n in ("two", "halt", "goto")]


@pytest.fixture
def site(tmp_path):
    with Core(tmp_path / "core", graphs=graphs(tmp_path)) as core:
        yield core


def respond(core, run_id, response, **kw):
    return core.post(f"/v1/runs/{run_id}/respond", {"response": response}, headers={"Prefer": "wait=20"}, **kw)


@pytest.mark.parametrize("restart", [False, True])
def test_several_questions_in_one_run(site, restart):
    run = site.run("run:two", {})
    for n, (key, prompt) in enumerate((("one", "first?"), ("two", "second?"))):
        run = site.get(f"/v1/runs/{run['run_id']}").json()
        assert run["status"] == "awaiting-input" and run["waiting"]["prompt"] == prompt, run
        if restart:
            site.restart()
        assert respond(site, run["run_id"], {key: f"answer {n}"}).status == 200
    run = site.get(f"/v1/runs/{run['run_id']}").json()
    assert run["status"] == "done" and run["state"] == {"one": "answer 0", "two": "answer 1"}, run
    r = site.post(f"/v1/runs/{run['run_id']}/replay")
    assert r.json()["identical"] is True, r


def test_an_answer_and_who_may_give_it(tmp_path):
    grants = [Grant(["runs:start", "runs:read"], subject="CN=alice"),
              Grant(["runs:read", "runs:read:all", "runs:respond", "claims:approve"], subject="CN=bob"),
              Grant(["runs:read", "runs:read:all", "runs:respond"], subject="CN=eve")]
    with Core(tmp_path / "core", profile="cleared", graphs=graphs(tmp_path), grants=grants) as core:
        run_id = core.run("run:two", {}, as_=ALICE)["run_id"]
        waiting = core.get(f"/v1/runs/{run_id}", as_=BOB).json()["waiting"]
        assert (waiting["prompt"], waiting["payload"], waiting["capability"]) == ("first?", {"why": "because"}, "claims:approve")
        secret = {"one": "a very private answer"}
        assert respond(core, run_id, secret).status == 401
        assert respond(core, run_id, secret, as_=ALICE).status == 403, "she may not respond at all"
        r = respond(core, run_id, secret, as_=EVE)
        assert r.status == 403 and "claims:approve" in r.json()["detail"], r
        assert respond(core, "run-01a20dd31f6d000075ee9dc0f6b1", secret, as_=BOB).status == 404
        assert respond(core, run_id, secret, as_=BOB).status == 200
        text = "\n".join(json.dumps(a) for a in core.audit())
        assert hashlib.sha256(json.dumps(secret, separators=(",", ":")).encode()).hexdigest() in text
        assert "a very private answer" not in text


def test_what_cannot_be_answered(site):
    run_id = site.run("run:two", {})["run_id"]
    for body in {"response": 7}, {"response": {}, "x": 1}, {}, {"response": {"one": 5}}:
        r = site.post(f"/v1/runs/{run_id}/respond", body)
        assert r.status == 422, (body, r)
    assert site.get(f"/v1/runs/{run_id}").json()["waiting"]["prompt"] == "first?"
    for answer in {"one": "x"}, {"two": "y"}:
        assert respond(site, run_id, answer).status == 200
    r = respond(site, run_id, {"one": "again"})
    assert r.status == 409 and "awaiting-input" in r.json()["detail"], r


@pytest.mark.parametrize("what", ["halt", "goto"])
def test_a_deadline_survives_a_restart(site, what):
    """It is the deadline that was set, not another wait from the start."""
    started = time.time()
    run_id = site.run(f"run:late-{what}", {})["run_id"]
    before = site.get(f"/v1/runs/{run_id}").json()["waiting"]["deadline"]
    deadline = datetime.fromisoformat(before.replace("Z", "+00:00")).timestamp()
    assert 3 < deadline - started < 6
    time.sleep(1)
    site.restart()
    run = site.get(f"/v1/runs/{run_id}").json()
    assert run["waiting"]["deadline"] == before, run
    while run["status"] in ("awaiting-input", "running"):
        run = site.get(f"/v1/runs/{run_id}").json()
        assert time.time() < deadline + 30, run
    assert time.time() >= deadline
    if what == "goto":
        assert run["status"] == "done" and run["path"][-1] == "late", run
    else:
        assert (run["status"], run["error_class"]) == ("failed", "interrupt_timeout"), run
    r = site.post(f"/v1/runs/{run_id}/replay")
    assert r.json()["identical"] is True, r
    assert stargraph("replay", run_id, "--state-dir", site.state_dir).returncode == 0
