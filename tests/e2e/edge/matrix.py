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
    # Too long for the module to pass on; above 64 KB not even a session ticket can hold it, and
    # the core's door refuses a head of that size.
    "40 KB subject": [(400, False), NOBODY, NOBODY, NOBODY],
    "64 KB subject": [(0, False), (431, False), (431, False), (0, False)],
}

# Group of the corpus, or "group: attack" where one attack of a group fares otherwise: what each door makes
# of it, and why that is right: the RFC's words, or a rule of ours.
CORPUS = {
    "our names": ([R, R, T, R],
        "Design: what a client says of its own identity is refused and audited; the plain block, "
        "which cannot refuse, overwrites."),
    "letter case": ([R, R, T, R],
        "Field names are case-insensitive (RFC 9110, 5.1): the same header."),
    "Envoy's name": ([R, T, T, R],
        "The same rule for the header that a core with xfcc reads; Envoy removes it by SANITIZE, "
        "the plain block overwrites it with nothing."),
    "underscores": ([R, X, T, R],
        "WSGI-like readers make _ of -: one name to them. Envoy rejects all of these "
        "(headers_with_underscores_action), nginx drops them."),
    "names that begin like ours": ([R, M, M, R],
        "Reserved by prefix, so that a header of a later version is not open today; Envoy and "
        "plain nginx know only whole names, and the core refuses what is left."),
    "names that read like ours": ([R, M, M, R],
        "The name is the same when all but letters and digits is ignored, as some frameworks do; "
        "the core refuses what is left."),
    "names that read like ours: X.Client.Cert.Subject": ([T, M, T, R],
        "nginx drops names with other characters than letters, digits and - "
        "(ignore_invalid_headers) before anybody sees them: nothing is left to refuse."),
    "names that read like ours: X-Client.Cert-Subject": ([T, M, T, R],
        "As the one before."),
    "names that read like ours: X-Client-Cert*Subject": ([T, M, T, R],
        "As the one before: * is a token character (RFC 9110, 5.6.2) and invalid to nginx."),
    "names of other proxies": ([R, M, M, R],
        "Whoever puts a second proxy behind must not find them believed; Envoy and plain nginx do "
        "not know them, the core refuses them."),
    "repeated": ([R, R, T, R],
        "One is too many already; with several, first or last would be a guess (RFC 9110, 5.3)."),
    "listed in Connection": ([R, T, T, R],
        "A proxy must remove what Connection lists (RFC 9110, 7.6.1): it would remove our own "
        "header. Envoy and the plain block send a Connection of their own."),
    "listed elsewhere: Proxy-Connection": ([R, T, M, R],
        "No standard's header, and treated as Connection by some (RFC 9112, C.2.2); Envoy removes "
        "it."),
    "listed elsewhere: Trailer": ([R, M, M, R],
        "It announces a field that would come after the decision (RFC 9110, 6.6.2)."),
    "blanks in names": ([X, X, X, X],
        "A blank before the colon must be answered with 400 (RFC 9112, 5.1), and no control or "
        "blank is in a token (RFC 9110, 5.6.2)."),
    "blanks in names: no-break space": ([T, X, T, X],
        "No token; nginx drops such a header (ignore_invalid_headers), the others refuse the "
        "request."),
    "blanks in names: soft hyphens": ([T, X, T, X],
        "As the one before."),
    "folded lines": ([X, T, X, X],
        "obs-fold must be refused or become a blank (RFC 9112, 5.2): Envoy joins it, and the "
        "value is then another header's; the others refuse."),
    "folded lines: first line": ([X, X, X, X],
        "A blank between the start line and the first field must be refused or ignored (RFC 9112, "
        "2.2)."),
    "folded lines: value on the next line": ([X, R, X, X],
        "Joined by Envoy it is our name with a value, and reported; the others refuse."),
    "folded lines: folded in the middle": ([X, R, X, X],
        "As the one before."),
    "line ends": ([R, R, T, X],
        "A bare LF may end a line (RFC 9112, 2.2), and so the next one is our header; the core's "
        "own door takes CR LF alone."),
    "line ends: CR after another header": ([X, T, X, X],
        "A bare CR must be invalid or become a blank (RFC 9112, 2.2): Envoy makes it part of the "
        "value before."),
    "line ends: LF CR": ([X, X, X, X],
        "The line after the LF begins with a bare CR, which is in no name."),
    "line ends: NUL for the end": ([X, X, X, X],
        "NUL is in no field value (RFC 9110, 5.5): reject."),
    "values": ([R, R, T, R],
        "Whatever the value, the name is enough."),
    "values: 60000 bytes": ([X, R, X, R],
        "Above nginx's large_client_header_buffers it is 400 before our module sees it; Envoy and "
        "the core have room and report the name."),
    "values: NUL": ([X, X, X, X],
        "NUL is in no field value (RFC 9110, 5.5): reject."),
    "values: CR": ([X, R, X, X],
        "CR is in no field value (RFC 9110, 5.5): reject, or Envoy replaces it by a blank and "
        "reports the name."),
    "request lines": ([R, R, T, X],
        "The line is good, or normalised by the proxy; the header in it is what is refused. The "
        "core's own door takes origin-form alone and refuses any other line first."),
    "request lines: absolute, user": ([X, R, X, X],
        "user information in an http target is an error (RFC 9110, 4.2.4): nginx refuses it; "
        "Envoy drops it and reports the header."),
    "request lines: HTTP/1.0": ([R, X, T, R],
        "Allowed (RFC 9112, 2.5) where Envoy is told to accept it, which it is not."),
    "request lines: HTTP/1.2": ([R, X, T, X],
        "A higher minor version is answered as 1.1 (RFC 9110, 2.5) by nginx; Envoy and the core "
        "refuse what they do not know."),
    "request lines: HTTP/2.0": ([X, X, X, X],
        "No HTTP/2 request begins so (RFC 9113, 3.4): 505 or 400."),
    "request lines: no version": ([X, X, T, X],
        "HTTP/0.9: our module refuses it (400); plain nginx answers it, with no header of the "
        "client's, because that version has none."),
    "request lines: lower-case method": ([X, X, X, R],
        "Methods are case-sensitive (RFC 9110, 9.1), get is an unknown one: nginx and Envoy "
        "refuse it; the core refuses the header first."),
    "request lines: unknown method": ([R, X, T, R],
        "A method that nobody knows is for the origin to refuse (501 or 405); the header is "
        "refused first. Envoy refuses the method."),
    "request lines: HEAD": ([R, R, T, R],
        "A read like GET: the header is refused."),
    "request lines: TRACE": ([X, R, X, R],
        "Must not carry credentials (RFC 9110, 9.3.8): nginx answers 405; the others refuse the "
        "header first."),
    "request lines: CONNECT": ([X, X, X, X],
        "For proxies that tunnel (RFC 9110, 9.3.6): none of ours does."),
    "request lines: OPTIONS *": ([X, X, X, X],
        "asterisk-form (RFC 9112, 3.2.4): nobody has an answer to it here."),
    "request lines: fragment": ([R, X, T, X],
        "No fragment is sent in a target (RFC 9112, 3.2): Envoy and the core refuse; nginx cuts "
        "it off, and the header is refused."),
    "request lines: query": ([R, R, T, R],
        "An ordinary request."),
    "request lines: tabs": ([X, R, X, X],
        "Only a blank parts the words (RFC 9112, 3); whoever is lenient (Envoy) refuses the "
        "header."),
    "request lines: percent": ([R, R, T, R],
        "An encoded path is decoded for the choice of a location only; the header is refused."),
    "request lines: long": ([X, R, X, R],
        "Longer than nginx's buffers: 414; the others have room and refuse the header."),
    "injected by the target": ([T, T, T, T],
        "Encoded line ends stay encoded: a proxy that decodes them into its own request splits "
        "it."),
    "injected by the target: raw LF": ([X, X, T, X],
        "LF is in no target (RFC 9112, 3.2): Envoy, module and core refuse; plain nginx takes it "
        "for the end of an HTTP/0.9 request, and sends the identity that it knows."),
    "injected by the target: raw CR": ([X, X, X, X],
        "CR is in no target (RFC 9112, 3.2)."),
    "injected by the target: blank and version": ([R, R, T, R],
        "That is a second header line in plain sight, and refused as such."),
    "smuggled": ([X, X, X, X],
        "Two lengths, or one that is not a number, must end the connection (RFC 9112, 6.1 and "
        "6.3), a coding that is not known 501 (6.1)."),
    "smuggled: folded chunked": ([X, T, X, X],
        "Envoy joins the folded line (RFC 9112, 5.2) and reads chunked, and the inner request as "
        "the second it then is, under the same certificate; the others refuse the fold."),
    "smuggled: chunk extension": ([R, R, T, R],
        "Extensions are ignored (RFC 9112, 7.1.1); what follows is a second request in its own "
        "right, and its header is refused."),
    "smuggled: chunk extension with LF": ([R, X, T, R],
        "A lenient reader may take LF for the line's end (RFC 9112, 2.2) if it frames what it "
        "sends on anew, as nginx does; the second request's header is refused."),
    "smuggled: chunk with LF": ([R, X, T, R],
        "As the one before."),
    "smuggled: trailer": ([T, T, T, T],
        "Trailer fields are dropped or kept apart from the header section (RFC 9110, 6.5.1): none "
        "reaches the identity."),
    "smuggled: GET with a body": ([T, T, T, T],
        "A body on GET has no meaning, but a length (RFC 9110, 9.3.1): it is read and thrown "
        "away, not taken for a request."),
    "pipelined": ([R, R, T, R],
        "Each request of a connection is decided alone (RFC 9112, 9.3.2)."),
    "hosts": ([X, X, X, X],
        "No Host, or one that is none: 400 (RFC 9112, 3.2)."),
    "hosts: two": ([X, R, X, X],
        "More than one Host: 400 (RFC 9112, 3.2); at Envoy the header is reported, with the same "
        "400."),
    "hosts: empty": ([X, R, X, R],
        "An empty Host is legal where the target has no authority (RFC 9112, 3.2); nginx refuses "
        "it, the others refuse the header."),
    "hosts: of another server": ([R, R, T, R],
        "The certificate was asked for by this server, whatever Host says; the header is refused."),
    "hosts: another server name by SNI": ([T, T, T, T],
        "No server of that name: the default one answers with its own certificates and CAs, and "
        "the identity is true."),
    "expectations": ([R, R, T, R],
        "Neither 100-continue nor an upgrade goes on before the headers are looked at (RFC 9110, "
        "10.1.1 and 7.8)."),
    "the report's address": ([X, X, T, T],
        "The location is internal: nobody makes reports but the module (and Envoy); where there "
        "is none the core answers 404 by the true identity."),
    "the report's address: /edge/refused/": ([T, X, T, T],
        "Another path to nginx, which the core does not have; Envoy's rule is for the prefix."),
    "the report's address: /EDGE/refused": ([T, T, T, T],
        "Paths are case-sensitive (RFC 9110, 4.2.3): another one, which the core does not have."),
    "h2: our names": ([R, R, X, X],
        "As in HTTP/1.1; plain nginx and the core's own door speak no HTTP/2."),
    "h2: underscores": ([R, X, X, X],
        "As in HTTP/1.1."),
    "h2: Envoy's name": ([R, T, X, X],
        "As in HTTP/1.1."),
    "h2: malformed": ([X, X, X, X],
        "Upper case, unknown pseudo-headers, control characters and blanks in names: malformed "
        "(RFC 9113, 8.2.1 and 8.3), a stream error."),
    "h2: connection headers": ([R, X, X, X],
        "Connection-specific fields make a request malformed (RFC 9113, 8.2.2): Envoy resets the "
        "stream; nginx ignores them, and our module refuses what they list or stand beside."),
    "h2: trailers": ([X, T, X, X],
        "Trailers must not hold what routes or authenticates (RFC 9110, 6.5.1): nginx 1.22 takes "
        "none in HTTP/2; Envoy keeps them apart from the headers."),
    "h2: smuggled": ([X, X, X, X],
        "More or fewer bytes than content-length: malformed (RFC 9113, 8.1.1)."),
    "bad certificates": ([X, X, X, X],
        "No chain to a CA of ours, out of date, for another use, or revoked: not valid (RFC 5280, "
        "6.1), and no request is read."),
    "no TLS": ([X, X, X, X],
        "What is no TLS record is an alert, a 400, or the end (RFC 8446, 5.1)."),
}


def row_of(attack):
    return str(attack) if str(attack) in CORPUS else attack.group


def expected(door, attack):
    return CORPUS[row_of(attack)][0][DOORS.index(door)]


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
            "| attack | " + " | ".join(DOORS) + " | because |", "|---" * 6 + "|"]
    out += [f"| {k.replace('|', chr(92) + '|')} | " + " | ".join(row) + f" | {why} |"
            for k, (row, why) in CORPUS.items()]
    out += ["", "## Strange certificates", "",
            "A request that no grant covers: *denied* (403) is a known actor, the same at each "
            "door; *nobody* is 401; else", "the status, or a failed handshake.", "",
            "| certificate | " + " | ".join(DOORS) + " |", "|---" * 5 + "|"]
    word = {SOMEBODY: "denied", NOBODY: "nobody", (400, False): "400", (431, False): "431",
            (0, False): "no handshake"}
    out += [f"| {k} | " + " | ".join(word[x] for x in row) + " |" for k, row in ACTORS.items()]
    out += ["", "## What the core learns", "", "| | " + " | ".join(DOORS) + " |", "|---" * 5 + "|"]
    out += [f"| {k} | " + " | ".join("yes" if k in CARRIES[d] else "no" for d in DOORS) + " |"
            for k in CARRIES["module"]]
    return "\n".join(out) + "\n"


if __name__ == "__main__":
    print(markdown(), end="")
