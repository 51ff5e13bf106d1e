"""Tokens that are refused, each by hand: the message is `pack signature verification failed: <reason>: …`."""
import base64
import hashlib
import json
import subprocess

import pytest
from test_pack import demo, pack  # noqa: F401  (demo is a fixture)

L = 2**252 + 27742317777372353535851937790883648493


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def tree_hash(d):
    h = hashlib.sha256()
    for name in "manifest.yaml", "rules.clp":
        data = (d / name).read_bytes()
        h.update(name.encode() + b"\0" + len(data).to_bytes(8, "big") + data)
    return h.hexdigest()


def sign(d, text, key=None, raw=True):
    key = key or d.parent / "ops.key.pem"
    (key.parent / "text").write_bytes(text)
    return subprocess.run(["openssl", "pkeyutl", "-sign", *(["-rawin"] if raw else ["-rawin", "-digest", "sha256"]),
                           "-inkey", key, "-in", key.parent / "text"], check=True,
                          capture_output=True).stdout


def token(d, header=None, payload=None, header_text=None):
    header = {"alg": "EdDSA", "kid": "ops", "typ": "JWT", **(header or {})}
    payload = {"alg": "SHA-256", "iat": 1700000000, "key_id": "ops", "tree_hash": tree_hash(d), **(payload or {})}
    text = header_text or json.dumps({k: v for k, v in header.items() if v is not None}).encode()
    return b64(text) + b"." + b64(json.dumps(payload).encode())


def verify(d, jwt):
    (d / "manifest.jwt").write_bytes(jwt)
    r = pack("verify", d, "--allow", d.parent / "ops.pub.pem")
    return r


def refused(d, jwt, reason):
    r = verify(d, jwt)
    assert r.returncode == 4, r.stderr
    assert r.stderr.startswith(f"stargraph: pack signature verification failed: {reason}: "), r.stderr
    assert len(r.stderr.splitlines()) == 1


def test_a_token_by_hand_is_believed(demo):  # noqa: F811
    text = token(demo)
    assert verify(demo, text + b"." + b64(sign(demo, text))).returncode == 0


@pytest.mark.parametrize("header,reason", [
    ({"alg": "none"}, "alg-not-eddsa"), ({"alg": "HS256"}, "alg-not-eddsa"), ({"alg": "RS256"}, "alg-not-eddsa"),
    ({"alg": "ES256"}, "alg-not-eddsa"), ({"alg": "eddsa"}, "alg-not-eddsa"), ({"alg": None}, "alg-not-eddsa"),
    ({"x5c": ["MIIB"]}, "x5c-rejected"), ({"jwk": {"kty": "OKP"}}, "jwk-rejected"),
    ({"jku": "https://evil.example/keys"}, "jku-rejected"), ({"x5u": "https://evil.example/"}, "x5u-rejected"),
    ({"crit": ["b64"]}, "crit-rejected"), ({"b64": False}, "b64-rejected"), ({"zip": "DEF"}, "zip-rejected"),
    ({"other": 1}, "header-key-rejected"), ({"typ": "JWS"}, "typ-not-jwt"), ({"typ": "jwt"}, "typ-not-jwt"),
    ({"typ": None}, "typ-not-jwt"), ({"kid": None}, "kid-missing"), ({"kid": "../ops"}, "kid-missing"),
    ({"kid": "other"}, "key-id-mismatch"),
])
def test_headers(demo, header, reason):  # noqa: F811
    text = token(demo, header)
    refused(demo, text + b"." + b64(sign(demo, text)), reason)


def test_none_without_a_signature(demo):  # noqa: F811
    refused(demo, token(demo, {"alg": "none"}) + b".", "alg-not-eddsa")


def test_hs256_with_the_public_key_as_secret(demo):  # noqa: F811
    import hmac
    text = token(demo, {"alg": "HS256"})
    secret = (demo.parent / "ops.pub.pem").read_bytes()
    refused(demo, text + b"." + b64(hmac.new(secret, text, "sha256").digest()), "alg-not-eddsa")


@pytest.mark.parametrize("alg,make", [("RS256", ["RSA", "-pkeyopt", "rsa_keygen_bits:2048"]),
                                      ("ES256", ["EC", "-pkeyopt", "ec_paramgen_curve:P-256"])])
def test_really_signed_otherwise(demo, alg, make):  # noqa: F811
    key = demo.parent / "other.pem"
    subprocess.run(["openssl", "genpkey", "-algorithm", *make, "-out", key], check=True, capture_output=True)
    for header in {"alg": alg}, {}:  # and the same under the right name
        text = token(demo, header)
        r = verify(demo, text + b"." + b64(sign(demo, text, key, raw=False)))
        assert r.returncode == 4
        assert r.stderr.startswith("stargraph: pack signature verification failed: ")


def test_duplicate_keys(demo):  # noqa: F811
    text = token(demo, header_text=b'{"alg":"none","alg":"EdDSA","kid":"ops","typ":"JWT"}')
    refused(demo, text + b"." + b64(sign(demo, text)), "header-unparseable")


@pytest.mark.parametrize("change", [
    lambda t: t + b"\n", lambda t: t + b"=", lambda t: t + b".", lambda t: t + b"A", lambda t: b" " + t,
    lambda t: t + b"\0", lambda t: t.replace(b".", b"..", 1), lambda t: t[:-1], lambda t: b"", lambda t: b"a.b.c",
    lambda t: t[:-1] + bytes([t[-1] + 1]) if t[-1:] in b"AQgw" else t + b"x"])
def test_bytes_that_do_not_belong(demo, change):  # noqa: F811
    text = token(demo)
    r = verify(demo, change(text + b"." + b64(sign(demo, text))))
    assert r.returncode == 4
    assert r.stderr.startswith("stargraph: pack signature verification failed: ")


def test_a_signature_that_is_not_canonical(demo):  # noqa: F811
    text = token(demo)
    s = sign(demo, text)
    high = (int.from_bytes(s[32:], "little") + L).to_bytes(32, "little")
    refused(demo, text + b"." + b64(s[:32] + high), "signature-non-canonical")


def test_a_changed_signature(demo):  # noqa: F811
    text = token(demo)
    s = sign(demo, text)
    refused(demo, text + b"." + b64(bytes([s[0] ^ 1]) + s[1:]), "signature-invalid")


def test_a_changed_payload(demo):  # noqa: F811
    text, other = token(demo), token(demo, payload={"iat": 1})
    refused(demo, other + b"." + b64(sign(demo, text)), "signature-invalid")


@pytest.mark.parametrize("point", [bytes(32), b"\1" + bytes(31), b"\xec" + b"\xff" * 30 + b"\x7f",
                                   bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05")])
def test_keys_of_small_order(demo, point):  # noqa: F811
    """Any message verifies under some of them."""
    der = bytes.fromhex("302a300506032b6570032100") + point
    pem = b"-----BEGIN PUBLIC KEY-----\n" + base64.b64encode(der) + b"\n-----END PUBLIC KEY-----\n"
    (demo.parent / "ops.pub.pem").write_bytes(pem)
    (demo / "ops.pub.pem").write_bytes(pem)
    (demo / "manifest.jwt").write_bytes(token(demo) + b"." + b64(b"\1" + bytes(63)))
    for args in ("--allow", demo.parent / "ops.pub.pem"), ("--state-dir", demo.parent / "state"):
        r = pack("verify", demo, *args)
        assert r.returncode in (2, 4) and "small order" in r.stderr or "small-order" in r.stderr, r.stderr
