"""The surface as a whole: the original's paths, the document, the page and the server say the same."""
import json
import re
import threading
import time

import pytest
from conftest import ALICE
from core import ROOT, Core, Grant, Who

# docs/reference/openapi.json of the original (0.8.0): its paths and what a success is there.
ORIGINAL = """
GET /health 200
GET /metrics 200
GET /v1/artifacts/{artifact_id} 200
GET /v1/graphs 200
GET /v1/registry/{kind} 200
GET /v1/runs 200
POST /v1/runs 202
GET /v1/runs/{run_id} 200
GET /v1/runs/{run_id}/artifacts 200
POST /v1/runs/{run_id}/cancel 200
POST /v1/runs/{run_id}/counterfactual 202
POST /v1/runs/{run_id}/pause 200
POST /v1/runs/{run_id}/respond 200
POST /v1/runs/{run_id}/resume 202
"""
# What the design adds.
ADDED = ["GET /v1/health", "GET /v1/runs/{run_id}/stream", "GET /openapi.json", "POST /v1/embeddings"]
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TOOL = """
[[tool]]
id = "lookup"
command = ["/bin/cat", "--secret=hidden"]
side_effects = "read"
description = "Looks things up."
input = { type = "object", properties = { q = { type = "string" } } }
environment = { TOKEN = "hidden" }
"""


def document(core):
    return core.get("/openapi.json").json()


def operations(doc):
    return {f"{m.upper()} {p}": o for p, item in doc["paths"].items() for m, o in item.items()}


def test_the_originals_surface_is_there(oss):
    have = operations(document(oss))
    for line in ORIGINAL.split("\n")[1:-1]:
        method, path, success = line.split()
        assert success in have[f"{method} {path}"]["responses"], line
    assert set(ADDED) <= set(have)
    health = oss.get("/v1/health")
    assert (health.status, health.body) == (200, b'{"status":"ok"}')


def test_page_and_document_name_the_same(oss):
    page = (ROOT / "docs/reference/http.md").read_text()
    told = {op for row in re.findall(r"^\| (`[A-Z]+ /.*?) \|", page, re.M)
            for op in re.findall(r"`([A-Z]+ /[^`]*)`", row)}
    assert told == set(operations(document(oss)))


def test_every_route_of_the_table_is_in_the_document_and_answers(oss):
    table = (ROOT / "core/api/routes.c").read_text()
    routes = {f"{m} {p}" for m, p in re.findall(r'^\t\{"([A-Z]+)", "(/[^"]*)"', table, re.M)}
    have = operations(document(oss))
    assert routes == set(have) and len(routes) > 20
    for name, operation in have.items():
        method, path = name.split()
        if path.endswith("/stream"):
            continue
        r = oss.request(method, re.sub(r"\{.*?\}", "nothing", path),
                        {} if method == "POST" else None)
        assert r.status != 405, name
        assert str(r.status) in operation["responses"], (name, r)


def test_what_is_not_in_the_document_does_not_exist(oss):
    for path in ("/v1", "/v1/", "/v1/run", "/v1/runs/x/y", "/v1/registry", "/docs", "/redoc", "/v2/runs",
                 "/v1/runs/", "//v1/runs", "/v1/runs/x/stream/y", "/admin"):
        assert oss.get(path).status == 404, path
    for name in operations(document(oss)):
        path = re.sub(r"\{.*?\}", "nothing", name.split()[1])
        for method in ("PUT", "PATCH", "TRACE", "OPTIONS"):
            r = oss.request(method, path)
            assert r.status == 405 and r.headers["Allow"], (method, path, r)


@pytest.fixture
def tools(tmp_path, graphs):
    class WithTool(Core):
        def write_config(self):
            super().write_config()
            with self.config.open("a") as f:
                f.write(TOOL)
    return WithTool(tmp_path / "core", profile="cleared", graphs=[graphs], grants=[
        Grant(["runs:read", "db.docs:read"], subject=ALICE), Grant(["runs:read"], subject="CN=bob"),
        Grant(["runs:start"], subject="CN=none")], stores=[{"name": "docs", "provider": "document"}])


def test_registry(tools):
    with tools as core:
        def get(kind, who):
            return core.get(f"/v1/registry/{kind}", as_=Who(who))
        assert get("tools", ALICE).json() == [{
            "id": "lookup", "name": "lookup", "description": "Looks things up.", "protocol": "jsonl",
            "side_effects": "read",
            "input_schema": {"type": "object", "properties": {"q": {"type": "string"}}}}]
        assert "hidden" not in get("tools", ALICE).text
        assert [s["name"] for s in get("stores", ALICE).json()] == ["docs"]
        assert get("stores", "CN=bob").json() == []
        assert get("skills", ALICE).json() == []
        r = get("plugins", ALICE)
        assert r.status == 404 and r.json()["detail"] == "unknown registry kind: 'plugins'"
        assert get("tools", "CN=none").status == 403


def test_a_traceparent_comes_back(oss):
    for r in (oss.post("/v1/runs", {"graph_id": "run:done"}, headers={"traceparent": TRACE}),
              oss.get("/v1/runs/run-none", headers={"traceparent": TRACE})):
        assert r.headers["traceparent"] == TRACE, r
    for bad in (TRACE.upper(), TRACE[:-1], "x"):
        assert "traceparent" not in oss.get("/v1/runs", headers={"traceparent": bad}).headers
    assert "traceparent" not in oss.get("/v1/runs").headers


def test_a_large_head_is_431(oss):
    def head(n):
        return oss.raw(b"GET /v1/health HTTP/1.1\r\nHost: a\r\nX: " + b"y" * n + b"\r\n\r\n", timeout=2)
    assert head(60000).startswith(b"HTTP/1.1 200 ")
    answer = head(70000)
    assert answer.startswith(b"HTTP/1.1 431 ") and b"application/problem+json" in answer
    assert b"65536 bytes" in answer and b"connection: close" in answer.lower()


def read(core, path, most=60):
    """A read is recorded too: while accepted runs are on their way, the queue may have no room for it."""
    end = time.monotonic() + most
    while (r := core.get(path, timeout=30)).status == 503 and time.monotonic() < end:
        time.sleep(0.05)
    return r.json()


def test_a_full_queue_says_when_to_try_again_and_loses_nothing(tmp_path, graphs):
    accepted, refused = [], []

    def work(core):
        c = core.connection()
        for _ in range(30):
            r = core.post("/v1/runs", {"graph_id": "run:five", "params": {
                "message": "m", "kind": "a", "score": 0.75, "count": 1, "flag": True, "note": ""}},
                          connection=c)
            (accepted if r.status == 202 else refused).append(r)
        c.close()

    with Core(tmp_path / "core", graphs=[graphs], limits={"queue": 1}) as core:
        threads = [threading.Thread(target=work, args=(core,)) for _ in range(16)]
        [t.start() for t in threads]
        [t.join() for t in threads]
        assert refused and accepted
        for r in refused:
            assert r.status == 503 and r.headers["Retry-After"] == "1", r
            assert re.search("wait for the disk|could not be recorded", r.json()["detail"])
        for r in accepted:
            run = read(core, "/v1/runs/" + r.json()["run_id"])
            assert run["status"] in ("running", "done"), run
        assert read(core, "/v1/runs?limit=1")["total"] == len(accepted)


def test_deep_pages(oss):
    """Each run once, in the same order, by cursor and by offset; while others are started."""
    runs = [oss.post("/v1/runs", {"graph_id": "run:done"}).json()["run_id"] for _ in range(57)]
    newest = list(reversed(runs))
    by_offset = [r["run_id"] for i in range(0, 60, 10)
                 for r in oss.get(f"/v1/runs?limit=10&offset={i}").json()["items"]]
    assert by_offset == newest
    got, cursor = [], ""
    while cursor is not None:
        page = oss.get("/v1/runs?limit=10" + (f"&cursor={cursor}" if cursor else "")).json()
        got += [r["run_id"] for r in page["items"]]
        cursor = page["cursor"]
        oss.post("/v1/runs", {"graph_id": "run:done"})
    assert got == newest
    assert oss.get("/v1/runs?offset=1000000000").json()["items"] == []
    assert oss.get("/v1/runs?offset=1000000001").status == 422
    assert oss.get("/v1/runs?cursor=nonsense").status == 422


def test_the_document_is_json_that_clients_read(oss):
    doc = document(oss)
    json.dumps(doc)
    refs = re.findall(r'"\$ref": "#/components/schemas/(\w+)"', json.dumps(doc))
    assert set(refs) <= set(doc["components"]["schemas"])
    ids = [o["operationId"] for o in operations(doc).values()]
    assert len(ids) == len(set(ids))
