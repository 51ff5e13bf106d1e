"""Socket activation: the unix socket that systemd passes is served, stays when the server ends, and
one that is not the configured one is refused."""
import os
import pathlib
import signal
import socket
import subprocess

BUILD = pathlib.Path(os.environ.get("SG_BUILD", pathlib.Path(__file__).parents[3] / "build"))
STARGRAPH = BUILD / "core/stargraph"


def serve(tmp_path, listener, socket_path):
    state = tmp_path / "state"
    state.mkdir(mode=0o700, exist_ok=True)
    config = tmp_path / "stargraph.toml"
    config.write_text(f"""[serve.cleared]
auth_provider = "mtls"
state_dir = "{state}"
audit_path = "{state}/stargraph.audit.jsonl"
socket_path = "{socket_path}"
port = 0
edge_users = ["{os.getuid()}"]
""")
    config.chmod(0o644)
    fd = listener.fileno()
    # As systemd does it: descriptor 3, and a LISTEN_PID that is the program's own.
    script = f'exec 3<&{fd} {fd}<&-; LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"' if fd != 3 else \
        'LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"'
    return subprocess.Popen(["bash", "-c", script, "sh", STARGRAPH, "serve", "--profile", "cleared", "--config", config],
                            pass_fds=[fd], stderr=subprocess.PIPE, text=True,
                            env={"PATH": "/usr/bin:/bin", "TZ": "UTC", "STARGRAPH_PROFILE": "cleared"})


def listen(path):
    s = socket.socket(socket.AF_UNIX)
    s.bind(str(path))
    s.listen(16)
    return s


def health(path):
    with socket.socket(socket.AF_UNIX) as c:
        c.settimeout(30)
        c.connect(str(path))
        c.sendall(b"GET /v1/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        answer = b""
        while got := c.recv(4096):
            answer += got
    return answer


def test_clients_wait_in_the_sockets_backlog_and_the_socket_outlives_the_server(tmp_path):
    path = tmp_path / "core.sock"
    with listen(path) as listener:
        for _ in range(2):
            server = serve(tmp_path, listener, path)
            try:
                assert b'{"status":"ok"}' in health(path)
            finally:
                server.send_signal(signal.SIGTERM)
                _, err = server.communicate(timeout=60)
            assert server.returncode == 0, err
            assert path.is_socket()


def test_another_socket_than_the_configured_one_is_refused(tmp_path):
    with listen(tmp_path / "other.sock") as listener:
        server = serve(tmp_path, listener, tmp_path / "core.sock")
        _, err = server.communicate(timeout=60)
    assert server.returncode == 2
    assert "make ListenStream= and socket_path the same" in err
