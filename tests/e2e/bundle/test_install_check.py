"""bundle/install --check over small bundles: what is missing, altered, added or signed by somebody
else is named before anything is changed. The two packages in them are empty ones of our names."""
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

TOP = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(TOP / "tests/e2e/lib"))
from terminal import on_terminal  # noqa: E402


def gpg(home, *args):
    subprocess.run(["gpg", "--homedir", home, "--batch", "--quiet", *args], check=True, capture_output=True)


@pytest.fixture(scope="session")
def keys(tmp_path_factory):
    """Two Ed25519 keys: home directory and public keyring of each."""
    made = {}
    for name in ("release", "stranger"):
        home = tmp_path_factory.mktemp(name)
        home.chmod(0o700)
        gpg(home, "--passphrase", "", "--quick-gen-key", name, "ed25519", "sign", "never")
        gpg(home, "--output", home / "public.gpg", "--export", name)
        made[name] = home
    yield made
    for home in made.values():
        subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=False)


def empty_package(where, name):
    root = where / f"{name}.d"
    (root / "DEBIAN").mkdir(parents=True)
    (root / "DEBIAN/control").write_text(
        f"Package: {name}\nVersion: 0.0.1\nArchitecture: amd64\nMaintainer: test <t@localhost>\nDescription: test\n")
    subprocess.run(["dpkg-deb", "--build", "--root-owner-group", root, where / f"{name}_0.0.1_amd64.deb"], check=True,
                   capture_output=True)
    shutil.rmtree(root)


def sign(bundle, home):
    lines = [f"{hashlib.sha256(p.read_bytes()).hexdigest()}  ./{p.relative_to(bundle)}\n"
             for p in sorted(bundle.rglob("*")) if p.is_file() and not p.name.startswith("MANIFEST")]
    (bundle / "MANIFEST.sha256").write_text("".join(lines))
    gpg(home, "--yes", "--output", bundle / "MANIFEST.sha256.sig", "--detach-sign", bundle / "MANIFEST.sha256")


@pytest.fixture
def bundle(tmp_path, keys):
    b = tmp_path / "release-bundle"
    (b / "packages").mkdir(parents=True)
    for name in ("stargraph", "libnginx-mod-http-stargraph"):
        empty_package(b / "packages", name)
    (b / "README.md").write_text("runbook\n")
    shutil.copy(TOP / "bundle/install", b / "install")
    sign(b, keys["release"])
    return b


def check(bundle, *args):
    return subprocess.run([bundle / "install", "--check", *args], capture_output=True, text=True)


def test_a_whole_bundle_verifies(bundle, keys):
    done = check(bundle, "--key", keys["release"] / "public.gpg")
    assert done.returncode == 0, done.stderr
    assert "4 files verify" in done.stderr and "dependencies: complete" in done.stderr


def test_every_altered_missing_and_added_file_is_named(bundle, keys):
    (bundle / "README.md").write_text("other\n")
    (bundle / "packages/stargraph_0.0.1_amd64.deb").unlink()
    (bundle / "extra").write_text("x")
    done = check(bundle, "--key", keys["release"] / "public.gpg")
    assert done.returncode == 4
    assert "altered: ./README.md" in done.stderr
    assert "missing: ./packages/stargraph_0.0.1_amd64.deb" in done.stderr
    assert "not in the manifest: ./extra" in done.stderr
    assert "nothing was changed" in done.stderr


def test_another_key_does_not_verify(bundle, keys):
    sign(bundle, keys["stranger"])
    done = check(bundle, "--key", keys["release"] / "public.gpg")
    assert done.returncode == 4
    assert "wrong-signature" in done.stderr


def test_an_altered_manifest_does_not_verify(bundle, keys):
    with open(bundle / "MANIFEST.sha256", "a") as f:
        f.write("0" * 64 + "  ./nothing\n")
    assert check(bundle, "--key", keys["release"] / "public.gpg").returncode == 4


def test_without_a_key_from_outside_nothing_is_believed(bundle):
    done = check(bundle)
    assert done.returncode == 2
    assert "travelled with the bundle" in done.stderr


def test_a_missing_dependency_is_named_and_nothing_changes(bundle, keys):
    deb = bundle / "packages/stargraph_0.0.1_amd64.deb"
    root = bundle.parent / "again"
    subprocess.run(["dpkg-deb", "-R", deb, root], check=True)
    with open(root / "DEBIAN/control", "a") as f:
        f.write("Depends: libnosuchthing9\n")
    subprocess.run(["dpkg-deb", "--build", "--root-owner-group", root, deb], check=True, capture_output=True)
    sign(bundle, keys["release"])
    done = check(bundle, "--key", keys["release"] / "public.gpg")
    assert done.returncode == 1
    assert "missing-dependency" in done.stderr
    assert "libnosuchthing9" in done.stderr


def test_every_refusal_has_a_cause_that_the_page_names():
    text = (TOP / "bundle/install").read_text()
    causes = re.findall(r"\bfail (\d) ([a-z-]+) \"", text)
    assert len(causes) == len(re.findall(r"\bfail \d", text))  # none without one
    page = (TOP / "docs/operating/install.md").read_text()
    for code, cause in causes:
        row = next(x for x in page.splitlines() if x.startswith(f"| {code} |"))
        assert f"`{cause}`" in row, (code, cause)


def test_a_dry_run_says_what_would_be_done_and_does_nothing(bundle, keys):
    before = sorted(p.as_posix() for p in pathlib.Path("/opt").glob("stargraph/*"))
    done = check(bundle, "--key", keys["release"] / "public.gpg", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "would stage /opt/stargraph/releases/0.0.1-" in done.stderr
    assert sorted(p.as_posix() for p in pathlib.Path("/opt").glob("stargraph/*")) == before


def test_progress_is_drawn_on_a_terminal(bundle, keys):
    for i in range(40):
        (bundle / f"file{i}").write_text(str(i))
    sign(bundle, keys["release"])
    seen = on_terminal([bundle / "install", "--check", "--key", keys["release"] / "public.gpg"], "stderr")
    assert b"verifying [####" in seen and b" 50%" in seen


@pytest.mark.parametrize("sample", sorted((TOP / "bundle/samples").glob("*.evidence")), ids=lambda p: p.stem)
def test_the_recorded_sample_runs_come_out_the_same(sample):
    program = pathlib.Path(os.environ.get("SG_BUILD", TOP / "build")) / "core/stargraph"
    done = subprocess.run([program, "verify", sample], capture_output=True, text=True, check=False)
    assert done.returncode == 5 and "executed again and identical" in done.stdout, done
