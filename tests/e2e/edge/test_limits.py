"""Limits of one subject: stargraph_connections of ours, limit_req and limit_conn of nginx's own, keyed
by the variables of ours."""
import os
import signal
import time

import pytest
from doors import module
from nginx import Nginx
from sites import module_site, tls
from tlsclient import BASE, PREFACE, Connection, block, context, frame, get


def site(pki, backend, tmp, limit="stargraph_connections 2;", **kw):
    return Nginx(tmp / "n", module_site(pki, f"unix:{backend.path}", extra=limit), **kw)


def open_one(n, pki, who, expect=200):
    c = Connection(n.port, pki.ca.cert, who.pair)
    r = c.get("/")
    assert r.status == expect, r
    return c


def wait_until(condition, what, timeout=5):
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def test_idle_connections_count_and_others_are_not_hindered(pki, backend, tmp):
    with site(pki, backend, tmp) as n:
        first, second = open_one(n, pki, pki.alice), open_one(n, pki, pki.alice)
        backend.clear()
        third = Connection(n.port, pki.ca.cert, pki.alice.pair)
        r = third.get("/", ["X-Forwarded-For: 10.0.0.1"])
        assert r.status == 429 and r.headers["connection"] == "close"
        assert backend.requests() == []
        assert "too many connections of this subject" in n.log()
        assert first.get("/").status == 200  # those that are there go on
        open_one(n, pki, pki.bob).close()
        second.close()
        wait_until(lambda: get(n.port, "/", pki.ca.cert, pki.alice.pair).status == 200,
                   "a closed connection is still counted")
        first.close()
        third.close()


def test_the_count_is_over_all_workers_and_survives_a_reload(pki, backend, tmp):
    with site(pki, backend, tmp, "stargraph_connections 4;", workers=3) as n:
        held = [open_one(n, pki, pki.alice) for _ in range(4)]
        assert get(n.port, "/", pki.ca.cert, pki.alice.pair).status == 429
        os.kill(n.proc.pid, signal.SIGHUP)
        # idle connections of old workers are closed by the reload: they are not counted any more
        wait_until(lambda: get(n.port, "/", pki.ca.cert, pki.alice.pair).status == 200,
                   "the old workers' connections are still counted")
        more = [open_one(n, pki, pki.alice) for _ in range(4)]
        assert get(n.port, "/", pki.ca.cert, pki.alice.pair).status == 429
        for c in held + more:
            c.close()
        wait_until(lambda: get(n.port, "/", pki.ca.cert, pki.alice.pair).status == 200, "leaked")


def test_an_http2_connection_is_one(pki, backend, tmp):
    with site(pki, backend, tmp, "stargraph_connections 1;") as n:
        c = Connection(n.port, pki.ca.cert, pki.alice.pair,
                       ctx=context(pki.ca.cert, pki.alice.pair, alpn=("h2",)))
        ask = [frame(1, 5, i, block([*BASE, (b":path", b"/")])) for i in (1, 3, 5)]
        r = c.request(PREFACE + frame(4, 0, 0) + b"".join(ask), timeout=1)
        assert r.raw
        assert get(n.port, "/", pki.ca.cert, pki.alice.pair).status == 429
        c.close()
        wait_until(lambda: get(n.port, "/", pki.ca.cert, pki.alice.pair).status == 200, "leaked")


def test_a_server_may_say_otherwise_than_http(pki, backend, tmp):
    conf = module_site(pki, f"unix:{backend.path}", extra="stargraph_connections off;")
    with Nginx(tmp / "off", "stargraph_connections 1;\n" + conf) as n:
        a, b = open_one(n, pki, pki.alice), open_one(n, pki, pki.alice)
        a.close()
        b.close()
    conf = module_site(pki, f"unix:{backend.path}")
    with Nginx(tmp / "inherited", "stargraph_connections 1;\n" + conf) as n:
        a = open_one(n, pki, pki.alice)
        open_one(n, pki, pki.alice, 429).close()
        a.close()


@pytest.mark.parametrize("line", ["stargraph_connections 0;", "stargraph_connections -1;",
                                  "stargraph_connections many;", "stargraph_connections 70000;",
                                  "stargraph_connections 1; stargraph_connections 2;",
                                  "stargraph_connections;", "stargraph_connections 1 2;"])
def test_a_mistake_is_named_with_its_place(pki, backend, tmp, line):
    n = site(pki, backend, tmp, "\n" + line)
    code, text = n.test()
    at = next(i for i, x in enumerate(n.conf.read_text().splitlines(), 1) if line in x)
    assert code != 0 and f"nginx.conf:{at}" in text, text


def test_without_authentication_it_is_a_mistake(pki, tmp):
    n = Nginx(tmp / "n", f"server {{ listen 127.0.0.1:{{port}} ssl; {tls(pki)}\n"
              "stargraph_connections 3; }")
    code, text = n.test()
    assert code != 0 and '"stargraph_connections" without "stargraph_client_auth on"' in text
    assert "nginx.conf:" in text


def test_the_shipped_site_limits_the_rate_of_one_subject(pki, backend, tmp):
    """429 for who asks too much, whatever address he says he has; nobody else notices."""
    change = {"rate=50r/s": "rate=5r/s", "burst=100": "burst=3"}
    with module(tmp / "n", pki, f"unix:{backend.path}", change=change) as n:
        with Connection(n.port, pki.ca.cert, pki.alice.pair) as c:
            got = [c.get("/", [f"X-Forwarded-For: 10.0.0.{i}"]).status for i in range(12)]
        assert got[:3] == [200] * 3 and got.count(429) >= 6, got
        assert get(n.port, "/", pki.ca.cert, pki.bob.pair).status == 200
        time.sleep(1.2)
        assert get(n.port, "/", pki.ca.cert, pki.alice.pair).status == 200


def test_the_shipped_site_limits_requests_under_way(pki, backend, tmp):
    change = {"limit_conn              stargraph_conn 64": "limit_conn stargraph_conn 1"}
    with module(tmp / "n", pki, f"unix:{backend.path}", change=change) as n:
        slow = Connection(n.port, pki.ca.cert, pki.alice.pair)
        slow.request(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n",
                     timeout=0.2)  # its body does not come
        assert get(n.port, "/", pki.ca.cert, pki.alice.pair).status == 429
        assert get(n.port, "/", pki.ca.cert, pki.bob.pair).status == 200
        slow.close()
        wait_until(lambda: get(n.port, "/", pki.ca.cert, pki.alice.pair).status == 200, "leaked")
