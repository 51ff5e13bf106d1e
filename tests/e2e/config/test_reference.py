"""The reference pages say what the program says."""
import os
import pathlib
import subprocess

TOP = pathlib.Path(__file__).resolve().parents[3]


def test_generated_parts_are_current():
    done = subprocess.run([TOP / "docs/reference/generate", "--check", os.environ.get("SG_BUILD", "build")],
                          cwd=TOP, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
