"""Certificates for the edge's tests, the strange ones included (python3-cryptography).

A Ca signs: ca.client("CN=…" or any x509.Name) -> Cert with .cert and .key paths. Everything lies
under one directory, P-256, written once per test session.
"""
import datetime
import itertools
import os
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID as EKU
from cryptography.x509.oid import NameOID

_serial = itertools.count(0x51A26A)


def name(*rdns):
    """name(("CN", "a"), [("OU", "b"), ("UID", "c")]): outermost first, as in the certificate."""
    oids = {
        "CN": NameOID.COMMON_NAME, "O": NameOID.ORGANIZATION_NAME, "C": NameOID.COUNTRY_NAME,
        "OU": NameOID.ORGANIZATIONAL_UNIT_NAME, "UID": NameOID.USER_ID,
        "DC": NameOID.DOMAIN_COMPONENT, "L": NameOID.LOCALITY_NAME,
        "serialNumber": NameOID.SERIAL_NUMBER,
        "organizationIdentifier": x509.ObjectIdentifier("2.5.4.97"),
    }
    out = []
    for rdn in rdns:
        pairs = [rdn] if isinstance(rdn, tuple) else rdn
        out.append(x509.RelativeDistinguishedName(
            [x509.NameAttribute(oids[k], v) for k, v in pairs]))
    return x509.Name(out)


def _write(path, data, mode):
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(fd, "wb") as f:
        f.write(data)
    os.chmod(path, mode)


class Cert:
    """One certificate and its key, in memory and as PEM files."""

    def __init__(self, directory, label, cert, key, chain=()):
        self.x509, self.private = cert, key
        self.cert, self.key = f"{directory}/{label}.crt", f"{directory}/{label}.key"
        pem = cert.public_bytes(serialization.Encoding.PEM)
        pem += b"".join(c.public_bytes(serialization.Encoding.PEM) for c in chain)
        _write(self.cert, pem, 0o644)
        _write(self.key, key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption()), 0o600)

    @property
    def fingerprint(self):
        return self.x509.fingerprint(hashes.SHA256()).hex()

    @property
    def serial(self):
        h = f"{self.x509.serial_number:x}"
        return h if len(h) % 2 == 0 else "0" + h

    @property
    def pair(self):
        return (self.cert, self.key)


class Ca(Cert):
    def __init__(self, directory, label, subject, issuer=None, days=30):
        Path(directory).mkdir(parents=True, exist_ok=True)
        self.dir, self.label, self.issuer = str(directory), label, issuer
        key = ec.generate_private_key(ec.SECP256R1())
        cert = self._build(subject, key.public_key(), issuer or (subject, key), days, [
            (x509.BasicConstraints(ca=True, path_length=None), True),
            (x509.KeyUsage(False, False, False, False, False, True, True, False, False), True)])
        super().__init__(directory, label, cert, key)
        self.crl = f"{directory}/{label}.crl"
        self.revoked = {}

    @staticmethod
    def _build(subject, public, issuer, days, extensions, start=None, serial=None):
        if isinstance(issuer, Ca):
            issuer_name, issuer_key = issuer.x509.subject, issuer.private
        else:
            issuer_name, issuer_key = issuer
        now = start or datetime.datetime.utcnow() - datetime.timedelta(minutes=5)
        b = (x509.CertificateBuilder().subject_name(subject).issuer_name(issuer_name)
             .public_key(public).serial_number(serial or next(_serial)).not_valid_before(now)
             .not_valid_after(now + datetime.timedelta(days=days))
             .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), False)
             .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(
                 issuer_key.public_key()), False))
        for ext, critical in extensions:
            b = b.add_extension(ext, critical)
        return b.sign(issuer_key, hashes.SHA256())

    def _leaf(self, label, subject, eku, san, **kw):
        if isinstance(subject, str):
            subject = name(("O", "Test"), ("CN", subject))
        exts = [(x509.BasicConstraints(ca=False, path_length=None), True)]
        if eku:
            exts.append((x509.ExtendedKeyUsage([eku]), False))
        if san:
            exts.append((x509.SubjectAlternativeName(san), False))
        key = ec.generate_private_key(ec.SECP256R1())
        days = kw.pop("days", 20)
        cert = self._build(subject, key.public_key(), self, days, exts, **kw)
        chain = [self.x509] if self.issuer else []
        return Cert(self.dir, label, cert, key, chain)

    def client(self, label, subject=None, san=(), eku=EKU.CLIENT_AUTH, **kw):
        san = [x509.UniformResourceIdentifier(s[4:]) if s.startswith("URI:")
               else x509.DNSName(s[4:]) for s in san]
        return self._leaf(label, label if subject is None else subject, eku, san, **kw)

    def server(self, label="server", names=("localhost", "stargraph.local"), **kw):
        import ipaddress
        san = [x509.DNSName(n) for n in names] + [
            x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        return self._leaf(label, names[0], EKU.SERVER_AUTH, san, **kw)

    def revoke(self, *certs):
        for c in certs:
            self.revoked[c.x509.serial_number] = datetime.datetime.utcnow()
        return self.write_crl()

    def write_crl(self, path=None, last=None, next_=None, key=None, extra_serials=(), der=False):
        """Writes by rename, as an operator should. last and next_ in seconds from now."""
        now = datetime.datetime.utcnow()
        revoked = [x509.RevokedCertificateBuilder().serial_number(serial)
                   .revocation_date(when).build() for serial, when in
                   [*self.revoked.items(), *((s, now) for s in extra_serials)]]
        # All at once: add_revoked_certificate() copies the list each time.
        b = x509.CertificateRevocationListBuilder(
            self.x509.subject, now + datetime.timedelta(seconds=-60 if last is None else last),
            now + datetime.timedelta(seconds=86400 if next_ is None else next_), [], revoked)
        crl = b.sign((key or self).private, hashes.SHA256())
        enc = serialization.Encoding.DER if der else serialization.Encoding.PEM
        path = path or self.crl
        _write(path + ".new", crl.public_bytes(enc), 0o644)
        os.rename(path + ".new", path)
        return path

    def write_ocsp(self, cert, path, good=True):
        """A responder's answer about a certificate of ours, DER, by rename."""
        from cryptography.x509 import ocsp
        now = datetime.datetime.utcnow()
        r = ocsp.OCSPResponseBuilder().add_response(
            cert=cert.x509, issuer=self.x509, algorithm=hashes.SHA1(),
            cert_status=ocsp.OCSPCertStatus.GOOD if good else ocsp.OCSPCertStatus.REVOKED,
            this_update=now - datetime.timedelta(minutes=1),
            next_update=now + datetime.timedelta(days=1),
            revocation_time=None if good else now, revocation_reason=None,
        ).responder_id(ocsp.OCSPResponderEncoding.HASH, self.x509).certificates([self.x509]).sign(
            self.private, hashes.SHA256())
        _write(path + ".new", r.public_bytes(serialization.Encoding.DER), 0o644)
        os.rename(path + ".new", path)
        return path
