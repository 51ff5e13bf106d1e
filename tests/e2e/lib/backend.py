"""A stand-in for the core behind an edge: it answers with what it was sent, byte for byte.

Listens on a unix socket and on loopback TCP, remembers every request. Paths with a meaning:
/edge/refused answers 400 problem+json; /stream sends a line now and then for ever; /upgrade
switches protocols and echoes; /slow?s=N answers after N seconds; /sized?n=N answers N bytes.
"""
import json
import os
import socket
import threading
import time


class Request:
    def __init__(self, head, body, peer):
        lines = head.split(b"\r\n")
        self.method, self.target, self.version = lines[0].decode("latin-1").split(" ", 2)
        self.headers = [tuple(p.decode("latin-1") for p in line.split(b":", 1))
                        for line in lines[1:] if line]
        self.headers = [(k, v.strip()) for k, v in self.headers]
        self.body, self.peer, self.head = body, peer, head

    def all(self, header):
        return [v for k, v in self.headers if k.lower() == header.lower()]

    def get(self, header, default=None):
        got = self.all(header)
        return got[0] if got else default


class Backend:
    def __init__(self, directory):
        self.seen, self.lock = [], threading.Lock()
        self.path = f"{directory}/core.sock"
        self.unix = socket.socket(socket.AF_UNIX)
        self.unix.bind(self.path)
        os.chmod(self.path, 0o666)
        self.tcp = socket.socket()
        self.tcp.bind(("127.0.0.1", 0))
        self.port = self.tcp.getsockname()[1]
        for s in (self.unix, self.tcp):
            s.listen(256)
            threading.Thread(target=self._accept, args=(s,), daemon=True).start()

    def close(self):
        for s in (self.unix, self.tcp):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            s.close()

    def clear(self):
        with self.lock:
            self.seen.clear()

    def requests(self):
        with self.lock:
            return list(self.seen)

    def _accept(self, listener):
        while True:
            try:
                s, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(s,), daemon=True).start()

    def _serve(self, s):
        with s:
            buf = b""
            while True:
                while b"\r\n\r\n" not in buf:
                    try:
                        got = s.recv(65536)
                    except OSError:
                        return
                    if not got:
                        return
                    buf += got
                head, buf = buf.split(b"\r\n\r\n", 1)
                r = Request(head, b"", s)
                try:
                    r.body, buf = self._body(s, r, buf)
                except (OSError, ValueError):
                    return
                with self.lock:
                    self.seen.append(r)
                try:
                    if not self._answer(s, r):
                        return
                except OSError:
                    return

    @staticmethod
    def _body(s, r, buf):
        if "chunked" in (r.get("transfer-encoding") or ""):
            while b"0\r\n\r\n" not in buf:
                got = s.recv(65536)
                if not got:
                    raise ValueError("body cut short")
                buf += got
            body, buf = buf.split(b"0\r\n\r\n", 1)
            return body, buf
        n = int(r.get("content-length") or 0)
        while len(buf) < n:
            got = s.recv(65536)
            if not got:
                raise ValueError("body cut short")
            buf += got
        return buf[:n], buf[n:]

    def _answer(self, s, r):
        path, _, query = r.target.partition("?")
        args = dict(p.partition("=")[::2] for p in query.split("&") if p)
        if path == "/stream":
            s.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                      b"Transfer-Encoding: chunked\r\n\r\n")
            while True:
                s.sendall(b"8\r\ndata: x\n\r\n")
                time.sleep(0.1)
        if path == "/upgrade":
            s.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                      b"Connection: upgrade\r\n\r\n")
            while True:
                got = s.recv(4096)
                if not got:
                    return False
                s.sendall(got)
        if path == "/slow":
            time.sleep(float(args.get("s", "1")))
        status, ctype = "200 OK", "application/json"
        if path == "/edge/refused":
            status, ctype = "400 Bad Request", "application/problem+json"
        if path == "/sized":
            body = b"x" * int(args["n"])
        else:
            body = json.dumps({"method": r.method, "target": r.target,
                               "headers": r.headers, "body": len(r.body)}).encode()
        s.sendall(f"HTTP/1.1 {status}\r\nContent-Type: {ctype}\r\n"
                  f"Content-Length: {len(body)}\r\n\r\n".encode())
        if r.method != "HEAD":
            s.sendall(body)
        return (r.get("connection") or "").lower() != "close"
