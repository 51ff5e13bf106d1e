"""stargraph doctor --support: a file that may be shown to strangers. Everything a site would keep to
itself is planted with one word; the word must not be in the file, and what helps must be."""
import json
import os
import pathlib
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from core import Core, Grant, Who, binary, toml  # noqa: E402

WORD = "PLANTED"
ANALYST = Who(f"CN={WORD} Analyst,O=Secret Office", san=f"DNS:{WORD}.example.org",
              issuer=f"CN={WORD} CA")
ASKS = f"""ir_version: "1.0.0"
id: "run:asks"
state_schema: {{message: str, decision: str}}
nodes:
  - {{id: gate, kind: interrupt, config: {{prompt: "{WORD} question?"}}}}
  - {{id: end, kind: halt}}
rules: []
"""
FAILS = f"""ir_version: "1.0.0"
id: "run:fails"
state_schema: {{message: str, r: dict}}
nodes:
  - {{id: call, kind: tool, config: {{tool: "{WORD}-tool", inputs: {{m: message}}, out: r}}}}
  - {{id: end, kind: halt}}
"""
TOOL = {"id": f"{WORD}-tool", "command": ["/bin/sh", "-c", f"echo {WORD} >&2; exit 7"], "side_effects": "none"}


class Site(Core):
    """A cleared core with a signed log, a tool and a webhook."""

    def write_config(self):
        super().write_config()
        with self.config.open("a") as f:
            f.write("\n[[tool]]\n" + "".join(f"{k} = {toml(v)}\n" for k, v in TOOL.items()))
            f.write(f'\n[audit]\nsigning_key = "{self.dir}/{WORD}.pem"\norigin = "{WORD}.example.org/log"\n'
                    f'redact = ["{WORD}"]\n')


def support(config, *args, profile="cleared"):
    path = config.parent / "support.json"
    done = subprocess.run([binary(), "doctor", "--config", config, "--support", path, *args],
                          capture_output=True, text=True, check=False,
                          env={"PATH": "/usr/bin:/bin", "TZ": "UTC", "STARGRAPH_PROFILE": profile})
    return done, path


@pytest.fixture
def site(tmp_path):
    (tmp_path / "asks.yaml").write_text(ASKS)
    (tmp_path / "fails.yaml").write_text(FAILS)
    home = tmp_path / "core"
    home.mkdir()
    key = home / f"{WORD}.pem"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", key], check=True, capture_output=True)
    key.chmod(0o600)
    core = Site(home, profile="cleared", graphs=[tmp_path / "asks.yaml", tmp_path / "fails.yaml"],
                grants=[Grant(["runs:start", "runs:read", "runs:respond"], subject=ANALYST.headers["X-Client-Cert-Subject"]),
                        Grant(["metrics:read"], san=f"DNS:{WORD}.example.org")],
                deny_fingerprints=["5ec4e7" * 10 + "5ec4"])
    with core:
        r = core.post("/v1/runs", {"graph_id": "run:asks", "params": {"message": f"{WORD} of a person"}},
                      as_=ANALYST, headers={"Prefer": "wait=10", "Idempotency-Key": f"{WORD}-key"})
        assert r.status == 200 and r.json()["status"] == "awaiting-input", r
        run = r.json()["run_id"]
        r = core.post(f"/v1/runs/{run}/respond", {"response": {"decision": f"{WORD} answer"}}, as_=ANALYST,
                      headers={"Prefer": "wait=10"})
        assert r.status in (200, 202), r
        core.post("/v1/runs", {"graph_id": "run:fails", "params": {"message": WORD}}, as_=ANALYST,
                  headers={"Prefer": "wait=10"})
        core.get(f"/v1/runs/{WORD}-no-such-run", as_=ANALYST)
        core.get("/v1/runs", as_=Who(f"CN={WORD} Stranger"))
        yield core


def test_what_was_planted_is_not_in_it(site):
    planted = (site.dir / "stargraph.toml").read_text() + site.audit_path.read_text()
    assert planted.count(WORD) > 10  # the check below can fail
    done, path = support(site.config)
    assert path.stat().st_mode & 0o777 == 0o600, done.stderr
    text = path.read_text()
    at = text.find(WORD)
    assert at < 0, text[max(0, at - 200):at + 100]
    assert "5ec4e7" not in text
    key = (site.dir / f"{WORD}.pem").read_text().splitlines()[1]
    assert key not in text
    assert os.uname().nodename not in text


def test_what_helps_is_in_it(site):
    _, path = support(site.config)
    s = json.loads(path.read_text())
    assert s["format"] == "stargraph-support-v1"
    assert s["program"]["version"] and len(s["program"]["sha256"]) == 64
    assert s["host"]["release"] == os.uname().release
    assert {c["id"] for c in s["checks"]} >= {"store.format", "audit.chain", "grants.parse", "door.unix"}
    settings = s["configuration"]["settings"]
    assert settings["serve.state_dir"]["value"] == str(site.state_dir)
    assert settings["serve.deny_fingerprints"]["value"] == {"withheld": "array", "size": 1}
    assert settings["serve.profile"]["value"] == "cleared"
    assert [g["by"] for g in s["configuration"]["grants"]] == ["subject", "san"]
    assert "runs:start" in s["configuration"]["grants"][0]["capabilities"]
    assert s["configuration"]["tool"][0]["command"] == {"withheld": "array", "size": 3}
    assert s["configuration"]["tool"][0]["side_effects"] == "none"
    assert s["store"]["runs"]["by_status"]["done"] == 1
    assert s["store"]["tables"]["audit"] == s["audit"]["head"] + 1 == s["audit"]["counted"]
    assert s["audit"]["by_type"]["denied"] >= 1
    assert s["audit"]["latest"][-1]["seq"] == s["audit"]["head"]
    assert {f["name"] for f in s["audit"]["files"]} == {"stargraph.audit.jsonl"}
    assert set(s["audit"]["latest"][0]) == {"seq", "ts", "type", "of_a_run"}


def test_a_store_that_cannot_be_read_is_named(tmp_path):
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    config = tmp_path / "stargraph.toml"
    config.write_text(f'[serve.cleared]\nauth_provider = "mtls"\nstate_dir = "{state}"\n'
                      f'audit_path = "{state}/a.jsonl"\nedge_users = ["{WORD}"]\n'
                      f'[[serve.cleared.grant]]\nsubject = "{WORD} is no name"\ncapabilities = ["runs:read"]\n')
    config.chmod(0o644)
    done, path = support(config)
    assert done.returncode == 1  # doctor's own verdict
    assert WORD not in path.read_text()
    s = json.loads(path.read_text())
    assert s["store"]["error"] == "not-found"
    grants = next(c for c in s["checks"] if c["id"] == "grants.parse")
    assert grants["level"] == "FAIL" and grants["detail"] == "withheld"


def test_usage(tmp_path):
    config = tmp_path / "stargraph.toml"
    config.write_text("[serve]\n")
    config.chmod(0o644)
    done, _ = support(config, "--only", "clock.sane")
    assert done.returncode == 2 and "--support takes every check" in done.stderr
    done = subprocess.run([binary(), "doctor", "--config", config, "--support", tmp_path / "no/such/file"],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "no/such" in done.stderr
