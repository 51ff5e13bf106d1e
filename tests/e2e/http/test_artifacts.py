"""Artifacts over HTTP: what a run has kept, and the bytes, for who may see the run."""
import base64
import hashlib
import json
import subprocess

import pytest
from conftest import ALICE, BOB
from core import Core, Grant, Who, binary

ALL = "CN=auditor,O=Test"
NONE = "CN=none,O=Test"


def graph(directory, name, content_type, file_name="report.txt", encoding="text"):
    path = directory / f"{name}.yaml"
    path.write_text(
        f'ir_version: "1.0.0"\nid: "run:{name}"\nstate_schema: {{s: str, artifact_ref: dict}}\n'
        "nodes: [{id: keep, kind: write_artifact, config: " + json.dumps({
            "content_field": "s", "name": file_name, "content_type": content_type,
            "encoding": encoding, "metadata": {"k": "v"}}) + "}]\n")
    return path


@pytest.fixture
def server(tmp_path):
    d = tmp_path / "graphs"
    d.mkdir()
    graph(d, "text", "text/plain; charset=utf-8")
    graph(d, "html", "text/html", "../x.html", "base64")
    graph(d, "split", "text/plain\r\nX-Evil: 1", 'a"\r\nX-Evil: 1')
    with Core(tmp_path / "core", graphs=[d], allow_side_effects=True) as core:
        yield core


def keep(core, name, text):
    run = core.run(f"run:{name}", {"s": text})
    assert run["status"] == "done", run
    return run["run_id"]


def run_cli(core, path):
    r = subprocess.run(
        [binary(), "run", path, "--state-dir", core.state_dir, "--summary-json", "-i", "s=kept",
         "--allow-side-effects"], capture_output=True, text=True, timeout=60)
    assert r.returncode == 0, r.stderr
    return json.loads(r.stdout.splitlines()[-1])


def only(core, run_id):
    r = core.get(f"/v1/runs/{run_id}/artifacts")
    assert r.status == 200 and len(r.json()) == 1, r
    return r.json()[0]


def test_list_and_bytes(server):
    run = keep(server, "text", "gr\u00fc\u00dfe")
    data = "gr\u00fc\u00dfe".encode()
    sha = hashlib.sha256(data).hexdigest()
    ref = only(server, run)
    assert ref.pop("created_at")
    assert ref == {"artifact_id": sha[:32], "content_hash": sha, "name": "report.txt", "run_id": run,
                   "content_type": "text/plain; charset=utf-8", "size": len(data), "step": ref["step"],
                   "metadata": {"k": "v"}}
    r = server.get(f"/v1/artifacts/{sha[:32]}")
    assert (r.status, r.body, r.type) == (200, data, "text/plain; charset=utf-8")
    assert r.headers["x-content-type-options"] == "nosniff"
    assert r.headers["content-disposition"] == 'attachment; filename="report.txt"'


def test_any_bytes_and_no_path_as_name(server):
    data = bytes(range(256))
    ref = only(server, keep(server, "html", base64.b64encode(data).decode()))
    r = server.get("/v1/artifacts/" + ref["artifact_id"])
    assert (r.status, r.body, r.type) == (200, data, "text/html")
    assert r.headers["content-disposition"] == f'attachment; filename="{ref["artifact_id"]}"'


def test_a_graph_cannot_write_headers(server):
    ref = only(server, keep(server, "split", "x"))
    r = server.get("/v1/artifacts/" + ref["artifact_id"])
    assert (r.status, r.body, r.type) == (200, b"x", "application/octet-stream")
    assert "x-evil" not in r.headers
    assert r.headers["content-disposition"] == f'attachment; filename="{ref["artifact_id"]}"'


def test_what_is_not_there(server):
    assert server.get("/v1/runs/run-none/artifacts").status == 404
    for name in ("0" * 32, "run-none", "x", "f" * 63):
        r = server.get(f"/v1/artifacts/{name}")
        assert r.status == 404 and r.json()["detail"] == f"artifact '{name}' not found", r


def test_only_who_may_see_the_run(tmp_path, graphs):
    """cleared runs no such graph: the command line has written the artifact."""
    w = graph(tmp_path, "w", "text/plain")
    grants = [Grant(["runs:read", "artifacts:read"], subject=ALICE),
              Grant(["runs:read", "runs:read:all", "artifacts:read"], subject=ALL),
              Grant(["runs:read", "runs:read:all"], subject=NONE)]
    core = Core(tmp_path / "core", profile="cleared", graphs=[graphs], grants=grants)
    done = run_cli(core, w)
    run, artifact = done["run_id"], done["state"]["artifact_ref"]["artifact_id"]
    with core:
        for path in (f"/v1/runs/{run}/artifacts", f"/v1/artifacts/{artifact}"):
            assert core.get(path, as_=Who(ALL)).status == 200
            assert core.get(path, as_=Who(ALICE)).status == 404
            assert core.get(path, as_=Who(NONE)).status == 403
            assert core.get(path, as_=Who(BOB)).status == 403
        hidden = core.get(f"/v1/artifacts/{artifact}", as_=Who(ALICE)).json()["detail"]
        assert hidden == f"artifact '{artifact}' not found"
        kinds = [r["payload"]["kind"] for r in core.audit() if r["type"] == "denied"]
    assert kinds.count("artifact_not_visible") == 2 and kinds.count("run_not_visible") == 1
