"""A real nginx with our module, unprivileged, in a directory of its own.

    with Nginx(tmp, servers="server { listen {port} ssl; … }") as n: n.port …

{port}, {port2} become free ports, {dir} the directory. Root runs it under EDGE_UID, so that the
core sees an edge that is neither root nor anybody else.
"""
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

from leftovers import own

TOP = Path(__file__).resolve().parents[3]
BUILD = Path(os.environ.get("SG_BUILD", TOP / "build")).resolve()
# A sanitized module cannot be loaded into Debian's nginx: beside a sanitized core stands another build's.
MODULE = Path(os.environ.get("SG_MODULE_BUILD", BUILD)).resolve() / "nginx-module" / "ngx_http_stargraph_module.so"
EDGE_UID = int(os.environ.get("SG_EDGE_UID", "61007"))
OTHER_UID = EDGE_UID + 1

MAIN = """
{load}
worker_processes {workers};
daemon off;
pid {dir}/nginx.pid;
lock_file {dir}/nginx.lock;
error_log {dir}/error.log {loglevel};
{main}
events {{ worker_connections 1024; }}
http {{
    client_body_temp_path {dir}/body;
    proxy_temp_path {dir}/proxy;
    fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi;
    scgi_temp_path {dir}/scgi;
    access_log {dir}/access.log;
    {http}
}}
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def as_uid(uid):
    """The command prefix that drops root to a bare uid, or nothing when we are not root."""
    if os.geteuid() != 0:
        return []
    return ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]


def give(path, uid=EDGE_UID):
    if os.geteuid() == 0:
        os.chown(path, uid, uid)


class Nginx:
    def __init__(self, directory, http, module=True, workers=1, main="", loglevel="info",
                 env=None, wrap=(), uid=EDGE_UID):
        self.dir = Path(directory)
        self.dir.mkdir(parents=True, exist_ok=True)
        self.dir.chmod(0o755)
        give(self.dir, uid)
        self.port, self.port2 = free_port(), free_port()
        self.module, self.workers, self.main, self.loglevel = module, workers, main, loglevel
        self.env, self.wrap, self.uid, self.proc = env, list(wrap), uid, None
        self.write(http)

    def write(self, http):
        http = http.replace("{port2}", str(self.port2)).replace("{port}", str(self.port))
        http = http.replace("{dir}", str(self.dir))
        self.conf = self.dir / "nginx.conf"
        self.conf.write_text(MAIN.format(
            load=f"load_module {MODULE};" if self.module else "", workers=self.workers,
            dir=self.dir, main=self.main, loglevel=self.loglevel, http=http))

    def command(self, *args):
        return [*as_uid(self.uid), *self.wrap, "/usr/sbin/nginx", "-e",
                str(self.dir / "error.log"), "-p", str(self.dir), "-c", str(self.conf), *args]

    def test(self):
        """nginx -t: (exit code, what it said)."""
        r = subprocess.run([*as_uid(self.uid), "/usr/sbin/nginx", "-t", "-e", "stderr", "-p",
                            str(self.dir), "-c", str(self.conf)],
                           capture_output=True, text=True, timeout=60)
        return r.returncode, r.stderr

    def start(self, timeout=30):
        env = dict(os.environ, **(self.env or {}))
        self.out = open(self.dir / "stderr.log", "wb")
        self.proc = own(subprocess.Popen(self.command(), env=env, stdout=self.out,
                                         stderr=self.out))
        end = time.time() + timeout
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return self
            except OSError:
                if self.proc.poll() is not None or time.time() > end:
                    self.stop()
                    raise AssertionError(
                        "nginx did not start:\n" + (self.dir / "stderr.log").read_text()
                        + self.log()) from None
                time.sleep(0.02)

    def log(self):
        p = self.dir / "error.log"
        return p.read_text(errors="replace") if p.exists() else ""

    def reload(self, settle=0):
        """With settle, waits that long at most for the old workers to be gone: for a while both
        old and new ones accept."""
        old = set(self.workers_now())
        self.proc.send_signal(signal.SIGHUP)
        end = time.time() + settle
        while settle and (old & set(self.workers_now()) or not self.workers_now()):
            assert time.time() < end, "the old workers stay"
            time.sleep(0.02)

    def workers_now(self):
        r = subprocess.run(["pgrep", "-P", str(self.proc.pid)], capture_output=True, text=True)
        return [int(p) for p in r.stdout.split()]

    def stop(self, sig=signal.SIGTERM, timeout=30):
        if self.proc and self.proc.poll() is None:
            self.proc.send_signal(sig)
            try:
                self.proc.wait(timeout)
            except subprocess.TimeoutExpired:
                self.proc.kill()
                self.proc.wait()
        if self.proc:
            self.out.close()
        return self.proc.returncode if self.proc else None

    __enter__ = start

    def __exit__(self, kind, *_):
        self.stop()
        if kind is None:
            bad = [x for x in self.log().split("\n") if "exited on signal" in x
                   or "left in connection" in x or "AddressSanitizer" in x]
            assert not bad, bad
