"""The one table of what each door does, case by case. The tests hold the doors to it, and
docs/security/edge-matrix.md is printed from it:

    python3 tests/e2e/edge/matrix.py > docs/security/edge-matrix.md
"""

DOORS = ("module", "envoy", "plain", "direct")
R, X, T, M = "reported", "refused", "true identity", "left to the core"

MEANING = {
    R: "400, and the core has an audit record of it (from our module and Envoy with the client's "
       "true subject)",
    X: "refused at the door by itself: a 4xx, a 501, a TLS alert or a closed connection; nothing "
       "reaches the core",
    T: "reaches the core under the identity that the certificate proves, with nothing left of what "
       "the client claimed",
    M: "the same, but the header is still there under a name that the core does not read: it "
       "answers 400 and audits where the name begins like one of its own, and ignores the others",
}

# What each door can tell the core about a certificate.
CARRIES = {
    "module": ("Subject", "Issuer", "Serial", "Fingerprint", "San"),
    "envoy": ("Subject", "Issuer", "Serial", "Fingerprint"),
    "plain": ("Subject", "Issuer", "Serial"),
    "direct": ("Subject", "Issuer", "Serial", "Fingerprint", "San"),
}

# A strange certificate (strange.py): the status of a request that no grant covers, and whether the
# core knows its actor. 403 is somebody without a grant, 401 is nobody.
SOMEBODY, NOBODY = (403, True), (401, False)
ACTORS = {
    "several attributes in one RDN": [SOMEBODY] * 4,
    "characters to escape": [SOMEBODY] * 4,
    "a name within a name": [SOMEBODY] * 4,
    "UTF-8": [SOMEBODY] * 4,
    "control characters": [SOMEBODY] * 4,
    "no CN": [SOMEBODY] * 4,
    "two CNs": [SOMEBODY] * 4,
    "a rare attribute type": [SOMEBODY] * 4,
    "domain components": [SOMEBODY] * 4,
    "3000 bytes": [SOMEBODY] * 4,
    "empty subject, one URI": [SOMEBODY, NOBODY, NOBODY, SOMEBODY],
    "empty subject, no URI": [NOBODY] * 4,
    "NUL in the CN": [NOBODY] * 4,
    "6000 bytes": [NOBODY] * 4,
    # Too long for the module to pass on; above 64 KB not even a session ticket can hold it.
    "40 KB subject": [(400, False), NOBODY, NOBODY, NOBODY],
    "64 KB subject": [(0, False), NOBODY, NOBODY, (0, False)],
}

# Group of the corpus, or "group: attack" where one attack of a group fares otherwise.
CORPUS = {
    'our names': [R, R, T, R],
    'letter case': [R, R, T, R],
    "Envoy's name": [R, T, T, R],
    'underscores': [R, X, T, R],
    'underscores: _X-Client-Cert-Subject': [R, X, T, R],
    'names that begin like ours': [R, M, M, R],
    'names that read like ours': [R, M, M, R],
    'names that read like ours: X.Client.Cert.Subject': [T, M, T, R],
    'names that read like ours: X-Client.Cert-Subject': [T, M, T, R],
    'names that read like ours: X-Client-Cert*Subject': [T, M, T, R],
    'names of other proxies': [R, M, M, R],
    'repeated': [R, R, T, R],
    'listed in Connection': [R, T, T, R],
    'listed elsewhere': [R, T, M, T],
    'listed elsewhere: Proxy-Connection': [R, T, M, R],
    'listed elsewhere: Trailer': [R, M, M, R],
    'blanks in names': [X, X, X, X],
    'blanks in names: no-break space': [T, X, T, X],
    'blanks in names: soft hyphens': [T, X, T, X],
    'folded lines': [X, T, X, X],
    'folded lines: first line': [X, X, X, X],
    'folded lines: value on the next line': [X, R, X, X],
    'folded lines: folded in the middle': [X, R, X, X],
    'line ends': [R, R, T, X],
    'line ends: CR after another header': [X, T, X, X],
    'line ends: LF CR': [X, X, X, X],
    'line ends: NUL for the end': [X, X, X, X],
    'values': [R, R, T, R],
    'values: 60000 bytes': [X, R, X, R],
    'values: NUL': [X, X, X, X],
    'values: CR': [X, R, X, X],
    'request lines': [R, R, T, X],
    'request lines: absolute, user': [X, R, X, X],
    'request lines: HTTP/1.0': [R, X, T, R],
    'request lines: HTTP/1.2': [R, X, T, X],
    'request lines: HTTP/2.0': [X, X, X, X],
    'request lines: no version': [X, X, T, X],
    'request lines: lower-case method': [X, X, X, R],
    'request lines: unknown method': [R, X, T, R],
    'request lines: HEAD': [R, R, T, R],
    'request lines: TRACE': [X, R, X, R],
    'request lines: CONNECT': [X, X, X, X],
    'request lines: OPTIONS *': [X, X, X, X],
    'request lines: fragment': [R, X, T, X],
    'request lines: query': [R, R, T, R],
    'request lines: tabs': [X, R, X, X],
    'request lines: percent': [R, R, T, R],
    'request lines: long': [X, R, X, R],
    'injected by the target': [T, T, T, T],
    'injected by the target: raw LF': [X, X, T, X],
    'injected by the target: raw CR': [X, X, X, X],
    'injected by the target: blank and version': [R, R, T, R],
    'smuggled': [X, X, X, X],
    'smuggled: folded chunked': [X, T, X, X],
    'smuggled: chunk extension': [R, R, T, R],
    'smuggled: chunk extension with LF': [R, X, T, R],
    'smuggled: chunk with LF': [R, X, T, R],
    'smuggled: trailer': [T, T, T, T],
    'smuggled: GET with a body': [T, T, T, T],
    'pipelined': [R, R, T, R],
    'hosts': [X, X, X, X],
    'hosts: two': [X, R, X, X],
    'hosts: empty': [X, R, X, R],
    'hosts: of another server': [R, R, T, R],
    'hosts: another server name by SNI': [T, T, T, T],
    'expectations': [R, R, T, R],
    "the report's address": [X, X, T, T],
    "the report's address: /edge/refused/": [T, X, T, T],
    "the report's address: /EDGE/refused": [T, T, T, T],
    'h2: our names': [R, R, X, X],
    'h2: underscores': [R, X, X, X],
    "h2: Envoy's name": [R, T, X, X],
    'h2: malformed': [X, X, X, X],
    'h2: connection headers': [R, X, X, X],
    'h2: trailers': [X, T, X, X],
    'h2: smuggled': [X, X, X, X],
    'bad certificates': [X, X, X, X],
    'no TLS': [X, X, X, X],
}


def expected(door, attack):
    row = CORPUS.get(f"{attack.group}: {attack.name}") or CORPUS[attack.group]
    return row[DOORS.index(door)]


def markdown():
    out = ["# What each door does, case by case", "",
           "Printed by `python3 tests/e2e/edge/matrix.py` from the table that the tests of "
           "`tests/e2e/edge` hold the", "doors to. *module*, *envoy* and *plain* are the files in "
           "`deploy/nginx` and `envoy` as shipped; *direct* is", "the core's own TLS.", "",
           "## Attacks", ""]
    out += [f"- **{k}**: {v}." for k, v in MEANING.items()]
    out += ["", "Whatever the outcome, the identity that reaches the core is the certificate's. A "
            "row with a colon is one attack", "that fares otherwise than its group; each attack "
            "itself is in `corpus.py`.", "",
            "| attack | " + " | ".join(DOORS) + " |", "|---" * 5 + "|"]
    out += [f"| {k.replace('|', chr(92) + '|')} | " + " | ".join(row) + " |"
            for k, row in CORPUS.items()]
    out += ["", "## Strange certificates", "",
            "A request that no grant covers: *denied* (403) is a known actor, the same at each "
            "door; *nobody* is 401; else", "the status, or a failed handshake.", "",
            "| certificate | " + " | ".join(DOORS) + " |", "|---" * 5 + "|"]
    word = {SOMEBODY: "denied", NOBODY: "nobody", (400, False): "400", (0, False): "no handshake"}
    out += [f"| {k} | " + " | ".join(word[x] for x in row) + " |" for k, row in ACTORS.items()]
    out += ["", "## What the core learns", "", "| | " + " | ".join(DOORS) + " |", "|---" * 5 + "|"]
    out += [f"| {k} | " + " | ".join("yes" if k in CARRIES[d] else "no" for d in DOORS) + " |"
            for k in CARRIES["module"]]
    return "\n".join(out) + "\n"


if __name__ == "__main__":
    print(markdown(), end="")
