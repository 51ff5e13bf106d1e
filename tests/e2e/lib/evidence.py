"""A core with an [audit] section, and the verbs about evidence."""
import json
import subprocess

from core import Core, binary, toml

GRAPH = """ir_version: "1.0.0"
id: "graph:two-steps"
nodes:
  - id: first
    kind: passthrough
  - id: last
    kind: halt
state_schema:
  message: str
rules: []
"""


class EvidenceCore(Core):
    def __init__(self, directory, audit=None, **keys):
        self.audit = dict(audit or {})
        directory.mkdir(parents=True, exist_ok=True)
        graph = directory / "two-steps.yaml"
        graph.write_text(GRAPH)
        super().__init__(directory, graphs=[graph], **keys)

    def write_config(self):
        super().write_config()
        if self.audit:
            with self.config.open("a") as f:
                f.write("\n[audit]\n" + "".join(
                    f"{k} = {toml(v)}\n" for k, v in self.audit.items()))

    def run(self, wait=True, timeout=30):
        return self.request(
            "POST", "/v1/runs", {"graph_id": "graph:two-steps", "params": {"message": "x"}},
            headers={"Prefer": "wait=20"} if wait else {}, timeout=timeout)


def stargraph(*args, input=None, env=None):
    return subprocess.run([str(binary()), *map(str, args)], input=input, capture_output=True,
                          text=True, timeout=120, env=env)


def verify(state_dir, *args):
    r = stargraph("verify-audit", "--state-dir", state_dir, "--json", *args)
    return r.returncode, (json.loads(r.stdout) if r.stdout else r.stderr)


def well(core):
    """The log holds against the store, and no record of the store is damaged."""
    code, report = verify(core.state_dir, core.audit_path)
    assert code == 0, report
    r = stargraph("store", "check", "--state-dir", core.state_dir)
    assert r.returncode == 0, r.stdout + r.stderr


def new_key(path):
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", str(path)], check=True,
                   capture_output=True)
    path.chmod(0o600)
    public = path.with_suffix(".pub")
    subprocess.run(["openssl", "pkey", "-in", str(path), "-pubout", "-out", str(public)],
                   check=True, capture_output=True)
    return path, public
