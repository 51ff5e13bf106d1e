import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

import pki  # noqa: E402
from core import Core, Grant  # noqa: E402

ALICE, BOB = "CN=alice,O=Test", "CN=bob,O=Test"
TRIAGE = ["runs:start", "runs:read", "runs:cancel", "runs:pause", "runs:resume"]


class Pki:
    def __init__(self, directory):
        self.ca = pki.Ca(directory, "ca", pki.name(("O", "Test"), ("CN", "Test CA")))
        self.foreign_ca = pki.Ca(
            directory, "foreign", pki.name(("O", "Other"), ("CN", "Foreign CA")))
        self.server = self.ca.server()
        self.alice, self.bob = self.ca.client("alice"), self.ca.client("bob")
        self.foreign = self.foreign_ca.client("mallory")


@pytest.fixture(scope="session")
def certs(tmp_path_factory):
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="session")
def graphs(tmp_path_factory):
    """Five graphs: done at once, a question, a failing one, five steps with rules, a long one."""
    d = tmp_path_factory.mktemp("graphs")
    source = Path(__file__).parent / "graphs"
    for f in source.glob("*.yaml"):
        (d / f.name).write_text(f.read_text())
    return d


def grants():
    return [Grant(TRIAGE, subject="CN=alice, O=Test"),
            Grant(["runs:read", "runs:respond", "risk:approve"], subject=BOB)]


@pytest.fixture
def cleared(tmp_path, graphs):
    with Core(tmp_path / "core", profile="cleared", grants=grants(), graphs=[graphs]) as core:
        yield core


@pytest.fixture
def oss(tmp_path, graphs):
    with Core(tmp_path / "core", graphs=[graphs]) as core:
        yield core


def direct_keys(certs, crl=False):
    keys = {"tls_cert": certs.server.cert, "tls_key": certs.server.key,
            "tls_ca_cert": certs.ca.cert, "host": "127.0.0.1"}
    if crl:
        keys["tls_crl"] = certs.ca.write_crl()
    return keys


@pytest.fixture
def direct(tmp_path, graphs, certs):
    os.umask(0o077)
    with Core(tmp_path / "core", profile="cleared", grants=grants(), graphs=[graphs], unix=False,
              **direct_keys(certs)) as core:
        yield core
