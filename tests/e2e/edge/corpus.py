"""The attack corpus: what a client may send to be taken for somebody else.

Each attack is one connection. h1 attacks are the bytes written after the handshake, h2 attacks the
frames after the preface. Whatever the door makes of it, the core must never see an identity that the
client's certificate does not prove; test_corpus.py checks that, and the outcome of each group at
each door against matrix.py.
"""
from dataclasses import dataclass

import tlsclient as t

WHO = "CN=root,O=Test"  # whom every attack tries to be


@dataclass
class Attack:
    group: str
    name: str
    data: bytes
    h2: bool = False
    cert: str = "alice"
    sni: str = "localhost"
    plain: bool = False  # no TLS at all
    version: str = ""

    def __str__(self):
        return f"{self.group}: {self.name}"


ATTACKS = []


def add(group, name, data, **kw):
    ATTACKS.append(Attack(group, name, data, **kw))


def request(*lines, line="GET /v1/runs HTTP/1.1", host="Host: localhost", close=True, body=b""):
    head = [line, *([host] if host else []), *lines, *(["Connection: close"] if close else [])]
    out = b"\r\n".join(h if isinstance(h, bytes) else h.encode("latin-1") for h in head)
    return out + b"\r\n\r\n" + body


SUBJECT = f"X-Client-Cert-Subject: {WHO}"


def names():
    for n, v in {"Subject": WHO, "Issuer": "CN=Root CA", "Serial": "01",
                 "Fingerprint": "ab" * 32, "San": "URI:spiffe://test/root"}.items():
        add("our names", f"X-Client-Cert-{n}", request(f"X-Client-Cert-{n}: {v}"))
    add("our names", "X-Stargraph-Edge-Mac",
        request("X-Stargraph-Edge-Mac: v1 t=1 n=" + "0" * 32 + " mac=" + "0" * 64))
    add("our names", "X-Stargraph-Edge-Refused", request("X-Stargraph-Edge-Refused: root"))
    add("our names", "all of them", request(
        SUBJECT, "X-Client-Cert-Issuer: CN=Root CA", "X-Client-Cert-Serial: 01",
        "X-Client-Cert-Fingerprint: " + "ab" * 32, "X-Client-Cert-San: URI:spiffe://test/root"))
    for c in (str.lower, str.upper, str.swapcase):
        for n in ("X-Client-Cert-Subject", "X-Client-Cert-Fingerprint"):
            add("letter case", c(n), request(f"{c(n)}: {WHO}"))
    for v in (f'Subject="{WHO}"', f'Hash={"ab" * 32};Subject="{WHO}";URI=spiffe://test/root',
              f'By=a;Subject="{WHO}",By=b;Subject="{WHO}"'):
        add("Envoy's name", v[:24], request(f"X-Forwarded-Client-Cert: {v}"))
    for n in ("X_Client_Cert_Subject", "X-Client_Cert-Subject", "x_client-cert-subject",
              "X_Client_Cert_Fingerprint", "X_Client_Cert_San", "X_Forwarded_Client_Cert",
              "X_Stargraph_Edge_Mac", "X-Client-Cert-Subject_", "_X-Client-Cert-Subject"):
        add("underscores", n, request(f"{n}: {WHO}"))
    for n in ("X-Client-Cert", "X-Client-Cert-", "X-Client-Cert-Subject2", "X-Client-Cert-Dn",
              "X-Client-Certificate", "X-Stargraph-Edge-Anything"):
        add("names that begin like ours", n, request(f"{n}: {WHO}"))
    for n in ("XClientCertSubject", "X.Client.Cert.Subject", "X-Client.Cert-Subject",
              "X--Client-Cert-Subject", "X-Client-Cert*Subject", "-X-Client-Cert-Subject"):
        add("names that read like ours", n, request(f"{n}: {WHO}"))
    for n in ("Client-Cert", "Client-Cert-Chain", "SSL-Client-S-Dn", "X-SSL-Client-S-DN",
              "X-SSL-Cert", "X-Client-Verify", "X-Client-DN", "X-ARR-ClientCert",
              "X-Amzn-Mtls-Clientcert-Subject", "X-Forwarded-Tls-Client-Cert"):
        add("names of other proxies", n, request(f"{n}: {WHO}"))


def repeats():
    add("repeated", "twice", request(SUBJECT, SUBJECT))
    add("repeated", "fifty times", request(*[SUBJECT] * 50))
    add("repeated", "before Host", request(SUBJECT, "Host: localhost", host=None))
    add("repeated", "the true one first", request("X-Client-Cert-Subject: CN=alice,O=Test", SUBJECT))
    add("repeated", "in two cases", request(SUBJECT, SUBJECT.lower()))
    add("repeated", "among forty others", request(*[f"X-A{i}: {i}" for i in range(20)], SUBJECT,
                                                  *[f"X-B{i}: {i}" for i in range(20)]))


def listed():
    for v in ("X-Client-Cert-Subject", "close, X-Client-Cert-Subject",
              "keep-alive,x-client-cert-fingerprint", "X-CLIENT-CERT-SAN , close",
              "x_client_cert_subject", "\tX-Client-Cert-Issuer",
              "X-Forwarded-Client-Cert", "X-Stargraph-Edge-Mac"):
        add("listed in Connection", v.strip(), request(f"Connection: {v}", close=False))
    add("listed in Connection", "in a second one", request("Connection: close",
                                                           "Connection: X-Client-Cert-Subject",
                                                           close=False))
    add("listed elsewhere", "Proxy-Connection", request("Proxy-Connection: X-Client-Cert-Subject"))
    add("listed elsewhere", "Trailer", request("Trailer: X-Client-Cert-Subject"))


def blanks():
    s = SUBJECT.encode()
    add("blanks in names", "blank before the colon", request(f"X-Client-Cert-Subject : {WHO}"))
    add("blanks in names", "tab before the colon", request(f"X-Client-Cert-Subject\t: {WHO}"))
    add("blanks in names", "blank inside", request(f"X-Client-Cert Subject: {WHO}"))
    add("blanks in names", "no-break space", request(f"X-Client-Cert-Subject\xa0: {WHO}"))
    add("blanks in names", "NUL", request(f"X-Client-Cert-Subject\0: {WHO}"))
    add("blanks in names", "vertical tab", request(f"X-Client-Cert-Subject\v: {WHO}"))
    add("blanks in names", "soft hyphens", request(f"X\xadClient\xadCert\xadSubject: {WHO}"))
    add("folded lines", "blank", request("X-A: 1", f" {SUBJECT}"))
    add("folded lines", "tab", request("X-A: 1", f"\t{SUBJECT}"))
    add("folded lines", "first line", request(f" {SUBJECT}", "Host: localhost", host=None))
    add("folded lines", "value on the next line", request("X-Client-Cert-Subject:", f" {WHO}"))
    add("folded lines", "folded in the middle", request("X-Client-Cert-Subject: CN=ro",
                                                        " ot,O=Test"))
    add("line ends", "LF after another header", request(b"X-A: 1\n" + s))
    add("line ends", "CR after another header", request(b"X-A: 1\r" + s))
    add("line ends", "CR CR LF", request(b"X-A: 1\r\r\n" + s))
    add("line ends", "LF CR", request(b"X-A: 1\n\r" + s))
    add("line ends", "NUL for the end", request(b"X-A: 1\0" + s))
    add("line ends", "LF only", request(SUBJECT).replace(b"\r\n", b"\n"))
    add("line ends", "leading empty lines", b"\r\n\r\n" + request(SUBJECT))


def values():
    n = "X-Client-Cert-Subject:"
    add("values", "empty", request(n))
    add("values", "blank", request(n + "   "))
    add("values", "no blank", request(n + WHO))
    add("values", "list", request(f"{n} CN=alice,O=Test, {WHO}"))
    add("values", "3000 bytes", request(n + " CN=" + "r" * 3000))
    add("values", "60000 bytes", request(n + " CN=" + "r" * 60000))
    add("values", "bytes above 127", request(f"{n} CN=r\xc3\xb6ot"))
    add("values", "NUL", request(f"{n} CN=alice\0{WHO}"))
    add("values", "CR", request(f"{n} CN=alice\r{WHO}"))
    add("values", "quoted", request(f'{n} "{WHO}"'))


def lines():
    q = "?" + "x" * 3
    for name, line in {
            "absolute": "GET https://localhost/v1/runs HTTP/1.1",
            "absolute, user": "GET https://root@localhost/v1/runs HTTP/1.1",
            "absolute, no path": "GET https://localhost HTTP/1.1",
            "HTTP/1.0": "GET /v1/runs HTTP/1.0",
            "HTTP/1.2": "GET /v1/runs HTTP/1.2",
            "HTTP/2.0": "GET /v1/runs HTTP/2.0",
            "no version": "GET /v1/runs",
            "lower-case method": "get /v1/runs HTTP/1.1",
            "unknown method": "ROOT /v1/runs HTTP/1.1",
            "HEAD": "HEAD /v1/runs HTTP/1.1",
            "TRACE": "TRACE /v1/runs HTTP/1.1",
            "CONNECT": "CONNECT localhost:443 HTTP/1.1",
            "OPTIONS *": "OPTIONS * HTTP/1.1",
            "fragment": "GET /v1/runs#x HTTP/1.1",
            "query": f"GET /v1/runs{q} HTTP/1.1",
            "tabs": "GET\t/v1/runs\tHTTP/1.1",
            "two blanks": "GET  /v1/runs  HTTP/1.1",
            "percent": "GET /v1/%72uns HTTP/1.1"}.items():
        add("request lines", name, request(SUBJECT, line=line))
    add("request lines", "long", request(SUBJECT, line="GET /" + "x" * 50000 + " HTTP/1.1"))
    for name, target in {
            "encoded CRLF": "/v1/runs%0d%0aX-Client-Cert-Subject:%20CN=root",
            "encoded LF": "/v1/runs%0aX-Client-Cert-Subject:%20CN=root",
            "encoded CRLF in the query": "/v1/runs?a=%0d%0aX-Client-Cert-Subject:%20CN=root",
            "raw LF": "/v1/runs\nX-Client-Cert-Subject: CN=root\nX:",
            "raw CR": "/v1/runs\rX-Client-Cert-Subject: CN=root",
            "blank and version": "/v1/runs HTTP/1.1\r\nX-Client-Cert-Subject: CN=root\r\nX: "}.items():
        add("injected by the target", name, request(line=f"GET {target} HTTP/1.1"))


def smuggled():
    inner = (b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\n" + SUBJECT.encode()
             + b"\r\nConnection: close\r\n\r\n")
    n = len(inner)
    chunk = b"%x\r\n%s\r\n0\r\n\r\n" % (n, inner)
    for name, headers, body in (
            ("CL and TE", [f"Content-Length: {n + 4}", "Transfer-Encoding: chunked"],
             b"0\r\n\r\n" + inner),
            ("TE and CL", ["Transfer-Encoding: chunked", "Content-Length: 4"], chunk),
            ("two lengths", ["Content-Length: 0", f"Content-Length: {n}"], inner),
            ("a list of lengths", [f"Content-Length: 0, {n}"], inner),
            ("signed length", [f"Content-Length: +{n}"], inner),
            ("negative length", ["Content-Length: -1"], inner),
            ("hexadecimal length", [f"Content-Length: 0x{n:x}"], inner),
            ("length with a blank", [f"Content-Length: 0 {n}"], inner),
            ("length overflow", ["Content-Length: 18446744073709551616"], inner),
            ("xchunked", ["Transfer-Encoding: xchunked"], chunk),
            ("chunked, identity", ["Transfer-Encoding: chunked, identity"], chunk),
            ("identity", ["Transfer-Encoding: identity", f"Content-Length: {0}"], inner),
            ("chunked twice", ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"], chunk),
            ("blank before chunked's colon", ["Transfer-Encoding : chunked"], chunk),
            ("folded chunked", ["Transfer-Encoding:", " chunked"], chunk),
            ("vertical tab chunked", ["Transfer-Encoding: \x0bchunked"], chunk),
            ("chunked in HTTP/1.0", ["Transfer-Encoding: chunked"], chunk),
            ("chunk extension", ["Transfer-Encoding: chunked"],
             b"1;a=\r\nx\r\n0\r\n\r\n" + inner),
            ("chunk extension with LF", ["Transfer-Encoding: chunked"],
             b"1;a=\nx\r\n0\r\n\r\n" + inner),
            ("chunk size overflow", ["Transfer-Encoding: chunked"],
             b"10000000000000001\r\nx\r\n0\r\n\r\n" + inner),
            ("chunk with LF", ["Transfer-Encoding: chunked"], b"1\nx\n0\n\n" + inner),
            ("trailer", ["Transfer-Encoding: chunked"],
             b"1\r\nx\r\n0\r\n" + SUBJECT.encode() + b"\r\n\r\n")):
        line = f"POST /v1/runs HTTP/1.{0 if 'HTTP/1.0' in name else 1}"
        add("smuggled", name, request(*headers, line=line, close=False, body=body))
    add("smuggled", "GET with a body", request(f"Content-Length: {n}", close=False, body=inner))
    ok = request(close=False)
    add("pipelined", "good, then bad", ok + request(SUBJECT))
    add("pipelined", "bad, then good", request(SUBJECT, close=False) + request())
    add("pipelined", "bad between good", ok + request(SUBJECT, close=False) + request())


def hosts():
    add("hosts", "two", request(SUBJECT, "Host: localhost"))
    add("hosts", "none", request(SUBJECT, host=None))
    add("hosts", "empty", request(SUBJECT, host="Host:"))
    add("hosts", "of another server", request(SUBJECT, host="Host: elsewhere"))
    add("hosts", "with a header in it", request(host=f"Host: localhost {SUBJECT}"))
    body = b"x" * 10
    add("expectations", "100-continue", request(SUBJECT, "Expect: 100-continue",
                                                "Content-Length: 10",
                                                line="POST /v1/runs HTTP/1.1", body=body))
    add("expectations", "WebSocket", request(
        SUBJECT, "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", close=False,
        line="GET /upgrade HTTP/1.1"))
    add("expectations", "h2c", request(SUBJECT, "Upgrade: h2c", "HTTP2-Settings: AAMAAABk",
                                       "Connection: Upgrade, HTTP2-Settings", close=False))


def reports():
    """A client that would like to make reports of its own, or to reach what is behind."""
    for target in ("/edge/refused", "/edge/refused/", "//edge/refused", "/edge/./refused",
                   "/x/../edge/refused", "/edge%2frefused", "/%65dge/refused", "/edge/refused?x",
                   "/EDGE/refused"):
        add("the report's address", target, request(line=f"GET {target} HTTP/1.1"))


def h2_attacks():
    def g(group, name, *more, path=b"/v1/runs", **kw):
        add(group, name, t.h2_get(path, *more, **kw), h2=True)
    who = WHO.encode()
    for n in (b"x-client-cert-subject", b"x-client-cert-fingerprint", b"x-stargraph-edge-mac"):
        g("h2: our names", n.decode(), (n, who))
    g("h2: our names", "twice", *[(b"x-client-cert-subject", who)] * 2)
    g("h2: our names", "forty others", *[(b"x-a%d" % i, b"1") for i in range(40)],
      (b"x-client-cert-subject", who))
    g("h2: underscores", "x_client_cert_subject", (b"x_client_cert_subject", who))
    g("h2: Envoy's name", "x-forwarded-client-cert",
      (b"x-forwarded-client-cert", b'Subject="%s"' % who))
    g("h2: malformed", "upper case", (b"X-Client-Cert-Subject", who))
    g("h2: malformed", "pseudo-header", (b":x-client-cert-subject", who))
    add("h2: malformed", "pseudo-header first",
        t.frame(1, 5, 1, t.block([(b":x-client-cert-subject", who), *t.BASE,
                                  (b":path", b"/v1/runs")])), h2=True)
    g("h2: malformed", "blank after the name", (b"x-client-cert-subject ", who))
    g("h2: malformed", "colon in the name", (b"x-client-cert-subject:", who))
    g("h2: malformed", "CRLF in a name", (b"x-a: 1\r\nx-client-cert-subject", who))
    g("h2: malformed", "CRLF in a value", (b"x-a", b"1\r\nX-Client-Cert-Subject: " + who))
    g("h2: malformed", "LF in a value", (b"x-a", b"1\nX-Client-Cert-Subject: " + who))
    g("h2: malformed", "NUL in a name", (b"x-client-cert-subject\0", who))
    g("h2: malformed", "empty name", (b"", who))
    g("h2: malformed", "CRLF in the path",
      path=b"/v1/runs HTTP/1.1\r\nX-Client-Cert-Subject: " + who + b"\r\nX: ")
    g("h2: malformed", "LF in the path", path=b"/v1/runs\nX-Client-Cert-Subject: " + who)
    g("h2: malformed", "CRLF in the method", base=[
        (b":method", b"GET / HTTP/1.1\r\nX-Client-Cert-Subject: " + who + b"\r\nX:"),
        *t.BASE[1:]])
    g("h2: malformed", "CRLF in the authority", base=[
        *t.BASE[:2], (b":authority", b"localhost\r\nX-Client-Cert-Subject: " + who)])
    g("h2: malformed", "two paths", (b":path", b"/v1/graphs"), (b"x-client-cert-subject", who))
    g("h2: connection headers", "connection lists ours",
      (b"connection", b"x-client-cert-subject"))
    g("h2: connection headers", "transfer-encoding", (b"transfer-encoding", b"chunked"),
      (b"x-client-cert-subject", who))
    head = t.block([(b":method", b"POST"), *t.BASE[1:], (b":path", b"/v1/runs")])
    trailer = t.block([(b"x-client-cert-subject", who)])
    add("h2: trailers", "ours", t.frame(1, 4, 1, head) + t.frame(0, 0, 1, b"body")
        + t.frame(1, 5, 1, trailer), h2=True)
    whole = t.block([*t.BASE, (b":path", b"/v1/runs"), (b"x-client-cert-subject", who)])
    cut = whole.index(b"cert-")
    add("h2: our names", "split by CONTINUATION", t.frame(1, 1, 1, whole[:cut])
        + t.frame(9, 4, 1, whole[cut:]), h2=True)
    add("h2: smuggled", "body longer than content-length", t.frame(1, 4, 1, t.block(
        [(b":method", b"POST"), *t.BASE[1:], (b":path", b"/v1/runs"),
         (b"content-length", b"1")])) + t.frame(0, 1, 1, b"xGET /smuggled HTTP/1.1\r\nHost: "
        b"localhost\r\n" + SUBJECT.encode() + b"\r\n\r\n"), h2=True)


def handshakes():
    """Nobody, or somebody whom no CA of ours vouches for: no request at all may be seen."""
    for cert in ("none", "foreign CA", "self-signed", "expired", "not yet valid", "server's EKU",
                 "revoked", "other CA of the same name", "unknown intermediate"):
        add("bad certificates", cert, request(), cert=cert)
        add("bad certificates", cert + ", TLS 1.2", request(SUBJECT), cert=cert, version="TLSv1_2")
    add("no TLS", "request", request(SUBJECT), plain=True)
    add("no TLS", "h2 preface", t.PREFACE + t.frame(4, 0, 0) + t.h2_get(
        b"/v1/runs", (b"x-client-cert-subject", WHO.encode())), plain=True)
    add("no TLS", "PROXY protocol", b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n" + request(SUBJECT),
        plain=True)
    add("no TLS", "zeros", bytes(4096), plain=True)
    add("no TLS", "SSLv2 hello", bytes.fromhex("802e0100020015000000100100800200800300"
                                               "800400800500800600400700c0") + bytes(16),
        plain=True)
    add("no TLS", "endless ClientHello", b"\x16\x03\x01\x3f\xff\x01\x00\x3f\xfb\x03\x03"
        + b"A" * 16000, plain=True)
    add("hosts", "another server name by SNI", request(host="Host: localhost"), sni="elsewhere")


for fill in (names, repeats, listed, blanks, values, lines, smuggled, hosts, reports, h2_attacks,
             handshakes):
    fill()
assert len({str(a) for a in ATTACKS}) == len(ATTACKS) >= 150
