"""A door with the real core behind it, each under a uid of its own."""
import os
import shutil
import time

from core import Core, Grant
from doors import OPEN
from nginx import EDGE_UID
from tlsclient import get

CORE_UID = EDGE_UID - 1


class Door:
    """One core and one way into it: .port for clients, .core for what it recorded."""

    def __init__(self, name, d, pki, **keys):
        self.name, self.pki = name, pki
        keys = {"profile": "cleared", "uid": CORE_UID, "edge_users": [str(EDGE_UID)],
                "grants": [Grant(["runs:read"], subject="CN = alice, O = Test")], **keys}
        if name == "direct":
            key = d / "direct.key"
            shutil.copy(pki.server.key, key)
            key.chmod(0o600)
            os.chown(key, CORE_UID, CORE_UID)
            self.core = Core(d / "core", unix=False, tls_cert=pki.server.cert, tls_key=str(key),
                             tls_ca_cert=pki.ca.cert, tls_crl=pki.ca.crl, host="127.0.0.1", **keys)
            self.proxy = None
        else:
            self.core = Core(d / "core", socket_mode="0666", **keys)
            up = (f"127.0.0.1:{self.core.port}" if name == "plain" else f"unix:{self.core.socket}")
            self.proxy = OPEN[name](d / "proxy", pki, up)

    @property
    def port(self):
        return self.proxy.port if self.proxy else self.core.port

    def __enter__(self):
        self.core.start()
        self.core.dir.chmod(0o755)
        try:
            if self.proxy:
                self.proxy.start()
        except BaseException:
            self.core.stop()
            raise
        return self

    def __exit__(self, *_):
        if self.proxy:
            self.proxy.stop()
        self.core.stop()

    def get(self, path="/v1/runs", cert=None, headers=(), **kw):
        return get(self.port, path, self.pki.ca.cert, cert, headers, **kw)

    def last(self, since):
        """The audit records after the first `since`, once there are any (reads come late)."""
        end = time.time() + 3
        while len(self.core.audit()) <= since and time.time() < end:
            time.sleep(0.02)
        return self.core.audit()[since:]
