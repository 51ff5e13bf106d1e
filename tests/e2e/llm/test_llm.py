"""Language models from end to end: what is asked and recorded, how a call fails, what a run can do
about it, and that nothing leaves the host."""
import json
import os
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest
from core import Core, Grant, Who, binary, toml
from fakellm import FakeLLM, Http, completion

ALICE = "CN=alice,O=Test"
FIELDS = "{question: str, answer: str, verdict: str, score: float, rationale: str, llm_error: str, d: dict}"


class LlmCore(Core):
    """A Core whose configuration declares language models."""

    llms = ()

    def __init__(self, directory, llms, **keys):
        self.llms = llms
        super().__init__(directory, **keys)

    def write_config(self):
        super().write_config()
        with open(self.config, "a") as f:
            for t in self.llms:
                f.write("\n[[llm]]\n" + "".join(f"{k} = {toml(v)}\n" for k, v in t.items()))


def graph(directory, name, nodes, more="", fields=FIELDS):
    path = Path(directory) / f"{name}.yaml"
    path.write_text(f'ir_version: "1.0.0"\nid: "run:{name}"\nstate_schema: {fields}\nnodes:\n'
                    + "".join(f"  - {n}\n" for n in nodes) + more)
    return path


ASK = '{id: ask, kind: llm, config: {system: "Be brief.", prompt: "{question}?", out: answer}}'
JUDGE = "{id: judge, kind: judge, config: {rubric: good, input: question}}"
END = "{id: end, kind: halt}"


def cli(cwd, *args, env=None):
    return subprocess.run([str(binary()), *map(str, args)], cwd=cwd, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=120,
                          env={**os.environ, **(env or {})})


def run(cwd, path, url, *args, env=None):
    return cli(cwd, "run", path, "--summary-json", "--lm-url", url, "--lm-model", "m",
               "-i", "question=why", *args, env=env)


def failed(cwd, path, answer, *args):
    with FakeLLM(answer) as llm:
        p = run(cwd, path, llm.url, *args)
    assert p.returncode == 1, p.stdout + p.stderr
    return json.loads(p.stdout)


# ---- what is asked and recorded ----

@pytest.mark.parametrize("over", ["loopback", "ipv6", "unix", "localhost"])
def test_a_run_over_http_with_its_record(tmp_path, over):
    g = graph(tmp_path, "g", [ASK, END])
    with FakeLLM("because", unix=tmp_path / "m.sock" if over == "unix" else None,
                 host="::1" if over == "ipv6" else "127.0.0.1") as llm:
        table = llm.declared
        if over == "localhost":
            table["url"] = f"http://localhost:{llm.port}"
        with LlmCore(tmp_path / "core", [table], graphs=[g]) as core:
            r = core.run("run:g", {"question": "why"})
            audit = core.audit()
    assert r["status"] == "done" and r["state"]["answer"] == "because"
    assert llm.paths == ["POST /v1/chat/completions HTTP/1.1"]
    request = llm.requests[0]
    assert request == {"model": "test-model", "stream": False, "temperature": 0, "max_tokens": 1024,
                       "messages": [{"role": "system", "content": "Be brief."},
                                    {"role": "user", "content": "why?"}]}
    call = next(a for a in audit if a["type"] == "llm_call")
    assert call["payload"]["ok"] and call["payload"]["endpoint"] == "local"
    assert call["payload"]["usage"] == {"prompt_tokens": 11, "completion_tokens": 7}
    assert "because" not in json.dumps(call)
    assert [a["type"] for a in audit].index("llm_call") < [a["type"] for a in audit].index("transition")


def test_options_and_a_schema_become_fields(tmp_path):
    g = graph(tmp_path, "g", ["""{id: ask, kind: llm, config: {prompt: "{question}", model: big,
      temperature: 0.5, seed: 7, max_tokens: 99, response_format: json_object,
      schema: {type: object, required: [a], properties: {a: {type: string}, s: {type: number}}},
      outputs: {answer: a, score: s}}}"""])
    with FakeLLM({"a": "x", "s": 0.5}) as llm:
        p = run(tmp_path, g, llm.url)
    state = json.loads(p.stdout)["state"]
    assert (state["answer"], state["score"]) == ("x", 0.5)
    r = llm.requests[0]
    assert (r["model"], r["temperature"], r["seed"], r["max_tokens"]) == ("big", 0.5, 7, 99)
    assert r["response_format"] == {"type": "json_object"}
    assert '"required":["a"]' in r["messages"][0]["content"]


def test_request_and_response_are_those_of_the_openai_package(tmp_path):
    """Its own types, strictly: the request fits them, and so does what the stand-in answers."""
    from openai.types.chat import ChatCompletion
    from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming
    from pydantic import TypeAdapter
    g = graph(tmp_path, "g", [ASK, JUDGE,
                              '{id: o, kind: llm, config: {prompt: x, seed: 1, response_format: json_object, '
                              'schema: {type: object, properties: {a: {type: string}}}, out: d}}'])
    with FakeLLM() as llm:
        llm.answer = lambda r: ({"verdict": "pass", "score": 1, "rationale": "r"} if "verdict" in str(r)
                                else {"a": "b"} if "response_format" in r else "text")
        p = run(tmp_path, g, llm.url)
    assert json.loads(p.stdout)["status"] == "done", p.stdout
    assert len(llm.requests) == 3
    for request in llm.requests:
        TypeAdapter(CompletionCreateParamsNonStreaming).validate_python(request, strict=True)
        assert set(request) <= set(CompletionCreateParamsNonStreaming.__annotations__)
    ChatCompletion.model_validate(completion("x", "m"), strict=True)


def test_the_openai_client_and_stargraph_send_the_same(tmp_path):
    """What the client of the openai package sends for the same call, member by member."""
    from openai import OpenAI
    g = graph(tmp_path, "g", [ASK])
    with FakeLLM("text") as llm:
        assert run(tmp_path, g, llm.url).returncode == 0
        ours = llm.requests[0]
        client = OpenAI(base_url=llm.url, api_key="k", max_retries=0)
        told = client.chat.completions.create(**ours)
        assert told.choices[0].message.content == "text"
        assert llm.requests[1] == ours and llm.paths[0] == llm.paths[1]


def test_equal_runs_ask_equal_questions(tmp_path):
    g = graph(tmp_path, "g", [ASK, JUDGE])
    hashes = []
    for i in range(2):
        with FakeLLM() as llm:
            llm.answer = lambda r: ("because" if "response_format" not in r else
                                    {"verdict": "pass", "score": 1, "rationale": "r"})
            assert run(tmp_path, g, llm.url, "--state-dir", f"s{i}").returncode == 0
        log = (tmp_path / f"s{i}/stargraph.audit.jsonl").read_text().splitlines()
        hashes.append([json.loads(x)["payload"]["request_sha256"] for x in log if "llm_call" in x])
    assert hashes[0] == hashes[1] and len(set(hashes[0])) == 2


def test_replay_and_forks_ask_nobody(tmp_path):
    g = graph(tmp_path, "g", [ASK, '{id: t, kind: template, config: {template: "<{answer}>", out: rationale}}',
                              '{id: again, kind: llm, config: {prompt: "{rationale}", out: answer}}'])
    with FakeLLM(lambda r: "A" if "why" in r["messages"][-1]["content"] else "B") as llm:
        p = run(tmp_path, g, llm.url)
        rid = json.loads(p.stdout)["run_id"]
        asked = len(llm.requests)
        assert asked == 2
        assert cli(tmp_path, "replay", rid).stdout.split()[1] == "identical"
        (tmp_path / "m.yaml").write_text('state_overrides: {score: 0.25}\n')
        same = cli(tmp_path, "counterfactual", rid, "--step", "1", "--mutation", "m.yaml", "--json")
        (tmp_path / "m2.yaml").write_text('node_output_overrides: {again: {answer: C}}\n')
        given = cli(tmp_path, "counterfactual", rid, "--step", "1", "--mutation", "m2.yaml", "--json")
        assert len(llm.requests) == asked
    assert given.returncode == 0, given.stderr
    assert json.loads(given.stdout.splitlines()[-1])["state"]["answer"] == "C"
    # the second question saw another state: it would have to be asked, and is not
    assert same.returncode != 0 and "fork-refused" in same.stdout + same.stderr


# ---- how a call fails ----

def raw(data, *, then=b"", pause=0.0):
    def reply(s):
        s.sendall(data)
        for _ in range(100000):
            if not then:
                return
            s.sendall(then)
            time.sleep(pause)
    return lambda request: reply


BAD = [
    ("llm-json", "not json", "it begins: not json"),
    ("llm-json", '```json\n{"verdict":"pass"}\n```', "it begins: ```json"),
    ("llm-json", '{"verdict":"pass","verdict":"fail"}', "duplicate"),
    ("llm-schema", {"verdict": "pass"}, "rationale"),
    ("llm-schema", {"verdict": "pass", "score": "much", "rationale": ""}, "is no number"),
    ("llm-label", {"verdict": "perhaps", "score": 1, "rationale": ""}, "none of the labels"),
    ("llm-cut", Http(200, json.dumps(completion("{", "m", "length"))), "max_tokens"),
    ("llm-http", Http(503, '{"error": {"message": "busy"}}'), "answered 503: busy"),
    ("llm-http", Http(404, "x"), "answered 404"),
    ("llm-response", Http(200, "[]"), "not a chat completion"),
    ("llm-response", Http(200, b'{"choices":[{"message":{"content":"\xff"}}]}'), "decode byte 0xff"),
    ("llm-response", Http(200, '{"choices":[{"message":{"content":"a\\u0000"}}]}'), "NUL"),
    ("llm-response-limit", Http(200, "x" * 2_000_000), "response_bytes"),
    ("llm-response-limit", raw(b"HTTP/1.1 200 OK\r\n\r\n", then=b"x" * 65536), "response_bytes"),
    ("llm-response-limit", raw(b"HTTP/1.1 200 OK\r\n", then=b"A: " + b"b" * 1000 + b"\r\n"), "headers"),
    ("llm-protocol", raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"), "remaining"),
    ("llm-protocol", raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n"), ""),
    ("llm-protocol", raw(b"what?\r\n"), "HTTP/0.9"),
    ("llm-protocol", Http(200, "{}", [("Content-Encoding", "gzip")]), "packed"),
]


@pytest.mark.parametrize("kind,answer,said", BAD, ids=[f"{i}-{b[0]}" for i, b in enumerate(BAD)])
def test_a_bad_answer_fails_the_node_by_name(tmp_path, kind, answer, said):
    r = failed(tmp_path, graph(tmp_path, "g", [JUDGE]), answer)
    assert r["error_class"] == kind and said in r["error_cause"]
    p = cli(tmp_path, "replay", r["run_id"])
    assert p.returncode == 0 and "identical" in p.stdout


def test_a_rejected_answer_stays_in_the_record(tmp_path):
    r = failed(tmp_path, graph(tmp_path, "g", [JUDGE]), "not json")
    out = cli(tmp_path, "export", r["run_id"], "--output", "e.json")
    text = (tmp_path / "e.json").read_text() if (tmp_path / "e.json").exists() else out.stdout
    assert "not json" in text and "request_sha256" in text


def test_nobody_listens(tmp_path):
    g = graph(tmp_path, "g", [JUDGE])
    for url in (f"unix:{tmp_path}/none.sock", "http://127.0.0.1:1"):
        p = run(tmp_path, g, url)
        assert p.returncode == 1 and json.loads(p.stdout)["error_class"] == "llm-connect"


def test_the_retry_action_asks_again(tmp_path):
    g = graph(tmp_path, "g", ["{id: judge, kind: judge, config: {rubric: good, input: question, error: llm_error}}",
                              END], """rules:
  - id: r-again
    when: '(node-id (id judge)) (llm_error (value ~""))'
    then: [{kind: retry, target: judge, backoff_ms: 10}]
""")
    answers = iter(["not json", Http(500, ""), {"verdict": "no", "score": 0, "rationale": ""},
                    {"verdict": "pass", "score": 2, "rationale": "fine"}])
    with FakeLLM(lambda r: next(answers)) as llm:
        p = run(tmp_path, g, llm.url)
    r = json.loads(p.stdout)
    assert r["path"] == ["judge"] * 4 + ["end"] and r["status"] == "done"
    assert (r["state"]["verdict"], r["state"]["score"], r["state"]["llm_error"]) == ("pass", 1.0, "")
    log = [json.loads(x) for x in (tmp_path / ".stargraph/stargraph.audit.jsonl").read_text().splitlines()]
    calls = [a["payload"] for a in log if a["type"] == "llm_call"]
    assert len(calls) == 4
    assert [c.get("class") for c in calls] == [None, "llm-http", None, None]
    assert "identical" in cli(tmp_path, "replay", r["run_id"]).stdout


def test_slow_answers_end_by_every_limit(tmp_path):
    g = graph(tmp_path, "g", [JUDGE, END])
    drip = raw(b"HTTP/1.1 200 OK\r\nContent-Length: 90000\r\n\r\n", then=b"x", pause=0.05)
    with FakeLLM(drip) as llm:
        for limits, table, kind in (({}, {"timeout_seconds": 1}, "llm-timeout"),
                                    ({"node_seconds": 1}, {}, "node-timeout"),
                                    ({"run_seconds": 1}, {}, "run-")):
            with LlmCore(tmp_path / kind, [{**llm.declared, **table}], graphs=[g],
                         limits=limits) as core:
                r = core.run("run:g", {"question": "q"}, wait=30)
                # what is left of run_seconds bounds the call too: either may be first
                assert r["status"] == "failed" and r["error_class"] in (
                    ("llm-timeout", "run-timeout") if kind == "run-" else (kind,))


def test_a_cancelled_run_leaves_the_endpoint(tmp_path):
    g = graph(tmp_path, "g", [JUDGE, END])
    gone = threading.Event()

    def hang(request):
        def reply(s):
            if s.recv(1) == b"":
                gone.set()
        return reply

    with FakeLLM(hang) as llm, LlmCore(tmp_path / "core", [llm.declared], graphs=[g]) as core:
        rid = core.post("/v1/runs", {"graph_id": "run:g", "params": {"question": "q"}}).json()["run_id"]
        end = time.monotonic() + 20
        while not llm.requests and time.monotonic() < end:
            time.sleep(0.01)
        assert core.post(f"/v1/runs/{rid}/cancel", {}).status < 300
        assert gone.wait(20), "the connection outlived its run"
        assert core.get(f"/v1/runs/{rid}").json()["status"] == "cancelled"


def test_a_killed_server_asks_again(tmp_path):
    g = graph(tmp_path, "g", [JUDGE, END])
    hold = threading.Event()

    def answer(request):
        hold.wait(60)
        return {"verdict": "pass", "score": 1, "rationale": ""}

    with FakeLLM(answer) as llm:
        core = LlmCore(tmp_path / "core", [llm.declared], graphs=[g])
        core.start()
        rid = core.post("/v1/runs", {"graph_id": "run:g", "params": {"question": "q"}}).json()["run_id"]
        end = time.monotonic() + 20
        while not llm.requests and time.monotonic() < end:
            time.sleep(0.01)
        core.kill()
        hold.set()
        core.process = None
        with core:
            end = time.monotonic() + 30
            while time.monotonic() < end:
                r = core.get(f"/v1/runs/{rid}").json()
                if r["status"] == "done":
                    break
                time.sleep(0.05)
        assert r["status"] == "done" and len(llm.requests) == 2


# ---- how many at a time ----

def test_branches_wait_side_by_side_and_no_more_than_allowed(tmp_path):
    nodes = ["{id: start, kind: passthrough}"]
    nodes += [f'{{id: b{i}, kind: llm, config: {{prompt: "{i}", out: f{i}}}}}' for i in range(6)]
    nodes.append("{id: join, kind: halt}")
    more = "rules:\n  - id: r\n    when: {node: start}\n    then: [{kind: parallel, targets: [" + \
        ", ".join(f"b{i}" for i in range(6)) + "], join: join, strategy: all}]\n"
    g = graph(tmp_path, "g", nodes, more, "{" + ", ".join(f"f{i}: str" for i in range(6)) + "}")

    def slow(request):
        time.sleep(0.3)
        return "answer " + request["messages"][-1]["content"]

    for concurrent in (1, 3):
        with FakeLLM(slow) as llm, LlmCore(tmp_path / str(concurrent), [
                {**llm.declared, "concurrent": concurrent}], graphs=[g]) as core:
            r = core.run("run:g", {}, wait=60)
            assert r["state"] == {f"f{i}": f"answer {i}" for i in range(6)}
            assert llm.most_at_once == concurrent


def test_nobody_waits_for_an_endpoint_that_hangs_or_floods(tmp_path):
    """`SG_LLM_REPORT=1 pytest -s` prints the latencies of another client."""
    hang = graph(tmp_path, "hang", [JUDGE, END])
    flood = graph(tmp_path, "flood", ["{id: judge, kind: judge, config: {rubric: good, input: question, "
                                      "endpoint: flood}}", END])
    hang.write_text(hang.read_text().replace("input: question}", "input: question, endpoint: local}"))
    short = graph(tmp_path, "short", ["{id: a, kind: passthrough}", END])
    stuck = raw(b"HTTP/1.1 200 OK\r\nContent-Length: 90000\r\n\r\n", then=b"x", pause=0.2)
    flooding = raw(b"HTTP/1.1 200 OK\r\n\r\n", then=b"x" * 65536)
    with FakeLLM(stuck) as one, FakeLLM(flooding) as other:
        tables = [{**one.declared, "concurrent": 64, "timeout_seconds": 30},
                  {**other.declared, "name": "flood", "response_bytes": 16777216}]
        with LlmCore(tmp_path / "core", tables, graphs=[hang, flood, short]) as core:
            for _ in range(20):
                core.post("/v1/runs", {"graph_id": "run:hang", "params": {"question": "q"}})
            c, times, end = core.connection(), [], time.monotonic() + 4
            while time.monotonic() < end:
                if len(times) % 100 == 0:
                    core.post("/v1/runs", {"graph_id": "run:flood", "params": {"question": "q"}})
                before = time.monotonic()
                assert core.get("/v1/health", connection=c).status == 200
                times.append((time.monotonic() - before) * 1000)
                time.sleep(0.002)
            c.close()
            assert core.run("run:short", {})["status"] == "done"
            assert one.most_at_once == 20 and other.requests
    times.sort()
    if os.environ.get("SG_LLM_REPORT"):
        print(f"\n{len(times)} requests: p50 {times[len(times) // 2]:.2f} ms, "
              f"p99 {times[int(len(times) * 0.99)]:.2f} ms, most {times[-1]:.2f} ms")


# ---- nothing leaves the host ----

@pytest.mark.parametrize("url", ["http://10.1.2.3/v1", "https://127.0.0.1/v1", "http://example.org",
                                 "http://127.0.0.1.nip.io/", "http://0.0.0.0:1/",
                                 "http://127.0.0.1@10.0.0.1/"])
def test_an_address_elsewhere_refuses_the_start(tmp_path, url):
    g = graph(tmp_path, "g", [ASK])
    p = run(tmp_path, g, url)
    assert p.returncode == 2 and "[[llm]] lm: url:" in p.stderr and len(p.stderr.splitlines()) <= 8
    code, said = LlmCore(tmp_path / "core", [{"name": "a", "url": url, "model": "m"}],
                         graphs=[g]).refused()
    assert code == 2 and "[[llm]] a: url:" in said


def test_no_proxy_no_redirect_no_name(tmp_path):
    """Traced: every connect of the process is to the endpoint, and no resolver is asked."""
    g = graph(tmp_path, "g", [JUDGE])
    with socket.socket() as trap:
        trap.bind(("127.0.0.1", 0))
        trap.listen(1)
        trap.settimeout(0.2)
        port = trap.getsockname()[1]
        env = {k: f"http://127.0.0.1:{port}" for k in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY")}
        with FakeLLM(Http(307, "", [("Location", f"http://127.0.0.1:{port}/v1/chat/completions")])) as llm:
            url = f"http://localhost:{llm.port}/v1"
            trace = tmp_path / "trace"
            p = subprocess.run(
                ["strace", "-f", "-qq", "-e", "trace=connect,sendto,sendmsg", "-o", str(trace), str(binary()),
                 "run", str(g), "--summary-json", "--lm-url", url, "--lm-model", "m", "-i", "question=q"],
                cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120,
                env={**os.environ, **env, "ASAN_OPTIONS": "detect_leaks=0"})
            assert json.loads(p.stdout)["error_class"] == "llm-http", p.stderr
            connects = [x for x in trace.read_text().splitlines() if "connect(" in x]
            assert connects and all(f"htons({llm.port})" in x for x in connects), connects
        with pytest.raises(TimeoutError):
            trap.accept()


# ---- who may, and what is refused at load ----

def test_the_capability_is_asked_under_cleared(tmp_path):
    g = graph(tmp_path, "g", [ASK, END])
    grants = [Grant(subject=ALICE, capabilities=["runs:start", "runs:read", "llm.local"]),
              Grant(subject="CN=bob,O=Test", capabilities=["runs:start", "runs:read"])]
    with FakeLLM("because") as llm, LlmCore(tmp_path / "core", [llm.declared], graphs=[g],
                                            grants=grants, profile="cleared", tcp=False) as core:
        body = {"graph_id": "run:g", "params": {"question": "q"}}
        denied = core.post("/v1/runs", body, as_=Who("CN=bob,O=Test"))
        assert denied.status == 403 and "llm.local" in denied.text
        assert not llm.requests
        given = core.post("/v1/runs", body, as_=Who(ALICE), headers={"Prefer": "wait=20"})
        assert given.status < 300, given
        assert len(llm.requests) == 1
    p = cli(tmp_path, "run", g, "--config", core.config, "--lm-url", "http://127.0.0.1:1", "--lm-model", "m")
    assert p.returncode == 2 and "cleared" in p.stderr


LOAD = [
    ("kind: llm, config: {prompt: x, out: answer}", [], "kind llm needs a language model"),
    ("kind: rag, config: {stores: [docs], query: question}", ["a"], 'the state field "citations"'),
    ("kind: rag, config: {stores: [docs], query: question}", [], "kind rag needs a language model"),
    ("kind: llm, config: {prompt: x, out: answer, endpoint: locl}", ["local"], 'did you mean "local"?'),
    ("kind: llm, config: {prompt: x, out: answer}", ["a", "b"], "name one of the 2"),
    ("kind: llm, config: {prompt: '{questin}', out: answer}", ["a"], 'no state field "questin"'),
    ("kind: llm, config: {prompt: x, out: anser}", ["a"], 'did you mean "answer"?'),
    ("kind: llm, config: {prompt: x, out: d}", ["a"], "has type dict"),
    ("kind: llm, config: {prompt: x}", ["a"], "one of out and outputs"),
    ("kind: llm, config: {prompt: x, out: d, schema: {type: object, propertes: {}}}", ["a"], "propertes"),
    ("kind: llm, config: {prompt: x, out: d, schema: {type: array}}", ["a"], "type: object"),
    ("kind: llm, config: {prompt: x, outputs: {answer: b}, schema: {type: object, properties: {a: {}}}}",
     ["a"], 'no property "b"'),
    ("kind: llm, config: {promt: x, out: answer}", ["a"], 'did you mean "prompt"?'),
    ("kind: llm, config: {prompt: x, out: answer, temperature: 3}", ["a"], "at most 2"),
    ("kind: judge, config: {input: question}", ["a"], "rubric"),
    ("kind: judge, config: {rubric: x, input: question, api_base: 'http://x'}", ["a"], "not a graph's to say"),
    ("kind: classify, config: {labels: [a], input: question}", ["a"], "at least 2"),
    ("kind: classify, config: {labels: [A, a], input: question}", ["a"], "twice"),
    ("kind: extract, config: {fields: {score: str}, input: question}", ["a"], "the state field is float"),
    ("kind: extract, config: {fields: {score: number}, input: question}", ["a"], "unknown type"),
    ("kind: extract, config: {fields: {scor: float}, input: question}", ["a"], 'did you mean "score"?'),
    ("kind: plan, config: {input: question}", ["a"], 'writes the state field "tasks"'),
    ("kind: sumarize, config: {}", ["a"], 'did you mean "summarize"?'),
]


@pytest.mark.parametrize("node,names,said", LOAD, ids=[f"{i}" for i in range(len(LOAD))])
def test_what_cannot_work_is_refused_at_load(tmp_path, node, names, said):
    g = graph(tmp_path, "g", ["{id: n, %s}" % node])
    core = LlmCore(tmp_path / "core", [{"name": n, "url": "unix:/none", "model": n} for n in names],
                   graphs=[g])
    code, text = core.refused()
    assert code == 2 and said in text, text
    assert "g.yaml:5:" in text and len(text.splitlines()) <= 8


def test_a_graph_may_wish_for_a_declared_model(tmp_path):
    with FakeLLM("yes") as llm:
        other = {"name": "other", "url": "unix:/none", "model": "other"}
        g = graph(tmp_path, "g", [ASK, END], f"lm: {{model: test-model, port: {llm.port}}}\n")
        with LlmCore(tmp_path / "a", [other, llm.declared], graphs=[g]) as core:
            assert core.run("run:g", {"question": "q"})["state"]["answer"] == "yes"
        g = graph(tmp_path, "g", [ASK, END], "lm: {model: test-model, port: 1}\n")
        code, said = LlmCore(tmp_path / "b", [other, llm.declared], graphs=[g]).refused()
    assert code == 2 and 'has the model "test-model" on that port' in said


def test_doctor_looks_at_the_endpoint(tmp_path):
    with FakeLLM() as llm:
        core = LlmCore(tmp_path / "core", [llm.declared, {"name": "off", "url": "unix:/none", "model": "m"}])
        out = subprocess.run(core.command("doctor", "--only", "llm.endpoint"), capture_output=True,
                             text=True, env=core.environment(), timeout=60).stdout
    assert "has the model test-model" in out and "cannot connect to unix:/none" in out


def test_a_reload_does_not_take_a_changed_endpoint(tmp_path):
    g = graph(tmp_path, "g", [ASK, END])
    with FakeLLM("one") as llm, LlmCore(tmp_path / "core", [llm.declared], graphs=[g]) as core:
        core.llms = [{**llm.declared, "model": "another"}]
        core.write_config()
        core.signal(signal.SIGHUP)
        end = time.monotonic() + 20
        while "[[llm]] changed: needs a restart" not in core.stderr and time.monotonic() < end:
            time.sleep(0.02)
        assert "[[llm]] changed: needs a restart" in core.stderr
        core.run("run:g", {"question": "q"})
        assert llm.requests[0]["model"] == "test-model"


def test_the_key_is_sent_and_nowhere_else(tmp_path):
    key = tmp_path / "key"
    key.write_text("sk-very-secret\n")
    key.chmod(0o600)
    g = graph(tmp_path, "g", [JUDGE, END])
    with FakeLLM(Http(401, '{"error": {"message": "bad key"}}')) as llm:
        with LlmCore(tmp_path / "core", [{**llm.declared, "api_key_file": key}], graphs=[g]) as core:
            core.run("run:g", {"question": "q"})
        assert llm.headers[0]["authorization"] == "Bearer sk-very-secret"
    for path in (tmp_path / "core").rglob("*"):
        if path.is_file():
            assert b"very-secret" not in path.read_bytes(), path
    key.chmod(0o644)
    code, said = LlmCore(tmp_path / "other", [{"name": "a", "url": "unix:/x", "model": "m",
                                               "api_key_file": key}]).refused()
    assert code == 2 and "chmod 600" in said
