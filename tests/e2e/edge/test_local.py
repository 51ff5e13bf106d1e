"""Processes on the same host that are not the edge: under another uid, at the socket and the port.

The attacker runs as a bare uid (setpriv), so these need root, as the quickstart does.
"""
import os
import subprocess
import sys

import pytest
from coredoor import CORE_UID, Door
from nginx import EDGE_UID, OTHER_UID, as_uid

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs several uids")

CLIENT = r"""
import socket, sys, time
kind, where, data, early = sys.argv[1], sys.argv[2], sys.argv[3].encode().decode("unicode_escape"), sys.argv[4]
s = socket.socket(socket.AF_UNIX if kind == "unix" else socket.AF_INET)
try:
    s.connect(where if kind == "unix" else ("127.0.0.1", int(where)))
except OSError as e:
    print("no connection:", type(e).__name__)
    raise SystemExit
s.settimeout(3)
s.sendall(data.encode("latin-1"))
if early == "shut":
    s.shutdown(socket.SHUT_WR)
if early == "close":
    raise SystemExit
out = b""
try:
    while chunk := s.recv(65536):
        out += chunk
except OSError:
    pass
print(out.decode("latin-1"))
"""


def ask(core, kind, uid, headers, path="/v1/runs", early="", method="GET"):
    where = core.socket if kind == "unix" else core.port
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n"
    r = subprocess.run([*as_uid(uid), sys.executable, "-I", "-c", CLIENT, kind, str(where),
                        head.encode("unicode_escape").decode(), early],
                       capture_output=True, text=True, timeout=30)
    return r.stdout + r.stderr


ALICE = "X-Client-Cert-Subject: CN=alice,O=Test\r\n"


@pytest.fixture(scope="module")
def core(pki, tmp_module):
    with Door("plain", tmp_module, pki) as d:
        yield d.core


def test_the_edge_itself_may(core):
    for kind in ("unix", "tcp"):
        assert " 200 OK" in ask(core, kind, EDGE_UID, ALICE)


ATTEMPTS = {
    "the plain claim": ALICE,
    "everything": ALICE + "X-Client-Cert-Issuer: CN=Test CA,O=Test\r\nX-Client-Cert-Serial: 01\r\n"
                          "X-Client-Cert-Fingerprint: " + "ab" * 32 + "\r\n",
    "a SAN alone": "X-Client-Cert-San: URI:spiffe://test/alice\r\n",
    "Envoy's header": 'X-Forwarded-Client-Cert: Subject="CN=alice,O=Test"\r\n',
    "a MAC": ALICE + "X-Stargraph-Edge-Mac: v1 t=1 n=" + "0" * 32 + " mac=" + "0" * 64 + "\r\n",
    "a report": ALICE + "X-Stargraph-Edge-Refused: x\r\n",
    "nothing": "",
}


@pytest.mark.parametrize("attempt", ATTEMPTS)
@pytest.mark.parametrize("uid", [OTHER_UID, CORE_UID, 65534, 0])
@pytest.mark.parametrize("kind", ["unix", "tcp"])
def test_nobody_else_is_anybody(core, kind, uid, attempt):
    n = len(core.audit())
    for path, method in (("/v1/runs", "GET"), ("/v1/runs", "POST"), ("/v1/graphs", "GET"),
                         ("/edge/refused", "GET"), ("/metrics", "GET")):
        said = ask(core, kind, uid, ATTEMPTS[attempt], path, method=method)
        status = said[9:12] if said.startswith("HTTP/1.1 ") else "closed"
        assert status in ("400", "401", "403", "closed"), (path, said)
    assert {r["actor"] for r in core.audit()[n:]} <= {"nobody"}


@pytest.mark.parametrize("early", ["shut", "close"])
def test_a_peer_that_is_gone_is_nobody(core, early):
    n = len(core.audit())
    for _ in range(20):
        ask(core, "tcp", OTHER_UID, ALICE, early=early)
    assert {r["actor"] for r in core.audit()[n:]} <= {"nobody"}


@pytest.mark.parametrize("uid", [OTHER_UID, EDGE_UID, 65534])
def test_the_probe_is_open_to_all_and_nothing_else(core, uid):
    said = ask(core, "tcp", uid, "", "/v1/health")
    assert " 200 OK" in said and said.endswith('{"status":"ok"}\n')
    for path in ("/v1/health/", "/v1/healthx", "/v1/health/../runs", "/v1/health%2f..%2fruns",
                 "//v1/health", "/v1/runs", "/openapi.json", "/metrics"):
        said = ask(core, "tcp", uid, "", path)
        assert " 200 OK" not in said, (path, said)


def test_a_squatter_cannot_take_the_socket(core):
    """The socket's directory belongs to the core's user: another uid cannot replace it."""
    r = subprocess.run([*as_uid(OTHER_UID), sys.executable, "-I", "-c",
                        f"import os; os.unlink({str(core.socket)!r})"], capture_output=True)
    assert r.returncode != 0 and b"PermissionError" in r.stderr
