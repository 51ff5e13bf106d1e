"""Episodes become facts: the example graph under a cron trigger, over kills."""
import time
from pathlib import Path

from core import Core

TOP = Path(__file__).resolve().parents[3]
EXAMPLE = TOP / "deploy/memory/consolidate.yaml"
STORES = [{"name": "mem", "provider": "memory"}, {"name": "known", "provider": "fact"}]
TICK = {"id": "consolidate", "kind": "cron", "graph": "run:consolidate", "schedule": "* * * * * *",
        "params": {"user": "Anna"}}
SAY = """\
ir_version: "1.0.0"
id: run:say
state_schema: {text: str, user: str}
nodes:
  - {id: keep, kind: remember, config: {store: mem, content: text, user: "{user}", session: s, agent: a}}
"""
LOOK = """\
ir_version: "1.0.0"
id: run:look
state_schema: {user: str, facts: list, episodes: list}
nodes:
  - {id: back, kind: recall, config: {store: mem, user: "{user}", limit: 50, out: episodes}}
  - {id: see, kind: facts, config: {store: known, user: "{user}", out: facts}}
"""


def run(core, graph, **params):
    r = core.request("POST", "/v1/runs", {"graph_id": graph, "params": params},
                     headers={"Prefer": "wait=30"})
    assert r.status == 200, r
    state = core.get(f"/v1/runs/{r.json()['run_id']}").json()
    assert state["status"] == "done", state
    return state["state"]


def look(core, until):
    """The state once every episode is marked `until` says so, or after 20 s as it is."""
    for _ in range(80):
        state = run(core, "run:look", user="Anna")
        if until(state):
            break
        time.sleep(0.25)
    return state


def taken(n):
    return lambda s: len([e for e in s["episodes"] if e["rule_match_count"]]) == n


def drinks(state):
    return [(f["payload"]["object"], [one["rule_id"] for one in f["lineage"]]) for f in state["facts"]]


def test_cron_consolidates_each_episode_once_over_kills(tmp_path):
    for name, text in (("say", SAY), ("look", LOOK)):
        (tmp_path / f"{name}.yaml").write_text(text)
    with Core(tmp_path / "core", stores=STORES, triggers=[TICK],
              graphs=[EXAMPLE, tmp_path / "say.yaml", tmp_path / "look.yaml"]) as core:
        said = ["Good morning", "I drink tea"]
        for text in said:
            run(core, "run:say", text=text, user="Anna")
        assert drinks(look(core, taken(2))) == [("I drink tea", ["drinks-first"])]
        core.kill()
        core.start()
        run(core, "run:say", text="I drink coffee", user="Anna")
        core.kill()
        core.start()
        (what, by), = drinks(look(core, taken(3)))
        assert what == "I drink coffee" and by[-1] == "drinks-now"
        run(core, "run:say", text="I stopped drinking", user="Anna")
        state = look(core, taken(4))
        assert state["facts"] == []
        core.kill()
        core.start()
        time.sleep(2.5)  # further ticks find nothing left
        state = run(core, "run:look", user="Anna")
        assert [e["rule_match_count"] for e in state["episodes"]] == [1, 1, 1, 1]
        runs = core.get("/v1/runs?limit=1000&trigger_source=cron:consolidate").json()["items"]
        assert runs and not [r for r in runs if r["status"] == "failed"]


def test_what_rules_matched_outranks_what_is_newer(tmp_path):
    for name, text in (("say", SAY), ("look", LOOK)):
        (tmp_path / f"{name}.yaml").write_text(text)
    with Core(tmp_path / "core", stores=STORES,
              graphs=[EXAMPLE, tmp_path / "say.yaml", tmp_path / "look.yaml"]) as core:
        run(core, "run:say", text="I drink tea", user="Anna")
        run(core, "run:consolidate", user="Anna")
        run(core, "run:say", text="Good evening", user="Anna")
        first, second = run(core, "run:look", user="Anna")["episodes"]
        assert first["content"] == "I drink tea" and first["salience"] > 0
        assert second["content"] == "Good evening" and second["salience"] == 0
