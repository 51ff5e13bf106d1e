"""`stargraph explain RUN STEP`: agenda, firings in order, facts with their provenance."""
import json

import pytest
from test_own_packs import REASON, Graph, signed  # noqa: F401  (signed is a fixture)

SIX = {"origin", "source", "run_id", "step", "confidence", "timestamp"}


@pytest.fixture(scope="module")
def ran(signed, tmp_path_factory):  # noqa: F811
    g = Graph(signed, tmp_path_factory.mktemp("explain") / "state")
    g.id = g.run(request="card 4111 1111 1111 1111", reason=REASON)["run_id"]
    return g


def explain(g, *args):
    r = g.star("explain", *args, "--state-dir", g.state)
    return r


def test_what_fired_in_order_on_what_from_where(ran):
    r = explain(ran, ran.id, 0, "--json")
    assert r.returncode == 0, r.stderr
    e = json.loads(r.stdout)
    assert e["decision"]["kind"] == "halt" and e["decided_by"] == "stargraph.bosun.safety_pii/pii-halt"
    agenda = [(a["salience"], a["fired"]) for a in e["agenda"]]
    assert agenda == sorted(agenda, key=lambda a: -a[0]) and all(f for _, f in agenda)
    first = e["fired"][0]
    assert first["rule"] == "stargraph.bosun.audit/reason-is-given" and first["salience"] == 10
    fact = first["facts"][0]
    assert set(fact["provenance"]) == SIX and fact["provenance"]["origin"] == "state"
    assert fact["provenance"]["run_id"] == ran.id and fact["provenance"]["step"] == "0"
    assert fact["slots"] == {"typed": REASON, "value": REASON} and fact["template"] == "reason"
    halt = next(f for f in e["fired"] if f["rule"] == e["decided_by"])
    assert halt["pack"] == "stargraph.bosun.safety_pii"
    assert halt["actions"] == [{"kind": "halt", "reason": e["decision"]["reason"]}]
    assert [f["template"] for f in halt["facts"]] == ["pii-found", "pii-policy"]


def test_what_was_on_the_agenda_and_did_not_fire(signed, tmp_path):  # noqa: F811
    graph = tmp_path / "g.yaml"
    graph.write_text('''ir_version: "1.0.0"
id: "graph:once"
state_schema: {n: {type: int, default: 1}}
nodes: [{id: a, kind: passthrough}]
governance: [{id: once}]
''')
    once = tmp_path / "once"
    once.mkdir()
    (once / "manifest.yaml").write_text('id: once\nversion: "1"\n')
    (once / "rules.clp").write_text('''(defrule takes (declare (salience 5)) ?n <- (n (typed 1)) => (retract ?n))
(defrule too-late (n (typed ?v)) => (assert (stargraph_action (kind halt) (reason "late"))))
''')
    g = Graph(signed, tmp_path / "state", graph)
    g.packs = ["--pack", once]
    assert g.star("pack", "sign", once, "--key", signed / "ops.key.pem", "--key-id", "ops").returncode == 0
    run = g.run()["run_id"]
    e = json.loads(explain(g, run, 0, "--json").stdout)
    assert [(a["rule"], a["fired"]) for a in e["agenda"]] == [("once/takes", True), ("once/too-late", False)]
    assert set(e["agenda"][1]["facts"][0]["provenance"]) == SIX
    text = explain(g, run, 0).stdout
    assert "once/too-late  salience 0  on f-2  (did not fire)" in text
    assert "origin state, source mirror, run_id " in text


def test_text(ran):
    text = explain(ran, ran.id, 0).stdout
    assert text.startswith(f"{ran.id}  step 0  work\ndecision: {{\"kind\":\"halt\"")
    assert "by stargraph.bosun.safety_pii/pii-halt" in text and "→ {\"kind\":\"halt\"" in text


def test_an_evidence_file_offline(ran, tmp_path):
    file = tmp_path / "run.evidence.json"
    r = ran.star("export", ran.id, "--state-dir", ran.state, "--out", file)
    assert r.returncode == 0, r.stderr
    there, here = explain(ran, file, 0, "--json"), explain(ran, ran.id, 0, "--json")
    assert there.returncode == 0 and there.stdout == here.stdout


@pytest.mark.parametrize("args,code,text", [
    (("{run}", "9"), 2, "has no step 9"), (("run-none", "0"), 2, "run-none"), (("{run}", "x"), 2, "is not a step"),
    (("{run}",), 2, "a run and the number of a step"), (("{run}", "0", "--jsn"), 2, "unknown option"),
    (("/none/x.json", "0"), 2, "/none/x.json")])
def test_refusals(ran, args, code, text):
    r = explain(ran, *(a.format(run=ran.id) for a in args))
    assert r.returncode == code and text in r.stderr
