"""Replay, forks and evidence files from outside: over HTTP at a running server and by the verbs."""
import json
import threading
import time

import pytest
from core import Core, Grant, Who
from evidence import new_key, stargraph

ALICE, BOB = Who("CN=alice"), Who("CN=bob")
DONE = """ir_version: "1.0.0"
id: "run:done"
state_schema: {n: int, message: str, out: str}
nodes:
  - {id: a, kind: passthrough}
  - {id: t, kind: template, config: {template: "{n} of {message}", out: out}}
  - {id: low, kind: halt}
  - {id: high, kind: halt}
rules:
  - {id: up, when: "(node-id (id t)) (n (typed ?n&:(> ?n 5)))", then: [{kind: goto, target: high}]}
  - {id: down, when: "(node-id (id t)) (n (typed ?n&:(<= ?n 5)))", then: [{kind: goto, target: low}]}
  - {id: mark, when: {node: a}, then: [{kind: assert, fact: mark, slots: '{"of": "a"}'}]}
  - {id: told, when: "(node-id (id t)) (mark (of \\"b\\"))", then: [{kind: halt, reason: "mark b"}]}
  - {id: bare, when: "(node-id (id t)) (not (mark (of \\"a\\")))", then: [{kind: halt, reason: "no mark"}]}
"""
ASK = """ir_version: "1.0.0"
id: "run:ask"
state_schema: {message: str, decision: str}
nodes:
  - {id: say, kind: echo}
  - {id: gate, kind: interrupt, config: {prompt: "Go on?"}}
  - {id: went, kind: halt}
  - {id: stopped, kind: halt}
rules:
  - {id: r-yes, when: {node: gate, decision: "yes"}, then: [{kind: goto, target: went}]}
  - {id: r-no, when: {node: gate, decision: "no"}, then: [{kind: goto, target: stopped}]}
"""
COUNT = """ir_version: "1.0.0"
id: "run:count"
state_schema: {n: int, end: int}
nodes:
  - {id: a, kind: set, config: {clips: {n: "(+ ?n 1)"}}}
  - {id: z, kind: halt}
rules:
  - {id: more, when: "(node-id (id a)) (n (typed ?n)) (end (typed ?e&:(< ?n ?e)))", then: [{kind: goto, target: a}]}
"""
WRITES = """ir_version: "1.0.0"
id: "run:writes"
state_schema: {message: str, artifact_ref: dict}
nodes:
  - {id: text, kind: write_artifact, config: {content_field: message, name: m.txt, content_type: text/plain}}
  - {id: end, kind: halt}
rules: []
"""
YES = {"response": {"decision": "yes"}}


class Site(Core):
    """A server with the graphs above, a signed audit log, and the verbs beside it."""

    def __init__(self, tmp_path, forks=60000, **keys):
        self.key, self.public = new_key(tmp_path / "log.pem")
        graphs = []
        for name, text in ("done", DONE), ("ask", ASK), ("count", COUNT):
            graphs.append(tmp_path / f"{name}.yaml")
            graphs[-1].write_text(text)
        graphs += keys.pop("more", [])
        super().__init__(tmp_path / "core", graphs=graphs, limits={"forks_per_minute": forks}, **keys)

    def write_config(self):
        super().write_config()
        with self.config.open("a") as f:
            f.write(f'\n[audit]\nsigning_key = "{self.key}"\nevery_records = 1\nevery_seconds = 1\n')

    def verb(self, name, *args):
        return stargraph(name, *args, "--state-dir", self.state_dir)

    def replayed(self, run_id, **kw):
        r = self.post(f"/v1/runs/{run_id}/replay", **kw)
        assert r.status == 200, r
        return r.json()

    def fork(self, run_id, step, mutation, **kw):
        return self.post(f"/v1/runs/{run_id}/counterfactual",
                         {"step": step, "mutation": mutation, **kw.pop("body", {})}, **kw)

    def forked(self, run_id, step, mutation, **kw):
        """A fork that settles: its run."""
        r = self.fork(run_id, step, mutation, **kw)
        assert r.status == 202, r
        fork = r.json()
        assert set(fork) == {"run_id", "parent_run_id", "cf_hash", "status"}
        assert fork["run_id"].startswith("cf-") and fork["parent_run_id"] == run_id
        return self.settled(fork["run_id"])

    def settled(self, run_id):
        end = time.monotonic() + 30
        while (run := self.get(f"/v1/runs/{run_id}").json())["status"] in ("pending", "running"):
            assert time.monotonic() < end, run
            time.sleep(0.01)
        return run

    def rows(self, run_id):
        r = self.verb("inspect", run_id, "--json")
        assert r.returncode == 0, r
        return r.stdout

    def identical(self, run_id, steps):
        """By the route and by the verb: the same, and identical."""
        over_http = self.replayed(run_id)
        r = self.verb("replay", run_id, "--json")
        assert r.returncode == 0, r
        by_verb = json.loads(r.stdout.splitlines()[0])
        for one in (over_http, by_verb):
            assert one["identical"] is True and one["difference"] is None, one
            assert (one["run_id"], one["steps"], len(one["proof"])) == (run_id, steps, 64)
        assert over_http["proof"] == by_verb["proof"]
        return over_http["proof"]


@pytest.fixture
def site(tmp_path):
    with Site(tmp_path) as core:
        yield core


def test_a_replay_is_identical_over_http_and_by_the_verb(site):
    run = site.run("run:done", {"n": 3, "message": "x"})
    assert run["path"] == ["a", "t", "low"]
    before = site.rows(run["run_id"]), len(site.audit())
    assert site.identical(run["run_id"], 3) == site.identical(run["run_id"], 3)
    assert site.rows(run["run_id"]) == before[0]
    types = [a["type"] for a in site.audit()[before[1]:]]
    assert not {"run_started", "transition", "result"} & set(types), types
    other = site.run("run:done", {"n": 4, "message": "x"})
    assert site.replayed(other["run_id"])["proof"] != site.replayed(run["run_id"])["proof"]
    r = site.verb("replay", "--all", "--json")
    assert r.returncode == 0, r


def test_a_replay_is_identical_while_a_run_waits_and_after_the_answer(site):
    run_id = site.run("run:ask")["run_id"]
    site.identical(run_id, 2)
    r = site.post(f"/v1/runs/{run_id}/respond", YES, headers={"Prefer": "wait=10"})
    assert r.json()["path"] == ["say", "gate", "went"], r
    site.identical(run_id, r.json()["steps"])


def test_a_replay_is_identical_after_a_kill_and_a_restart(site):
    waiting = site.run("run:ask")["run_id"]
    r = site.post("/v1/runs", {"graph_id": "run:count", "params": {"end": 5000}})
    running = r.json()["run_id"]
    end = time.monotonic() + 20
    while site.get(f"/v1/runs/{running}").json()["steps"] < 3:
        assert time.monotonic() < end
    site.kill()
    r = site.verb("replay", running, "--json")
    assert r.returncode == 0, r
    assert 0 < json.loads(r.stdout.splitlines()[0])["steps"] < 5001, "it was over before the kill"
    site.start()
    assert site.settled(running)["status"] == "done"
    assert site.post(f"/v1/runs/{waiting}/respond", YES, headers={"Prefer": "wait=10"}).status == 200
    r = site.verb("replay", running, "--json")
    assert r.returncode == 0 and json.loads(r.stdout.splitlines()[0])["steps"] == 5001, r
    site.identical(waiting, site.get(f"/v1/runs/{waiting}").json()["steps"])


def test_a_long_replay_holds_nobody_up(site):
    """Replays, comparisons and forks of long runs have a thread of their own."""
    run = site.run("run:count", {"end": 8000}, wait=60)["run_id"]
    answers, meanwhile = [], 0

    def replay():
        answers.append(site.post(f"/v1/runs/{run}/replay", timeout=60))

    thread = threading.Thread(target=replay)
    thread.start()
    while not answers:
        assert site.get("/v1/health").status == 200
        meanwhile += not answers
    thread.join()
    assert meanwhile > 3, "nothing was answered while a replay was under way"
    assert answers[0].status == 200 and answers[0].json()["identical"] is True, answers
    assert answers[0].json()["steps"] == site.settled(run)["steps"] > 8000
    fork = site.forked(run, 7000, {"state_overrides": {"n": 7999}})
    assert fork["status"] == "done" and site.replayed(fork["run_id"])["identical"], fork


def test_too_many_replays_at_once_are_503(site):
    run = site.run("run:count", {"end": 1500}, wait=60)["run_id"]
    statuses = []

    def replay():
        r = site.post(f"/v1/runs/{run}/replay", timeout=120)
        statuses.append((r.status, r.headers.get("retry-after")))

    threads = [threading.Thread(target=replay) for _ in range(40)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert {s for s, _ in statuses} == {200, 503}, statuses
    assert all(later == "1" for s, later in statuses if s == 503), statuses
    assert site.replayed(run)["identical"]


def test_a_client_that_leaves_and_a_stop_break_a_replay_off(tmp_path):
    with Site(tmp_path) as site:
        run = site.run("run:count", {"end": 3000}, wait=60)["run_id"]
        for _ in range(3):
            with pytest.raises(OSError):
                site.post(f"/v1/runs/{run}/replay", timeout=0.02)
        assert site.replayed(run, timeout=60)["identical"]
        with pytest.raises(OSError):
            site.post(f"/v1/runs/{run}/replay", timeout=0.02)
    assert "ERROR" not in site.stderr, site.stderr


def test_a_replay_of_a_run_that_wrote_writes_nothing(tmp_path):
    (tmp_path / "writes.yaml").write_text(WRITES)
    site = Site(tmp_path, more=[tmp_path / "writes.yaml"])
    with site.start("--allow-side-effects"):
        run = site.run("run:writes", {"message": "kept"})
        assert run["status"] == "done", run
        count = [a["type"] for a in site.audit()].count("artifact_written")
        site.identical(run["run_id"], 2)
        fork = site.forked(run["run_id"], 0, {"state_overrides": {"message": "else"}})
        assert fork["status"] == "done", fork
        assert fork["state"]["artifact_ref"] == run["state"]["artifact_ref"]
        assert [a["type"] for a in site.audit()].count("artifact_written") == count


@pytest.mark.parametrize("mutation,ends", [
    ({}, "low"),
    ({"state_overrides": {"n": 9}}, "high"),
    ({"node_output_overrides": {"t": {"out": "mine", "n": 8}}}, "high"),
    ({"facts_assert": [{"template": "mark", "slots": {"of": "b"}}]}, "mark b"),
    ({"facts_retract": [{"template": "mark", "slots": {"of": "a"}}]}, "no mark"),
])
def test_a_fork_takes_each_mutation_and_leaves_its_parent_alone(site, mutation, ends):
    parent = site.run("run:done", {"n": 3, "message": "x"})["run_id"]
    before = site.rows(parent), site.get(f"/v1/runs/{parent}").json()
    fork = site.forked(parent, 1, mutation)
    assert fork["status"] == "done", fork
    assert fork["path"][-1] == ends or fork["reason"] == ends, fork
    assert (site.rows(parent), site.get(f"/v1/runs/{parent}").json()) == before
    site.identical(parent, 3)
    assert site.replayed(fork["run_id"])["identical"]
    assert site.verb("replay", fork["run_id"]).returncode == 0
    started = [a for a in site.audit() if a["type"] == "fork_started"]
    assert [(a["run"], a["payload"]["parent_run_id"], a["payload"]["step"]) for a in started] == [
        (fork["run_id"], parent, 1)]
    again = site.forked(parent, 1, mutation)
    assert again["state"] == fork["state"] and again["path"] == fork["path"]


def test_an_answer_in_a_fork_is_told_apart(site):
    parent = site.run("run:ask")["run_id"]
    assert site.post(f"/v1/runs/{parent}/respond", YES, headers={"Prefer": "wait=10"}).status == 200
    before = site.rows(parent)
    given = site.forked(parent, 1, {"respond_payloads": {"1": {"decision": "no"}}})
    assert given["path"][-1] == "stopped", given
    inherited = site.forked(parent, 1, {}, body={"inherit_answers": True})
    assert inherited["path"][-1] == "went", inherited
    asked = site.forked(parent, 1, {})
    assert asked["status"] == "awaiting-input", asked
    r = site.post(f"/v1/runs/{asked['run_id']}/respond", YES, headers={"Prefer": "wait=10"})
    assert r.status == 200 and r.json()["path"][-1] == "went", r
    for fork in (given, asked):
        lines = [a for a in site.audit() if a.get("run") == fork["run_id"]]
        assert "cf:anonymous" in json.dumps(lines), lines
    assert "cf:" not in json.dumps([a for a in site.audit() if a.get("run") == parent])
    for fork in (given, inherited, asked):
        assert site.replayed(fork["run_id"])["identical"]
    assert site.rows(parent) == before


def test_a_second_fork_within_a_minute_is_429(tmp_path):
    with Site(tmp_path, forks=1) as site:
        parent = site.run("run:done", {"n": 3})["run_id"]
        for body in {"step": 99, "mutation": {}}, {"step": 1, "mutation": {"nope": 1}}:
            assert site.post(f"/v1/runs/{parent}/counterfactual", body).status == 422
        assert site.fork(parent, 1, {}).status == 202, "a refused fork used the minute up"
        r = site.fork(parent, 1, {})
        assert r.status == 429 and "limits.forks_per_minute" in r.json()["detail"], r
        assert 50 <= int(r.headers["retry-after"]) <= 60, r.headers
        assert site.post(f"/v1/runs/{parent}/replay").status == 200


@pytest.mark.parametrize("body", [
    {}, {"step": 1}, {"mutation": {}}, {"step": -1, "mutation": {}}, {"step": "1", "mutation": {}},
    {"step": 3, "mutation": {}}, {"step": 1 << 31, "mutation": {}}, {"step": 1, "mutation": []},
    {"step": 1, "mutation": {"state": {}}}, {"step": 1, "mutation": {}, "x": 1},
    {"step": 1, "mutation": {"facts_assert": [{}]}},
    {"step": 1, "mutation": {"respond_payloads": {"one": {}}}},
    {"step": 1, "mutation": {"node_output_overrides": {"t": 7}}},
    {"step": 1, "mutation": {"rule_pack_version": "nope@1"}}, b"{", b""])
def test_a_fork_that_makes_no_sense_is_422(site, body):
    parent = site.run("run:done", {"n": 3})["run_id"]
    r = site.post(f"/v1/runs/{parent}/counterfactual", body)
    assert r.status == 422 and r.type == "application/problem+json", r
    assert site.get("/v1/runs").json()["total"] == 1


def test_a_diff_over_http_is_that_of_the_verb(site):
    run = site.run("run:done", {"n": 3, "message": "x"})["run_id"]
    fork = site.forked(run, 1, {"state_overrides": {"n": 9}})["run_id"]
    r = site.get(f"/v1/runs/{run}/diff/{fork}")
    assert r.status == 200 and r.json() == json.loads(site.verb("compare", run, fork, "--json").stdout), r
    assert r.json()["first"]["axis"] == "mutation" and r.json()["route"]["b"]["decided_by"] == "up"
    assert site.get(f"/v1/runs/{run}/diff").status == 404
    assert site.get(f"/v1/runs/{run}/diff/{fork}/x").status == 404
    assert site.post(f"/v1/runs/{run}/diff/{fork}").status == 405


def test_a_fork_or_replay_of_no_run_is_404(site):
    run = site.run("run:done", {"n": 3})["run_id"]
    for path in f"{run}/diff/run-00000000-0000-0000-0000-000000000000", f"x/diff/{run}":
        r = site.get(f"/v1/runs/{path}")
        assert r.status == 404 and r.json()["detail"].startswith("run '"), r
    for verb in ("replay", "counterfactual"):
        for run_id in ("run-00000000-0000-0000-0000-000000000000", "x"):
            r = site.post(f"/v1/runs/{run_id}/{verb}",
                          {"step": 0, "mutation": {}} if verb == "counterfactual" else {})
            assert r.status == 404, r
    assert site.verb("replay", "run-00000000-0000-0000-0000-000000000000").returncode == 2


def test_a_fork_of_what_one_may_not_see_is_404(tmp_path):
    grants = [Grant(["runs:start", "runs:read"], subject="CN=alice"),
              Grant(["runs:read", "counterfactual:run"], subject="CN=bob")]
    with Site(tmp_path, profile="cleared", grants=grants) as site:
        run_id = site.run("run:done", {"n": 3}, as_=ALICE)["run_id"]
        assert site.fork(run_id, 1, {}, as_=ALICE).status == 403
        assert site.fork(run_id, 1, {}, as_=BOB).status == 404
        assert site.post(f"/v1/runs/{run_id}/replay", as_=BOB).status == 404
        own = site.run("run:done", {"n": 3}, as_=ALICE)["run_id"]
        for path in f"{run_id}/diff/{own}", f"{own}/diff/{run_id}":
            assert site.get(f"/v1/runs/{path}", as_=BOB).status == 404
            assert site.get(f"/v1/runs/{path}", as_=ALICE).json()["identical"]
        assert site.replayed(run_id, as_=ALICE)["identical"]


def test_a_counterfactual_by_the_verb(tmp_path):
    site = Site(tmp_path)
    with site:
        parent = site.run("run:done", {"n": 3, "message": "x"})["run_id"]
        over_http = site.fork(parent, 1, {"state_overrides": {"n": 9}}).json()
        (tmp_path / "m.yaml").write_text("state_overrides: {n: 9}\n")
        args = (parent, "--step", 1, "--mutation", tmp_path / "m.yaml", "--json")
        r = site.verb("counterfactual", *args)
        assert r.returncode == 2, "the server owns the state directory"
    before = site.rows(parent)
    r = site.verb("counterfactual", *args)
    assert r.returncode == 0, r
    fork = json.loads(r.stdout)
    assert fork["cf_hash"] == over_http["cf_hash"] and fork["path"][-1] == "high", fork
    assert site.rows(parent) == before
    assert site.verb("replay", "--all").returncode == 0


def test_an_export_verifies_elsewhere_until_a_byte_is_changed(tmp_path):
    site = Site(tmp_path)
    with site:
        parent = site.run("run:ask")["run_id"]
        site.post(f"/v1/runs/{parent}/respond", YES, headers={"Prefer": "wait=10"})
        fork = site.forked(parent, 1, {"respond_payloads": {"1": {"decision": "no"}}})["run_id"]
    _, other = new_key(tmp_path / "other.pem")
    for run_id in (parent, fork):
        file = tmp_path / f"{run_id}.evidence"
        r = site.verb("export", run_id, "-o", file)
        assert r.returncode == 0 and r.stderr == "", r
        assert file.stat().st_mode & 0o777 == 0o600
        r = stargraph("verify", file, "--key", site.public, "--json")
        assert r.returncode == 0 and json.loads(r.stdout)["verified"], r
        assert stargraph("verify", file).returncode == 5
        r = stargraph("verify", file, "--key", other, "--json")
        assert r.returncode == 4 and json.loads(r.stdout)["cause"] == "wrong-key", r
        good = file.read_bytes()
        for at in range(0, len(good), len(good) // 40):
            bad = bytearray(good)
            bad[at] ^= 1
            file.write_bytes(bad)
            r = stargraph("verify", file, "--key", site.public, "--json")
            assert r.returncode == 4, (at, r)
        file.write_bytes(good[:-7])
        assert stargraph("verify", file, "--key", site.public).returncode == 4


def pack(tmp_path, version, reason):
    d = tmp_path / f"pack-{version}"
    d.mkdir()
    (d / "manifest.yaml").write_text(f'id: demo\nversion: "{version}"\n')
    (d / "rules.clp").write_text(
        f'(defrule r (node-id (id t)) => (assert (stargraph_action (kind halt) (reason "{reason}"))))\n')
    r = stargraph("pack", "sign", d, "--key", tmp_path / "ops.key.pem", "--key-id", "ops")
    assert r.returncode == 0, r
    return d


def test_a_fork_by_another_version_of_a_rule_pack(tmp_path):
    """By the verb: a server mounts one version only."""
    assert stargraph("pack", "keygen", "--out", tmp_path, "--key-id", "ops").returncode == 0
    one, two = pack(tmp_path, "1.0", "by one"), pack(tmp_path, "2.0", "by two")
    graph = tmp_path / "packed.yaml"
    graph.write_text(DONE.replace("nodes:", "governance: [{id: demo}]\nnodes:", 1))
    state = ("--state-dir", tmp_path / "state")
    r = stargraph("run", graph, "-i", "n=3", "--pack", one, *state)
    assert r.returncode == 0, r
    parent = json.loads(r.stdout.splitlines()[-1])
    assert parent["reason"] == "by one", parent
    before = stargraph("inspect", parent["run_id"], "--json", *state).stdout
    mutation = tmp_path / "m.json"
    mutation.write_text('{"rule_pack_version": "demo@2.0"}')
    args = ("counterfactual", parent["run_id"], "--step", 1, "--mutation", mutation, "--json", *state)
    assert stargraph(*args).returncode == 2, "that version is not mounted"
    r = stargraph(*args, "--pack", two)
    assert r.returncode == 0, r
    fork = json.loads(r.stdout)
    assert fork["reason"] == "by two", fork
    assert stargraph("inspect", parent["run_id"], "--json", *state).stdout == before
    r = stargraph("replay", parent["run_id"], fork["run_id"], *state)
    assert r.returncode == 0, r
