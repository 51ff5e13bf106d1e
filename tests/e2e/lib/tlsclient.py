"""A TLS client that sends what it is told, malformed or not, and reports what happened.

send(port, b"GET …", cert=("c.crt", "c.key"), ca="ca.crt") -> Reply(status, headers, body, raw,
alert). alert is OpenSSL's name of the fatal alert the server sent, such as "unknown ca".
"""
import re
import socket
import ssl
from dataclasses import dataclass, field


@dataclass
class Reply:
    raw: bytes = b""
    alert: str = ""
    status: int = 0
    headers: dict = field(default_factory=dict)
    body: bytes = b""
    reused: bool = False


def context(ca, cert=None, alpn=("http/1.1",), version=None):
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    c.load_verify_locations(ca)
    if cert:
        c.load_cert_chain(*cert)
    if alpn:
        c.set_alpn_protocols(list(alpn))
    if version:
        c.minimum_version = c.maximum_version = version
    return c


def alert_of(e):
    text = getattr(e, "reason", None) or str(e)
    m = re.search(r"ALERT_(\w+)|alert ([a-z ]+)", text)
    return (m.group(1) or m.group(2)).lower().replace("_", " ").strip() if m else ""


def parse(raw):
    """The last response in raw that is not 1xx (other than 101)."""
    r = Reply(raw=raw)
    rest = raw
    while rest.startswith(b"HTTP/1."):
        head, _, body = rest.partition(b"\r\n\r\n")
        r.status = int(head.split(b" ", 2)[1].split(b"\r")[0])
        r.headers = {}
        for line in head.split(b"\r\n")[1:]:
            k, _, v = line.partition(b":")
            r.headers[k.strip().lower().decode()] = v.strip().decode("latin-1")
        r.body = body
        if not (100 <= r.status < 200 and r.status != 101):
            break
        rest = body
    return r


def dechunk(body):
    out = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        n = int(size.split(b";")[0] or b"0", 16)
        if n == 0:
            break
        out, body = out + body[:n], body[n + 2:]
    return out


def complete(raw):
    """Is there one whole response with a Content-Length in raw?"""
    head, sep, body = raw.partition(b"\r\n\r\n")
    if not sep:
        return False
    m = re.search(rb"(?i)\ncontent-length: *(\d+)", head)
    if m:
        return len(body) >= int(m.group(1))
    if re.search(rb"(?i)\ntransfer-encoding: *chunked", head):
        return body.endswith(b"0\r\n\r\n")
    return False


class Connection:
    """One TLS connection; connect errors are kept as .alert."""

    def __init__(self, port, ca, cert=None, sni="localhost", timeout=10, session=None, ctx=None,
                 **kw):
        self.alert = ""
        self.ctx = ctx or context(ca, cert, **kw)
        if sni is None:
            self.ctx.check_hostname = False
        self.sock = None
        raw = socket.create_connection(("127.0.0.1", port), timeout)
        try:
            self.sock = self.ctx.wrap_socket(raw, server_hostname=sni, session=session)
        except (ssl.SSLError, OSError) as e:
            self.alert = alert_of(e) or type(e).__name__
            raw.close()

    def close(self):
        if self.sock:
            self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def request(self, data, one=True, timeout=10):
        """Sends data; reads one response (one=True) or to the end."""
        if not self.sock:
            return Reply(alert=self.alert)
        raw, alert = b"", ""
        self.sock.settimeout(timeout)
        try:
            if data:
                self.sock.sendall(data)
        except (ssl.SSLError, OSError) as e:
            alert = alert_of(e)
        try:
            while not (one and complete(raw)):
                got = self.sock.recv(65536)
                if not got:
                    break
                raw += got
        except (ssl.SSLError, OSError) as e:
            alert = alert_of(e) or alert or type(e).__name__
        r = parse(raw)
        r.alert, r.reused = alert, bool(self.sock.session_reused)
        if "chunked" in r.headers.get("transfer-encoding", ""):
            r.body = dechunk(r.body)
        return r

    def get(self, path="/v1/health", headers=(), method="GET", **kw):
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost", *headers]
        return self.request(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"), **kw)


def send(port, data, ca, cert=None, **kw):
    with Connection(port, ca, cert, **kw) as c:
        return c.request(data, one=False)


def get(port, path="/v1/health", ca=None, cert=None, headers=(), method="GET", **kw):
    with Connection(port, ca, cert, **kw) as c:
        return c.get(path, headers, method)


# HTTP/2, frame by frame: the header blocks may hold what no library would send.

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind, flags, stream, payload=b""):
    return (len(payload).to_bytes(3, "big") + bytes([kind, flags])
            + stream.to_bytes(4, "big") + payload)


def literal(name, value):
    """A header field that is never indexed and never Huffman-coded (RFC 7541, 6.2.3)."""
    def string(s):
        n = len(s)
        if n < 127:
            return bytes([n]) + s
        out, n = [127], n - 127
        while n >= 128:
            out.append(n % 128 + 128)
            n //= 128
        return bytes([*out, n]) + s
    return b"\x10" + string(name) + string(value)


def block(headers):
    return b"".join(literal(n, v) for n, v in headers)


BASE = [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"localhost")]


def h2_get(path, *more, base=None):
    """The frames of one GET with these further headers."""
    return frame(1, 5, 1, block([*(base or BASE), (b":path", path), *more]))


def h2(port, frames, ca, cert=None, timeout=5, **kw):
    """Sends the frames after the preface; reads until stream 1 ends one way or another."""
    import hpack
    with Connection(port, ca, cert, alpn=("h2",), timeout=timeout, **kw) as c:
        if not c.sock:
            return Reply(alert=c.alert)
        r, decoder, buf = Reply(), hpack.Decoder(), b""
        try:
            c.sock.sendall(PREFACE + frame(4, 0, 0) + frames)
            while True:
                got = c.sock.recv(65536)
                if not got:
                    break
                buf += got
                while len(buf) >= 9 and len(buf) >= 9 + int.from_bytes(buf[:3], "big"):
                    n, kind, flags = int.from_bytes(buf[:3], "big"), buf[3], buf[4]
                    payload, buf = buf[9:9 + n], buf[9 + n:]
                    if kind == 1:
                        r.headers.update(decoder.decode(payload))
                        r.status = int(r.headers.get(":status", 0))
                    elif kind == 0:
                        r.body += payload
                    elif kind == 3:
                        r.alert = f"reset {int.from_bytes(payload, 'big')}"
                        return r
                    elif kind == 7:
                        r.alert = f"goaway {int.from_bytes(payload[4:8], 'big')}"
                        return r
                    elif kind == 4 and not flags & 1:
                        c.sock.sendall(frame(4, 1, 0))
                    if kind in (0, 1) and flags & 1:
                        return r
        except (ssl.SSLError, OSError) as e:
            r.alert = alert_of(e) or type(e).__name__
        return r
