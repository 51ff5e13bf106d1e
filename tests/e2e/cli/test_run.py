"""stargraph run, from outside: its last line, its exit codes, its mistakes, and a kill -9 in the middle."""
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))
from core import Core, binary  # noqa: E402

STEPS = 2000
DONE = """ir_version: "1.0.0"
id: "run:done"
state_schema: {n: int, s: str}
nodes:
  - {id: a, kind: passthrough}
  - {id: z, kind: halt}
rules:
  - {id: r, when: {node: a}, then: [{kind: goto, target: z}]}
"""
ASK = """ir_version: "1.0.0"
id: "run:ask"
state_schema: {decision: str}
nodes:
  - {id: gate, kind: interrupt, config: {prompt: "yes or no?"}}
  - {id: z, kind: halt}
rules:
  - {id: r, when: {node: gate, decision: "yes"}, then: [{kind: goto, target: z}]}
"""
LONG = f"""ir_version: "1.0.0"
id: "run:long"
state_schema: {{text: str}}
nodes:
  - {{id: a, kind: template, config: {{template: "{{text}}x", out: text}}}}
  - {{id: z, kind: halt}}
rules:
  - {{id: more, when: "(node-id (id a)) (text (value ?t&:(< (str-length ?t) {STEPS})))", then: [{{kind: goto, target: a}}]}}
  - {{id: over, when: "(node-id (id a)) (text (value ?t&:(>= (str-length ?t) {STEPS})))", then: [{{kind: goto, target: z}}]}}
"""
LOOP = """ir_version: "1.0.0"
id: "run:loop"
nodes:
  - {id: a, kind: passthrough}
rules:
  - {id: r, when: {node: a}, then: [{kind: goto, target: a}]}
"""


@pytest.fixture
def site(tmp_path):
    for name, text in ("done", DONE), ("ask", ASK), ("long", LONG), ("loop", LOOP):
        (tmp_path / f"{name}.yaml").write_text(text)
    return tmp_path


def stargraph(site, *args, env=()):
    return subprocess.run([binary(), *map(str, args)], cwd=site, capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, env={**os.environ, **dict(env)}, timeout=300)


def run(site, *args, **kw):
    return stargraph(site, "run", *args, "--state-dir", site / "state", **kw)


def summary(done):
    return json.loads(done.stdout.splitlines()[-1])


def test_done(site):
    done = run(site, "done.yaml", "-i", "n=3", "-i", "s=x=y", "--summary-json")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 1
    last = summary(done)
    run_id = last.pop("run_id")
    assert run_id.startswith("run-")
    assert last == {"status": "done", "reason": "reached z", "path": ["a", "z"],
                    "state": {"n": 3, "s": "x=y"}, "steps": 2}
    done = run(site, "done.yaml")
    assert done.returncode == 0 and len(done.stdout.splitlines()) > 1
    assert summary(done)["status"] == "done"


def test_waiting(site):
    done = run(site, "ask.yaml", "--summary-json")
    assert done.returncode == 3, done.stderr
    last = summary(done)
    assert (last["status"], last["path"], last["steps"]) == ("awaiting-input", ["gate"], 1)


def test_failed(site):
    done = run(site, "loop.yaml", "--summary-json")
    assert done.returncode == 1, done.stderr
    assert summary(done)["status"] == "failed" and summary(done)["error_class"] == "step-limit"


@pytest.mark.parametrize("args,text", [
    (("-i", "n=abc"), 'n: "abc" is not an int'),
    (("-i", "n=1.5"), 'n: "1.5" is not an int'),
    (("-i", "m=1"), 'no state field "m"'),
    (("-i", "n"), '"n" is not key=value'),
    (("--sumary",), 'bad option "--sumary"'),
    (("--state-dir",), 'bad option "--state-dir"'),
    (("extra",), "one graph file is needed"),
    (("--state-dir", "/etc/passwd"), "the state directory /etc/passwd is not a directory"),
    (("--state-dir", "/nonexistent/state"), "cannot make the state directory /nonexistent/state"),
    (("--state-dir", "/proc/self"), "nfs/smb refused at bootstrap: /proc/self lies on proc")])
def test_mistakes(site, args, text):
    done = stargraph(site, "run", "done.yaml", *args)
    assert done.returncode == 2 and text in done.stderr and done.stdout == "", done
    assert done.stderr.startswith("stargraph"), "somebody else speaks first"


@pytest.mark.parametrize("old,new,text", [
    ("rules:", "ruls:", 'broken.yaml:7:1: unknown key "ruls"; did you mean "rules"?'),
    ("kind: halt", "kind: hlt", 'unknown kind "hlt"; did you mean "halt"?'),
    ("n: int", "n: integr", "broken.yaml:3:"),
    ("target: z", "target: zz", 'no node "zz"'),
    ("nodes:", "\tnodes:", "broken.yaml:4:")])
def test_a_broken_graph_is_refused_where_it_is_broken(site, old, new, text):
    (site / "broken.yaml").write_text(DONE.replace(old, new))
    done = run(site, "broken.yaml")
    assert done.returncode == 2 and text in done.stderr, done


@pytest.mark.parametrize("verb,near", [("serv", "serve"), ("hlep", "help"), ("runn", "run")])
def test_an_unknown_verb(site, verb, near):
    done = stargraph(site, verb)
    assert done.returncode == 2 and f'no verb "{verb}"; did you mean "{near}"?' in done.stderr


def killed(site):
    """A run of the long graph, killed when some of its steps are durable: its id."""
    log = site / "state" / "stargraph.audit.jsonl"
    p = subprocess.Popen([binary(), "run", "long.yaml", "--state-dir", site / "state",
                          "--summary-json"], cwd=site, stdout=subprocess.PIPE)
    end = time.monotonic() + 60
    while not (log.exists() and log.stat().st_size > 20000) and time.monotonic() < end:
        time.sleep(0.001)
    p.kill()
    out = p.communicate()[0]
    assert p.returncode == -9 and out == b"", "it was over before it was killed"
    return json.loads(log.read_bytes().splitlines()[-2])["run"]  # the last line may be torn


def state_of(site, run_id):
    done = stargraph(site, "inspect", run_id, "--state-dir", site / "state")
    assert done.returncode == 0, done.stderr
    return done.stdout.split()[2]


def test_kill_and_continue_by_another_process(site):
    waiting = summary(run(site, "ask.yaml", "--summary-json"))["run_id"]
    run_id = killed(site)
    assert state_of(site, run_id) == "running"
    done = stargraph(site, "resume", "--state-dir", site / "state")
    assert done.returncode == 0, done.stderr
    assert [(s["run_id"], s["status"]) for s in map(json.loads, done.stdout.splitlines())] == [(run_id, "done")]
    assert stargraph(site, "resume", "--state-dir", site / "state").stdout == "nothing was unfinished\n"
    assert state_of(site, run_id) == "done"
    assert state_of(site, waiting) == "awaiting-input"
    (site / "yes.json").write_text('{"decision": "yes"}')
    done = stargraph(site, "respond", waiting, "--response", "yes.json", "--state-dir", site / "state")
    assert done.returncode == 0 and summary(done)["path"] == ["gate", "z"], done
    assert stargraph(site, "verify-audit", "--state-dir", site / "state").returncode == 0


def test_kill_and_continue_by_a_server(site):
    waiting = summary(run(site, "ask.yaml", "--summary-json"))["run_id"]
    run_id = killed(site)
    with Core(site, state_dir=site / "state") as core:
        end = time.monotonic() + 60
        while (now := core.get(f"/v1/runs/{run_id}").json())["status"] != "done":
            assert time.monotonic() < end, now
            time.sleep(0.02)
        assert now["steps"] == len(now["path"]) == STEPS + 1 and now["path"][-1] == "z"
        assert now["state"]["text"] == "x" * STEPS
        assert core.get(f"/v1/runs/{waiting}").json()["status"] == "awaiting-input"
    assert stargraph(site, "verify-audit", "--state-dir", site / "state").returncode == 0


def test_a_run_migrates_to_the_newer_graph_that_is_named(site):
    waiting = summary(run(site, "ask.yaml", "--summary-json"))["run_id"]
    old = stargraph(site, "compile", "ask.yaml").stdout.split()[2]
    newer = ASK.replace("decision: str", "decision: str, more: {type: int, default: 4}").replace(
        "{id: z, kind: halt}", "{id: z, kind: set, config: {clips: {more: \"(+ ?more 1)\"}}}")
    (site / "newer.yaml").write_text(newer)
    new = stargraph(site, "compile", "newer.yaml").stdout.split()[2]
    (site / "newer.yaml").write_text(newer + f"migrate: [{{from_hash: {old}, to_hash: {new}}}]\n")
    (site / "yes.json").write_text('{"decision": "yes"}')
    done = stargraph(site, "respond", waiting, "--response", "yes.json", "--state-dir", site / "state",
                     "--graph", "newer.yaml")
    assert done.returncode == 0 and summary(done)["state"] == {"decision": "yes", "more": 5}, done
    log = (site / "state" / "stargraph.audit.jsonl").read_text()
    assert f'"from_hash":"{old}"' in log and f'"to_hash":"{new}"' in log


def test_inspect_runs_nothing(site):
    done = stargraph(site, "run", "done.yaml", "--inspect")
    assert done.returncode == 0 and "path=[a,z]" in done.stdout.splitlines(), done
    assert not (site / ".stargraph").exists()


def test_side_effects_need_a_word(site):
    (site / "w.yaml").write_text(
        'ir_version: "1.0.0"\nid: "run:w"\nstate_schema: {s: str, artifact_ref: dict}\nnodes: [{id: w, kind: '
        "write_artifact, config: {content_field: s, name: x, content_type: text/plain}}]\n")
    done = stargraph(site, "run", "w.yaml", "--summary-json")
    assert done.returncode == 2 and "allow them with --allow-side-effects" in done.stderr
    done = stargraph(site, "run", "w.yaml", "--summary-json", "-i", "s=kept", "--allow-side-effects")
    assert summary(done)["state"]["artifact_ref"]["name"] == "x", done
