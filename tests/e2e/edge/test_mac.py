"""The per-request MAC, computed again from what the backend received."""
import hashlib
import hmac
import re
import time

import pytest
from nginx import Nginx, give
from sites import module_site
from tlsclient import get

KEY = bytes(range(32))


@pytest.fixture(scope="module")
def site(pki, backend, tmp_module):
    key = tmp_module / "mac.key"
    key.write_text(KEY.hex() + "\n")
    key.chmod(0o600)
    give(key)
    conf = module_site(pki, f"unix:{backend.path}", extra=f"stargraph_mac_key {key};")
    with Nginx(tmp_module / "nginx", conf) as n:
        yield n


def check(q):
    """The nonce of a request whose MAC is right."""
    (value,) = q.all("X-Stargraph-Edge-Mac")
    m = re.fullmatch(r"v1 t=(\d+) n=([0-9a-f]{32}) mac=([0-9a-f]{64})", value)
    assert m, value
    assert abs(int(m[1]) - time.time()) < 5
    lines = ["stargraph-edge-v1", m[1], m[2], q.method, q.target]
    lines += [q.get(f"X-Client-Cert-{k}", "") for k in
              ("Subject", "Issuer", "Serial", "Fingerprint", "San")]
    lines += [q.get("X-Stargraph-Edge-Refused", "")]
    text = "".join(s + "\n" for s in lines).encode("latin-1")
    assert m[3] == hmac.new(KEY, text, hashlib.sha256).hexdigest(), text
    return m[2]


@pytest.mark.parametrize("path", ["/", "/v1/runs?wait=1&x=%20y", "/a%2Fb/../c", "//x", "/%65"])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "HEAD"])
def test_the_core_can_verify_it(site, pki, backend, path, method):
    backend.clear()
    body = ["Content-Length: 0"] if method == "POST" else []
    assert get(site.port, path, pki.ca.cert, pki.alice.pair, [*body, "Connection: close"], method,
               ).status == 200
    (q,) = backend.requests()
    assert (q.method, q.target) == (method, path)
    check(q)


def test_nonces_are_never_used_twice(site, pki, backend):
    backend.clear()
    for _ in range(50):
        get(site.port, "/", pki.ca.cert, pki.alice.pair)
    assert len({check(q) for q in backend.requests()}) == 50


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
def test_reports_carry_one_too(site, pki, backend, method):
    backend.clear()
    get(site.port, "/v1/runs", pki.ca.cert, pki.alice.pair,
        ["X-Client-Cert-Subject: CN=root", "Content-Length: 0", "Connection: close"], method)
    (q,) = backend.requests()
    assert (q.method, q.target) == ("GET", "/edge/refused")
    check(q)


def test_without_a_subject_the_line_is_empty(site, pki, backend):
    import pki as pki_lib
    nameless = pki.ca.client("nameless", pki_lib.name(), san=["URI:spiffe://test/nameless"])
    backend.clear()
    assert get(site.port, "/", pki.ca.cert, nameless.pair).status == 200
    (q,) = backend.requests()
    assert q.all("X-Client-Cert-Subject") == []
    check(q)
