"""Rule packs mounted by a graph's governance: they decide with the graph's rules, are part of its
hash, and stop the start when anything about them is wrong."""

import json
import os
import pathlib
import subprocess
import tempfile

import pytest

TOP = pathlib.Path(__file__).parents[3]
STARGRAPH = pathlib.Path(os.environ.get("SG_BUILD", TOP / "build")).resolve() / "core" / "stargraph"

MANIFEST = 'id: no-pay\nversion: "1.0"\nrequires: {stargraph_facts_version: "1.0", api_version: "1"}\n'
RULES = """; no payment above 100 without a person
(defrule veto
  (stargraph_action (kind goto) (target "pay"))
  (amount (typed ?a&:(> ?a 100)))
  =>
  (assert (bosun.violation (kind "too-much") (severity "halt") (reason (str-cat ?a " is too much")))))
"""
GRAPH = """ir_version: "1.0.0"
id: "graph:pay"
state_schema: {amount: int}
nodes: [{id: look, kind: passthrough}, {id: pay, kind: halt}]
governance: [{id: no-pay, version: "1.0"}]
rules:
  - {id: r-pay, when: {node: look}, then: [{kind: goto, target: pay}]}
"""


def command(d, *args):
    return subprocess.run([STARGRAPH, *args], cwd=d, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)


@pytest.fixture
def place():
    with tempfile.TemporaryDirectory() as d:
        assert command(d, "pack", "keygen", "--key-id", "mine", "--out", d).returncode == 0
        pathlib.Path(d, "g.yaml").write_text(GRAPH)
        yield pathlib.Path(d)


def signed_pack(place, name="no-pay", rules=RULES, manifest=MANIFEST):
    pack = place / name
    pack.mkdir(exist_ok=True)
    (pack / "manifest.yaml").write_text(manifest)
    (pack / "rules.clp").write_text(rules)
    p = command(place, "pack", "sign", name, "--key", "mine.key.pem", "--key-id", "mine")
    assert p.returncode == 0, p.stderr
    return pack


def run(place, amount, *more):
    return command(place, "run", "g.yaml", "-i", f"amount={amount}", "--summary-json", *more)


def summary(p):
    assert p.returncode == 0, p.stderr
    return json.loads(p.stdout)


def test_a_pack_decides_with_the_graph(place):
    signed_pack(place)
    assert summary(run(place, 50, "--pack", "no-pay"))["path"] == ["look", "pay"]
    stopped = summary(run(place, 500, "--pack", "no-pay"))
    assert stopped["path"] == ["look"]
    assert stopped["reason"] == "500 is too much"


def test_a_mount_must_be_installed(place):
    p = run(place, 50)
    assert p.returncode == 2
    assert 'g.yaml:5:14: pack "no-pay" is not installed here' in p.stderr
    signed_pack(place, "other", manifest=MANIFEST.replace("no-pay", "no-play"))
    p = run(place, 50, "--pack", "other")
    assert p.returncode == 2 and 'did you mean "no-play"' in p.stderr


def test_another_version_is_refused(place):
    signed_pack(place, manifest=MANIFEST.replace('version: "1.0"', 'version: "2.0"', 1))
    p = run(place, 50, "--pack", "no-pay")
    assert p.returncode == 2 and "installed is 2.0" in p.stderr


def test_a_touched_pack_is_refused(place):
    pack = signed_pack(place)
    (pack / "rules.clp").write_text(RULES + "; one byte more\n")
    p = run(place, 50, "--pack", "no-pay")
    assert p.returncode == 2 and "pack signature verification failed" in p.stderr


@pytest.mark.parametrize(
    "rules,says",
    [
        ("(defrule veto\n  (amont (typed ?a))\n  => )", 'rules.clp:2: rule veto: no fact is called "amont"; did you mean "amount"?'),
        ('(defrule veto (amount) => (system "id"))', 'rules.clp:1: rule veto: rules may not call "system"'),
        ("(deffunction f () 1)", 'rules.clp:1: "deffunction" is not allowed in a rule pack'),
        ("(defrule veto (amount (typed ?a&:(str-index \"x\" ?a))) => )", "rules.clp:1: rule veto:"),
        ("(defrule veto (amount)", "not closed"),
    ],
)
def test_a_broken_pack_names_file_and_rule(place, rules, says):
    signed_pack(place, rules=rules)
    p = run(place, 50, "--pack", "no-pay")
    assert p.returncode == 2
    assert says in p.stderr
    assert len(p.stderr.splitlines()) == 1


def test_two_packs_share_a_fact(place):
    signed_pack(place)
    signed_pack(
        place,
        "second",
        manifest=MANIFEST.replace("no-pay", "second"),
        rules="(deftemplate bosun.violation (slot kind) (slot severity) (slot run_id) (slot reason))\n"
        '(defrule small (amount (typed ?a&:(< ?a 1))) => (assert (bosun.violation (kind "small") (severity "halt") (reason "nothing to pay"))))',
    )
    pathlib.Path(place, "g.yaml").write_text(GRAPH.replace("[{id: no-pay", "[{id: second}, {id: no-pay"))
    both = ("--pack", "no-pay", "--pack", "second")
    assert summary(run(place, 0, *both))["reason"] == "nothing to pay"
    assert summary(run(place, 500, *both))["reason"] == "500 is too much"
    assert summary(run(place, 50, *both))["path"] == ["look", "pay"]


def test_compile_simulate_and_inspect_see_the_packs(place):
    signed_pack(place)
    (place / "f.yaml").write_text("look: {amount: 500}\npay: {}\n")
    for verb in (("compile",), ("simulate", "--fixtures", "f.yaml"), ("run", "--inspect")):
        p = command(place, verb[0], "g.yaml", *verb[1:])
        assert p.returncode == 2 and 'g.yaml:5:14: pack "no-pay" is not installed here' in p.stderr, p
    first = command(place, "compile", "g.yaml", "--pack", "no-pay").stdout.splitlines()[0]
    p = command(place, "run", "g.yaml", "--pack", "no-pay", "-i", "amount=500", "--summary-json")
    run = json.loads(p.stdout)
    assert run["reason"] == "500 is too much"
    steps = json.loads(command(place, "inspect", run["run_id"], "--json").stdout)
    assert first == f"# graph_hash: {steps[0]['graph_hash']}"
    for args in (("simulate", "g.yaml", "--fixtures", "f.yaml"), ("run", "g.yaml", "--inspect", "-i", "amount=500")):
        p = command(place, *args, "--pack", "no-pay")
        assert p.returncode == 0, p.stderr
        assert "  rule=no-pay/veto fired=True" in p.stdout and 'end="halted: 500 is too much"' in p.stdout
    p = command(place, "run", "g.yaml", "--inspect", "--pack", "no-pay")
    assert "path=[look,pay]" in p.stdout
    assert sorted(f.name for f in place.iterdir() if f.is_dir()) == [".stargraph", "no-pay"]


def test_a_pack_inside_a_subgraph_is_part_of_the_hash(place):
    signed_pack(place)
    (place / "outer.yaml").write_text(
        'ir_version: "1.0.0"\nid: "graph:outer"\nstate_schema: {amount: int}\n'
        "nodes: [{id: sub, kind: subgraph, spec: g.yaml}]\n")
    first = command(place, "compile", "outer.yaml", "--pack", "no-pay").stdout.splitlines()[0]
    p = command(place, "run", "outer.yaml", "--pack", "no-pay", "-i", "amount=500", "--summary-json")
    assert json.loads(p.stdout)["path"] == ["sub/look", "sub"]
    signed_pack(place, rules=RULES + "; changed\n")
    assert command(place, "compile", "outer.yaml", "--pack", "no-pay").stdout.splitlines()[0] != first
