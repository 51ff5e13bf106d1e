"""`stargraph pack test`: fact tables, what they find and how malformed ones are refused."""
import json

import pytest
from test_pack import pack

RULES = """(deftemplate bosun.budget (slot kind) (slot allowed) (slot consumed))
(defrule over
  (bosun.budget (kind ?k) (allowed ?a) (consumed ?c&:(>= ?c ?a)))
  =>
  (assert (bosun.violation (kind "budget-exhausted") (severity "halt") (reason (str-cat ?k " used up")))))
(defrule risky (risk (typed ?r&:(> ?r 3))) => (assert (stargraph_action (kind goto) (target "check"))))
"""
GOOD = """fields: {risk: int}
cases:
  - name: over
    facts: [{bosun.budget: {kind: tokens, allowed: 10, consumed: 12}}]
    expect:
      fired: [over]
      actions: [{kind: halt, reason: tokens used up}]
      violations: [{kind: budget-exhausted, severity: halt}]
      facts: [{bosun.violation: {reason: tokens used up}}]
  - name: under
    facts: [{bosun.budget: {kind: tokens, allowed: 10, consumed: 2}}]
    state: {risk: 1}
    expect: {absent: [{bosun.violation: {}}]}
"""


@pytest.fixture
def demo(tmp_path):
    d = tmp_path / "demo"
    (d / "tests").mkdir(parents=True)
    (d / "manifest.yaml").write_text('id: demo\nversion: "1.0"\n')
    (d / "rules.clp").write_text(RULES)
    (d / "tests/a.yaml").write_text(GOOD)
    return d


def test_a_pack_without_a_signature_is_tested(demo):
    r = pack("test", demo)
    assert r.returncode == 0
    assert "never fired: risky" in r.stdout
    assert "demo 1.0: 2 cases, 0 failed; 1 of 2 rules fired" in r.stdout
    assert pack("test", demo, "--strict").returncode == 1


def test_json(demo):
    r = pack("test", demo, "--json")
    assert r.json["rules"] == {"over": 1, "risky": 0} and r.json["never_fired"] == ["risky"]
    assert [c["ok"] for c in r.json["cases"]] == [True, True]
    assert r.json["cases"][0]["where"].endswith("tests/a.yaml:3")


@pytest.mark.parametrize("change,problem", [
    (("fired: [over]", "fired: [risky]"), 'fired: expected ["risky"], got ["over"]'),
    (("reason: tokens used up}]\n      viol", "reason: x}]\n      viol"), "actions: expected"),
    (("      actions: [{kind: halt, reason: tokens used up}]\n", ""), "actions: expected [], got [{"),
    (("severity: halt}", "severity: warn}"), "violations: expected"),
    (("bosun.violation: {reason: tokens", "bosun.violation: {reason: euros"), "facts: expected"),
    (("absent: [{bosun.violation: {}}]", "error: rule-firings"), "expected the error rule-firings, got none"),
    (("consumed: 2}", "consumed: two}"), "rule-error"),
    (("bosun.budget: {kind: tokens, allowed: 10, consumed: 2}", "nothing: {}"), 'no fact is called "nothing"'),
])
def test_what_differs_is_told(demo, change, problem):
    assert change[0] in GOOD
    (demo / "tests/a.yaml").write_text(GOOD.replace(*change))
    r = pack("test", demo)
    assert r.returncode == 1 and problem in r.stdout and "1 failed" in r.stdout
    assert sum(not c["ok"] for c in pack("test", demo, "--json").json["cases"]) == 1


def test_an_expected_error(demo):
    (demo / "rules.clp").write_text("(deftemplate n (slot v))\n(defrule a (risk) => (assert (n (v 0))))\n"
                                    "(defrule b ?f <- (n (v ?v)) => (modify ?f (v (+ ?v 1))))\n")
    (demo / "tests/a.yaml").write_text(
        "fields: {risk: int}\ncases: [{name: loop, state: {risk: 1}, expect: {error: rule-firings}}]\n")
    assert pack("test", demo).returncode == 0


@pytest.mark.parametrize("table,place", [
    ("cases: 3\n", "a.yaml:1:8: at /cases: expected array"),
    ("cases:\n  - name: x\n    expct: {}\n", 'a.yaml:2:5: at /cases/0: unknown property "expct"; did you mean "expect"?'),
    ("cases:\n  - {name: x, expect: {}, state: {rsk: 3}}\n", 'a.yaml:2:40: the state field "rsk"'),
    ("fields: {risk: list}\ncases: [{name: x, expect: {}}]\n", "a.yaml:1:16: at /fields/risk: must be one of"),
    ("cases: []\n", "a.yaml:1:8: at /cases"),
    ("[", "a.yaml:2:1: "), ("", "a.yaml:1:1: at /: expected object"),
    ("cases: [{name: x, expect: {}}]\ncases: []\n", "a.yaml:2:1: "),
])
def test_a_malformed_table_is_refused_by_line_and_column(demo, table, place):
    (demo / "tests/a.yaml").write_text(table)
    r = pack("test", demo)
    assert r.returncode == 2 and place in r.stderr and len(r.stderr.splitlines()) == 1


def test_refusals(demo, tmp_path):
    (demo / "rules.clp").write_text("(defrule bad (nothing) => )\n")
    r = pack("test", demo)
    assert r.returncode == 2 and "rules.clp:1: rule bad: no fact is called" in r.stderr
    (demo / "tests/a.yaml").unlink()
    r = pack("test", demo)
    assert r.returncode == 2 and "no fact tables" in r.stderr
    assert pack("test", tmp_path / "none").returncode == 2


def test_tables_are_signed(demo, tmp_path):
    assert pack("keygen", "--out", tmp_path, "--key-id", "ops").returncode == 0
    assert pack("sign", demo, "--key", tmp_path / "ops.key.pem", "--key-id", "ops").returncode == 0
    assert pack("verify", demo, "--allow", tmp_path / "ops.pub.pem").returncode == 0
    (demo / "tests/a.yaml").write_text(GOOD.replace("under", "below"))
    assert "tree-hash-mismatch" in pack("verify", demo, "--allow", tmp_path / "ops.pub.pem").stderr
