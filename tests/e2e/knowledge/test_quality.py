"""How well the stores find: the labelled queries over Debian's package descriptions. The kept rivals
in CI; with SG_LONG=1 all packages that this host's lists have (about 10 minutes on one core)."""
import json
import os
import subprocess
from pathlib import Path

from conftest import MODEL
from core import Core

HERE = Path(__file__).parent / "packages"
QUERIES = [line.split("\t") for line in (HERE / "queries.tsv").read_text().splitlines()]


def all_packages():
    """One JSON line a package that apt knows on this host."""
    out = subprocess.run(["apt-cache", "dumpavail"], capture_output=True, text=True,
                         errors="replace", check=True).stdout
    seen = {}
    for block in out.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n")
                      if ": " in line and line[0] not in " \t")
        name = fields.get("Package")
        if name and name not in seen:
            seen[name] = {"id": name, "text": f"{name}: {fields.get('Description', '')}",
                          "metadata": {"section": fields.get("Section", "")}}
    return "".join(json.dumps(p) + "\n" for p in seen.values())


def recall(core, mode):
    found = 0
    for query, wanted in QUERIES:
        r = core.post("/v1/stores/packages/search",
                      {"query": query, "mode": mode, "k": 10, "text": False})
        found += wanted in [h["id"] for h in r.json()["hits"]]
    return found / len(QUERIES)


def judge(cli, tmp_path, lines):
    source = tmp_path / "packages.jsonl"
    source.write_text(lines)
    cli.model("create", "packages", "--provider", "vector")
    cli.model("import", "packages", source, timeout=3600)
    core = Core(tmp_path / "core", model={"model_path": MODEL}, state_dir=cli.state)
    with core:
        got = {mode: recall(core, mode) for mode in ("vector", "text", "hybrid")}
    assert got["hybrid"] >= 0.85, got
    assert got["hybrid"] > got["vector"] and got["hybrid"] > got["text"], got


def test_hybrid_finds_more_than_either(cli, tmp_path):
    assert len(QUERIES) >= 60
    judge(cli, tmp_path, (HERE / "packages.jsonl").read_text())


if os.environ.get("SG_LONG"):
    def test_among_all_packages_too(cli, tmp_path):
        judge(cli, tmp_path, all_packages())
