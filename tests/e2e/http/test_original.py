"""What the original gets wrong over HTTP and this must not: one test each."""
import json
import time

import pytest
from conftest import grants
from core import Core


def refused(tmp_path, text, **keys):
    """Starts with one graph that must not load: what the start said."""
    graph = tmp_path / "g.yaml"
    graph.write_text('ir_version: "1.0.0"\nid: "run:g"\n' + text)
    code, err = Core(tmp_path / "core", graphs=[graph], **keys).refused()
    assert code == 2, err
    assert "g.yaml:" in err
    return err


def test_an_unknown_graph_is_404_not_202(oss):
    r = oss.post("/v1/runs", {"graph_id": "run:nonsense"})
    assert r.status == 404 and "run:nonsense" in r.json()["detail"]
    assert oss.get("/v1/runs").json()["total"] == 0


def test_a_run_that_failed_is_shown_with_its_cause_not_404(tmp_path, graphs):
    with Core(tmp_path / "core", graphs=[graphs], limits={"steps": 20}) as core:
        run = core.run("run:long")
        shown = core.get("/v1/runs/" + run["run_id"])
        assert shown.status == 200
        shown = shown.json()
        assert shown["status"] == "failed" and shown["error_class"] and shown["error_cause"]
        assert core.get("/v1/runs?status=failed").json()["total"] == 1


def test_rules_are_not_ignored(oss):
    five = {"message": "m", "kind": "a", "score": 0.75, "count": 1, "flag": True, "note": ""}
    assert oss.run("run:five", five)["path"] == ["n1", "n2", "n3", "n4", "n5"]
    run = oss.run("run:five", {**five, "kind": "k4"})
    assert (run["path"], run["reason"]) == (["n1"], "no4"), run


def test_a_waiting_run_does_not_block_its_graph(oss):
    waiting = [oss.run("run:ask")["run_id"] for _ in range(3)]
    assert oss.get("/v1/runs?status=awaiting-input").json()["total"] == 3
    for run in reversed(waiting):
        r = oss.post(f"/v1/runs/{run}/respond", {"response": {"decision": "yes"}},
                     headers={"Prefer": "wait=10"})
        assert r.json()["status"] == "done", r


def test_parallel_all_loses_no_update(tmp_path):
    branches = [f"b{i}" for i in range(8)]
    graph = {"ir_version": "1.0.0", "id": "run:par",
             "state_schema": {b: "int" for b in branches},
             "nodes": [{"id": "fork", "kind": "passthrough"}] +
                      [{"id": b, "kind": "set", "config": {"values": {b: i + 1}}}
                       for i, b in enumerate(branches)] + [{"id": "join", "kind": "halt"}],
             "parallel": [{"id": "p", "targets": branches, "join": "join", "strategy": "all"}],
             "rules": [{"id": "r", "when": "(node-id (id fork))", "then": [
                 {"kind": "parallel", "targets": branches, "join": "join", "strategy": "all"}]}]}
    del graph["parallel"]
    path = tmp_path / "par.yaml"
    path.write_text(json.dumps(graph))
    with Core(tmp_path / "core", graphs=[path]) as core:
        for _ in range(5):
            state = core.run("run:par")["state"]
            assert state == {b: i + 1 for i, b in enumerate(branches)}


def test_the_same_idempotency_key_runs_once(oss):
    answers = [oss.post("/v1/runs", {"graph_id": "run:done"}, headers={"Idempotency-Key": "k"})
               for _ in range(5)]
    assert {r.status for r in answers} <= {202, 409}
    assert len({r.json()["run_id"] for r in answers if r.status == 202}) == 1
    assert oss.get("/v1/runs").json()["total"] == 1


def test_no_run_is_pending_for_ever_after_a_kill(oss):
    runs = [oss.post("/v1/runs", {"graph_id": "run:five"}).json()["run_id"] for _ in range(50)]
    oss.restart()
    end = time.monotonic() + 20
    while any(oss.get("/v1/runs?status=" + s).json()["total"] for s in ("pending", "running")):
        assert time.monotonic() < end
        time.sleep(0.05)
    assert {oss.get("/v1/runs/" + r).json()["status"] for r in runs} <= {"done", "failed"}


@pytest.mark.parametrize("how", ["file", "flag", "environment"])
def test_a_misspelt_profile_does_not_start_the_permissive_one(tmp_path, graphs, how):
    core = Core(tmp_path / "core", profile="cleared", grants=grants(), graphs=[graphs])
    args = []
    if how == "file":
        core.config.write_text(core.config.read_text().replace(
            'profile = "cleared"', 'profile = "claered"'))
    elif how == "flag":
        args = ["--profile", "claered"]
    else:
        core.env["STARGRAPH_PROFILE"] = "claered"
    code, err = core.refused(*args)
    assert code == 2 and "claered" in err


@pytest.mark.parametrize("text, word", [
    ("nodes: [{id: a, kind: halt}]\ngovernance: [{id: nopack, version: '1'}]\n", "nopack"),
    ("nodes: [{id: a, kind: tool, config: {tool: notool}}]\n", "tool"),
    ("nodes: [{id: a, kind: retrieval, config: {stores: [nostore], query: q, out: o}}]\n"
     "state_schema: {q: str, o: list}\n", "nostore"),
], ids=["pack", "tool", "store"])
def test_unknown_packs_tools_and_stores_are_not_ignored(tmp_path, text, word):
    assert word in refused(tmp_path, text)


def test_a_body_of_32_mib_is_refused(oss):
    answer = oss.raw(b"POST /v1/runs HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
                     b"Content-Length: 33554432\r\n\r\n{\"graph_id\":" + b" " * 4096)
    assert answer.startswith(b"HTTP/1.1 413 ") and b"limits.body_bytes" in answer
