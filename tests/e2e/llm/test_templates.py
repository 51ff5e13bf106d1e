"""Every template of `stargraph new` that asks a language model: made, compiled and run as it stands,
with the model on a loopback port and on a unix socket."""
import json
import os
import re
import shlex
import subprocess

import pytest
from core import binary
from fakellm import FakeLLM, obliging

PROGRAM = "print([n for n in range(2, 30) if all(n % d for d in range(2, n))])"
# path, reason, and what of the state must be there
RUNS = {
    "coding-agent": (["plan", "brief", "code", "execute", "review-brief", "review", "brief", "code",
                      "execute", "review-brief", "review"], "code approved by reviewer"),
    "deep-research": (["brief", "research", "check", "brief", "research", "check"],
                      "research complete"),
    "evaluator-optimizer": (["brief", "draft", "evaluate", "brief", "draft", "evaluate"],
                            "draft accepted by evaluator"),
    "hitl-approval": (["propose", "approve"], None),
    "orchestrator-workers": (["plan", "work-brief", "worker", "synth-brief", "synthesize"],
                             "orchestration complete"),
    "rag-qa": (["brief", "qa", "review-brief", "check", "brief", "qa", "review-brief", "check"],
               "answer grounded in citations"),
    "research-bot": (["brief", "research", "judge", "brief", "research", "judge"],
                     "judge complete"),
    "triage-router": (["classify", "urgent-path"], "urgent path handled"),
}


class Model:
    """Fails the first judgement, writes a program where one is wanted, cites what it is shown."""

    def __init__(self):
        self.judged = 0

    def __call__(self, request):
        schema = request["response_format"]["json_schema"]["schema"]["properties"]
        prompt = request["messages"][-1]["content"]
        if "verdict" in schema:
            self.judged += 1
            return {"verdict": "fail" if self.judged == 1 else "pass", "score": 0.25,
                    "rationale": "too short"}
        if "citations" in schema:
            found = re.findall(r"^\[(.+)\]$", prompt.split("Documents:")[1], re.M)
            return {"answer": "rules do", "citations": found[:1]}
        if "code" in schema:
            return {"code": PROGRAM}
        return obliging(request)


def stargraph(args, cwd, **more):
    return subprocess.run([str(binary()), *args], cwd=cwd, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=120, **more)


def make(name, cwd):
    made = stargraph(["new", name], cwd)
    assert made.returncode == 0, made.stderr
    again = stargraph(["new", name], cwd)
    assert again.returncode == 2 and "exists already" in again.stderr
    lines = made.stdout.splitlines()
    for line in lines:
        if line.startswith("wrote "):
            assert (cwd / line[6:]).stat().st_size > 0
    command = next(x for x in lines if x.startswith("next: stargraph "))
    return shlex.split(command[len("next: stargraph "):])


def fill_store(cwd):
    for args in (["create", "docs", "--provider", "document"],
                 ["add", "docs", "--id", "rules.md", "--text", "Rules route a run; no model does."],
                 ["add", "docs", "--id", "runs.md", "--text", "Runs are stored step by step."]):
        assert stargraph(["store", *args], cwd).returncode == 0


def point_at(args, cwd, llm):
    """The command as it was printed, with the model where it is in this test."""
    if "--lm-url" in args:
        args[args.index("--lm-url") + 1] = llm.url
        args[args.index("--lm-model") + 1] = llm.model
        return
    config = cwd / args[args.index("--config") + 1]
    text = config.read_text()
    assert 'url = "http://127.0.0.1:8080/v1"' in text
    config.write_text(text.replace("http://127.0.0.1:8080/v1", llm.url))


@pytest.mark.parametrize("over", ["loopback", "unix"])
@pytest.mark.parametrize("name", sorted(RUNS))
def test_a_template_runs_as_it_was_made(tmp_path, name, over):
    path, reason = RUNS[name]
    args = make(name, tmp_path)
    assert stargraph(["compile", args[1]], tmp_path).returncode == 0
    fill_store(tmp_path)
    with FakeLLM(Model(), unix=tmp_path / "llm.sock" if over == "unix" else None) as llm:
        point_at(args, tmp_path, llm)
        p = stargraph([*args, "--summary-json"], tmp_path)
    assert p.returncode == (3 if name == "hitl-approval" else 0), p.stdout + p.stderr
    run = json.loads(p.stdout)
    assert run["path"] == path
    assert run["status"] == ("awaiting-input" if name == "hitl-approval" else "done")
    assert name == "hitl-approval" or run["reason"] == reason
    state = run["state"]
    if "citations" in state:
        assert state["citations"] and state["citations"][0] in ("rules.md", "runs.md")
    if name == "coding-agent":
        assert state["run_result"] == {"exit_code": 0, "stderr": "",
                                       "stdout": "[2, 3, 5, 7, 11, 13, 17, 19, 23, 29]\n"}
    # the model has gone: the record is enough
    replayed = stargraph(["replay", run["run_id"]], tmp_path)
    assert replayed.returncode == 0 and "identical" in replayed.stdout, replayed.stdout


@pytest.mark.parametrize("said", ["yes", "no"])
def test_a_person_decides_on_the_plan(tmp_path, said):
    args = make("hitl-approval", tmp_path)
    with FakeLLM() as llm:
        point_at(args, tmp_path, llm)
        run = json.loads(stargraph([*args, "--summary-json"], tmp_path).stdout)
    # answered later, by a process that knows no model
    (tmp_path / "answer.json").write_text(json.dumps({"decision": said}))
    p = stargraph(["respond", run["run_id"], "--response", "answer.json"], tmp_path)
    assert p.returncode == 0, p.stdout + p.stderr
    told = json.loads(p.stdout.strip().splitlines()[-1])
    assert told["path"] == ["propose", "approve", "apply" if said == "yes" else "dismiss"]
    assert told["state"]["approved_plan"] == ("APPROVED:\na text" if said == "yes" else "")


def test_the_program_of_coding_agent_is_confined(tmp_path):
    """What the model wrote reaches no network and no file of ours, and its failure is told."""
    args = make("coding-agent", tmp_path)
    bad = ("import socket, os\n"
           "try:\n    socket.create_connection(('127.0.0.1', %d))\n    print('connected')\n"
           "except OSError as e:\n    print('no network', e.errno)\n"
           f"open({str(tmp_path / 'coding-agent' / 'x')!r}, 'w')\n")
    model = Model()
    with FakeLLM(None) as llm:
        llm.answer = lambda r: ({"code": bad % llm.port} if "code" in r["response_format"][
            "json_schema"]["schema"]["properties"] else model(r))
        model.judged = 1
        point_at(args, tmp_path, llm)
        p = stargraph([*args, "--summary-json"], tmp_path)
        assert len(llm.paths) == len(llm.requests) == 3
    result = json.loads(p.stdout)["state"]["run_result"]
    assert result["exit_code"] == 1
    assert result["stdout"].startswith("no network") and "Permission" in result["stderr"]
    assert not os.path.exists(tmp_path / "coding-agent" / "x")


def test_an_unknown_template_is_named(tmp_path):
    p = stargraph(["new", "rag-qq"], tmp_path)
    assert p.returncode == 2 and 'did you mean "rag-qa"?' in p.stderr
