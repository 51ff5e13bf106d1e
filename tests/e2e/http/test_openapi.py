"""/openapi.json is what exists: schemathesis asks a running server everything it says, with requests
that fit and requests that do not, and checks each answer against it."""
import os
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
from core import Core

SECRET = b"0123456789abcdef"
# 422 is an answer to what a schema cannot say: parameters by the graph's own state_schema, a document
# twice, 1.0 for an integer.
CHECKS = """[checks.positive_data_acceptance]
expected-statuses = ["2xx", "401", "403", "404", "409", "422", "429"]
"""


def start(directory, graphs):
    secret = directory / "hook.secret"
    secret.write_bytes(SECRET)
    secret.chmod(0o600)
    model = {"model_path": os.environ["SG_MODEL_DIR"]}
    return Core(directory / "core", graphs=[graphs], model=model, limits={"steps": 50},
                stores=[{"name": "docs", "provider": "vector"}],
                triggers=[{"id": "drill", "kind": "manual", "graph": "run:done"},
                          {"id": "hook", "kind": "webhook", "graph": "run:done",
                           "secret_file": str(secret)}])


@pytest.fixture(scope="session")
def server(tmp_path_factory, graphs):
    with start(tmp_path_factory.mktemp("openapi"), graphs) as core:
        core.run("run:done")
        core.run("run:ask")
        yield core


def document(core):
    return core.get("/openapi.json").json()


def test_schemathesis_finds_nothing(server, tmp_path):
    """All operations; streams of runs that are there are test_http.py's."""
    (tmp_path / "schemathesis.toml").write_text(CHECKS)
    r = subprocess.run(
        [Path(sys.executable).parent / "schemathesis", "run",
         f"http://127.0.0.1:{server.port}/openapi.json", "--phases", "examples,coverage,fuzzing",
         "--max-examples", "15", "--seed", "1", "--request-timeout", "20", "--suppress-health-check", "all", "--no-color"],
        cwd=tmp_path, capture_output=True, text=True, timeout=240)
    assert r.returncode == 0, r.stdout[-12000:] + r.stderr[-4000:]
    # it leaves out the document's own path by itself
    n = sum(len(item) for item in document(server)["paths"].values()) - 1
    assert f"Selected: {n}/{n}" in r.stdout and f"Tested: {n}" in r.stdout, r.stdout[-4000:]
    assert server.process.poll() is None


def test_components_are_strict(server):
    doc = document(server)
    assert doc["openapi"] == "3.1.0"

    def walk(name, node):
        if isinstance(node, list):
            for n in node:
                walk(name, n)
        if not isinstance(node, dict):
            return
        if "properties" in node:
            assert node.get("additionalProperties") is False, name
            assert node["required"], name
        for v in node.values():
            walk(name, v)

    for name, component in doc["components"]["schemas"].items():
        walk(name, component)
        jsonschema.Draft202012Validator.check_schema(component)
    for path, item in doc["paths"].items():
        for operation in item.values():
            named = {p["name"] for p in operation["parameters"] if p["in"] == "path"}
            assert named == {part[1:-1] for part in path.split("/") if part.startswith("{")}


def test_answers_fit_their_components(server):
    doc = document(server)
    for path, component in (("/v1/runs", "RunPage"), ("/v1/graphs", "Graphs"), ("/health", "Health"),
                            ("/v1/stores", "Stores"), ("/v1/stores/docs", "Store"),
                            ("/v1/triggers", "Triggers"), ("/info", "Model")):
        schema = {"$ref": f"#/components/schemas/{component}", "components": doc["components"]}
        jsonschema.validate(server.get(path).json(), schema)
    for run in server.get("/v1/runs?limit=20").json()["items"]:
        jsonschema.validate(server.get(f"/v1/runs/{run['run_id']}").json(),
                            {"$ref": "#/components/schemas/Run", "components": doc["components"]})
