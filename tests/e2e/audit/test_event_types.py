"""The original's event types: each one that something here can cause is caused, for real.

The rest (NOT_BUILT) belongs to node kinds that do not exist yet; whoever builds one moves its types
up, and the test fails if a type of the list turns up by itself.
"""
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))
from core import Core  # noqa: E402

NOT_BUILT = {"token", "tool_call", "tool_result", "branch_started", "branch_completed",
             "branch_cancelled"}
# A step and its checkpoint are one record here: the transition names the checkpoint's hash.
FOLDED = {"checkpoint"}
BUILT = {"transition", "error", "result", "run_paused", "run_cancelled",
         "waiting_for_input", "interrupt_timeout", "artifact_written", "bosun_audit"}

LONG = Path(__file__).resolve().parents[1] / "http/graphs/long.yaml"

GRAPH = """ir_version: "1.0.0"
id: "run:%s"
state_schema: {message: str, decision: str, artifact_ref: dict}
nodes:
"""
WAITS = GRAPH % "waits" + """  - {id: gate, kind: interrupt, config: {prompt: "Go on?"}}
  - {id: end, kind: halt}
rules: []
"""
EXPIRES = GRAPH % "expires" + """  - {id: gate, kind: interrupt, config: {prompt: "?", timeout: 1, on_timeout: halt}}
  - {id: end, kind: halt}
rules: []
"""
WRITES = GRAPH % "writes" + """  - {id: text, kind: write_artifact, config: {content_field: message, name: m.txt, content_type: text/plain}}
  - {id: end, kind: halt}
rules: []
"""


def test_every_type_that_is_built_is_emitted(tmp_path):
    assert len(BUILT | NOT_BUILT | FOLDED) == 16
    for name, text in (("waits", WAITS), ("expires", EXPIRES), ("writes", WRITES)):
        (tmp_path / f"{name}.yaml").write_text(text)
    core = Core(tmp_path / "core", graphs=[tmp_path / f"{n}.yaml" for n in
                                           ("waits", "expires", "writes")] + [LONG])

    def start(graph, wait=True):
        r = core.request("POST", "/v1/runs", {"graph_id": f"run:{graph}",
                                              "params": {"message": "x"}},
                         headers={"Prefer": "wait=10"} if wait else {})
        assert r.status in (200, 202), r
        return r.json()["run_id"]

    with core.start("--allow-side-effects"):
        start("writes")
        expired = start("expires")
        answered, cancelled = start("waits"), start("waits")
        paused = start("long", wait=False)
        r = core.request("POST", f"/v1/runs/{answered}/respond", {"response": {"decision": "yes"}})
        assert r.status == 200, r
        assert core.request("POST", f"/v1/runs/{cancelled}/cancel", {}).status == 200
        assert core.request("POST", f"/v1/runs/{paused}/pause", {}).status in (200, 202)
        end = time.time() + 10
        while core.get(f"/v1/runs/{expired}").json()["status"] != "failed":
            assert time.time() < end
            time.sleep(0.05)
    records = [json.loads(x) for x in core.audit_path.read_text().splitlines()]
    seen = {r["type"] for r in records}
    assert all(len(r["payload"]["checkpoint_sha256"]) == 64 for r in records
               if r["type"] == "transition")
    assert BUILT - seen == set(), sorted(seen)
    assert not NOT_BUILT & seen
