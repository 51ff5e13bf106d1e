"""Every check of stargraph doctor, by its id: one test that makes it speak up, and the same host without
the fault, where it is content. What it says of the fix is read too. A check without a row here, and a
row without a check, fails the suite."""
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile

import pytest

HERE = pathlib.Path(__file__).resolve().parent
TOP = HERE.parents[2]
sys.path.insert(0, str(HERE.parent / "lib"))
import pki  # noqa: E402
from core import Core, Grant, binary, free_port, toml  # noqa: E402
from nginx import Nginx, give  # noqa: E402

MODEL = pathlib.Path(os.environ["SG_MODEL_DIR"])
PAGE = TOP / "docs/operating/doctor.md"
# They inform, and have nothing to find fault with.
INFORM = {"tls.door", "model.kernel", "edge.headers"}


def ids_in_the_source():
    found = set()
    for path in (TOP / "core/cli").glob("doctor*.c"):
        found |= set(re.findall(r'"((?:clock|limits|host|config|state|audit|disk|tls|model|store|edge|grants|door|graphs|tools|llm)'
                                r'\.[a-z.]+)"', path.read_text()))
    return found


@pytest.fixture(scope="module")
def fakes():
    d = pathlib.Path(tempfile.mkdtemp(dir="/var/tmp", prefix="sg-fakes-"))
    d.chmod(0o755)  # the service's user loads them
    for name, source in (("host", HERE / "fake_host.c"), ("statfs", HERE.parent / "gates/fake_statfs.c")):
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-w", "-o", d / f"{name}.so", source, "-ldl"], check=True)
    yield d
    shutil.rmtree(d)


class Host:
    """A site where all is well: owned by a uid of its own, in front of the direct door."""

    uid = 64198

    def __init__(self, root, fakes):
        self.root, self.fakes = root, fakes
        self.state = root / "state"
        self.state.mkdir(mode=0o700)
        ca = pki.Ca(root / "pki", "ca", pki.name(("CN", "CA")), days=400)
        server = ca.server(days=400)
        ca.write_crl()
        self.ca, self.server = ca, server
        self.keys = {"auth_provider": "mtls", "state_dir": self.state, "audit_path": self.state / "a.jsonl",
                     "tls_cert": server.cert, "tls_key": server.key, "tls_ca_cert": ca.cert, "tls_crl": ca.crl,
                     "host": "127.0.0.1", "port": free_port(), "socket_path": root / "core.sock",
                     "edge_users": [str(self.uid)], "graphs": [root / "g.yaml"]}
        (root / "g.yaml").write_text('ir_version: "1.0.0"\nid: "run:g"\nnodes: [{id: a, kind: halt}]\n')
        self.grant = '[[serve.cleared.grant]]\nsubject = "CN=analyst"\ncapabilities = ["runs:read"]\n'
        self.more = f'[model]\nmodel_path = "{MODEL}"\n'
        self.profile, self.mode, self.env, self.args, self.prefix = "cleared", 0o644, {}, [], []
        self.preload, self.as_root, self.limits = None, False, ("--nofile=4096", "--core=0")

    def fake(self, **values):
        self.preload = self.fakes / "host.so"
        self.env |= {k: str(v) for k, v in values.items()}

    def plain(self):
        """No direct door: a unix socket and a port, with an edge in front."""
        for k in ("tls_cert", "tls_key", "tls_ca_cert", "tls_crl"):
            self.keys.pop(k, None)

    def own(self):
        """What the service owns, and nothing else: certificates stay root's."""
        for p in [self.state, *self.state.rglob("*")]:
            os.lchown(p, self.uid, self.uid)
        for p in (self.server.key, *self.root.glob("*.key")):
            os.chown(p, self.uid, self.uid)

    def run(self, only=None):
        config = self.root / "stargraph.toml"
        config.write_text(f"[serve.{self.profile}]\n" + "".join(f"{k} = {toml(v)}\n" for k, v in self.keys.items()) +
                          self.grant + self.more)
        config.chmod(self.mode)
        user = [] if self.as_root else ["setpriv", f"--reuid={self.uid}", f"--regid={self.uid}", "--clear-groups"]
        env = {"PATH": os.environ["PATH"], "TZ": "UTC", "STARGRAPH_PROFILE": self.profile,
               "ASAN_OPTIONS": "disable_coredump=0"} | self.env  # the sanitizer would set the limit itself
        if self.preload:
            env |= {"LD_PRELOAD": str(self.preload), "ASAN_OPTIONS": "verify_asan_link_order=0:detect_leaks=0:disable_coredump=0"}
        elif self.prefix:
            env |= {"ASAN_OPTIONS": "detect_leaks=0"}
        return subprocess.run([*self.prefix, *user, "prlimit", *self.limits, binary(), "doctor", "--json", "--config",
                               config, *(["--only", only] if only else []), *map(str, self.args)],
                              capture_output=True, text=True, timeout=60, env=env, check=False)

    def check(self, which):
        done = self.run(which)
        assert done.stdout, done.stderr
        found = json.loads(done.stdout)["checks"]
        return found[0] | {"exit": done.returncode}


@pytest.fixture
def host(fakes):
    assert os.geteuid() == 0, "the service's user is another"
    root = pathlib.Path(tempfile.mkdtemp(dir="/var/tmp", prefix="sg-doctor-"))
    root.chmod(0o755)
    (root / "pki").mkdir(mode=0o755)
    yield Host(root, fakes)
    shutil.rmtree(root)


def set_key(name, value):
    def fault(h):
        h.keys[name] = value
    return fault


def log_with_a_run(h):
    """A store and a log, by a server under the service's uid."""
    with Core(h.root / "core", uid=h.uid, graphs=[h.root / "g.yaml"], state_dir=h.state, audit_path=h.state / "a.jsonl") as core:
        core.run("run:g")


def tampered_line(h):
    log_with_a_run(h)
    path = h.state / "a.jsonl"
    path.write_text(path.read_text().replace('"run:g"', '"run:h"', 1))


def other_name(h):
    log_with_a_run(h)
    os.link(h.state / "a.jsonl", h.state / "b.jsonl")


def elsewhere(h):
    log_with_a_run(h)
    h.keys["audit_path"] = h.state / "other.jsonl"


def behind(h):
    log_with_a_run(h)
    path = h.state / "a.jsonl"
    path.write_text("".join(path.read_text().splitlines(True)[:-1]))
    path.chmod(0o600)


def file_with(name, data, mode=0o600):
    def fault(h):
        path = h.state / name
        path.write_bytes(data)
        path.chmod(mode)
    return fault


def bad_model(h):
    shutil.copytree(MODEL, h.root / "model")
    path = h.root / "model/vocab.txt"
    path.write_bytes(path.read_bytes() + b"x\n")
    h.more = f'[model]\nmodel_path = "{h.root}/model"\n'


def bad_manifest(h):
    (h.root / "m.sha256").write_text("0" * 64 + "  ./all-MiniLM-L6-v2/vocab.txt\n")
    h.more = f'[model]\nhf_home = "{MODEL.parent}"\nhf_manifest = "{h.root}/m.sha256"\n'


def squatter(h):
    h.plain()
    s = socket.socket(socket.AF_UNIX)
    s.bind(str(h.root / "core.sock"))
    os.chmod(h.root / "core.sock", 0o600)  # not the service's
    s.listen()
    return s


def other_server(h):
    """Something that speaks, and not as the core does."""
    h.plain()
    s = socket.socket()
    s.bind(("127.0.0.1", h.keys["port"]))
    s.listen()
    return s


def no_landlock(h):
    h.prefix = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=landlock_create_ruleset", "-e",
                "inject=landlock_create_ruleset:error=ENOSYS"]
    h.more += '\n[[tool]]\nid = "t"\ncommand = ["/bin/true"]\nside_effects = "none"\n'


def certificate(which):
    def fault(h):
        import datetime
        now = datetime.datetime.utcnow()
        if which == "cert":
            cert = h.ca.server("late", start=now - datetime.timedelta(days=9), days=8)
            h.keys |= {"tls_cert": cert.cert, "tls_key": cert.key}
        elif which == "other":
            h.keys["tls_key"] = h.ca.server("other").key
        os.chown(h.keys["tls_key"], h.uid, h.uid)
    return fault


def old_ca(h):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                    h.root / "old.key", "-out", h.root / "old.crt", "-subj", "/CN=old", "-days", "3"], check=True, capture_output=True)
    h.keys["tls_ca_cert"] = h.root / "old.crt"  # three days left: a warning


def chmod(key, mode):
    def fault(h):
        os.chmod(h.keys[key], mode)
    return fault


def fake(**values):
    return lambda h: h.fake(**values)


def statfs(h):
    h.preload = h.fakes / "statfs.so"
    h.env["SG_FAKE_FS"] = "0x6969"


def limits(*flags):
    return lambda h: setattr(h, "limits", flags)


# id: (level, what makes it so, words of the fix)
FAULTS = {
    "clock.sane": ("FAIL", fake(FAKE_TIME=1000000000), "set the clock"),
    "clock.utc": ("warn", lambda h: h.env.update(TZ="Asia/Tokyo"), "TZ=UTC"),
    "clock.sync": ("note", fake(FAKE_UNSYNC=1), "chrony"),
    "limits.nofile": ("FAIL", limits("--nofile=200", "--core=0"), "LimitNOFILE"),
    "limits.core": ("warn", limits("--nofile=4096", "--core=1000000"), "LimitCORE=0"),
    "host.memory": ("warn", fake(FAKE_PAGES=1000), "512 MiB"),
    "host.kernel": ("warn", fake(FAKE_RELEASE="4.19.0"), "newer"),
    "host.user": ("warn", lambda h: setattr(h, "as_root", True), "stargraph"),
    "config.file": ("FAIL", lambda h: setattr(h, "mode", 0o666), "go-w"),
    "config.profile": ("warn", None, "STARGRAPH_PROFILE=cleared"),
    "config.gates": ("FAIL", set_key("workers", 4), "what the text says"),
    "state.filesystem": ("FAIL", statfs, "local ext4"),
    "audit.filesystem": ("FAIL", statfs, "local ext4"),
    "state.mode": ("FAIL", lambda h: h.state.chmod(0o750), "chmod 0700"),
    "state.owner": ("warn", None, "chown stargraph"),
    "state.writable": ("FAIL", None, "service user"),
    "disk.space": ("warn", fake(FAKE_FREE=10), "make room"),
    "disk.inodes": ("warn", fake(FAKE_INODES=10), "remove files"),
    "tls.cert.mode": ("FAIL", chmod("tls_cert", 0o666), "chmod go-w"),
    "tls.key.mode": ("FAIL", chmod("tls_key", 0o644), "chmod 0600"),
    "tls.ca.mode": ("FAIL", chmod("tls_ca_cert", 0o646), "chmod go-w"),
    "tls.cert.dates": ("FAIL", certificate("cert"), "renew it"),
    "tls.ca.dates": ("warn", old_ca, "renew it soon"),
    "tls.match": ("FAIL", certificate("other"), "the key that belongs"),
    "tls.crl": ("FAIL", lambda h: h.ca.write_crl(next_=-1), "fresh CRL"),
    "model.found": ("FAIL", lambda h: setattr(h, "more", f'[model]\nmodel_path = "{h.root}"\n'), "re-extract"),
    "model.hashes": ("FAIL", bad_model, "never edit"),
    "model.manifest": ("FAIL", bad_manifest, "re-extract"),
    "store.lock": ("FAIL", None, "service user"),
    "store.format": ("FAIL", file_with("store.mdb", b"garbage" * 4000), "restore"),
    "audit.file": ("FAIL", other_name, "no other name"),
    "audit.chain": ("FAIL", tampered_line, "evidence"),
    "audit.head": ("FAIL", elsewhere, "audit_path"),
    "edge.users": ("FAIL", set_key("edge_users", ["no-such-user"]), "create the user"),
    "edge.mac": ("FAIL", None, "chmod 0600"),
    "edge.request": ("FAIL", None, "does not reach the core"),
    "edge.anonymous": ("FAIL", None, "ssl_verify_client"),
    "grants.parse": ("FAIL", lambda h: setattr(h, "grant", h.grant.replace("CN=analyst", "no name")), "RFC 4514"),
    "grants.any": ("note", lambda h: setattr(h, "grant", ""), "serve.cleared.grant"),
    "door.directory": ("FAIL", lambda h: (h.plain(), h.root.chmod(0o777)), "o-w"),
    "door.unix": ("warn", squatter, "something else"),
    "door.tcp": ("warn", other_server, "something else"),
    "graphs.found": ("FAIL", set_key("graphs", ["/no/such/graph.yaml"]), "put it there"),
    "tools.sandbox": ("FAIL", no_landlock, "Landlock"),
    "llm.endpoint": ("FAIL", lambda h: setattr(h, "more", '[[llm]]\nname = "a"\nurl = "http://10.0.0.1"\nmodel = "m"\n'),
                     "correct the [[llm]]"),
}
BY_HAND = {"config.profile", "state.owner", "state.writable", "store.lock", "edge.mac", "edge.request", "edge.anonymous"}


def test_every_check_has_a_row_and_a_line_in_the_docs():
    ids = ids_in_the_source()
    assert len(ids) >= 30
    assert ids == set(FAULTS) | INFORM
    assert set(re.findall(r"^\| `([a-z.]+)` \|", PAGE.read_text(), re.M)) == ids


def test_a_host_where_all_is_well(host):
    host.fake()
    host.more = f'[model]\nhf_home = "{MODEL.parent}"\nhf_manifest = "{host.root}/m.sha256"\n'
    files = [f"./{p.relative_to(MODEL.parent)}" for p in MODEL.rglob("*") if p.is_file()]
    (host.root / "m.sha256").write_text(subprocess.run(
        ["sha256sum", *files], cwd=MODEL.parent, check=True, capture_output=True, text=True).stdout)
    host.own()
    done = host.run()
    bad = [c for c in json.loads(done.stdout)["checks"] if c["level"] not in ("ok", "note")]
    assert not bad and done.returncode == 0
    host.args = ["--strict"]
    assert host.run().returncode == 0


def complains(host, which, level, words):
    got = host.check(which)
    assert (got["id"], got["level"]) == (which, level), got
    assert words in got["fix"], got
    assert got["exit"] == (1 if level == "FAIL" else 0)
    host.args += ["--strict"]
    assert host.check(which)["exit"] == (0 if level == "note" else 1)


@pytest.mark.parametrize("which", sorted(set(FAULTS) - BY_HAND))
def test_the_fault_is_found(host, which):
    level, fault, words = FAULTS[which]
    kept = fault(host)
    host.own()
    complains(host, which, level, words)
    if hasattr(kept, "close"):
        kept.close()


@pytest.mark.parametrize("which", sorted(set(FAULTS) - BY_HAND - {"model.manifest"}))
def test_without_the_fault_it_is_content(host, which):
    if which.startswith("door."):
        host.plain()
    if which.startswith(("clock.s", "host", "disk")):
        host.fake()
    if which in ("audit.chain", "audit.file", "audit.head", "store.format"):
        log_with_a_run(host)
    host.own()
    got = host.check(which)
    assert got["level"] == "ok", got


def test_profile(host):
    host.profile = "oss-default"
    host.grant = ""
    host.keys |= {"auth_provider": "anonymous"}
    complains(host, "config.profile", "warn", FAULTS["config.profile"][2])


def test_owner(host):
    complains(host, "state.owner", "warn", FAULTS["state.owner"][2])  # root's


def test_writable(host):
    complains(host, "state.writable", "FAIL", FAULTS["state.writable"][2])  # not the service's


def test_lock(host):
    (host.state / "lock").write_text("")
    (host.state / "lock").chmod(0o600)  # root's, in a directory of the service's
    os.chown(host.state, host.uid, host.uid)
    complains(host, "store.lock", "FAIL", FAULTS["store.lock"][2])


def test_a_file_that_is_behind_is_only_told(host):
    behind(host)
    host.own()
    got = host.check("audit.head")
    assert got["level"] == "note" and "the next start completes" in got["fix"], got
    assert host.check("audit.chain")["level"] == "ok"


def test_a_log_without_its_store(host):
    log_with_a_run(host)
    (host.state / "store.mdb").unlink()
    host.own()
    got = host.check("audit.head")
    assert got["level"] == "FAIL" and "restore the backup" in got["fix"], got


def test_mac(host):
    key = host.root / "mac.key"
    key.write_text("00" * 32 + "\n")
    key.chmod(0o644)
    host.keys["edge_mac_key"] = key
    host.own()
    complains(host, "edge.mac", "FAIL", FAULTS["edge.mac"][2])
    key.chmod(0o600)
    host.args = []
    assert host.check("edge.mac")["level"] == "ok"


NGINX = """server {{ listen 127.0.0.1:{{port}} ssl; server_name stargraph.local;
    ssl_certificate {cert}; ssl_certificate_key {key}; ssl_client_certificate {ca}; ssl_verify_client {verify};
    location / {{ proxy_pass http://{core}; {header} }} }}"""


def test_the_edge_is_asked_for_real(host):
    """nginx as the guide has it in front of a core; then three ways in which it is wired wrong."""
    server = host.ca.server("edge")
    give(server.key)
    analyst = host.ca.client("analyst", pki.name(("CN", "analyst")))
    pem = host.root / "client.pem"
    pem.write_text(pathlib.Path(analyst.cert).read_text() + pathlib.Path(analyst.key).read_text())
    pem.chmod(0o644)
    good = {"cert": server.cert, "key": server.key, "ca": host.ca.cert, "verify": "on",
            "header": "proxy_set_header X-Client-Cert-Subject $ssl_client_s_dn;"}
    with Core(host.root / "core", profile="cleared", edge_users=["61007"], grants=[Grant(["runs:read"], subject="CN=analyst")]) as core:
        good["core"] = f"127.0.0.1:{core.port}"

        def ask(which, **change):
            with Nginx(tempfile.mkdtemp(dir=host.root), NGINX.format(**good | change), module=False) as n:
                host.args = ["--edge", f"https://stargraph.local:{n.port}", "--edge-cert", pem, "--edge-ca", host.ca.cert]
                return host.check(which)
        assert ask("edge.request")["level"] == "ok"
        assert ask("edge.anonymous")["level"] == "ok"
        bad = ask("edge.request", core="127.0.0.1:1")
        assert bad["level"] == "FAIL" and "HTTP 502" in bad["detail"] and FAULTS["edge.request"][2] in bad["fix"], bad
        bad = ask("edge.request", header="")
        assert bad["level"] == "FAIL" and "X-Client-Cert-Subject" in bad["fix"], bad
        bad = ask("edge.anonymous", verify="optional")
        assert bad["level"] == "FAIL" and FAULTS["edge.anonymous"][2] in bad["fix"], bad
        host.args = []
        assert host.check("edge.request")["level"] == "note"
        host.args = ["--edge", "http://x", "--edge-cert", pem, "--edge-ca", host.ca.cert]
        assert "is not https://NAME" in host.check("edge.request")["detail"]
        host.args = ["--edge", "https://x"]
        assert host.run().returncode == 2
