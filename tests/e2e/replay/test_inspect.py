"""`stargraph inspect` and `compile --draw`: the timeline, one step, two steps, and drawings in which nothing lies on
anything else."""
import json
import random
import xml.etree.ElementTree as ET

import jsonpatch
import pytest
from core import binary
from evidence import stargraph
from terminal import on_terminal

GRAPH = """ir_version: "1.0.0"
id: "run:loop"
state_schema: {n: int, message: str, a: str, b: str}
nodes:
  - {id: count, kind: set, config: {clips: {n: "(+ ?n 1)"}}}
  - {id: x, kind: template, config: {template: "x{message}", out: a}}
  - {id: y, kind: template, config: {template: "y{message}", out: b}}
  - {id: inner, kind: subgraph, spec: sub.yaml}
  - {id: gate, kind: interrupt, config: {prompt: "Sure <&>?"}}
  - {id: end, kind: halt}
parallel:
  - {targets: [x, y], join: inner}
rules:
  - {id: again, when: "(node-id (id count)) (n (typed ?n&:(< ?n 3)))", then: [{kind: retry, target: count}]}
  - {id: odd, when: "(node-id (id inner)) (message (value \\"skip\\"))", then: [{kind: goto, target: end}]}
"""
SUB = """ir_version: "1.0.0"
id: "run:sub"
state_schema: {message: str}
nodes:
  - {id: one, kind: passthrough}
  - {id: two, kind: halt}
rules: []
"""
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def site(tmp_path):
    (tmp_path / "loop.yaml").write_text(GRAPH)
    (tmp_path / "sub.yaml").write_text(SUB)
    return tmp_path


def run(site, **inputs):
    given = [x for k, v in inputs.items() for x in ("-i", f"{k}={v}")]
    r = stargraph("run", site / "loop.yaml", *given, "--non-interactive", "--summary-json", "--state-dir", site / "state")
    assert r.returncode in (0, 3), r
    return json.loads(r.stdout)


def inspect(site, *args, code=0):
    r = stargraph("inspect", *args, "--state-dir", site / "state")
    assert r.returncode == code, r
    return r.stdout


def test_the_timeline_and_one_step(site):
    done = run(site, message="hi")
    lines = inspect(site, done["run_id"]).splitlines()
    assert lines[0].split()[:3] == [done["run_id"], "run:loop", "awaiting-input"]
    assert lines[1].split() == ["STEP", "TIME", "NODE", "NEXT", "CHANGED"]
    nodes = [line.split()[2] for line in lines[2:]]
    assert nodes == ["count"] * 3 + ["x", "y", "inner/one", "inner/two", "inner", "gate"]
    assert "retry count" in lines[3] and "n = 2" in lines[3], lines[3]
    at = {line.index("count") for line in lines[2:5]}
    assert len(at) == 1, "the columns are not in line"
    step = inspect(site, done["run_id"], "--step", 1)
    assert json.loads(step)["n"] == 2
    table = on_terminal([binary(), "inspect", done["run_id"], "--step", 1, "--state-dir", site / "state"], "stdin", "stdout").decode()
    assert "FIELD" in table and "message  \"hi\"" in table and "(node-id (id count))" in table, table
    full = json.loads(inspect(site, done["run_id"], "--step", 1, "--json"))
    assert len(full) == 13 and full["state"]["n"] == 2


def test_two_steps(site):
    done = run(site, message="hi")
    text = inspect(site, done["run_id"], "--diff", 0, 2).splitlines()
    assert '~ n = 3' in text and '- (n (value "1") (typed 1))' in text and '+ (n (value "3") (typed 3))' in text, text
    assert not [t for t in text if "message" in t], "the same fact of another step is no difference"
    diff = json.loads(inspect(site, done["run_id"], "--diff", 0, 2, "--json"))
    states = [json.loads(inspect(site, done["run_id"], "--step", n)) for n in (0, 2)]
    assert jsonpatch.apply_patch(states[0], diff["state"]) == states[1]
    inspect(site, done["run_id"], "--diff", 0, 99, code=2)


def boxes(group):
    """The rectangles of nodes and labels of one graph, in its own units."""
    out = []
    for e in group:
        if e.tag == SVG + "rect":
            out.append(tuple(float(e.get(k)) for k in ("x", "y", "width", "height")))
    return out


def check_drawing(svg):
    root = ET.fromstring(svg)
    width = float(root.get("width"))
    groups = list(root.iter(SVG + "g"))
    assert groups
    for g in groups:
        all_boxes = boxes(g)
        for i, (x, y, w, h) in enumerate(all_boxes):
            assert x >= 0 and y >= 0 and x + w <= width, (x, y, w, h)
            for x2, y2, w2, h2 in all_boxes[i + 1:]:
                apart = x + w <= x2 or x2 + w2 <= x or y + h <= y2 or y2 + h2 <= y
                assert apart, ((x, y, w, h), (x2, y2, w2, h2))
    return root


def test_the_graph_and_the_path_are_drawn(site):
    waits = run(site, message="hi")
    out = site / "waits.svg"
    assert inspect(site, waits["run_id"], "--draw", "svg", "-o", out) == ""
    root = check_drawing(out.read_text())
    texts = [t.text for t in root.iter(SVG + "text")]
    for want in "count", "inner", "one", "gate", "again", "odd", "set · step 0, 1, 2", "interrupt · step 8":
        assert want in texts, (want, texts)
    taken = [p for p in root.iter(SVG + "path") if p.get("marker-end") == "url(#taken)"]
    # into count and into one; the loop; to both branches, from both; one to two; inner to gate
    assert len(taken) == 2 + 1 + 2 + 2 + 1 + 1, len(taken)
    assert 'stroke="#b7791f"' in out.read_text(), "the node it waits at"
    text = inspect(site, waits["run_id"], "--draw", "text")
    assert "  └━▶ count  ↑  retry  [again]  ×2\n" in text and "◉ gate  interrupt  step 8  awaiting-input\n" in text, text
    assert "─▷ end  [odd]\n" in text and "    ● one  passthrough  step 5\n" in text, text
    (site / "a.json").write_text("{}")
    r = stargraph("respond", waits["run_id"], "--response", site / "a.json", "--graph", site / "loop.yaml", "--state-dir", site / "state")
    assert r.returncode == 0, r
    assert 'stroke="#0f7b3f"' in inspect(site, waits["run_id"], "--draw", "svg")
    alone = stargraph("compile", site / "loop.yaml", "--draw", "svg")
    assert alone.returncode == 0 and "url(#taken)" not in alone.stdout.split("</defs>")[1], alone
    check_drawing(alone.stdout)
    for args in (("--draw", "png"), ("-o", out)):
        assert stargraph("compile", site / "loop.yaml", *args).returncode == 2
        inspect(site, waits["run_id"], *args, code=2)


def test_a_forks_path_begins_with_its_parents(site):
    done = run(site, message="hi")
    (site / "m.json").write_text('{"state_overrides": {"message": "skip"}}')
    r = stargraph("counterfactual", done["run_id"], "--step", 7, "--mutation", site / "m.json", "--json", "--state-dir", site / "state")
    assert r.returncode == 0, r
    text = inspect(site, json.loads(r.stdout)["run_id"], "--draw", "text")
    assert "● count  set  step 0, 1, 2\n" in text and "━▶ end  [odd]\n" in text, text


@pytest.mark.parametrize("seed", range(12))
def test_drawings_of_any_graph_have_no_overlaps(tmp_path, seed):
    r = random.Random(seed)
    n = r.randint(1, 40)
    names = [r.choice(["n", "check_", "a_rather_long_node_name_"]) + str(i) for i in range(n)]
    kinds = [r.choice(["passthrough", "passthrough", "halt", "echo"]) for _ in names]
    rules = []
    for i in range(r.randint(0, 2 * n)):
        action = r.choice([{"kind": "goto", "target": r.choice(names)}, {"kind": "retry", "target": r.choice(names)},
                           {"kind": "halt", "reason": "r" * r.randint(0, 60)}, {"kind": "interrupt", "prompt": "p"}])
        ruled = [a for a, k in zip(names, kinds) if k != "halt"]
        when = {"node": r.choice(ruled)} if ruled and r.random() < .9 else '(initial-fact) (message (value "x"))'
        rules.append({"id": f"rule-{i}" + "x" * r.randint(0, 20), "when": when, "then": [action]})
    graph = {"ir_version": "1.0.0", "id": f"run:random-{seed}", "state_schema": {"message": "str"}, "rules": rules,
             "nodes": [{"id": a, "kind": b} for a, b in zip(names, kinds)]}
    path = tmp_path / "g.yaml"
    path.write_text(json.dumps(graph))
    for form in "svg", "text":
        drawn = stargraph("compile", path, "--draw", form)
        assert drawn.returncode == 0, drawn
        if form == "svg":
            check_drawing(drawn.stdout)
        assert all(name in drawn.stdout for name in names)
