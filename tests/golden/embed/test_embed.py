"""`stargraph embed` against sentence-transformers: ids exactly, vectors within 1e-6, on every kernel
that this CPU runs; the same bytes whatever the order, company, number of workers or interruption."""
import array
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest

TOP = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(TOP / "tests/e2e/lib"))
from terminal import on_terminal  # noqa: E402

STARGRAPH = TOP / os.environ.get("SG_BUILD", "build") / "core/stargraph"
MODEL = os.environ["SG_MODEL_DIR"]
HERE = pathlib.Path(__file__).resolve().parent
GOLDEN = [json.loads(line) for line in (HERE / "texts.jsonl").open()]
VECTORS = array.array("f", (HERE / "vectors.f32").read_bytes())
EXACT = ["reference", "blas", "avx2", "avx512"]


def runs_here(kernel):
    return subprocess.run([STARGRAPH, "model", "info", "--model", MODEL, "--kernel", kernel],
                          capture_output=True).returncode == 0


def embed(texts, *options, check=True):
    data = "".join(json.dumps({"text": t}) + "\n" for t in texts)
    return subprocess.run([STARGRAPH, "embed", "--model", MODEL, *options], input=data.encode(),
                          capture_output=True, check=check)


@pytest.fixture(scope="module")
def texts():
    return [g["text"] for g in GOLDEN]


@pytest.fixture(scope="module")
def output(texts):
    return embed(texts).stdout.splitlines(keepends=True)


@pytest.mark.parametrize("kernel", [k for k in EXACT if runs_here(k)])
def test_vectors_are_those_of_sentence_transformers(kernel):
    # The reference takes 7 ms a token: only short texts.
    chosen = [i for i, g in enumerate(GOLDEN) if kernel != "reference" or len(g["ids"]) <= 24]
    lines = embed([GOLDEN[i]["text"] for i in chosen], "--kernel", kernel).stdout.splitlines()
    assert len(lines) == len(chosen) > 40
    worst = 0.0
    for i, line in zip(chosen, lines):
        got, want = json.loads(line), GOLDEN[i]
        assert set(got) == {"ids", "tokens", "truncated", "embedding"}
        assert got["ids"] == want["ids"], want["text"]
        assert got["tokens"] == len(want["ids"])
        vector = VECTORS[384 * i:384 * i + 384]
        worst = max(worst, max(abs(a - b) for a, b in zip(got["embedding"], vector)))
        assert abs(sum(x * x for x in got["embedding"]) - 1) < 1e-5
    assert worst <= 1e-6


def test_the_reference_runs_everywhere():
    assert runs_here("reference") and runs_here("blas")


def test_truncation_is_reported(texts, output):
    long = [json.loads(line)["truncated"] for line in output]
    assert any(long) and not all(long)
    at_limit = json.loads(embed(["x " * 254]).stdout)
    over = json.loads(embed(["x " * 255]).stdout)
    assert (at_limit["tokens"], at_limit["truncated"]) == (256, False)
    assert (over["tokens"], over["truncated"]) == (256, True)


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_same_bytes_in_any_order_and_with_any_number_of_workers(workers, texts, output):
    order = list(range(len(texts)))
    random.Random(workers).shuffle(order)
    shuffled = embed([texts[i] for i in order], "--workers", str(workers)).stdout
    assert shuffled.splitlines(keepends=True) == [output[i] for i in order]


def test_same_bytes_alone(texts, output):
    for i in range(0, len(texts), 10):
        assert embed([texts[i]]).stdout == output[i]


@pytest.mark.parametrize("cut", ["empty", "whole lines", "half a line", "complete"])
def test_resume_continues_to_the_same_bytes(cut, texts, output, tmp_path):
    whole = b"".join(output)
    keep = {"empty": 0, "whole lines": len(b"".join(output[:40])),
            "half a line": len(b"".join(output[:40])) + 1000, "complete": len(whole)}[cut]
    out = tmp_path / "out.jsonl"
    out.write_bytes(whole[:keep])
    embed(texts, "--resume", out)
    assert out.read_bytes() == whole


def test_resume_refuses_another_input(texts, output, tmp_path):
    out = tmp_path / "out.jsonl"
    out.write_bytes(b"".join(output[:40]))
    r = embed(texts[1:], "--resume", out, check=False)
    assert r.returncode == 2 and b"is not the output of" in r.stderr
    assert out.read_bytes() == b"".join(output[:40])
    short = embed(texts[:3], "--resume", out, check=False)
    assert short.returncode == 2 and b"not an output of it" in short.stderr


def test_output_is_never_overwritten(texts, tmp_path):
    out = tmp_path / "out.jsonl"
    out.write_bytes(b"precious")
    r = embed(texts[:1], "--output", out, check=False)
    assert r.returncode == 2 and b"--resume" in r.stderr and out.read_bytes() == b"precious"


@pytest.mark.parametrize("bad, says", [
    (b"not json\n", b"input line 3"), (b'{"text": 7}\n', b'a string "text"'), (b"[]\n", b'a string "text"'),
    (b'{"text": "\xff"}\n', b"input line 3"), (b"\n", b"input line 3"), (b'{"text": "x"', b"input line 3"),
    (b"[" * 100 + b"\n", b"nested deeper"), (b'{"text": "' + b"a" * (17 << 20) + b'"}\n', b"longer than"),
], ids=["no JSON", "number", "array", "byte", "empty", "cut", "deep", "long"])
def test_a_bad_line_ends_the_run_after_what_came_before_it(bad, says, output, texts):
    good = b"".join(json.dumps({"text": t}).encode() + b"\n" for t in texts[:2])
    r = subprocess.run([STARGRAPH, "embed", "--model", MODEL], input=good + bad, capture_output=True)
    assert r.returncode in (1, 2) and says in r.stderr
    assert r.stdout.splitlines(keepends=True) == output[:2]


def test_empty_input():
    r = embed([])
    assert r.stdout == b"" and r.stderr == b""


def test_a_missing_input_or_output_directory_is_said_before_the_model_is_loaded(tmp_path):
    r = embed([], "--input", tmp_path / "none.jsonl", check=False)
    assert r.returncode == 2 and b"cannot open the input" in r.stderr and b"none.jsonl" in r.stderr
    r = embed([], "--input", tmp_path / "none.jsonl", "--model", tmp_path, check=False)
    assert r.returncode == 2 and b"none.jsonl" in r.stderr
    r = embed([], "--output", tmp_path / "none" / "out.jsonl", check=False)
    assert r.returncode == 2 and b"cannot open the output" in r.stderr


def test_input_and_output_files_are_as_the_streams(texts, output, tmp_path):
    given = tmp_path / "in.jsonl"
    given.write_text("".join(json.dumps({"text": t}) + "\n" for t in texts))
    embed([], "--input", given, "--output", tmp_path / "out.jsonl")
    assert (tmp_path / "out.jsonl").read_bytes() == b"".join(output)


def test_killed_and_resumed_gives_the_same_bytes(texts, output, tmp_path):
    given, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    given.write_text("".join(json.dumps({"text": t}) + "\n" for t in texts * 6))
    kills = 0
    for _ in range(50):
        p = subprocess.Popen([STARGRAPH, "embed", "--model", MODEL, "--input", given, "--resume", out])
        before, end = out.stat().st_size if out.exists() else 0, time.monotonic() + 60
        while p.poll() is None and (not out.exists() or out.stat().st_size < before + 600_000):
            assert time.monotonic() < end
            time.sleep(0.002)
        if p.poll() is not None:
            assert p.returncode == 0
            break
        p.send_signal(signal.SIGKILL)
        p.wait()
        kills += 1
    assert kills >= 2 and out.read_bytes() == b"".join(output) * 6


def test_a_terminal_sees_a_bar_and_a_pipe_none(texts, tmp_path):
    given = tmp_path / "in.jsonl"
    given.write_text("".join(json.dumps({"text": t}) + "\n" for t in texts * 8))
    shown = on_terminal([STARGRAPH, "embed", "--model", MODEL, "--input", given], "stderr",
                        stdout=subprocess.DEVNULL)
    frames = shown.split(b"\r")[1:]
    assert len(frames) >= 3 and all(f.startswith(b"embed [") for f in frames)
    percents = [int(f.split(b"]")[1].split(b"%")[0]) for f in frames]
    assert percents == sorted(percents) and percents[-1] > percents[0] and percents[-1] <= 100
    assert b" texts, " in frames[-1] and b" tokens/s" in frames[-1] and shown.endswith(b"\n")
    assert embed(texts[:3]).stderr == b""


def test_a_weights_file_that_is_cut_while_in_use_changes_nothing(texts, output, tmp_path):
    copy, out = tmp_path / "model", tmp_path / "out.jsonl"
    shutil.copytree(MODEL, copy)
    lines = b"".join(json.dumps({"text": t}).encode() + b"\n" for t in texts)
    p = subprocess.Popen([STARGRAPH, "embed", "--model", copy, "--output", out], stdin=subprocess.PIPE)
    p.stdin.write(lines * 6)  # more than the ring and stdio's buffer hold back
    p.stdin.flush()
    end = time.monotonic() + 60
    while not out.exists() or out.stat().st_size == 0:
        assert p.poll() is None and time.monotonic() < end
        time.sleep(0.01)
    assert "model.safetensors" not in pathlib.Path(f"/proc/{p.pid}/maps").read_text()
    os.truncate(copy / "model.safetensors", 0)
    p.communicate(lines, timeout=100)
    assert p.returncode == 0 and out.read_bytes() == b"".join(output) * 7
    again = subprocess.run([STARGRAPH, "embed", "--model", copy], input=lines, capture_output=True)
    assert again.returncode == 2 and b"model.safetensors" in again.stderr
