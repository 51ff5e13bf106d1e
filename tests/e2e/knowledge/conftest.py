import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

from core import binary  # noqa: E402

MODEL = os.environ.get("SG_MODEL_DIR", "/work/models/all-MiniLM-L6-v2")


class Cli:
    """`stargraph store` on one state directory."""

    def __init__(self, state):
        self.state = state

    def run(self, *args, code=0, stdin=None, timeout=120):
        r = subprocess.run([binary(), "store", *map(str, args), "--state-dir", str(self.state)],
                           capture_output=True, text=True, input=stdin, timeout=timeout,
                           env={**os.environ, "HF_HOME": "/nonexistent"})
        assert r.returncode == code, (r.returncode, r.stdout, r.stderr)
        return r.stdout if code == 0 else r.stderr

    def model(self, *args, **kw):
        return self.run(*args, "--model", MODEL, **kw)

    def json(self, *args, **kw):
        return [json.loads(line) for line in self.run(*args, "--json", **kw).splitlines()]


@pytest.fixture
def cli(tmp_path):
    return Cli(tmp_path / "state")
