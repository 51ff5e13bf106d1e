"""Sessions, server names and reloads: what outlives a handshake must not outlive its checks."""
import ssl
import threading
import time

import pytest
import tlsclient as t
from nginx import Nginx, give
from sites import module_site, tls
from tlsclient import Connection, get

VERSIONS = ["TLSv1_2", "TLSv1_3"]


def until(what, seconds=10):
    """After a reload old and new workers both accept for a moment."""
    end = time.time() + seconds
    while not what():
        if time.time() > end:
            return False
        time.sleep(0.05)
    return True


@pytest.mark.parametrize("store", ["tickets", "cache", "cache, no tickets", "builtin"])
@pytest.mark.parametrize("version", VERSIONS)
def test_resumption_works(pki, backend, tmp, version, store):
    extra = {"tickets": "", "cache": "ssl_session_cache shared:s:1m;",
             "cache, no tickets": "ssl_session_cache shared:s:1m; ssl_session_tickets off;",
             "builtin": "ssl_session_cache builtin:100; ssl_session_tickets off;"}[store]
    ctx = t.context(pki.ca.cert, pki.alice.pair, version=getattr(ssl.TLSVersion, version))
    with Nginx(tmp, module_site(pki, f"unix:{backend.path}", extra=extra)) as n:
        with Connection(n.port, pki.ca.cert, ctx=ctx) as c:
            assert c.get().status == 200
            session = c.sock.session
        with Connection(n.port, pki.ca.cert, ctx=ctx, session=session) as c:
            backend.clear()
            r = c.get()
            assert (r.status, r.reused) == (200, True)
            (q,) = backend.requests()
            assert q.all("X-Client-Cert-Fingerprint") == [pki.alice.fingerprint]
            assert q.all("X-Client-Cert-San") == ["URI:spiffe://test/alice,DNS:alice.test"]


def test_an_intermediate_that_only_the_client_has_ends_resumption_not_access(pki, backend, tmp):
    """A resumed session carries the leaf alone; where the chain cannot be built again: 403."""
    import pki as pki_lib
    middle = pki_lib.Ca(tmp / "m", "middle", pki_lib.name(("CN", "Middle CA")), issuer=pki.ca)
    erin = middle.client("erin")
    extra = "ssl_verify_depth 3; ssl_session_cache shared:s:1m;"
    ctx = t.context(pki.ca.cert, erin.pair)
    with Nginx(tmp / "n", module_site(pki, f"unix:{backend.path}", extra=extra)) as n:
        with Connection(n.port, pki.ca.cert, ctx=ctx) as c:
            assert c.get().status == 200
            session = c.sock.session
        with Connection(n.port, pki.ca.cert, ctx=ctx, session=session) as c:
            assert c.get().status == 403
        with Connection(n.port, pki.ca.cert, ctx=ctx) as c:
            assert c.get().status == 200


@pytest.mark.parametrize("default", ["other CA", "no client certificates"])
@pytest.mark.parametrize("how", ["resumed by name", "no name", "Host alone", "resumed, Host alone"])
@pytest.mark.parametrize("version", VERSIONS)
def test_cve_2025_23419(pki, backend, tmp, version, how, default):
    """A session made with the default server, used to enter ours."""
    other = pki.other_ca.client("eve")
    server = tls(pki, ca=pki.other_ca)
    if default != "other CA":
        server = server.replace("ssl_verify_client on", "ssl_verify_client optional_no_ca")
    conf = f"""
    ssl_session_cache shared:s:1m;
    server {{ listen 127.0.0.1:{{port}} ssl default_server; server_name first.test; {server}
        return 200 "first"; }}""" + module_site(pki, f"unix:{backend.path}")
    ctx = t.context(pki.ca.cert, other.pair, version=getattr(ssl.TLSVersion, version))
    ctx.check_hostname = False
    backend.clear()
    with Nginx(tmp, conf) as n:
        with Connection(n.port, pki.ca.cert, sni="first.test", ctx=ctx) as c:
            r = c.request(b"GET / HTTP/1.1\r\nHost: first.test\r\n\r\n")
            assert r.body == b"first"
            session = c.sock.session
        sni = {"resumed by name": "localhost", "no name": None, "Host alone": "first.test",
               "resumed, Host alone": "first.test"}[how]
        with Connection(n.port, pki.ca.cert, sni=sni, ctx=ctx,
                        session=session if how.startswith("resumed") else None) as c:
            r = c.get("/secret")
            assert r.status in (0, 400, 403, 421), r
        assert backend.requests() == []
        # And the right client comes in by the right name.
        assert get(n.port, "/", pki.ca.cert, pki.alice.pair).status == 200


def test_a_name_apart_is_misdirected(pki, backend, tmp):
    """Both servers ours, the same CA: still each connection belongs to the server it was made to."""
    conf = module_site(pki, f"unix:{backend.path}") + f"""
    server {{ listen 127.0.0.1:{{port}} ssl; server_name second.test; {tls(pki)}
        stargraph_client_auth on; return 200 "second"; }}"""
    with Nginx(tmp, conf) as n, Connection(n.port, pki.ca.cert, pki.alice.pair) as c:
        assert c.get("/").status == 200
        assert c.request(b"GET / HTTP/1.1\r\nHost: second.test\r\n\r\n").status == 421
    with Nginx(tmp, conf) as n, Connection(n.port, pki.ca.cert, pki.alice.pair, sni=None) as c:
        r = c.request(b"GET / HTTP/1.1\r\nHost: second.test\r\n\r\n")
        assert r.status == 421


class Load:
    """Clients that come and go without a pause; every failure is kept."""

    def __init__(self, port, ca, cert, threads=4):
        self.done, self.failed, self.count = threading.Event(), [], 0
        self.args = (port, "/", ca, cert)
        self.threads = [threading.Thread(target=self.run) for _ in range(threads)]

    def run(self):
        while not self.done.is_set():
            try:
                r = get(*self.args)
                if r.status != 200:
                    self.failed.append((r.status, r.alert, r.raw[:200]))
            except OSError as e:
                self.failed.append(e)
            self.count += 1

    def __enter__(self):
        for x in self.threads:
            x.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        for x in self.threads:
            x.join()


def test_reload_under_load_drops_nothing(pki, backend, tmp):
    conf = module_site(pki, f"unix:{backend.path}",
                       extra=f"stargraph_crl {pki.ca.crl}; ssl_session_cache shared:s:1m;")
    slow = []

    def wait(n):
        slow.append(get(n.port, "/slow?s=2", pki.ca.cert, pki.alice.pair).status)

    def stream(n):
        with Connection(n.port, pki.ca.cert, pki.alice.pair) as c:
            c.sock.sendall(b"GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
            end, got = time.time() + 5, 0
            while time.time() < end:
                got += len(c.sock.recv(4096))
            slow.append(200 if got > 200 else got)

    with Nginx(tmp, conf, workers=2) as n:
        with Load(n.port, pki.ca.cert, pki.alice.pair) as load:
            held = [threading.Thread(target=f, args=(n,)) for f in (wait, wait, stream)]
            for x in held:
                x.start()
            for _ in range(6):
                time.sleep(0.5)
                n.reload()
            for x in held:
                x.join()
        assert load.failed == [] and load.count > 50
        assert slow == [200] * 3


def test_rotation_of_server_and_client_ca(pki, backend, tmp):
    """New server certificate, then both CAs, then the new CA alone; a stream lives through it."""
    import shutil

    import pki as pki_lib
    d = tmp / "tls"
    d.mkdir()
    new_ca = pki_lib.Ca(tmp / "new", "new-ca", pki_lib.name(("CN", "New CA")))
    frank = new_ca.client("frank")
    second = pki.ca.server("second-server")

    def install(server, *cas):
        shutil.copy(server.cert, d / "server.crt")
        (d / "key.new").touch(mode=0o600)
        (d / "key.new").write_bytes(open(server.key, "rb").read())
        give(d / "key.new")
        (d / "key.new").rename(d / "server.key")
        (d / "ca.crt").write_bytes(b"".join(open(c.cert, "rb").read() for c in cas))

    def seen():
        with Connection(n.port, pki.ca.cert, pki.alice.pair) as c:
            return c.sock.getpeercert()["serialNumber"] if c.sock else c.alert

    install(pki.server, pki.ca)
    conf = module_site(pki, f"unix:{backend.path}")
    for a, b in ((pki.server.cert, d / "server.crt"), (pki.server.key, d / "server.key"),
                 (pki.ca.cert, d / "ca.crt")):
        conf = conf.replace(str(a), str(b))
    with Nginx(tmp / "n", conf) as n:
        with Connection(n.port, pki.ca.cert, pki.alice.pair) as old:
            old.sock.sendall(b"GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
            first = seen()
            assert get(n.port, "/", pki.ca.cert, frank.pair).alert == "unknown ca"
            install(second, pki.ca, new_ca)
            n.reload()
            assert until(lambda: seen() != first)
            assert until(lambda: get(n.port, "/", pki.ca.cert, frank.pair).status == 200)
            install(second, new_ca)
            n.reload()
            assert until(lambda: get(n.port, "/", pki.ca.cert, pki.alice.pair).status == 0)
            assert until(lambda: get(n.port, "/", pki.ca.cert, frank.pair).status == 200)
            for _ in range(5):
                assert old.sock.recv(4096)


@pytest.mark.parametrize("workers", [1, 3])
def test_ticket_keys_across_reload_do_not_outlive_the_ca(pki, backend, tmp, workers):
    """Shared ticket keys keep sessions over a reload; a CA that was removed is removed for them."""
    import os
    key = tmp / "ticket.key"
    key.write_bytes(os.urandom(80))
    key.chmod(0o600)
    give(key)
    conf = module_site(pki, f"unix:{backend.path}", extra=f"ssl_session_ticket_key {key};")
    ctx = t.context(pki.ca.cert, pki.alice.pair)
    with Nginx(tmp / "n", conf, workers=workers) as n:
        with Connection(n.port, pki.ca.cert, ctx=ctx) as c:
            assert c.get().status == 200
            session = c.sock.session
        with Connection(n.port, pki.ca.cert, ctx=ctx, session=session) as c:
            r = c.get()
            assert (r.status, r.reused) == (200, True)
            session = c.sock.session
        n.write(conf.replace(f"ssl_client_certificate {pki.ca.cert}",
                             f"ssl_client_certificate {pki.other_ca.cert}"))
        n.reload(settle=10)
        assert get(n.port, "/", pki.ca.cert, pki.alice.pair).status == 0
        with Connection(n.port, pki.ca.cert, ctx=ctx, session=session) as c:
            assert c.get().status in (0, 403)
