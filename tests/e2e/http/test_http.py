"""The HTTP surface against a real core: runs, who may see them, streams, strictness, the end."""
import base64
import json
import os
import signal
import socket
import struct
import subprocess
import threading
import time

import pytest
from conftest import ALICE, BOB, grants
from core import Core, Grant, Who, binary

alice, bob = Who(ALICE, fingerprint="a1" * 32), Who(BOB)
FIVE = {"kind": "a", "score": 0.9, "count": 1}


def wait_for(condition, what, timeout=10):
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.01)
    pytest.fail(what)


def status_of(core, run_id, **kw):
    return core.get(f"/v1/runs/{run_id}", **kw).json()["status"]


def test_health_is_exact_and_open(cleared):
    for over in ("unix", "tcp"):
        r = cleared.get("/v1/health", over=over)
        assert (r.status, r.body) == (200, b'{"status":"ok"}')
    assert cleared.get("/health", as_=alice).json()["status"] == "ok"


def test_nothing_but_health_is_told_without_an_identity(cleared):
    """Neither to the edge that names nobody, nor to a local process that is not the edge."""
    for path in ("/health", "/v1/healthz", "/v1/health/", "/v1/runs", "/v1/graphs", "/metrics"):
        assert cleared.get(path, over="unix").status in (401, 403), path
        assert cleared.get(path, over="tcp").status in (401, 403), path


def test_a_state_directory_is_made_or_refused(tmp_path, graphs):
    core = Core(tmp_path / "core", graphs=[graphs])
    core.state_dir.rmdir()
    with core:
        assert core.state_dir.stat().st_mode & 0o777 == 0o700
    code, said = core.refused("--state-dir", tmp_path / "nowhere" / "state")
    assert code == 2 and "cannot make the state directory" in said


def test_a_run_from_start_to_end(oss):
    r = oss.post("/v1/runs", {"graph_id": "run:done", "params": {"message": "hi"}})
    assert r.status == 202 and set(r.json()) == {"run_id", "status"}
    run_id = r.json()["run_id"]
    wait_for(lambda: status_of(oss, run_id) == "done", "the run does not end")
    run = oss.get(f"/v1/runs/{run_id}").json()
    assert run["path"] == ["say", "end"] and run["state"]["message"] == "hi"
    assert run["actor"] == "anonymous" and run["trigger_source"] == "manual"
    assert len(run["graph_hash"]) == 64 and run["finished_at"].endswith("Z")
    page = oss.get("/v1/runs").json()
    assert [i["run_id"] for i in page["items"]] == [run_id] and page["total"] == 1
    assert any(g["graph_id"] == "run:done" for g in oss.get("/v1/graphs").json())


def test_rules_route_over_http(oss):
    run = oss.run("run:five", FIVE)
    assert (run["status"], run["path"]) == ("done", ["n1", "n2", "n3", "n4", "n5"])
    run = oss.run("run:five", {**FIVE, "kind": "k0"})
    assert run["reason"] == "no0" and run["path"] == ["n1"]


@pytest.mark.parametrize("body,status", [
    ({"graph_id": "run:nope"}, 404), ({"graph_id": "run:done", "params": {"nope": 1}}, 422),
    ({"graph_id": "run:done", "params": {"message": 7}}, 422), ({}, 422), ([], 422), (b"{", 422),
    (b'{"graph_id":"run:done","graph_id":"run:done"}', 422), (b"\xff", 422), (b"", 422),
    (b"[" * 100000, 422), ({"graph_id": "run:done", "x": 1}, 422)])
def test_bad_starts(oss, body, status):
    r = oss.post("/v1/runs", body)
    assert r.status == status and r.type == "application/problem+json"
    assert {"type", "title", "status", "detail"} <= set(r.json())


def test_questions_are_answered_by_who_may(cleared):
    run = cleared.run("run:ask", {"message": "x"}, as_=alice)
    assert run["status"] == "awaiting-input" and run["waiting"]["prompt"] == "Go on?"
    path = f"/v1/runs/{run['run_id']}/respond"
    answer = {"response": {"decision": "yes"}}
    r = cleared.post(path, answer, as_=alice)
    assert r.status == 403
    assert r.json()["detail"] == "capability 'runs:respond' not granted under cleared profile"
    assert cleared.audit()[-1]["type"] == "denied" and cleared.audit()[-1]["actor"] == ALICE
    assert [i["run_id"] for i in cleared.get("/v1/runs", as_=bob).json()["items"]] == [
        run["run_id"]]
    r = cleared.post(path, answer, as_=bob, headers={"Prefer": "wait=10"})
    assert r.status == 200 and r.json()["path"][-1] == "went"
    assert cleared.post(path, answer, as_=bob).status == 404  # no question, not bob's run
    assert cleared.get(f"/v1/runs/{run['run_id']}", as_=alice).json()["status"] == "done"


def test_a_waiting_run_blocks_nobody(oss):
    waiting = [oss.run("run:ask")["run_id"] for _ in range(5)]
    assert oss.run("run:ask")["status"] == "awaiting-input"
    for r in waiting:
        done = oss.post(f"/v1/runs/{r}/respond", {"response": {"decision": "no"}},
                        headers={"Prefer": "wait=10"})
        assert done.json()["path"][-1] == "stopped"
    r = oss.post(f"/v1/runs/{waiting[0]}/respond", {"response": {}})
    assert r.status == 409 and "awaiting-input" in r.json()["detail"]


def test_what_one_may_not_see_does_not_exist(cleared):
    run_id = cleared.run("run:done", {"message": "secret"}, as_=alice)["run_id"]
    for method, verb in (("GET", ""), ("GET", "/stream"), ("POST", "/respond")):
        body = {"response": {}} if method == "POST" else None
        r = cleared.request(method, f"/v1/runs/{run_id}{verb}", body, as_=bob)
        assert r.status == 404 and "secret" not in r.text
    assert cleared.get("/v1/runs", as_=bob).json()["total"] == 0
    assert cleared.get("/v1/runs", as_=Who("CN=carol,O=Test")).status == 403
    assert cleared.get("/v1/runs").status == 401
    assert cleared.get("/v1/runs", over="tcp").status == 403


def test_cancel_pause_resume(oss):
    start = oss.post("/v1/runs", {"graph_id": "run:long"}).json()["run_id"]
    r = oss.post(f"/v1/runs/{start}/pause")
    assert r.status == 200 and r.json()["status"] == "paused", r
    steps = r.json()["steps"]
    assert oss.post(f"/v1/runs/{start}/pause").status == 409
    time.sleep(0.2)
    assert oss.get(f"/v1/runs/{start}").json()["steps"] == steps
    r = oss.post(f"/v1/runs/{start}/resume")
    assert r.status == 202
    r = oss.post(f"/v1/runs/{start}/cancel", {})
    assert r.status == 200 and r.json()["status"] == "cancelled"
    for verb in ("cancel", "pause", "resume"):
        assert oss.post(f"/v1/runs/{start}/{verb}").status == 409
        assert oss.post(f"/v1/runs/run-0/{verb}").status == 404


def test_idempotency(oss):
    body = {"graph_id": "run:done", "params": {"message": "once"}}
    ids = set()

    def go():
        r = oss.post("/v1/runs", body, headers={"Idempotency-Key": "k"})
        assert r.status in (202, 409), r
        if r.status == 202:
            ids.add(r.json()["run_id"])

    threads = [threading.Thread(target=go) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    go()
    assert len(ids) == 1 and oss.get("/v1/runs").json()["total"] == 1
    r = oss.post("/v1/runs", {"graph_id": "run:done"}, headers={"Idempotency-Key": "k"})
    assert r.status == 422
    oss.restart()
    go()
    assert len(ids) == 1


def sse(core, path, as_=None, headers=None, until=None):
    """Events as (id, type, data) until the stream ends or until(event)."""
    c = core.connection(timeout=15)
    h = {**(as_.headers if as_ else {}), **(headers or {})}
    c.request("GET", path, headers=h)
    r = c.getresponse()
    assert r.status == 200, r.read()
    assert r.headers["content-type"] == "text/event-stream"
    out, event = [], {}
    for line in r:
        line = line.decode().rstrip("\n")
        if line.startswith(":"):
            continue
        if line:
            k, _, v = line.partition(": ")
            event[k] = v
        elif event:
            out.append((event["id"], event["event"], json.loads(event["data"])))
            event = {}
            if until and until(out[-1]):
                break
    c.close()
    return out


def test_server_sent_events_resume(oss):
    run_id = oss.run("run:five", FIVE)["run_id"]
    path = f"/v1/runs/{run_id}/stream"
    events = sse(oss, path)
    assert events[-1][1] == "result" and len(events) >= 6
    assert all(e[2]["type"] == e[1] and e[2]["run"] == run_id for e in events)
    for cut in (0, len(events) // 2, len(events) - 1):
        rest = sse(oss, path, headers={"Last-Event-Id": events[cut][0]})
        assert rest == events[cut + 1:]
        assert sse(oss, f"{path}?last_event_id={events[cut][0]}") == rest
    for bad in ("x", f"{run_id}:1", "run-other:0:0", f"{run_id}:-1:0", f"{run_id}:0:0x"):
        assert oss.get(path, headers={"Last-Event-Id": bad}).status == 422
    lines = [line for line in oss.audit() if line["run"] == run_id]
    assert [e[2]["seq"] for e in events] == [
        line["seq"] for line in lines if line["type"] not in ("read", "request")]


def test_events_are_live(oss):
    run_id = oss.run("run:ask")["run_id"]
    got = []
    t = threading.Thread(target=lambda: got.extend(sse(oss, f"/v1/runs/{run_id}/stream")))
    t.start()
    time.sleep(0.3)
    oss.post(f"/v1/runs/{run_id}/respond", {"response": {"decision": "yes"}})
    t.join(10)
    assert not t.is_alive() and got[-1][1] == "result"


class WebSocket:
    def __init__(self, core, path, as_=None, headers=()):
        self.sock = core.connection()
        self.sock.connect()
        self.sock = self.sock.sock
        self.sock.settimeout(10)
        lines = [f"GET {path} HTTP/1.1", "Host: core", "Connection: Upgrade", "Upgrade: websocket",
                 "Sec-WebSocket-Version: 13",
                 "Sec-WebSocket-Key: " + base64.b64encode(os.urandom(16)).decode(), *headers]
        lines += [f"{k}: {v}" for k, v in (as_.headers if as_ else {}).items()]
        self.sock.sendall("\r\n".join(lines).encode() + b"\r\n\r\n")
        self.buf = b""
        while b"\r\n\r\n" not in self.buf:
            self.buf += self.sock.recv(4096) or pytest.fail("closed in the handshake")
        head, _, self.buf = self.buf.partition(b"\r\n\r\n")
        self.status = int(head.split()[1])

    def _take(self, n):
        while len(self.buf) < n:
            got = self.sock.recv(65536)
            if not got:
                raise EOFError
            self.buf += got
        out, self.buf = self.buf[:n], self.buf[n:]
        return out

    def frame(self):
        a, b = self._take(2)
        n = b & 127
        if n == 126:
            n = struct.unpack(">H", self._take(2))[0]
        elif n == 127:
            n = struct.unpack(">Q", self._take(8))[0]
        return a & 15, self._take(n)

    def send(self, opcode, data=b""):
        self.sock.sendall(bytes([0x80 | opcode, 0x80 | len(data)]) + b"\0\0\0\0" + data)

    def all(self):
        """Text frames until the close frame: (frames, code, reason)."""
        frames = []
        while True:
            op, data = self.frame()
            if op == 1:
                frames.append(json.loads(data))
            elif op == 8:
                self.send(8, data[:2])
                return frames, struct.unpack(">H", data[:2])[0], data[2:].decode()


def test_websocket(oss):
    run_id = oss.run("run:five", FIVE)["run_id"]
    path = f"/v1/runs/{run_id}/stream"
    events = [e[2] for e in sse(oss, path)]
    frames, code, _ = WebSocket(oss, path).all()
    assert frames == events and code == 1000
    cut = events[2]
    frames, code, _ = WebSocket(
        oss, f"{path}?last_event_id={run_id}:{max(cut['step'] or 0, 0)}:{cut['seq']}").all()
    assert frames == events[3:]
    assert WebSocket(oss, "/v1/runs/run-0/stream").status == 404
    assert WebSocket(oss, path, headers=["Origin: https://evil.example"]).status == 403


def test_websocket_live_ping_and_two_subscribers(oss):
    run_id = oss.run("run:ask")["run_id"]
    a, b = (WebSocket(oss, f"/v1/runs/{run_id}/stream") for _ in range(2))
    a.send(9, b"hi")
    seen = []
    while True:
        op, data = a.frame()
        if op == 10:
            assert data == b"hi"
            break
        seen.append(json.loads(data))
    oss.post(f"/v1/runs/{run_id}/respond", {"response": {"decision": "yes"}})
    frames, code, _ = a.all()
    assert code == 1000 and frames[-1]["type"] == "result"
    assert b.all()[0] == seen + frames


def test_a_long_record_is_told_whole(tmp_path, graphs):
    """Many times what a stream may hold in memory, to a client that takes its time; then resumed."""
    with Core(tmp_path / "core", graphs=[graphs], limits={"steps": 9000}) as core:
        run_id = core.run("run:long", wait=60)["run_id"]
        path = f"/v1/runs/{run_id}/stream"
        ws = WebSocket(core, path)
        time.sleep(0.5)
        frames, code, _ = ws.all()
        assert code == 1000 and len(frames) > 9000
        seqs = [f["seq"] for f in frames]
        assert seqs == sorted(set(seqs))
        assert [e[2] for e in sse(core, path)] == frames
        for at in (0, len(frames) // 2, len(frames) - 2):
            last = f"?last_event_id={run_id}:0:{seqs[at]}"
            assert WebSocket(core, path + last).all()[0] == frames[at + 1:]
            assert [e[2] for e in sse(core, path + last)] == frames[at + 1:]


def test_a_slow_consumer_is_cut_off(tmp_path, graphs):
    """It takes nothing for more than ten seconds: 1011. Asked again, the rest is there."""
    with Core(tmp_path / "core", graphs=[graphs], limits={"steps": 40000}) as core:
        run_id = core.run("run:long", wait=120, timeout=130)["run_id"]
        path = f"/v1/runs/{run_id}/stream"
        ws = WebSocket(core, path)
        time.sleep(12)
        frames, code, reason = ws.all()
        assert (code, reason) == (1011, "slow consumer")
        assert 100 < len(frames) < 40000
        more, _, _ = WebSocket(core, f"{path}?last_event_id={run_id}:0:{frames[-1]['seq']}").all()
        seqs = [f["seq"] for f in frames + more]
        assert seqs == sorted(set(seqs)) and more[-1]["type"] == "result"


def test_who_takes_nothing_is_let_go(tmp_path, graphs):
    """A client that never reads again: the server keeps little for it, and not for long."""
    with Core(tmp_path / "core", graphs=[graphs], limits={"steps": 40000}) as core:
        run_id = core.post("/v1/runs", {"graph_id": "run:long"}).json()["run_id"]
        ws = WebSocket(core, f"/v1/runs/{run_id}/stream")
        wait_for(lambda: status_of(core, run_id) == "failed", "the run does not end", 240)
        port = ws.sock.getsockname()[1]
        held = ["ss", "-Htn", "state", "established", f"dport = :{port}"]
        wait_for(lambda: not subprocess.run(held, capture_output=True, check=True).stdout,
                 "the connection stays", 30)
        assert core.get("/v1/health").status == 200


def test_streams_end_when_the_certificate_is_denied(cleared):
    run_id = cleared.run("run:ask", as_=alice)["run_id"]
    ws = WebSocket(cleared, f"/v1/runs/{run_id}/stream", as_=alice)
    cleared.keys["deny_fingerprints"] = ["a1" * 32]
    cleared.write_config()
    begin = time.monotonic()
    _, code, reason = ws.all()
    assert (code, reason) == (1008, "certificate denied") and time.monotonic() - begin < 2


def test_metrics_and_openapi(oss):
    oss.run("run:five", FIVE)
    text = oss.get("/metrics").text
    assert "stargraph_runs_started_total 1\n" in text
    assert 'stargraph_runs_finished_total{status="done"} 1\n' in text
    assert "stargraph_steps_total 5\n" in text
    doc = oss.get("/openapi.json").json()
    assert doc["openapi"] == "3.1.0"
    for path, item in doc["paths"].items():
        for method in item:
            r = oss.request(method.upper(), path.replace("{run_id}", "run-0"),
                            {} if method == "post" else None)
            assert r.status != 405 and (r.status != 404 or "{" in path), path


def test_cleared_denies_what_is_not_granted(cleared):
    """Every route of the document that needs a capability, asked by somebody without any."""
    doc = cleared.get("/openapi.json", as_=alice).json()
    carol = Who("CN=carol,O=Test")
    for path, item in doc["paths"].items():
        for method, op in item.items():
            if "x-capability" not in op:
                continue
            r = cleared.request(method.upper(), path.replace("{run_id}", "run-0"),
                                {} if method == "post" else None, as_=carol)
            assert r.status == 403, (method, path, r)
            last = cleared.audit()[-1]
            assert (last["actor"], last["type"]) == ("CN=carol,O=Test", "denied")


def test_browser_rules(oss):
    body = {"graph_id": "run:done"}
    assert oss.post("/v1/runs", body, headers={"Origin": "https://evil.example"}).status == 403
    assert oss.post("/v1/runs", body, headers={"Content-Type": "text/plain"}).status == 415
    host = f"127.0.0.1:{oss.port}"
    assert oss.post("/v1/runs", body, headers={"Origin": f"http://{host}"}).status == 202


def test_bodies_are_bounded(tmp_path, graphs):
    with Core(tmp_path / "core", graphs=[graphs], limits={"body_bytes": 4096}) as core:
        for headers in ({}, {"Transfer-Encoding": "chunked"}):
            body = b'{"graph_id":"' + b"x" * 200000 + b'"}'
            if headers:
                body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
                raw = core.raw(b"POST /v1/runs HTTP/1.1\r\nHost: a\r\nContent-Type: application/json"
                               b"\r\nTransfer-Encoding: chunked\r\n\r\n" + body)
                assert raw.startswith(b"HTTP/1.1 413") and b"limits.body_bytes" in raw
            else:
                r = core.post("/v1/runs", body)
                assert r.status == 413 and r.type == "application/problem+json"
        assert core.run("run:done")["status"] == "done"


BAD_HEADS = [
    b"GET /v1/health HTTP/1.1\r\n\r\n",
    b"GET /v1/health HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"GET /v1/health HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
    b"POST /v1/runs HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"0\r\n\r\nGET /v1/health HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /v1/health HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n",
    b"GET /v1/health HTTP/1.1\nHost: a\n\n",
    b"GET http://a/v1/health HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /v1/health HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x16\x03\x01\0\0", b"\0" * 100 + b"\r\n\r\n",
    b"GET /v1/health HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 200 + b"\r\n",
    b"GET /" + b"a" * 500000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
]


@pytest.mark.parametrize("head", BAD_HEADS, ids=range(len(BAD_HEADS)))
def test_malformed_requests(oss, head):
    out = oss.raw(head, timeout=2)
    assert out.startswith(b"HTTP/1.1 400") or out == b"", out[:200]
    assert out.count(b"HTTP/1.1 ") <= 1
    assert oss.get("/v1/health").status == 200


def test_connections_are_capped(tmp_path, graphs):
    with Core(tmp_path / "core", limits={"connections": 8}) as core:
        time.sleep(0.2)  # the readiness probe's connection is gone
        held = [socket.create_connection(("127.0.0.1", core.port)) for _ in range(8)]
        time.sleep(0.2)
        with socket.create_connection(("127.0.0.1", core.port)) as s:
            s.settimeout(5)
            s.sendall(b"GET /v1/health HTTP/1.1\r\nHost: a\r\n\r\n")
            try:
                assert s.recv(100) == b""
            except ConnectionResetError:
                pass
        for s in held:
            s.close()
        wait_for(lambda: core.raw(b"GET /v1/health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
                                  timeout=1), "the cap is never lifted")
        assert "limits.connections" in core.stderr


def test_a_local_process_that_is_not_the_edge(tmp_path, graphs):
    """A third uid at both doors: nothing but health, whatever it says it is."""
    if os.getuid() != 0:
        pytest.skip("needs root to be somebody else")
    os.chmod(tmp_path, 0o755)
    for parent in tmp_path.parents:
        if parent.stat().st_mode & 0o005 != 0o005:
            os.chmod(parent, parent.stat().st_mode | 0o055)
    with Core(tmp_path / "core", profile="cleared", grants=grants(), graphs=[graphs],
              socket_mode="0666") as core:
        os.chmod(core.dir, 0o755)
        head = f"X-Client-Cert-Subject: {ALICE}"
        for target in (["--unix-socket", str(core.socket), "http://core"],
                       [f"http://127.0.0.1:{core.port}"]):
            def curl(path, *args, target=target):
                return subprocess.run(
                    ["setpriv", "--reuid=4321", "--regid=4321", "--clear-groups", "curl", "-s",
                     "-o", "/dev/null", "-w", "%{http_code}", *args, *target[:-1],
                     target[-1] + path], capture_output=True, text=True).stdout
            assert curl("/v1/health") == "200"
            assert curl("/v1/runs", "-H", head) == "403"
            assert curl("/edge/refused", "-H", "X-Stargraph-Edge-Refused: x") == "403"
            assert curl("/v1/runs", "-H", head, "-H", "Content-Type: application/json",
                        "-d", '{"graph_id":"run:done"}') == "403"
        assert core.audit()[-1]["payload"]["kind"] == "not_the_edge"
        assert core.get("/v1/runs", as_=alice).json()["total"] == 0


def test_the_edge_over_loopback(tmp_path, graphs):
    if os.getuid() != 0:
        pytest.skip("needs root to be somebody else")
    with Core(tmp_path / "core", profile="cleared", grants=grants(), graphs=[graphs],
              edge_users=["4322"]) as core:
        def curl(uid):
            return subprocess.run(
                ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "curl", "-s",
                 "-o", "/dev/null", "-w", "%{http_code}", "-H", f"X-Client-Cert-Subject: {ALICE}",
                 f"http://127.0.0.1:{core.port}/v1/runs"], capture_output=True, text=True).stdout
        assert curl(4322) == "200"
        assert curl(4321) == "403" and curl(0) == "403"


def test_reports_of_the_edge_are_recorded(cleared):
    r = cleared.get("/edge/refused", headers={"X-Stargraph-Edge-Refused": "x_client_cert"},
                    as_=alice)
    assert r.status == 400 and r.type == "application/problem+json"
    last = cleared.audit()[-1]
    assert last["type"] == "refused" and "x_client_cert" in last["payload"]["detail"]
    assert last["actor"] == ALICE
    assert cleared.get("/edge/refused", as_=alice).status == 404


def test_sigterm_loses_nothing(tmp_path, graphs):
    core = Core(tmp_path / "core", graphs=[graphs])
    core.start()
    accepted, stop = [], threading.Event()

    def client():
        c = core.connection()
        while not stop.is_set():
            try:
                r = core.post("/v1/runs", {"graph_id": "run:five", "params": FIVE}, connection=c)
            except OSError:
                return
            except Exception:
                return
            if r.status == 202:
                accepted.append(r.json()["run_id"])

    threads = [threading.Thread(target=client) for _ in range(8)]
    for t in threads:
        t.start()
    time.sleep(0.5)
    begin = time.monotonic()
    assert core.stop() == 0
    assert time.monotonic() - begin < 12
    stop.set()
    for t in threads:
        t.join()
    assert len(accepted) > 20
    with core:
        core.start()
        for run_id in accepted:
            wait_for(lambda r=run_id: status_of(core, r) == "done", f"{run_id} is lost")


def test_kill_loses_nothing_that_was_told(tmp_path, graphs):
    core = Core(tmp_path / "core", graphs=[graphs])
    core.start()
    waiting = core.run("run:ask")["run_id"]
    told = [core.post("/v1/runs", {"graph_id": "run:five", "params": FIVE}).json()["run_id"]
            for _ in range(30)]
    core.restart()
    assert status_of(core, waiting) == "awaiting-input"
    for run_id in told:
        wait_for(lambda r=run_id: status_of(core, r) == "done", f"{run_id} is lost")
    r = core.post(f"/v1/runs/{waiting}/respond", {"response": {"decision": "yes"}},
                  headers={"Prefer": "wait=10"})
    assert r.json()["path"][-1] == "went"
    core.stop()
    v = subprocess.run([binary(), "verify-audit", "--state-dir", core.state_dir],
                       capture_output=True, text=True)
    assert v.returncode == 0, v


def test_reload_validates_first(cleared):
    carol = Who("CN=carol,O=Test")
    assert cleared.get("/v1/runs", as_=carol).status == 403
    good = list(cleared.grants)
    cleared.grants = [*good, Grant(["runs:read"], subject="not a name")]
    cleared.write_config()
    cleared.signal(signal.SIGHUP)
    wait_for(lambda: "refused" in cleared.stderr, "a bad reload is not told")
    assert cleared.get("/v1/runs", as_=alice).status == 200  # the old one stays
    cleared.grants = [*good, Grant(["runs:read"], subject="CN=carol,O=Test")]
    cleared.write_config()
    cleared.signal(signal.SIGHUP)
    wait_for(lambda: cleared.get("/v1/runs", as_=carol).status == 200, "no reload")


def test_mac(tmp_path, graphs):
    import hashlib
    import hmac
    key = tmp_path / "key"
    key.write_text("ab" * 32)
    key.chmod(0o600)
    with Core(tmp_path / "core", profile="cleared", grants=grants(), edge_mac_key=key) as core:
        def ask(t=None, nonce=None, subject=ALICE, sign=ALICE, path="/v1/runs"):
            t = int(time.time()) if t is None else t
            nonce = nonce or os.urandom(16).hex()
            text = f"stargraph-edge-v1\n{t}\n{nonce}\nGET\n/v1/runs\n{sign}\n\n\n\n\n\n"
            mac = hmac.new(b"\xab" * 32, text.encode(), hashlib.sha256).hexdigest()
            return core.get(path, headers={
                "X-Client-Cert-Subject": subject,
                "X-Stargraph-Edge-Mac": f"v1 t={t} n={nonce} mac={mac}"}).status
        assert ask() == 200
        assert ask(nonce="01" * 16) == 200 and ask(nonce="01" * 16) == 403
        assert ask(subject=BOB) == 403 and ask(path="/v1/graphs") == 403
        assert ask(t=int(time.time()) - 60) == 403
        assert core.get("/v1/runs", as_=alice).status == 403
        assert core.audit()[-1]["payload"]["kind"] == "edge_mac"


def test_xfcc(tmp_path, graphs):
    with Core(tmp_path / "core", profile="cleared", grants=grants(), xfcc=True) as core:
        def ask(value, **more):
            return core.get("/v1/runs", headers={"X-Forwarded-Client-Cert": value, **more}).status
        good = f'Hash={"ab" * 32};Subject="{ALICE}";URI=spiffe://x'
        assert ask(good) == 200
        assert ask(f'Subject="{ALICE}",Subject="{BOB}"') == 401
        assert ask(good, **{"X-Client-Cert-Subject": BOB}) == 400
        assert core.get("/v1/runs", as_=alice).status == 400


def test_notify_and_watchdog(tmp_path):
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind(path)
        s.settimeout(5)
        core = Core(tmp_path / "core", env={"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "1000000"})
        with core:
            said = b"".join(s.recv(4096) + b"\n" for _ in range(2))
            assert b"READY=1" in said and b"WATCHDOG=1" in said
        s.settimeout(1)
        left = b""
        while b"STOPPING=1" not in left:
            left += s.recv(4096)


def test_gates_come_before_ports(tmp_path, graphs):
    core = Core(tmp_path / "core", profile="cleared", grants=grants(), edge_users=["no-such-user"])
    code, text = core.refused()
    assert code == 2 and "no-such-user" in text and "listening" not in text
    core.keys["edge_users"] = ["0"]
    core.grants = [Grant(["runs:read"], subject="alice")]
    core.write_config()
    code, text = core.refused()
    assert code == 2 and "alice" in text and not core.socket.exists()
    core.grants = []
    core.write_config()
    with core:
        code, text = core.refused()  # the state directory has its owner
        assert code == 2 and str(core.process.pid) in text


TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_a_traceparent_is_recorded(cleared):
    started = cleared.post("/v1/runs", {"graph_id": "run:done"}, as_=alice,
                           headers={"traceparent": TRACE}).json()["run_id"]
    assert cleared.get("/metrics", as_=alice, headers={"traceparent": TRACE}).status == 403
    for bad in (TRACE.upper(), TRACE[:-1], TRACE.replace("0af7651916cd43dd8448eb211c80319c", "0" * 32),
                "01" + TRACE[2:], TRACE + "-x", "x" * 4000):
        assert cleared.get("/v1/runs", as_=alice, headers={"traceparent": bad}).status == 200
    cleared.get(f"/v1/runs/{started}", as_=alice)
    records = [a for a in cleared.audit() if "traceparent" in a["payload"]]
    assert [(a["type"], a["payload"]["traceparent"]) for a in records] == [
        ("request", TRACE), ("denied", TRACE)]
    assert records[0]["run"] == started


def test_one_subject_cannot_take_every_place(tmp_path, graphs):
    with Core(tmp_path / "core", profile="cleared", grants=grants(), graphs=[graphs],
              limits={"subject_requests": 3, "steps": 10000000}) as core:
        waiting = []
        for _ in range(4):
            c = core.connection()
            c.request("POST", "/v1/runs", json.dumps({"graph_id": "run:long"}),
                      {**alice.headers, "Content-Type": "application/json", "Prefer": "wait=3"})
            waiting.append(c)
            time.sleep(0.1)
        r = waiting[3].getresponse()
        assert r.status == 429 and r.headers["Retry-After"] == "1"
        assert b"limits.subject_requests" in r.read()
        assert core.get("/v1/runs", as_=Who(BOB)).status == 200, "others are served"
        for c in waiting[:3]:
            assert c.getresponse().status == 202
        for run in core.get("/v1/runs", as_=alice).json()["items"]:
            assert core.post(f"/v1/runs/{run['run_id']}/cancel", as_=alice).status == 200
