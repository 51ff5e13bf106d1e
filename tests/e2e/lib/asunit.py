"""Executes a program under the system call rules of a systemd unit, without systemd:

    python3 asunit.py stargraph.service PROGRAM ARG…

SystemCallFilter (the sets expanded by systemd-analyze), SystemCallErrorNumber=EPERM, RestrictNamespaces=yes,
RestrictAddressFamilies and NoNewPrivileges become one seccomp filter, as systemd makes them. Anything
else of the unit is left out."""
import ctypes
import errno
import os
import re
import struct
import subprocess
import sys

ALLOW, ERRNO = 0x7FFF0000, 0x00050000
LOAD, JEQ, JSET, RET = 0x20, 0x15, 0x45, 0x06
NAMESPACES = 0x7E020000 | 0x00000080  # CLONE_NEW*
FAMILIES = {"AF_UNIX": 1, "AF_INET": 2, "AF_INET6": 10, "AF_NETLINK": 16}


def numbers():
    """Of the system calls of this machine, by name."""
    text = subprocess.run(["cc", "-E", "-dM", "-include", "sys/syscall.h", "-x", "c", "/dev/null"],
                          check=True, capture_output=True, text=True).stdout
    return {n: int(v) for n, v in re.findall(r"#define __NR_(\w+) (\d+)", text)}


def expand(names):
    out = set()
    for n in names:
        if not n.startswith("@"):
            out.add(n)
            continue
        text = subprocess.run(["systemd-analyze", "syscall-filter", n], check=True, capture_output=True,
                              text=True).stdout
        members = [line.strip() for line in text.splitlines()[1:] if line.startswith(" ")]
        out |= expand(m for m in members if not m.startswith("#"))
    return out


def settings(unit, key):
    with open(unit) as f:
        return [line.split("=", 1)[1].split() for line in f if line.startswith(key + "=")]


def allowed(unit):
    out = set()
    for words in settings(unit, "SystemCallFilter"):
        if words[0].startswith("~"):
            out -= expand([words[0][1:], *words[1:]])
        else:
            out |= expand(words)
    return out


def program(unit):
    call = numbers()
    families = [FAMILIES[w] for words in settings(unit, "RestrictAddressFamilies") for w in words]
    code = []

    def add(op, k, yes=0, no=0):
        code.append(struct.pack("HBBI", op, yes, no, k))

    def on(name, body):  # body is skipped for other calls; the number is loaded again behind it
        add(LOAD, 0)
        add(JEQ, call[name], 0, len(body))
        code.extend(body)

    def refuse(error):
        return struct.pack("HBBI", RET, 0, 0, ERRNO | error)

    def argument(n, op, value, yes, no):
        return [struct.pack("HBBI", LOAD, 0, 0, 16 + 8 * n), struct.pack("HBBI", op, yes, no, value)]

    if settings(unit, "RestrictNamespaces") == [["yes"]]:
        on("clone3", [refuse(errno.ENOSYS)])
        on("clone", argument(0, JSET, NAMESPACES, 0, 1) + [refuse(errno.EPERM)])
        on("unshare", argument(0, JSET, NAMESPACES, 0, 1) + [refuse(errno.EPERM)])
        on("setns", [refuse(errno.EPERM)])
    for name in ("socket", "socketpair"):
        body = argument(0, JEQ, families[0], len(families), 0)
        body += [struct.pack("HBBI", JEQ, len(families) - 1 - i, 0, f) for i, f in enumerate(families[1:])]
        body[1] = struct.pack("HBBI", JEQ, len(families), 0, families[0])
        on(name, body + [refuse(errno.EAFNOSUPPORT)])
    add(LOAD, 0)
    for name in sorted(allowed(unit)):
        if name in call:
            add(JEQ, call[name], 0, 1)
            add(RET, ALLOW)
    code.append(refuse(errno.EPERM))
    return b"".join(code)


def main():
    unit, *argv = sys.argv[1:]
    code = program(unit)
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(code, len(code))
    prog = ctypes.create_string_buffer(struct.pack("HP", len(code) // 8, ctypes.addressof(buffer)))
    if libc.prctl(38, 1, 0, 0, 0) < 0 or libc.prctl(22, 2, prog, 0, 0) < 0:
        sys.exit(f"seccomp: {os.strerror(ctypes.get_errno())}")
    os.execv(argv[0], argv)


if __name__ == "__main__":
    main()
