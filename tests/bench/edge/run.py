#!/usr/bin/env python3
"""The doors against each other: same backend (the core), one worker each, P-256.

    SG_BUILD=build tests/bench/edge/run.py [--rounds 8] [--seconds 0.5] [--out FILE]

Exit 1 when a bar is missed. Doors take turns within each of many short rounds; a bar is the median of
the rounds' ratios, the table shows the best round of each (what else runs on the machine only adds). The proxy has one CPU, the client and
the core the other; the direct door is the core itself on the proxy's CPU. Logs are off everywhere.

Between proxies what counts is the CPU time that the worker spends on a request, the inverse of what
it can do when nothing else is the bottleneck: on two CPUs, one of which the client shares, requests
a second tell the client's limit instead. Against the direct door, which does the core's work too,
requests a second count. "keepalive" is GET /v1/health, the cheapest request there is; "runs" is GET
/v1/runs: identity, grant, answer and audit record.
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

BARS = {  # (a, b, mode, by): a at least this many times b
    ("module", "nginx", "keepalive", "cpu_us"): 0.95,
    ("module", "nginx", "runs", "cpu_us"): 0.95,
    ("module", "envoy", "keepalive", "cpu_us"): 2.5,
    ("module", "direct", "keepalive", "per_second"): 0.85,
    ("module", "direct", "runs", "per_second"): 0.85,
    ("module", "nginx", "handshake", "cpu_us"): 0.98,
}
# mode: how the load client calls it, connections, path
MODES = {
    "keepalive": ("keepalive", 32, "/v1/health"),
    "runs": ("keepalive", 32, "/v1/runs"),
    "handshake": ("handshake", 16, "/v1/health"),
    "resume": ("resume", 16, "/v1/health"),
}


NGINX = Path("/usr/share/nginx/src/src")


def build(out, source="load.c", *more):
    subprocess.run(["cc", "-O2", "-D_GNU_SOURCE", *more, str(HERE / source), "-o", str(out),
                    "-lssl", "-lcrypto"], check=True)


def crl_check(d, pki, crl):
    """The module's own check, called a million times: see crl_check.c."""
    tree = Path(os.environ.get("SG_MODULE_BUILD", os.environ.get("SG_BUILD", "build")))
    build(d / "crl_check", "crl_check.c", "-Wno-unused-parameter",
          *(f"-I{p}" for p in (tree.resolve() / "nginx-module", HERE.parents[2] / "nginx-module",
                               *(NGINX / s for s in ("core", "event", "os/unix", "http",
                                                     "http/modules", "http/v2")))))
    out = subprocess.run([str(d / "crl_check"), pki.ca.cert, crl, pki.alice.cert],
                         capture_output=True, text=True, check=True).stdout
    return json.loads(out)


def module_conf(d, pki, core, crl=None):
    """deploy/nginx/stargraph.conf without logs and with limits out of the way."""
    n = doors.module(d, pki, core, change={
        "rate=50r/s": "rate=1000000r/s", "limit_conn              stargraph_conn 64":
        "limit_conn              stargraph_conn 60000", "burst=100": "burst=100000",
        "stargraph_connections   64": "stargraph_connections 60000",
        "server_name stargraph.local;": "server_name stargraph.local; keepalive_requests 100000000;"})
    text = re.sub(r"access_log .*;", "access_log off;", n.conf.read_text())
    n.conf.write_text(text.replace(pki.ca.crl, crl) if crl else text)
    return n


def without_module(d, pki, core):
    """The very same file, our directives replaced by the guide's line and nginx's own."""
    n = module_conf(d, pki, core)
    t = n.conf.read_text()
    t = re.sub(r"load_module .*;", "", t)
    t = re.sub(r"stargraph_(client_auth|report|crl|connections) .*;", "", t)
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
        self.dir = d
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
            pin(p.start().proc, 0)
        self.processes = {**{k: p.proc for k, p in self.proxies.items()},
                          "direct": self.direct.process}
        self.ports = {**{k: p.port for k, p in self.proxies.items()}, "direct": self.direct.port}
        self.results = {}

    @staticmethod
    def _dir(p):
        p.mkdir()
        p.chmod(0o755)
        return p

    def one(self, door, mode):
        a, (how, connections, path) = self.pki.alice, MODES[mode]
        client = subprocess.Popen(
            ["taskset", "-c", "1", self.load, str(self.ports[door]), self.pki.ca.cert, a.cert,
             a.key, how, str(connections), str(self.args.seconds), path],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if how == "keepalive":
            assert client.stdout.readline() == "ready\n", (door, mode)
        before = cpu_us(self.processes[door])
        out, _ = client.communicate("go\n" if how == "keepalive" else None, timeout=60)
        r = json.loads(out)
        assert r["errors"] == 0 and r["requests"] > 0, (door, mode, r)
        r["cpu_us"] = (cpu_us(self.processes[door]) - before) / r["requests"]
        if mode == "resume" and door not in ("envoy",):
            assert r["resumed"] >= r["requests"] - 2 * connections, (door, r)
        self.results.setdefault((mode, door), []).append(r)

    def run(self):
        for mode in self.args.modes:
            for door in self.ports:
                self.one(door, mode)
                self.results[mode, door].clear()  # the first round only warms up
            for i in range(self.args.rounds):
                for door in list(self.ports)[::1 if i % 2 else -1]:
                    self.one(door, mode)

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


def best(results, mode, door, by):
    return (max if by == "per_second" else min)(r[by] for r in results[mode, door])


def ratio(results, a, b, mode, by):
    """The median of the rounds' ratios: the two stood next to each other in each round."""
    pairs = [(x[by], y[by]) for x, y in zip(results[mode, a], results[mode, b])]
    return statistics.median(x / y if by == "per_second" else y / x for x, y in pairs)


def report(b):
    lines = ["| mode | door | CPU µs a request | requests/s | p50 µs | p99 µs |",
             "|---|---|---|---|---|---|"]
    for mode, door in b.results:
        cpu, rate, p50, p99 = (best(b.results, mode, door, k)
                               for k in ("cpu_us", "per_second", "p50_us", "p99_us"))
        lines.append(f"| {mode} | {door} | {cpu:.1f} | {rate:,.0f} | {p50:.0f} | {p99:.0f} |")
    lines += ["", "| bar | wanted | measured | |", "|---|---|---|---|"]
    failed = 0

    def bar(name, wanted, got, ok):
        nonlocal failed
        failed += not ok
        lines.append(f"| {name} | {wanted} | {got} | {'ok' if ok else 'MISSED'} |")

    for (x, y, mode, by), want in BARS.items():
        if mode not in b.args.modes:
            continue
        r = ratio(b.results, x, y, mode, by)
        unit = "requests/s" if by == "per_second" else "CPU"
        bar(f"{x} / {y}, {mode}, by {unit}", f"≥ {want}", f"{r:.3f}", r >= want)
    check = crl_check(b.dir, b.pki, b.big)
    for what, name in (("cached_ns", "a request"), ("searched_ns", "the first after a new list")):
        us = check[what] / 1000
        bar(f"100,000 revoked, µs, {name}", "≤ 1", f"{us:.4f}", us <= 1)
    ms = b.crl_load_ms()
    bar("100,000 revoked, ms to load", "≤ 200", f"{ms:.0f}", ms <= 200)
    return "\n".join(lines) + "\n", failed


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--rounds", type=int, default=8)
    p.add_argument("--seconds", type=float, default=0.5)
    p.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES))
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
