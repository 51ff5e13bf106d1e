"""The tokenizer against the pinned `tokenizers` package, id for id.

50,000 texts by default; with SG_LONG=1 1,500,000, among them every assigned code point. A failure
prints the seed and the shortest text that differs.
"""
import os
import pathlib
import random
import struct
import subprocess
import unicodedata

import pytest
from tokenizers import Tokenizer

from strings import Texts

TOP = pathlib.Path(__file__).resolve().parents[3]
BUILD = TOP / os.environ.get("SG_BUILD", "build")
MODEL = pathlib.Path(os.environ["SG_MODEL_DIR"])
LONG = bool(os.environ.get("SG_LONG"))
SEED = int(os.environ.get("SG_SEED", "20240601"))
CHUNK = 50_000


@pytest.fixture(scope="module")
def reference():
    t = Tokenizer.from_file(str(MODEL / "tokenizer.json"))
    t.no_truncation()
    t.no_padding()
    return t


@pytest.fixture(scope="module")
def texts(reference):
    return Texts(SEED, reference.get_vocab(with_added_tokens=False))


def stream(blobs, max_tokens):
    """Ids, or a negative byte offset - 1 for invalid UTF-8, of each text, by the C program."""
    data = b"".join(struct.pack("<I", len(b)) + b for b in blobs)
    out = subprocess.run([BUILD / "tests/tools/tokenize-stream", MODEL, str(max_tokens)], input=data,
                         capture_output=True, check=True).stdout
    words = memoryview(out).cast("I")
    result, at = [], 0
    for _ in blobs:
        n = words[at]
        if n == 0xFFFFFFFF:
            result.append(-1 - words[at + 1])
            at += 2
        else:
            result.append(list(words[at + 1:at + 1 + n]))
            at += 1 + n
    assert at == len(words)
    return result


def compare(reference, texts, max_tokens=0):
    if max_tokens:
        reference.enable_truncation(max_tokens)
    else:
        reference.no_truncation()
    want = [e.ids for e in reference.encode_batch_fast(texts)]
    got = stream([t.encode() for t in texts], max_tokens)
    wrong = [(len(t), t, w, g) for t, w, g in zip(texts, want, got) if w != g]
    if wrong:
        _, text, w, g = min(wrong)
        pytest.fail(f"seed {SEED}: {len(wrong)} of {len(texts)} differ; shortest {ascii(text)}:\n"
                    f"tokenizers {w}\nstargraph  {g}")


def chunks(texts, total):
    chunk = []
    for text in texts.take(total):
        chunk.append(text)
        if len(chunk) == CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def test_ids_equal_for_generated_texts(reference, texts):
    seen = 0
    for chunk in chunks(texts, 2_400_000 if LONG else 50_000):
        compare(reference, chunk)
        seen += len(chunk)
    assert seen >= (1_000_000 if LONG else 50_000)


@pytest.mark.parametrize("limit", [2, 3, 17, 256])
def test_truncation_keeps_the_first_tokens(reference, texts, limit):
    short = [texts.mixture() for _ in range(2000)]
    long = ["".join(texts.mixture() + " " for _ in range(60)) for _ in range(100)]
    compare(reference, short + long, limit)


def spans(texts):
    """(id, first character, the one behind the last) of each token, by the C program."""
    data = b"".join(struct.pack("<I", len(t.encode())) + t.encode() for t in texts)
    out = subprocess.run([BUILD / "tests/tools/tokenize-stream", MODEL, "0", "spans"], input=data,
                         capture_output=True, check=True).stdout
    words, at, result = memoryview(out).cast("I"), 0, []
    for _ in texts:
        n = words[at]
        flat = words[at + 1:at + 1 + 3 * n].tolist()
        result.append(list(zip(flat[::3], flat[1::3], flat[2::3])))
        at += 1 + 3 * n
    assert at == len(words)
    return result


def reordered(text):
    """Does canonical ordering move marks? The package's offsets then name the wrong neighbour."""
    apart = "".join(unicodedata.normalize("NFD", c) for c in text)
    return apart != unicodedata.normalize("NFD", text)


def test_offsets_equal(reference, texts):
    reference.no_truncation()
    drawn = [texts.mixture() for _ in range(100_000 if LONG else 10_000)]
    cases = HARD + [t for t in drawn if not reordered(t)]
    assert len(cases) > 0.9 * len(drawn)
    want = [[(i, *o) for i, o in zip(e.ids, e.offsets)] for e in reference.encode_batch(cases)]
    wrong = [(len(t), t, w, g) for t, w, g in zip(cases, want, spans(cases)) if w != g]
    if wrong:
        _, text, w, g = min(wrong)
        pytest.fail(f"seed {SEED}: {len(wrong)} of {len(cases)} differ; shortest {ascii(text)}:\n"
                    f"tokenizers {w}\nstargraph  {g}")


HARD = [
    "", " ", "\0", "[CLS]", "[cls]", "[CLS", "[[CLS]]", "##x", "a##x", "[MASK][MASK]", "x" * 100, "x" * 101,
    "é" * 100, "e\u0301" * 100, "e\u0301" * 101, "ÀÉÎ", "İ", "ﬁ", "K", "Å", "中文", "한국어", "각",
    "𝕊", "👨‍👩‍👧", "a\u0323\u0307b", "a\u0307\u0323b", "\u0344", "\u1D15E", "\U0001D15E", "[ CLS]", "don't",
    "a" * 99 + "\u0301", "a" * 100 + "\u0301" + "b", "\u302e\u302f가", "ß", "ẞ", "Σς", "\u037e", "\u1fef",
    "[UNK]x[PAD]", "￥１２３", "\u2028x\u2029y", "\ufeffbom", "a\u00adb", "\ue000x", "٣", "\u0cc0\u0301",
]


def test_known_hard_texts(reference):
    compare(reference, HARD)


def test_invalid_utf8_names_the_byte(texts):
    r = random.Random(SEED)
    blobs, want = [], []
    while len(blobs) < 20_000:
        b = bytearray(texts.mixture().encode())
        for _ in range(r.randint(1, 3)):
            if b:
                i = r.randrange(len(b))
                b[i:i + r.randint(0, 1)] = bytes([r.choice((0x80, 0xBF, 0xC0, 0xC1, 0xE0, 0xED, 0xF0, 0xF4,
                                                           0xF5, 0xFF, r.randrange(256)))])
        if r.random() < 0.3 and b:
            del b[r.randrange(len(b)):]
        try:
            bytes(b).decode()
        except UnicodeDecodeError as e:
            blobs.append(bytes(b))
            want.append(-1 - e.start)
    assert stream(blobs, 0) == want


def test_one_huge_text(reference):
    compare(reference, ["security advisory \u00e9\u4e2d " * 40_000, "a" * 2_000_000, "\u0323" * 100_000,
                        "\u302e\u302f" * 100_000, "[CLS]" * 100_000])
