"""Random graphs × random mutations: a fork leaves its parent as it was byte for byte, two equal forks are equal, and
each replays to the same. A seeded slice here; SG_LONG=1 (tests/run --long) runs many more."""
import json
import os
import random

import pytest
from core import Core
from evidence import stargraph

LONG = os.environ.get("SG_LONG", "0") not in ("", "0")
GRAPHS, FORKS = (400, 6) if LONG else (24, 4)
FIELDS = {"n": "int", "m": "int", "message": "str", "out": "str", "flag": "bool", "items": "list"}


class Maker:
    def __init__(self, seed):
        self.r = random.Random(seed)

    def value(self, field):
        kind = FIELDS[field]
        if kind == "int":
            return self.r.randint(-5, 12)
        if kind == "str":
            return self.r.choice(["", "a", "b", "ü\"(\\", "x" * 40])
        return self.r.random() < .5 if kind == "bool" else [self.r.randint(0, 3) for _ in range(self.r.randint(0, 3))]

    def node(self, i, inner):
        r, name = self.r, f"n{i}"
        kind = r.choice(["passthrough", "echo", "template", "set", "interrupt", "subgraph"])
        if kind == "template":
            return {"id": name, "kind": kind, "config": {"template": r.choice(["{n} {message}", "x", "{m}{out}"]), "out": "out"}}
        if kind == "set":
            return {"id": name, "kind": kind, "config": {"clips": {"m": r.choice(["(+ ?n 1)", "(* ?m 2)", "(- ?n ?m)"])}}}
        if kind == "interrupt":
            return {"id": name, "kind": kind, "config": {"prompt": f"{name}?"}}
        if kind == "subgraph" and inner:
            return {"id": name, "kind": kind, "spec": inner}
        return {"id": name, "kind": "passthrough" if kind == "subgraph" else kind}

    def rule(self, i, names):
        """Only forward, so that every run ends."""
        r = self.r
        at = r.randrange(len(names))
        test = r.choice(['(n (typed ?n&:(> ?n 3)))', '(m (typed ?m&:(< ?m 2)))', '(message (value "a"))',
                         '(mark (of "a"))', '(not (mark (of "b")))', '(flag (typed TRUE))', ""])
        later = names[at + 1:]
        actions = [{"kind": "assert", "fact": "mark", "slots": '{"of": "' + r.choice("ab") + '"}'},
                   {"kind": "retract", "pattern": '(mark (of "a"))'}]
        if later:
            actions += [{"kind": "goto", "target": r.choice(later)}] * 4
        actions += [{"kind": "halt", "reason": f"r{i}"}]
        return {"id": f"r{i}", "when": f"(node-id (id {names[at]})) {test}".strip(), "then": [r.choice(actions)]}

    def graph(self, name, inner=None):
        r = self.r
        nodes = [self.node(i, inner) for i in range(r.randint(2, 7))] + [{"id": "end", "kind": "halt"}]
        names = [n["id"] for n in nodes[:-1]]
        graph = {"ir_version": "1.0.0", "id": name, "state_schema": FIELDS, "nodes": nodes,
                 "rules": [self.rule(i, names) for i in range(r.randint(0, 6))]
                 + [{"id": "keep", "when": f'(node-id (id {names[0]})) (message (value "never"))', "then": [
                     {"kind": "assert", "fact": "mark", "slots": '{"of": "a"}'}]}]}
        plain = [n["id"] for n in nodes if n["kind"] in ("passthrough", "echo")]
        if len(plain) > 2 and r.random() < .3:
            first = names.index(plain[0])
            if names[first:first + 2] == plain[:2] and first + 2 < len(nodes):
                graph["parallel"] = [{"targets": plain[:2], "join": nodes[first + 2]["id"]}]
        return graph

    def mutation(self, graph, step):
        r, m = self.r, {}
        some = lambda: r.sample(sorted(FIELDS), r.randint(1, 2))
        if r.random() < .5:
            m["state_overrides"] = {f: self.value(f) for f in some()}
        if r.random() < .4:
            m["facts_assert"] = [{"template": "mark", "slots": {"of": r.choice("abc")}}]
        if r.random() < .3:
            m["facts_retract"] = [{"template": "mark", "slots": {"of": "a"}}]
        if r.random() < .3:
            node = r.choice([n["id"] for n in graph["nodes"] if n["kind"] not in ("interrupt", "halt")] or ["end"])
            m["node_output_overrides"] = {node: {f: self.value(f) for f in some()}}
        if r.random() < .3:
            m["respond_payloads"] = {str(r.randint(0, step + 2)): {"message": self.value("message")}}
        return m


def check(site, make, graph, name):
    run = site.run(name, {f: make.value(f) for f in FIELDS})
    while run["status"] == "awaiting-input":
        answer = {"response": {"message": make.value("message")}}
        assert site.post(f"/v1/runs/{run['run_id']}/respond", answer, headers={"Prefer": "wait=20"}).status == 200
        run = site.get(f"/v1/runs/{run['run_id']}").json()
    parent, rows = run["run_id"], site.rows(run["run_id"])
    assert site.replay(parent)["identical"], parent
    made = 0
    for _ in range(FORKS):
        if not run["steps"]:
            break
        step = make.r.randrange(run["steps"])
        body = {"step": step, "mutation": make.mutation(graph, step), "inherit_answers": make.r.random() < .5}
        pair = []
        for _ in range(2):
            r = site.post(f"/v1/runs/{parent}/counterfactual", body)
            assert r.status in (202, 422), (r, body)
            if r.status == 422:
                break
            pair.append((r.json(), site.settled(r.json()["run_id"])))
        if len(pair) < 2:
            continue
        made += 1
        (a, run_a), (b, run_b) = pair
        assert a["cf_hash"] == b["cf_hash"] and run_a["status"] == run_b["status"], (body, run_a, run_b)
        diff = site.get(f"/v1/runs/{a['run_id']}/diff/{b['run_id']}").json()
        assert diff["identical"], (body, diff["first"])
        one, two = (json.loads(site.rows(x["run_id"])) for x in (a, b))
        for x, y in zip(one, two, strict=True):
            same = ("step", "graph_hash", "state", "last_node", "next_action", "side_effects_hash", "timestamp")
            assert [x[k] for k in same] == [y[k] for k in same], (body, x, y)
            assert x["graph_hash"] == a["cf_hash"]
        for x in a, b:
            replay = site.replay(x["run_id"])
            assert replay["identical"], json.dumps([graph, body, replay, json.loads(rows)], indent=None)
        assert site.rows(parent) == rows, "the parent's rows changed"
    assert site.replay(parent)["identical"]
    return made


class Site(Core):
    def rows(self, run_id):
        r = stargraph("inspect", run_id, "--json", "--state-dir", self.state_dir)
        assert r.returncode == 0, r
        return r.stdout

    def replay(self, run_id):
        r = self.post(f"/v1/runs/{run_id}/replay")
        assert r.status == 200, r
        return r.json()

    def settled(self, run_id):
        run = {"status": "running"}
        while run["status"] in ("pending", "running"):
            run = self.get(f"/v1/runs/{run_id}").json()
        return run


def test_random_graphs_and_random_mutations(tmp_path):
    made, files = [], []
    inner = tmp_path / "inner.yaml"
    inner.write_text(json.dumps({
        "ir_version": "1.0.0", "id": "run:inner", "state_schema": {"message": "str", "out": "str"},
        "nodes": [{"id": "i1", "kind": "template", "config": {"template": "in {message}", "out": "out"}}, {"id": "i2", "kind": "halt"}],
        "rules": []}))
    for seed in range(GRAPHS):
        make = Maker(seed)
        graph = make.graph(f"run:random-{seed}", "inner.yaml")
        path = tmp_path / f"g{seed}.yaml"
        path.write_text(json.dumps(graph))
        r = stargraph("compile", path)
        assert r.returncode == 0, (seed, r.stderr, graph)
        made.append((make, graph))
        files.append(path)
    forks = 0
    with Site(tmp_path / "core", graphs=files, limits={"forks_per_minute": 60000}) as site:
        for seed, (make, graph) in enumerate(made):
            forks += check(site, make, graph, f"run:random-{seed}")
    assert forks > GRAPHS, forks
    print(f"{GRAPHS} graphs, {forks} pairs of forks")


if __name__ == "__main__":
    raise SystemExit(pytest.main([__file__, "-q", "-s"]))
