"""OCSP stapling, where it is wanted: nginx's own directives beside our module, and Envoy's."""
import http.server
import subprocess
import threading

import doors
from envoy import Envoy


def stapled(port, pki):
    """What the server stapled: the certificate's status, or None. openssl asks for it."""
    a = pki.alice
    r = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-servername",
                        "localhost", "-status", "-CAfile", pki.ca.cert, "-cert", a.cert, "-key",
                        a.key], input="", capture_output=True, text=True, timeout=20)
    assert "Verify return code: 0 (ok)" in r.stdout, r.stdout + r.stderr
    for line in r.stdout.splitlines():
        if "Cert Status:" in line:
            return line.split(":")[1].strip()
    return None


def module(tmp, pki, backend, lines):
    return doors.module(tmp / "n", pki, f"unix:{backend.path}", change={
        "# Who may come in.": lines})


def test_nothing_is_stapled_unless_asked_for(pki, backend, tmp):
    with module(tmp, pki, backend, "") as n:
        assert stapled(n.port, pki) is None


def test_the_module_with_an_answer_from_a_file(pki, backend, tmp):
    der = pki.ca.write_ocsp(pki.server, f"{tmp}/server.ocsp")
    with module(tmp, pki, backend, f"ssl_stapling on; ssl_stapling_file {der};") as n:
        assert stapled(n.port, pki) == "good"


def test_the_module_with_a_responder(pki, backend, tmp):
    der = open(pki.ca.write_ocsp(pki.server, f"{tmp}/server.ocsp"), "rb").read()

    class Responder(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "application/ocsp-response")
            self.send_header("Content-Length", str(len(der)))
            self.end_headers()
            self.wfile.write(der)

        do_POST = do_GET

        def log_message(self, *_):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Responder)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        lines = (f"ssl_stapling on; ssl_stapling_verify on; ssl_trusted_certificate {pki.ca.cert};"
                 f" ssl_stapling_responder http://127.0.0.1:{server.server_port}/;")
        with module(tmp, pki, backend, lines) as n:
            got = [stapled(n.port, pki) for _ in range(4)]  # asked for at the first handshake
            assert "good" in got, n.log()
    finally:
        server.shutdown()
        server.server_close()


def test_envoy_with_an_answer_from_a_file(pki, backend, tmp):
    pki.ca.write_ocsp(pki.server, f"{tmp}/server.ocsp")
    e = Envoy(tmp / "e", pki, f"unix:{backend.path}")
    e._sds("sds-server.yaml", {
        "/etc/envoy/server.crt": pki.server.cert, "/etc/envoy/server.key": pki.server.key,
        "# ocsp_staple: { filename: /etc/envoy/server.ocsp }":
            f"ocsp_staple: {{ filename: {tmp}/server.ocsp }}"})
    code, said = e.validate()
    assert code == 0, said
    with e:
        assert stapled(e.port, pki) == "good"
