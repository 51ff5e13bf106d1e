"""Evidence end to end: signed checkpoints, proofs, witnesses, backup and restore."""
import hashlib
import json
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))
from core import ALL_CAPABILITIES, Grant, Who, binary  # noqa: E402
from evidence import EvidenceCore, new_key, stargraph, verify  # noqa: E402
from leftovers import own  # noqa: E402


@pytest.fixture
def signed(tmp_path):
    key, public = new_key(tmp_path / "log.pem")
    core = EvidenceCore(tmp_path / "core", audit={
        "signing_key": key, "every_records": 5, "every_seconds": 1})
    with core:
        for _ in range(4):
            assert core.run().status == 200
    return core, public


def test_a_signed_log_verifies_against_its_key_alone(signed, tmp_path):
    core, public = signed
    log = core.audit_path
    code, report = verify(core.state_dir, "--key", public)
    assert (code, report["signatures"]) == (0, "pinned"), report
    assert report["signed_size"] == report["lines"] - 1  # signed at the stop too
    assert stargraph("verify-audit", log, "--key", public).returncode == 0
    r = stargraph("verify-audit", log)
    assert r.returncode == 5 and "unpinned" in r.stdout
    _, other = new_key(tmp_path / "other.pem")
    r = stargraph("verify-audit", log, "--key", other, "--json")
    assert r.returncode == 4 and json.loads(r.stdout)["cause"] == "wrong-key"


def test_a_cut_log_is_found_by_a_kept_line(signed, tmp_path):
    core, _ = signed
    kept = stargraph("audit", "checkpoint", "--state-dir", core.state_dir, "--line").stdout
    assert len(kept.split()) == 3
    assert stargraph("verify-audit", core.audit_path, "--checkpoint", kept.strip()).returncode == 0
    cut = tmp_path / "cut.jsonl"
    lines = core.audit_path.read_bytes().splitlines(keepends=True)
    cut.write_bytes(b"".join(lines[:-5]))
    r = stargraph("verify-audit", cut, "--checkpoint", kept.strip(), "--json")
    assert r.returncode == 4 and json.loads(r.stdout)["cause"] == "truncated"


def test_what_was_added_behind_the_head_is_found_from_the_state_directory(tmp_path):
    core = EvidenceCore(tmp_path / "core")
    with core:
        assert core.run().status == 200
    log = core.audit_path
    good = log.read_bytes()
    last = good.splitlines()[-1]
    seq = json.loads(last)["seq"]
    forged = json.loads(last) | {"seq": seq + 1, "prev": hashlib.sha256(last).hexdigest()}
    chained = json.dumps(forged, separators=(",", ":")).encode() + b"\n"
    for more in (chained, chained[:-20], b"x"):
        log.write_bytes(good + more)
        code, report = verify(core.state_dir)
        assert (code, report["cause"], report["line"]) == (4, "added", seq + 2), (more, report)
    log.write_bytes(good)
    assert verify(core.state_dir)[0] == 0
    with core.start():  # beside a server that writes, nothing is taken for foreign
        for _ in range(20):
            assert core.run(wait=False).status == 202
            assert verify(core.state_dir)[0] == 0


def test_proofs_of_inclusion_and_growth(signed, tmp_path):
    core, public = signed
    state = core.state_dir
    lines = core.audit_path.read_bytes().splitlines()
    proof = tmp_path / "r.tlog-proof"
    for seq in (0, 3, len(lines) - 2):
        proof.write_text(stargraph("audit", "prove", "--state-dir", state, "--record", seq).stdout)
        record = tmp_path / "record"
        record.write_bytes(lines[seq] + b"\n")
        check = ("audit", "check-proof", proof)
        assert stargraph(*check, "--key", public, f"--line={record}").returncode == 0
        assert stargraph(*check, f"--line={record}").returncode == 5
        record.write_bytes(lines[seq].replace(b"system", b"sYstem", 1) + b" ")
        assert stargraph(*check, "--key", public, f"--line={record}").returncode == 4
    first = next(json.loads(l)["payload"]["note"] for l in lines if b"audit_checkpoint" in l)
    old = tmp_path / "old.note"
    old.write_text(first)
    size = first.split("\n")[1]
    proof.write_text(stargraph("audit", "prove", "--state-dir", state, "--from", size).stdout)
    check = ("audit", "check-proof", proof, "--key", public, "--old")
    assert stargraph(*check, old).returncode == 0
    root = first.split("\n")[2]
    assert stargraph(*check, f"x {size} {'A' if root[0] != 'A' else 'B'}{root[1:]}").returncode == 4


def test_a_witness_cosigns_one_line(signed, tmp_path):
    core, _ = signed
    key, _ = new_key(tmp_path / "witness.pem")
    line = stargraph("audit", "checkpoint", "--state-dir", core.state_dir, "--line").stdout
    r = stargraph("audit", "cosign", "--key", key, "--name", "witness.example", input=line)
    assert r.returncode == 0, r.stderr
    vkey = r.stderr.split()[1]
    take = ("audit", "import-cosignature", "--state-dir", core.state_dir, "--witness", vkey)
    assert stargraph(*take, input=r.stdout.replace("A", "B")).returncode in (2, 4)
    assert stargraph(*take, input=r.stdout).returncode == 0
    note = stargraph("audit", "checkpoint", "--state-dir", core.state_dir).stdout
    assert note.count("\u2014 ") == 2 and "witness.example" in note


def test_query_filters(signed):
    core, _ = signed
    state = core.state_dir
    records = [json.loads(l) for l in
               stargraph("audit", "query", "--state-dir", state).stdout.splitlines()]
    run = next(r["run"] for r in records if r["run"])
    mine = [r for r in records if r["run"] == run]
    got = stargraph("audit", "query", "--state-dir", state, "--run", run).stdout.splitlines()
    assert [json.loads(l) for l in got] == mine
    ts = mine[-1]["ts"]
    late = stargraph("audit", "query", "--state-dir", state, "--since", ts).stdout.splitlines()
    assert len(late) == len([r for r in records if r["ts"] >= ts])
    assert len(stargraph("audit", "tail", "--state-dir", state, "-n", 3).stdout.splitlines()) == 3


def test_a_backup_under_load_has_every_acknowledged_run(tmp_path):
    core = EvidenceCore(tmp_path / "core")
    done, stop = [], threading.Event()

    def work():
        while not stop.is_set():
            r = core.run()
            if r.status == 200:
                done.append(r.json()["run_id"])

    with core:
        threads = [threading.Thread(target=work) for _ in range(4)]
        [t.start() for t in threads]
        try:
            for i in range(3):
                while len(done) < 30 * (i + 1):
                    assert core.process.poll() is None
                before = list(done)
                dest = tmp_path / f"backup-{i}"
                r = stargraph("backup", "--state-dir", core.state_dir, dest)
                assert r.returncode == 0, r.stderr
                new = tmp_path / f"restored-{i}"
                r = stargraph("restore", "--state-dir", new, dest)
                assert r.returncode == 0, r.stderr
                assert verify(new)[0] == 0
                assert stargraph("store", "check", "--state-dir", new).returncode == 0
                log = (new / core.audit_path.name).read_text()
                assert all(run in log for run in before)
        finally:
            stop.set()
            [t.join() for t in threads]


def test_restore_refuses_an_older_head_and_a_spoiled_backup(tmp_path):
    core = EvidenceCore(tmp_path / "core")
    with core:
        core.run()
        assert stargraph("backup", "--state-dir", core.state_dir, tmp_path / "b").returncode == 0
        core.run()
        r = stargraph("restore", "--state-dir", core.state_dir, tmp_path / "b", "--force")
        assert r.returncode == 2 and str(core.process.pid) in r.stderr
    r = stargraph("restore", "--state-dir", core.state_dir, tmp_path / "b")
    assert r.returncode == 2 and "--force" in r.stderr
    spoiled = tmp_path / "spoiled"
    shutil.copytree(tmp_path / "b", spoiled)
    log = spoiled / core.audit_path.name
    log.write_bytes(log.read_bytes().replace(b'"confidence":1', b'"confidence":0', 1))
    r = stargraph("restore", "--state-dir", tmp_path / "new", spoiled)
    assert r.returncode == 4, r.stderr
    r = stargraph("restore", "--state-dir", core.state_dir, tmp_path / "b", "--force")
    assert r.returncode == 0, r.stderr
    last = json.loads(core.audit_path.read_text().splitlines()[-1])
    assert last["type"] == "epoch_opened"
    assert last["payload"]["replaced"]["seq"] > last["payload"]["restored"]["seq"]
    with core.start():
        assert core.run().status == 200
    assert verify(core.state_dir)[0] == 0


def test_a_quorum_of_witnesses(signed, tmp_path):
    core, public = signed
    state = core.state_dir
    line = stargraph("audit", "checkpoint", "--state-dir", state, "--line").stdout
    vkeys = []
    for i in range(3):
        key, _ = new_key(tmp_path / f"w{i}.pem")
        r = stargraph("audit", "cosign", "--key", key, "--name", f"w{i}.example", input=line)
        vkeys.append(r.stderr.split()[1])
        if i < 2:  # the third never hands its line in
            assert stargraph("audit", "import-cosignature", "--state-dir", state, "--witness",
                             vkeys[i], input=r.stdout).returncode == 0
    proof, record = tmp_path / "proof", tmp_path / "record"
    proof.write_text(stargraph("audit", "prove", "--state-dir", state, "--record", 3).stdout)
    record.write_bytes(core.audit_path.read_bytes().splitlines()[3])

    def check(*args):
        return stargraph("audit", "check-proof", proof, "--key", public, f"--line={record}",
                         *args).returncode

    def named(*which):
        return [x for i in which for x in ("--witness", vkeys[i])]

    assert check(*named(0, 1)) == 0 and check(*named(0, 1, 2), "--quorum", 2) == 0
    assert check(*named(0, 1, 2)) == 4 and check(*named(2), "--quorum", 1) == 4
    assert check(*named(0, 0), "--quorum", 2) == 2  # one witness named twice is one
    assert check(*named(0), "--quorum", 2) == 2 and check("--quorum", 1) == 2
    assert check(*named(0), "--quorum", 0) == 2


def test_tail_follows_the_log(tmp_path):
    core = EvidenceCore(tmp_path / "core")
    with core:
        assert core.run().status == 200
        p = own(subprocess.Popen([str(binary()), "audit", "tail", "--state-dir",
                                  str(core.state_dir), "-n", "1", "--follow"],
                                 stdout=subprocess.PIPE, text=True))
        try:
            first = json.loads(p.stdout.readline())
            run = core.run().json()["run_id"]
            seen, seqs = set(), [first["seq"]]
            while run not in seen:
                record = json.loads(p.stdout.readline())
                seqs.append(record["seq"])
                seen.add(record["run"])
            assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))
        finally:
            p.terminate()
            p.wait()
    r = stargraph("audit", "query", "--state-dir", core.state_dir, "--follow")
    assert r.returncode == 2


def test_the_originals_chained_log(tmp_path):
    """Written by the original's own code; see tests/unit/audit/test_original.c for the rest."""
    golden = Path(__file__).resolve().parents[2] / "golden/original-audit"
    log, key = golden / "stargraph.audit.jsonl", golden / "stargraph.audit.jsonl.pub.pem"
    token = golden / "checkpoint.token"
    assert stargraph("verify-audit", log, "--key", key, "--checkpoint", token).returncode == 0
    r = stargraph("verify-audit", log)
    assert r.returncode == 5 and "unpinned" in r.stdout
    copy = tmp_path / "log"
    shutil.copy(log, copy)
    r = stargraph("verify-audit", copy)
    assert r.returncode == 2 and "give the key" in r.stderr
    cut = b"".join(log.read_bytes().splitlines(keepends=True)[:-3])
    copy.write_bytes(cut)
    assert stargraph("verify-audit", copy, "--key", key).returncode == 0
    r = stargraph("verify-audit", copy, "--key", key, "--checkpoint", token, "--json")
    assert r.returncode == 4 and json.loads(r.stdout)["cause"] == "truncated"
    head = hashlib.sha256(log.read_bytes().splitlines()[-1]).hexdigest()
    r = stargraph("verify-audit", copy, "--key", key, "--head", f"11:{head}", "--json")
    assert r.returncode == 4 and json.loads(r.stdout)["cause"] == "truncated"


def test_retention_keeps_what_is_kept_whole(tmp_path):
    """Rotated files and their lines go; verify, check, backup, restore and a restart hold."""
    key, public = new_key(tmp_path / "log.pem")
    core = EvidenceCore(tmp_path / "core", audit={
        "signing_key": key, "every_records": 50, "rotate_bytes": 30000, "keep_files": 2})
    for _ in range(2):
        with core.start():
            runs = [core.run().json()["run_id"] for _ in range(60)]
            assert core.get(f"/v1/runs/{runs[-1]}").json()["status"] == "done"
    archives = list(core.state_dir.glob(core.audit_path.name + ".0*"))
    assert len(archives) == 2
    code, report = verify(core.state_dir, "--key", public)
    assert (code, report["signatures"]) == (0, "pinned") and report["first"] > 0, report
    assert stargraph("store", "check", "--state-dir", core.state_dir).returncode == 0
    kept = stargraph("audit", "query", "--state-dir", core.state_dir).stdout.splitlines()
    first = json.loads(kept[0])["seq"]
    assert report["first"] - 256 < first <= report["first"]
    assert stargraph("backup", "--state-dir", core.state_dir, tmp_path / "b").returncode == 0
    r = stargraph("restore", "--state-dir", tmp_path / "new", tmp_path / "b")
    assert r.returncode == 0, r.stderr
    assert verify(tmp_path / "new", "--key", public)[0] == 0
    with core.start():
        assert core.get(f"/v1/runs/{runs[0]}").json()["status"] == "done"


def test_an_old_line_that_was_changed_opens_no_door_under_cleared(tmp_path):
    """More than the end of a long log is compared before anything is served."""
    core = EvidenceCore(tmp_path / "core", profile="cleared",
                        grants=[Grant(ALL_CAPABILITIES, subject="CN=alice")])

    def fill():
        for _ in range(200):
            r = core.request("POST", "/v1/runs", as_=Who("CN=alice"),
                             body={"graph_id": "graph:two-steps", "params": {"message": "x"}})
            assert r.status == 202, r
    with core:
        while core.audit_path.stat().st_size < 6 << 20:
            threads = [threading.Thread(target=fill) for _ in range(8)]
            [t.start() for t in threads]
            [t.join() for t in threads]
    good = core.audit_path.read_bytes()
    at = good.index(b'"ts":') + 8
    core.audit_path.write_bytes(good[:at] + b"7" + good[at + 1:])
    assert good[at:at + 1] != b"7"
    code, text = core.refused()
    assert code == 2 and "line 1 " in text and "listening" not in text, text
    core.audit_path.write_bytes(good)
    with core.start():
        assert "listening" in core.stderr
