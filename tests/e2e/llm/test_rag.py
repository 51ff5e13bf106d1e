"""kind rag: what was found, what was answered, and that the citations are of what was found."""
import json
import os
import subprocess
from pathlib import Path

import pytest
from core import Grant, Who
from fakellm import FakeLLM
from test_llm import ALICE, LlmCore, cli

GRAPH = """ir_version: "1.0.0"
id: "run:rag"
%s
state_schema: {question: str, answer: str, citations: list, hits: list, llm_error: str}
nodes:
  - {id: qa, kind: rag, config: {query: question, stores: [%s], hits: hits%s}}
  - {id: end, kind: halt}
"""
TEXTS = {"rules.md": "Rules route a run; no model does.", "runs.md": "Runs are stored step by step.",
         "audit.md": "Every step has a line in the audit log."}


def graph(directory, stores="docs", more="", head=""):
    path = Path(directory) / "rag.yaml"
    path.write_text(GRAPH % (head, stores, more))
    return path


def fill(cwd, name="docs", provider="document", texts=None, model=None):
    flags = ["--state-dir", "core/state"] + (["--model", model] if model else [])
    made = [["create", name, "--provider", provider]] + [
        ["add", name, "--id", i, "--text", t] for i, t in (texts or TEXTS).items()]
    for args in made:
        p = cli(cwd, "store", *args, *(flags if args[0] != "create" or model else flags[:2]))
        assert p.returncode == 0, p.stderr


def cite(*ids):
    return {"answer": "as cited", "citations": list(ids)}


def test_hits_answer_and_citations_are_recorded(tmp_path):
    os.makedirs(tmp_path / "core/state", mode=0o700)
    fill(tmp_path)
    with FakeLLM(cite("rules.md", "rules.md")) as llm:
        with LlmCore(tmp_path / "core", [llm.declared], graphs=[graph(tmp_path)]) as core:
            r = core.run("run:rag", {"question": "what do rules route in a run"})
            audit = core.audit()
    assert r["status"] == "done", r
    state = r["state"]
    assert state["answer"] == "as cited" and state["citations"] == ["rules.md"]
    assert state["hits"][0]["id"] == "rules.md" and state["hits"][0]["source"] == "docs"
    prompt = llm.requests[0]["messages"][-1]["content"]
    assert "[rules.md]\nRules route a run" in prompt and prompt.startswith("Question:\nwhat do rules")
    assert any(a["type"] == "llm_call" for a in audit)
    # neither store nor model is asked again
    p = cli(tmp_path, "replay", r["run_id"], "--state-dir", "core/state")
    assert p.returncode == 0 and "identical" in p.stdout
    out = cli(tmp_path, "export", r["run_id"], "--state-dir", "core/state", "--output", "e.json")
    assert out.returncode == 0, out.stderr
    text = (tmp_path / "e.json").read_text()
    assert "index_sha256" in text and "as cited" in text and "request_sha256" in text


def test_two_stores_become_one_list(tmp_path):
    os.makedirs(tmp_path / "core/state", mode=0o700)
    model = os.environ["SG_MODEL_DIR"]
    fill(tmp_path)
    fill(tmp_path, "vecs", "vector", {"meaning.md": "The rule engine decides where execution goes."},
         model=model)
    g = graph(tmp_path, "docs, vecs", ", k: 4",
              "stores: [{name: docs, provider: document}, {name: vecs, provider: vector}]")
    with FakeLLM(cite("meaning.md", "rules.md")) as llm:
        with LlmCore(tmp_path / "core", [llm.declared], graphs=[g],
                     model={"model_path": model}) as core:
            r = core.run("run:rag", {"question": "which rules route a run"})
    assert {h["source"] for h in r["state"]["hits"]} == {"docs", "vecs"}
    # in the order of the hits, whatever the order of the citations
    order = [h["id"] for h in r["state"]["hits"]]
    assert r["state"]["citations"] == [i for i in order if i in ("meaning.md", "rules.md")]


def test_an_invented_citation_is_no_answer(tmp_path):
    os.makedirs(tmp_path / "core/state", mode=0o700)
    fill(tmp_path)
    for more, check in (("", ("failed", "llm-citation")), (", error: llm_error", ("done", None))):
        with FakeLLM(cite("rules.md", "made-up.md")) as llm:
            with LlmCore(tmp_path / "core", [llm.declared], graphs=[graph(tmp_path, more=more)]) as core:
                r = core.run("run:rag", {"question": "rules"})
        assert (r["status"], r.get("error_class")) == check
        if not more:
            assert 'cites "made-up.md", which was not found' in r["error_cause"]
        else:
            assert r["state"]["llm_error"] == "llm-citation" and r["state"]["citations"] == []


def test_nothing_found_asks_nobody(tmp_path):
    os.makedirs(tmp_path / "core/state", mode=0o700)
    fill(tmp_path)
    with FakeLLM(cite()) as llm:
        with LlmCore(tmp_path / "core", [llm.declared], graphs=[graph(tmp_path)]) as core:
            r = core.run("run:rag", {"question": "zebra xylophone"})
            assert r["state"]["answer"] == "" and r["state"]["citations"] == []
            assert not llm.requests
            assert not any(a["type"] == "llm_call" for a in core.audit())
    assert "identical" in cli(tmp_path, "replay", r["run_id"], "--state-dir", "core/state").stdout


def test_a_long_document_is_shown_in_part_and_its_characters_are_whole(tmp_path):
    os.makedirs(tmp_path / "core/state", mode=0o700)
    fill(tmp_path, texts={"long.md": "rules " + "ü" * 3000})
    with FakeLLM(cite("long.md")) as llm:
        with LlmCore(tmp_path / "core", [llm.declared], graphs=[graph(tmp_path)]) as core:
            assert core.run("run:rag", {"question": "rules"})["status"] == "done"
    shown = llm.requests[0]["messages"][-1]["content"].split("[long.md]\n")[1].strip()
    assert len(shown) <= 1500 and shown.startswith("rules ü")


def test_both_capabilities_are_asked_under_cleared(tmp_path):
    os.makedirs(tmp_path / "core/state", mode=0o700)
    fill(tmp_path)
    base = ["runs:start", "runs:read"]
    grants = [Grant(subject=f"CN={n},O=Test", capabilities=base + more) for n, more in (
        ("alice", ["llm.local", "db.docs:read"]), ("bob", ["llm.local"]), ("carol", ["db.docs:read"]))]
    body = {"graph_id": "run:rag", "params": {"question": "rules"}}
    with FakeLLM(cite("rules.md")) as llm, LlmCore(
            tmp_path / "core", [llm.declared], graphs=[graph(tmp_path)], grants=grants,
            profile="cleared", tcp=False) as core:
        for who, lacks in (("bob", "db.docs:read"), ("carol", "llm.local")):
            r = core.post("/v1/runs", body, as_=Who(f"CN={who},O=Test"))
            assert r.status == 403 and lacks in r.text
        assert core.post("/v1/runs", body, as_=Who(ALICE), headers={"Prefer": "wait=20"}).status < 300


@pytest.mark.parametrize("stores,said", [("dosc", "dosc"), ("mem", "provider memory")])
def test_a_store_that_does_not_fit_is_refused_at_load(tmp_path, stores, said):
    os.makedirs(tmp_path / "core/state", mode=0o700)
    fill(tmp_path)
    assert cli(tmp_path, "store", "create", "mem", "--provider", "memory", "--state-dir",
               "core/state").returncode == 0
    core = LlmCore(tmp_path / "core", [{"name": "a", "url": "unix:/x", "model": "m"}],
                   graphs=[graph(tmp_path, stores)])
    code, text = core.refused()
    assert code == 2 and said in text and "rag.yaml:" in text
