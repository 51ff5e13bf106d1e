"""The attack corpus: at the doors before the core against an echoing backend, at the direct door
against the core itself."""
import pytest
from coredoor import Door
from corpus import ATTACKS
from doors import OPEN, PROXIES
from judge import judge, judge_direct
from matrix import CORPUS, expected, markdown, row_of
from nginx import TOP


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


@pytest.fixture(scope="module")
def direct(pki, tmp_module):
    with Door("direct", tmp_module, pki) as d:
        yield d


@pytest.mark.parametrize("attack", ATTACKS, ids=str)
def test_attack_at_the_direct_door(direct, pki, attack):
    outcome, reply = judge_direct(direct, pki, attack)
    assert outcome == expected("direct", attack), reply


def test_the_printed_matrix_is_this_one():
    assert (TOP / "docs/security/edge-matrix.md").read_text() == markdown()


def test_every_row_is_of_an_attack_and_says_why():
    assert {row_of(a) for a in ATTACKS} == set(CORPUS)
    assert all(len(why) > 10 and why.endswith(".") for _, why in CORPUS.values())
