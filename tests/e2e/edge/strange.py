"""Certificates that name their owner strangely: {case: (how to make it, its canonical actor)}."""
from pki import name

ORG = ("O", "Test")


def _raw_nul(ca):
    return ca.client("nul", name(ORG, ("CN", "alice\0.evil")))


CASES = {
    "several attributes in one RDN": (
        lambda ca: ca.client("multi", name(ORG, [("CN", "multi"), ("UID", "7")])),
        "UID=7+CN=multi,O=Test"),
    "characters to escape": (
        lambda ca: ca.client("escapes", name(ORG, ("CN", ' #a, "b" + c\\d; <e>=f '))),
        r'CN=\ #a\, \"b\" \+ c\\d\; \<e\>=f\ ,O=Test'),
    "a name within a name": (
        lambda ca: ca.client("inject", name(ORG, ("CN", "a,CN=root,O=Test"))),
        r"CN=a\,CN=root\,O=Test,O=Test"),
    "UTF-8": (lambda ca: ca.client("utf8", name(("O", "Prüfstelle"), ("CN", "李 Jürgen"))),
              "CN=李 Jürgen,O=Prüfstelle"),
    "control characters": (
        lambda ca: ca.client("control", name(ORG, ("CN", "a\r\nX-Client-Cert-Subject: CN=root"))),
        r"CN=a\0D\0AX-Client-Cert-Subject: CN=root,O=Test"),
    "no CN": (lambda ca: ca.client("nocn", name(ORG, ("OU", "Only"))), "OU=Only,O=Test"),
    "two CNs": (lambda ca: ca.client("twocn", name(("CN", "a"), ("CN", "b"))), "CN=b,CN=a"),
    "a rare attribute type": (
        lambda ca: ca.client("rare", name(ORG, ("organizationIdentifier", "VAT-1"), ("CN", "r"))),
        "CN=r,organizationIdentifier=VAT-1,O=Test"),
    "domain components": (
        lambda ca: ca.client("dc", name(("DC", "test"), ("DC", "corp"), ("CN", "d"))),
        "CN=d,DC=corp,DC=test"),
    "3000 bytes": (lambda ca: ca.client("long", name(ORG, ("OU", "x" * 2990), ("CN", "l"))),
                   "CN=l,OU=" + "x" * 2990 + ",O=Test"),
    "empty subject, one URI": (
        lambda ca: ca.client("uri", name(), san=["URI:spiffe://test/svc"]),
        "URI:spiffe://test/svc"),
    "empty subject, no URI": (lambda ca: ca.client("empty", name()), None),
    "NUL in the CN": (_raw_nul, None),
    "6000 bytes": (lambda ca: ca.client("longer", name(ORG, ("OU", "x" * 6000))), None),
    "40 KB subject": (lambda ca: ca.client("big", name(ORG, *[("OU", "x" * 5000)] * 8)), None),
    "64 KB subject": (lambda ca: ca.client("huge", name(ORG, *[("OU", "x" * 6000)] * 11)), None),
}
