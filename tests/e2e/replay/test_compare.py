"""`stargraph compare`: two runs, and many runs under another rule pack. The patches are held against
PyPI jsonpatch: applied to a's checkpoint they give b's."""
import copy
import hashlib
import json
from pathlib import Path

import jsonpatch
import pytest
from evidence import stargraph

DONE = """ir_version: "1.0.0"
id: "run:done"
state_schema: {n: int, message: str, out: str, list: list}
nodes:
  - {id: a, kind: passthrough}
  - {id: t, kind: template, config: {template: "{n} of {message}", out: out}}
  - {id: low, kind: halt}
  - {id: high, kind: halt}
rules:
  - {id: up, when: "(node-id (id t)) (n (typed ?n&:(> ?n 5)))", then: [{kind: goto, target: high}]}
  - {id: down, when: "(node-id (id t)) (n (typed ?n&:(<= ?n 5)))", then: [{kind: goto, target: low}]}
"""
ASK = """ir_version: "1.0.0"
id: "run:ask"
state_schema: {decision: str}
nodes:
  - {id: gate, kind: interrupt, config: {prompt: "Go on?"}}
  - {id: went, kind: halt}
  - {id: stopped, kind: halt}
rules:
  - {id: r-yes, when: {node: gate, decision: "yes"}, then: [{kind: goto, target: went}]}
  - {id: r-no, when: {node: gate, decision: "no"}, then: [{kind: goto, target: stopped}]}
"""
LOAN = """ir_version: "1.0.0"
id: "run:loan"
state_schema: {score: int}
governance: [{id: policy}]
nodes:
  - {id: intake, kind: passthrough}
  - {id: approve, kind: halt}
  - {id: reject, kind: halt}
rules: []
"""


class Home:
    """A state directory and the verbs on it."""

    def __init__(self, directory):
        self.dir, self.state = directory, directory / "state"
        for name, text in ("done", DONE), ("ask", ASK), ("loan", LOAN):
            (directory / f"{name}.yaml").write_text(text)

    def verb(self, name, *args, code=0):
        r = stargraph(name, *args, "--state-dir", self.state)
        assert r.returncode == code, r
        return r

    def run(self, graph, *args, code=0, **inputs):
        given = [x for k, v in inputs.items() for x in ("-i", f"{k}={v}")]
        r = self.verb("run", self.dir / f"{graph}.yaml", *given, "--non-interactive", *args, code=code)
        return json.loads(r.stdout.splitlines()[-1])

    def fork(self, run_id, step, mutation, *args, code=0):
        path = self.dir / "mutation.json"
        path.write_text(json.dumps(mutation))
        r = self.verb("counterfactual", run_id, "--step", step, "--mutation", path, "--json", *args, code=code)
        return json.loads(r.stdout) if code in (0, 3) else r

    def compare(self, a, b):
        return json.loads(self.verb("compare", a, b, "--json").stdout)

    def checkpoints(self, run_id):
        return {c["step"]: c for c in json.loads(self.verb("inspect", run_id, "--json").stdout)}

    def contents(self):
        """Of the store and the audit log; LMDB's lock file lists its readers."""
        return {p: hashlib.sha256(p.read_bytes()).hexdigest()
                for p in sorted(Path(self.state).rglob("*")) if p.is_file() and p.name != "store.mdb-lock"}

    def pack(self, version, limit):
        d = self.dir / f"policy-{version}"
        d.mkdir()
        (d / "manifest.yaml").write_text(f"id: policy\nversion: '{version}'\nrequires:\n"
                                         "  stargraph_facts_version: '1.0'\n  api_version: '1'\n")
        (d / "rules.clp").write_text(
            f'(defrule good (node-id (id intake)) (score (typed ?s&:(>= ?s {limit}))) =>'
            ' (assert (stargraph_action (kind goto) (target "approve"))))\n'
            f'(defrule poor (node-id (id intake)) (score (typed ?s&:(< ?s {limit}))) =>'
            ' (assert (stargraph_action (kind goto) (target "reject"))))\n')
        if not (self.dir / "ops.key.pem").exists():
            assert stargraph("pack", "keygen", "--out", self.dir, "--key-id", "ops").returncode == 0
        r = stargraph("pack", "sign", d, "--key", self.dir / "ops.key.pem", "--key-id", "ops")
        assert r.returncode == 0, r
        return d


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path)


def patched(home, diff, a, b):
    """Every listed patch makes of a's checkpoint b's, by the oracle."""
    of_a, of_b = home.checkpoints(a), home.checkpoints(b)
    for s in diff["steps"]:
        before, after = of_a.get(s["step"]), of_b.get(s["step"])
        assert jsonpatch.apply_patch(copy.deepcopy(before), s["patch"]) == after, s
    last_a, last_b = (c[max(c)]["state"] for c in (of_a, of_b))
    assert jsonpatch.apply_patch(last_a, diff["final_patch"]) == last_b
    return of_a, of_b


def test_a_run_and_itself_are_identical(home):
    run = home.run("done", n=3, message="x")["run_id"]
    diff = home.compare(run, run)
    assert diff["identical"] is True and diff["first"] is None and diff["steps"] == [] and diff["route"] is None
    assert "identical" in home.verb("compare", run, run).stdout
    again = home.run("done", n=3, message="x")["run_id"]
    diff = home.compare(run, again)
    assert diff["identical"] is True, "ids and times are no difference"


def test_a_mutation_its_route_and_the_rule_behind_it(home):
    run = home.run("done", n=3, message="x")["run_id"]
    fork = home.fork(run, 1, {"state_overrides": {"n": 9}})["run_id"]
    diff = home.compare(run, fork)
    assert (diff["first"]["axis"], diff["first"]["step"]) == ("mutation", 1), diff["first"]
    assert '"n":9' in diff["first"]["text"]
    assert [(s["step"], s["axes"]) for s in diff["steps"]] == [
        (1, ["mutation", "state", "facts", "route"]), (2, ["state", "facts", "route"])]
    patched(home, diff, run, fork)
    route = diff["route"]
    assert route["step"] == 1 and (route["a"]["decided_by"], route["b"]["decided_by"]) == ("down", "up")
    assert route["a"]["decision"] == {"kind": "goto", "target": "low"}
    fact = [f for f in route["b"]["facts"] if f["template"] == "n"][0]
    assert fact["slots"] == {"typed": 9, "value": "9"}
    assert (fact["provenance"]["run_id"], fact["provenance"]["origin"]) == (fork, "state")
    text = home.verb("compare", run, fork).stdout
    assert "a goto low by rule down, b goto high by rule up" in text, text
    back = home.compare(fork, run)
    assert back["route"]["a"]["decided_by"] == "up"
    patched(home, back, fork, run)


@pytest.mark.parametrize("mutation, step, axes", [
    ({}, 1, None),
    ({"facts_assert": [{"template": "mark", "slots": {"of": "b"}}]}, 1, ["mutation", "facts"]),
    ({"node_output_overrides": {"t": {"out": "other"}}}, 1, ["mutation", "state", "facts"]),
    ({"state_overrides": {"list": [1, 2]}}, 2, ["mutation", "state"]),
])
def test_each_mutation_is_the_first_difference(home, mutation, step, axes):
    text = DONE.replace("rules:", 'rules:\n  - {id: mark, when: "(node-id (id low))", then: [{kind: assert, fact: mark, '
                        "slots: '{\"of\": \"a\"}'}]}", 1)
    (home.dir / "done.yaml").write_text(text)
    run = home.run("done", n=3, message="x")["run_id"]
    fork = home.fork(run, step, mutation)["run_id"]
    diff = home.compare(run, fork)
    patched(home, diff, run, fork)
    if axes is None:
        assert diff["identical"] is True and diff["steps"] == [], diff
        return
    assert (diff["first"]["axis"], diff["first"]["step"]) == ("mutation", step)
    assert diff["steps"][0]["axes"][:len(axes)] == axes, diff["steps"][0]["axes"]
    assert diff["route"] is None


def test_other_input_other_answer_and_a_longer_run(home):
    one, two = home.run("done", n=3, message="x")["run_id"], home.run("done", n=7, message="x")["run_id"]
    diff = home.compare(one, two)
    assert diff["axes"] == ["input"] and (diff["first"]["axis"], diff["first"]["step"]) == ("input", 0)
    assert diff["route"]["step"] == 1
    patched(home, diff, one, two)
    runs = []
    for answer in "yes", "no":
        runs.append(home.run("ask", code=3)["run_id"])
        if answer == "yes":
            waiting = home.run("ask", code=3)["run_id"]
        (home.dir / "answer.json").write_text(json.dumps({"decision": answer}))
        home.verb("respond", runs[-1], "--response", home.dir / "answer.json")
    diff = home.compare(*runs)
    assert (diff["first"]["axis"], diff["first"]["step"]) == ("answer", 1), diff["first"]
    assert (diff["route"]["a"]["decided_by"], diff["route"]["b"]["decided_by"]) == ("r-yes", "r-no")
    patched(home, diff, *runs)
    for a, b in (waiting, runs[0]), (runs[0], waiting):
        diff = home.compare(a, b)
        assert diff["first"]["axis"] == "route" and diff["identical"] is False
        assert {s["step"]: (s["node_a"], s["node_b"]) for s in diff["steps"]}[1] in (("gate", None), (None, "gate"))
        patched(home, diff, a, b)


def test_another_graph_and_a_run_that_is_not_there(home):
    one, two = home.run("done", n=3, message="x")["run_id"], home.run("ask", code=3)["run_id"]
    diff = home.compare(one, two)
    assert diff["first"]["axis"] == "graph" and "graph" in diff["axes"]
    patched(home, diff, one, two)
    r = home.verb("compare", one, "run-01a20dd31f6d000075ee9dc0f6b1", code=2)
    assert "not found" in r.stderr and "Traceback" not in r.stderr
    for args in (), (one,), (one, two, "--since", "30d"), ("--pack",), ("--since", "soon", "--pack", home.dir):
        home.verb("compare", *args, code=2)


def test_many_runs_under_another_pack(home):
    """Sixty runs of a graph with a pack, and some that it does not concern. The store stays as it is."""
    old, new = home.pack("1.0", 50), home.pack("2.0", 60)
    scores = {home.run("loan", "--pack", old, score=s)["run_id"]: s for s in range(30, 90)}
    other = home.run("done", n=3, message="x")["run_id"]
    fork = home.fork(next(iter(scores)), 0, {})["run_id"]
    before = home.contents()
    r = home.verb("compare", "--pack", new, "--json")
    assert home.contents() == before, "the store was touched"
    result = json.loads(r.stdout)
    assert [(p["id"], p["version"]) for p in result["packs"]] == [("policy", "2.0")]
    verdicts = {x["run_id"]: x for x in result["runs"]}
    assert len(verdicts) == 62
    for run_id, score in scores.items():
        one = verdicts[run_id]
        assert one["verdict"] == ("route" if 50 <= score < 60 else "same"), (score, one)
        if one["verdict"] == "route":
            assert (one["from"], one["to"]) == ("done at approve", "done at reject")
            assert one["first"]["axis"] == "pack" and one["first"]["step"] == 0
            assert one["route"]["a"]["decided_by"] == "policy/good"
            assert one["route"]["b"]["decided_by"] == "policy/poor"
            fact = [f for f in one["route"]["b"]["facts"] if f["template"] == "score"][0]
            assert fact["slots"]["typed"] == score
    assert verdicts[other]["verdict"] == "not-mounted" and verdicts[fork]["verdict"] == "skipped"
    assert result["outcomes"] == [{"graph_id": "run:loan", "from": "done at approve", "to": "done at reject", "runs": 10}]
    assert result["totals"] == {"same": 50, "route": 10, "other": 0, "refused": 0, "not-mounted": 1, "skipped": 1, "failed": 0}
    text = home.verb("compare", "--pack", new)
    assert text.stdout.count("run-") == 10 and "UNDER THE PACK" in text.stdout, text.stdout
    assert "62 runs" in text.stderr and "10 take another route" in text.stderr
    # the same pack changes nothing; a window, a graph and single runs narrow it down
    assert json.loads(home.verb("compare", "--pack", old, "--json").stdout)["totals"]["same"] == 60
    assert json.loads(home.verb("compare", "--pack", new, "--graph", "run:done", "--json").stdout)["totals"]["not-mounted"] == 1
    assert json.loads(home.verb("compare", "--pack", new, "--since", "1h", "--json").stdout)["totals"]["route"] == 10
    assert json.loads(home.verb("compare", "--pack", new, "--until", "2020-01-01", "--json").stdout)["runs"] == []
    chosen = [r for r, s in scores.items() if s in (55, 80)]
    assert {x["verdict"] for x in json.loads(home.verb("compare", "--pack", new, *chosen, "--json").stdout)["runs"]} == {"same", "route"}
    assert home.contents() == before
