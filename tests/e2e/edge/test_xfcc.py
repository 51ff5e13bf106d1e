"""Envoy's own x-forwarded-client-cert, read by a core with xfcc = true: the three changes to the
shipped file that docs/security/edge.md names, and never both kinds of header at once."""
import pytest
import yaml
from core import Core, Grant
from coredoor import CORE_UID, Door
from envoy import Envoy
from nginx import EDGE_UID
from tlsclient import get

OURS = [f"x-client-cert-{x}" for x in ("subject", "issuer", "serial", "fingerprint", "san")]


def with_xfcc(e):
    doc = yaml.safe_load(e.conf.read_text())
    (hcm,) = doc["static_resources"]["listeners"][0]["filter_chains"][0]["filters"]
    hcm = hcm["typed_config"]
    hcm["forward_client_cert_details"] = "SANITIZE_SET"
    hcm["set_current_client_cert_details"] = {"subject": True, "uri": True, "dns": True}
    del hcm["route_config"]["request_headers_to_add"]
    for route in hcm["route_config"]["virtual_hosts"][0]["routes"]:
        if "request_headers_to_remove" in route:
            route["request_headers_to_remove"] = [*OURS, "x-stargraph-edge-mac"]
    e.conf.write_text(yaml.safe_dump(doc, sort_keys=False))
    return e


@pytest.fixture(scope="module")
def door(pki, tmp_module):
    core = Core(tmp_module / "core", profile="cleared", uid=CORE_UID, socket_mode="0666",
                edge_users=[str(EDGE_UID)], xfcc=True,
                grants=[Grant(["runs:read"], subject="CN = alice, O = Test")])
    e = with_xfcc(Envoy(tmp_module / "envoy", pki, f"unix:{core.socket}"))
    code, said = e.validate()
    assert code == 0, said
    d = Door.__new__(Door)
    d.name, d.pki, d.core, d.proxy = "envoy", pki, core, e
    with d:
        yield d


def test_the_same_actor_as_by_our_headers(door, pki):
    n = len(door.core.audit())
    assert door.get(cert=pki.alice.pair).status == 200
    (record,) = door.last(n)
    assert record["actor"] == "CN=alice,O=Test"
    n = len(door.core.audit())
    assert door.get(cert=pki.bob.pair).status == 403
    (record,) = door.last(n)
    assert (record["actor"], record["type"]) == ("CN=bob,O=Test", "denied")
    assert record["payload"]["fingerprint"] == pki.bob.fingerprint


CLAIMS = ['X-Forwarded-Client-Cert: Subject="CN=root"', 'x_forwarded_client_cert: Subject="CN=root"',
          'X-Forwarded-Client-Cert: Hash=ab;Subject="CN=root",Subject="CN=x"',
          "X-Client-Cert-Subject: CN=root", "X-Client-Cert-Fingerprint: " + "ab" * 32,
          "X-Stargraph-Edge-Mac: v1", "Connection: x-forwarded-client-cert",
          "X-SSL-Client-S-DN: CN=root"]


@pytest.mark.parametrize("claim", CLAIMS)
def test_what_a_client_claims_is_nobody(door, pki, claim):
    n = len(door.core.audit())
    r = get(door.port, "/v1/runs", pki.ca.cert, pki.alice.pair, [claim])
    assert r.status in (200, 400)
    records = door.core.audit()[n:]
    assert {x["actor"] for x in records} <= {"CN=alice,O=Test", "nobody"}
    if claim.startswith(("X-Client-Cert", "X-SSL")):
        # The reads of the tests before come late.
        assert r.status == 400 and "refused" in {x["type"] for x in door.last(n)}


def test_nobody_is_believed_at_the_socket_but_the_edge(door):
    r = door.core.request("GET", "/v1/runs", over="unix", headers={
        "X-Forwarded-Client-Cert": f'Hash={"ab" * 32};Subject="CN=alice,O=Test"'})
    assert r.status in (401, 403)
