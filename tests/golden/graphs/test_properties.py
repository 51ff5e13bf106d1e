"""Random graphs: the order of keys means nothing, two equal runs are equal, and every run ends."""

import json
import os
import pathlib
import random
import re
import subprocess
import tempfile

TOP = pathlib.Path(__file__).parents[3]
STARGRAPH = pathlib.Path(os.environ.get("SG_BUILD", TOP / "build")).resolve() / "core" / "stargraph"
# What a random graph may rightly fail with: its limits, and branches that contradict each other.
FAILURES = {"step-limit", "subgraph-steps", "parallel-write-conflict", "parallel-failed"}
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


def with_more(rng, g):
    """What the first kind of graph does not have: values computed, a parallel block, retries, a graph inside."""
    fields = {"n": "int", "log": {"type": "list", "reducer": "append"}, "f": "float", "m": {"type": "dict", "reducer": "merge"}}
    g["state_schema"] = {**g["state_schema"], **fields}
    ids = [n["id"] for n in g["nodes"]]
    for node in g["nodes"][:-1]:
        roll = rng.random()
        if roll < 0.4:
            node.update(kind="set", config={"values": {"log": rng.choice(["x", ["y", 1]])},
                                            "clips": {"n": "(mod (+ ?n 1) 5)", "f": "(/ (+ ?n 1) 3)"}})
        elif roll < 0.6:
            node.update(kind="subgraph", spec="inner.yaml")
            node["config"] = rng.choice([{}, {"max_steps": 4}, {"inputs": {"k": "n"}, "outputs": {"n": "k"}}])
    if rng.random() < 0.4 and len(ids) > 3:
        g["parallel"] = [{"targets": ids[1:3], "join": ids[-1],
                          "strategy": rng.choice(["all", "any", "race", "quorum:1"])}]
    if rng.random() < 0.5:
        g["rules"].append({"id": "again", "when": {"node": rng.choice(ids[:-1]), "n": rng.randint(0, 4)},
                           "then": [{"kind": "retry", "target": rng.choice(ids), "backoff_ms": rng.randint(0, 2)}]})
    return g


def inner_graph(rng):
    return {
        "ir_version": "1.0.0",
        "id": "run:inner",
        "state_schema": {"n": "int", "k": "int", "log": {"type": "list", "reducer": "append"}},
        "nodes": [
            {"id": "a", "kind": "set", "config": {"values": {"log": "in"}, "clips": {"k": "(+ ?k 1)", "n": "(mod (+ ?n 2) 5)"}}},
            {"id": "b", "kind": "passthrough"},
        ],
        "rules": [
            {"id": "r", "when": "(node-id (id b)) (k (typed ?k&:(< ?k %d)))" % rng.randint(0, 6),
             "then": [{"kind": "goto", "target": "a"}]},
            {"id": "h", "when": {"node": "a", "n": rng.randint(0, 4)}, "then": [{"kind": "halt", "reason": "inside"}]},
        ],
    }


def checkpoints(d, state_dir, run_id, steps):
    """All of them as one text (of an endless run some), without what names the run and the moment."""
    text = ""
    for which in [[]] if steps < 300 else [["--step", str(s)] for s in (0, 1, steps // 2, steps - 1)]:
        p = command(d, "inspect", run_id, "--json", "--state-dir", state_dir, *which)
        assert p.returncode == 0, p.stderr
        text += p.stdout.replace(run_id, "RUN")
    return re.sub(r"\d{4}-\d\d-\d\dT[0-9:.]+Z", "TIME", text)


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
            g = with_more(rng, random_graph(rng))
            pathlib.Path(d, "inner.yaml").write_text(json.dumps(shuffled(rng, inner_graph(random.Random(3)))))
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
            g = random_graph(rng)
            if k % 4:
                g = with_more(rng, g)
            pathlib.Path(d, "g.yaml").write_text(json.dumps(g))
            pathlib.Path(d, "inner.yaml").write_text(json.dumps(inner_graph(rng)))
            told = []
            for i in (0, 1):
                p = command(d, "run", "g.yaml", "-i", f"s=pass{k % 2}", "--summary-json", "--state-dir", f"s{i}")
                assert p.returncode in (0, 1), p.stderr
                summary = json.loads(p.stdout.splitlines()[-1])
                assert summary["status"] in ("done", "failed")
                assert summary["status"] == "done" or summary["error_class"] in FAILURES, (summary, g)
                steps = checkpoints(d, f"s{i}", summary.pop("run_id"), summary["steps"])
                told.append((summary, steps))
            assert told[0] == told[1], g
