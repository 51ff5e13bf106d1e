"""Random graphs: the order of keys means nothing, two equal runs are equal, and every run ends."""

import json
import os
import pathlib
import random
import subprocess
import tempfile

TOP = pathlib.Path(__file__).parents[3]
STARGRAPH = pathlib.Path(os.environ.get("SG_BUILD", TOP / "build")).resolve() / "core" / "stargraph"
ROUNDS = 400 if os.environ.get("SG_LONG") else 40


def command(d, *args):
    return subprocess.run([STARGRAPH, *args], cwd=d, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)


def random_graph(rng):
    """Only what this build runs; backward edges and rules that contradict each other included."""
    n = rng.randint(2, 7)
    ids = [f"n{i}" for i in range(n)]
    kinds = [rng.choice(["passthrough", "passthrough", "template"]) for _ in range(n - 1)] + ["halt"]
    nodes = []
    for i, k in zip(ids, kinds):
        node = {"id": i, "kind": k}
        if k == "template":
            node["config"] = {"template": rng.choice(["x{s}", "{i}-{b}", "pass", "{{}}"]), "out": "s"}
        nodes.append(node)
    rules = []
    for r in range(rng.randint(0, 6)):
        when = {"node": rng.choice(ids[:-1])}
        if rng.random() < 0.5:
            when["s"] = rng.choice(["pass", "", "x", "0-False"])
        if rng.random() < 0.3:
            when["i"] = rng.randint(0, 2)
        if rng.random() < 0.3:
            when["b"] = rng.choice([True, False])
        then = rng.choice(
            [
                [{"kind": "goto", "target": rng.choice(ids)}],
                [{"kind": "halt", "reason": f"by r{r}"}],
                [{"kind": "assert", "fact": "seen", "slots": {"n": r, "s": "{s}"}}, {"kind": "goto", "target": ids[-1]}],
                [{"kind": "retract", "pattern": f"(seen (n {r}))"}],
            ]
        )
        rules.append({"id": f"r{r}", "when": when, "then": then})
    if rng.random() < 0.5:
        rules.append({"id": "late", "when": '(seen (n ?n)) (node-id (id ?x))', "then": [{"kind": "halt", "reason": "seen"}]})
    if not any(a["kind"] == "assert" for r in rules for a in r["then"]):  # a fact that nothing asserts is refused
        rules = [r for r in rules if r["id"] != "late" and r["then"][0]["kind"] != "retract"]
    return {
        "ir_version": "1.0.0",
        "id": "run:random",
        "state_schema": {"s": "str", "i": {"type": "int", "default": 1, "reducer": "sum"}, "b": "bool"},
        "nodes": nodes,
        "rules": rules,
    }


def shuffled(rng, v, ordered=False):
    if isinstance(v, dict):
        items = list(v.items())
        if not ordered:
            rng.shuffle(items)
        return {k: shuffled(rng, x, k == "state_schema") for k, x in items}
    return [shuffled(rng, x) for x in v] if isinstance(v, list) else v


def test_key_order_means_nothing():
    rng = random.Random(1)
    with tempfile.TemporaryDirectory() as d:
        for _ in range(ROUNDS):
            g = random_graph(rng)
            out = []
            for name in ("a.yaml", "b.yaml"):
                pathlib.Path(d, name).write_text(json.dumps(g if name[0] == "a" else shuffled(rng, g)))
                p = command(d, "compile", name)
                assert p.returncode == 0, p.stderr + json.dumps(g)
                out.append(p.stdout.splitlines()[0])
            assert out[0] == out[1]


def test_equal_runs_are_equal_and_end():
    rng = random.Random(2)
    with tempfile.TemporaryDirectory() as d:
        for k in range(ROUNDS // 2):
            pathlib.Path(d, "g.yaml").write_text(json.dumps(random_graph(rng)))
            told = []
            for i in (0, 1):
                p = command(d, "run", "g.yaml", "-i", f"s=pass{k % 2}", "--summary-json", "--state-dir", f"s{i}")
                assert p.returncode in (0, 1), p.stderr
                summary = json.loads(p.stdout.splitlines()[-1])
                assert summary["status"] in ("done", "failed")
                assert summary["status"] == "done" or summary["error_class"] == "step-limit", summary
                del summary["run_id"]
                told.append(summary)
            assert told[0] == told[1]
