"""Runs that are not kept any longer leave the store, all of them and nothing else, while others work."""
import json
import subprocess
import threading
import time

from core import Core, binary
from evidence import well


FORKS = {"forks_per_minute": 60000}


def until(what, seconds=20):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        got = what()
        if got:
            return got
        time.sleep(0.02)
    raise AssertionError("never came true")


def status(core, run_id):
    return core.get(f"/v1/runs/{run_id}").status


def total(core):
    return core.get("/v1/runs?limit=1").json()["total"]


def three(core, text="x", **kw):
    return core.run("run:three", {"text": text}, **kw)["run_id"]


def set_keep(core, **keep):
    core.keep = keep
    core.write_config()
    core.signal(1)


def fork(core, run_id, step=1):
    r = core.post(f"/v1/runs/{run_id}/counterfactual",
                  {"step": step, "mutation": {"node_output_overrides": {"b": {"n": 7}}}})
    assert r.status == 202, r
    return r.json()["run_id"]


def entries(core, table):
    """Records of one table, by mdb_stat."""
    r = subprocess.run(["mdb_stat", "-n", "-s", table, core.state_dir / "store.mdb"], text=True,
                       capture_output=True, check=True)
    return int(r.stdout.rsplit("Entries:", 1)[1])


def removals(core):
    lines = [json.loads(line) for line in core.audit_path.read_text().splitlines()]
    return [line for line in lines if line["type"] == "runs_removed"]


def test_by_count_the_oldest_go_and_it_is_audited(tmp_path, graphs):
    with Core(tmp_path / "core", graphs=[graphs], allow_side_effects=True, limits=FORKS, keep={"runs": 5}) as core:
        runs = [three(core) for _ in range(12)]
        until(lambda: total(core) == 5)
        assert [status(core, r) for r in runs] == [404] * 7 + [200] * 5
        removed = [r for line in removals(core) for r in line["payload"]["run_ids"]]
        assert removed == runs[:7]
        assert removals(core)[0]["payload"]["keep"] == {"runs": 5, "seconds": 0}
        assert "stargraph_runs_removed_total 7" in core.get("/metrics").text
        for r in runs[7:]:
            assert core.post(f"/v1/runs/{r}/replay").json()["identical"] is True
    well(core)


def test_by_age(tmp_path, graphs):
    with Core(tmp_path / "core", graphs=[graphs], allow_side_effects=True, limits=FORKS, keep={"seconds": 3}) as core:
        old = three(core)
        time.sleep(2.2)
        new = three(core)
        until(lambda: status(core, old) == 404)
        assert status(core, new) == 200
        until(lambda: status(core, new) == 404)
    well(core)


def test_nothing_of_a_removed_run_is_left(tmp_path, graphs):
    tables = ["run", "run-input", "run-by-time", "step", "step-index", "run-events", "artifact",
              "blob", "idempotency", "live"]
    with Core(tmp_path / "core", graphs=[graphs], allow_side_effects=True, limits=FORKS) as core:
        for i in range(3):
            core.run("run:keep", {"text": f"content {i}"})
        core.post("/v1/runs", {"graph_id": "run:three"}, headers={
            "Idempotency-Key": "k", "Prefer": "wait=5"})
        parent = three(core)
        fork(core, fork(core, parent))
        assert all(entries(core, t) for t in tables if t != "live")
        set_keep(core, seconds=1)
        until(lambda: total(core) == 0)
        assert {t: entries(core, t) for t in tables} == dict.fromkeys(tables, 0)
    well(core)


def test_a_parent_stays_as_long_as_its_fork(tmp_path, graphs):
    with Core(tmp_path / "core", graphs=[graphs], allow_side_effects=True, limits=FORKS, keep={"runs": 3}) as core:
        parent = three(core)
        child = fork(core, parent)
        until(lambda: core.get(f"/v1/runs/{child}").json()["status"] == "done")
        for _ in range(4):
            last = three(core)
        until(lambda: status(core, child) == 404)  # nothing hangs on the child
        last = three(core)
        until(lambda: status(core, parent) == 404)  # and then nothing on the parent
        assert status(core, last) == 200
        parent = three(core)
        child = fork(core, parent)
        waiting = core.run("run:ask")["run_id"]
        grandchild = fork(core, child)
        set_keep(core, runs=1)
        until(lambda: status(core, grandchild) == 404)
        until(lambda: status(core, parent) == 404 and status(core, child) == 404)
        assert status(core, waiting) == 200
    well(core)


def test_a_fork_that_is_kept_replays_after_retention(tmp_path, graphs):
    """The parent is older than the limit, and its fork waits for an answer: both stay."""
    with Core(tmp_path / "core", graphs=[graphs], allow_side_effects=True, limits=FORKS) as core:
        asked = core.run("run:ask")["run_id"]
        done = core.post(f"/v1/runs/{asked}/respond", {"response": {"decision": "yes"}},
                         headers={"Prefer": "wait=5"}).json()
        assert done["status"] == "done"
        r = core.post(f"/v1/runs/{asked}/counterfactual",
                      {"step": 0, "mutation": {"state_overrides": {"decision": "no"}}})
        assert r.status == 202, r
        child = r.json()["run_id"]
        until(lambda: core.get(f"/v1/runs/{child}").json()["status"] == "awaiting-input")
        others = [three(core) for _ in range(5)]
        set_keep(core, seconds=1)
        until(lambda: all(status(core, r) == 404 for r in others))
        time.sleep(2.5)
        assert status(core, asked) == status(core, child) == 200
        core.restart()
        assert core.post(f"/v1/runs/{child}/replay").json()["identical"] is True
        assert core.post(f"/v1/runs/{asked}/replay").json()["identical"] is True
    well(core)


def test_what_has_not_ended_stays(tmp_path, graphs):
    with Core(tmp_path / "core", graphs=[graphs], allow_side_effects=True, limits=FORKS, keep={"runs": 1, "seconds": 1}) as core:
        waiting = [core.run("run:ask")["run_id"] for _ in range(4)]
        done = three(core)
        until(lambda: status(core, done) == 404)
        core.restart()
        time.sleep(2.5)
        assert [core.get(f"/v1/runs/{r}").json()["status"] for r in waiting] == ["awaiting-input"] * 4
        for r in waiting:
            r = core.post(f"/v1/runs/{r}/respond", {"response": {"decision": "yes"}},
                          headers={"Prefer": "wait=5"})
            assert r.json()["status"] == "done"
        until(lambda: total(core) <= 1)
    well(core)


def test_a_key_lives_as_long_as_its_run(tmp_path, graphs):
    headers = {"Idempotency-Key": "k", "Prefer": "wait=5"}
    with Core(tmp_path / "core", graphs=[graphs], allow_side_effects=True, limits=FORKS, keep={"runs": 2}) as core:
        first = core.post("/v1/runs", {"graph_id": "run:three"}, headers=headers).json()["run_id"]
        assert core.post("/v1/runs", {"graph_id": "run:three"}, headers=headers).json()["run_id"] == first
        [three(core) for _ in range(3)]
        until(lambda: status(core, first) == 404)
        r = core.post("/v1/runs", {"graph_id": "run:ask"}, headers=headers)  # another graph: it is new
        assert r.json()["run_id"] != first and r.json()["status"] == "awaiting-input"
        until(lambda: total(core) == 2)
        again = core.post("/v1/runs", {"graph_id": "run:ask"}, headers=headers)
        assert again.json()["run_id"] == r.json()["run_id"]
    well(core)


def test_shared_bytes_of_artifacts_stay(tmp_path, graphs):
    with Core(tmp_path / "core", graphs=[graphs], allow_side_effects=True, limits=FORKS) as core:
        first, second = [core.run("run:keep", {"text": "same"})["run_id"] for _ in range(2)]
        art = core.get(f"/v1/runs/{second}/artifacts").json()[0]["artifact_id"]
        set_keep(core, runs=1)
        until(lambda: status(core, first) == 404)
        assert core.get(f"/v1/artifacts/{art}").body == b"same"
        three(core)
        until(lambda: core.get(f"/v1/artifacts/{art}").status == 404)
    well(core)


def test_others_go_on_meanwhile_and_a_kill_loses_nothing(tmp_path, graphs):
    """2,000 runs go while clients work; killed in the midst of it, it goes on."""
    with Core(tmp_path / "core", graphs=[graphs], allow_side_effects=True, limits=FORKS) as core:
        def many(n):
            with_connection = core.connection()
            for _ in range(n):
                core.post("/v1/runs", {"graph_id": "run:three", "params": {"text": "t" * 600}},
                          headers={"Prefer": "wait=5"}, connection=with_connection)
            with_connection.close()

        threads = [threading.Thread(target=many, args=(250,)) for _ in range(8)]
        [t.start() for t in threads]
        [t.join() for t in threads]
        assert total(core) == 2000
        core.keep = {"runs": 100}
        core.write_config()
        for _ in range(3):
            core.signal(1)
            time.sleep(0.05)
            told = three(core)
            core.kill()
            core.start()
            assert status(core, told) == 200
        until(lambda: total(core) == 100)
        assert status(core, told) == 200
        # each run that went was named once
        went = [r for line in removals(core) for r in line["payload"]["run_ids"]]
        assert len(went) == len(set(went)) == 2000 + 3 - 100
    well(core)


def test_a_long_run_goes_in_pieces(tmp_path):
    """10,000 steps: one transaction takes 2,000 records; a kill in between leaves no remains."""
    graph = tmp_path / "long.yaml"
    graph.write_text(json.dumps({
        "ir_version": "1.0.0", "id": "run:long", "state_schema": {"text": "str"},
        "nodes": [{"id": "a", "kind": "passthrough"}],
        "rules": [{"id": "again", "when": "(node-id (id a))", "then": [
            {"kind": "goto", "target": "a"}]}]}))
    with Core(tmp_path / "core", graphs=[graph], limits={"steps": 9000}) as core:
        r = core.post("/v1/runs", {"graph_id": "run:long", "params": {"text": "x"}},
                      headers={"Prefer": "wait=60"}, timeout=70)
        assert r.json()["status"] == "failed", r
        before = entries(core, "step")
        assert before == 9000
        core.keep = {"seconds": 1}
        core.write_config()
        core.signal(1)
        until(lambda: entries(core, "step") < before)
        core.kill()
        core.keep = {}
        core.write_config()
        core.start()  # nothing is configured any more: the rest goes all the same
        until(lambda: entries(core, "step") == 0)
        assert entries(core, "step-index") == entries(core, "run-events") == 0
        assert total(core) == 0
    well(core)


def test_binary_names_the_keys():
    r = subprocess.run([binary(), "config", "--reference"], capture_output=True, text=True)
    assert "## [keep]" in r.stdout
