"""Runs that look things up and remember: over HTTP and on the command line."""
import json
import os
import subprocess

from conftest import MODEL, Cli
from core import Core, Grant, Who, binary

GRAPH = """\
ir_version: "1.0.0"
id: run:lookup
state_schema: {question: str, who: str, hits: list, episodes: list}
stores: [{name: docs, provider: vector}, {name: mem, provider: memory}]
nodes:
  - {id: look, kind: retrieval, config: {stores: [docs], query: question, out: hits, k: 2}}
  - {id: keep, kind: remember, config: {store: mem, content: question, user: "{who}", session: s1, agent: a}}
  - {id: back, kind: recall, config: {store: mem, user: "{who}", out: episodes}}
"""
STORES = [{"name": "docs", "provider": "vector"}, {"name": "mem", "provider": "memory"}]
DOCS = [{"id": "nano", "text": "small, friendly text editor"},
        {"id": "gimp", "text": "GNU Image Manipulation Program"},
        {"id": "nginx", "text": "small, powerful, scalable web/proxy server"}]


def graph(tmp_path):
    (tmp_path / "graphs").mkdir()
    path = tmp_path / "graphs" / "lookup.yaml"
    path.write_text(GRAPH)
    return path


def test_a_run_finds_remembers_and_recalls(tmp_path):
    path = graph(tmp_path)
    with Core(tmp_path / "core", stores=STORES, graphs=[path], model={"model_path": MODEL}) as core:
        assert core.post("/v1/stores/docs/documents", {"documents": DOCS}).status == 200
        start = {"graph_id": "run:lookup", "params": {"question": "changing photographs",
                                                      "who": "Anna"}}
        for n in (1, 2):
            r = core.request("POST", "/v1/runs", start, headers={"Prefer": "wait=30"})
            assert r.status == 200, r
            run = core.get(f"/v1/runs/{r.json()['run_id']}").json()
            assert run["status"] == "done", run
            state = run["state"]
            assert state["hits"][0]["id"] == "gimp" and len(state["hits"]) == 2
            assert len(state["episodes"]) == n
        core.restart()
        assert "2 items" in Cli(core.state_dir).run("stats", "mem")
        assert "0 damaged" in Cli(core.state_dir).run("check")


def test_a_run_needs_the_capabilities_of_its_stores(tmp_path):
    path = graph(tmp_path)
    grants = [Grant(["runs:start", "db.docs:read", "db.mem:read"], subject="CN=half")]
    with Core(tmp_path / "core", profile="cleared", stores=STORES, graphs=[path], grants=grants,
              model={"model_path": MODEL}) as core:
        r = core.request("POST", "/v1/runs", {"graph_id": "run:lookup"}, as_=Who("CN=half"))
        assert r.status == 403 and "db.mem:write" in r.text


def test_a_graph_that_names_no_store_is_refused(tmp_path, cli):
    path = graph(tmp_path)
    cli.model("create", "docz", "--provider", "vector")
    r = subprocess.run([binary(), "run", path, "--state-dir", cli.state, "--model", MODEL],
                       capture_output=True, text=True, env={**os.environ, "HF_HOME": "/nonexistent"})
    assert r.returncode == 2 and 'did you mean "docz"' in r.stderr, r.stderr
    cli.model("create", "docs", "--provider", "vector")
    cli.run("create", "mem", "--provider", "memory")
    cli.model("import", "docs", "-", stdin="".join(json.dumps(d) + "\n" for d in DOCS))
    r = subprocess.run([binary(), "run", path, "--state-dir", cli.state, "--model", MODEL,
                        "--inputs", "question=text editor", "--inputs", "who=Anna",
                        "--summary-json"], capture_output=True, text=True)
    assert r.returncode == 0, r.stderr
    state = json.loads(r.stdout.splitlines()[-1])["state"]
    assert state["hits"][0]["id"] == "nano"
