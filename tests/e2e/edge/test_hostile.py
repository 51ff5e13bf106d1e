"""The module under valgrind, under an ASan build, and under a rain of malformed TLS and HTTP.

SG_LONG=1 makes the rain last ten minutes, as issue 7 asks; otherwise ten seconds. The ASan build of
the module is used where SG_BUILD_ASAN (default build-asan) has one.
"""
import os
import random
import socket
import subprocess
import time
from pathlib import Path

import pytest
import tlsclient as t
from corpus import ATTACKS
from judge import send
from nginx import TOP, Nginx
from sites import module_site
from tlsclient import get

ASAN = Path(os.environ.get("SG_BUILD_ASAN", TOP / "build-asan")).resolve()
ASAN_MODULE = ASAN / "nginx-module/ngx_http_stargraph_module.so"


def site(pki, backend):
    """Report, CRL and session cache on: every part of the module is reached."""
    return module_site(pki, f"unix:{backend.path}", extra=f"""
        stargraph_crl {pki.ca.crl};
        ssl_session_cache shared:s:1m;
        error_page 400 414 497 /broken;""", locations="""
        location = /broken { proxy_pass http://core; }
        large_client_header_buffers 4 4k;""")


def exercise(n, pki, backend, timeout):
    """One attack of each group, resumption, a revocation and a reload."""
    groups = {a.group: a for a in ATTACKS}
    for a in [*groups.values(), *ATTACKS[:8]]:
        send(n.port, a, pki)
    ctx = t.context(pki.ca.cert, pki.alice.pair)
    with t.Connection(n.port, pki.ca.cert, ctx=ctx, timeout=timeout) as c:
        assert c.get(timeout=timeout).status == 200
        session = c.sock.session
    with t.Connection(n.port, pki.ca.cert, ctx=ctx, session=session, timeout=timeout) as c:
        assert c.get(timeout=timeout).reused
    pki.ca.write_crl()
    time.sleep(2)
    n.reload(settle=timeout)
    assert get(n.port, "/", pki.ca.cert, pki.alice.pair, timeout=timeout).status == 200


def test_valgrind_is_silent(pki, backend, tmp):
    log = tmp / "valgrind"
    log.mkdir()
    log.chmod(0o777)
    n = Nginx(tmp / "n", site(pki, backend), wrap=[
        "valgrind", "--trace-children=yes", f"--log-file={log}/%p", "--error-exitcode=9",
        "--leak-check=full", "--show-leak-kinds=definite", "--errors-for-leak-kinds=definite"])
    n.start(timeout=90)
    try:
        exercise(n, pki, backend, 60)
    finally:
        n.stop(timeout=90)
    # nginx's own faults are nginx's; ours have our name in the trace.
    for f in log.iterdir():
        text = f.read_text()
        assert "stargraph" not in "\n".join(
            line for line in text.splitlines() if " at 0x" in line or " by 0x" in line), text


@pytest.mark.skipif(not ASAN_MODULE.exists(), reason="no ASan build of the module")
def test_asan_build_is_silent(pki, backend, tmp):
    lib = subprocess.run(["gcc", "-print-file-name=libasan.so"], capture_output=True,
                         text=True).stdout.strip()
    n = Nginx(tmp / "n", site(pki, backend), env={
        "LD_PRELOAD": lib, "UBSAN_OPTIONS": "print_stacktrace=1",
        "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1"})
    n.conf.write_text(n.conf.read_text().replace(
        n.conf.read_text().split("load_module ")[1].split(";")[0], str(ASAN_MODULE)))
    with n:
        for a in ATTACKS:  # judged in test_corpus.py
            send(n.port, a, pki)
        exercise(n, pki, backend, 20)
    said = n.log() + (n.dir / "stderr.log").read_text(errors="replace")
    assert "Sanitizer" not in said and "runtime error" not in said, said[-3000:]


def hello(pki):
    """The bytes of an honest ClientHello."""
    import ssl
    inc, out = ssl.MemoryBIO(), ssl.MemoryBIO()
    o = t.context(pki.ca.cert, pki.alice.pair).wrap_bio(inc, out, server_hostname="localhost")
    try:
        o.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return out.read()


def mangle(rng, data):
    data = bytearray(data)
    for _ in range(rng.randint(1, 8)):
        i = rng.randrange(len(data))
        what = rng.randrange(4)
        if what == 0:
            data[i] = rng.randrange(256)
        elif what == 1:
            del data[i:i + rng.randint(1, 40)]
            data = data or bytearray(b"\0")
        elif what == 2:
            data[i:i] = rng.randbytes(rng.randint(1, 40))
        else:
            data[i:i] = data[i:i + rng.randint(1, 60)]
    return bytes(data)


def test_rain(pki, backend, tmp):
    seed = int(os.environ.get("SG_SEED", "20260"))
    rng, first = random.Random(seed), hello(pki)
    heads = [a.data for a in ATTACKS if not a.h2 and not a.plain and len(a.data) < 5000]
    frames = [a.data for a in ATTACKS if a.h2]
    backend.clear()
    with Nginx(tmp, site(pki, backend)) as n:
        end, count = time.time() + (600 if os.environ.get("SG_LONG") else 10), 0
        while time.time() < end:
            kind = rng.randrange(3)
            if kind == 0:
                with socket.create_connection(("127.0.0.1", n.port), 2) as s:
                    s.settimeout(0.05)
                    try:
                        s.sendall(mangle(rng, first))
                        s.recv(1000)
                    except OSError:
                        pass
            elif kind == 1:
                with t.Connection(n.port, pki.ca.cert, pki.alice.pair) as c:
                    c.request(mangle(rng, rng.choice(heads)), timeout=0.1)
            else:
                t.h2(n.port, mangle(rng, rng.choice(frames)), pki.ca.cert, pki.alice.pair,
                     timeout=0.1)
            count += 1
            if count % 50 == 0:
                for q in backend.requests():
                    assert q.all("X-Client-Cert-Subject") in (["CN=alice,O=Test"], []), q.head
                    assert q.all("X-Client-Cert-Fingerprint") in ([pki.alice.fingerprint], [])
                backend.clear()
        assert get(n.port, "/", pki.ca.cert, pki.alice.pair).status == 200
        assert count > 20, f"seed {seed}"


def test_limits_are_per_subject(pki, backend, tmp):
    """The shipped site: one client's flood is refused, another client does not notice."""
    import doors
    n = doors.module(tmp, pki, f"unix:{backend.path}", change={
        "rate=50r/s": "rate=5r/s", "burst=100": "burst=10",
        "stargraph_conn 64": "stargraph_conn 2"})
    with n:
        with t.Connection(n.port, pki.ca.cert, pki.alice.pair) as c:
            got = [c.get().status for _ in range(30)]
        assert got.count(200) >= 11 and got.count(429) >= 10 and set(got) == {200, 429}
        assert get(n.port, "/", pki.ca.cert, pki.bob.pair).status == 200
        time.sleep(2.5)
        held = [t.Connection(n.port, pki.ca.cert, pki.alice.pair) for _ in range(3)]
        for c in held[:2]:
            c.sock.sendall(b"GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert c.sock.recv(100).startswith(b"HTTP/1.1 200")
        assert held[2].get().status == 429
        assert get(n.port, "/", pki.ca.cert, pki.bob.pair).status == 200
        for c in held:
            c.close()
