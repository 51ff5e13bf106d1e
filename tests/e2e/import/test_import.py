"""stargraph import: stores that the Python original itself wrote, and stores that somebody forged."""
import fcntl
import gzip
import json
import os
import pathlib
import random
import shutil
import sqlite3
import subprocess
import sys
import time

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "lib"))
from core import SANITIZER_WORDS, Core, binary  # noqa: E402
from terminal import on_terminal  # noqa: E402

FIXTURES = HERE / "fixtures"
PIPELINE = "2c30ba7602ed50d99b07949a97e610a41c795fec563318587ea4ca574014b81b"
HITL = "d1a84739f22c6beab73e74b87fd00e2efcc48d3bc95e3acd94c971391019cde8"
RUNS = ["01a20dc9-4b63-704a-a94e-ebd930eb63a3", "01a20dc9-c677-77f5-aa23-4d81b808d670",
        "01a20dca-13b4-73f3-8e5c-a45aa3b439cb"]


def stargraph(*args, timeout=120):
    done = subprocess.run([binary(), *map(str, args)], capture_output=True, text=True, timeout=timeout, check=False,
                          env={"PATH": os.environ["PATH"], "TZ": "UTC"})
    assert not [w for w in SANITIZER_WORDS if w in done.stderr], done.stderr
    return done


@pytest.fixture
def store(tmp_path):
    """A fixture by name, unpacked."""
    def unpack(name):
        path = tmp_path / f"{name}.sqlite"
        path.write_bytes(gzip.decompress((FIXTURES / f"{name}.sqlite.gz").read_bytes()))
        return path
    return unpack


def imported(state, source, *args):
    return stargraph("import", "--state-dir", state, *args, source)


def inspect(state, run, *args):
    return stargraph("inspect", "--state-dir", state, run, *args)


def well(state):
    """Nothing damaged, the chain holds, no copy was left."""
    check = stargraph("store", "check", "--state-dir", state)
    assert check.returncode == 0 and " 0 damaged" in check.stdout, check
    assert stargraph("verify-audit", "--state-dir", state).returncode in (0, 5)
    assert not list(state.glob("import-*"))


def step_rows(source, run):
    with sqlite3.connect(source) as db:
        return db.execute("SELECT step_idx, last_node, state_snapshot, next_action, ts FROM checkpoints WHERE run_id = ? "
                          "ORDER BY rowid", (run,)).fetchall()


def test_a_dry_run_says_what_is_there_and_changes_nothing(store, tmp_path):
    done = imported(tmp_path / "state", store("run"), "--dry-run")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == RUNS
    assert lines[0].endswith(PIPELINE) and "3 steps" in lines[0]
    assert not (tmp_path / "state/store.mdb").exists()


def test_every_step_of_every_run_arrives(store, tmp_path):
    state = tmp_path / "state"
    source = store("run")
    before = source.read_bytes()
    done = imported(state, source)
    assert done.returncode == 0 and "3 runs imported, 0 here already, 0 refused" in done.stdout
    assert source.read_bytes() == before and not list(tmp_path.glob("run.sqlite-*"))
    for run in RUNS:
        steps = json.loads(inspect(state, run, "--json").stdout)
        rows = step_rows(source, run)
        assert [s["last_node"] for s in steps] == [r[1] for r in rows]
        assert [s["step"] for s in steps] == [r[0] for r in rows]
        assert [s["state"] for s in steps] == [json.loads(r[2]) for r in rows]
        assert [s["next_action"] for s in steps] == [json.loads(r[3]) if r[3] else None for r in rows]
        assert [s["timestamp"][:26] for s in steps] == [r[4][:26] for r in rows]
    text = inspect(state, RUNS[0]).stdout
    assert "imported from the Python original" in text and "not replayable" in text
    well(state)


def test_a_graph_given_by_its_hash_names_the_runs_and_says_which_ended(store, tmp_path):
    state = tmp_path / "state"
    done = imported(state, store("run"), "--graph", f"{PIPELINE}={FIXTURES}/pipeline.yaml",
                    "--graph", f"{HITL}={FIXTURES}/hitl-graph.yaml")
    assert done.returncode == 0, done.stderr
    first = [inspect(state, run).stdout.splitlines()[0].split()[1:3] for run in RUNS]
    # The second halted by a rule; the third is at the last node of the graph that was given for it.
    assert first == [["run:pipeline", "done"], ["original:69b8f988f75a", "done"], ["graph:cli-hitl-fixture", "done"]]


def test_without_its_graph_a_run_that_was_not_seen_to_end_says_so(store, tmp_path):
    imported(tmp_path / "state", store("run"))
    line = inspect(tmp_path / "state", RUNS[2]).stdout.splitlines()[0]
    assert "cancelled" in line and "the original did not write down how it ended" in line


def test_a_wrong_graph_is_refused(store, tmp_path):
    done = imported(tmp_path / "state", store("run"), "--graph", f"{PIPELINE}={FIXTURES}/hitl-graph.yaml")
    assert done.returncode == 1
    assert f'run {RUNS[0]} went through node "node_a", which the graph given for it' in done.stderr
    assert "2 runs imported, 0 here already, 1 refused" in done.stdout
    well(tmp_path / "state")


def test_the_servers_runs_keep_status_and_error(store, tmp_path):
    state = tmp_path / "state"
    assert imported(state, store("serve")).returncode == 0
    runs = [json.loads(x) for x in (state / "stargraph.audit.jsonl").read_text().splitlines()]
    marks = {r["run"]: r["payload"] for r in runs if r["type"] == "run_imported"}
    assert sorted((m["original_status"], m["status"], m["steps"]) for m in marks.values()) == [
        ("done", "done", 3), ("done", "done", 3), ("error", "failed", 0), ("error", "failed", 1)]
    assert runs[-1]["type"] == "runs_imported" and runs[-1]["payload"]["imported"] == 4
    failed = next(r for r, m in marks.items() if m["steps"] == 1)
    assert "WriteArtifactNode requires an execution context" in inspect(state, failed).stdout
    well(state)


def test_again_is_nothing_new_and_what_went_on_is_refused(store, tmp_path):
    state = tmp_path / "state"
    source = store("run")
    imported(state, source)
    lines = (state / "stargraph.audit.jsonl").read_text()
    done = imported(state, source)
    assert done.returncode == 0 and "0 runs imported, 3 here already" in done.stdout
    assert (state / "stargraph.audit.jsonl").read_text() == lines
    with sqlite3.connect(source) as db:
        db.execute("UPDATE checkpoints SET state_snapshot = ? WHERE run_id = ? AND step_idx = 2", (b'{"message":"x"}', RUNS[0]))
        db.execute("INSERT INTO checkpoints SELECT 'new-run', step_idx, branch_id, parent_step_idx, ts, state_snapshot, "
                   "clips_facts, last_node, next_action, structural_hash, runtime_hash, side_effects_hash, parent_run_id "
                   "FROM checkpoints WHERE run_id = ?", (RUNS[1],))
    done = imported(state, source)
    assert done.returncode == 1
    assert f"run {RUNS[0]}: it went on in the original since it was imported" in done.stderr
    assert "1 runs imported, 2 here already, 1 refused" in done.stdout
    assert json.loads(inspect(state, RUNS[0], "--step", "2").stdout) == {"message": ""}
    well(state)


def test_what_lies_in_the_write_ahead_log_arrives(store, tmp_path):
    source = store("run")
    db = sqlite3.connect(source)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA wal_autocheckpoint=0")
    db.execute("UPDATE checkpoints SET state_snapshot = ? WHERE run_id = ? AND step_idx = 2", (b'{"message":"late"}', RUNS[0]))
    db.commit()
    copy = tmp_path / "copy.sqlite"
    for end in ("", "-wal"):
        shutil.copy(f"{source}{end}", f"{copy}{end}")
    db.close()
    assert imported(tmp_path / "state", copy).returncode == 0
    assert json.loads(inspect(tmp_path / "state", RUNS[0], "--step", "2").stdout) == {"message": "late"}


def test_resumed_and_joined_steps_are_kept_in_the_order_of_writing(store, tmp_path):
    source = store("run")
    row = ("run_id, step_idx, branch_id, parent_step_idx, ts, state_snapshot, clips_facts, last_node, next_action, "
           "structural_hash, runtime_hash, side_effects_hash, parent_run_id")
    with sqlite3.connect(source) as db:
        for step, branch, node in ((0, None, "again"), (1, "left", "l"), (1, "right", "r")):
            db.execute(f"INSERT INTO checkpoints ({row}) SELECT run_id, ?, ?, NULL, ts, state_snapshot, '[{{\"a\":1}},\"(f)\"]', ?, "
                       "NULL, structural_hash, runtime_hash, side_effects_hash, parent_run_id FROM checkpoints WHERE run_id = ? "
                       "AND last_node = 'node_a'", (step, branch, node, RUNS[0]))
    state = tmp_path / "state"
    assert imported(state, source).returncode == 0
    steps = json.loads(inspect(state, RUNS[0], "--json").stdout)
    assert [(s["step"], s["last_node"]) for s in steps] == [
        (0, "node_a"), (1, "node_b"), (2, "node_c"), (3, "again"), (4, "l"), (5, "r")]
    assert steps[5]["clips_facts"] == ['{"a":1}', "(f)"]
    well(state)


def test_served_beside_new_runs(store, tmp_path):
    with Core(tmp_path / "core", graphs=[FIXTURES / "hitl-graph.yaml"]) as core:
        new = core.run("graph:cli-hitl-fixture", {"message": "here"})["run_id"]
        done = imported(core.state_dir, store("run"))
        assert done.returncode == 2 and f"process {core.process.pid}" in done.stderr, done.stderr
        core.stop()
        assert imported(core.state_dir, store("serve")).returncode == 0
        assert imported(core.state_dir, store("run")).returncode == 0
        core.start()
        runs = core.get("/v1/runs?limit=100").json()
        assert runs["total"] == 8
        assert {r["trigger_source"] for r in runs["items"]} == {"manual", "import"}
        for r in runs["items"]:
            got = core.get(f"/v1/runs/{r['run_id']}")
            assert got.status == 200 and got.json()["status"] in ("done", "failed", "cancelled"), got
        old = RUNS[0]
        for path, body in ((f"/v1/runs/{old}/counterfactual", {"step": 1, "mutation": {"state_overrides": {"message": "x"}}}),
                           (f"/v1/runs/{old}/resume", {}), (f"/v1/runs/{old}/respond", {"response": {}})):
            r = core.post(path, body)
            assert 400 <= r.status < 500, (path, r)
        stream = core.get(f"/v1/runs/{old}/stream", headers={"Accept": "text/event-stream"}, timeout=10)
        assert "run_imported" in stream.text  # and it ended
        assert core.get(f"/v1/runs/{new}").json()["status"] == "done"


def test_history_is_not_replayed_or_exported(store, tmp_path):
    state = tmp_path / "state"
    imported(state, store("run"))
    mutation = tmp_path / "m.json"
    mutation.write_text('{"state_overrides": {"message": "x"}}')
    for args in (["replay", RUNS[0]], ["export", RUNS[0], "-o", tmp_path / "x.evidence"],
                 ["counterfactual", RUNS[0], "--step", "1", "--mutation", mutation]):
        done = stargraph(*args, "--state-dir", state)
        assert done.returncode == 2, done
        assert "was imported from the Python original, which records no outside results" in done.stdout + done.stderr


def test_the_original_must_not_be_running(store, tmp_path):
    source = store("run")
    with source.open("rb") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        done = imported(tmp_path / "state", source)
    assert done.returncode == 2 and "is in use: stop the original's server first" in done.stderr


def big(source, runs):
    """The first run, many times."""
    with sqlite3.connect(source) as db:
        db.executemany("INSERT INTO checkpoints SELECT ?, step_idx, branch_id, parent_step_idx, ts, state_snapshot, clips_facts, "
                       "last_node, next_action, structural_hash, runtime_hash, side_effects_hash, parent_run_id FROM checkpoints "
                       "WHERE run_id = ?", [(f"many-{i:05}", RUNS[0]) for i in range(runs)])


def test_killed_anywhere_and_taken_up_again(store, tmp_path):
    source = store("run")
    big(source, 1500)
    state = tmp_path / "state"
    arrived = []
    for attempt in range(12):
        p = subprocess.Popen([binary(), "import", "--state-dir", state, source], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(0.02 + 0.03 * attempt)
        p.kill()
        if p.wait() == 0:
            break
        if (state / "store.mdb").exists():
            check = stargraph("store", "check", "--state-dir", state)
            if check.returncode == 0:
                arrived.append(int(check.stdout.split()[0]))
    done = imported(state, source)
    assert done.returncode == 0, done.stderr
    assert arrived == sorted(arrived)
    check = stargraph("store", "check", "--state-dir", state)
    assert check.stdout.startswith("1503 runs, "), check.stdout
    log = (state / "stargraph.audit.jsonl").read_text()
    assert log.count('"type":"run_imported"') == 1503
    well(state)


def test_progress_is_drawn_on_a_terminal(store, tmp_path):
    source = store("run")
    big(source, 4000)
    seen = on_terminal([binary(), "import", "--state-dir", tmp_path / "state", source], "stderr", stdout=subprocess.DEVNULL)
    assert b"importing [" in seen and b"steps/s" in seen


def forged(source, *statements):
    db = sqlite3.connect(source)
    db.execute("PRAGMA writable_schema=ON")
    for s in statements:
        db.execute(s)
    db.commit()
    db.close()
    return source


ONE = f"WHERE run_id = '{RUNS[0]}' AND step_idx = 1"


@pytest.mark.parametrize("statement,text", [
    (f"UPDATE checkpoints SET state_snapshot = '[1]' {ONE}", "another shape"),
    (f"UPDATE checkpoints SET state_snapshot = '{{\"a\":' {ONE}", "state_snapshot"),
    (f"UPDATE checkpoints SET state_snapshot = '{{\"a\":1,\"a\":2}}' {ONE}", "state_snapshot"),
    (f"UPDATE checkpoints SET state_snapshot = 7 {ONE}", "no JSON"),
    (f"UPDATE checkpoints SET clips_facts = '{'[' * 200}{']' * 200}' {ONE}", "clips_facts"),
    (f"UPDATE checkpoints SET next_action = '\"halt\"' {ONE}", "another shape"),
    (f"UPDATE checkpoints SET ts = 'yesterday' {ONE}", "does not have the original's form"),
    (f"UPDATE checkpoints SET last_node = CAST(X'ff00fe' AS TEXT) {ONE}", "does not have the original's form"),
    (f"UPDATE checkpoints SET structural_hash = 'abc' {ONE}", "does not have the original's form"),
    (f"UPDATE checkpoints SET step_idx = -5 {ONE}", "a step has no number"),
    (f"UPDATE checkpoints SET run_id = '../../../etc/x' WHERE run_id = '{RUNS[0]}'", "no plain word"),
    (f"UPDATE checkpoints SET run_id = '{'x' * 200}' WHERE run_id = '{RUNS[0]}'", "no plain word"),
])
def test_a_forged_run_is_left_out_and_named(store, tmp_path, statement, text):
    done = imported(tmp_path / "state", forged(store("run"), statement))
    assert done.returncode == 1, done
    assert text in done.stderr
    assert "2 runs imported, 0 here already, 1 refused" in done.stdout
    well(tmp_path / "state")


VIEW = ("ALTER TABLE checkpoints RENAME TO hidden",
        "CREATE VIEW checkpoints AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c) SELECT x AS run_id FROM c")


@pytest.mark.parametrize("statements,text", [
    (["INSERT INTO stargraph_schema_version VALUES (9, 'x')"], "its schema has version 9; 1 to 3 are known"),
    (["DELETE FROM stargraph_schema_version"], "its schema has version 0"),
    (["DROP TABLE checkpoints"], "it has no table checkpoints"),
    (VIEW, "it has no table checkpoints"),
    (["DROP TABLE checkpoints", "CREATE VIRTUAL TABLE checkpoints USING fts5(run_id, ts)"], "it has no table checkpoints"),
    (["ALTER TABLE checkpoints DROP COLUMN clips_facts"], "no such column: clips_facts"),
    (["UPDATE sqlite_master SET rootpage = 3 WHERE name = 'runs'"], "it is damaged"),
])
def test_what_is_no_store_of_the_original_is_refused(store, tmp_path, statements, text):
    done = imported(tmp_path / "state", forged(store("run"), *statements))
    assert done.returncode == 2, done
    assert text in done.stderr and "run.sqlite" in done.stderr


def test_other_files_are_refused(tmp_path):
    for name, data, text in (("empty", b"", "stargraph_schema_version"), ("text", b"hello\n" * 500, "it is no SQLite database")):
        (tmp_path / name).write_bytes(data)
        done = imported(tmp_path / "state", tmp_path / name)
        assert done.returncode == 2 and text in done.stderr, done
    os.mkfifo(tmp_path / "fifo")
    assert "is not a regular file" in imported(tmp_path / "state", tmp_path / "fifo").stderr
    assert imported(tmp_path / "state", tmp_path / "none").returncode == 2
    assert stargraph("import", tmp_path / "text").returncode == 2
    assert stargraph("import", "--state-dir", tmp_path / "state", "--graph", "abc=x", tmp_path / "text").returncode == 2


def test_triggers_and_functions_of_the_file_are_not_run(store, tmp_path):
    source = forged(store("run"), "CREATE TRIGGER t AFTER INSERT ON checkpoints BEGIN DELETE FROM checkpoints; END",
                    "CREATE INDEX evil ON checkpoints(length(zeroblob(100)))")
    assert imported(tmp_path / "state", source).returncode in (0, 2)
    assert len(step_rows(source, RUNS[0])) == 3


def test_flipped_bits_are_refused_or_imported_and_never_crash(store, tmp_path):
    good = store("run").read_bytes()
    rng = random.Random(20261124)
    codes = set()
    for i in range(150):
        data = bytearray(good)
        for _ in range(rng.choice((1, 1, 3, 40))):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        if i % 10 == 0:
            del data[rng.randrange(len(data)):]
        path = tmp_path / "flipped.sqlite"
        path.write_bytes(data)
        state = tmp_path / f"state{i}"
        done = imported(state, path)
        assert done.returncode in (0, 1, 2), done
        codes.add(done.returncode)
        if (state / "store.mdb").exists():
            well(state)
            shutil.rmtree(state)
    assert 2 in codes and len(codes) > 1
