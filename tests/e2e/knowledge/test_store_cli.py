"""Knowledge stores on the command line: import, search, restart, refusal."""
import json
import os
import re
import signal
import subprocess
import time

import pytest

from conftest import MODEL
from core import binary

DOCS = [
    ("nano", "small, friendly text editor", {"section": "editors", "size": 3}),
    ("vim", "Vi IMproved - enhanced vi editor", {"section": "editors", "size": 4}),
    ("nginx", "small, powerful, scalable web/proxy server", {"section": "httpd", "size": 1}),
    ("postgresql", "object-relational SQL database", {"section": "database", "size": 9}),
    ("gimp", "GNU Image Manipulation Program", {"section": "graphics", "size": 20}),
]


def lines(docs=DOCS):
    return "".join(json.dumps({"id": i, "text": t, "metadata": m}) + "\n" for i, t, m in docs)


@pytest.fixture
def imported(cli, tmp_path):
    (tmp_path / "d.jsonl").write_text(lines())
    cli.model("create", "docs", "--provider", "vector")
    assert "5 added" in cli.model("import", "docs", tmp_path / "d.jsonl")
    return cli


def ids(hits):
    return [h["id"] for h in hits]


def test_every_mode_finds_and_every_hit_says_where_it_is_from(imported):
    for mode in ("vector", "text", "hybrid"):
        hits = imported.json("search", "docs", "text editor", "--mode", mode, "--model", MODEL)
        assert set(ids(hits)[:2]) == {"nano", "vim"}, mode
        for h in hits:
            assert h["source"] == "docs" and len(h["index_sha256"]) == 64
            assert h["metadata"]["section"] and h["text"] and h["score"] > 0
    assert ids(imported.json("search", "docs", "changing photographs", "--mode", "vector",
                             "--model", MODEL))[0] == "gimp"


def test_a_filter_holds_before_ranking(imported):
    search = ("search", "docs", "text editor", "--model", MODEL, "-k", "2", "--filter")
    assert ids(imported.json(*search, '{"section":{"in":["httpd","database"]}}')) == [
        "nginx", "postgresql"]
    assert ids(imported.json(*search, '{"size":{"gte":9,"lt":20}}')) == ["postgresql"]
    assert imported.json(*search, '{"section":"none"}') == []
    assert 'did you mean "gte"' in imported.run(*search, '{"size":{"gt_e":9}}', code=2)


def test_an_import_again_costs_nothing_and_changes_are_real(imported, tmp_path):
    f = tmp_path / "d.jsonl"
    assert "5 unchanged; documents: 0 added, 0 updated, 0 deleted; 0 tokens" in imported.model(
        "import", "docs", f)
    before = imported.json("stats", "docs")[0]["generation"]
    changed = [("vim", "a screwdriver", {})] + DOCS[2:]
    f.write_text(lines(changed))
    assert "1 updated" in imported.model("import", "docs", f)
    assert imported.json("stats", "docs")[0]["generation"] > before
    assert ids(imported.json("search", "docs", "editor", "--mode", "text", "--model", MODEL)) == [
        "nano"]
    assert "1 documents deleted" in imported.run("delete", "docs", "nano", "absent")
    assert imported.json("search", "docs", "editor", "--mode", "text", "--model", MODEL) == []
    assert "4 items" in imported.run("stats", "docs")
    assert "4 items: 0 damaged" in imported.run("check")


def test_folders_are_cut_into_chunks_and_pruned(cli, tmp_path):
    d = tmp_path / "notes"
    (d / "sub").mkdir(parents=True)
    long = "# Birds\n\n" + " ".join(f"Sentence {i} is about herons and their nests." for i in range(60))
    (d / "birds.md").write_text(long)
    (d / "sub" / "tax.txt").write_text("Income tax is due in April.")
    (d / "skipped.bin").write_bytes(b"\xff\x00")
    os.symlink("/etc/passwd", d / "link.txt")
    cli.model("create", "notes", "--provider", "vector")
    out = cli.model("import", "notes", d, "--chunk-tokens", "100", "--overlap", "20")
    assert out.startswith("2 sources")
    hits = cli.json("search", "notes", "when must I pay taxes", "--model", MODEL)
    assert hits[0]["id"] == "sub/tax.txt" and hits[0]["metadata"] == {"folder": "notes",
                                                                           "path": "sub/tax.txt"}
    birds = [h for h in hits if h["id"].startswith("birds.md#")]
    assert len(birds) >= 5
    assert birds[0]["metadata"]["title"] == "Birds"
    assert birds[0]["metadata"]["document"] == "birds.md"
    (d / "birds.md").write_text("# Birds\n\nOne sentence.")
    assert "1 added" in cli.model("import", "notes", d, "--chunk-tokens", "100", "--overlap", "20")
    assert "2 items" in cli.run("stats", "notes")
    (d / "sub" / "tax.txt").unlink()
    line = tmp_path / "one.jsonl"
    line.write_text(lines([("kept.md", "A line's id may look like a file's.", {})]))
    cli.model("import", "notes", line)
    assert "1 deleted" in cli.model("import", "notes", d, "--prune", "--chunk-tokens", "100",
                                    "--overlap", "20")
    assert "2 items: 0 damaged" in cli.run("check")


def test_prune_leaves_other_folders_alone(cli, tmp_path):
    for name, files in (("a", ["a.md"]), ("b", ["b.md", "c.md"])):
        (tmp_path / name).mkdir()
        for f in files:
            (tmp_path / name / f).write_text(f"Of {f}.")
    cli.run("create", "notes", "--provider", "document")
    cli.run("import", "notes", tmp_path / "a", tmp_path / "b")
    (tmp_path / "b" / "c.md").unlink()
    assert "1 deleted" in cli.run("import", "notes", "--prune", f"{tmp_path / 'b'}/")
    assert "2 items" in cli.run("stats", "notes")
    (tmp_path / "b" / "b.md").unlink()
    assert "1 deleted" in cli.run("import", "notes", "--prune", tmp_path / "b")
    assert "1 items" in cli.run("stats", "notes")


def test_a_killed_import_is_started_again_as_it_was(cli, tmp_path):
    f = tmp_path / "many.jsonl"
    f.write_text(lines([(f"d{i}", f"document number {i} about {i * 7919}", {}) for i in range(3000)]))
    cli.model("create", "docs", "--provider", "vector")
    p = subprocess.Popen([binary(), "store", "import", "docs", f, "--model", MODEL, "--state-dir",
                          cli.state, "--workers", "1"], stdout=subprocess.DEVNULL,
                         stderr=subprocess.DEVNULL)
    end = time.monotonic() + 100
    while time.monotonic() < end and cli.json("stats", "docs")[0]["items"] < 200:
        time.sleep(0.05)
    p.send_signal(signal.SIGKILL)
    p.wait()
    had = cli.json("stats", "docs")[0]["items"]
    assert 200 <= had < 3000
    assert "0 damaged" in cli.run("check")
    out = cli.model("import", "docs", f)
    assert f"3000 sources, {had} unchanged; documents: {3000 - had} added" in out
    assert "3000 items: 0 damaged" in cli.run("check")


def test_vectors_of_another_kernel_are_refused_until_reembedded(imported):
    other = ("--model", MODEL, "--kernel", "bf16-emulated")
    err = imported.run("search", "docs", "editor", *other, code=2)
    assert "IncompatibleEmbeddingHashError" in err or "holds vectors of (" in err
    assert err.count("sentence-transformers/all-MiniLM-L6-v2") == 2
    assert "5 documents re-embedded" in imported.run("reembed", "docs", *other)
    assert ids(imported.json("search", "docs", "editor", "--mode", "text", *other))
    assert "holds vectors of (" in imported.model("search", "docs", "editor", code=2)
    assert "already" in imported.run("reembed", "docs", *other)
    assert "0 damaged" in imported.run("check")


def test_a_killed_reembedding_goes_on_where_it_stopped(cli, tmp_path):
    """Until it is done no model may search the store; then each document has been embedded once."""
    f = tmp_path / "many.jsonl"
    f.write_text(lines([(f"d{i}", f"document number {i} about {i * 7919}", {}) for i in range(2000)]))
    cli.model("create", "docs", "--provider", "vector")
    cli.model("import", "docs", f)
    other = ("--model", MODEL, "--kernel", "bf16-emulated")
    p = subprocess.Popen([binary(), "store", "reembed", "docs", *other, "--state-dir", cli.state],
                         stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    before = cli.json("stats", "docs")[0]["generation"]
    end = time.monotonic() + 100
    while time.monotonic() < end and cli.json("stats", "docs")[0]["generation"] == before:
        assert p.poll() is None
        time.sleep(0.01)
    p.send_signal(signal.SIGKILL)
    p.stderr.close()
    p.wait()
    assert "0 damaged" in cli.run("check")
    for kernel in ((), ("--kernel", "bf16-emulated")):
        cli.run("search", "docs", "document", "--model", MODEL, *kernel, code=2)
    done = int(re.search(r"(\d+) documents re-embedded", cli.run("reembed", "docs", *other)).group(1))
    assert 0 < done < 2000, done
    assert "2000 items: 0 damaged" in cli.run("check")
    assert len(cli.json("search", "docs", "document number 7", *other)) > 0


def test_wrong_input_is_named_and_what_came_before_is_kept(cli, tmp_path):
    cli.run("create", "docs", "--provider", "document")
    for bad, word in (
            ('{"id":"x"}', '"id" and "text"'), ('{"id":"x","text":"t","metdata":{}}', 'did you mean "metadata"'),
            ('[1]', "not an object"), ('{"id":"","text":"t"}', "document id"),
            ('{"id":"x","text":"t","metadata":{"a":[1]}}', "not a string, number"),
            ('{"id":"x","text":', "line 2")):
        err = cli.run("import", "docs", "-", stdin='{"id":"first","text":"good"}\n' + bad + "\n",
                      code=2)
        assert word in err and "line 2" in err, (bad, err)
    assert "1 items" in cli.run("stats", "docs")
    assert "not .jsonl" in cli.run("import", "docs", "/etc/passwd", code=2)
    assert 'did you mean "docs"' in cli.run("import", "doc", "-", stdin="", code=2)
    assert "no provider" in cli.run("create", "x", "--provider", "vektor", code=2)
    assert "no name of a store" in cli.run("create", "X y", "--provider", "document", code=2)
    assert 'did you mean "search"' in cli.run("serch", "docs", "q", code=2)
    assert "has no vectors" in cli.run("search", "docs", "q", "--mode", "vector", code=2)


def test_a_document_store_needs_no_model(cli):
    cli.run("create", "plain", "--provider", "document")
    cli.run("add", "plain", "--id", "a", "--text", "a heron stands", "--metadata", '{"n":1}')
    assert ids(cli.json("search", "plain", "herons")) == ["a"]


def test_one_process_owns_the_state_directory(cli):
    cli.run("create", "plain", "--provider", "document")
    p = subprocess.Popen([binary(), "store", "import", "plain", "-", "--state-dir", cli.state],
                         stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    end = time.monotonic() + 20
    while time.monotonic() < end and (cli.state / "lock").read_text() != f"{p.pid}\n":
        time.sleep(0.02)
    assert f"in use by process {p.pid}" in cli.run("delete", "plain", "x", code=2)
    cli.run("search", "plain", "herons")  # reading goes on
    p.communicate(b"")
