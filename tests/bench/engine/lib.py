"""What the sections of tests/bench/engine/run share: the table, load, the disk's own rates, peers."""
import json
import os
import random
import re
import shutil
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "e2e" / "lib"))
from core import ROOT, Core, build_dir, free_port  # noqa: E402

__all__ = ["ROOT", "Core", "Table", "Raw", "Nginx", "Original", "bench_engine", "build_dir", "cpu_us", "fill",
           "graphs", "langgraph", "rss_anon_kb", "script", "text", "wrk"]
RECORD = b"x" * 1024  # about one audit line and its checkpoint
BATCH = 1000          # clients while a store is filled: large commits, little waiting for the disk
graphs = [HERE / "document.yaml", ROOT / "tests/e2e/http/graphs/five.yaml"]


class Table:
    """Prints a row as it is known; counts the bars that were missed."""

    def __init__(self):
        self.missed = []

    def head(self, name):
        print(f"-- {name} (load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs)",
              flush=True)

    def row(self, what, value, most=None, least=None):
        bar, ok = "", ""
        if most is not None or least is not None:
            good = value <= most if least is None else value >= least
            bar = f"<= {most:g}" if least is None else f">= {least:g}"
            ok = "ok" if good else "MISSED"
            if not good:
                self.missed.append(f"{what}: {value:.3g}, bar {bar}")
        print(f"{what:66} {value:11.2f}  {bar:9} {ok}", flush=True)

    def end(self):
        for line in self.missed:
            print("missed:", line)
        return 1 if self.missed else 0


class Raw:
    """The same disk without us, in slices between the measurements: microseconds a write of one
    kilobyte with its fdatasync, at the end of a growing file and over blocks that are there."""

    def __init__(self, directory):
        self.directory = Path(directory)
        self.append, self.overwrite = [], []

    def slice(self, seconds=0.4):
        path = self.directory / "raw"
        fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            written = self._loop(fd, seconds, self.append, lambda n: n)
            self._loop(fd, seconds, self.overwrite, lambda n: n % written)
        finally:
            os.close(fd)
            path.unlink()

    @staticmethod
    def _loop(fd, seconds, into, place):
        n, begin = 0, time.monotonic()
        while time.monotonic() - begin < seconds:
            os.pwrite(fd, RECORD, place(n) * len(RECORD))
            os.fdatasync(fd)
            n += 1
        into.append((time.monotonic() - begin) * 1e6 / n)
        return n

    @property
    def append_us(self):
        return statistics.mean(self.append)

    def rows(self, table):
        table.row("raw append+fdatasync of 1 KB, us", self.append_us)
        table.row("raw overwrite+fdatasync of 1 KB, us", statistics.mean(self.overwrite))


def wrk(url, seconds, connections, lua=None):
    """Requests a second, and the 50th and 99th percentile of the latency in ms."""
    args = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency"]
    out = subprocess.run(args + (["-s", str(lua)] if lua else []) + [url], check=True,
                         capture_output=True, text=True).stdout
    units = {"us": 1e-3, "ms": 1.0, "s": 1e3}

    def ms(percent):
        m = re.search(rf"{percent}%\s+([\d.]+)(us|ms|s)\b", out)
        return float(m[1]) * units[m[2]]

    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
    if bad:
        sys.exit(f"{url}: {bad[1]} answers were not 2xx")
    return float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1]), ms(50), ms(99)


def text(size):
    """Words that do not repeat: LZ4 finds as little in them as in real text."""
    r = random.Random(1)
    out = ""
    while len(out) < size:
        out += "".join(r.choice("etaoinshrdlucmfwyp") for _ in range(r.randint(2, 9))) + " "
    return out[:size]


def script(directory, graph, **more):
    """A wrk script: POST /v1/runs, wait for its end. The six fields that rules see, and more."""
    params = {"message": "a message", "kind": "a", "score": 0.9, "count": 1, "flag": True,
              "note": "as it came in", **more}
    body = json.dumps({"graph_id": graph, "params": params}).replace("'", "\\'")
    path = Path(directory) / f"{graph.split(':')[1]}-{len(body)}.lua"
    path.write_text(
        'wrk.method = "POST"\nwrk.headers["Content-Type"] = "application/json"\n'
        f"wrk.headers[\"Prefer\"] = \"wait=60\"\nwrk.body = '{body}'\n")
    return path


def cpu_us(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) * 1e6 / os.sysconf("SC_CLK_TCK")


def rss_anon_kb(pid):
    return int(re.search(r"RssAnon:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1])


def bench_engine(state, clients, runs, size=400):
    """The engine without HTTP (bench_engine.c), its one line of JSON."""
    program = build_dir() / "tests" / "bench" / "engine" / "bench-engine"
    out = subprocess.run([program, state, str(clients), str(runs), str(size)], check=True,
                         capture_output=True, text=True).stdout
    return json.loads(out)


def fill(state, runs):
    """A state directory with at least so many runs of five steps, written by the engine itself,
    synced like any other. Kept for the next call."""
    state = Path(state)
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    mark = state / "runs"
    have = int(mark.read_text()) if mark.exists() else 0
    if have < runs:
        begin = time.monotonic()
        bench_engine(state, BATCH, runs - have)
        mark.write_text(str(runs))
        print(f"   {runs - have} runs stored in {time.monotonic() - begin:.0f} s", flush=True)
    return state


class Nginx:
    """One worker that answers `return 200` with our body."""

    def __init__(self, directory):
        self.port = free_port()
        d = Path(directory)
        temps = "".join(f"{t}_temp_path {d}/{t};\n" for t in (
            "client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        (d / "nginx.conf").write_text(f"""
daemon off; master_process off; pid {d}/nginx.pid; lock_file {d}/lock; error_log stderr;
events {{ worker_connections 1024; }}
http {{ access_log off; keepalive_requests 100000000; default_type application/json;
{temps} server {{ listen 127.0.0.1:{self.port};
location / {{ return 200 '{{"status":"ok"}}'; }} }} }}
""")
        self.process = subprocess.Popen(
            ["/usr/sbin/nginx", "-e", "stderr", "-c", str(d / "nginx.conf")],
            stderr=subprocess.DEVNULL)
        time.sleep(0.5)

    def stop(self):
        self.process.terminate()
        self.process.wait()


class Original:
    """The Python original, serving; SG_ORIGINAL names its `stargraph` command."""

    def __init__(self, directory):
        command = os.environ.get("SG_ORIGINAL", "/work/venv-orig/bin/stargraph")
        if not shutil.which(command):
            sys.exit("the original is not here: pip install stargraph==0.8.0 (Python 3.13) and "
                     "name its command in SG_ORIGINAL")
        self.port = free_port()
        self.process = subprocess.Popen(
            [command, "serve", "--port", str(self.port), "--graph", str(HERE / "original.yaml"),
             "--db", f"{directory}/original.db"], stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, cwd=directory)
        end = time.monotonic() + 60
        while True:
            try:
                self.connect()
                self.ask("/health")
                return
            except OSError:
                if time.monotonic() > end or self.process.poll() is not None:
                    self.stop()
                    sys.exit("the original did not start")
                time.sleep(0.1)

    def connect(self):
        """Anew for each measurement: it closes what is idle for five seconds."""
        self.socket = socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def more(self):
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionError("the original closed the connection")
        return data

    def ask(self, path, body=None):
        """One exchange over a connection that is kept."""
        data = json.dumps(body).encode() if body else b""
        head = (f"{'POST' if body else 'GET'} {path} HTTP/1.1\r\nHost: o\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n")
        self.socket.sendall(head.encode() + data)
        got = b""
        while b"\r\n\r\n" not in got:
            got += self.more()
        head, body = got.split(b"\r\n\r\n", 1)
        length = int(re.search(rb"content-length: (\d+)", head.lower())[1])
        while len(body) < length:
            body += self.more()
        return json.loads(body)

    def closed_loop_ms(self, runs):
        """It has no way to wait: one client posts, then asks until the run is done. Some runs it
        never tells the end of (404 although they are done): given up after a second, not counted.
        """
        times = []
        self.connect()
        for _ in range(runs):
            begin = time.monotonic()
            run = self.ask("/v1/runs", {"graph_id": "run:peer", "params": {"message": "m"}})
            while time.monotonic() - begin < 1:
                if self.ask(f"/v1/runs/{run['run_id']}").get("status") in ("done", "failed"):
                    times.append((time.monotonic() - begin) * 1000)
                    break
        return statistics.median(times)

    def stop(self):
        self.process.terminate()
        self.process.wait()


def langgraph(directory, runs):
    """(runs a second, median ms) of LangGraph, one client; SG_LANGGRAPH_PYTHON has it installed."""
    python = os.environ.get("SG_LANGGRAPH_PYTHON", ROOT / "build" / "venv-langgraph/bin/python")
    if not Path(python).exists():
        sys.exit("LangGraph is not here: python3 -m venv build/venv-langgraph, then its pip "
                 "install -r tests/bench/engine/requirements.txt")
    out = subprocess.run([python, HERE / "peer_langgraph.py", str(directory), str(runs)],
                         check=True, capture_output=True, text=True).stdout.split()
    return float(out[0]), float(out[1])
