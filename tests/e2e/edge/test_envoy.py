"""Envoy with the files as shipped: validation, rotation, CRL, SPIFFE, protocols, logs."""
import json
import re
import time

import pki as pki_lib
import pytest
import tlsclient as t
from envoy import Envoy
from nginx import give
from tlsclient import Connection, get


def until(what, seconds=8):
    end = time.time() + seconds
    while not what():
        if time.time() > end:
            return False
        time.sleep(0.1)
    return True


@pytest.fixture
def envoy(tmp, pki, backend):
    with Envoy(tmp, pki, f"unix:{backend.path}") as e:
        yield e


def test_validates_clean(tmp, pki, backend):
    code, said = Envoy(tmp, pki, f"unix:{backend.path}").validate()
    assert code == 0 and said.rstrip().endswith("OK")
    assert not re.search(r"\]\[(warning|error|critical)\]", said), said


def test_over_tcp(tmp, pki, backend):
    with Envoy(tmp, pki, f"127.0.0.1:{backend.port}") as e:
        r = get(e.port, "/v1/runs?x=1", pki.ca.cert, pki.alice.pair)
        assert json.loads(r.body)["target"] == "/v1/runs?x=1"


def test_http2_and_websocket(envoy, pki, backend):
    r = t.h2(envoy.port, t.h2_get(b"/v1/runs"), pki.ca.cert, pki.alice.pair)
    assert r.status == 200
    assert dict(json.loads(r.body)["headers"])["x-client-cert-subject"] == "CN=alice,O=Test"
    with Connection(envoy.port, pki.ca.cert, pki.alice.pair) as c:
        c.sock.sendall(b"GET /upgrade HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
                       b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                       b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
        assert c.sock.recv(4096).startswith(b"HTTP/1.1 101")
        c.sock.sendall(b"ping")
        assert c.sock.recv(4096) == b"ping"


def test_events_stream_unbuffered(envoy, pki):
    with Connection(envoy.port, pki.ca.cert, pki.alice.pair) as c:
        c.sock.sendall(b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n")
        got, end = b"", time.time() + 1.5
        while time.time() < end:
            got += c.sock.recv(4096)
        assert got.count(b"data: x") >= 8


def test_server_certificate_rotates_without_dropping(envoy, pki):
    second = pki.ca.server("envoy-second")
    give(second.key)

    def seen():
        with Connection(envoy.port, pki.ca.cert, pki.alice.pair) as c:
            return c.sock.getpeercert()["serialNumber"]

    with Connection(envoy.port, pki.ca.cert, pki.alice.pair) as old:
        old.sock.sendall(b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n")
        first = seen()
        envoy.write_server(second)
        assert until(lambda: seen() != first)
        for _ in range(5):
            assert old.sock.recv(4096)


def test_crl_and_client_ca_rotate(envoy, pki, tmp):
    ca = pki_lib.Ca(tmp / "x", "x", pki_lib.name(("CN", "Another CA")))
    frank, grace = ca.client("frank"), ca.client("grace")
    assert get(envoy.port, "/", pki.ca.cert, frank.pair).alert == "unknown ca"
    envoy.write_ca(ca.cert, ca.write_crl())
    assert until(lambda: get(envoy.port, "/", pki.ca.cert, frank.pair).status == 200)
    assert get(envoy.port, "/", pki.ca.cert, pki.alice.pair).alert == "unknown ca"
    ca.revoke(grace)
    envoy.write_ca(ca.cert, ca.crl)
    assert until(lambda: get(envoy.port, "/", pki.ca.cert, grace.pair).alert
                 == "certificate revoked")
    assert get(envoy.port, "/", pki.ca.cert, frank.pair).status == 200


def test_an_expired_crl_lets_nobody_in(tmp, pki, backend):
    e = Envoy(tmp, pki, f"unix:{backend.path}")
    e.write_ca(pki.ca.cert, pki.ca.write_crl(f"{tmp}/old.crl", last=-60, next_=-1))
    with e:
        assert get(e.port, "/", pki.ca.cert, pki.alice.pair).status == 0


def test_sessions_do_not_resume(envoy, pki):
    ctx = t.context(pki.ca.cert, pki.alice.pair)
    with Connection(envoy.port, pki.ca.cert, ctx=ctx) as c:
        assert c.get("/").status == 200
        session = c.sock.session
    with Connection(envoy.port, pki.ca.cert, ctx=ctx, session=session) as c:
        assert c.get("/").reused is False


def test_logs_are_utc_json_and_name_who_failed(envoy, pki):
    get(envoy.port, "/v1/runs", pki.ca.cert, pki.alice.pair)
    get(envoy.port, "/v1/runs", pki.ca.cert, pki.mallory.pair)
    envoy.stop()
    (line,) = [json.loads(x) for x in envoy.access_log().splitlines()]
    assert line["subject"] == "CN=alice,O=Test" and line["fingerprint"] == pki.alice.fingerprint
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", line["time"])
    now = time.strftime("%Y-%m-%dT%H", time.gmtime())
    assert line["time"].startswith(now) or time.gmtime().tm_min == 0
    failed = [json.loads(x) for x in envoy.access_log("stargraph-connections.json").splitlines()]
    assert any(x["failure"] and "CERTIFICATE_VERIFY_FAILED" in x["failure"]
               and x["subject"] == "CN=alice,O=Test" for x in failed)


def uncomment(text):
    def fix(m):
        return re.sub(r"(?m)^( *)# ", r"\1", m.group(1))
    new, n = re.subn(r"(?s) *# SPIFFE: begin\n(.*?) *# SPIFFE: end\n", fix, text)
    assert n == 1
    return new


def test_the_spiffe_option(tmp, pki, backend):
    e = Envoy(tmp, pki, f"unix:{backend.path}")
    e.conf.write_text(uncomment(e.conf.read_text()))
    sds = e.etc / "sds-client-ca.yaml"
    sds.write_text(uncomment(sds.read_text()))
    code, said = e.validate()
    assert code == 0, said
    td = "URI:spiffe://stargraph.local/"
    san = "X-Client-Cert-San"
    cases = {
        "one": ([td + "a"], 200, [td + "a"]),
        "two": ([td + "a", td + "b"], 200, []),
        "comma": ([td + "a,URI:spiffe://stargraph.local/root"], 200, []),
        "other domain": (["URI:spiffe://elsewhere/a"], 0, []),
        "none": ([], 0, []),
    }
    with e:
        for label, (sans, status, want) in cases.items():
            cert = pki.ca.client(f"spiffe-{label}".replace(" ", "-"), san=sans)
            backend.clear()
            assert get(e.port, "/", pki.ca.cert, cert.pair).status == status, label
            assert [q.all(san) for q in backend.requests()] == ([want] if status else []), label
        cert = pki.ca.client("spiffe-claim", san=[td + "a"])
        backend.clear()
        r = get(e.port, "/", pki.ca.cert, cert.pair, [f"{san}: {td}root"])
        assert r.status == 400
        assert "root" not in backend.requests()[0].head.decode()
