"""The rows of the table beside the Python original itself: the same path and final state. Not part of
tests/run: it needs the original in an environment of its own,

    SG_ORIGINAL=DIR SG_ORIGINAL_VENV=VENV pytest tests/golden/graphs/against_original.py

with DIR a checkout of 0.8.0 and VENV where it is installed (Python 3.13). What it said once stands in
cases.py, and test_graphs.py holds this implementation to that everywhere."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from cases import RUN  # noqa: E402

ORIGINAL = pathlib.Path(os.environ["SG_ORIGINAL"]).resolve()
STARGRAPH = pathlib.Path(os.environ["SG_ORIGINAL_VENV"]).resolve() / "bin" / "stargraph"
# Its own files, Python nodes included, where the table's row is a restatement of them.
OWN = {
    "tests/fixtures/cyclic-graph.yaml": {},
    "tests/fixtures/cyclic-graph-sugar.yaml": {},
    "examples/hello.yaml": {"message": "hi"},
    "examples/pipeline.yaml": {"message": "hi"},
    "tests/fixtures/sample-graph.yaml": {"message": "x y"},
}
# What our text gives there, for rows that are one text in both.
SHARED = [
    "tests/fixtures/100-node-ir.yaml",
    "tests/fixtures/cli/hitl-graph.yaml",
    "docs/tutorials/first-graph.md",
    "tests/fixtures/sample-graph-phase3.yaml",
    "docs/reference/ir-schema.md (a parallel block)",
    "docs/reference/nodes/subgraph.md (sequential)",
]
# Rows with a parallel block, which it does not run as one: the same nodes, in an order of its own, and
# another state (the notes, and the page's head).
OTHER_STATE = {"docs/reference/ir-schema.md (a parallel block)", "tests/fixtures/sample-graph-phase3.yaml"}
CASE = {c.origin: c for c in RUN}


def command(args, cwd):
    env = {**os.environ, "PYTHONPATH": str(ORIGINAL)}
    return subprocess.run(
        [STARGRAPH, *args], cwd=cwd, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120
    )


def transitions(log):
    for line in log.read_text().splitlines():
        record = json.loads(line)
        event = record.get("record", record)
        event = event.get("event", event)
        if event.get("from_node"):
            yield event


def run(graph, inputs, d):
    """Path and final state. A subgraph's own nodes are told with its branch, by position."""
    args = [a for k, v in inputs.items() for a in ("-i", f"{k}={v}")]
    p = command(["run", str(graph), "--non-interactive", "--log-file", "log.jsonl", *args], d)
    assert p.returncode == 0, p.stderr[-400:]
    path = [e["from_node"] for e in transitions(d / "log.jsonl") if not e.get("branch_id")]
    run_id = p.stdout.split("run_id=")[1].split()[0]
    for step in range(len(path) - 1, -1, -1):
        told = command(["inspect", run_id, "--db", ".stargraph/run.sqlite", "--step", str(step)], d)
        if told.returncode == 0:
            return path, json.loads(told.stdout[told.stdout.index("{") :])
    raise AssertionError(told.stderr[-400:])


def outermost(case):
    return [n for n in case.path if "/" not in n]


@pytest.mark.parametrize("origin", OWN)
def test_its_own_file(origin, tmp_path):
    path, state = run(ORIGINAL / origin, OWN[origin], tmp_path)
    assert path == outermost(CASE[origin])
    assert state == CASE[origin].state


@pytest.mark.parametrize("origin", SHARED)
def test_the_same_text(origin, tmp_path):
    case = CASE[origin]
    (tmp_path / "g.yaml").write_text(case.graph)
    for name, text in case.files.items():
        (tmp_path / name).write_text(text)
    path, state = run("g.yaml", case.inputs, tmp_path)
    assert sorted(path) == sorted(outermost(case)) if origin in OTHER_STATE else path == outermost(case)
    if origin not in OTHER_STATE:
        assert state == case.state
