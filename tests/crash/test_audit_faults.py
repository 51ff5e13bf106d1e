"""What the disk, the clock or somebody else may do to store and log while a server runs."""
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "e2e" / "lib"))
from evidence import EvidenceCore, verify  # noqa: E402


@pytest.fixture(scope="session")
def shim(tmp_path_factory):
    lib = tmp_path_factory.mktemp("shim") / "shim.so"
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", lib, HERE / "shim.c", "-ldl"],
                   check=True)
    return lib


@pytest.fixture
def core(tmp_path, shim):
    rules = tmp_path / "rules"
    c = EvidenceCore(tmp_path / "core", env={"LD_PRELOAD": str(shim), "SG_SHIM": str(rules)})
    c.rules = rules
    yield c
    rules.unlink(missing_ok=True)
    if c.process and c.process.poll() is None:
        c.kill()


def told(core):
    """A run's id if the server told of its end, else None."""
    try:
        r = core.run(timeout=15)
    except OSError:
        return None
    return r.json()["run_id"] if r.status == 200 else None


def all_holds(core, acknowledged):
    core.rules.unlink(missing_ok=True)
    core.kill()
    with core.start():
        assert told(core)
        for run in acknowledged:
            assert core.get(f"/v1/runs/{run}").json()["status"] == "done"
    code, report = verify(core.state_dir)
    assert code == 0, report


@pytest.mark.parametrize("file", ["audit.jsonl", "store.mdb"])
def test_eio_from_sync_is_never_taken_for_success(core, file):
    core.start()
    before = [told(core), told(core)]
    core.rules.write_text(f"EIO sync {file}\n")
    assert told(core) is None
    core.rules.unlink()
    assert told(core) is None  # the disk is "well" again: nobody believes it
    all_holds(core, before)


@pytest.mark.parametrize("file", ["audit.jsonl", "store.mdb"])
def test_a_full_disk_acknowledges_nothing_and_heals(core, file):
    core.start()
    before = told(core)
    core.rules.write_text(f"ENOSPC write {file}\n")
    got = []
    t = threading.Thread(target=lambda: got.append(told(core)))
    t.start()
    time.sleep(0.7)
    assert not got or got == [None]
    core.rules.unlink()
    t.join()
    end = time.monotonic() + 20
    after = None
    while not after and time.monotonic() < end:
        after = told(core)
    assert after and core.process.poll() is None
    all_holds(core, [r for r in (before, got[0], after) if r])


def test_kill_between_the_two_syncs(core):
    core.start()
    before = told(core)
    core.rules.write_text("KILL write audit.jsonl\n")
    assert told(core) is None
    core.process.wait()
    all_holds(core, [before])
    assert '"type":"audit_repaired"' in core.audit_path.read_text()


@pytest.mark.parametrize("deed", ["replace", "link", "remove", "open-up", "append"])
def test_a_log_that_somebody_touches_while_in_use(core, deed):
    core.start()
    before = told(core)
    path, other = core.audit_path, core.audit_path.with_name("other")
    if deed == "replace":
        path.rename(other)
        path.write_bytes(other.read_bytes())
    elif deed == "link":
        os.link(path, other)
    elif deed == "remove":
        path.rename(other)
    elif deed == "open-up":
        path.chmod(0o666)
    else:
        with path.open("ab") as f:
            f.write(b"{}\n")
    assert told(core) is None
    core.kill()
    if deed == "append":
        code, text = core.refused()
        assert code == 2 and "differs from the store at line" in text
        path.write_bytes(path.read_bytes()[:-3])
    elif deed == "open-up":
        code, text = core.refused()
        assert code == 2 and "mode 0666" in text
        path.chmod(0o600)
    elif deed == "link":
        code, text = core.refused()
        assert code == 2 and "hard links" in text
        other.unlink()
    else:
        other.rename(path)
    all_holds(core, [before])


def test_the_clock_goes_backwards_and_the_zone_is_far_away(core):
    core.env["TZ"] = "Pacific/Chatham"
    core.start()
    first = told(core)
    core.rules.write_text("clock -86400\n")
    second = told(core)
    assert first and second
    all_holds(core, [first, second])
    for line in core.audit_path.read_text().splitlines():
        assert json.loads(line)["ts"].endswith("Z")
