"""Revocation at the module: watched without a reload, checked at every request, failing closed."""
import os
import threading
import time

import pki as pki_lib
import pytest
import tlsclient as t
from nginx import Nginx, as_uid
from sites import module_site
from tlsclient import Connection, get

SOON = 3.0  # the file is looked at every second


def until(what, seconds=SOON):
    end = time.time() + seconds
    while time.time() < end:
        if what():
            return True
        time.sleep(0.05)
    return False


class Site:
    """One CA, two clients, a CRL file, and nginx that watches it."""

    def __init__(self, d, backend, pki, **kw):
        self.ca = pki_lib.Ca(d / "pki", "ca", pki_lib.name(("CN", "Revoking CA")))
        self.alice, self.bob = self.ca.client("alice"), self.ca.client("bob")
        self.crl = self.ca.write_crl()
        self.server_ca = pki.ca.cert
        conf = module_site(pki, f"unix:{backend.path}", ca=self.ca,
                           extra=f"stargraph_crl {self.crl}; ssl_session_cache shared:s:1m;")
        self.nginx = Nginx(d / "nginx", conf, **kw)

    def get(self, who, path="/", **kw):
        return get(self.nginx.port, path, self.server_ca, who.pair, **kw)

    def connect(self, who, **kw):
        return Connection(self.nginx.port, self.server_ca, who.pair, **kw)


@pytest.fixture
def site(tmp, backend, pki):
    s = Site(tmp, backend, pki)
    with s.nginx:
        yield s


def test_new_connections_get_the_alert(site):
    assert site.get(site.bob).status == 200
    site.ca.revoke(site.bob)
    assert until(lambda: site.get(site.bob).alert == "certificate revoked")
    assert site.get(site.alice).status == 200
    assert 'certificate revoked) at depth 0, subject "CN=bob,O=Test"' in site.nginx.log()


def test_kept_alive_connections_end(site):
    with site.connect(site.bob) as bob, site.connect(site.alice) as alice:
        assert bob.get().status == 200 and alice.get().status == 200
        workers = site.nginx.workers_now()
        site.ca.revoke(site.bob)
        assert until(lambda: bob.get(timeout=1).status != 200)
        assert bob.get(timeout=1).status == 0
        assert alice.get().status == 200
        assert site.nginx.workers_now() == workers
    assert 'connection closed: the certificate has been revoked, subject "CN=bob' in (
        site.nginx.log())


@pytest.mark.parametrize("kind", ["events", "websocket", "h2"])
def test_open_streams_end(site, kind):
    ended = threading.Event()

    def read(who, done):
        if kind == "h2":
            t.h2(site.nginx.port, t.h2_get(b"/stream"), site.server_ca, who.pair, timeout=20)
        else:
            with site.connect(who) as c:
                head = (["Upgrade: websocket", "Connection: Upgrade"]
                        if kind == "websocket" else [])
                c.get("/upgrade" if head else "/stream", head, one=False, timeout=20)
        done.set()

    others = threading.Event()
    threading.Thread(target=read, args=(site.bob, ended), daemon=True).start()
    threading.Thread(target=read, args=(site.alice, others), daemon=True).start()
    assert not ended.wait(1.5)
    site.ca.revoke(site.bob)
    assert ended.wait(SOON)
    assert not others.wait(0.5)
    site.nginx.stop()


BROKEN = {
    "missing": lambda s: os.unlink(s.crl),
    "unreadable": lambda s: os.chmod(s.crl, 0),
    "a directory": lambda s: (os.unlink(s.crl), os.mkdir(s.crl)),
    "empty": lambda s: open(s.crl, "w").close(),
    "garbage": lambda s: open(s.crl, "w").write("-----BEGIN X509 CRL-----\nAAAA\n"),
    "cut short": lambda s: os.truncate(s.crl, os.path.getsize(s.crl) - 40),
    "trailing garbage": lambda s: open(s.crl, "a").write(
        "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n"),
    "older": lambda s: s.ca.write_crl(last=-7200),
    "expired": lambda s: s.ca.write_crl(last=-30, next_=-1),
    "not yet valid": lambda s: s.ca.write_crl(last=3600, next_=7200),
    "of another CA": lambda s: pki_lib.Ca(s.ca.dir + "/x", "x", pki_lib.name(
        ("CN", "Revoking CA"))).write_crl(s.crl),
}


@pytest.mark.skipif(os.geteuid() != 0, reason="the worker would own the file")
@pytest.mark.parametrize("how", BROKEN)
def test_fails_closed_and_recovers(site, how):
    with site.connect(site.alice) as c:
        assert c.get().status == 200
        BROKEN[how](site)
        assert until(lambda: c.get(timeout=2).status == 503)
        assert "every client is refused" in site.nginx.log()
    assert site.get(site.alice).status == 0
    if os.path.isdir(site.crl):
        os.rmdir(site.crl)
    site.ca.write_crl()
    assert until(lambda: site.get(site.alice).status == 200)


def test_expiry_needs_no_change_of_the_file(tmp, backend, pki):
    s = Site(tmp, backend, pki)
    s.ca.write_crl(next_=3)
    with s.nginx, s.connect(s.alice) as c:
        assert c.get().status == 200
        assert until(lambda: c.get(timeout=2).status == 503, 6)
        assert s.get(s.alice).status == 0
        assert "has expired" in s.nginx.log()


def test_certificate_expires_while_the_connection_lives(tmp, backend, pki):
    import datetime
    s = Site(tmp, backend, pki)
    start = datetime.datetime.utcnow() - datetime.timedelta(days=1) + datetime.timedelta(seconds=3)
    brief = s.ca.client("brief", start=start, days=1)
    with s.nginx, s.connect(brief) as c:
        assert c.get().status == 200
        assert until(lambda: c.get(timeout=2).status == 403, 6)


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_resumed_sessions_are_checked(site, version):
    import ssl
    ctx = t.context(site.server_ca, site.bob.pair, version=getattr(ssl.TLSVersion, version))
    with site.connect(site.bob, ctx=ctx) as c:
        assert c.get().status == 200
        session = c.sock.session
    with site.connect(site.bob, ctx=ctx, session=session) as c:
        r = c.get()
        assert (r.status, r.reused) == (200, True)
    site.ca.revoke(site.bob)
    assert until(lambda: "read again" in site.nginx.log())
    with site.connect(site.bob, ctx=ctx, session=session) as c:
        r = c.get()
        assert r.status == 403 and r.reused


def test_der_and_serials_of_every_size(tmp, backend, pki):
    s = Site(tmp, backend, pki)
    serials = [1, 0x7f, 0x80, 0xff, 0x100, 2**63, 2**64 - 1, 2**127, 2**152 + 5, 2**158 + 1]
    clients = [s.ca.client(f"c{i}", serial=n) for i, n in enumerate(serials)]
    near = [s.ca.client(f"n{i}", serial=n + 2) for i, n in enumerate(serials)]
    s.ca.write_crl(extra_serials=serials, der=True)
    with s.nginx:
        assert [s.get(c).alert for c in clients] == ["certificate revoked"] * len(clients)
        assert [s.get(c).status for c in near] == [200] * len(near)


def test_every_issuer_needs_a_list(tmp, backend, pki):
    """Two CAs trusted: the one without a CRL lets nobody in, the other works; with both, both."""
    s = Site(tmp, backend, pki)
    second = pki_lib.Ca(tmp / "second", "second", pki_lib.name(("CN", "Second CA")))
    carol = second.client("carol")
    with open(s.ca.cert, "ab") as f:
        f.write(open(second.cert, "rb").read())
    with s.nginx:
        assert s.get(s.alice).status == 200
        assert s.get(carol).status == 0 and "unable to get certificate CRL" in s.nginx.log()
        both = open(s.crl).read() + open(second.write_crl()).read()
        with open(s.crl + ".new", "w") as f:
            f.write(both)
        os.rename(s.crl + ".new", s.crl)
        assert until(lambda: s.get(carol).status == 200)
        assert s.get(s.alice).status == 200


def test_a_revoked_intermediate_ends_its_clients(tmp, backend, pki):
    s = Site(tmp, backend, pki)
    middle = pki_lib.Ca(tmp / "middle", "middle", pki_lib.name(("CN", "Middle CA")), issuer=s.ca)
    dave = middle.client("dave")
    both = s.crl

    def write():
        text = open(s.ca.write_crl(f"{tmp}/root.crl")).read() + open(middle.write_crl()).read()
        with open(both + ".new", "w") as f:
            f.write(text)
        os.rename(both + ".new", both)

    with open(s.ca.cert, "ab") as f:  # so that the intermediate's CRL finds its signer
        f.write(open(middle.cert, "rb").read())
    s.nginx.conf.write_text(s.nginx.conf.read_text().replace(
        "ssl_verify_client on;", "ssl_verify_client on; ssl_verify_depth 3;"))
    write()
    with s.nginx, s.connect(dave) as c:
        assert c.get().status == 200
        s.ca.revoked[middle.x509.serial_number] = __import__("datetime").datetime.utcnow()
        write()
        assert until(lambda: c.get(timeout=1).status != 200)
        assert s.get(dave).alert == "certificate revoked"


def test_many_workers_all_follow(tmp, backend, pki):
    s = Site(tmp, backend, pki, workers=4)
    with s.nginx:
        assert s.get(s.bob).status == 200
        s.ca.revoke(s.bob)
        time.sleep(SOON)
        assert {s.get(s.bob).alert for _ in range(40)} == {"certificate revoked"}


def test_a_worker_that_may_not_read_the_file_lets_nobody_in(tmp, backend, pki):
    """The master reads it at start, the worker later: the worker's right is what counts."""
    if not as_uid(0):
        pytest.skip("needs two users")
    s = Site(tmp, backend, pki)
    with s.nginx:
        assert s.get(s.alice).status == 200
        os.chmod(s.crl, 0o600)
        assert until(lambda: s.get(s.alice).status != 200)
