"""The guide's failure table (section 8), one test a row: the cause is made, the symptom is read word for
word, the fix that the row names is done, and then the server answers the guide's first request."""
import base64
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import time

import pytest

from conftest import BUILD, openssl

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from core import free_port  # noqa: E402

PAGE = pathlib.Path(__file__).resolve().parents[3] / "docs/operating/failures.md"
MODEL = pathlib.Path(os.environ["SG_MODEL_DIR"])


class Started:
    """The site's server, as the guide starts it; the client's certificate comes from ca_of."""

    def __init__(self, site, ca="ca", env=()):
        self.site, self.dir = site, site.root
        self.port = site.settings["port"] = free_port()
        self.log = open(self.dir / "serve.log", "w+b")
        self.process = subprocess.Popen(
            [BUILD / "core/stargraph", "serve", "--profile", "cleared", "--config", site.write()],
            env={"PATH": os.environ["PATH"], **dict(env)}, stdout=self.log, stderr=self.log)
        end = time.monotonic() + 30
        while time.monotonic() < end and self.process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.02)
        raise AssertionError(self.said())

    def said(self):
        self.log.flush()
        return (self.dir / "serve.log").read_text()

    def curl(self, client):
        """curl as the guide prints it; stargraph.local is the name in the server's certificate."""
        return subprocess.run(
            ["curl", "--silent", "--show-error", "--cert", client, "--cacert", self.site.cert,
             "--resolve", f"stargraph.local:{self.port}:127.0.0.1", f"https://stargraph.local:{self.port}/v1/health"],
            capture_output=True, text=True, timeout=30, check=False)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        assert self.process.wait(30) == 0, self.said()
        self.log.close()


def client(site, ca):
    """A client certificate of that CA (ca, or a foreign one), with its key in one file."""
    d = site.root
    if not (d / f"{ca}.key").exists():
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", d / f"{ca}.key",
                "-out", d / f"{ca}.crt", "-subj", f"/CN={ca}", "-days", "2")
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", d / "client.key",
            "-out", d / "client.csr", "-subj", "/CN=analyst")
    openssl("x509", "-req", "-in", d / "client.csr", "-CA", d / f"{ca}.crt", "-CAkey", d / f"{ca}.key", "-CAcreateserial",
            "-days", "2", "-out", d / "client.crt")
    pem = d / f"client-of-{ca}.pem"
    pem.write_text((d / "client.crt").read_text() + (d / "client.key").read_text())
    return pem


def serve_fails(site, text, *flags, env=()):
    done = site.run(*flags, verb=("serve",), env=env)
    assert done.returncode == 2, done
    assert text in done.stderr, done.stderr
    return done.stderr


def serves(site, env=()):
    with Started(site, env=env) as s:
        done = s.curl(client(site, "ca"))
        assert (done.stdout, done.returncode) == ('{"status":"ok"}', 0), done
        return s.said()


def test_1_state_dir_on_a_network_mount(site, shim):
    local, site.preload = site.settings["state_dir"], shim
    for magic in ("0x6969", "0x517B", "0xFF534D42", "0xFE534D42"):  # nfs, smb, cifs, smb2
        serve_fails(site, "nfs/smb refused at bootstrap", env={"SG_FAKE_FS": magic})
    site.preload = None  # moved to a local SSD
    assert pathlib.Path(local).is_dir()
    serves(site)


def test_2_weights_not_staged(site):
    models = site.root / "models"
    models.mkdir()
    env = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(models)}
    said = serve_fails(site, "LocalEntryNotFoundError", env=env)
    assert "weights not staged" in said and str(models / "all-MiniLM-L6-v2") in said
    # Re-extract models/ and verify the manifest, as the guide does it.
    shutil.copytree(MODEL, models / "all-MiniLM-L6-v2")
    manifest = site.root / "hf_manifest.sha256"
    manifest.write_text(subprocess.run("find . -type f -exec sha256sum {} \\;", shell=True, cwd=models, check=True,
                                       capture_output=True, text=True).stdout)
    subprocess.run(["sha256sum", "-c", manifest], cwd=models, check=True, capture_output=True)
    site.more = f'[model]\nhf_manifest = "{manifest}"\n'
    serves(site, env=env)


def test_3_more_than_one_worker(site):
    said = serve_fails(site, "cleared profile rejects --workers > 1", "--workers", 4)
    assert "(locked Decision #5)" in said
    site.settings["workers"] = 4
    site.refused("cleared profile rejects --workers > 1")
    site.settings["workers"] = 1
    serves(site)


def pack(*args):
    subprocess.run([BUILD / "core/stargraph", "pack", *map(str, args)], check=True, capture_output=True)


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def test_4_pack_signed_with_a_wrong_key_or_algorithm(site):
    packs, keys = site.root / "packs", site.root / "keys"
    demo = packs / "demo"
    demo.mkdir(parents=True)
    keys.mkdir()
    (demo / "manifest.yaml").write_text('id: demo\nversion: "1.0"\n')
    (demo / "rules.clp").write_text("(defrule r =>)\n")
    for kid in ("ours", "theirs"):
        pack("keygen", "--out", keys, "--key-id", kid)
        (keys / f"{kid}.pub.pem").chmod(0o644)

    def sign(kid):
        for old in ("manifest.jwt", "ours.pub.pem", "theirs.pub.pem"):
            (demo / old).unlink(missing_ok=True)
        pack("sign", demo, "--key", keys / f"{kid}.key.pem", "--key-id", kid)

    site.more = f'[packs]\nallow = ["{keys}/ours.pub.pem"]\ndirectories = ["{packs}"]\n'
    sign("theirs")
    said = serve_fails(site, "pack signature verification failed")
    assert "untrusted-key: key theirs is not on the allow-list" in said
    sign("ours")
    token = (demo / "manifest.jwt").read_text().strip()
    for alg in ("HS256", "RS256", "ES256", "none"):
        header = b64(json.dumps({"alg": alg, "kid": "ours", "typ": "JWT"}).encode())
        (demo / "manifest.jwt").write_text(".".join([header, *token.split(".")[1:]]))
        said = serve_fails(site, "pack signature verification failed")
        assert alg in said, said
    sign("ours")  # Ed25519, by the key on the list
    serves(site)


def test_5_client_certificate_of_another_ca(site):
    with Started(site) as s:
        done = s.curl(client(site, "foreign"))
        assert done.returncode != 0 and "unknown ca" in done.stderr, done
        assert "unknown ca" in s.said()
        done = s.curl(client(site, "ca"))  # re-issued from the pinned CA
        assert done.stdout == '{"status":"ok"}', done


def test_the_page_has_these_rows():
    rows = re.findall(r"^\| `([^|]+)` \| ([^|]+) \| ([^|]+) \|$", PAGE.read_text(), re.M)
    assert [r[0] for r in rows[:5]] == [
        "nfs/smb refused at bootstrap", "LocalEntryNotFoundError", "cleared profile rejects --workers > 1",
        "pack signature verification failed", "unknown ca"]


@pytest.fixture(autouse=True)
def no_port_of_the_guide(site):
    """443 may be taken on the host that runs this."""
    site.settings["port"] = free_port()
    # The guide's curl asks for stargraph.local; a self-signed certificate is its own CA.
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", site.key, "-out",
            site.cert, "-subj", "/CN=stargraph.local", "-addext", "subjectAltName=DNS:stargraph.local", "-days", "2")
    site.key.chmod(0o600)
