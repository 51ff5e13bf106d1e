"""Every graph that the Python original ships (examples, bundles, skills, demos, fixtures, tutorials),
in our own restatement: either it runs here with the path and final state that the original has, or
it is refused at load for the one reason given.

`stargraph run` of 0.8.0 was observed for hello, pipeline, sample-graph, phase3, phase4, cyclic and
std-tool (2026-11-24; Fathom 0.13, CLIPS 6.4); for the other rows the path and state come from reading
its source and documentation. There `(initial-fact)`
never matches, so the original walks on in file order; here the rule fires, and leads to the same node.
"""

from dataclasses import dataclass, field


@dataclass
class Case:
    origin: str  # its place in the original's checkout
    graph: str
    inputs: dict = field(default_factory=dict)
    answers: tuple = ()  # typed at the terminal, one line each
    path: tuple = ()
    state: dict = field(default_factory=dict)
    reason: str | None = None  # of the halt; None: ran off the end
    status: str = "done"
    refused: str = ""  # part of the message, for graphs that cannot run here
    why: str = ""  # the one reason, for the table
    note: str = ""
    files: dict = field(default_factory=dict)  # beside the graph, by name
    flags: tuple = ()  # of stargraph run
    volatile: tuple = ()  # state fields that hold times and ids
    model: tuple = ()  # what the language model answers, in turn
    before: tuple = ()  # commands


HEAD = 'ir_version: "1.0.0"\nid: "run:restated"\n'
MESSAGE = "state_schema: {message: str}\n"
CLASS = "Python class"
WEB = "tools that search the web"


def linear(*nodes):
    """Nodes in a row; the first rule on (initial-fact), the last node halts."""
    text = "nodes:\n" + "".join(f"  - {{id: {n}, kind: {k}}}\n" for n, k in nodes) + "rules:\n"
    for i, (n, _) in enumerate(nodes):
        when = '"(initial-fact)"' if i == 0 else f'"?n <- (node-id (id {n}))"'
        then = (
            f"{{kind: goto, target: {nodes[i + 1][0]}}}"
            if i + 1 < len(nodes)
            else f'{{kind: halt, reason: "reached {n}"}}'
        )
        text += f"  - id: r-{i}\n    when: {when}\n    then: [{then}]\n"
    return text


def python_class(origin, state="m.state:State", node="m.nodes:Work", note=""):
    graph = HEAD
    if state:
        graph += f'state_class: "{state}"\n'
    graph += f'nodes: [{{id: work, kind: "{node}"}}]\n'
    refused = "state_class names a Python class" if state else "is a Python class"
    return Case(origin, graph, refused=refused, why=CLASS, note=note)


RUN = [
    Case(
        "examples/hello.yaml",
        HEAD + MESSAGE + linear(("node_a", "echo"), ("node_b", "halt")),
        {"message": "hi"},
        path=("node_a", "node_b"),
        state={"message": "hi"},
        reason="reached node_b",
    ),
    Case(
        "examples/pipeline.yaml",
        HEAD + MESSAGE + linear(("node_a", "echo"), ("node_b", "echo"), ("node_c", "halt")),
        {"message": "hi"},
        path=("node_a", "node_b", "node_c"),
        state={"message": "hi"},
        reason="reached node_c",
    ),
    Case(
        "tests/fixtures/sample-graph.yaml",
        HEAD + MESSAGE + linear(("node_a", "echo"), ("node_b", "halt")),
        {"message": "x y"},
        path=("node_a", "node_b"),
        state={"message": "x y"},
        reason="reached node_b",
    ),
    Case(
        "tests/fixtures/100-node-ir.yaml",
        HEAD
        + MESSAGE
        + linear(*[(f"node_{i:03d}", "echo") for i in range(100)]),
        {"message": "m"},
        path=tuple(f"node_{i:03d}" for i in range(100)),
        state={"message": "m"},
        reason="reached node_099",
        note="the original's has no state field and its echo copies nothing",
    ),
    Case(
        "tests/fixtures/cli/hitl-graph.yaml",
        HEAD
        + "nodes: [{id: pre, kind: echo}, {id: post, kind: echo}]\n"
        + "state_schema: {message: str, reply: str}\n"
        + "rules:\n  - id: ask-after-pre\n    when: \"?n <- (node-id (id pre))\"\n    then:\n"
        + "      - {kind: interrupt, prompt: \"What should I reply?\", interrupt_payload: {example: 1}}\n"
        + "      - {kind: goto, target: post}\n",
        {"message": "m"},
        answers=("blue",),
        path=("pre", "post"),
        state={"message": "m", "reply": ""},
        note="the goto beside the interrupt is followed; the original drops it and walks on",
    ),
    Case(
        "docs/how-to/authoring-format.md (routes)",
        "id: bot\nstate: {question: str, verdict: {type: str, route: true, default: pass}}\n"
        + "nodes: {brief: {kind: passthrough}, judge: {kind: passthrough}}\n"
        + "routes: {judge: {fail: brief, pass: done}}\n",
        {"question": "q"},
        path=("brief", "judge"),
        state={"question": "q", "verdict": "pass"},
        reason="judge complete",
    ),
    Case(
        "tests/unit/test_authoring_compiler.py (unconditional routes)",
        "id: bot\nstate: {question: str}\n"
        + "nodes: {work: {kind: passthrough}, judge: {kind: passthrough}}\n"
        + "routes: {work: judge, judge: done}\n",
        path=("work", "judge"),
        state={"question": ""},
        reason="judge complete",
    ),
    Case(
        "tests/unit/test_when_sugar.py (mapping with a field)",
        HEAD
        + "state_schema: {phase_verdict: {type: str, default: sufficient}}\n"
        + "nodes: [{id: work, kind: passthrough}, {id: skipped, kind: passthrough}, {id: finish, kind: halt}]\n"
        + "rules:\n"
        + "  - {id: r-refine, when: {node: work, phase_verdict: refine}, then: [{kind: goto, target: work}]}\n"
        + "  - {id: r-sufficient, when: {node: work, phase_verdict: sufficient}, then: [{kind: goto, target: finish}]}\n",
        path=("work", "finish"),
        state={"phase_verdict": "sufficient"},
        reason="reached finish",
        note="the routing of cyclic-graph.yaml without its Python nodes",
    ),
    Case(
        "docs/tutorials/first-graph.md",
        HEAD + MESSAGE + linear(("node_a", "echo"), ("node_b", "halt")),
        {"message": "hello"},
        path=("node_a", "node_b"),
        state={"message": "hello"},
        reason="reached node_b",
        note="its state_class written as state_schema",
    ),
    Case(
        "docs/tutorials/fathom-rules.md (the when shortcut)",
        HEAD
        + "state_schema: {message: str, risk_class: {type: str, default: low}}\n"
        + "nodes: [{id: node_a, kind: echo}, {id: node_review, kind: halt}, {id: node_ship, kind: halt}]\n"
        + "rules:\n"
        + "  - {id: r-high, when: {node: node_a, risk_class: high}, then: [{kind: goto, target: node_review}]}\n"
        + "  - {id: r-low, when: {node: node_a, risk_class: low}, then: [{kind: goto, target: node_ship}]}\n"
        + "  - {id: r-halt-ship, when: {node: node_ship}, then: [{kind: halt, reason: shipped}]}\n",
        {"message": "hello", "risk_class": "low"},
        path=("node_a", "node_ship"),
        state={"message": "hello", "risk_class": "low"},
        reason="shipped",
        note="its state_class written as state_schema, its pack's rules written inline",
    ),
]

BRANCHES = (
    "nodes:\n  - {id: node_a, kind: echo}\n"
    + "  - {id: node_b, kind: template, config: {template: \"L {message}{right}\", out: left}}\n"
    + "  - {id: node_c, kind: template, config: {template: \"R {message}{left}\", out: right}}\n"
    + "  - {id: node_d, kind: halt}\n"
    + "state_schema: {message: str, left: str, right: str}\n"
)
RUN += [
    Case(
        "tests/fixtures/sample-graph-phase3.yaml",
        HEAD
        + "nodes: [{id: node_a, kind: echo}, {id: node_b, kind: echo}, {id: node_c, kind: echo}, {id: node_d, kind: halt}]\n"
        + MESSAGE
        + "parallel: [{targets: [node_b, node_c], join: node_d, strategy: all}]\n"
        + "rules:\n  - {id: r-fanout, when: \"(initial-fact)\", then: [{kind: parallel, targets: [node_b, node_c], join: node_d, strategy: all}]}\n"
        + "  - {id: r-join, when: \"?n <- (node-id (id node_d))\", then: [{kind: halt, reason: joined}]}\n",
        {"message": "m"},
        path=("node_a", "node_b", "node_c", "node_d"),
        state={"message": "m"},
        reason="joined",
    ),
    Case(
        "docs/reference/ir-schema.md (a parallel block)",
        HEAD + BRANCHES + "parallel: [{targets: [node_b, node_c], join: node_d}]\n",
        {"message": "m"},
        path=("node_a", "node_b", "node_c", "node_d"),
        state={"message": "m", "left": "L m", "right": "R m"},
        reason="reached node_d",
        note="both branches see the state before the block; the original keeps only the last branch's writes",
    ),
    Case(
        "docs/reference/ir-schema.md (strategy any)",
        HEAD + BRANCHES + "parallel: [{targets: [node_b, node_c], join: node_d, strategy: any}]\n",
        {"message": "m"},
        path=("node_a", "node_b", "node_d"),
        state={"message": "m", "left": "L m", "right": ""},
        reason="reached node_d",
        note="first in the order of the targets, so that equal runs are equal",
    ),
    Case(
        "docs/reference/ir-schema.md (parallel beside an interrupt)",
        HEAD
        + BRANCHES
        + "rules:\n  - id: ask\n    when: {node: node_a}\n    then:\n"
        + "      - {kind: interrupt, prompt: go}\n      - {kind: parallel, targets: [node_b, node_c], join: node_d}\n",
        {"message": "m"},
        answers=("yes",),
        path=("node_a", "node_b", "node_c", "node_d"),
        state={"message": "m", "left": "L m", "right": "R m"},
        reason="reached node_d",
    ),
    Case(
        "docs/reference/ir-schema.md (two branches write one field)",
        HEAD
        + BRANCHES.replace("out: right", "out: left")
        + "parallel: [{targets: [node_b, node_c], join: node_d}]\n",
        {"message": "m"},
        path=("node_a", "node_b"),
        state={"message": "m", "left": "", "right": ""},
        status="failed",
        note="fails with parallel-write-conflict; the original drops one of the two",
    ),
]

SMITHS = ("adapter", "graph", "ml", "node", "pack", "plugin", "skill", "store", "tool", "trigger")
ROUTE = "rounds: int, phase_verdict: {type: str, default: pending}, message: str"
CYCLIC = (
    f"state_schema: {{{ROUTE}}}\n"
    + """nodes:
  - id: work
    kind: set
    config: {clips: {rounds: "(+ ?rounds 1)", phase_verdict: "(if (>= (+ ?rounds 1) 2) then sufficient else refine)"}}
  - {id: finish, kind: template, config: {template: "finished after {rounds} rounds", out: message}}
rules:
"""
)
CYCLIC_TEXT = """  - {id: r-work-refine, when: '?n <- (node-id (id work)) (phase_verdict (value "refine"))', then: [{kind: goto, target: work}]}
  - {id: r-work-sufficient, when: '?n <- (node-id (id work)) (phase_verdict (value "sufficient"))', then: [{kind: goto, target: finish}]}
  - {id: r-finish-halt, when: "?n <- (node-id (id finish))", then: [{kind: halt, reason: "cyclic fixture complete"}]}
"""
CYCLIC_SUGAR = """  - {id: r-work-refine, when: {node: work, phase_verdict: refine}, then: [{kind: goto, target: work}]}
  - {id: r-work-sufficient, when: {node: work, phase_verdict: sufficient}, then: [{kind: goto, target: finish}]}
  - {id: r-finish-halt, when: {node: finish}, then: [{kind: halt, reason: "cyclic fixture complete"}]}
"""
CYCLED = {"rounds": 2, "phase_verdict": "sufficient", "message": "finished after 2 rounds"}
INSIDE = ("inner-loop/work", "inner-loop/work", "inner-loop/finish", "inner-loop")


def mounted(schema, config=""):
    return (
        HEAD
        + f"state_schema: {{{schema}}}\n"
        + f"nodes: [{{id: inner-loop, kind: subgraph, spec: cyclic-graph.yaml{config}}}]\n"
    )


def loop_case(what, schema, state, config="", note="", **more):
    """The original's tests of a routed subgraph, each over its cyclic graph."""
    return Case(
        f"tests/integration/test_subgraph_rule_routing.py ({what})",
        mounted(schema, config),
        files={"cyclic-graph.yaml": HEAD + CYCLIC + CYCLIC_TEXT},
        state=state,
        note=note,
        **more,
    )


RUN += [
    *[
        Case(
            f"tests/fixtures/{name}.yaml",
            HEAD + CYCLIC + rules,
            path=("work", "work", "finish"),
            state=CYCLED,
            reason="cyclic fixture complete",
            note="its two Python nodes written as set and template",
        )
        for name, rules in (("cyclic-graph", CYCLIC_TEXT), ("cyclic-graph-sugar", CYCLIC_SUGAR))
    ],
    loop_case("child rules loop then halt", ROUTE, CYCLED, path=INSIDE),
    loop_case(
        "projection maps rename fields",
        "loop_count: {type: int, default: 5}, summary: str",
        {"loop_count": 2, "summary": "finished after 2 rounds"},
        ", config: {inputs: {message: summary}, outputs: {summary: message, loop_count: rounds}}",
        path=INSIDE,
    ),
    loop_case("shared names only", "message: str", {"message": "finished after 2 rounds"}, path=INSIDE),
    loop_case(
        "max_steps exceeded",
        ROUTE,
        {"rounds": 1, "phase_verdict": "refine", "message": ""},
        ", config: {max_steps: 1}",
        path=("inner-loop/work",),
        status="failed",
        note="fails with subgraph-steps; the state shown is the inner graph's",
    ),
    Case(
        "docs/reference/nodes/subgraph.md (sequential)",
        HEAD
        + "state_schema: {task: str, draft: str, answer: str}\n"
        + "nodes: [{id: outer, kind: subgraph, spec: child.yaml}]\n",
        files={
            "child.yaml": HEAD
            + "nodes:\n  - {id: one, kind: template, config: {template: \"draft of {task}\", out: draft}}\n"
            + "  - {id: two, kind: template, config: {template: \"{draft}, done\", out: answer}}\n"
        },
        inputs={"task": "x"},
        path=("outer/one", "outer/two", "outer"),
        state={"task": "x", "draft": "draft of x", "answer": "draft of x, done"},
        note="a graph without a state_schema works on the outer one's",
    ),
    Case(
        "docs/reference/nodes/write-artifact.md",
        HEAD
        + "state_schema: {record_bytes: bytes, artifact_ref: dict}\n"
        + "nodes: [{id: write_record, kind: write_artifact, config: {content_field: record_bytes, name: r.json, "
        + "content_type: application/json, encoding: base64}}]\n",
        inputs={"record_bytes": "e30="},
        flags=("--allow-side-effects",),
        path=("write_record",),
        state={"record_bytes": "e30="},
        volatile=("artifact_ref",),
        note="in 0.8.0 the node always fails",
    ),
]

JUDGE_FAIL = {"rationale": "too short", "score": 0.25, "verdict": "Fail."}
JUDGE_PASS = {"rationale": "fine", "score": 1, "verdict": "pass"}
REASON = {"analysis": "think", "answer": "the answer"}
STUB = "{id: node_b, kind: llm, config: {prompt: '{message}', out: answer}}"


def stubbed(n, nodes):
    last = nodes[-1]
    text = linear(*[(x, "halt" if x == last else "echo") for x in nodes])
    return Case(
        f"tests/fixtures/sample-graph-phase{n}.yaml",
        HEAD
        + "state_schema: {message: str, answer: str}\n"
        + text.replace("{id: node_b, kind: echo}", STUB).replace(
            f'reason: "reached {last}"', f'reason: "Phase-{n} sample graph reached {last}"'
        ),
        {"message": "m"},
        model=("stub-answer",),
        path=nodes,
        state={"message": "m", "answer": "stub-answer"},
        reason=f"Phase-{n} sample graph reached {last}",
        note="its dspy stub written as llm",
    )


# Graphs that ask a language model: a stand-in on this host answers what `model` lists, in turn.
RUN += [
    Case(
        "examples/sglang-qa.yaml",
        "id: sglang-qa\nlm: {provider: sglang, model: m}\nstate: {question: str, answer: str}\n"
        + 'nodes: {ask: {kind: llm, prompt: "{question}", out: answer}}\nroutes: {ask: done}\n',
        {"question": "what routes a run?"},
        model=("rules",),
        path=("ask",),
        state={"question": "what routes a run?", "answer": "rules"},
        reason="ask complete",
        note="its dspy signature written as llm; the server is started by its operator",
    ),
    Case(
        "src/stargraph/bundles/evaluator_optimizer/graph.yaml",
        HEAD
        + "state_schema: {task: str, brief: str, answer: str, verdict: str, score: str, rationale: str}\n"
        + "nodes:\n"
        + '  - {id: brief, kind: template, config: {template: "{task}; {rationale}", out: brief}}\n'
        + "  - {id: draft, kind: reason, config: {input: brief}}\n"
        + "  - {id: evaluate, kind: judge, config: {input: answer, rubric: good}}\n"
        + "rules:\n"
        + "  - {id: f, when: {node: evaluate, verdict: fail}, then: [{kind: goto, target: brief}]}\n"
        + "  - {id: p, when: {node: evaluate, verdict: pass}, then: [{kind: halt, reason: accepted}]}\n",
        {"task": "t"},
        model=(REASON, JUDGE_FAIL, REASON, JUDGE_PASS),
        path=("brief", "draft", "evaluate") * 2,
        state={
            "task": "t", "brief": "t; too short", "answer": "the answer",
            "verdict": "pass", "score": "1.0", "rationale": "fine",
        },
        reason="accepted",
    ),
    Case(
        "src/stargraph/bundles/hitl_approval/graph.yaml",
        HEAD
        + "state_schema: {request: str, answer: str, rationale: str, approved_plan: str, decision: str}\n"
        + "nodes:\n"
        + "  - {id: propose, kind: reason, config: {input: request, instructions: Propose.}}\n"
        + '  - {id: approve, kind: interrupt, config: {prompt: "Approve?", interrupt_payload: {open_questions: '
        + "[{kind: required, slot: decision, prompt: 'yes or no'}]}}}\n"
        + '  - {id: apply, kind: template, config: {template: "APPROVED: {answer}", out: approved_plan}}\n',
        {"request": "r"},
        answers=("yes",),
        model=(REASON,),
        path=("propose", "approve", "apply"),
        state={"request": "r", "answer": "the answer", "rationale": "think",
               "approved_plan": "APPROVED: the answer", "decision": "yes"},
        note="the person's answer has a field of its own",
    ),
    Case(
        "src/stargraph/bundles/rag_qa/graph.yaml",
        HEAD
        + "state_schema: {question: str, brief: str, answer: str, citations: list, review_input: str,\n"
        + "  verdict: str, score: str, rationale: str}\n"
        + "nodes:\n"
        + '  - {id: brief, kind: template, config: {template: "{question} {rationale}", out: brief}}\n'
        + "  - {id: qa, kind: rag, config: {query: brief, stores: [docs]}}\n"
        + '  - {id: review-brief, kind: template, config: {template: "{answer} {citations}", out: review_input}}\n'
        + "  - {id: check, kind: judge, config: {input: review_input, rubric: good}}\n"
        + "rules:\n"
        + "  - {id: f, when: {node: check, verdict: fail}, then: [{kind: goto, target: brief}]}\n"
        + "  - {id: p, when: {node: check, verdict: pass}, then: [{kind: halt, reason: grounded}]}\n",
        {"question": "what routes"},
        before=(
            ("store", "create", "docs", "--provider", "document"),
            ("store", "add", "docs", "--id", "d1", "--text", "Rules: that is what routes a run."),
        ),
        model=(
            {"answer": "none", "citations": []}, JUDGE_FAIL,
            {"answer": "rules", "citations": ["d1"]}, JUDGE_PASS,
        ),
        path=("brief", "qa", "review-brief", "check") * 2,
        state={
            "question": "what routes", "brief": "what routes too short", "answer": "rules",
            "citations": ["d1"], "review_input": 'rules ["d1"]', "verdict": "pass", "score": "1.0",
            "rationale": "fine",
        },
        reason="grounded",
        note="its store is one of ours; citations are what the answer cites, not all that was found",
    ),
    Case(
        "src/stargraph/bundles/triage_router/graph.yaml",
        HEAD
        + "state_schema: {item: str, verdict: str, confidence: str, answer: str, rationale: str, summary: str}\n"
        + "nodes:\n"
        + "  - {id: classify, kind: classify, config: {input: item, labels: [urgent, routine, irrelevant]}}\n"
        + "  - {id: urgent-path, kind: reason, config: {input: item, instructions: Act.}}\n"
        + "  - {id: routine-path, kind: summarize, config: {input: item}}\n"
        + "rules:\n"
        + "  - {id: u, when: {node: classify, verdict: urgent}, then: [{kind: goto, target: urgent-path}]}\n"
        + "  - {id: r, when: {node: classify, verdict: routine}, then: [{kind: goto, target: routine-path}]}\n"
        + "  - {id: i, when: {node: classify, verdict: irrelevant}, then: [{kind: halt, reason: irrelevant}]}\n"
        + "  - {id: ud, when: {node: urgent-path}, then: [{kind: halt, reason: urgent}]}\n"
        + "  - {id: rd, when: {node: routine-path}, then: [{kind: halt, reason: routine}]}\n",
        {"item": "a disk is nearly full"},
        model=({"confidence": "0.75", "label": " Routine. "}, {"summary": "disk"}),
        path=("classify", "routine-path"),
        state={
            "item": "a disk is nearly full", "verdict": "routine", "confidence": "0.75",
            "answer": "", "rationale": "", "summary": "disk",
        },
        reason="routine",
    ),
    stubbed(4, ("node_a", "node_b", "node_c", "node_d")),
    stubbed(5, ("node_a", "node_b", "node_c", "node_d", "node_e", "node_f")),
]

CANNOT = [
    Case(
        "examples/research-bot.yaml",
        "id: r\nstate: {question: str, answer: str}\nnodes: {research: {kind: react, input: question, tools: [std.web_search]}}\n",
        refused='kind "react" belongs to the Python original',
        why=WEB,
        note="`stargraph new research-bot` writes it with a knowledge store",
    ),
    *[
        Case(
            f"src/stargraph/bundles/{b}/graph.yaml",
            HEAD + f"state_schema: {{task: str}}\nnodes: [{{id: work, kind: {kind}, config: {{input: task}}}}]\n",
            refused=f'kind "{kind}" belongs to the Python original',
            why=why,
            note=f"`stargraph new {b.replace('_', '-')}` writes it with {what}",
        )
        for b, kind, why, what in (
            ("coding_agent", "code", "kind code (Python in the server's own account)", "a tool in its sandbox"),
            ("deep_research", "react", WEB, "a knowledge store"),
            ("orchestrator_workers", "react", WEB, "a knowledge store"),
        )
    ],
    *[python_class(f"src/stargraph/skills/{s}smith/graph.yaml") for s in SMITHS],
    *[
        python_class(f"src/stargraph/skills/{s}/graph.yaml")
        for s in ("approval", "digest", "extract", "foundry", "shipwright", "sql_analyst", "triage")
    ],
    python_class("src/stargraph/rl/gauntlet/eval-graph.yaml"),
    python_class("tests/fixtures/std-tool-graph.yaml", note="and a tool of the original's registry"),
    Case(
        "tests/fixtures/triage_no_nautilus.yaml",
        HEAD
        + "nodes: [{id: source, kind: passthrough}, {id: write_record, kind: write_artifact}]\n"
        + "state_schema: {agent_id: str, record_bytes: bytes}\n",
        refused='required property "content_',
        why="not runnable in the original either: write_artifact and interrupt without their config",
    ),
    Case(
        "tests/integration/test_subgraph_rule_routing.py (inputs map to a missing field)",
        mounted("message: str", ", config: {inputs: {message: nope}}"),
        files={"cyclic-graph.yaml": HEAD + CYCLIC + CYCLIC_TEXT},
        refused='has no state field "nope"',
        why="fails loudly there too, when it runs; here when it is loaded",
    ),
    Case(
        "tests/fixtures/training-subgraph.yaml",
        HEAD + "nodes: [{id: train, kind: subgraph, spec: {tool: ml.fit}}]\n",
        refused="",
        why="not valid IR in the original either: spec must be a path",
    ),
    Case(
        "tests/fixtures/triage_stub_broker.yaml",
        HEAD + "nodes: [{id: source, kind: passthrough}, {id: broker, kind: stub_broker}]\n",
        refused='unknown kind "stub_broker"',
        why="kind exists only inside the original's test",
    ),
    Case(
        "tests/fixtures/skills/rag/example.yaml",
        HEAD + "nodes: [{id: retrieve, kind: retrieval}, {id: assemble, kind: halt}]\n",
        refused='retrieval: required property "stores" is missing',
        why="the original's stores",
    ),
    Case(
        "tests/fixtures/skills/wiki/example.yaml",
        HEAD + "nodes: [{id: autoresearch, kind: subgraph}, {id: halt, kind: halt}]\n",
        refused="subgraph",
        why="not runnable in the original either: a subgraph without spec",
    ),
    Case(
        "tests/fixtures/skills/autoresearch/example.yaml",
        HEAD + "nodes: [{id: rag, kind: subgraph}, {id: assemble, kind: halt}]\n",
        refused="subgraph",
        why="not runnable in the original either: a subgraph without spec",
    ),
    Case(
        "tests/fixtures/ir/canonical/minimal.json",
        '{"ir_version":"1.0.0","id":"run:test","nodes":[]}',
        refused="at least one node",
        why="no nodes: there is nothing to run",
    ),
    Case(
        "tests/fixtures/ir/canonical/full.json",
        '{"ir_version":"1.0.0","id":"run:full","nodes":[{"id":"n1","kind":"start"},{"id":"n2","kind":"task"}]}',
        refused='unknown kind "start"',
        why="its kinds exist nowhere",
    ),
    python_class("demos/everything-demo/graph/stargraph.yaml"),
    Case(
        "demos/everything-demo/graph/subgraphs/enrichment.yaml",
        HEAD
        + "nodes: [{id: enrichment_start, kind: passthrough}, {id: enrich_kg, kind: tool}, {id: enrich_doc, kind: tool}]\n",
        refused="tool",
        why="tools of the original's registry",
    ),
    python_class("demos/sentinel_dark_watch/graph/evolve.yaml"),
    python_class("demos/sentinel_dark_watch/graph/retrain.yaml", note="and rules on a fact (state …) that nothing asserts"),
    python_class("demos/sentinel_dark_watch/graph/stargraph.yaml"),
    python_class("demos/soc-triage/graph/stargraph.yaml"),
    python_class("docs/tutorials/hitl-graph.md", "state:TriageState", "gate:TriageGate"),
    python_class("docs/tutorials/ml-node-graph.md"),
    python_class("docs/tutorials/agent-with-retrieval.md"),
]

CASES = RUN + CANNOT
