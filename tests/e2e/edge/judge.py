"""What a door made of an attack, by what reached the core's side of it: one of matrix.py's four
outcomes, or a breach, which fails whatever the table says.
"""
import re
import socket
import time

import tlsclient
from corpus import WHO
from matrix import CARRIES, M, R, T, X

ALIASES = ("xclientcert", "xforwardedclientcert", "xstargraphedge", "clientcert",
           "xforwardedtlsclient", "xsslclient", "xsslcert", "xclientdn", "xclientverify",
           "xamznmtls", "xarrclientcert", "sslclient")
OURS = {"x-client-cert-subject", "x-client-cert-issuer", "x-client-cert-serial",
        "x-client-cert-fingerprint", "x-client-cert-san"}


def send(port, attack, pki, timeout=0.6):
    if attack.plain:
        with socket.create_connection(("127.0.0.1", port), timeout) as s:
            raw = b""
            try:
                s.sendall(attack.data)
                while got := s.recv(65536):
                    raw += got
            except OSError:
                pass
        return tlsclient.parse(raw)
    kw = {"sni": attack.sni, "timeout": 10}
    if attack.sni != "localhost":
        kw["ctx"] = tlsclient.context(pki.ca.cert, pki.certs[attack.cert])
        kw["ctx"].check_hostname = False
    if attack.version:
        import ssl
        kw["version"] = getattr(ssl.TLSVersion, attack.version)
    cert = pki.certs[attack.cert]
    if attack.h2:
        return tlsclient.h2(port, attack.data, pki.ca.cert, cert, timeout=timeout)
    with tlsclient.Connection(port, pki.ca.cert, cert, **kw) as c:
        return c.request(attack.data, one=False, timeout=timeout)


def truth(pki, door):
    a = pki.alice
    full = {"Subject": "CN=alice,O=Test", "Issuer": "CN=Test CA,O=Test", "Serial": a.serial,
            "Fingerprint": a.fingerprint, "San": "URI:spiffe://test/alice,DNS:alice.test"}
    return {k: v for k, v in full.items() if k in CARRIES[door]}


def breach(request, pki, door, attack):
    """What is wrong with a request that reached the core, or None."""
    if attack.cert != "alice" or attack.plain:
        return "a request without a valid certificate reached the core"
    want = truth(pki, door)
    for k in ("Subject", "Issuer", "Serial", "Fingerprint", "San"):
        got = request.all(f"X-Client-Cert-{k}")
        expected = [want[k]] if k in want else []
        if [v.lower() if k == "Serial" else v for v in got] != expected:
            return f"X-Client-Cert-{k} is {got}, not {expected}"
    for name in ("X-Forwarded-Client-Cert", "X-Stargraph-Edge-Mac"):
        if request.all(name):
            return f"{name} reached the core"
    refused = request.all("X-Stargraph-Edge-Refused")
    if refused and (request.target.split("?")[0] != "/edge/refused" or len(refused) != 1
                    or not refused[0].startswith("client ")):
        return f"X-Stargraph-Edge-Refused of the client's making: {refused}"
    if any(c in request.head.decode("latin-1").replace("\r\n", "") for c in "\r\n\0"):
        return "a control character reached the core"
    return None


def leftovers(request):
    return [k for k, v in request.headers
            if k.lower() not in OURS | {"x-stargraph-edge-refused"}
            and (re.sub("[^a-z0-9]", "", k.lower()).startswith(ALIASES)
                 or (k.lower() in ("connection", "trailer", "proxy-connection")
                     and re.search("cert|stargraph", v.lower())))]


def judge(door, port, backend, pki, attack):
    """(outcome, reply); raises AssertionError on a breach."""
    backend.clear()
    reply = send(port, attack, pki)
    if not reply.status:
        time.sleep(0.03)
    seen = backend.requests()
    for q in seen:
        wrong = breach(q, pki, door, attack)
        assert wrong is None, f"{attack} at {door}: {wrong}\n{q.head!r}"
    reports = [q for q in seen if q.all("X-Stargraph-Edge-Refused")]
    others = [q for q in seen if q not in reports]
    assert not any(WHO in v for q in seen for k, v in q.headers
                   if k.lower() in OURS), f"{attack} at {door}"
    if reports:
        return R, reply
    if not others:
        return X, reply
    if any(leftovers(q) for q in others):
        return M, reply
    return T, reply


def judge_direct(door, pki, attack):
    """The same by what the core recorded: at the direct door nothing stands in front of it."""
    n = len(door.core.audit())
    reply = send(door.port, attack, pki)
    # What is answered is recorded: refusals before, the rest a little later.
    answers, end = reply.raw.count(b"HTTP/1.1 ") - reply.raw.count(b" 100 Continue"), time.time() + 1
    while True:
        records = door.core.audit()[n:]
        if len(records) >= answers or time.time() > end:
            break
        time.sleep(0.005)
    actors = {r["actor"] for r in records}
    valid = attack.cert == "alice" and not attack.plain
    assert actors <= ({"CN=alice,O=Test", "nobody"} if valid else set()), (str(attack), records)
    assert valid or not reply.status, (str(attack), reply)
    if any(r["payload"].get("kind") == "identity_alias" for r in records):
        return R, reply
    if records and all(r["payload"].get("kind") in ("malformed-request", "body_bytes")
                       for r in records):
        return X, reply
    if records or reply.status in (200, 404, 422):
        return T, reply
    return X, reply
