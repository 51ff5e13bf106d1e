#!/usr/bin/env python3
"""The doors against each other: same backend (the core's /v1/health), one worker each, P-256.

    SG_BUILD=build tests/bench/edge/run.py [--rounds 5] [--seconds 2] [--out FILE]

What counts is the CPU time that a door's own process spends on a request: the inverse of what its
one worker can do when nothing else is the bottleneck, and the same on a busy machine as on an idle
one, where requests per second are not. Doors take turns within each round; a bar is the median over
the rounds. The proxy has one CPU, the client and the core the other; the direct door is the core
itself on the proxy's CPU, so its CPU time includes the core's work. Logs are off everywhere.
"""
import argparse
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1] / "e2e/lib"), str(HERE.parents[1] / "e2e/edge")]

import conftest  # noqa: E402
import doors  # noqa: E402
import yaml  # noqa: E402
from core import Core, Grant  # noqa: E402
from coredoor import CORE_UID  # noqa: E402
from envoy import Envoy  # noqa: E402
from nginx import EDGE_UID  # noqa: E402

BARS = {  # (a, b, mode): a at least this many times b
    ("module", "nginx", "keepalive"): 0.95,
    ("module", "envoy", "keepalive"): 2.5,
    ("module", "direct", "keepalive"): 0.85,
    ("module", "nginx", "handshake"): 0.98,
}


def build(out):
    subprocess.run(["cc", "-O2", "-D_GNU_SOURCE", str(HERE / "load.c"), "-o", out,
                    "-lssl", "-lcrypto"], check=True)


def module_conf(d, pki, core, crl=None):
    """deploy/nginx/stargraph.conf without logs and with limits out of the way."""
    n = doors.module(d, pki, core, change={
        "rate=50r/s": "rate=1000000r/s", "limit_conn              stargraph_conn 64":
        "limit_conn              stargraph_conn 60000", "burst=100": "burst=100000"})
    text = re.sub(r"access_log .*;", "access_log off;", n.conf.read_text())
    n.conf.write_text(text.replace(pki.ca.crl, crl) if crl else text)
    return n


def without_module(d, pki, core):
    """The very same file, our directives replaced by the guide's line and nginx's own."""
    n = module_conf(d, pki, core)
    t = n.conf.read_text()
    t = re.sub(r"load_module .*;", "", t)
    t = re.sub(r"stargraph_(client_auth|report|crl) .*;", "", t)
    t = t.replace("$stargraph_issuer$stargraph_subject$stargraph_san", "$ssl_client_s_dn")
    t = re.sub(r"log_format stargraph.*?;\n", "", t, flags=re.S)
    t = t.replace("ssl_verify_client       on;", f"ssl_verify_client on; ssl_crl {pki.ca.crl};\n"
                  "proxy_set_header X-Client-Cert-Subject $ssl_client_s_dn;")
    n.conf.write_text(t)
    return n


def quiet_envoy(d, pki, core):
    e = Envoy(d, pki, core)
    doc = yaml.safe_load(e.conf.read_text())
    listener = doc["static_resources"]["listeners"][0]
    del listener["access_log"]
    del listener["filter_chains"][0]["filters"][0]["typed_config"]["access_log"]
    e.conf.write_text(yaml.safe_dump(doc))
    return e


def core_at(d, pki, direct):
    keys = {"profile": "cleared", "uid": CORE_UID, "edge_users": [str(EDGE_UID)],
            "grants": [Grant(["runs:read"], subject="CN=alice,O=Test")]}
    if direct:
        key = d / "key"
        key.write_bytes(Path(pki.server.key).read_bytes())
        key.chmod(0o600)
        os.chown(key, CORE_UID, CORE_UID)
        keys.update(unix=False, tls_cert=pki.server.cert, tls_key=str(key),
                    tls_ca_cert=pki.ca.cert, tls_crl=pki.ca.crl, host="127.0.0.1")
    else:
        keys["socket_mode"] = "0666"
    return Core(d / "core", prefix=["taskset", "-c", "0" if direct else "1"], **keys)


def pin(process, cpu):
    for pid in [process.pid, *map(int, subprocess.run(
            ["pgrep", "-P", str(process.pid)], capture_output=True, text=True).stdout.split())]:
        subprocess.run(["taskset", "-apc", str(cpu), str(pid)], capture_output=True, check=True)


def cpu_us(process):
    """CPU time of a process and its children so far, from the scheduler (nanoseconds there)."""
    total, pids = 0, [process.pid, *map(int, subprocess.run(
        ["pgrep", "-P", str(process.pid)], capture_output=True, text=True).stdout.split())]
    for pid in pids:
        for f in Path(f"/proc/{pid}/task").glob("*/schedstat"):
            total += int(f.read_text().split()[0])
    return total / 1000


class Bench:
    def __init__(self, d, args):
        self.args, self.pki, self.load = args, conftest.Pki(d / "pki"), str(d / "load")
        (d / "pki").chmod(0o755)
        build(self.load)
        self.core = core_at(self._dir(d / "c"), self.pki, False).start()
        self.core.dir.chmod(0o755)
        self.direct = core_at(self._dir(d / "t"), self.pki, True).start()
        up = f"unix:{self.core.socket}"
        self.big = str(d / "big.crl")
        self.pki.ca.write_crl(self.big, extra_serials=range(10**12, 10**12 + 200_000, 2))
        self.proxies = {
            "module": module_conf(d / "m", self.pki, up),
            "nginx": without_module(d / "n", self.pki, up),
            "module, 100,000 revoked": module_conf(d / "b", self.pki, up, self.big),
            "envoy": quiet_envoy(d / "e", self.pki, up),
        }
        for p in self.proxies.values():
            p.start()
            pin(p.proc, 0)
        self.processes = {**{k: p.proc for k, p in self.proxies.items()},
                          "direct": self.direct.process}
        self.ports = {**{k: p.port for k, p in self.proxies.items()}, "direct": self.direct.port}
        self.results = {}

    @staticmethod
    def _dir(p):
        p.mkdir()
        p.chmod(0o755)
        return p

    def one(self, door, mode, connections):
        a = self.pki.alice
        before = cpu_us(self.processes[door])
        r = subprocess.run(["taskset", "-c", "1", self.load, str(self.ports[door]),
                            self.pki.ca.cert, a.cert, a.key, mode, str(connections),
                            str(self.args.seconds), "/v1/health"],
                           capture_output=True, text=True, check=True)
        r = json.loads(r.stdout)
        assert r["errors"] == 0 and r["requests"] > 0, (door, mode, r)
        r["cpu_us"] = (cpu_us(self.processes[door]) - before) / r["requests"]
        if mode == "resume" and door not in ("envoy",):
            assert r["resumed"] >= r["requests"] - 2 * connections, (door, r)
        self.results.setdefault((mode, door), []).append(r)

    def run(self):
        for mode, connections in (("keepalive", 32), ("handshake", 16), ("resume", 16)):
            for door in self.ports:
                self.one(door, mode, connections)
            for k in self.results:  # the first round only warms up
                if k[0] == mode:
                    self.results[k].clear()
            for i in range(self.args.rounds):
                for door in list(self.ports)[::1 if i % 2 else -1]:
                    self.one(door, mode, connections)

    def crl_load_ms(self):
        """The CPU time that 100,000 entries add to nginx -t: read, parse, verify, sort."""
        def t(p):
            times = []
            for _ in range(7):
                start = resource.getrusage(resource.RUSAGE_CHILDREN)
                assert p.test()[0] == 0
                end = resource.getrusage(resource.RUSAGE_CHILDREN)
                times.append(end.ru_utime + end.ru_stime - start.ru_utime - start.ru_stime)
            return min(times) * 1000
        return t(self.proxies["module, 100,000 revoked"]) - t(self.proxies["module"])

    def stop(self):
        for p in self.proxies.values():
            p.stop()
        self.core.stop()
        self.direct.stop()


def ratio(results, a, b, mode):
    return statistics.median(y["cpu_us"] / x["cpu_us"] for x, y in
                             zip(results[mode, a], results[mode, b]))


def report(b):
    lines = ["| mode | door | CPU µs a request | requests/s | p50 µs | p99 µs |",
             "|---|---|---|---|---|---|"]
    for (mode, door), rs in b.results.items():
        med = {k: statistics.median(r[k] for r in rs) for k in ("cpu_us", "per_second", "p50_us", "p99_us")}
        lines.append(f"| {mode} | {door} | {med['cpu_us']:.1f} | {med['per_second']:,.0f} | {med['p50_us']:.0f} | "
                     f"{med['p99_us']:.0f} |")
    lines += ["", "| bar | wanted | measured | |", "|---|---|---|---|"]
    failed = 0

    def bar(name, wanted, got, ok):
        nonlocal failed
        failed += not ok
        lines.append(f"| {name} | {wanted} | {got} | {'ok' if ok else 'MISSED'} |")

    for (x, y, mode), want in BARS.items():
        r = ratio(b.results, x, y, mode)
        bar(f"{x} / {y}, {mode}", f"≥ {want}", f"{r:.3f}", r >= want)
    per = [[r["cpu_us"] for r in b.results["keepalive", k]]
           for k in ("module, 100,000 revoked", "module")]
    cost = statistics.median(x - y for x, y in zip(*per))
    noise = statistics.stdev(per[1])
    bar("100,000 revoked, µs a request", "≤ 1", f"{cost:+.2f} (noise {noise:.2f})",
        cost <= 1 + noise)
    ms = b.crl_load_ms()
    bar("100,000 revoked, ms to load", "≤ 200", f"{ms:.0f}", ms <= 200)
    return "\n".join(lines) + "\n", failed


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--seconds", type=float, default=2)
    p.add_argument("--out")
    args = p.parse_args()
    with tempfile.TemporaryDirectory(prefix="sg-bench-") as d:
        os.chmod(d, 0o755)
        b = Bench(Path(d), args)
        try:
            b.run()
            text, failed = report(b)
        finally:
            b.stop()
    print(text)
    if args.out:
        Path(args.out).write_text(text)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
