"""Every request that is authenticated, denied or refused has its line.

Each route of the document that the core itself gives, in each way of asking. What changes something
is recorded by what it did (run_started, …); everything else by exactly one line. The one exception
is GET /v1/health, which is answered to any local process and asks nobody who he is.
"""
import json
import os
import re
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))
import pki  # noqa: E402
import tlsclient  # noqa: E402
from core import ALL_CAPABILITIES, Core, Grant, Who  # noqa: E402
from evidence import GRAPH  # noqa: E402

ALICE, BOB = "CN=alice,O=Test", "CN=bob,O=Test"
BODY_MAX = 100_000
MODEL = os.environ.get("SG_MODEL_DIR", "/work/models/all-MiniLM-L6-v2")
# Answers of these that succeed have the records of what they did.
EFFECTS = {("POST", "/v1/runs"), ("POST", "/v1/runs/{run_id}/cancel"),
           ("POST", "/v1/runs/{run_id}/counterfactual")}
OPEN = {"/v1/health"}


class Log:
    """The lines that came since the last look."""

    def __init__(self, core):
        self.core, self.seen = core, len(core.audit())

    def new(self, most=15.0):
        end = time.monotonic() + most
        while len(lines := self.core.audit()) == self.seen and time.monotonic() < end:
            time.sleep(0.002)
        new, self.seen = lines[self.seen:], len(lines)
        return new

    def one(self, what):
        """Exactly one line, and none that follows it."""
        lines = self.new()
        time.sleep(0.02)
        lines += self.new(most=0)
        assert len(lines) == 1, (what, lines)
        return lines[0]


@pytest.fixture(scope="module")
def core(tmp_path_factory):
    d = tmp_path_factory.mktemp("every")
    graph = d / "two-steps.yaml"
    graph.write_text(GRAPH)
    c = Core(d / "core", profile="cleared", graphs=[graph], limits={"body_bytes": BODY_MAX},
             model={"model_path": MODEL}, stores=[{"name": "notes", "provider": "document"}],
             grants=[Grant(ALL_CAPABILITIES + ["db.notes:read", "db.notes:write"], subject=ALICE)])
    with c.start():
        r = c.post("/v1/runs", {"graph_id": "graph:two-steps", "params": {"message": "x"}},
                   as_=Who(ALICE), headers={"Prefer": "wait=10"})
        assert r.status == 200, r
        c.run_id = r.json()["run_id"]
        yield c


@pytest.fixture(scope="module")
def routes(core):
    log = Log(core)
    document = core.get("/openapi.json", as_=Who(ALICE)).json()
    log.one("openapi.json")
    found = [(m.upper(), p) for p, ops in document["paths"].items() for m in ops
             if m in ("get", "post", "put", "delete", "patch")]
    assert len(found) >= 25, found
    return found


def path_of(core, pattern):
    """What is not known here is asked for by a name that nothing has."""
    known = {"run_id": core.run_id, "other_id": core.run_id, "name": "notes"}
    return re.sub(r"{(\w+)}", lambda m: known.get(m.group(1), "none"), pattern)


BODIES = {"/v1/runs": {"graph_id": "graph:two-steps", "params": {"message": "x"}},
          "/v1/runs/{run_id}/respond": {"response": {}},
          "/v1/runs/{run_id}/counterfactual": {"step": 0, "mutation": {}},
          "/v1/embeddings": {"input": "x"}, "/embed": {"inputs": "x"}, "/tokenize": {"inputs": "x"},
          "/v1/stores/{name}/documents": {"documents": []},
          "/v1/stores/{name}/search": {"query": "x"}}


def ask(core, method, pattern, who=ALICE, body=None, **kw):
    body = BODIES.get(pattern, {}) if method == "POST" and body is None else body
    return core.request(method, path_of(core, pattern), body, as_=Who(who) if who else None, **kw)


def test_every_route_by_one_who_may(core, routes):
    """Success or not, the line is there, and it says who, how and what."""
    log, answered = Log(core), set()
    for method, pattern in routes:
        if pattern.endswith("/stream"):
            continue  # below: its answer does not end
        r = ask(core, method, pattern)
        answered.add(r.status)
        if pattern in OPEN:
            assert r.status == 200
            continue
        if r.status < 300 and (method, pattern) in EFFECTS:
            lines = log.new()
            assert any(x["actor"] == ALICE for x in lines), (pattern, lines)
            time.sleep(0.3)  # the run it started settles
            log.new(most=0)
            continue
        line = log.one((method, pattern, r))
        assert line["actor"] == ALICE
        if line["type"] in ("read", "request"):
            assert line["type"] == ("read" if r.status < 300 else "request"), (pattern, r, line)
            assert (line["payload"]["method"], line["payload"]["route"]) == (
                method, path_of(core, pattern))
            assert line["payload"].get("status", r.status) == r.status
    assert {200, 202, 404, 409} <= answered, answered
    r = ask(core, "GET", "/v1/runs/{run_id}/stream")
    assert r.status == 200 and log.one("stream")["type"] == "read"


def test_a_repeated_key_does_nothing_and_is_recorded(core):
    log = Log(core)
    body = {"graph_id": "graph:two-steps", "params": {"message": "x"}}
    first = core.post("/v1/runs", body, as_=Who(ALICE),
                      headers={"Idempotency-Key": "k-1", "Prefer": "wait=10"})
    log.new()
    time.sleep(0.1)
    log.new(most=0)
    again = core.post("/v1/runs", body, as_=Who(ALICE), headers={"Idempotency-Key": "k-1"})
    assert again.json()["run_id"] == first.json()["run_id"]
    line = log.one("again")
    assert (line["type"], line["run"]) == ("request", first.json()["run_id"])


def test_who_does_not_wait_for_the_answer_is_recorded(core):
    """A slow read whose client leaves at once."""
    log = Log(core)
    texts = json.dumps({"inputs": ["word " * 200] * 4}).encode()
    c = core.connection()
    c.request("POST", "/embed", texts, {**Who(ALICE).headers, "Content-Type": "application/json"})
    c.close()
    line = log.one("left")
    assert (line["actor"], line["payload"]["route"]) == (ALICE, "/embed")


@pytest.mark.parametrize("who", [None, BOB])
def test_every_route_by_one_who_may_not(core, routes, who):
    log = Log(core)
    for method, pattern in routes:
        r = ask(core, method, pattern, who)
        if pattern in OPEN:
            assert r.status == 200
            continue
        line = log.one((method, pattern, r))
        if who is None:
            assert r.status == 401
            assert (line["actor"], line["type"], line["payload"]["kind"]) == (
                "nobody", "refused", "missing_client_cert")
        else:
            assert line["actor"] == BOB
            assert line["type"] in ("denied", "read", "request"), line
            assert (line["type"] == "denied") == (r.status == 403), (pattern, r, line)


def test_every_route_under_another_name_method_or_with_an_alias(core, routes):
    log = Log(core)
    for method, pattern in routes:
        path = path_of(core, pattern)
        r = core.request(method, path + "/no/such/route", {} if method == "POST" else None, as_=Who(ALICE))
        line = log.one((path, r))
        assert (r.status, line["type"], line["payload"]["status"]) == (404, "request", 404), line
        r = core.request("PATCH", path, as_=Who(ALICE))
        line = log.one((path, r))
        assert (r.status, line["type"], line["payload"]["status"]) == (405, "request", 405), line
        assert (line["actor"], line["payload"]["method"]) == (ALICE, "PATCH")
        for alias in ("X-SSL-Client-DN", "X_Client_Cert_Subject", "X-Client-Cert-Subject-2"):
            r = core.request(method, path, {} if method == "POST" else None, as_=Who(ALICE),
                             headers={alias: "CN=root"})
            line = log.one((path, alias, r))
            assert (r.status, line["type"], line["payload"]["kind"]) == (
                400, "refused", "identity_alias"), line
            assert line["actor"] == "nobody" and alias.lower() in json.dumps(line).lower()


def test_every_route_with_what_is_no_body(core, routes):
    """Too large, no JSON, another schema, another type."""
    log = Log(core)
    for method, pattern in routes:
        if method != "POST":
            continue
        path = path_of(core, pattern)
        r = core.request("POST", path, b"x" * (BODY_MAX + 1), as_=Who(ALICE))
        line = log.one((path, r))
        assert (r.status, line["type"], line["payload"]["kind"]) == (413, "refused", "body_bytes")
        assert (line["actor"], line["payload"]["route"]) == (ALICE, path)
        for body, kind in ((b"{", "application/json"), (b'{"no such": 1}', "application/json"),
                           (b"{}", "text/plain")):
            r = core.request("POST", path, body, as_=Who(ALICE), headers={"Content-Type": kind})
            assert 400 <= r.status < 500, (path, body, r)
            line = log.one((path, body, r))
            assert (line["type"], line["payload"]["status"]) == ("request", r.status), (r, line)


MALFORMED = {
    "two hosts": b"GET /v1/runs HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "no host": b"GET /v1/runs HTTP/1.1\r\nX: y\r\n\r\n",
    "two lengths": b"POST /v1/runs HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n"
                   b"Content-Length: 2\r\n\r\n{}",
    "length and chunks": b"POST /v1/runs HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n"
                         b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "folded": b"GET /v1/runs HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n",
    "absolute": b"GET http://a/v1/runs HTTP/1.1\r\nHost: a\r\n\r\n",
    "fragment": b"GET /v1/runs#x HTTP/1.1\r\nHost: a\r\n\r\n",
    "version": b"GET /v1/runs HTTP/1.2\r\nHost: a\r\n\r\n",
    "line ends": b"GET /v1/runs HTTP/1.1\nHost: a\n\n",
    "bad chunk": b"POST /v1/runs HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "expectation": b"POST /v1/runs HTTP/1.1\r\nHost: a\r\nExpect: the-moon\r\n"
                   b"Content-Length: 2\r\n\r\n{}",
}


@pytest.mark.parametrize("name", MALFORMED)
def test_what_is_malformed_is_recorded_without_a_name(core, name):
    """At the edge's door nothing that such a head says is believed, its identity neither."""
    log = Log(core)
    data = MALFORMED[name].replace(b"Host: a", b"X-Client-Cert-Subject: CN=alice\r\nHost: a", 1)
    answer = core.raw(data, timeout=1)
    line = log.one((name, answer))
    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 401 ", b"HTTP/1.1 417 ")), answer
    assert line["type"] == "refused"
    status = int(re.match(rb"HTTP/1.1 (\d+)", answer).group(1))
    assert line["payload"]["status"] == status


def test_the_direct_door_knows_who_sent_it(tmp_path):
    """There the certificate tells, whatever the request looks like."""
    ca = pki.Ca(tmp_path, "ca", pki.name(("O", "Test"), ("CN", "CA")))
    server, alice = ca.server(), ca.client("alice")
    c = Core(tmp_path / "core", profile="cleared", unix=False, limits={"body_bytes": BODY_MAX},
             tls_cert=server.cert, tls_key=server.key, tls_ca_cert=ca.cert,
             grants=[Grant(["runs:read"], subject=ALICE)])
    asked = {**MALFORMED,
             "alias": b"GET /v1/runs HTTP/1.1\r\nHost: a\r\nX-SSL-Client-DN: CN=root\r\n\r\n",
             "unknown": b"GET /nope HTTP/1.1\r\nHost: a\r\n\r\n",
             "denied": b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n",
             "read": b"GET /v1/runs HTTP/1.1\r\nHost: a\r\n\r\n",
             "oversize": b"POST /v1/runs HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n"}
    with c.start():
        log = Log(c)
        for name, data in asked.items():
            with tlsclient.Connection(c.port, ca.cert, alice.pair) as connection:
                reply = connection.request(data)
            line = log.one((name, reply.status))
            assert line["actor"].startswith("CN=alice"), (name, line)
            assert line["type"] == {"unknown": "request", "read": "read",
                                    "denied": "denied"}.get(name, "refused"), (name, line)
