"""A full disk, seen over HTTP: runs wait with a clear state, nothing is lost, all goes on by itself."""
import ctypes
import json
import os
import subprocess
import threading
import time

import pytest
from core import Core
from evidence import stargraph, well
from test_retention import until

SIZE = 16 << 20


@pytest.fixture
def small(tmp_path):
    """A filesystem of 16 MiB, in a mount namespace of ours."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.unshare(0x00020000) == 0
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    at = tmp_path / "disk"
    at.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=700", "tmpfs", at], check=True)
    yield at
    subprocess.run(["umount", at], check=False)


def full(at):
    """Takes all that is left."""
    with open(at / "ballast", "ab", buffering=0) as f:
        try:
            while True:
                f.write(b"x" * 4096)
        except OSError:
            pass


@pytest.mark.parametrize("what", ["store", "audit"])
def test_runs_wait_for_room_and_go_on(tmp_path, graphs, small, what):
    keys = {"state_dir": small / "state"} if what == "store" else {
        "state_dir": tmp_path / "state", "audit_path": small / "audit.jsonl"}
    with Core(tmp_path / "core", graphs=[graphs], allow_side_effects=True, **keys) as core:
        done = [core.run("run:three", {"text": "before"}) for _ in range(5)]
        waiting = core.run("run:ask")["run_id"]
        full(small)
        got = []

        def ask():
            got.append(core.post("/v1/runs", {"graph_id": "run:three", "params": {"text": "t" * 20000}},
                                 headers={"Prefer": "wait=60", "Idempotency-Key": "one"}, timeout=70))

        threads = [threading.Thread(target=ask)]
        threads[0].start()
        until(lambda: core.get("/health").json()["status"] == "degraded")
        # what is known is told, what would need the disk is refused, and says so
        assert core.get("/health").json()["components"]["store"]["status"] == "full"
        assert "stargraph_disk_full 1\n" in core.get("/metrics").text
        assert core.get("/v1/health").json() == {"status": "ok"}
        assert core.get(f"/v1/runs/{done[0]['run_id']}").json()["status"] == "done"
        for path, body in (("/v1/runs", {"graph_id": "run:three"}),
                           (f"/v1/runs/{waiting}/respond", {"response": {"decision": "yes"}})):
            r = core.post(path, body)
            assert r.status == 507 and r.json()["kind"] == "disk-full", r
            assert r.headers["Retry-After"]
        assert "disk is full: runs wait for room" in core.stderr
        time.sleep(1)
        assert not got and core.process.poll() is None
        (small / "ballast").unlink()
        threads[0].join(30)
        assert got[0].status == 200 and got[0].json()["status"] == "done", got
        until(lambda: core.get("/health").json()["status"] == "ok")
        until(lambda: "there is room on the disk again" in core.stderr)
        assert "stargraph_disk_full 0\n" in core.get("/metrics").text
        r = core.post(f"/v1/runs/{waiting}/respond", {"response": {"decision": "yes"}},
                      headers={"Prefer": "wait=20"})
        assert r.json()["status"] == "done"
        assert core.get("/v1/runs?limit=1").json()["total"] == 7
    holds(core)


def test_a_run_that_was_under_way_shows_why_it_stands(tmp_path, graphs, small):
    (graphs / "long.yaml").write_text(json.dumps({
        "ir_version": "1.0.0", "id": "run:long", "state_schema": {"text": "str", "n": "int"},
        "nodes": [{"id": "a", "kind": "passthrough"}], "rules": [{
            "id": "again", "when": "(node-id (id a))",
            "then": [{"kind": "goto", "target": "a"}]}]}))
    with Core(tmp_path / "core", graphs=[graphs], allow_side_effects=True, state_dir=small / "state",
              limits={"steps": 5000}) as core:
        run = core.post("/v1/runs", {"graph_id": "run:long", "params": {"text": os.urandom(500).hex()}}
                        ).json()["run_id"]
        full(small)
        until(lambda: core.get("/health").json()["status"] == "degraded")
        shown = core.get(f"/v1/runs/{run}").json()
        assert shown["status"] == "running" and shown["reason"].startswith("disk-full: "), shown
        assert core.get("/v1/runs").json()["items"][0]["reason"] == shown["reason"]
        stood = shown["steps"]
        time.sleep(1)
        assert core.get(f"/v1/runs/{run}").json()["steps"] == stood
        if stood % 2:  # killed while the disk is full: no harm either
            core.kill()
            (small / "ballast").unlink()
            core.start()
        (small / "ballast").unlink(missing_ok=True)
        until(lambda: core.get(f"/v1/runs/{run}").json()["steps"] > stood)
        assert core.get(f"/v1/runs/{run}").json()["reason"] is None
        core.post(f"/v1/runs/{run}/cancel", {})
    holds(core)


def holds(core):
    well(core)
    r = stargraph("verify-audit", core.audit_path)
    assert r.returncode == 0, r.stdout + r.stderr
