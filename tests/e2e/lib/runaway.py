"""Graphs that run away, each in its own manner, and one that does not: for tests and the bench."""
import subprocess

from core import Core, binary

HEAD = 'ir_version: "1.0.0"\n'
MARKS = 300

GRAPHS = {
    "short": HEAD + """id: "run:short"
state_schema: {n: int}
nodes: [{id: a, kind: set, config: {clips: {n: "(+ ?n 1)"}}}, {id: b, kind: halt}]
""",
    "loop": HEAD + """id: "run:loop"
state_schema: {n: int}
nodes: [{id: a, kind: set, config: {clips: {n: "(mod (+ ?n 1) 1000)"}}}]
rules: [{id: r, when: {node: a}, then: [{kind: goto, target: a}]}]
""",
    # Carries a fact more at each step; then looks at all pairs of them, with work in each.
    "join": HEAD + """id: "run:join"
state_schema: {n: int, big: str}
nodes:
  - {id: more, kind: set, config: {clips: {n: "(+ ?n 1)"}}}
  - {id: go, kind: passthrough}
rules:
  - {id: mark, when: "(node-id (id more)) (n (typed ?n&:(< ?n %d)))",
     then: [{kind: assert, fact: mark, slots: {n: "{n}"}}, {kind: goto, target: more}]}
  - {id: bomb, when: "(node-id (id go)) (big (value ?v)) (mark (n ?a)) (mark (n ?b&:(eq (upcase ?v) ?b)))",
     then: [{kind: halt}]}
""" % MARKS,
    "explode": HEAD + """id: "run:explode"
state_schema: {n: int}
nodes: [{id: more, kind: set, config: {clips: {n: "(+ ?n 1)"}}}]
rules:
  - {id: mark, when: {node: more}, then: [{kind: assert, fact: mark, slots: {n: "{n}"}}, {kind: goto, target: more}]}
  - {id: bomb, when: "(mark (n ?a)) (mark (n ?b)) (mark (n ?c)) (mark (n ?d)) (test (= ?a ?b ?c ?d 0.5))", then: [{kind: halt, reason: "x"}]}
""",
    "rule": HEAD + """id: "run:rule"
state_schema: {n: int}
nodes: [{id: a, kind: passthrough}]
governance: [{id: endless}]
""",
}
PACK = """(deftemplate counted (slot n))
(defrule begin (node-id (id ?x)) => (assert (counted (n 0))))
(defrule on ?f <- (counted (n ?n)) => (modify ?f (n (+ ?n 1))))
"""
# By which name each ends.
NAMES = {"loop": {"step-limit"}, "join": {"rule-timeout"}, "explode": {"rule-explosion"},
         "rule": {"rule-timeout", "rule-firings"}}


def params(graph):
    return {"big": "v" * 50000} if graph == "join" else {}


def site(directory):
    """A core with all of them and the pack of one, not started yet."""
    (directory / "graphs").mkdir()
    for name, text in GRAPHS.items():
        (directory / "graphs" / f"{name}.yaml").write_text(text)
    pack = directory / "packs" / "endless"
    pack.mkdir(parents=True)
    (pack / "manifest.yaml").write_text('id: endless\nversion: "1.0"\n')
    (pack / "rules.clp").write_text(PACK)
    for args in (["keygen", "--out", directory, "--key-id", "k"],
                 ["sign", pack, "--key", directory / "k.key.pem", "--key-id", "k"]):
        subprocess.run([binary(), "pack", *args], check=True, capture_output=True)
    core = Core(directory / "core", graphs=[directory / "graphs"])
    with open(core.config, "a") as f:
        f.write(f'\n[packs]\ndirectories = ["{directory / "packs"}"]\n')
    return core
