"""The original's graphs: the same path and final state here, or refused for the stated reason; and the
graphs that `stargraph new` writes run as they are."""

import json
import os
import pathlib
import pty
import subprocess
import sys
import tempfile

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "e2e/lib"))
from cases import CANNOT, CASES, RUN  # noqa: E402
from fakellm import FakeLLM  # noqa: E402
from table import main as table  # noqa: E402

TOP = pathlib.Path(__file__).parents[3]
STARGRAPH = pathlib.Path(os.environ.get("SG_BUILD", TOP / "build")).resolve() / "core" / "stargraph"


def run(args, cwd, answers=()):
    """stdin is a terminal when there are answers to type."""
    if not answers:
        return subprocess.run(
            [STARGRAPH, *args], cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60
        )
    master, slave = pty.openpty()
    try:
        os.write(master, "".join(f"{a}\n" for a in answers).encode())
        return subprocess.run([STARGRAPH, *args], cwd=cwd, stdin=slave, capture_output=True, text=True, timeout=60)
    finally:
        os.close(master)
        os.close(slave)


def write_files(case, d):
    pathlib.Path(d, "g.yaml").write_text(case.graph)
    for name, text in case.files.items():
        pathlib.Path(d, name).write_text(text)


def inputs_of(case):
    return [a for k, v in case.inputs.items() for a in ("-i", f"{k}={v}")]


@pytest.mark.parametrize("case", RUN, ids=lambda c: c.origin)
def test_same_path_and_state(case):
    with tempfile.TemporaryDirectory() as d:
        write_files(case, d)
        for args in case.before:
            assert run(args, d).returncode == 0
        answers = iter(case.model)
        with FakeLLM(lambda _: next(answers)) as llm:
            flags = ["--lm-url", llm.url, "--lm-model", "m"] if case.model else []
            p = run(["run", "g.yaml", "--summary-json", *case.flags, *flags, *inputs_of(case)], d, case.answers)
        assert not list(answers), "the model was asked less often"
        assert p.returncode == (1 if case.status == "failed" else 0), p.stderr
        line = p.stdout.strip().splitlines()[-1]
        summary = json.loads(line[line.index("{") :])  # a prompt may stand before it
    assert tuple(summary["path"]) == case.path
    assert {k: v for k, v in summary["state"].items() if k not in case.volatile} == case.state
    assert summary["status"] == case.status
    assert summary["reason"] == case.reason


@pytest.mark.parametrize("case", CANNOT, ids=lambda c: c.origin)
def test_refused_for_the_one_reason(case):
    with tempfile.TemporaryDirectory() as d:
        write_files(case, d)
        p = run(["run", "g.yaml", "--summary-json"], d)
    assert p.returncode == 2
    assert p.stderr.startswith("stargraph: g.yaml:")
    assert case.refused in p.stderr
    assert len(p.stderr.splitlines()) <= 8


def test_table_is_complete():
    assert len(CASES) >= 40
    assert len({c.origin for c in CASES}) == len(CASES)
    assert (TOP / "docs/reference/original-graphs.md").read_text() == table()


@pytest.mark.parametrize("name", ["approval", "hello", "review", "sorting"])
def test_templates_run_as_they_are(name):
    with tempfile.TemporaryDirectory() as d:
        made = run(["new", name], d)
        assert made.returncode == 0, made.stderr
        assert run(["new", name], d).returncode == 2, "an existing file was overwritten"
        assert run(["compile", f"{name}.yaml"], d).returncode == 0
        command = made.stdout.splitlines()[1]
        assert command.startswith(f"next: stargraph run {name}.yaml ")
        p = subprocess.run(
            command.replace("next: stargraph", str(STARGRAPH), 1) + " --summary-json --state-dir state",
            shell=True,
            cwd=d,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert p.returncode == (3 if name == "approval" else 0), p.stderr


def test_compiled_document_is_the_same_graph():
    with tempfile.TemporaryDirectory() as d:
        for i, case in enumerate(RUN):
            write_files(case, d)
            first = run(["compile", "g.yaml"], d)
            assert first.returncode == 0, first.stderr
            pathlib.Path(d, f"again{i}.yaml").write_text(first.stdout)
            second = run(["compile", f"again{i}.yaml"], d)
            assert second.stdout == first.stdout


def test_simulate_follows_the_rules():
    with tempfile.TemporaryDirectory() as d:
        pathlib.Path(d, "g.yaml").write_text(next(c for c in RUN if "fathom-rules" in c.origin).graph)
        pathlib.Path(d, "f.yaml").write_text("node_a: {risk_class: high}\nnode_review: {}\nnode_ship: {}\n")
        p = run(["simulate", "g.yaml", "--fixtures", "f.yaml"], d)
        assert p.returncode == 0, p.stderr
        lines = p.stdout.splitlines()
        assert lines[0].startswith("graph_hash=") and len(lines[0]) == len("graph_hash=") + 64
        assert lines[1] == "rule_firings=1"
        assert "path=[node_a,node_review]" in lines
        assert "  rule=r-low fired=False" in lines
        pathlib.Path(d, "f.yaml").write_text("node_a: {}\n")
        p = run(["simulate", "g.yaml", "--fixtures", "f.yaml"], d)
        assert p.returncode == 2 and "no output for node node_review" in p.stderr
