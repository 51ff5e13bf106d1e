"""Each gate of the start: its own words, exit code 2, nothing opened."""
import os
import shutil
import signal
import subprocess

import pytest

from conftest import BUILD, openssl


def test_a_proper_site_passes(site):
    done = site.run()
    assert done.returncode == 0, done.stderr
    assert "serve.tls_require_client_cert = true" in done.stdout


def test_more_than_one_worker_under_the_other_profile(site):
    site.refused("--workers > 1 is refused under every profile", "--workers=2",
                 profile="oss-default")


def test_side_effects(site):
    site.refused("--allow-side-effects not permitted under cleared profile",
                 "--allow-side-effects")


def test_a_misspelt_profile_starts_nothing(site):
    site.refused('unknown profile "clearedd"; did you mean "cleared"?', profile="clearedd",
                 section="serve.cleared")


def test_two_profiles_named(site):
    site.refused("they must agree", env={"STARGRAPH_PROFILE": "oss-default"})


def test_unknown_key(site):
    site.more = 'tls_crt = "/x"\n'
    site.refused('unknown key "tls_crt" in [serve.cleared]; did you mean "tls_c')


def test_broken_toml(site):
    site.more = "[serve\n"
    site.refused("stargraph.toml:8:")


def test_file_from_the_working_directory_is_not_read(site, monkeypatch):
    site.write()
    monkeypatch.chdir(site.root)
    done = site.run(config="/dev/null")
    assert done.returncode == 2 and "/dev/null is not a regular file" in done.stderr


@pytest.mark.parametrize("magic,name", [
    (0x6969, "nfs"), (0x517B, "smb"), (0xFF534D42, "cifs"), (0xFE534D42, "smb2"),
    (0x5346414F, "afs"), (0x6B414653, "afs"), (0x01021997, "9p"), (0x00C36400, "ceph"),
    (0x65735546, "fuse"), (0x0BD00BD0, "lustre"), (0x9FA0, "proc"), (0x12345678, "unknown")])
def test_network_filesystems(site, shim, magic, name):
    site.preload = shim
    for profile in "cleared", "oss-default":
        if profile == "oss-default":
            site.settings |= {"port": 8443}
        site.refused(f"nfs/smb refused at bootstrap: {site.state} lies on {name}", profile=profile,
                     env={"SG_FAKE_FS": str(magic)})


def test_tmpfs_is_for_one_profile_only(site, shim):
    site.preload = shim
    site.refused("nfs/smb refused at bootstrap:", env={"SG_FAKE_FS": "0x01021994"})
    done = site.run(profile="oss-default", env={"SG_FAKE_FS": "0x01021994"})
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("magic", [0xEF53, 0x58465342, 0x9123683E, 0x2FC12FC1, 0xF2F52010,
                                   0x794C7630])
def test_local_filesystems(site, shim, magic):
    site.preload = shim
    done = site.run(env={"SG_FAKE_FS": str(magic)})
    assert done.returncode == 0, done.stderr


def test_the_audit_directory_is_judged_apart(site):
    site.settings["audit_path"] = "/proc/self/audit.jsonl"
    site.refused("nfs/smb refused at bootstrap: /proc/self lies on proc")


def test_state_directory_missing_or_shared(site):
    site.state.chmod(0o770)
    site.refused("must not be writable by group or others")
    site.state.rmdir()
    site.refused("does not exist; make it: install -d -m 0700")


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o700, 0o660])
def test_key_mode(site, mode):
    site.key.chmod(mode)
    site.refused(f"TLS key {site.key} has mode {mode:04o}; it must be 0600")


@pytest.mark.parametrize("name,what", [("cert", "TLS certificate"), ("ca", "TLS CA certificate")])
def test_certificates_not_writable_by_others(site, name, what):
    path = getattr(site, name)
    path.chmod(0o664)
    site.refused(f"{what} {path} has mode 0664; it must not be writable by group or others")
    path.chmod(0o646)
    site.refused(f"{what} {path} has mode 0646")


@pytest.mark.parametrize("name,what", [("key", "TLS key"), ("cert", "TLS certificate"),
                                       ("ca", "TLS CA certificate")])
def test_missing_or_not_regular(site, name, what):
    path = getattr(site, name)
    path.unlink()
    site.refused(f"{what} {path}: no such file")
    path.mkdir()
    site.refused(f"{what} {path} is not a regular file")
    path.rmdir()
    os.mkfifo(path, 0o600)
    site.refused(f"{what} {path} is not a regular file")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("name", ["key", "cert", "ca"])
def test_owner(site, name):
    path = getattr(site, name)
    os.chown(path, 1234, 1234)
    site.refused("is owned by uid 1234; it must be owned by root or by the service user (uid 0)")


def test_contents(site):
    good = site.cert.read_text()
    site.cert.write_text("not a certificate\n")
    site.refused("holds no PEM certificate")
    site.cert.write_text(good)
    shutil.copy(site.root / "ca.key", site.key)
    site.refused(f"TLS key {site.key} does not belong to TLS certificate {site.cert}")
    site.key.write_text("")
    site.refused("holds no PEM private key")
    site.settings["tls_crl"] = site.ca
    openssl("genpkey", "-algorithm", "ed25519", "-aes256", "-pass", "pass:x", "-out", site.key)
    site.refused("is encrypted; nobody is there to type its passphrase")


def test_crl(site):
    site.settings["tls_crl"] = site.ca
    site.refused(f"TLS CRL {site.ca} holds no PEM revocation list")
    site.settings["tls_crl"] = "/nonexistent.crl"
    site.refused("TLS CRL /nonexistent.crl: no such file")


def test_tls_settings_belong_together(site):
    whole = dict(site.settings)
    for gone, text in [("tls_key", "tls_cert is set without tls_key"),
                       ("tls_cert", "tls_key is set without tls_cert"),
                       ("tls_ca_cert", "needs tls_ca_cert to check clients")]:
        site.settings = {k: v for k, v in whole.items() if k != gone}
        site.refused(text)
    site.settings = whole
    site.more = "tls_require_client_cert = false\n"
    site.refused("cleared always requires client certificates")


def test_mac_key(site):
    site.settings["edge_mac_key"] = site.root / "mac.key"
    site.refused("edge MAC key")
    (site.root / "mac.key").write_text("00" * 32 + "\n")
    (site.root / "mac.key").chmod(0o640)
    site.refused("mac.key has mode 0640; it must be 0600")


def test_configuration_writable_by_others(site):
    path = site.write()
    path.chmod(0o666)
    site.refused(f"configuration {path} has mode 0666", config=path)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "fd00::1"])
def test_plain_http_beyond_loopback(site, host):
    for k in "tls_cert", "tls_key", "tls_ca_cert":
        del site.settings[k]
    site.settings |= {"host": host, "port": 18999}
    for profile in "cleared", "oss-default":
        site.refused(f"plain HTTP on {host}:18999 is refused", profile=profile)


def serve_refused(site, text, env=()):
    """As `serve` alone looks at the model; strace would have seen a door."""
    trace = site.root / "trace"
    config = site.write()
    done = subprocess.run(
        ["strace", "-f", "-o", trace, "-e", "trace=bind,listen", BUILD / "core/stargraph", "serve",
         "--profile", "cleared", "--config", config],
        env={"PATH": os.environ["PATH"], "ASAN_OPTIONS": "detect_leaks=0", **dict(env)},
        capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and text in done.stderr, done
    assert "bind(" not in trace.read_text() and "listen(" not in trace.read_text()


def test_weights_or_tokenizer_missing(site):
    models = site.root / "models"
    model = models / "all-MiniLM-L6-v2"
    model.mkdir(parents=True)
    site.more = f'[model]\nhf_home = "{models}"\n'
    serve_refused(site, "LocalEntryNotFoundError: weights not staged: no model.safetensors in")
    shutil.copy(os.path.join(os.environ["SG_MODEL_DIR"], "model.safetensors"), model)
    serve_refused(site, "LocalEntryNotFoundError: weights not staged: there is no")
    site.more = ""
    serve_refused(site, "LocalEntryNotFoundError: weights not staged", env={
        "HF_HOME": str(site.root), "HF_HUB_OFFLINE": "1"})


def test_weights_drifted(site):
    models = site.root / "models"
    model = models / "all-MiniLM-L6-v2"
    shutil.copytree(os.environ["SG_MODEL_DIR"], model)
    site.more = f'[model]\nhf_home = "{models}"\n'
    for name, at in ("vocab.txt", 4000), ("tokenizer.json", 4000), ("model.safetensors", 10**6):
        path = model / name
        good = path.read_bytes()
        path.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1:])
        serve_refused(site, f"EmbeddingModelHashMismatch: {path} has SHA-256")
        path.write_bytes(good)
    (model / "model.safetensors").write_bytes(good[:-1])
    serve_refused(site, "EmbeddingModelHashMismatch: ")
    serve_refused(site, "pinned is 53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db")


def test_a_door_is_seen_by_the_trace(site):
    """The check above can fail: with everything in order there is a door."""
    site.more = f'[model]\nhf_home = "{os.path.dirname(os.environ["SG_MODEL_DIR"])}"\n'
    trace = site.root / "trace"
    p = subprocess.Popen(
        ["strace", "-f", "-o", trace, "-e", "trace=bind,listen", BUILD / "core/stargraph", "serve",
         "--profile", "cleared", "--config", site.write(), "--port", "0",
         "--socket", site.root / "s"],
        env={"PATH": os.environ["PATH"], "ASAN_OPTIONS": "detect_leaks=0"}, text=True,
        stderr=subprocess.PIPE, start_new_session=True)
    line = p.stderr.readline()
    os.killpg(p.pid, signal.SIGTERM)
    p.stderr.read()
    p.wait(30)
    assert "listening on" in line and "listen(" in trace.read_text(), line
