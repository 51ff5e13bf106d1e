"""Packs that cross to the Python original's own signing code and back. Not part of tests/run: it needs
a checkout of the original, SG_ORIGINAL=DIR pytest tests/e2e/pack/against_original.py. The packs it
signed once are kept as fixtures, and test_pack.py reads them everywhere."""
import importlib.util
import os
import pathlib
import sys
import types

import pytest

from test_pack import demo, pack  # noqa: F401  (demo is a fixture)

ORIGINAL = pathlib.Path(os.environ["SG_ORIGINAL"]) / "src/stargraph/bosun/signing.py"


@pytest.fixture(scope="module")
def original():
    """The original's signing module alone: its package wants much more than it uses."""

    class PackSignatureError(Exception):
        def __init__(self, message, **context):
            super().__init__(message)
            self.context = context

    class Profile:
        signature_verify_mandatory = True

    for name in ("stargraph", "stargraph.errors", "stargraph.serve", "stargraph.serve.profiles"):
        sys.modules[name] = types.ModuleType(name)
    sys.modules["stargraph.errors"].PackSignatureError = PackSignatureError
    sys.modules["stargraph.serve.profiles"].Profile = Profile
    spec = importlib.util.spec_from_file_location("original_signing", ORIGINAL)
    module = importlib.util.module_from_spec(spec)
    sys.modules["original_signing"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("mode", ["sha256", "blake3"])
def test_ours_verify_there(original, demo, tmp_path, monkeypatch, mode):
    monkeypatch.setenv("STARGRAPH_FIPS_MODE", "1" if mode == "sha256" else "0")
    assert pack("sign", demo, "--key", tmp_path / "ops.key.pem", "--key-id", "ops", "--hash",
                mode).returncode == 0
    store = original.StaticTrustStore({"ops": (tmp_path / "ops.pub.pem").read_bytes()})
    result = original.verify_pack(demo, (demo / "manifest.jwt").read_text(), store, original.Profile())
    assert result.verified


@pytest.mark.parametrize("mode", ["sha256", "blake3"])
def test_theirs_verify_here(original, demo, tmp_path, monkeypatch, mode):
    monkeypatch.setenv("STARGRAPH_FIPS_MODE", "1" if mode == "sha256" else "0")
    (demo / "manifest.jwt").write_text(
        original.sign_pack(demo, (tmp_path / "ops.key.pem").read_bytes(), "ops"))
    assert pack("verify", demo, "--allow", tmp_path / "ops.pub.pem").returncode == 0


@pytest.mark.parametrize("name", ["audit", "budgets", "retries", "safety_pii"])
def test_bundled_packs_are_judged_alike(original, name):
    """Their trees changed after they were signed: both sides must say so, for the same reason."""
    d = ORIGINAL.parent / name
    kid = "dev-bosun-6c367049"
    ours = pack("verify", d, "--allow", d / f"{kid}.pub.pem")
    store = original.StaticTrustStore({kid: (d / f"{kid}.pub.pem").read_bytes()})
    try:
        original.verify_pack(d, (d / "manifest.jwt").read_text(), store, original.Profile())
        assert ours.returncode == 0
    except Exception as e:
        assert ours.returncode == 4
        assert f"{e.context['reason']}: BLAKE3 of the files is {original._tree_hash(d)}" in ours.stderr
