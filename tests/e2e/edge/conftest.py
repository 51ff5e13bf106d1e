"""Fixtures of the edge's suite: one PKI a session, a backend and doors a module."""
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import backend as backend_lib  # noqa: E402
import pki as pki_lib  # noqa: E402
from nginx import give  # noqa: E402


@pytest.fixture(scope="session")
def scratch():
    # Not pytest's tmp_path: its parents are 0700, and the edge runs under a uid of its own.
    d = Path(tempfile.mkdtemp(prefix="sg-edge-"))
    d.chmod(0o755)
    yield d
    shutil.rmtree(d, ignore_errors=True)


class Pki:
    """Two CAs, a server each needs, and the clients that the tests name."""

    def __init__(self, directory):
        self.dir = str(directory)
        self.ca = pki_lib.Ca(directory, "ca", pki_lib.name(("O", "Test"), ("CN", "Test CA")))
        self.other_ca = pki_lib.Ca(directory, "other-ca",
                                   pki_lib.name(("O", "Test"), ("CN", "Other CA")))
        self.foreign_ca = pki_lib.Ca(directory, "foreign-ca",
                                     pki_lib.name(("O", "Elsewhere"), ("CN", "Foreign CA")))
        self.server = self.ca.server()
        give(self.server.key)
        self.alice = self.ca.client("alice", san=["URI:spiffe://test/alice", "DNS:alice.test"])
        self.bob = self.ca.client("bob", san=["URI:spiffe://test/bob"])
        self.mallory = self.foreign_ca.client("mallory", pki_lib.name(("O", "Test"),
                                                                      ("CN", "alice")))
        self.ca.write_crl()
        self.other_ca.write_crl()
        self.certs = {"none": None, "alice": self.alice.pair, "foreign CA": self.mallory.pair}
        self._bad_certificates(directory)

    def _bad_certificates(self, d):
        """Each with alice's subject, none to be let in."""
        import datetime

        from cryptography.x509.oid import ExtendedKeyUsageOID
        ca, alice = self.ca, pki_lib.name(("O", "Test"), ("CN", "alice"))
        now = datetime.datetime.utcnow()
        twin = pki_lib.Ca(f"{d}/twin", "ca", ca.x509.subject)
        middle = pki_lib.Ca(f"{d}/middle", "middle", pki_lib.name(("CN", "Middle CA")),
                            issuer=self.foreign_ca)
        bad = {
            "self-signed": pki_lib.Ca(f"{d}/self", "self", alice),
            "expired": ca.client("expired", alice, start=now - datetime.timedelta(days=9), days=8),
            "not yet valid": ca.client("early", alice, start=now + datetime.timedelta(days=1)),
            "server's EKU": ca.client("eku", alice, eku=ExtendedKeyUsageOID.SERVER_AUTH),
            "revoked": ca.client("revoked", alice),
            "other CA of the same name": twin.client("twin", alice),
            "unknown intermediate": middle.client("leaf", alice),
        }
        ca.revoke(bad["revoked"])
        self.certs.update({k: c.pair for k, c in bad.items()})


@pytest.fixture(scope="session")
def pki(scratch):
    return Pki(scratch / "pki")


@pytest.fixture(scope="module")
def backend(scratch):
    d = Path(tempfile.mkdtemp(dir=scratch))
    d.chmod(0o755)
    b = backend_lib.Backend(d)
    yield b
    b.close()


@pytest.fixture
def tmp(scratch):
    d = Path(tempfile.mkdtemp(dir=scratch))
    d.chmod(0o755)
    return d


@pytest.fixture(scope="module")
def tmp_module(scratch):
    d = Path(tempfile.mkdtemp(dir=scratch))
    d.chmod(0o755)
    return d
