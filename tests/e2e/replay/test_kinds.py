"""Replay, evidence and comparison of runs whose nodes reach outside: tools, embeddings, searches, memory, artifacts,
subgraphs, rule packs; after a restart, after a kill in the middle, after a change of the graph, the tool and the pack."""
import json
import os
import time

import pytest
from core import Core, toml
from evidence import new_key, stargraph

MODEL = os.environ.get("SG_MODEL_DIR", "/work/models/all-MiniLM-L6-v2")
GRAPH = """ir_version: "1.0.0"
id: "run:outside"
state_schema: {n: int, question: str, r: dict, label: str, v: list, hits: list, episodes: list, artifact_ref: dict, decision: str}
stores: [{name: docs, provider: vector}, {name: mem, provider: memory}]
governance: [{id: demo}]
nodes:
  - {id: call, kind: tool, config: {tool: "stamp", inputs: {n: n}, out: r}}
  - {id: kind, kind: classify_embedding, config: {input: question, out: label, examples: [{label: money, text: "pay the invoice"}, {label: travel, text: "book a flight"}]}}
  - {id: look, kind: retrieval, config: {stores: [docs], query: question, out: hits, k: 2}}
  - {id: keep, kind: remember, config: {store: mem, content: question, user: anna, session: s1, agent: a}}
  - {id: back, kind: recall, config: {store: mem, user: anna, out: episodes}}
  - {id: sub, kind: subgraph, spec: sub.yaml}
  - {id: text, kind: write_artifact, config: {content_field: question, name: q.txt, content_type: text/plain}}
  - {id: gate, kind: interrupt, config: {prompt: "well?"}}
  - {id: slow, kind: tool, config: {tool: "slow", inputs: {n: n}, out: r}}
  - {id: end, kind: halt}
"""
SUB = """ir_version: "1.0.0"
id: "run:sub"
state_schema: {n: int, r: dict}
nodes:
  - {id: call, kind: tool, config: {tool: "stamp", inputs: {n: n}, out: r}}
  - {id: out, kind: halt}
"""
DOCS = [{"id": "bank", "text": "how to pay an invoice"}, {"id": "air", "text": "flights and airports"}]
STAMP = """import json, os, sys, time
a = json.loads(sys.stdin.readline())
print(json.dumps({"n": a["n"], "time": time.time(), "pid": os.getpid(), "made": "%s"}))
"""
SLOW = """import json, sys, time
a = json.loads(sys.stdin.readline())
time.sleep(a["n"])
print(json.dumps({"slept": a["n"]}))
"""


class Site(Core):
    def __init__(self, tmp_path, **keys):
        self.top = tmp_path
        self.key, self.public = new_key(tmp_path / "log.pem")
        self.made = "first"
        self.packs = tmp_path / "packs"
        self.packs.mkdir()
        assert stargraph("pack", "keygen", "--out", tmp_path, "--key-id", "ops").returncode == 0
        self.pack(tmp_path / "packs" / "demo", "1.0", "end")
        (tmp_path / "sub.yaml").write_text(SUB)
        self.graph = tmp_path / "outside.yaml"
        self.graph.write_text(GRAPH)
        super().__init__(tmp_path / "core", graphs=[self.graph], model={"model_path": MODEL},
                         stores=[{"name": "docs", "provider": "vector"}, {"name": "mem", "provider": "memory"}],
                         allow_side_effects=True, limits={"forks_per_minute": 60000}, **keys)

    def pack(self, directory, version, target):
        directory.mkdir(exist_ok=True)
        (directory / "manifest.yaml").write_text(f"id: demo\nversion: '{version}'\n")
        (directory / "rules.clp").write_text(
            f'(defrule after-slow (node-id (id slow)) => (assert (stargraph_action (kind goto) (target "{target}"))))\n')
        r = stargraph("pack", "sign", directory, "--key", self.top / "ops.key.pem", "--key-id", "ops")
        assert r.returncode == 0, r
        return directory

    def write_config(self):
        for name, text in ("stamp", STAMP % self.made), ("slow", SLOW):
            (self.top / f"{name}.py").write_text(text)
        super().write_config()
        with self.config.open("a") as f:
            f.write(f'\n[audit]\nsigning_key = "{self.key}"\nevery_records = 1\nevery_seconds = 1\n')
            f.write(f'\n[packs]\ndirectories = ["{self.packs}"]\n')
            for name in "stamp", "slow":
                tool = {"id": name, "command": ["/usr/bin/python3", str(self.top / f"{name}.py")], "side_effects": "read"}
                f.write("\n[[tool]]\n" + "".join(f"{k} = {toml(v)}\n" for k, v in tool.items()))

    def verb(self, name, *args, code=0):
        r = stargraph(name, *args)
        assert r.returncode == code, r
        return r

    def settled(self, run_id, until=("done", "failed", "awaiting-input")):
        end = time.monotonic() + 60
        while (run := self.get(f"/v1/runs/{run_id}").json())["status"] not in until:
            assert time.monotonic() < end, run
            time.sleep(0.01)
        return run

    def asked(self, n=0):
        """A run that stands at its question."""
        run = self.run("run:outside", {"n": n, "question": "pay what I owe"}, wait=60)
        assert run["status"] == "awaiting-input", run
        return run["run_id"]

    def answer(self, run_id):
        r = self.post(f"/v1/runs/{run_id}/respond", {"response": {"decision": "yes"}})
        assert r.status in (200, 202), r

    def identical(self, run_id):
        r = self.post(f"/v1/runs/{run_id}/replay", timeout=60)
        assert r.status == 200 and r.json()["identical"] is True, r
        self.replays_here(run_id)

    def replays_here(self, run_id, code=0):
        return self.verb("replay", run_id, "--model", MODEL, "--state-dir", self.state_dir, code=code)

    def evidence(self, run_id, name="run.sge"):
        path = self.top / name
        path.unlink(missing_ok=True)
        end = time.monotonic() + 30
        while True:
            self.verb("export", run_id, "-o", path, "--state-dir", self.state_dir)
            r = stargraph("verify", path, "--key", self.public, "--model", MODEL, "--json")
            if r.returncode == 0:
                return path
            assert time.monotonic() < end and json.loads(r.stdout)["cause"] == "uncovered", r
            path.unlink()
            time.sleep(0.3)


@pytest.fixture
def site(tmp_path):
    with Site(tmp_path) as core:
        r = core.post("/v1/stores/docs/documents", {"documents": DOCS})
        assert r.status == 200, r
        yield core


def test_every_kind_replays_and_verifies_whatever_changed_since(site):
    run_id = site.asked()
    site.identical(run_id)
    site.answer(run_id)
    run = site.settled(run_id)
    assert run["status"] == "done" and run["path"][-2:] == ["slow", "end"], run
    assert run["state"]["r"] == {"slept": 0} and run["state"]["label"] == "money", run
    assert run["state"]["hits"][0]["id"] == "bank" and len(run["state"]["episodes"]) == 1
    steps = json.loads(site.verb("inspect", run_id, "--json", "--state-dir", site.state_dir).stdout)
    assert {"sub/call", "sub"} <= {s["last_node"] for s in steps}
    site.identical(run_id)
    evidence = site.evidence(run_id)
    told = site.get(f"/v1/runs/{run_id}/diff/{run_id}", timeout=60).json()
    assert told["identical"]
    # the world goes on: another tool, other documents, another pack, another graph, a restart
    site.stop()
    site.made = "second"
    site.pack(site.packs / "demo", "2.0", "call")
    site.graph.write_text(GRAPH.replace("well?", "really?"))
    site.write_config()
    site.start()
    assert site.post("/v1/stores/docs/documents", {"documents": [{"id": "bank", "text": "rivers"}]}).status == 200
    other = site.asked()
    assert site.get(f"/v1/runs/{other}").json()["state"]["r"]["made"] == "second"
    site.identical(run_id)
    site.identical(other)
    diff = site.get(f"/v1/runs/{run_id}/diff/{other}", timeout=60).json()
    assert diff["axes"] == ["graph", "pack"] and "outside" in diff["steps"][0]["axes"], diff["axes"]
    site.verb("verify", evidence, "--key", site.public, "--model", MODEL)
    # the mounted pack leads back: told, without the tool being called
    r = site.verb("compare", "--pack", site.packs / "demo", run_id, "--model", MODEL, "--json", "--state-dir", site.state_dir)
    one = json.loads(r.stdout)["runs"][0]
    assert one["verdict"] == "refused" and "call" in one["text"], one


def test_evidence_with_the_wrong_no_or_a_carried_key(site, tmp_path):
    run_id = site.asked()
    path = site.evidence(run_id)
    _, other = new_key(tmp_path / "other.pem")
    r = stargraph("verify", path, "--key", other, "--model", MODEL, "--json")
    assert r.returncode == 4 and json.loads(r.stdout)["cause"] == "wrong-key", r
    r = stargraph("verify", path, "--model", MODEL)
    assert r.returncode == 5 and "unpinned: no --key was given" in r.stderr, r
    r = stargraph("verify", path, "--key", tmp_path / "nowhere.pub", "--model", MODEL)
    assert r.returncode == 2 and "nowhere.pub" in r.stderr, r


@pytest.mark.parametrize("at", ["asked", "slow"])
def test_a_run_that_was_killed_and_resumed_replays(site, at):
    run_id = site.asked(n=2)
    if at == "slow":
        site.answer(run_id)
        time.sleep(0.5)
        assert site.get(f"/v1/runs/{run_id}").json()["status"] == "running"
    site.kill()
    site.start()
    if at == "asked":
        site.identical(run_id)
        site.answer(run_id)
    run = site.settled(run_id, ("done", "failed", "paused"))
    assert run["status"] == "done" and run["state"]["r"] == {"slept": 2}, run
    site.identical(run_id)
    site.evidence(run_id)


def test_a_fork_takes_results_from_the_record_and_asks_no_tool(site):
    run_id = site.asked()
    site.answer(run_id)
    site.settled(run_id)
    stores = site.get("/v1/stores").json()
    assert [s["items"] for s in stores if s["name"] == "mem"] == [1], stores
    (site.top / "stamp.py").write_text("raise SystemExit('never to be run')\n")
    (site.top / "slow.py").write_text("raise SystemExit('never to be run')\n")
    r = site.post(f"/v1/runs/{run_id}/counterfactual", {"step": 1, "mutation": {}, "inherit_answers": True}, timeout=60)
    assert r.status == 202, r
    fork = site.settled(r.json()["run_id"])
    assert fork["status"] == "done", fork
    diff = site.get(f"/v1/runs/{run_id}/diff/{fork['run_id']}", timeout=60).json()
    assert diff["identical"], diff["first"]
    # what it would have to do itself, it is refused: here a memory of another text
    r = site.post(f"/v1/runs/{run_id}/counterfactual", {"step": 1, "inherit_answers": True, "mutation": {
        "state_overrides": {"question": "book a hotel"}, "node_output_overrides": {"look": {"hits": []}}}}, timeout=60)
    other = site.settled(r.json()["run_id"])
    assert (other["status"], other["error_class"]) == ("failed", "fork-refused") and "keep (remember)" in other["error_cause"], other
    assert site.get("/v1/stores").json() == stores, "a fork wrote into a store"
    site.identical(other["run_id"])
    site.identical(fork["run_id"])
    site.evidence(fork["run_id"])
