"""stargraph doctor: stable ids, a fix beside each failure, exit codes, and that it changes nothing."""
import json
import os
import pathlib
import subprocess

BUILD = pathlib.Path(os.environ.get("SG_BUILD", pathlib.Path(__file__).parents[3] / "build"))
STARGRAPH = BUILD / "core/stargraph"


def doctor(tmp_path, toml, *args):
    config = tmp_path / "stargraph.toml"
    config.write_text(toml)
    config.chmod(0o644)
    return subprocess.run([STARGRAPH, "doctor", "--config", config, *args], capture_output=True, text=True,
                          env={"PATH": "/usr/bin:/bin", "TZ": "UTC", "STARGRAPH_PROFILE": "cleared"}, check=False)


def toml(state):
    return f"""[serve.cleared]
auth_provider = "mtls"
state_dir = "{state}"
audit_path = "{state}/stargraph.audit.jsonl"
socket_path = "{state}/core.sock"
port = 0
edge_users = ["64199"]
"""


def checks(done):
    return {c["id"]: c for c in json.loads(done.stdout)["checks"]}


def test_a_fresh_state_directory_is_well(tmp_path):
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    done = doctor(tmp_path, toml(state), "--json")
    found = checks(done)
    assert not [c for c in found.values() if c["level"] == "FAIL"], done.stdout
    assert done.returncode == 0
    assert len(found) >= 25
    assert not list(state.iterdir()) or [p.name for p in state.iterdir()] == ["lock"]


def test_each_failure_names_its_fix(tmp_path):
    state = tmp_path / "state"
    state.mkdir(mode=0o755)
    state.chmod(0o755)
    done = doctor(tmp_path, toml(state).replace("64199", "no-such-user"), "--json")
    assert done.returncode == 1
    found = checks(done)
    for bad in ("state.mode", "edge.users"):
        assert found[bad]["level"] == "FAIL"
        assert found[bad]["fix"]
    assert "0755" in found["state.mode"]["detail"]


def test_strict_turns_warnings_into_failure_and_only_picks_one(tmp_path):
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    web = toml(state).replace("64199", "www-data")
    done = doctor(tmp_path, web, "--strict", "--only", "edge.users")
    assert done.returncode == 1
    assert "fix: run the edge under a user of its own" in done.stdout
    assert doctor(tmp_path, web, "--only", "edge.users").returncode == 0
    noted = doctor(tmp_path, toml(state), "--strict", "--only", "grants.any")
    assert noted.returncode == 0
    assert "note" in noted.stdout and "fix: add a [[serve.cleared.grant]]" in noted.stdout
    assert doctor(tmp_path, toml(state), "--only", "no.such").returncode == 2


def test_a_broken_configuration_is_a_usage_error(tmp_path):
    done = doctor(tmp_path, "[serve.cleared]\nstate_dirr = 1\n")
    assert done.returncode == 2
    assert "state_dir" in done.stderr
