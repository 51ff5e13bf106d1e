"""The same certificate is the same actor at every door, in front of the real core."""
import json
import time

import pytest
import strange
from coredoor import Door
from doors import ALL
from matrix import ACTORS, CARRIES
from tlsclient import Connection

@pytest.fixture(scope="module", params=ALL)
def door(request, pki, tmp_module):
    d = tmp_module / request.param
    d.mkdir()
    d.chmod(0o755)
    with Door(request.param, d, pki) as x:
        yield x


def test_grants(door, pki):
    n = len(door.core.audit())
    assert door.get(cert=pki.alice.pair).status == 200
    assert door.last(n)[0]["actor"] == "CN=alice,O=Test"
    n = len(door.core.audit())
    r = door.get(cert=pki.bob.pair)
    assert r.status == 403 and "runs:read" in json.loads(r.body)["detail"]
    (record,) = door.last(n)
    assert (record["actor"], record["type"]) == ("CN=bob,O=Test", "denied")
    carried = {k.lower() for k in CARRIES[door.name]}
    assert record["payload"].get("serial") == pki.bob.serial
    assert (record["payload"].get("fingerprint") == pki.bob.fingerprint) == (
        "fingerprint" in carried)


@pytest.mark.parametrize("case", strange.CASES)
def test_strange_names(door, pki, case):
    make, actor = strange.CASES[case]
    cert = make(pki.ca)
    n = len(door.core.audit())
    r = door.get(cert=cert.pair)
    status, known = ACTORS[case][ALL.index(door.name)]
    assert r.status == status, r
    # Named by nobody's grants: authenticated, then denied. Otherwise: nobody.
    if known:
        (record,) = door.last(n)
        assert record["actor"] == actor
    else:
        assert all(x["actor"] in ("nobody", "anonymous") for x in door.core.audit()[n:])


def test_health_for_anybody_with_a_certificate(door, pki):
    assert door.get("/v1/health", pki.bob.pair).body == b'{"status":"ok"}'


def test_an_alias_is_audited_where_the_matrix_says_so(door, pki):
    n = len(door.core.audit())
    r = door.get(cert=pki.alice.pair, headers=["X-Client-Cert-Subject: CN=root"])
    if door.name == "plain":
        assert r.status == 200
        assert door.last(n)[0]["actor"] == "CN=alice,O=Test"
        return
    assert r.status == 400 and r.headers["content-type"] == "application/problem+json"
    (record,) = door.last(n)
    assert record["payload"]["kind"] == "identity_alias"
    assert "root" not in record["actor"]
    assert record["type"] == "refused"


@pytest.mark.parametrize("name", ["X-Client-Cert-Foo", "X-SSL-Client-S-DN", "Client-Cert",
                                  "X-Forwarded-Tls-Client-Cert", "Trailer"])
def test_other_aliases_are_audited_at_every_door(door, pki, name):
    n = len(door.core.audit())
    value = "X-Client-Cert-Subject" if name == "Trailer" else "CN=root"
    r = door.get(cert=pki.alice.pair, headers=[f"{name}: {value}"])
    if name == "Trailer" and r.status == 200:
        return  # dropped on the way: nothing of it was left
    assert r.status == 400, r
    assert door.last(n)[0]["payload"]["kind"] == "identity_alias"


def test_the_deny_list_takes_effect_within_a_second(pki, tmp_module, tmp):
    """At each door that carries the fingerprint, on a connection that is open already."""
    for name in ALL:
        d = tmp / name
        d.mkdir()
        d.chmod(0o755)
        with Door(name, d, pki) as x, Connection(x.port, pki.ca.cert, pki.alice.pair) as c:
            assert c.get("/v1/runs").status == 200
            x.core.keys["deny_fingerprints"] = [pki.alice.fingerprint]
            x.core.write_config()
            start, denied = time.time(), False
            while time.time() < start + 1 and not denied:
                denied = c.get("/v1/runs").status in (403, 0)
                time.sleep(0.05)
            assert denied == (name != "plain"), name
