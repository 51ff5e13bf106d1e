"""Starts, asks and stops `stargraph serve` for the end-to-end tests.

    with Core(tmp_path, graphs=[...]) as core:            # oss-default: anonymous, loopback TCP
        core.get("/v1/health")
    with Core(tmp_path, profile="cleared", grants=[Grant(subject="CN=a", capabilities=[...])]) as core:
        core.get("/v1/runs", as_=Who("CN=a"))             # over the unix socket, as the edge would

A Core owns one directory (state, socket, stargraph.toml, log) and one process, ended by its pid.
Configuration keys go in as keywords (`limits={"body_bytes": 4096}` for another section).
"""
import http.client
import json
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

from leftovers import own

ROOT = Path(__file__).resolve().parents[3]
ALL_CAPABILITIES = [
    "runs:start", "runs:read", "runs:read:all", "runs:cancel", "runs:pause", "runs:respond",
    "runs:resume", "counterfactual:run", "artifacts:read", "metrics:read", "embeddings:create",
]
SANITIZER_WORDS = ("AddressSanitizer", "LeakSanitizer", "runtime error:", "ThreadSanitizer")


def build_dir():
    return Path(os.environ.get("SG_BUILD", ROOT / "build")).resolve()


def binary():
    return build_dir() / "core" / "stargraph"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def toml(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(toml(v) for v in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k} = {toml(v)}" for k, v in value.items()) + "}"
    return json.dumps(value if isinstance(value, (int, float)) else str(value))


class Grant:
    def __init__(self, capabilities, subject=None, san=None, fingerprint=None):
        self.text = "\n[[serve.cleared.grant]]\n" + "".join(
            f"{k} = {toml(v)}\n" for k, v in (
                ("subject", subject), ("san", san), ("fingerprint", fingerprint),
                ("capabilities", capabilities)) if v is not None)


class Who:
    """The identity headers that an edge sets for a client."""

    def __init__(self, subject, issuer="CN=Test CA", serial="01", fingerprint=None, san=None):
        self.headers = {"X-Client-Cert-Subject": subject, "X-Client-Cert-Issuer": issuer,
                        "X-Client-Cert-Serial": serial}
        if fingerprint:
            self.headers["X-Client-Cert-Fingerprint"] = fingerprint
        if san:
            self.headers["X-Client-Cert-San"] = san


class Response:
    def __init__(self, r, body):
        self.status, self.headers, self.body = r.status, r.headers, body
        self.type = r.headers.get("content-type", "")

    @property
    def text(self):
        return self.body.decode()

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"<{self.status} {self.type} {self.body[:400]!r}>"


class _Unix(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("core", timeout=timeout)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Core:
    def __init__(self, directory, profile="oss-default", graphs=(), grants=(), env=None, uid=None,
                 tcp=True, unix=None, prefix=(), limits=None, model=None, log=None, stores=(),
                 triggers=(), keep=None,
                 **keys):
        self.dir = Path(directory)
        self.dir.mkdir(parents=True, exist_ok=True)
        self.profile, self.uid, self.prefix = profile, uid, list(prefix)
        self.env = dict(env or {})
        self.grants, self.log_keys, self.stores = list(grants), dict(log or {}), list(stores)
        self.triggers = list(triggers)
        self.limits, self.model, self.keep = dict(limits or {}), dict(model or {}), dict(keep or {})
        self.port = free_port() if tcp else 0
        self.socket = self.dir / "core.sock"
        unix = profile == "cleared" if unix is None else unix
        self.keys = {
            "state_dir": self.dir / "state", "port": self.port,
            "socket_path": self.socket if unix else "", "graphs": [str(g) for g in graphs],
        }
        if profile == "cleared":
            self.keys["edge_users"] = [str(os.getuid())]
        self.keys.update(keys)
        self.port = self.keys["port"]
        self.process = None
        self.stderr_path = self.dir / "stderr.log"
        Path(self.keys["state_dir"]).mkdir(mode=0o700, exist_ok=True)
        self.write_config()
        if uid is not None:
            for p in (self.dir, Path(self.keys["state_dir"]), self.config):
                os.chown(p, uid, uid)

    @property
    def config(self):
        return self.dir / "stargraph.toml"

    @property
    def state_dir(self):
        return Path(self.keys["state_dir"])

    @property
    def audit_path(self):
        return Path(self.keys.get("audit_path") or self.state_dir / "stargraph.audit.jsonl")

    def write_config(self):
        text = f'[serve]\nprofile = "{self.profile}"\n\n[serve.{self.profile}]\n'
        text += "".join(f"{k} = {toml(v)}\n" for k, v in self.keys.items())
        text += "".join(g.text for g in self.grants)
        for name, section in (("limits", self.limits), ("model", self.model),
                              ("keep", self.keep), ("log", self.log_keys)):
            if section:
                text += f"\n[{name}]\n" + "".join(
                    f"{k} = {toml(v)}\n" for k, v in section.items())
        for store in self.stores:
            text += "\n[[store]]\n" + "".join(f"{k} = {toml(v)}\n" for k, v in store.items())
        for trigger in self.triggers:
            text += "\n[[trigger]]\n" + "".join(f"{k} = {toml(v)}\n" for k, v in trigger.items())
        new = self.dir / "stargraph.toml.new"
        new.write_text(text)
        new.chmod(0o600)
        if self.uid is not None:
            os.chown(new, self.uid, self.uid)
        new.rename(self.config)

    def command(self, verb="serve", *args):
        run_as = [] if self.uid is None else [
            "setpriv", f"--reuid={self.uid}", f"--regid={self.uid}", "--clear-groups"]
        return self.prefix + run_as + [
            str(binary()), verb, "--config", str(self.config), *map(str, args)]

    def environment(self):
        env = {"PATH": os.environ["PATH"], "TZ": "UTC", "LANG": "C.UTF-8"}
        for k in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS"):
            if k in os.environ:
                env[k] = os.environ[k]
        return {**env, **self.env}

    def start(self, *args, timeout=30):
        """Returns once the doors are open; fails with what the process said."""
        with open(self.stderr_path, "ab") as err:
            self.process = own(subprocess.Popen(
                self.command("serve", *args), stdin=subprocess.DEVNULL, stdout=err, stderr=err,
                env=self.environment()))
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise AssertionError(
                    f"serve exited with {self.process.returncode}: {self.stderr}")
            if self.ready():
                return self
            time.sleep(0.005)
        self.kill()
        raise AssertionError(f"serve is not ready after {timeout} s: {self.stderr}")

    def refused(self, *args, timeout=30):
        """Runs a start that must be refused: (exit code, standard error)."""
        r = subprocess.run(self.command("serve", *args), stdin=subprocess.DEVNULL,
                           capture_output=True, env=self.environment(), timeout=timeout)
        return r.returncode, r.stderr.decode()

    def ready(self):
        try:
            family = socket.AF_UNIX if self.keys["socket_path"] else socket.AF_INET
            with socket.socket(family) as s:
                s.settimeout(1)
                s.connect(str(self.socket) if family == socket.AF_UNIX
                          else ("127.0.0.1", self.port))
            if self.port and family == socket.AF_UNIX:
                with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                    pass
            return True
        except OSError:
            return False

    @property
    def stderr(self):
        return self.stderr_path.read_text(errors="replace") if self.stderr_path.exists() else ""

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        """As a power cut would, short of the disk."""
        if self.process and self.process.poll() is None:
            self.process.kill()
        return self.process.wait() if self.process else None

    def stop(self, timeout=30):
        """SIGTERM; returns the exit code."""
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.terminate()
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGABRT)
            self.process.wait()
            raise AssertionError(f"serve did not stop in {timeout} s: {self.stderr}") from None
        found = [w for w in SANITIZER_WORDS if w in self.stderr]
        if found:
            raise AssertionError(self.stderr)
        return code

    def restart(self):
        self.kill()
        return self.start()

    def __enter__(self):
        return self.start() if self.process is None else self

    def __exit__(self, kind, *_):
        if self.process is None or self.process.returncode is not None:
            return
        code = self.stop()
        if kind is None and code != 0:
            raise AssertionError(f"serve exited with {code}: {self.stderr}")

    def connection(self, over=None, timeout=30):
        """over: "unix" or "tcp"; by default the unix socket where there is one."""
        if over is None:
            over = "unix" if self.keys["socket_path"] else "tcp"
        if over == "unix":
            return _Unix(self.keys["socket_path"], timeout)
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)

    def request(self, method, path, body=None, headers=None, as_=None, over=None, timeout=30,
                connection=None):
        """body: None, bytes, or anything for JSON. as_: a Who, whose headers are sent."""
        h = dict(as_.headers) if as_ else {}
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        if body is not None:
            h["Content-Type"] = "application/json"
        h.update(headers or {})
        c = connection or self.connection(over, timeout)
        try:
            c.request(method, path, body, h)
            r = c.getresponse()
            return Response(r, r.read())
        finally:
            if connection is None:
                c.close()

    def get(self, path, **kw):
        return self.request("GET", path, **kw)

    def post(self, path, body=None, **kw):
        return self.request("POST", path, {} if body is None else body, **kw)

    def run(self, graph_id, params=None, wait=20, **kw):
        """Starts a run and waits for it to settle: the run's JSON."""
        headers = {**kw.pop("headers", {}), "Prefer": f"wait={wait}"}
        r = self.post("/v1/runs", {"graph_id": graph_id, "params": params or {}},
                      headers=headers, **kw)
        assert r.status == 200, r
        return r.json()

    def raw(self, data, over=None, timeout=5):
        """Bytes out, bytes back until the end or the timeout."""
        if over is None:
            over = "unix" if self.keys["socket_path"] else "tcp"
        s = socket.socket(socket.AF_UNIX if over == "unix" else socket.AF_INET)
        with s:
            s.settimeout(timeout)
            s.connect(str(self.keys["socket_path"]) if over == "unix"
                      else ("127.0.0.1", self.port))
            s.sendall(data)
            out = b""
            try:
                while chunk := s.recv(65536):
                    out += chunk
            except (TimeoutError, ConnectionResetError):
                pass
            return out

    def audit(self):
        """The audit lines so far, parsed; one that is still being written is not yet there."""
        with open(self.audit_path) as f:
            return [json.loads(line) for line in f if line.endswith("\n")]
