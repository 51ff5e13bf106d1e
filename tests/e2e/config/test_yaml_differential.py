"""Our YAML reader against PyYAML's safe_load, document by document.

Every document that we accept must give PyYAML's value (times as strings). What PyYAML accepts and
we refuse must be one of the stated refusals.
"""
import datetime
import itertools
import json
import os
import pathlib
import random
import subprocess
import tempfile

import yaml

REFUSALS = (
    "is there twice", "is not read as a string", "a key must be", "is not supported",
    "a second document", "merge keys", "infinities", "too large for a double", "outside 64 bit",
    "a NUL character", "the text does not fit its tag", "without digits", "nested deeper",
    "control characters",
)


def pieces():
    digits = ["0", "1", "07", "08", "12_3", "1:30", "1:60", "01:30", "9" * 19, "0x1f", "0b11", "0o7",
              "1_", "_1", "00"]
    for sign, body, tail in itertools.product(["", "-", "+"], digits, ["", ".", ".5", "e3", ".5e+3",
                                                                      ".5e3", ":1", "._"]):
        yield sign + body + tail
    yield from [".5", "-.5", ".", "..", ".5e-3", "._5", "+.5", ".5_", "1.2.3", "~", "null", "Null", "nUll", "NULL", "yes",
                "No", "on", "OFF", "y", "n", "True", "tRUE", "2024-01-31", "2024-1-1",
                "2024-01-31 10:00:00", "2024-01-31T10:00:00.5Z", "1e5", "1E+5", "0.1e-7", "-0", "-0.0",
                "'1'", '"1"', "!!str 1", "!!int '7'", "!!float 3", "!!bool yes", "! 1", "a b", "a#b",
                "a: b", "[a, b]", "{a: 1}", "|\n   x\n   y", ">-\n   x\n   y", '"\\x41\\u00e9\\U0001F600"',
                "'it''s'", "? a", "&x a", "12:30:45", "12:30:45.25", "0:0", "1:2:3:4", "=a", "<a", "''", '""']


def documents(rng):
    for p in pieces():
        yield f"k: {p}\n"
        yield f"- {p}\n- x\n"
        yield f"{p}: v\n"
    scalars = list(pieces())
    for _ in range(300):
        yield "\n".join(f"key{i}: {rng.choice(scalars)}" for i in range(8)) + "\n"
    alphabet = "ab01:-_.#,[]{}'\"!&*|> \n\t~?%@`é"
    for _ in range(3000):
        yield "".join(rng.choice(alphabet) for _ in range(rng.randint(1, 24)))


def plain(v):
    """Times back to the text they came from is not possible in general: mark them."""
    if isinstance(v, (datetime.date, datetime.datetime)):
        return "<time>"
    if isinstance(v, dict):
        return {"<time>" if plain(k) == "<time>" else k: plain(x) for k, x in v.items()}
    if isinstance(v, list):
        return [plain(x) for x in v]
    return v


def same(ours, theirs):
    if theirs == "<time>":
        return isinstance(ours, str)
    if isinstance(theirs, bool) or isinstance(ours, bool) or theirs is None:
        return ours is theirs
    if isinstance(theirs, (int, float)) and isinstance(ours, (int, float)):
        return ours == theirs
    if isinstance(theirs, int) and isinstance(ours, str):
        return ours == f"__stargraph_bigint__:{theirs}"
    if isinstance(theirs, dict) and "<time>" in theirs:
        return len(ours) == len(theirs)
    if isinstance(theirs, dict) and isinstance(ours, dict):
        return ours.keys() == theirs.keys() and all(same(ours[k], theirs[k]) for k in theirs)
    if isinstance(theirs, list) and isinstance(ours, list):
        return len(ours) == len(theirs) and all(map(same, ours, theirs))
    return type(ours) is type(theirs) and ours == theirs


def check(text, line):
    verdict, _, rest = line.partition(" ")
    try:
        theirs = plain(yaml.safe_load(text))
    except Exception as e:  # whatever PyYAML raises: it refuses
        theirs = e
    if isinstance(theirs, Exception):
        # libyaml is more lenient than PyYAML's scanner in a few places; a value is fine then.
        return None
    if verdict == "error":
        return None if any(r in rest for r in REFUSALS) else f"refused: {rest}"
    return None if same(json.loads(rest), theirs) else f"ours {rest} theirs {theirs!r}"


def canonical(binary, texts):
    with tempfile.TemporaryDirectory() as d:
        paths = []
        for i, t in enumerate(texts):
            paths.append(f"{d}/{i}.yaml")
            pathlib.Path(paths[-1]).write_text(t)
        out = []
        for i in range(0, len(paths), 1000):
            done = subprocess.run([binary, *paths[i:i + 1000]], capture_output=True, check=True)
            out += done.stdout.decode().split("\n")[:-1]
    assert len(out) == len(texts)
    return out


def test_we_read_what_pyyaml_reads():
    binary = pathlib.Path(os.environ.get("SG_BUILD", "build")) / "tests/unit/test-yaml"
    texts = list(documents(random.Random(8785)))
    lines = canonical(binary, texts)
    bad = [(t, why) for t, line in zip(texts, lines) if (why := check(t, line))]
    assert not bad, bad[:5]
    assert sum(line.startswith("value") for line in lines) > len(texts) / 2
