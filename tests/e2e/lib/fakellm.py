"""A language model for the tests: an OpenAI-compatible chat endpoint on a free loopback port, or on a
unix socket, that answers what the test says, or misbehaves as it says.

    with FakeLLM() as llm:                  # answers whatever fits the schema that it is given
        ... f"--lm-url={llm.url}" ...
        llm.requests[0]["messages"]

`answer` may be a text, a dict (its JSON), or a function of the request; what it returns is a text, a
dict, an `Http(status, body)`, or a function of the socket that writes raw bytes itself.
"""
import json
import os
import socket
import threading


class Http:
    def __init__(self, status, body="", headers=()):
        self.status, self.body, self.headers = status, body, headers


def fitting(schema):
    """The least value that fits a JSON Schema of the subset."""
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema.get("type", "object")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object":
        return {k: fitting(v) for k, v in schema.get("properties", {}).items()}
    return {"string": "a text", "integer": 3, "number": 0.5, "boolean": True, "null": None,
            "array": [fitting(schema["items"])] if "items" in schema else []}[kind]


def obliging(request):
    form = request.get("response_format", {})
    if form.get("type") == "json_schema":
        return fitting(form["json_schema"]["schema"])
    return "answer to: " + request["messages"][-1]["content"]


def completion(text, model, finish="stop"):
    return {"id": "c-1", "object": "chat.completion", "created": 1, "model": model,
            "choices": [{"index": 0, "finish_reason": finish,
                         "message": {"role": "assistant", "content": text}}],
            "usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}}


class FakeLLM:
    def __init__(self, answer=obliging, unix=None, model="test-model", host="127.0.0.1"):
        self.answer, self.unix, self.model = answer, unix and str(unix), model
        self.requests, self.headers, self.paths = [], [], []
        self.at_once = self.most_at_once = 0
        self.lock = threading.Lock()
        self.sock = socket.socket(socket.AF_UNIX if unix else socket.AF_INET6 if ":" in host
                                  else socket.AF_INET)
        self.sock.bind(self.unix if unix else (host, 0))
        self.sock.listen(64)
        self.host, self.threads, self.open = host, [], []

    @property
    def port(self):
        return self.sock.getsockname()[1]

    @property
    def url(self):
        if self.unix:
            return "unix:" + self.unix
        return f"http://{'[%s]' % self.host if ':' in self.host else self.host}:{self.port}/v1"

    @property
    def declared(self):
        """The [[llm]] table."""
        return {"name": "local", "url": self.url, "model": self.model}

    def __enter__(self):
        self.stopping = False
        self.thread = threading.Thread(target=self.accept, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopping = True
        self.sock.shutdown(socket.SHUT_RDWR)
        self.thread.join(10)
        self.sock.close()
        for s in self.open:
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        for t in self.threads:
            t.join(10)
        if self.unix:
            os.unlink(self.unix)

    def accept(self):
        while True:
            try:
                s, _ = self.sock.accept()
            except OSError:
                return
            self.open.append(s)
            t = threading.Thread(target=self.serve, args=(s,), daemon=True)
            self.threads.append(t)
            t.start()

    def serve(self, s):
        with s:
            try:
                head, body = self.read(s)
                self.reply(s, head, body)
            except OSError:
                pass

    def read(self, s):
        data = b""
        while b"\r\n\r\n" not in data:
            more = s.recv(65536)
            if not more:
                raise OSError("closed")
            data += more
        head, body = data.split(b"\r\n\r\n", 1)
        lines = head.decode().split("\r\n")
        headers = {k.lower(): v.strip() for k, v in (x.split(":", 1) for x in lines[1:])}
        while len(body) < int(headers.get("content-length", 0)):
            body += s.recv(65536)
        with self.lock:
            self.paths.append(lines[0])
            self.headers.append(headers)
        return lines[0], body

    def reply(self, s, head, body):
        if head.startswith("GET"):
            self.send(s, Http(200, json.dumps({"data": [{"id": self.model}]})))
            return
        request = json.loads(body)
        with self.lock:
            self.requests.append(request)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            a = self.answer(request) if callable(self.answer) else self.answer
            if callable(a):
                a(s)
                return
            if not isinstance(a, Http):
                text = a if isinstance(a, str) else json.dumps(a)
                a = Http(200, json.dumps(completion(text, request["model"])))
        finally:
            with self.lock:
                self.at_once -= 1
        self.send(s, a)  # counted no more: who has his answer may ask again at once

    def send(self, s, a):
        body = a.body if isinstance(a.body, bytes) else a.body.encode()
        more = "".join(f"{k}: {v}\r\n" for k, v in a.headers)
        s.sendall(f"HTTP/1.1 {a.status} X\r\nContent-Type: application/json\r\n{more}"
                  f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
