"""Triggers: cron over restarts, webhooks with their HMAC, manual ones, and bad declarations."""
import hashlib
import hmac
import json
import time

import pytest
from conftest import ALICE, BOB, grants
from core import Core, Grant, Who

SECRET = b"0123456789abcdef0123456789abcdef"
EVERY_SECOND = {"id": "tick", "kind": "cron", "graph": "run:done", "schedule": "* * * * * *"}


@pytest.fixture
def secret(tmp_path):
    path = tmp_path / "hook.secret"
    path.write_bytes(SECRET + b"\n")
    path.chmod(0o600)
    return path


def webhook(secret, **more):
    return {"id": "hook", "kind": "webhook", "graph": "run:done", "secret_file": str(secret), **more}


def signed(body, at=None, key=SECRET):
    stamp = str(int(time.time()) if at is None else at)
    mac = hmac.new(key, stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    return {"X-Stargraph-Timestamp": stamp, "X-Stargraph-Signature": mac}


def deliver(core, body=b"{}", headers=None, **kw):
    return core.request("POST", "/v1/triggers/hook", body,
                        headers=signed(body) if headers is None else headers, **kw)


def runs_of(core, source):
    return core.get(f"/v1/runs?limit=1000&trigger_source={source}").json()["items"]


def test_cron_neither_loses_nor_doubles_a_tick_over_kills(tmp_path, graphs):
    with Core(tmp_path / "core", graphs=[graphs],
              triggers=[{**EVERY_SECOND, "missed": "run_all"}]) as core:
        started = time.time()
        for pause in (1.3, 0.4, 2.1, 0.05):
            time.sleep(pause)
            core.kill()
            time.sleep(pause)
            core.start()
        time.sleep(1.2)
        now = time.time()
        runs = runs_of(core, "cron:tick")
        ticks = [r["payload"]["tick"] for r in core.audit()
                 if r["type"] == "trigger" and r["payload"]["kind"] == "fired"]
    assert len(set(ticks)) == len(ticks), "no tick twice"
    assert len(runs) == len(ticks)
    assert {r["actor"] for r in runs} == {"trigger:tick"}
    seconds = sorted(int(time.mktime(time.strptime(t[:19], "%Y-%m-%dT%H:%M:%S"))) for t in ticks)
    assert seconds == list(range(seconds[0], seconds[-1] + 1)), "no tick lost"
    assert abs(len(ticks) - (now - started)) <= 2.5


def test_missed_ticks_are_skipped_by_policy(tmp_path, graphs):
    with Core(tmp_path / "core", graphs=[graphs],
              triggers=[{**EVERY_SECOND, "missed": "skip"}]) as core:
        time.sleep(0.5)
        core.kill()
        time.sleep(3)
        core.start()
        time.sleep(0.5)
        missed = [r for r in core.audit()
                  if r["type"] == "trigger" and r["payload"]["kind"] == "missed"]
    assert missed and missed[0]["payload"]["ticks"] >= 2
    assert missed[0]["payload"]["policy"] == "skip"


def test_a_webhook_starts_a_run_as_its_trigger(tmp_path, graphs, secret):
    with Core(tmp_path / "core", graphs=[graphs], triggers=[webhook(secret)]) as core:
        r = deliver(core)
        assert r.status == 202, r
        run = core.get("/v1/runs/" + r.json()["run_id"]).json()
        assert (run["actor"], run["trigger_source"]) == ("trigger:hook", "webhook:hook")
        fired = [a for a in core.audit() if a["type"] == "trigger"][-1]
        assert fired["payload"]["by"] == "anonymous" and fired["run"] == run["run_id"]


def test_a_replayed_webhook_is_refused_after_a_restart_too(tmp_path, graphs, secret):
    with Core(tmp_path / "core", graphs=[graphs], triggers=[webhook(secret)]) as core:
        headers = signed(b"{}")
        assert deliver(core, headers=headers).status == 202
        assert deliver(core, headers=headers).json()["detail"] == "duplicate_nonce"
        core.restart()
        r = deliver(core, headers=headers)
        assert (r.status, r.json()["detail"]) == (409, "duplicate_nonce")
        assert len(runs_of(core, "webhook:hook")) == 1
        assert core.audit()[-2]["payload"]["kind"] == "duplicate_nonce" or \
            core.audit()[-1]["payload"]["kind"] == "duplicate_nonce"


@pytest.mark.parametrize("change, detail", [
    (lambda h: h.pop("X-Stargraph-Signature"), "missing_headers"),
    (lambda h: h.update({"X-Stargraph-Timestamp": "now"}), "invalid_timestamp"),
    (lambda h: h.update(signed(b"{}", time.time() // 1 - 302)), "invalid_timestamp"),
    (lambda h: h.update(signed(b"{}", int(time.time()) - 302)), "timestamp_out_of_window"),
    (lambda h: h.update(signed(b"{}", int(time.time()) + 310)), "timestamp_out_of_window"),
    (lambda h: h.update(signed(b"{}", key=b"another secret 0123")), "invalid_signature"),
    (lambda h: h.update(signed(b"{ }")), "invalid_signature"),
], ids=["none", "words", "float", "old", "future", "key", "body"])
def test_a_forged_webhook_is_refused_and_audited(tmp_path, graphs, secret, change, detail):
    with Core(tmp_path / "core", graphs=[graphs], triggers=[webhook(secret)]) as core:
        headers = signed(b"{}")
        change(headers)
        r = deliver(core, headers=headers)
        assert (r.status, r.json()["detail"]) == (401, detail)
        assert core.audit()[-1]["payload"]["kind"] == detail
        assert runs_of(core, "webhook:hook") == []


def test_a_webhook_is_bounded_and_takes_objects_only(tmp_path, graphs, secret):
    with Core(tmp_path / "core", graphs=[graphs],
              triggers=[webhook(secret, body_bytes=100)]) as core:
        assert deliver(core, b'{"x":"' + b"y" * 100 + b'"}').status == 413
        assert deliver(core, b"[]").status == 422
        assert deliver(core, b"{").status == 422
        assert deliver(core, headers={**signed(b"{}"), "Content-Type": "text/plain"}).status == 415


def test_the_secret_before_is_accepted_while_it_rotates(tmp_path, graphs, secret):
    fresh = tmp_path / "new.secret"
    fresh.write_bytes(b"fresh secret, fresh secret")
    fresh.chmod(0o600)
    with Core(tmp_path / "core", graphs=[graphs], triggers=[
            webhook(fresh, previous_secret_file=str(secret))]) as core:
        assert deliver(core).status == 202
        assert deliver(core, headers=signed(b"{}", key=fresh.read_bytes())).status == 202


def test_under_cleared_a_webhook_needs_an_identity_and_the_secret(tmp_path, graphs, secret):
    with Core(tmp_path / "core", profile="cleared", grants=grants(), graphs=[graphs],
              triggers=[webhook(secret, capabilities=["runs:start"])]) as core:
        assert deliver(core).status == 401, "the edge, without a client"
        carol = Who("CN=carol,O=Test")
        assert deliver(core, as_=carol, headers={}).json()["detail"] == "missing_headers"
        r = deliver(core, headers={**signed(b"{}"), **carol.headers})
        assert r.status == 202, r
        fired = [a for a in core.audit() if a["type"] == "trigger"][-1]
        assert (fired["actor"], fired["payload"]["by"]) == ("trigger:hook", "CN=carol,O=Test")


def test_a_manual_trigger_is_fired_by_who_may_start_runs(tmp_path, graphs):
    manual = {"id": "drill", "kind": "manual", "graph": "run:done"}
    with Core(tmp_path / "core", profile="cleared", grants=grants(), graphs=[graphs],
              triggers=[manual]) as core:
        r = core.post("/v1/triggers/drill", as_=Who(BOB))
        assert r.status == 403 and "runs:start" in r.json()["detail"]
        r = core.post("/v1/triggers/drill", as_=Who(ALICE))
        assert r.status == 202
        run = core.get("/v1/runs/" + r.json()["run_id"], as_=Who(ALICE)).json()
        assert (run["actor"], run["trigger_source"]) == (ALICE, "manual:drill")
        assert core.post("/v1/triggers/dril", as_=Who(ALICE)).status == 404
        listed = core.get("/v1/triggers", as_=Who(ALICE)).json()
        assert [t["trigger_id"] for t in listed] == ["drill"]


def test_a_trigger_gives_no_more_than_its_capabilities(tmp_path, graphs):
    """What a graph needs of stores is asked of whoever fires it, as POST /v1/runs asks it."""
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "keep.yaml").write_text(
        "ir_version: '1.0.0'\nid: run:keep\nstate_schema: {note: str}\n"
        "stores: [{name: mem, provider: memory}]\nnodes:\n"
        "  - {id: keep, kind: remember, config: {store: mem, content: note, user: u, session: s, agent: a}}\n")
    stores = [{"name": "mem", "provider": "memory"}]
    both = Grant(["runs:start", "runs:read", "db.*:write"], subject=BOB)
    with Core(tmp_path / "core", profile="cleared", graphs=[mine], stores=stores,
              grants=[Grant(["runs:start", "runs:read"], subject=ALICE), both],
              triggers=[{"id": "drill", "kind": "manual", "graph": "run:keep"}]) as core:
        for path, body in (("/v1/runs", {"graph_id": "run:keep"}), ("/v1/triggers/drill", {})):
            r = core.post(path, body, as_=Who(ALICE))
            assert r.status == 403 and "db.mem:write" in r.json()["detail"]
        denied = [a for a in core.audit() if a["type"] == "denied"]
        assert len(denied) == 2 and not any(a.get("run") for a in denied)
        assert core.post("/v1/triggers/drill", {}, as_=Who(BOB)).status == 202
    cron = {**EVERY_SECOND, "schedule": "0 0 1 1 *", "graph": "run:keep", "capabilities": ["runs:start"]}
    core = Core(tmp_path / "again", profile="cleared", graphs=[mine], stores=stores, grants=[both], triggers=[cron])
    code, err = core.refused()
    assert code == 2 and "db.mem:write" in err
    core.triggers = [{**cron, "capabilities": ["runs:start", "db.mem:write"]}]
    core.write_config()
    with core:
        assert core.get("/v1/health").status == 200


def test_a_cron_trigger_is_not_fired_by_hand(tmp_path, graphs):
    with Core(tmp_path / "core", graphs=[graphs], triggers=[
            {**EVERY_SECOND, "schedule": "0 0 1 1 *"}]) as core:
        assert core.post("/v1/triggers/tick").status == 409
        t, = core.get("/v1/triggers").json()
        assert t["next_tick"].endswith("-01-01T00:00:00.000000Z") and t["last_tick"]


@pytest.mark.parametrize("trigger, words", [
    ({**EVERY_SECOND, "graph": "run:dome"}, ['no graph "run:dome"', 'did you mean "run:done"?']),
    ({**EVERY_SECOND, "schedule": "0 0 30 2 *"}, ["no date fits"]),
    ({**EVERY_SECOND, "shedule": "1"}, ["shedule", "schedule"]),
    ({**EVERY_SECOND, "missed": "sometimes"}, ["missed"]),
    ({"id": "x", "kind": "chron", "graph": "run:done"}, ["kind"]),
    ({"id": "x", "kind": "webhook", "graph": "run:done", "secret_file": "/nonexistent"},
     ["/nonexistent"]),
], ids=["graph", "schedule", "key", "policy", "kind", "secret"])
def test_a_bad_declaration_refuses_the_start(tmp_path, graphs, trigger, words):
    core = Core(tmp_path / "core", graphs=[graphs], triggers=[trigger])
    code, err = core.refused()
    assert code == 2, err
    line = [n for n, text in enumerate(core.config.read_text().splitlines(), 1)
            if "[[trigger]]" in text][0]
    assert any(f"stargraph.toml:{n}:" in err for n in range(line, line + 7)), err
    for word in words:
        assert word in err


def test_under_cleared_a_trigger_without_a_grant_refuses_the_start(tmp_path, graphs, secret):
    core = Core(tmp_path / "core", profile="cleared", grants=[Grant(["runs:read"], subject=ALICE)],
                graphs=[graphs], triggers=[webhook(secret)])
    code, err = core.refused()
    assert code == 2 and "runs:start" in err
    secret.chmod(0o644)
    core.triggers = [webhook(secret, capabilities=["runs:start"])]
    core.write_config()
    code, err = core.refused()
    assert code == 2 and str(secret) in err


def test_a_reload_that_changes_triggers_is_refused(tmp_path, graphs):
    with Core(tmp_path / "core", graphs=[graphs], triggers=[EVERY_SECOND]) as core:
        core.triggers = []
        core.write_config()
        end = time.monotonic() + 5
        while "[[trigger]] changed: needs a restart" not in core.stderr:
            assert time.monotonic() < end, core.stderr
            time.sleep(0.05)
        json.dumps(core.get("/v1/triggers").json())
