"""The four packs that come with Stargraph: their tables, and what they do in a graph that really runs."""
import json
import pathlib
import shutil
import subprocess

import pytest
from test_pack import BUILD, pack

PACKS = pathlib.Path(__file__).resolve().parents[3] / "deploy/packs"
NAMES = ["audit", "budgets", "retries", "safety_pii"]
REASON = "ordered by the customer"


@pytest.mark.parametrize("name", NAMES)
def test_tables_pass_and_every_rule_fires(name):
    r = pack("test", PACKS / name, "--strict")
    assert r.returncode == 0, r.stdout
    assert "never fired" not in r.stdout


def test_no_private_key_and_no_signature_is_in_the_tree():
    assert not [p for p in PACKS.rglob("*") if p.suffix in (".pem", ".jwt")]


@pytest.fixture(scope="module")
def signed(tmp_path_factory):
    d = tmp_path_factory.mktemp("packs")
    assert pack("keygen", "--out", d, "--key-id", "ops").returncode == 0
    for name in NAMES:
        shutil.copytree(PACKS / name, d / name)
        assert pack("sign", d / name, "--key", d / "ops.key.pem", "--key-id", "ops").returncode == 0
        assert pack("verify", d / name, "--allow", d / "ops.pub.pem").returncode == 0
    return d


class Graph:
    def __init__(self, signed, state, graph=PACKS / "governed.yaml"):
        self.state, self.graph = state, graph
        self.packs = [a for name in NAMES for a in ("--pack", signed / name)]

    def star(self, *args):
        return subprocess.run([BUILD / "core/stargraph", *map(str, args)], text=True, capture_output=True)

    def run(self, **inputs):
        r = self.star("run", self.graph, *self.packs, "--state-dir", self.state, "--allow-side-effects",
                      "--summary-json", "--non-interactive",
                      *(a for k, v in inputs.items() for a in ("-i", f"{k}={v}")))
        assert r.stdout, r.stderr
        return json.loads(r.stdout)

    def notes(self, run_id):
        lines = map(json.loads, (self.state / "stargraph.audit.jsonl").read_text().splitlines())
        return [(x["payload"]["fact"]["kind"], x["payload"]["fact"]["detail"]) for x in lines
                if x["type"] == "bosun_audit" and x["run"] == run_id and "detail" in x["payload"]["fact"]]


@pytest.fixture
def governed(signed, tmp_path):
    return Graph(signed, tmp_path / "state")


def test_a_governed_run(governed):
    r = governed.run(request="Blue pump", reason=REASON)
    assert r["path"] == ["work", "keep", "done"]
    notes = governed.notes(r["run_id"])
    assert ("write", f"keep (write_artifact): {REASON}") in notes
    assert [d for k, d in notes if k == "node_run"] == [
        "work (template), step 1", "keep (write_artifact), step 2", "done (halt), step 3"]
    replay = governed.star("replay", r["run_id"], "--state-dir", governed.state)
    assert replay.returncode == 0 and "identical" in replay.stdout
    audit = governed.star("verify-audit", governed.state / "stargraph.audit.jsonl")
    assert audit.returncode in (0, 5), audit.stderr


@pytest.mark.parametrize("inputs,path,reason", [
    ({"reason": "x"}, ["work"],
     "keep (write_artifact) would write, and the state field reason does not say why"),
    ({"request": "card 4111 1111 1111 1111"}, ["work"], "personal data: card-number in note"),
    ({"request": "IBAN DE89 3704 0044 0532 0130 00"}, ["work"], "personal data: iban in note"),
    ({"request": "write to a@example.org"}, ["work", "keep", "done"], "reached done"),
    ({"tokens_used": 5000}, ["work", "keep"], "budget of tokens used up: 5000 of 2000"),
    ({"error_class": "bad-request"}, ["work"], "work: bad-request is not retried"),
])
def test_what_the_packs_stop(governed, inputs, path, reason):
    r = governed.run(**{"request": "Blue pump", "reason": REASON, **inputs})
    assert (r["path"], r["reason"], r["status"]) == (path, reason, "done")
    replay = governed.star("replay", r["run_id"], "--state-dir", governed.state)
    assert replay.returncode == 0 and "identical" in replay.stdout


def test_a_run_budget_ends_a_loop(signed, tmp_path):
    g = tmp_path / "loop.yaml"
    g.write_text((PACKS / "governed.yaml").read_text().replace(
        "governance:", '  - {id: again, when: {node: work}, then: [{kind: goto, target: work}]}\ngovernance:'))
    loop = Graph(signed, tmp_path / "state", g)
    r = loop.run(request="x", reason=REASON)
    assert r["reason"] == "budget of steps used up: 12 of 12" and r["steps"] == 12
    assert ("budget-warning", "steps: 10 of 12") in loop.notes(r["run_id"])


def test_a_passing_error_is_tried_again_with_a_growing_pause(signed, tmp_path):
    g = tmp_path / "retry.yaml"
    g.write_text((PACKS / "governed.yaml").read_text()
                 .replace("tokens_used: {", "tries: {type: int, reducer: sum}\n  tokens_used: {")
                 .replace("kind: template, config: {template: \"Wanted: {request}\", out: note}",
                          'kind: set, config: {values: {tries: 1}, clips: {error_class: '
                          '"(if (< ?tries 2) then \\"conflict\\" else \\"\\")"}}'))
    retry = Graph(signed, tmp_path / "state", g)
    r = retry.run(request="x", reason=REASON)
    assert r["path"] == ["work", "work", "work", "keep", "done"]
    assert [d for k, d in retry.notes(r["run_id"]) if k == "retry"] == [
        "work after conflict, try 1 of 3, in 500 ms", "work after conflict, try 2 of 3, in 1000 ms"]
    assert retry.star("replay", r["run_id"], "--state-dir", retry.state).returncode == 0


def test_a_policy_of_the_operator(signed, tmp_path):
    """Changed and signed again: personal data goes to a node that overwrites it."""
    mine = tmp_path / "mine"
    for name in NAMES:
        shutil.copytree(signed / name, mine / name)
    rules = mine / "safety_pii/rules.clp"
    rules.write_text(rules.read_text().replace('(kind "email") (action "audit")', '(kind "email") (action "redact")'))
    key = signed / "ops.key.pem"
    assert pack("sign", mine / "safety_pii", "--key", key, "--key-id", "ops").returncode == 0
    g = tmp_path / "redact.yaml"
    g.write_text((PACKS / "governed.yaml").read_text().replace(
        "nodes:\n", "nodes:\n  - {id: look, kind: passthrough}\n").replace(
        "  - {id: done", '  - {id: end, kind: halt}\n  - {id: redact, kind: set, config: {values: '
        '{request: "[removed]"}}}\n  - {id: done'))
    redact = Graph(mine, tmp_path / "state", g)
    r = redact.run(request="write to a@example.org", reason=REASON)
    assert r["path"] == ["look", "redact", "done"] and r["state"]["request"] == "[removed]"


LOOP = """ir_version: "1.0.0"
id: "graph:loop"
state_schema: {n: {type: int, reducer: sum}}
nodes:
  - {id: a, kind: set, config: {values: {n: 1}}}
  - {id: b, kind: passthrough}
  - {id: ask, kind: interrupt, config: {prompt: "?"}}
  - {id: end, kind: halt}
rules:
  - {id: again, when: "(node-id (id b)) (n (typed ?n&:(neq ?n 3 6)))", then: [{kind: goto, target: a}]}
  - {id: over, when: "(node-id (id ask))", then: [{kind: goto, target: a}]}
  - {id: enough, when: "(node-id (id b)) (n (typed 6))", then: [{kind: goto, target: end}]}
governance: [{id: seen}]
"""


def test_where_a_run_stands_outlives_a_restart_and_is_the_same_in_a_replay_and_in_forks(signed, tmp_path):
    seen = tmp_path / "seen"
    seen.mkdir()
    (seen / "manifest.yaml").write_text('id: seen\nversion: "1"\n')
    (seen / "rules.clp").write_text(
        '(defrule note (stargraph-run (node ?n) (visits ?v) (in_a_row ?r) (steps ?s)) (exists (stargraph-node)) '
        '(exists (stargraph-run)) => (assert (bosun.audit (kind "seen") (detail (str-cat ?n " " ?v " " ?r " " ?s)))))')
    assert pack("sign", seen, "--key", signed / "ops.key.pem", "--key-id", "ops").returncode == 0
    (tmp_path / "g.yaml").write_text(LOOP)
    g = Graph(signed, tmp_path / "state", tmp_path / "g.yaml")
    g.packs = ["--pack", seen]
    run = g.run()["run_id"]
    (tmp_path / "a.json").write_text("{}")
    r = g.star("respond", run, "--response", tmp_path / "a.json", "--state-dir", g.state)  # another process
    assert r.returncode == 0, r.stderr
    assert [d for _, d in g.notes(run)] == [
        "a 1 1 1", "b 1 1 2", "a 2 1 3", "b 2 1 4", "a 3 1 5", "b 3 1 6", "ask 1 1 8", "a 4 1 9", "b 4 1 10", "a 5 1 11",
        "b 5 1 12", "a 6 1 13", "b 6 1 14", "end 1 1 15"]
    (tmp_path / "m.json").write_text('{"state_overrides": {"n": 5}}')
    r = g.star("counterfactual", run, "--step", 10, "--mutation", tmp_path / "m.json", "--state-dir", g.state, "--json",
               *g.packs)
    assert r.returncode == 0, r.stderr
    assert [d for _, d in g.notes(json.loads(r.stdout)["run_id"])][0] == "a 1 1 11"
    r = g.star("replay", "--all", "--state-dir", g.state)
    assert r.returncode == 0 and "2 identical" in r.stderr, r.stdout + r.stderr
