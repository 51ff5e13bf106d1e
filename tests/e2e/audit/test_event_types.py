"""The original's event types: each one that something here can cause is caused, for real.

NOT_BUILT belongs to what does not exist yet; whoever builds it moves its types up, and the test fails
if a type of the list turns up by itself.
"""
import json
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))
from core import Core, binary, toml  # noqa: E402

# The original declares these two and emits neither. Here a text of a model comes whole (token), and a
# step and its checkpoint are one record: the transition names the checkpoint's hash.
NOT_BUILT = {"token"}
FOLDED = {"checkpoint"}
BUILT = {"branch_started", "branch_completed", "branch_cancelled",
         "transition", "tool_call", "tool_result", "error", "result", "run_paused", "run_cancelled",
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
CALLS = """ir_version: "1.0.0"
id: "run:calls"
state_schema: {message: str, r: dict}
nodes:
  - {id: call, kind: tool, config: {tool: t, inputs: {m: message}, out: r}}
  - {id: end, kind: halt}
"""
SPLITS = """ir_version: "1.0.0"
id: "run:splits"
state_schema: {message: str}
nodes:
  - {id: a, kind: echo}
  - {id: b, kind: echo}
  - {id: c, kind: echo}
  - {id: end, kind: halt}
parallel:
  - {targets: [a, b, c], join: end, strategy: quorum}
rules: []
"""
TOOL = {"id": "t", "command": ["/bin/sh", "-c", "read line; echo '{}'"], "side_effects": "none"}


class ToolCore(Core):
    def write_config(self):
        super().write_config()
        with self.config.open("a") as f:
            f.write("\n[[tool]]\n" + "".join(f"{k} = {toml(v)}\n" for k, v in TOOL.items()))


def query(core, kind):
    """What `audit query --type` finds."""
    r = subprocess.run([str(binary()), "audit", "query", "--state-dir", str(core.state_dir),
                        "--type", kind], capture_output=True, text=True, timeout=60, check=True)
    return [json.loads(x) for x in r.stdout.splitlines()]


def test_every_type_that_is_built_is_emitted(tmp_path):
    assert len(BUILT | NOT_BUILT | FOLDED) == 16
    for name, text in (("waits", WAITS), ("expires", EXPIRES), ("writes", WRITES),
                       ("calls", CALLS), ("splits", SPLITS)):
        (tmp_path / f"{name}.yaml").write_text(text)
    core = ToolCore(tmp_path / "core", graphs=[tmp_path / f"{n}.yaml" for n in
                                           ("waits", "expires", "writes", "calls", "splits")] + [LONG])

    def start(graph, wait=True):
        r = core.request("POST", "/v1/runs", {"graph_id": f"run:{graph}",
                                              "params": {"message": "x"}},
                         headers={"Prefer": "wait=10"} if wait else {})
        assert r.status in (200, 202), r
        return r.json()["run_id"]

    with core.start("--allow-side-effects"):
        written = start("writes")
        start("calls")
        split = start("splits")
        r = core.request("POST", f"/v1/runs/{written}/counterfactual", {"step": 0, "mutation": {}})
        assert r.status == 202, r
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
    assert "fork_started" in seen
    assert [(r["type"], r["payload"]["branch_id"]) for r in records
            if r["run"] == split and r["type"].startswith("branch_")] == [
        ("branch_started", "a"), ("branch_started", "b"), ("branch_started", "c"),
        ("branch_completed", "a"), ("branch_completed", "b"), ("branch_cancelled", "c")]
    assert not NOT_BUILT & seen
    for kind in BUILT | {"fork_started"}:
        assert query(core, kind) == [r for r in records if r["type"] == kind], kind
