"""A disk that turns read-only, a snapshot of it, a plain copy of live files, no descriptors left.

The disks are loop-mounted images in a mount namespace of this process's own, so these need root.
"""
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "e2e" / "lib"))
from evidence import EvidenceCore, stargraph, verify  # noqa: E402

CLONE_NEWNS = 0x00020000


def told(core):
    """A run's id if the server told of its end, else None."""
    try:
        r = core.run(timeout=15)
    except OSError:
        return None
    return r.json()["run_id"] if r.status == 200 else None


def mount(image, at):
    at.mkdir(exist_ok=True)
    subprocess.run(["mount", "-o", "loop,errors=remount-ro", image, at], check=True)
    at.chmod(0o755)
    return subprocess.run(["findmnt", "-no", "SOURCE", at], check=True, capture_output=True,
                          text=True).stdout.strip()


@pytest.fixture
def disks(tmp_path):
    """mount(image, at) in a namespace of our own; everything is unmounted afterwards."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.unshare(CLONE_NEWNS) == 0, os.strerror(ctypes.get_errno())
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    image = tmp_path / "disk.img"
    with image.open("wb") as f:
        f.truncate(256 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True)
    yield image
    for at in reversed(list(tmp_path.iterdir())):
        if at.is_dir() and os.path.ismount(at):
            subprocess.run(["umount", at], check=False)


def holds(directory, acknowledged, **kw):
    """The state directory below starts, has every acknowledged run, and its log verifies."""
    core = EvidenceCore(directory, **kw)
    with core:
        assert told(core)
        for run in acknowledged:
            assert core.get(f"/v1/runs/{run}").json()["status"] == "done"
    code, report = verify(core.state_dir)
    assert code == 0, report
    assert stargraph("store", "check", "--state-dir", core.state_dir).returncode == 0


def test_a_disk_that_turns_read_only(disks, tmp_path):
    """As ext4 does it by itself after an error. Nothing is acknowledged that is not on the disk."""
    device = Path(mount(disks, tmp_path / "mnt")).name
    core = EvidenceCore(tmp_path / "mnt/core")
    core.stderr_path = tmp_path / "stderr.log"
    core.start()
    try:
        before = [told(core), told(core)]
        assert all(before)
        Path(f"/sys/fs/ext4/{device}/trigger_fs_error").write_text("test")
        assert told(core) is None
        code, _ = verify(core.state_dir)
        assert code == 0  # readers still read
    finally:
        core.kill()
    code, text = core.refused()
    assert code in (1, 2) and "ead-only" in text, (code, text)
    subprocess.run(["umount", tmp_path / "mnt"], check=True)
    assert subprocess.run(["e2fsck", "-fy", disks], capture_output=True).returncode in (0, 1)
    mount(disks, tmp_path / "mnt")
    holds(tmp_path / "mnt/core", before)


def test_a_crash_consistent_snapshot_starts(disks, tmp_path):
    """The image, copied in a moment in which the server stands still in the midst of its work."""
    mount(disks, tmp_path / "mnt")
    core, done, stop = EvidenceCore(tmp_path / "mnt/core"), [], threading.Event()

    def work():
        while not stop.is_set():
            run = told(core)
            if run:
                done.append(run)

    with core:
        threads = [threading.Thread(target=work) for _ in range(4)]
        [t.start() for t in threads]
        try:
            taken = []
            for i in range(3):
                while len(done) < 25 * (i + 1):
                    assert core.process.poll() is None
                    time.sleep(0.001)
                core.signal(signal.SIGSTOP)
                taken.append(list(done))
                shutil.copyfile(disks, tmp_path / f"snap{i}.img")
                core.signal(signal.SIGCONT)
        finally:
            core.signal(signal.SIGCONT)
            stop.set()
            [t.join() for t in threads]
    for i, acknowledged in enumerate(taken):
        mount(tmp_path / f"snap{i}.img", tmp_path / f"m{i}")
        holds(tmp_path / f"m{i}/core", acknowledged)


def test_a_plain_copy_of_live_files_is_detected(tmp_path):
    """Store first, log later, runs between: the log says more than its store knows."""
    core = EvidenceCore(tmp_path / "core")
    with core:
        assert told(core)
        shutil.copytree(core.state_dir, tmp_path / "copy", ignore=lambda d, names: [
            n for n in names if n.startswith(core.audit_path.name) or n.endswith(".sock")])
        assert told(core)
        shutil.copy(core.audit_path, tmp_path / "copy")
    code, report = verify(tmp_path / "copy")
    assert (code, report["cause"]) == (4, "added"), report
    other = EvidenceCore(tmp_path / "other", state_dir=tmp_path / "copy")
    code, text = other.refused()
    assert code == 2 and "audit log" in text and "store" in text, text


def test_no_descriptors_left(tmp_path):
    core = EvidenceCore(tmp_path / "core", prefix=["prlimit", "--nofile=40:40"])
    core.start()
    before = told(core)
    assert before
    held = []
    try:
        for _ in range(60):
            held.append(socket.create_connection(("127.0.0.1", core.port), 2))
    except OSError:
        pass
    assert len(held) > 20
    got = []
    t = threading.Thread(target=lambda: got.append(told(core)))
    t.start()
    time.sleep(1)
    for s in held:
        s.close()
    t.join()
    after, end = None, time.monotonic() + 20
    while not after and time.monotonic() < end:
        after = told(core)
    assert after and core.process.poll() is None
    assert core.stop() == 0
    holds(tmp_path / "core", [r for r in (before, got[0], after) if r])
