"""The direct door: mutual TLS ended in the core itself."""
import os
import socket
import ssl
import time

import pki
import pytest
import tlsclient
from conftest import ALICE, direct_keys, grants
from core import Core


def wait_for(condition, what, timeout=5):
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(0.02)
    pytest.fail(what)


def connect(core, certs, who=None, **kw):
    return tlsclient.Connection(core.port, certs.ca.cert, who.pair if who else None, **kw)


def deny(core, certs, who):
    """Asks for what nobody here may: the answer, and the last audit record has the actor."""
    with connect(core, certs, who) as c:
        return c.request(b"POST /v1/runs/run-1/respond HTTP/1.1\r\nHost: localhost\r\n"
                         b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")


def test_the_actor_is_the_certificate(direct, certs):
    r = tlsclient.get(direct.port, "/v1/health", certs.ca.cert, certs.alice.pair)
    assert (r.status, r.body) == (200, b'{"status":"ok"}')
    assert tlsclient.get(direct.port, "/v1/runs", certs.ca.cert, certs.alice.pair).status == 200
    r = tlsclient.get(direct.port, "/v1/runs", certs.ca.cert, certs.bob.pair, method="DELETE")
    assert r.status == 405
    r = deny(direct, certs, certs.alice)
    assert r.status == 403
    last = direct.audit()[-1]
    assert (last["actor"], last["type"]) == (ALICE, "denied")
    assert last["payload"]["door"] == "direct"
    assert last["payload"]["fingerprint"] == certs.alice.fingerprint
    assert last["payload"]["serial"] == certs.alice.serial


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_foreign_client_sees_unknown_ca(direct, certs, version):
    with connect(direct, certs, certs.foreign, version=version) as c:
        r = c.get("/v1/health")
    assert r.status == 0
    assert r.alert == "unknown ca"
    wait_for(lambda: "CN=mallory" in direct.stderr, "the log does not name the subject")
    assert "unknown ca" in direct.stderr


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_no_certificate_is_an_alert_too(direct, certs, version):
    with connect(direct, certs, version=version) as c:
        r = c.get("/v1/health")
    assert r.status == 0
    assert r.alert in ("certificate required", "handshake failure")


def test_a_large_upload_still_sees_the_alert(direct, certs):
    """What a client sends along after its Finished must not reset the alert away."""
    with connect(direct, certs, certs.foreign) as c:
        r = c.request(b"POST /v1/runs HTTP/1.1\r\nHost: x\r\n\r\n" + b"x" * 500000, timeout=5)
    assert r.alert == "unknown ca"


def test_old_versions_are_refused(direct, certs):
    for version in ("TLSv1", "TLSv1_1"):
        ctx = tlsclient.context(certs.ca.cert, certs.alice.pair)
        ctx.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.warns(DeprecationWarning):
            ctx.minimum_version = ctx.maximum_version = ssl.TLSVersion[version]
        with connect(direct, certs, ctx=ctx) as c:
            assert c.sock is None


def test_identity_headers_are_refused_and_audited(direct, certs):
    for header in ("X-Client-Cert-Subject: CN=root", "x_client_cert_subject: CN=root",
                   "X-Forwarded-Client-Cert: Subject=\"CN=root\"", "X-SSL-Client-DN: CN=root",
                   "Connection: keep-alive, X-Client-Cert-Subject", "X-Stargraph-Edge-Mac: v1",
                   "XClientCertSubject: CN=root", "_X-Client-Cert-Subject: CN=root",
                   "Trailer: X-Client-Cert-Subject"):
        with connect(direct, certs, certs.alice) as c:
            r = c.get("/v1/runs", [header])
        assert r.status == 400, header
        last = direct.audit()[-1]
        assert last["type"] == "refused" and last["payload"]["kind"] == "identity_alias"
        assert last["actor"] == ALICE, "who forged is known: the certificate was verified"


def test_resumption_keeps_the_identity(direct, certs):
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        ctx = tlsclient.context(certs.ca.cert, certs.alice.pair, version=version)
        with connect(direct, certs, ctx=ctx) as c:
            assert c.get("/v1/runs").status == 200
            session = c.sock.session
        with connect(direct, certs, ctx=ctx, session=session) as c:
            r = c.get("/v1/runs")
        assert r.status == 200 and r.reused


def test_a_denied_fingerprint_is_refused_at_once(direct, certs):
    """On a connection that is open already, within a second of the file's change."""
    with connect(direct, certs, certs.alice) as c:
        assert c.get("/v1/runs").status == 200
        direct.keys["deny_fingerprints"] = [certs.alice.fingerprint]
        direct.write_config()
        time.sleep(1)
        r = c.get("/v1/runs")
        assert r.status == 403 and b"deny list" in r.body
    assert direct.audit()[-1]["payload"]["kind"] == "certificate-denied"


def test_revocation(tmp_path, certs, graphs):
    keys = direct_keys(certs, crl=True)
    with Core(tmp_path / "core", profile="cleared", grants=grants(), unix=False, **keys) as core:
        with connect(core, certs, certs.alice) as kept:
            assert kept.get("/v1/runs").status == 200
            victim = certs.ca.client("victim")
            certs.ca.revoke(victim)
            wait_for(lambda: "re-read" in core.stderr, "the CRL was not re-read")
            with connect(core, certs, victim) as c:
                assert c.get().alert == "certificate revoked"
            certs.ca.revoke(certs.alice)
            wait_for(lambda: kept.get("/v1/runs").status == 403, "a kept connection lives on")
        certs.ca.revoked.clear()
        certs.ca.write_crl(next_=-1)  # expired: closed to everybody
        wait_for(lambda: connect(core, certs, certs.bob).get().status == 0, "expired, but open")
        os.unlink(certs.ca.crl)
        wait_for(lambda: connect(core, certs, certs.bob).get().status == 0, "missing, but open")
        certs.ca.write_crl()
        wait_for(lambda: connect(core, certs, certs.bob).get().status == 200, "closed for ever")


def test_rotation_drops_no_connection(tmp_path, certs):
    cert = tmp_path / "server.crt"
    key = tmp_path / "server.key"

    def install(c):
        for source, target, mode in ((c.key, key, 0o600), (c.cert, cert, 0o644)):
            new = target.with_suffix(".new")
            new.write_bytes(open(source, "rb").read())
            new.chmod(mode)
            new.rename(target)

    install(certs.server)
    keys = {**direct_keys(certs), "tls_cert": cert, "tls_key": key}
    with Core(tmp_path / "core", profile="cleared", grants=grants(), unix=False, **keys) as core:
        other = certs.ca.server("server2")
        with connect(core, certs, certs.alice) as kept:
            before = kept.sock.getpeercert()["serialNumber"]
            install(other)
            wait_for(lambda: connect(core, certs, certs.alice).sock.getpeercert()[
                "serialNumber"] != before, "the old certificate is still served")
            assert kept.get("/v1/runs").status == 200


SUBJECTS = [
    (pki.name(("O", "Test"), [("CN", "multi"), ("UID", "7")]), "UID=7+CN=multi,O=Test"),
    (pki.name(("O", 'A, "B" + C'), ("CN", " x#")), 'CN=\\ x#,O=A\\, \\"B\\" \\+ C'),
    (pki.name(("O", "Köz"), ("CN", "Zoë")), "CN=Zoë,O=Köz"),
    (pki.name(("O", "No CN")), "O=No CN"),
]


@pytest.mark.parametrize("subject,actor", SUBJECTS, ids=lambda v: v if isinstance(v, str) else "")
def test_subjects(direct, certs, subject, actor):
    client = certs.ca.client(f"s{abs(hash(actor))}", subject)
    assert deny(direct, certs, client).status == 403
    assert direct.audit()[-1]["actor"] == actor


def test_strange_subjects_are_nobody(direct, certs):
    for subject, why in ((pki.name(("CN", "alice\0.evil")), "NUL"),
                         (pki.name(), "neither a subject nor a SAN URI"),
                         (pki.name(*[("OU", "x" * 60)] * 70), "longer than")):
        client = certs.ca.client(f"n{abs(hash(why))}", subject)
        with connect(direct, certs, client) as c:
            r = c.get("/v1/runs")
        assert (r.status, b"invalid_client_cert" in r.body) == (401, True), why
        assert why in direct.audit()[-1]["payload"]["detail"]


def test_an_empty_subject_with_a_uri_is_that_uri(direct, certs):
    client = certs.ca.client("spiffe", pki.name(), san=("URI:spiffe://test/w",))
    assert deny(direct, certs, client).status == 403
    assert direct.audit()[-1]["actor"] == "URI:spiffe://test/w"


def test_silent_handshakes_are_cut(direct, certs):
    with socket.create_connection(("127.0.0.1", direct.port)) as s:
        s.settimeout(15)
        begin = time.monotonic()
        assert s.recv(1) == b""
        assert time.monotonic() - begin < 13


def test_garbage_is_no_crash(direct, certs):
    for data in (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\xff\xff" + b"\0" * 70000, os.urandom(900)):
        direct.raw(data, over="tcp", timeout=1)
    assert tlsclient.get(direct.port, ca=certs.ca.cert, cert=certs.alice.pair).status == 200
