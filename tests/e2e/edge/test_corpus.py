"""The attack corpus at every door that stands before the core, against an echoing backend."""
import pytest
from corpus import ATTACKS
from doors import OPEN, PROXIES
from judge import judge
from matrix import expected


@pytest.fixture(scope="module", params=PROXIES)
def door(request, pki, backend, tmp_module):
    core = (f"127.0.0.1:{backend.port}" if request.param == "plain" else f"unix:{backend.path}")
    with OPEN[request.param](tmp_module / request.param, pki, core) as n:
        yield request.param, n


@pytest.mark.parametrize("attack", ATTACKS, ids=str)
def test_attack(door, pki, backend, attack):
    name, n = door
    outcome, reply = judge(name, n.port, backend, pki, attack)
    assert outcome == expected(name, attack), reply
