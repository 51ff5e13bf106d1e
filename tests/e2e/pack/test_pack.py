"""`stargraph pack` from outside: its exit codes, and packs that cross to the Python original and back."""
import json
import os
import pathlib
import shutil
import subprocess

import pytest

BUILD = pathlib.Path(os.environ.get("SG_BUILD", "build")).resolve()
FIXTURES = pathlib.Path(__file__).resolve().parents[2] / "unit/pack/fixtures"


def pack(*args, env=None):
    done = subprocess.run([BUILD / "core/stargraph", "pack", *map(str, args)], text=True,
                          capture_output=True, env={"PATH": os.environ["PATH"], **(env or {})})
    done.json = json.loads(done.stdout.splitlines()[0]) if done.stdout.startswith("{") else None
    return done


@pytest.fixture
def demo(tmp_path):
    d = tmp_path / "demo"
    d.mkdir()
    (d / "manifest.yaml").write_text('id: demo\nversion: "1.0"\n')
    (d / "rules.clp").write_text("(defrule r =>)\n")
    assert pack("keygen", "--out", tmp_path, "--key-id", "ops").returncode == 0
    assert pack("sign", d, "--key", tmp_path / "ops.key.pem", "--key-id", "ops").returncode == 0
    return d


def test_keys_are_private_and_never_overwritten(tmp_path):
    first = pack("keygen", "--out", tmp_path)
    kid = first.json["key_id"]
    assert (tmp_path / f"{kid}.key.pem").stat().st_mode & 0o777 == 0o600
    assert pack("keygen", "--out", tmp_path, "--key-id", kid).returncode == 2


def test_allowed_pinned_unpinned(demo, tmp_path):
    allow = ("--allow", tmp_path / "ops.pub.pem")
    assert (r := pack("verify", demo, *allow)).returncode == 0 and r.json["standing"] == "allowed"
    state = ("--state-dir", tmp_path)
    assert (r := pack("verify", demo, *state)).returncode == 5 and r.json["standing"] == "unpinned"
    assert pack("pin", demo, *state).json["standing"] == "pinned"
    assert (r := pack("verify", demo, *state)).returncode == 0 and r.json["standing"] == "pinned"
    assert pack("revert", "ops", *state).returncode == 0
    assert pack("revert", "ops", *state).returncode == 2
    assert pack("verify", demo, *state).returncode == 5


def test_cleared_believes_only_the_list(demo, tmp_path):
    toml = tmp_path / "s.toml"
    toml.write_text("")
    toml.chmod(0o600)
    cleared = ("--profile", "cleared", "--config", toml)
    r = pack("verify", demo, *cleared)
    assert r.returncode == 4
    assert "pack signature verification failed: untrusted-key: key ops is not on the allow-list" in r.stderr
    assert pack("pin", demo, *cleared).returncode == 4
    toml.write_text(f'[packs]\nallow = ["{tmp_path}/ops.pub.pem"]\n')
    assert pack("verify", demo, *cleared).returncode == 0
    (tmp_path / "ops.pub.pem").chmod(0o666)
    assert "must not be writable" in pack("verify", demo, *cleared).stderr


def test_tampering_is_named(demo, tmp_path):
    (demo / "rules.clp").write_text("(defrule other =>)\n")
    r = pack("verify", demo, "--allow", tmp_path / "ops.pub.pem")
    assert r.returncode == 4 and "pack signature verification failed: tree-hash-mismatch" in r.stderr


def test_list_tells_of_every_pack(demo, tmp_path):
    bad = tmp_path / "bad"
    shutil.copytree(demo, bad)
    (bad / "x").write_text("")
    r = pack("list", demo, bad, "--allow", tmp_path / "ops.pub.pem")
    lines = [json.loads(line) for line in r.stdout.splitlines()]
    assert [x["standing"] for x in lines] == ["allowed", "refused"] and r.returncode == 4


@pytest.mark.parametrize("args,text", [
    ((), "a subcommand is missing"), (("verfy", "x"), 'did you mean "verify"?'),
    (("verify",), "wrong number of arguments"), (("sign", "x"), "sign needs --key"),
    (("sign", "x", "--hash", "md5"), "--hash is sha256 or blake3"),
    (("verify", "x", "--alow", "y"), 'no option "--alow"')])
def test_usage(args, text):
    r = pack(*args)
    assert r.returncode == 2 and text in r.stderr


def test_the_originals_signatures(tmp_path):
    for name in "by-original-blake3", "by-original-sha256":
        d = FIXTURES / name
        assert pack("verify", d, "--allow", d / "fixture-1.pub.pem").returncode == 0
