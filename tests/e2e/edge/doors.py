"""The doors, each as it is shipped: deploy/nginx/stargraph.conf, envoy/stargraph.yaml and
deploy/nginx/plain.conf, with paths and ports replaced and nothing else.
"""
from envoy import Envoy, swap
from nginx import TOP, Nginx

ALL = ("module", "envoy", "plain", "direct")
PROXIES = ("module", "envoy", "plain")

def _nginx_paths(pki, directory, more):
    return {"/etc/nginx/server.crt": pki.server.cert, "/etc/nginx/server.key": pki.server.key,
            "/etc/nginx/client-ca.crt": pki.ca.cert, "/etc/nginx/client-ca.crl": pki.ca.crl,
            "listen 443": "listen 127.0.0.1:{port}", **more}


def module(directory, pki, core, change=None, **kw):
    text = (TOP / "deploy/nginx/stargraph.conf").read_text()
    return Nginx(directory, swap(text, {
        **_nginx_paths(pki, directory, {"/var/log/nginx/": f"{directory}/",
                                        "unix:/run/stargraph/core.sock": core}),
        **(change or {})}), **kw)


def plain(directory, pki, core, change=None, **kw):
    text = (TOP / "deploy/nginx/plain.conf").read_text()
    return Nginx(directory, swap(text, {
        **_nginx_paths(pki, directory, {"127.0.0.1:8000": core}), **(change or {})}),
        module=False, **kw)


def envoy(directory, pki, core, **kw):
    return Envoy(directory, pki, core, **kw)


OPEN = {"module": module, "envoy": envoy, "plain": plain}
