#!/usr/bin/python3
"""usage: apparmor_paths.py PROFILE TRACE ROOT: every path that a traced server opened, made or removed
is one that the AppArmor profile grants, with the right it was used with.

For kernels without AppArmor, where the profile cannot be loaded: TRACE is `strace -f -y -e trace=%file`
of the server in the tree ROOT, with the installed paths. Includes are read from /etc/apparmor.d. Exit 1
with each path that the profile would have denied."""
import pathlib
import re
import sys

BASE = pathlib.Path("/etc/apparmor.d")
profile, trace, root = sys.argv[1:]
variables = {}


def lines(path):
    """The lines of a file, with those of what it includes in their place."""
    for line in path.read_text().splitlines():
        m = re.match(r"\s*#?include (if exists )?<([^>]+)>", line)
        if not m:
            yield line.split("#")[0].strip() if not line.lstrip().startswith("@{") else line.strip()
            continue
        target = BASE / m.group(2)
        if target.is_dir():
            for f in sorted(target.iterdir()):
                yield from lines(f)
        elif target.exists():
            yield from lines(target)


def expand(text):
    """Variables as alternations, as often as they nest."""
    for _ in range(10):
        new = re.sub(r"@\{(\w+)\}", lambda m: "{" + ",".join(variables[m.group(1)]) + "}", text)
        if new == text:
            return re.sub(r"/+", "/", text)
        text = new
    raise SystemExit(f"{text}: variables without end")


def regex(glob):
    out, i, depth = "", 0, 0
    while i < len(glob):
        c = glob[i]
        if glob.startswith("**", i):
            out, i = out + ".*", i + 1
        elif c in "*?":
            out += "[^/]*" if c == "*" else "[^/]"
        elif c == "{":
            out, depth = out + "(?:", depth + 1
        elif c == "}":
            out, depth = out + ")", depth - 1
        elif c == "," and depth:
            out += "|"
        elif c == "[":
            end = glob.index("]", i)
            out, i = out + glob[i:end + 1], end
        else:
            out += re.escape(c)
        i += 1
    return re.compile(re.sub("/+", "/", out) + r"\Z")


allow, deny = [], []
for line in lines(pathlib.Path(profile)):
    m = re.match(r"@\{(\w+)\}\s*(\+?)=\s*(.*)", line)
    if m:
        old = variables.get(m.group(1), []) if m.group(2) else []
        variables[m.group(1)] = old + [v.rstrip("/") or "/" for v in m.group(3).split()]
        continue
    m = re.match(r"((?:deny |owner |audit |allow )*)((?:/|@\{)\S*)\s+([a-zA-Z]+),$", line)
    if m:
        (deny if "deny" in m.group(1) else allow).append((regex(expand(m.group(2))), m.group(3)))


def granted(path, right):
    if any(g.match(path) and right in rights for g, rights in deny):
        return False
    if right == "any":
        return any(g.match(path) for g, _ in allow)
    return any(g.match(path) and (right in rights or (right == "w" and "a" in rights)) for g, rights in allow)


def where(at, name):
    """The absolute path inside of ROOT."""
    if not name.startswith("/"):
        base = re.search(r"<([^>]*)>", at)
        name = f"{base.group(1)}/{name}" if base else None
    if name and name.startswith(root):
        name = name[len(root):]
    return name and re.sub("/+", "/", re.sub(r"/\.(?=/|$)", "", name))


denied, seen, begun = {}, set(), False
for line in open(trace, errors="replace"):
    line = re.sub(r"^\d+ +", "", line)
    if line.startswith("execve(") and '/stargraph"' in line.split("[")[0] and line.rstrip().endswith("= 0"):
        begun = True
        continue
    m = re.match(r'(\w+)\((?:(AT_FDCWD[^,]*|\d+<[^>]*>), )?"([^"]*)"(.*)\) += (-?\d+)', line)
    if not begun or not m or int(m.group(5)) < 0:
        continue
    call, at, name, rest = m.group(1), m.group(2) or "", m.group(3), m.group(4)
    path = where(at, name)
    if not path:
        continue
    if call in ("open", "openat"):
        opened = re.search(r"= \d+<([^>]*)>$", line.rstrip())  # links resolved, as the kernel asks
        path = where("", opened.group(1)) if opened else path
        rights = ["w"] if re.search("O_WRONLY|O_RDWR|O_CREAT", rest) else ["r"]
        if "O_RDWR" in rest:
            rights.append("r")
        if re.search(r"\.so(\.|$)", path):
            rights.append("m")
        if "O_DIRECTORY" in rest:
            path = path.rstrip("/") + "/"
    elif call in ("mkdir", "mkdirat", "unlink", "unlinkat", "rename", "renameat", "renameat2", "chmod", "fchmodat", "bind"):
        rights = ["w"]
    elif call == "execve":
        rights = ["x"]
    else:
        continue  # getattr and the like go with the rights above
    for right in rights:
        seen.add((path, right))
        if not granted(path, right):
            denied[(path, right)] = line.strip()[:160]
for (path, right), line in sorted(denied.items()):
    print(f"the profile denies {right} on {path}: {line}")
if len(seen) < 20:
    print(f"only {len(seen)} paths were seen: that is no server's trace")
print(f"{len(seen)} uses of paths, {len(denied)} denied")
sys.exit(bool(denied) or len(seen) < 20)
