"""The nginx module by itself: identity, aliases, phases, variables, nginx -t."""
import json
import re

import pytest
from nginx import MODULE, Nginx, give
from pki import name as x509_name
from sites import module_site, tls
from tlsclient import Connection, get, send

IDENTITY = ["Subject", "Issuer", "Serial", "Fingerprint", "San"]


@pytest.fixture(scope="module", params=["unix", "tcp"])
def site(request, pki, backend, tmp_module):
    upstream = (f"unix:{backend.path}" if request.param == "unix"
                else f"127.0.0.1:{backend.port}")
    more = """
        location = /return { return 200 "$stargraph_subject|$stargraph_refused\\n"; }
        location /any/ { satisfy any; allow all; proxy_pass http://core; }
        location /rewritten/ { rewrite ^/rewritten(/.*) $1 break; proxy_pass http://core; }
        location = /sub { auth_request /auth; proxy_pass http://core; }
        location = /auth { internal; proxy_pass http://core; }
        error_page 400 414 494 495 496 497 /broken;
        error_page 405 @named;
        location = /broken { proxy_pass http://core; }
        location @named { proxy_pass http://core; }
        location = /m405 { return 405; }
        large_client_header_buffers 4 4k;
    """
    conf = module_site(pki, upstream, locations=more)
    with Nginx(tmp_module / request.param, conf) as n:
        yield n


def test_identity_headers(site, pki, backend):
    backend.clear()
    r = get(site.port, "/v1/runs?x=1", pki.ca.cert, pki.alice.pair)
    assert r.status == 200
    (q,) = backend.requests()
    assert q.target == "/v1/runs?x=1"
    assert q.all("X-Client-Cert-Subject") == ["CN=alice,O=Test"]
    assert q.all("X-Client-Cert-Issuer") == ["CN=Test CA,O=Test"]
    assert q.all("X-Client-Cert-Serial") == [pki.alice.serial]
    assert q.all("X-Client-Cert-Fingerprint") == [pki.alice.fingerprint]
    assert q.all("X-Client-Cert-San") == ["URI:spiffe://test/alice,DNS:alice.test"]


def test_each_client_its_own(site, pki, backend):
    for who in (pki.alice, pki.bob, pki.alice):
        r = get(site.port, "/", pki.ca.cert, who.pair)
        assert dict(json.loads(r.body)["headers"])["X-Client-Cert-Fingerprint"] == who.fingerprint


def test_keepalive_carries_it_every_time(site, pki, backend):
    backend.clear()
    with Connection(site.port, pki.ca.cert, pki.alice.pair) as c:
        for i in range(20):
            assert c.get(f"/{i}").status == 200
    assert [q.all("X-Client-Cert-Subject") for q in backend.requests()] == [
        ["CN=alice,O=Test"]] * 20


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_alerts(site, pki, backend, version):
    import ssl
    v = getattr(ssl.TLSVersion, version)
    backend.clear()
    foreign = get(site.port, "/", pki.ca.cert, pki.mallory.pair, version=v)
    assert "unknown ca" in foreign.alert and foreign.status == 0
    none = get(site.port, "/", pki.ca.cert, None, version=v)
    assert none.alert and none.status == 0
    assert backend.requests() == []
    assert re.search(r'certificate refused: \(20:.*subject "CN=alice,O=Test"', site.log())


ALIASES = [
    "X-Client-Cert-Subject: CN=root", "x-client-cert-subject: CN=root",
    "X_Client_Cert_Subject: CN=root", "X-CLIENT_CERT-subject: CN=root",
    "X-Client-Cert: x", "X-Client-Cert-San: URI:spiffe://test/root",
    "X-Client-Cert-Fingerprint: " + "0" * 64, "X-Client-Cert-Unheard-Of: 1",
    "X-Forwarded-Client-Cert: Subject=\"CN=root\"", "x_forwarded_client_cert: Subject=x",
    "X-Stargraph-Edge-Mac: v1", "X-Stargraph-Edge-Refused: no", "x-stargraph-edge-x: 1",
    "Client-Cert: :AAAA:", "Connection: X-Client-Cert-Subject",
    "Connection: close, x-client-cert-fingerprint", "Connection: x_client_cert_subject",
    "Trailer: X-Client-Cert-Subject", "Proxy-Connection: keep-alive,X-Client-Cert-Issuer",
    "XClientCertSubject: CN=root",
]


@pytest.mark.parametrize("alias", ALIASES)
@pytest.mark.parametrize("path", ["/v1/runs", "/return", "/any/x", "/rewritten/x", "/sub", "/m405",
                                  "/broken"])
def test_alias_is_refused_and_reported(site, pki, backend, alias, path):
    backend.clear()
    before = len(site.log())
    r = get(site.port, path, pki.ca.cert, pki.alice.pair, [alias])
    assert r.status == 400
    (q,) = backend.requests()
    assert (q.method, q.target) == ("GET", "/edge/refused")
    assert q.all("X-Client-Cert-Subject") == ["CN=alice,O=Test"]
    assert len(q.all("X-Stargraph-Edge-Refused")) == 1
    assert "root" not in q.head.decode() and "_" not in "".join(
        k for k, _ in q.headers if k.lower().startswith("x"))
    assert 'request refused: client ' in site.log()[before:]


@pytest.mark.parametrize("position", ["first", "middle", "last", "only", "twice", "all"])
def test_unlinking_leaves_the_other_headers(site, pki, backend, position):
    """More headers than one list part holds (20), the alias at each kind of place."""
    own = [f"X-Own-{i}: {i}" for i in range(30)]
    bad = "X-Client-Cert-Subject: CN=root"
    lines = {"first": [bad, *own], "middle": [*own[:10], bad, *own[10:]], "last": [*own, bad],
             "only": [bad], "twice": [bad, *own[:18], bad, bad, *own[18:], bad],
             "all": [x for h in own for x in (bad, h)]}[position]
    backend.clear()
    # Host is added by get(): send it raw so that the alias may come first.
    head = "\r\n".join(["GET /v1/x HTTP/1.1", *lines, "Host: localhost", "", ""])
    r = send(site.port, head.encode(), pki.ca.cert, pki.alice.pair)
    assert r.status == 400
    (q,) = backend.requests()
    assert q.target == "/edge/refused"
    want = [] if position == "only" else [(f"X-Own-{i}", str(i)) for i in range(30)]
    assert [h for h in q.headers if h[0].startswith("X-Own")] == want
    assert q.all("X-Client-Cert-Subject") == ["CN=alice,O=Test"]


def test_other_underscores_are_dropped_as_ever(site, pki, backend):
    backend.clear()
    r = get(site.port, "/v1/x", pki.ca.cert, pki.alice.pair, ["X_Other: 1", "X-Fine: 2"])
    assert r.status == 200
    (q,) = backend.requests()
    assert q.all("X-Fine") == ["2"] and q.all("X_Other") == []


BROKEN = {
    "blank in a name": b"GET /v1/x HTTP/1.1\r\nHost: localhost\r\nALIAS\r\nBad Header: 1\r\n\r\n",
    "two hosts": b"GET /v1/x HTTP/1.1\r\nALIAS\r\nHost: a\r\nHost: b\r\n\r\n",
    "bad host": b"GET /v1/x HTTP/1.1\r\nALIAS\r\nHost: /\r\n\r\n",
    "long header": b"GET /v1/x HTTP/1.1\r\nALIAS\r\nHost: localhost\r\nX-Big: " + b"x" * 40000
                   + b"\r\n\r\n",
    "long uri": b"GET /" + b"x" * 40000 + b" HTTP/1.1\r\nALIAS\r\n\r\n",
    "no host": b"GET /v1/x HTTP/1.1\r\nALIAS\r\n\r\n",
    "blank before the colon": b"GET /v1/x HTTP/1.1\r\nHost: localhost\r\n"
                              b"X-Client-Cert-Subject : CN=root\r\n\r\n",
    "folded line": b"GET /v1/x HTTP/1.1\r\nHost: localhost\r\nX-A: 1\r\n ALIAS\r\n\r\n",
    "two lengths": b"POST /v1/x HTTP/1.1\r\nHost: localhost\r\nALIAS\r\n"
                   b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("case", BROKEN)
def test_error_page_to_the_core_carries_no_alias(site, pki, backend, case):
    """nginx refuses these before our POST_READ phase; error_page still sends them to the core."""
    backend.clear()
    broken = BROKEN[case].replace(b"ALIAS", b"X-Client-Cert-Subject: CN=root")
    r = send(site.port, broken, pki.ca.cert, pki.alice.pair)
    assert r.status in (400, 414)
    for q in backend.requests():
        assert b"root" not in q.head
        assert q.all("X-Client-Cert-Subject") in ([], ["CN=alice,O=Test"])


def test_http09_is_refused(site, pki, backend):
    backend.clear()
    r = send(site.port, b"GET /v1/x\r\n", pki.ca.cert, pki.alice.pair)
    # A 400 of HTTP/0.9 has no status line; the error page behind it got no identity.
    assert b'"target": "/broken"' in r.raw
    assert [q.all("X-Client-Cert-Subject") for q in backend.requests()] == [[]]


def test_refused_body_goes_nowhere(site, pki, backend):
    backend.clear()
    body = b"x" * 70000
    r = send(site.port, b"POST /v1/runs HTTP/1.1\r\nHost: localhost\r\nX-Client-Cert-Subject: a\r\n"
             b"Content-Length: %d\r\nExpect: 100-continue\r\n\r\n" % len(body) + body,
             pki.ca.cert, pki.alice.pair)
    assert r.status == 400 and b"100 Continue" not in r.raw
    (q,) = backend.requests()
    assert (q.method, q.target, q.body) == ("GET", "/edge/refused", b"")


def test_the_report_location_is_no_door(site, pki, backend):
    backend.clear()
    assert get(site.port, "/refused", pki.ca.cert, pki.alice.pair).status == 404
    assert backend.requests() == []


def test_internal_redirects_keep_the_identity(site, pki, backend):
    for path in ("/rewritten/x", "/sub", "/m405", "/any/x"):
        backend.clear()
        get(site.port, path, pki.ca.cert, pki.alice.pair)
        assert backend.requests(), path
        for q in backend.requests():
            assert q.all("X-Client-Cert-Subject") == ["CN=alice,O=Test"], path


def test_variables(site, pki, backend):
    r = get(site.port, "/return", pki.ca.cert, pki.alice.pair)
    assert r.body == b"CN=alice,O=Test|\n"


def test_without_report_the_module_answers(pki, backend, tmp):
    conf = module_site(pki, f"unix:{backend.path}", report=False)
    backend.clear()
    with Nginx(tmp, conf) as n:
        r = get(n.port, "/", pki.ca.cert, pki.alice.pair, ["X-Client-Cert-Subject: CN=root"])
        assert r.status == 400
        assert get(n.port, "/", pki.ca.cert, pki.alice.pair).status == 200
    assert [q.target for q in backend.requests()] == ["/"]


def test_off_changes_nothing(pki, backend, tmp):
    """A server without the module on keeps nginx's behaviour, next to one that has it."""
    conf = module_site(pki, f"unix:{backend.path}") + """
    server { listen 127.0.0.1:{port2}; location / { return 200 "[$http_x_client_cert_subject]"; } }"""
    import socket
    with Nginx(tmp, conf) as n:
        with socket.create_connection(("127.0.0.1", n.port2)) as s:
            s.sendall(b"GET / HTTP/1.0\r\nX-Client-Cert-Subject: hello\r\n\r\n")
            got = b""
            while chunk := s.recv(4096):
                got += chunk
        assert got.endswith(b"[hello]")


# nginx -t: every mistake with file and line.

def mistakes(pki, d):
    good = tls(pki)
    key = d / "mac.key"
    key.write_text("00" * 32 + "\n")
    key.chmod(0o600)
    give(key)
    (d / "short.key").write_text("00" * 31)
    (d / "short.key").chmod(0o600)
    give(d / "short.key")
    (d / "open.key").write_text("00" * 32)
    (d / "open.key").chmod(0o644)
    (d / "junk.crl").write_text("junk")
    pki.ca.write_crl(f"{d}/expired.crl", last=-7200, next_=-3600)
    pki.ca.write_crl(f"{d}/future.crl", last=3600, next_=7200)
    pki.foreign_ca.write_crl(f"{d}/foreign.crl")
    pki.ca.write_crl(f"{d}/forged.crl", key=pki.foreign_ca)
    on = "stargraph_client_auth on; # HERE"
    plain = good.replace("ssl_verify_client on", "ssl_verify_client {}")
    loc = "location = /r {{ {} }}"
    return {
        "optional": (plain.format("optional") + on, '"ssl_verify_client" is not'),
        "optional_no_ca": (plain.format("optional_no_ca") + on, '"ssl_verify_client" is not'),
        "verify off": (plain.format("off") + on, '"ssl_verify_client" is not'),
        "early data": (good + "ssl_early_data on;\n" + on, '"ssl_early_data"'),
        "duplicate": (good + "stargraph_client_auth on;\n" + on, "is duplicate"),
        "neither on nor off": (good + "stargraph_client_auth yes; # HERE", "invalid value"),
        "in a location": (good + "location / { " + on + "\n }", "is not allowed here"),
        "report is no uri": (good + "stargraph_client_auth on;\nstargraph_report r; # HERE",
                             "needs the URI"),
        "report to nowhere": (good + "stargraph_client_auth on;\nstargraph_report /r; # HERE",
                              'needs a "location = /r"'),
        "report to a prefix": (good + "stargraph_client_auth on;\nlocation /r { internal; }\n"
                               "stargraph_report /r; # HERE", 'needs a "location = /r"'),
        "report not internal": (good + "stargraph_client_auth on;\n" + loc.format("return 200;")
                                + "\nstargraph_report /r; # HERE", 'must be "internal"'),
        "report unused": (good + loc.format("internal;") + "\nstargraph_report /r; # HERE",
                          'without "stargraph_client_auth on"'),
        "key unused": (good + f"stargraph_mac_key {key}; # HERE",
                       'without "stargraph_client_auth on"'),
        "crl unused": (good + f"stargraph_crl {pki.ca.crl}; # HERE",
                       'without "stargraph_client_auth on"'),
        "no key": (good + "stargraph_client_auth on;\nstargraph_mac_key nowhere; # HERE",
                   "cannot be opened (2: No such file"),
        "key too short": (good + f"stargraph_client_auth on;\nstargraph_mac_key {d}/short.key; # HERE",
                          "64 hexadecimal digits"),
        "key too open": (good + f"stargraph_client_auth on;\nstargraph_mac_key {d}/open.key; # HERE",
                         "mode 0600"),
        "key is a directory": (good + f"stargraph_client_auth on;\nstargraph_mac_key {d}; # HERE",
                               "not a regular file"),
        "no crl": (good + "stargraph_client_auth on;\nstargraph_crl nowhere; # HERE",
                   "cannot be opened"),
        "crl is junk": (good + f"stargraph_client_auth on;\nstargraph_crl {d}/junk.crl; # HERE",
                        "malformed"),
        "crl expired": (good + f"stargraph_client_auth on;\nstargraph_crl {d}/expired.crl; # HERE",
                        "expired"),
        "crl not yet valid": (good + f"stargraph_client_auth on;\nstargraph_crl {d}/future.crl; # HERE",
                              "not yet valid"),
        "crl of another": (good + f"stargraph_client_auth on;\nstargraph_crl {d}/foreign.crl; # HERE",
                           "not signed by a CA"),
        "crl forged": (good + f"stargraph_client_auth on;\nstargraph_crl {d}/forged.crl; # HERE",
                       "not signed by a CA"),
        "crl is a directory": (good + f"stargraph_client_auth on;\nstargraph_crl {d}; # HERE",
                               "not a regular file"),
    }


MISTAKES = ["optional", "optional_no_ca", "verify off", "early data", "duplicate",
            "neither on nor off", "in a location", "report is no uri", "report to nowhere",
            "report to a prefix", "report not internal", "report unused", "key unused",
            "crl unused", "no key", "key too short", "key too open", "key is a directory",
            "no crl", "crl is junk", "crl expired", "crl not yet valid", "crl of another",
            "crl forged", "crl is a directory"]


@pytest.mark.parametrize("mistake", MISTAKES)
def test_nginx_t_catches(pki, tmp, mistake):
    table = mistakes(pki, tmp)
    assert sorted(table) == sorted(MISTAKES)
    lines, message = table[mistake]
    n = Nginx(tmp / "n", "server { listen 127.0.0.1:{port} ssl;\n" + lines + "\n}\n")
    line = next(i for i, s in enumerate(n.conf.read_text().split("\n"), 1) if "# HERE" in s)
    code, said = n.test()
    assert code != 0
    assert message in said and f"nginx.conf:{line}" in said, said


def test_nginx_t_catches_a_listen_without_ssl(pki, tmp):
    n = Nginx(tmp, "server { listen 127.0.0.1:{port} ssl; listen 127.0.0.1:{port2};"
              + tls(pki) + "stargraph_client_auth on; }")
    code, said = n.test()
    assert code != 0
    assert f"listens without ssl on 127.0.0.1:{n.port2} in" in said


def test_nginx_t_catches_no_certificate(pki, tmp):
    n = Nginx(tmp, "server { listen 127.0.0.1:{port}; stargraph_client_auth on; }")
    code, said = n.test()
    assert code != 0 and "nginx.conf:" in said


def test_a_good_configuration_passes(pki, backend, tmp):
    n = Nginx(tmp, module_site(pki, f"unix:{backend.path}", extra=f"stargraph_crl {pki.ca.crl};"))
    code, said = n.test()
    assert code == 0 and "[warn]" not in said and "[emerg]" not in said, said


def test_http_level_is_inherited_and_overridden(pki, backend, tmp):
    conf = ("stargraph_client_auth on;" + module_site(pki, f"unix:{backend.path}").replace(
        "stargraph_client_auth on;", "") + """
    server { listen 127.0.0.1:{port2}; stargraph_client_auth off; return 204; }""")
    with Nginx(tmp, conf) as n:
        r = get(n.port, "/", pki.ca.cert, pki.alice.pair)
        assert dict(json.loads(r.body)["headers"])["X-Client-Cert-Subject"] == "CN=alice,O=Test"


MERGED = {  # what stands in http, what in the server; is the CRL, the report, the MAC in force?
    "all inherited": ("CRL REPORT MAC", "", (True, True, True)),
    "own CRL over another": ("OTHER REPORT MAC", "CRL", (True, True, True)),
    "own report over another": ("CRL ELSEWHERE", "REPORT", (True, True, False)),
    "none": ("", "", (False, False, False)),
    "all of its own": ("", "CRL REPORT MAC", (True, True, True)),
}


@pytest.mark.parametrize("case", MERGED)
def test_servers_inherit_each_directive_by_itself(pki, backend, tmp, case):
    key = tmp / "mac.key"
    key.write_text("00" * 32)
    key.chmod(0o600)
    give(key)
    gone = pki.ca.client("merge", x509_name(("O", "Test"), ("CN", "gone")))
    clean = pki.ca.write_crl(f"{tmp}/clean.crl")
    theirs = pki.ca.write_crl(f"{tmp}/theirs.crl", extra_serials=[gone.x509.serial_number])
    words = {"CRL": f"stargraph_crl {theirs};", "OTHER": f"stargraph_crl {clean};",
             "REPORT": "stargraph_report /refused;", "ELSEWHERE": "stargraph_report /elsewhere;",
             "MAC": f"stargraph_mac_key {key};"}
    outer, inner, (crl, report, mac) = MERGED[case]

    def lines(names):
        return " ".join(words[w] for w in names.split())

    conf = lines(outer) + module_site(pki, f"unix:{backend.path}", extra=lines(inner), report=False,
                                      locations="""location = /refused { internal; proxy_method GET;
            proxy_pass http://core/edge/refused; }""")
    backend.clear()
    with Nginx(tmp / "n", conf) as n:
        assert get(n.port, "/", pki.ca.cert, pki.alice.pair).status == 200
        assert bool(backend.requests()[0].all("X-Stargraph-Edge-Mac")) == mac
        assert (get(n.port, "/", pki.ca.cert, gone.pair).alert == "certificate revoked") == crl
        backend.clear()
        assert get(n.port, "/", pki.ca.cert, pki.alice.pair, ["X-Client-Cert: x"]).status == 400
        assert bool(backend.requests()) == report


LINT = {
    "same upstream": ("location / { proxy_pass http://core; }", True),
    "same socket under another name": ("location /x/ { proxy_pass http://unix:SOCKET:/; }", True),
    "nested": ("location /a { location /a/b { proxy_pass http://core; } }", True),
    "regex": ("location ~ x$ { proxy_pass http://core; }", True),
    "named": ("location @c { proxy_pass http://core; }", True),
    "limit_except": ("location / { limit_except GET { proxy_pass http://core; } }", True),
    "the guide's address": ("location / { proxy_pass http://127.0.0.1:8000; }", True),
    "somewhere else": ("location / { proxy_pass http://127.0.0.1:9; }", False),
    "nowhere": ("return 204;", False),
}


@pytest.mark.parametrize("case", LINT)
def test_lint_warns_of_a_way_around_the_module(pki, backend, tmp, case):
    lines, warns = LINT[case]
    conf = module_site(pki, f"unix:{backend.path}") + """
    server { # AROUND
        listen 127.0.0.1:{port2}; """ + lines.replace("SOCKET", backend.path) + " }"
    n = Nginx(tmp, conf)
    code, said = n.test()
    assert code == 0
    line = next(i for i, s in enumerate(n.conf.read_text().split("\n"), 1) if "# AROUND" in s)
    assert (f"without \"stargraph_client_auth on\" in the server in {n.conf}:{line}" in said) == warns
    assert ("[warn]" in said) == warns, said


def test_the_shipped_site_passes_nginx_t(pki, tmp):
    """deploy/nginx/stargraph.conf as it is, paths aside."""
    from nginx import TOP
    text = (TOP / "deploy/nginx/stargraph.conf").read_text()
    for a, b in {"/etc/nginx/server.crt": pki.server.cert, "/etc/nginx/server.key": pki.server.key,
                 "/etc/nginx/client-ca.crt": pki.ca.cert, "/etc/nginx/client-ca.crl": pki.ca.crl,
                 "/var/log/nginx/": f"{tmp}/", "listen 443": "listen 127.0.0.1:{port}"}.items():
        assert a in text
        text = text.replace(a, b)
    code, said = Nginx(tmp, text).test()
    assert code == 0 and "[warn]" not in said and "[emerg]" not in said, said


def test_wrong_nginx_version_is_refused(tmp):
    """The signature check: a module of another nginx is not half loaded."""
    data = MODULE.read_bytes()
    at = data.index(b"8,4,8,")
    (tmp / "other.so").write_bytes(data[:at] + b"4,4,8," + data[at + 6:])
    n = Nginx(tmp / "n", "", module=False, main="")
    n.conf.write_text(f"load_module {tmp}/other.so;\n" + n.conf.read_text())
    code, said = n.test()
    assert code != 0 and "is not binary compatible" in said
