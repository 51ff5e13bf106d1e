"""A runaway rule, join or loop ends its own run, by name, and nobody else waits for it.

While such runs follow each other without a pause, another client asks for its health page and makes
short runs. How long they wait is tests/bench/runaway's to say."""
import statistics
import threading
import time

import pytest
from runaway import NAMES, params, site


@pytest.fixture(scope="module")
def core(tmp_path_factory):
    with site(tmp_path_factory.mktemp("runaway")) as c:
        yield c


def run_once(core, graph, connection):
    r = core.post("/v1/runs", {"graph_id": f"run:{graph}", "params": params(graph)}, headers={"Prefer": "wait=30"},
                  connection=connection)
    assert r.status in (200, 202), r
    return r.json()


def keep_running(core, graph, stop, seen):
    connection = core.connection(timeout=60)
    while not stop.is_set():
        seen.append(run_once(core, graph, connection))
    connection.close()


def latencies(core, seconds):
    """Milliseconds of health pages and of short runs, one after the other."""
    connection, health, runs = core.connection(timeout=60), [], []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for times, ask in ((health, lambda: core.get("/v1/health", connection=connection)),
                           (runs, lambda: run_once(core, "short", connection))):
            begin = time.perf_counter()
            ask()
            times.append((time.perf_counter() - begin) * 1000)
    connection.close()
    return health, runs


@pytest.mark.parametrize("graph", NAMES)
def test_it_ends_by_name_and_nobody_waits(core, graph):
    stop, seen = threading.Event(), []
    thread = threading.Thread(target=keep_running, args=(core, graph, stop, seen))
    thread.start()
    busy = latencies(core, 3)
    stop.set()
    thread.join()
    assert seen
    for run in seen:
        assert run["status"] == "failed" and run["error_class"] in NAMES[graph], run
    # Nobody starves: a bound of milliseconds is nothing that a shared machine or a sanitized build
    # can be held to.
    assert statistics.median(busy[0]) < 2000, busy[0]
    assert statistics.median(busy[1]) < 4000, busy[1]
