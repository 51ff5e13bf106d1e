"""A directory with everything that `cleared` asks for, and a way to run the gates on it."""
import os
import pathlib
import shutil
import subprocess
import tempfile

import pytest

BUILD = pathlib.Path(os.environ.get("SG_BUILD", "build")).resolve()
HERE = pathlib.Path(__file__).parent


def openssl(*args):
    subprocess.run(["openssl", *map(str, args)], check=True, capture_output=True)


class Site:
    """stargraph.toml, key, certificate, CA and state directory; change one thing, see one refusal."""

    def __init__(self, root):
        self.root = root
        self.state = root / "state"
        self.state.mkdir(mode=0o700)
        self.key, self.cert, self.ca, self.crl = (root / n for n in
                                                  ("s.key", "s.crt", "ca.crt", "ca.crl"))
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-keyout", self.key, "-out", self.cert, "-subj", "/CN=stargraph.local", "-days", "2")
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-keyout", root / "ca.key", "-out", self.ca, "-subj", "/CN=ca", "-days", "2")
        self.key.chmod(0o600)
        self.cert.chmod(0o644)
        self.ca.chmod(0o644)
        self.settings = {"state_dir": self.state, "audit_path": self.state / "a.jsonl",
                         "tls_cert": self.cert, "tls_key": self.key, "tls_ca_cert": self.ca,
                         "host": "127.0.0.1"}
        self.more = ""
        self.preload = None

    def write(self, section="serve.cleared"):
        path = self.root / "stargraph.toml"
        lines = [f"[{section}]"]
        for k, v in self.settings.items():
            lines.append(f"{k} = {v}" if isinstance(v, (int, bool)) else f'{k} = "{v}"')
        path.write_text("\n".join(lines) + "\n" + self.more)
        path.chmod(0o644)
        return path

    def run(self, *flags, verb=("config", "--check"), profile="cleared", env=(), section=None,
            config=None):
        config = config or self.write(section or f"serve.{profile}")
        e = {"PATH": os.environ["PATH"], **dict(env)}
        if self.preload:
            # The sanitizers' runtime wants to come first; here it may come second.
            e |= {"LD_PRELOAD": str(self.preload), "ASAN_OPTIONS": "verify_asan_link_order=0"}
        return subprocess.run([BUILD / "core/stargraph", *verb, "--profile", profile, "--config",
                               str(config), *map(str, flags)],
                              env=e, capture_output=True, text=True, timeout=60)

    def refused(self, text, *flags, **kw):
        """Both verbs refuse alike; serve before any port is open."""
        verbs = [("config", "--check")]
        if has_serve():
            verbs.append(("serve",))
        for verb in verbs:
            done = self.run(*flags, verb=verb, **kw)
            assert done.returncode == 2, (verb, done)
            assert text in done.stderr, (verb, done.stderr)


def has_serve():
    out = subprocess.run([BUILD / "core/stargraph", "help"], capture_output=True, text=True).stdout
    return "\n  serve " in out


@pytest.fixture
def site():
    # /var/tmp: /tmp is often a tmpfs, which cleared refuses.
    root = pathlib.Path(tempfile.mkdtemp(dir="/var/tmp", prefix="sg-gates-"))
    yield Site(root)
    shutil.rmtree(root)


@pytest.fixture(scope="session")
def shim(tmp_path_factory):
    so = tmp_path_factory.mktemp("shim") / "fake_statfs.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", so,
                    HERE / "fake_statfs.c", "-ldl"], check=True)
    return so
