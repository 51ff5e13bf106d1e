"""Packs under `serve`: what stops a start, and what a reload does, under both profiles."""
import json
import signal
import sys
import time
from pathlib import Path

import pytest
from test_pack import pack
from test_signatures import b64, sign, token

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))
from core import ALL_CAPABILITIES, Core, Grant, Who  # noqa: E402

GRAPH = """ir_version: "1.0.0"
id: "graph:g"
state_schema: {message: str}
nodes:
  - {id: ask, kind: interrupt, config: {prompt: "Go on?"}}
  - {id: work, kind: passthrough}
  - {id: end, kind: halt}
governance:
  - {id: demo%s}
"""
RULES = """(defrule decide (node-id (id work)) =>
  (assert (stargraph_action (kind halt) (reason "%s"))))
"""
ANALYST = Who("CN=analyst")


class Host:
    """A core with one pack, signed by a key that its profile trusts."""

    def __init__(self, directory, profile, pin=""):
        self.dir, self.profile = directory, profile
        self.demo = directory / "packs/demo"
        self.demo.mkdir(parents=True)
        assert pack("keygen", "--out", directory, "--key-id", "ops").returncode == 0
        graph = directory / "g.yaml"
        graph.write_text(GRAPH % pin)
        self.write("1.0", RULES % "first")
        grants = [Grant(ALL_CAPABILITIES, subject="CN=analyst")] if profile == "cleared" else []
        self.core = Core(directory / "core", profile=profile, graphs=[graph], grants=grants)
        config = self.core.write_config

        def with_packs():
            config()
            allow = f'allow = ["{directory}/ops.pub.pem"]\n' if profile == "cleared" else ""
            with open(self.core.config, "a") as f:
                f.write(f'\n[packs]\n{allow}directories = ["{directory}/packs"]\n')

        self.core.write_config = with_packs
        self.core.write_config()
        self.who = {"as_": ANALYST} if profile == "cleared" else {}

    def write(self, version, rules, sign=True):
        (self.demo / "manifest.yaml").write_text(f'id: demo\nversion: "{version}"\n')
        (self.demo / "rules.clp").write_text(rules)
        if sign:
            r = pack("sign", self.demo, "--key", self.dir / "ops.key.pem", "--key-id", "ops")
            assert r.returncode == 0, r.stderr

    def begin(self):
        r = self.core.run("graph:g", {"message": "x"}, **self.who)
        assert r["status"] == "awaiting-input", r
        return r["run_id"]

    def finish(self, run):
        r = self.core.post(f"/v1/runs/{run}/respond", {"response": {"ok": True}}, **self.who)
        assert r.status in (200, 202), r
        for _ in range(200):
            r = self.core.get(f"/v1/runs/{run}", **self.who).json()
            if r["status"] not in ("awaiting-input", "running"):
                return r["reason"] if "reason" in r else r
            time.sleep(0.02)
        raise AssertionError(r)

    def reload(self, said):
        before = len(self.core.stderr)
        self.core.signal(signal.SIGHUP)
        for _ in range(300):
            if said in self.core.stderr[before:]:
                return self.core.stderr[before:]
            time.sleep(0.02)
        raise AssertionError(f"never said {said!r}: {self.core.stderr[before:]}")

    def audited(self, kind):
        for _ in range(100):
            found = [x["payload"] for x in self.core.audit() if x["type"] == kind]
            if found:
                return found
            time.sleep(0.02)
        return []


@pytest.fixture(params=["oss-default", "cleared"])
def host(request, tmp_path):
    return Host(tmp_path, request.param)


def unsigned(h):
    (h.demo / "manifest.jwt").unlink()
    return "pack signature verification failed: unsigned: manifest.jwt is missing (", str(h.demo)


def tampered(h):
    h.write("1.0", RULES % "other", sign=False)
    return "pack signature verification failed: tree-hash-mismatch: ", str(h.demo)


def broken_rule(h):
    h.write("1.0", "(deftemplate a (slot b))\n(defrule bad (a (c 1)) => )\n")
    return f"{h.demo}/rules.clp:2: rule bad: a has no slot \"c\"", ""


def forbidden(h):
    h.write("1.0", "(defrule out (initial-fact)\n => (system \"id\"))\n")
    return f"{h.demo}/rules.clp:2: rule out: rules may not call \"system\"", ""


def sign_by_hand(h):
    """What `pack sign` refuses to sign."""
    text = token(h.demo)
    (h.demo / "manifest.jwt").write_bytes(text + b"." + b64(sign(h.demo, text, h.dir / "ops.key.pem")))


def other_needs(h):
    h.write("1.0", RULES % "x", sign=False)
    (h.demo / "manifest.yaml").write_text('id: demo\nversion: "1.0"\nrequires: {api_version: "2"}\n')
    sign_by_hand(h)
    return 'pack demo requires api_version "2"; this stargraph has "1"', ""


def bad_manifest(h):
    h.write("1.0", RULES % "x", sign=False)
    (h.demo / "manifest.yaml").write_text('id: demo\nversoin: "1.0"\n')
    sign_by_hand(h)
    return f"{h.demo}/manifest.yaml:1:1: at /: unknown property \"versoin\"; did you mean \"version\"?", ""


def foreign_key(h):
    assert pack("keygen", "--out", h.dir, "--key-id", "evil").returncode == 0
    if h.profile == "oss-default":  # first use would pin it: drift of a known id is what must stop it
        h.core.start()
        h.core.stop()
        (h.dir / "ops.key.pem").unlink()
        (h.dir / "ops.pub.pem").unlink()
        assert pack("keygen", "--out", h.dir, "--key-id", "ops").returncode == 0
        h.write("1.0", RULES % "x")
        return "pack signature verification failed: fingerprint-mismatch: key ops was pinned", str(h.demo)
    assert pack("sign", h.demo, "--key", h.dir / "evil.key.pem", "--key-id", "evil").returncode == 0
    return "pack signature verification failed: untrusted-key: key evil is not on the allow-list", str(h.demo)


@pytest.mark.parametrize("breaking", [unsigned, tampered, broken_rule, forbidden, other_needs, bad_manifest,
                                      foreign_key], ids=lambda f: f.__name__)
def test_what_stops_a_start(host, breaking):
    texts = breaking(host)
    code, said = host.core.refused()
    assert code == 2
    for text in texts:
        assert text in said
    assert len([x for x in said.splitlines() if "stargraph:" in x]) == 1, said


@pytest.mark.parametrize("mount,text", [
    (', version: "1.2"', 'g.yaml:9:5: pack "demo" is mounted in version 1.2; installed is 1.0'),
    (', requires: {stargraph_facts_version: "2.0"}', 'pack "demo" requires another stargraph_facts_version; this is 1.0'),
    (', requires: {api_version: "7"}', 'g.yaml:9:5: pack "demo" requires another api_version; this is 1'),
])
def test_a_mount_that_asks_for_something_else(tmp_path, mount, text):
    code, said = Host(tmp_path, "cleared", mount).core.refused()
    assert code == 2 and text in said


def test_a_mount_that_is_not_installed(tmp_path):
    h = Host(tmp_path, "cleared")
    (tmp_path / "g.yaml").write_text((GRAPH % "").replace("id: demo", "id: dmo"))
    code, said = h.core.refused()
    assert code == 2 and 'g.yaml:9:5: pack "dmo" is not installed here; did you mean "demo"?' in said


def test_a_reload_replaces_a_pack_between_steps(tmp_path):
    h = Host(tmp_path, "oss-default")
    with h.core:
        old, older = h.begin(), h.begin()
        h.write("1.1", RULES % "second" + '(defrule more (node-id (id end)) => (assert (stargraph_action '
                '(kind interrupt) (prompt "?") (requested_capability "runs:respond"))))\n')
        said = h.reload("configuration reloaded")
        assert ("rule pack demo 1.0 → 1.1: rules +more ~decide, actions +interrupt, "
                "capabilities +runs:respond") in said
        new = h.begin()
        assert h.finish(new) == "second"
        assert h.finish(old) == "first"  # it keeps the pack that it started with
        change, = h.audited("pack_replaced")
        assert (change["from"]["version"], change["to"]["version"]) == ("1.0", "1.1")
        assert change["rules"] == {"added": ["more"], "changed": ["decide"], "removed": []}
        assert change["to"]["key_id"] == "ops"
        h.core.stop()
        h.core.start()
        assert h.finish(older) == "first"  # after a restart too
        for run in old, older, new:
            r = h.core.post(f"/v1/runs/{run}/replay", {})
            assert r.status == 200 and r.json()["identical"], r


def test_reloads_without_a_change_say_and_audit_nothing(tmp_path):
    h = Host(tmp_path, "oss-default")
    with h.core:
        said = h.reload("configuration reloaded")
        assert "rule pack" not in said
        assert [x["type"] for x in h.core.audit() if x["type"].startswith("pack_")] == ["pack_pinned"]  # at the start


def test_back_and_forth(tmp_path):
    h = Host(tmp_path, "oss-default")
    with h.core:
        for i in range(6):
            h.write(f"1.{i % 2}", RULES % f"v{i % 2}")
            h.reload("configuration reloaded")
            assert h.finish(h.begin()) == f"v{i % 2}"
        assert len(h.audited("pack_replaced")) == 6


@pytest.mark.parametrize("breaking", [unsigned, tampered, broken_rule, forbidden], ids=lambda f: f.__name__)
def test_a_reload_verifies_first(tmp_path, breaking):
    h = Host(tmp_path, "oss-default")
    with h.core:
        texts = breaking(h)
        said = h.reload("the rule packs stay as they are: ")
        for text in texts:
            assert text in said
        assert "configuration reloaded" in h.reload("configuration reloaded")
        assert h.finish(h.begin()) == "first"
        assert texts[0] in h.audited("pack_refused")[0]["reason"]


def test_a_reload_keeps_to_the_version_that_a_graph_pins(tmp_path):
    h = Host(tmp_path, "oss-default", ', version: "1.0"')
    with h.core:
        h.write("1.1", RULES % "second")
        said = h.reload("the rule packs stay as they are: ")
        assert 'g.yaml:9:5: pack "demo" is mounted in version 1.0; installed is 1.1' in said
        assert h.finish(h.begin()) == "first"


def test_cleared_replaces_no_pack_at_run_time(tmp_path):
    h = Host(tmp_path, "cleared")
    with h.core:
        old = h.begin()
        h.write("1.1", RULES % "second")
        said = h.reload("the rule packs stay as they are: ")
        assert ("rule pack demo is another than at the start: under the profile cleared packs are replaced "
                "by a restart only") in said
        assert h.audited("pack_refused")[0]["class"] == "pack-replacement"
        assert h.finish(h.begin()) == "first"
        h.core.stop()
        h.core.start()
        assert h.finish(h.begin()) == "second"
        assert h.finish(old) == "first"


def test_diff(tmp_path):
    h = Host(tmp_path, "oss-default")
    new = tmp_path / "new"
    new.mkdir()
    (new / "manifest.yaml").write_text('id: demo\nversion: "1.1"\n')
    (new / "rules.clp").write_text("; said otherwise\n" + RULES % "first" +
                                   '(defrule more (node-id (id end)) => (assert (stargraph_action (kind goto) '
                                   '(target "work"))))\n')
    r = pack("diff", h.demo, new)
    assert r.returncode == 0
    assert r.stdout.splitlines()[2:] == ["+ rule more", "+ may decide goto", "+ leads to node work"]
    d = json.loads(pack("diff", h.demo, new, "--json").stdout)
    assert d["rules"] == {"added": ["more"], "changed": [], "removed": []} and not d["same"]
    assert json.loads(pack("diff", h.demo, h.demo, "--json").stdout)["same"]
    (new / "manifest.yaml").write_text('id: other\nversion: "1.1"\n')
    r = pack("diff", h.demo, new)
    assert r.returncode == 2 and 'is pack "demo"' in r.stderr


def test_pins_are_audited(tmp_path):
    h = Host(tmp_path, "oss-default")
    with h.core:
        first, = h.audited("pack_pinned")  # on first use
        assert first["key_id"] == "ops" and first["pack"] == "demo" and len(first["fingerprint"]) == 64
        r = pack("revert", "ops", "--config", h.core.config)
        assert r.returncode == 2 and str(h.core.process.pid) in r.stderr  # it names who holds the directory
    assert pack("revert", "ops", "--config", h.core.config).returncode == 0
    assert pack("pin", h.demo, "--config", h.core.config).returncode == 0
    assert pack("pin", h.demo, "--config", h.core.config).returncode == 0  # is there already: nothing happens
    kinds = [(x["type"], x["payload"]["key_id"]) for x in h.core.audit() if x["type"].startswith("pack_")]
    assert kinds == [("pack_pinned", "ops"), ("pack_unpinned", "ops"), ("pack_pinned", "ops")]
    with h.core:
        assert len(h.audited("pack_pinned")) == 2


def test_a_pin_in_an_empty_state_directory(tmp_path):
    h = Host(tmp_path, "oss-default")
    assert pack("pin", h.demo, "--config", h.core.config).json["standing"] == "pinned"
    assert [x["type"] for x in h.core.audit()] == ["genesis", "pack_pinned"]
    with h.core:
        assert h.finish(h.begin()) == "first"
