"""A runaway rule, join or loop ends its own run, by name, and nobody else waits for it.

While such runs follow each other without a pause, another client asks for its health page and makes
short runs. `SG_RUNAWAY_REPORT=1 pytest -s` prints the figures (docs/reference/rules.md has them)."""
import os
import statistics
import subprocess
import threading
import time

import pytest
from core import Core, binary

HEAD = 'ir_version: "1.0.0"\n'
MARKS = 300

SHORT = HEAD + """id: "run:short"
state_schema: {n: int}
nodes: [{id: a, kind: set, config: {clips: {n: "(+ ?n 1)"}}}, {id: b, kind: halt}]
"""
LOOP = HEAD + """id: "run:loop"
state_schema: {n: int}
nodes: [{id: a, kind: set, config: {clips: {n: "(mod (+ ?n 1) 1000)"}}}]
rules: [{id: r, when: {node: a}, then: [{kind: goto, target: a}]}]
"""
# Carries a fact more at each step; then looks at all pairs of them, with work in each.
JOIN = HEAD + """id: "run:join"
state_schema: {n: int, big: str}
nodes:
  - {id: more, kind: set, config: {clips: {n: "(+ ?n 1)"}}}
  - {id: go, kind: passthrough}
rules:
  - {id: mark, when: "(node-id (id more)) (n (typed ?n&:(< ?n %d)))",
     then: [{kind: assert, fact: mark, slots: {n: "{n}"}}, {kind: goto, target: more}]}
  - {id: bomb, when: "(node-id (id go)) (big (value ?v)) (mark (n ?a)) (mark (n ?b&:(eq (upcase ?v) ?b)))",
     then: [{kind: halt}]}
""" % MARKS
EXPLODE = HEAD + """id: "run:explode"
state_schema: {n: int}
nodes: [{id: more, kind: set, config: {clips: {n: "(+ ?n 1)"}}}]
rules:
  - {id: mark, when: {node: more}, then: [{kind: assert, fact: mark, slots: {n: "{n}"}}, {kind: goto, target: more}]}
  - {id: bomb, when: "(mark (n ?a)) (mark (n ?b)) (mark (n ?c)) (mark (n ?d)) (test (= ?a ?b ?c ?d 0.5))", then: [{kind: halt, reason: "x"}]}
"""
RULE = HEAD + """id: "run:rule"
state_schema: {n: int}
nodes: [{id: a, kind: passthrough}]
governance: [{id: endless}]
"""
ENDLESS = """(deftemplate counted (slot n))
(defrule begin (node-id (id ?x)) => (assert (counted (n 0))))
(defrule on ?f <- (counted (n ?n)) => (modify ?f (n (+ ?n 1))))
"""
NAMES = {"run:loop": {"step-limit"}, "run:join": {"rule-timeout"}, "run:explode": {"rule-explosion"},
         "run:rule": {"rule-timeout", "rule-firings"}}


@pytest.fixture(scope="module")
def core(tmp_path_factory):
    d = tmp_path_factory.mktemp("runaway")
    (d / "graphs").mkdir()
    for name, text in (("short", SHORT), ("loop", LOOP), ("join", JOIN), ("explode", EXPLODE), ("rule", RULE)):
        (d / "graphs" / f"{name}.yaml").write_text(text)
    pack = d / "packs" / "endless"
    pack.mkdir(parents=True)
    (pack / "manifest.yaml").write_text('id: endless\nversion: "1.0"\n')
    (pack / "rules.clp").write_text(ENDLESS)
    subprocess.run([binary(), "pack", "keygen", "--out", d, "--key-id", "k"], check=True, capture_output=True)
    subprocess.run([binary(), "pack", "sign", pack, "--key", d / "k.key.pem", "--key-id", "k"], check=True,
                   capture_output=True)
    c = Core(d / "core", graphs=[d / "graphs"])
    with open(c.config, "a") as f:
        f.write(f'\n[packs]\ndirectories = ["{d / "packs"}"]\n')
    with c:
        yield c


def params(graph):
    return {"big": "v" * 50000} if graph == "run:join" else {}


def run_once(core, graph, connection):
    r = core.post("/v1/runs", {"graph_id": graph, "params": params(graph)}, headers={"Prefer": "wait=30"},
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
                           (runs, lambda: run_once(core, "run:short", connection))):
            begin = time.perf_counter()
            ask()
            times.append((time.perf_counter() - begin) * 1000)
    connection.close()
    return health, runs


def p(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


@pytest.mark.parametrize("graph", NAMES)
def test_it_ends_by_name_and_nobody_waits(core, graph):
    quiet = latencies(core, 1)
    stop, seen = threading.Event(), []
    thread = threading.Thread(target=keep_running, args=(core, graph, stop, seen))
    thread.start()
    busy = latencies(core, 3)
    stop.set()
    thread.join()
    assert seen
    for run in seen:
        assert run["status"] == "failed" and run["error_class"] in NAMES[graph], run
    if os.environ.get("SG_RUNAWAY_REPORT"):
        for what, before, after in zip(("health", "short run"), quiet, busy):
            print(f"\n{graph} {what}: alone median {statistics.median(before):.1f} max {max(before):.1f}; "
                  f"beside {len(seen)} runaways median {statistics.median(after):.1f} p99 {p(after, .99):.1f} "
                  f"max {max(after):.1f} ms", end="")
    # Nobody starves. How long they wait is printed above and stands in docs/reference/rules.md: a
    # bound of milliseconds is nothing that a shared machine or a sanitized build can be held to.
    assert statistics.median(busy[0]) < 2000, busy[0]
    assert statistics.median(busy[1]) < 4000, busy[1]
