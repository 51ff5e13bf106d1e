"""kill -9 at random moments under load, with a model of what was acknowledged.

Clients start runs (each under its own idempotency key) and answer questions. Whatever a client was
told before the kill must hold after the restart: the run is there, a finished one has the same state,
path and steps, an answered question stays answered. A request without an answer is sent again with the
same key and must not make a second run. At the end every run has finished and the audit verifies.
"""
import contextlib
import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e" / "lib"))

from core import Core, binary  # noqa: E402

GRAPHS = Path(__file__).parent / "graphs"
KILLS = 300 if os.environ.get("SG_LONG") else 20
CLIENTS = 8
TERMINAL = ("done", "failed", "cancelled")


class Model:
    def __init__(self):
        self.lock = threading.Lock()
        self.sent = {}      # key -> body of each request that may have arrived
        self.runs = {}      # key -> run id, once told
        self.finished = {}  # run id -> what was told of a run that had ended
        self.answers = {}   # run id -> decision, once acknowledged


def start_body(key, n):
    ask = n % 4 == 0
    return {"graph_id": "run:ask" if ask else "run:five", "params": {"token": key}}


def note(model, key, run):
    with model.lock:
        assert model.runs.setdefault(key, run["run_id"]) == run["run_id"], "one key, two runs"
        if run["status"] in TERMINAL and "path" in run:
            model.finished.setdefault(run["run_id"], run)


def start(core, connection, model, key, body, wait):
    headers = {"Idempotency-Key": key}
    if wait:
        headers["Prefer"] = "wait=10"
    r = core.post("/v1/runs", body, headers=headers, connection=connection)
    assert r.status in (200, 202), r
    note(model, key, r.json())
    return r.json()


def answer(core, connection, model, run_id):
    decision = random.choice(["yes", "no"])
    r = core.post(f"/v1/runs/{run_id}/respond", {"response": {"decision": decision}},
                  connection=connection)
    if r.status == 200:
        with model.lock:
            model.answers[run_id] = decision
    else:
        assert r.status == 409, r


def client(core, model, name, stop, failures):
    """Works until the server dies under it; only then may a request fail."""
    n = 0
    connection = core.connection(timeout=20)
    try:
        while not stop.is_set():
            key = f"{name}-{n}"
            body = start_body(key, n)
            with model.lock:
                model.sent[key] = body
            run = start(core, connection, model, key, body, wait=n % 2 == 0)
            if run["status"] == "awaiting-input" and random.random() < 0.7:
                answer(core, connection, model, run["run_id"])
            n += 1
    except (OSError, ValueError) as e:  # ValueError: half an answer
        if not stop.is_set():
            failures.append(e)
    except Exception as e:  # http.client's own: the connection ended
        if not stop.is_set() or isinstance(e, AssertionError):
            failures.append(e)
    finally:
        connection.close()


def one_round(core, model, number):
    stop, failures = threading.Event(), []
    threads = [threading.Thread(target=client, args=(core, model, f"k{number}-{i}", stop, failures))
               for i in range(CLIENTS)]
    for t in threads:
        t.start()
    time.sleep(random.uniform(0.02, 0.5))
    stop.set()
    core.kill()
    for t in threads:
        t.join()
    assert not failures, failures
    core.start()


def settle(core, run_id, timeout=60):
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        r = core.get(f"/v1/runs/{run_id}")
        assert r.status == 200, (run_id, r)
        if r.json()["status"] in TERMINAL + ("awaiting-input",):
            return r.json()
        time.sleep(0.02)
    raise AssertionError(f"{run_id} never settled: {r}")


def check_finished(told, now):
    for field in ("status", "reason", "path", "state", "steps"):
        assert now[field] == told[field], (field, told, now)


def check_outcome(model, key, run):
    body = model.sent[key]
    if body["graph_id"] == "run:five":
        assert run["status"] == "done" and run["path"] == list("abcde"), run
        assert run["state"]["text"] == key + "bcd" and run["steps"] == 5, run
    elif run["status"] == "done":
        decision = run["state"]["decision"]
        assert run["path"] == ["start", "gate", f"after_{decision}"], run
        assert model.answers.get(run["run_id"], decision) == decision, run
    else:
        assert run["status"] == "awaiting-input" and run["run_id"] not in model.answers, run


def check_all(core, model):
    with contextlib.closing(core.connection()) as connection:
        for key, body in model.sent.items():
            start(core, connection, model, key, body, wait=False)
    assert len(set(model.runs.values())) == len(model.sent)
    for key, run_id in model.runs.items():
        run = settle(core, run_id)
        check_outcome(model, key, run)
        if run_id in model.finished:
            check_finished(model.finished[run_id], run)


@pytest.fixture
def core(tmp_path):
    with Core(tmp_path, graphs=[GRAPHS]) as c:
        yield c


def test_nothing_acknowledged_is_lost(core):
    random.seed(time.time_ns())
    model = Model()
    for number in range(KILLS):
        one_round(core, model, number)
    check_all(core, model)
    total = core.get("/v1/runs?limit=1").json()["total"]
    assert total == len(model.sent), "a run that nobody asked for"
    core.kill()  # once more, idle
    core.start()
    core.stop()
    r = subprocess.run([binary(), "verify-audit", "--state-dir", core.state_dir],
                       capture_output=True, text=True)
    assert r.returncode == 0, r.stdout + r.stderr
    print(f"{KILLS} kills, {len(model.sent)} requests, {len(model.finished)} ends told, "
          f"{len(model.answers)} answers")
