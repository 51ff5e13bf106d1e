"""Prints docs/reference/original-graphs.md from the cases, so that the two cannot differ."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from cases import CANNOT, CASES, RUN  # noqa: E402

HEAD = """# The original's graphs, here

Every graph that the Python original (0.8.0) ships: examples, bundles, skills, demos, fixtures, tutorials. {n} in all;
{runs} run here and come to the path and final state of the original (seen by running it, `tests/golden/graphs/against_original.py`, for hello, pipeline, sample-graph, 100-node-ir, hitl-graph, first-graph, the two cyclic graphs, the parallel block and the sequential subgraph; read from its source, documentation and tests for the rest), {cannot} cannot, each for the one reason given.
The restatements are in `tests/golden/graphs/cases.py`, and the golden suite runs them all; this page is printed by
`tests/golden/graphs/table.py`.

Where the original is wrong, this one does not follow:

- **`(initial-fact)`**: the CLIPS inside the original (6.4) has no such fact, so those rules never fire there and the run falls
  through to the next node in file order. Here they fire in the first step, as its documentation says.
- **Rules skipped with a warning**: a rule with `parallel`, `retry`, `assert`, `retract` or `interrupt` among its actions is left out there. Here all seven
  actions work, or the graph is refused when it is loaded.
- **Numbers in `when`** are compared as text there (`{{risk: 3}}` against `"3"`). Here a number is compared with a number; a condition that could never be true is refused.
- **A misspelled node, field or fact in `when`** makes a rule that never fires there, and the run falls through. Here it is refused, with the nearest right word.
- **A node of kind `halt`** is only a marker there. Here it ends the run.
- **The goto beside an interrupt** is dropped there. Here it is followed once the answer is in.

| graph | here | path, or why not |
|---|---|---|
"""


def show_path(path):
    return " → ".join(path) if len(path) <= 6 else f"{path[0]} → … → {path[-1]} ({len(path)} nodes)"


def main():
    out = HEAD.format(n=len(CASES), runs=len(RUN), cannot=len(CANNOT))
    for c in CASES:
        told = c.why if c.why else show_path(c.path)
        out += f"| `{c.origin}` | {'no' if c.why else 'same'} | {told}{'; ' + c.note if c.note else ''} |\n"
    return out


if __name__ == "__main__":
    sys.stdout.write(main())
