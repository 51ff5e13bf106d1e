import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

GRAPHS = {
    "three": {"nodes": [{"id": "a", "kind": "passthrough"}, {"id": "b", "kind": "set", "config": {
        "values": {"n": 2}}}, {"id": "c", "kind": "halt"}],
        "state_schema": {"text": "str", "n": "int"}},
    "ask": {"nodes": [{"id": "gate", "kind": "interrupt", "config": {"prompt": "?"}},
                      {"id": "end", "kind": "halt"}],
            "state_schema": {"decision": "str"}},
    "keep": {"nodes": [{"id": "k", "kind": "write_artifact", "config": {
        "content_field": "text", "name": "t.txt", "content_type": "text/plain"}}],
        "state_schema": {"text": "str", "artifact_ref": "dict"}},
}


@pytest.fixture
def graphs(tmp_path):
    d = tmp_path / "graphs"
    d.mkdir()
    for name, body in GRAPHS.items():
        (d / f"{name}.yaml").write_text(json.dumps(
            {"ir_version": "1.0.0", "id": f"run:{name}", "rules": [], **body}))
    return d
