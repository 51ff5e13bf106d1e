"""Where serve and the verbs take the model from: an explicit path, HF_HOME in the guide's layout and in
the hub's, offline or not; what is missing or has drifted is refused by name, and nothing is fetched."""
import hashlib
import os
import shutil
import subprocess

import pytest
from core import Core, binary

MODEL = os.environ.get("SG_MODEL_DIR", "/work/models/all-MiniLM-L6-v2")
pytestmark = pytest.mark.skipif(not os.path.isdir(MODEL), reason="no model")
HUB = "hub/models--sentence-transformers--all-MiniLM-L6-v2"
FILES = ["model.safetensors", "tokenizer.json", "vocab.txt", "config.json", "sentence_bert_config.json",
         "modules.json", "1_Pooling/config.json"]


def stage(target):
    """The model below target; the big file as a link, as the hub has it."""
    for name in FILES:
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name == "model.safetensors":
            path.symlink_to(os.path.realpath(os.path.join(MODEL, name)))
        else:
            shutil.copy(os.path.join(MODEL, name), path)
    return target


def plain(home):
    return stage(home / "all-MiniLM-L6-v2")


def hub(home):
    (home / HUB / "refs").mkdir(parents=True)
    (home / HUB / "refs/main").write_text("abc123")
    stage(home / HUB / "snapshots/old")
    return stage(home / HUB / "snapshots/abc123")


LAYOUTS = pytest.mark.parametrize("layout", [plain, hub])
OFFLINE = pytest.mark.parametrize("offline", [{}, {"HF_HUB_OFFLINE": "1"}], ids=["", "offline"])


def model(*args, **env):
    return subprocess.run([binary(), "model", *args], capture_output=True, text=True,
                          env={"PATH": os.environ["PATH"], **env})


@LAYOUTS
@OFFLINE
def test_serve_finds_the_model_below_hf_home(tmp_path, layout, offline):
    layout(tmp_path / "home")
    with Core(tmp_path / "core", env={"HF_HOME": str(tmp_path / "home"), **offline}) as core:
        assert len(core.post("/embed", {"inputs": "a cat"}).json()[0]) == 384


@LAYOUTS
def test_verbs_find_the_model_below_hf_home(tmp_path, layout):
    where = layout(tmp_path / "home")
    found = model("find", HF_HOME=str(tmp_path / "home"), HF_HUB_OFFLINE="1")
    assert found.returncode == 0 and found.stdout.strip() == str(where)
    assert model("verify", HF_HOME=str(tmp_path / "home")).returncode == 0


def test_an_explicit_path_wins_and_is_the_only_place_looked_at(tmp_path):
    plain(tmp_path / "home")
    other = stage(tmp_path / "other")
    home = str(tmp_path / "home")
    assert model("find", "--model", str(other), HF_HOME=home).stdout.strip() == str(other)
    r = model("find", "--model", str(tmp_path / "none"), HF_HOME=home)
    assert r.returncode == 2 and "LocalEntryNotFoundError" in r.stderr and "none" in r.stderr


@OFFLINE
def test_nothing_staged_is_refused_and_nothing_is_fetched(tmp_path, offline):
    home = tmp_path / "home"
    home.mkdir()
    # a leak check cannot run under a tracer
    core = Core(tmp_path / "core", env={"HF_HOME": str(home), "ASAN_OPTIONS": "detect_leaks=0", **offline},
                prefix=["strace", "-f", "-e", "trace=connect", "-o", str(tmp_path / "trace")]
                if shutil.which("strace") else [])
    code, said = core.refused()
    assert code == 2 and "LocalEntryNotFoundError" in said
    assert str(home / "all-MiniLM-L6-v2") in said and "models--" in said
    assert list(home.iterdir()) == []
    if shutil.which("strace"):
        assert "AF_INET" not in (tmp_path / "trace").read_text()


@pytest.mark.parametrize("name", ["tokenizer.json", "vocab.txt", "config.json", "sentence_bert_config.json"])
def test_each_pinned_file_that_drifted_is_refused_by_name(tmp_path, name):
    where = plain(tmp_path / "home")
    with open(where / name, "ab") as f:
        f.write(b"\n")
    code, said = Core(tmp_path / "core", env={"HF_HOME": str(tmp_path / "home")}).refused()
    assert code == 2 and "EmbeddingModelHashMismatch" in said and name in said


def test_drifted_weights_are_refused_by_name(tmp_path):
    where = plain(tmp_path / "home")
    (where / "model.safetensors").unlink()
    shutil.copy(os.path.join(MODEL, "model.safetensors"), where / "model.safetensors")
    with open(where / "model.safetensors", "r+b") as f:
        f.seek(-1, os.SEEK_END)
        last = f.read(1)
        f.seek(-1, os.SEEK_END)
        f.write(bytes([last[0] ^ 1]))
    code, said = Core(tmp_path / "core", env={"HF_HOME": str(tmp_path / "home")}).refused()
    assert code == 2 and "EmbeddingModelHashMismatch" in said and "model.safetensors" in said


@pytest.mark.parametrize("prefix", ["./all-MiniLM-L6-v2/", "./"], ids=["below HF_HOME", "below the model"])
def test_the_manifest_is_verified(tmp_path, prefix):
    home = tmp_path / "home"
    where = plain(home)
    manifest = tmp_path / "hf_manifest.sha256"
    lines = [f"{hashlib.sha256((where / n).read_bytes()).hexdigest()}  {prefix}{n}\n" for n in FILES]
    manifest.write_text("".join(lines))
    verify = lambda: model("verify", "--manifest", str(manifest), HF_HOME=str(home))  # noqa: E731
    assert verify().returncode == 0 and "7 files" in verify().stdout
    manifest.write_text("".join(lines[1:]))
    r = verify()
    assert r.returncode == 2 and "does not list" in r.stderr and "model.safetensors" in r.stderr
    manifest.write_text("".join(lines).replace(lines[2][:64], "0" * 64))
    r = verify()
    assert r.returncode == 2 and "EmbeddingModelHashMismatch" in r.stderr and "vocab.txt" in r.stderr
    manifest.write_text("".join(lines) + "0" * 64 + "  ../x\n")
    r = verify()
    assert r.returncode == 2 and "line 8" in r.stderr and "leaves" in r.stderr
