#!/usr/bin/env python3
"""Writes unicode_table.c: what BERT's normalizer does to every code point, asked of the pinned
`tokenizers` package itself, because its Unicode tables are of several ages at once and no other
library agrees with them.

usage: gen_unicode.py > unicode_table.c        (a python with the tokenizers version below)

The pipeline (BertNormalizer: clean_text, chinese characters, NFD, drop of nonspacing marks,
lowercase; then BertPreTokenizer) acts on each code point alone but for one thing: NFD sorts runs
of combining marks by class. So an entry holds what a code point becomes, and the class of each
mark that survives. The generator checks what the C code relies on, and dies where it does not hold.
"""
import sys
import unicodedata

import tokenizers
from tokenizers import normalizers, pre_tokenizers

VERSION = "0.23.3"
DROP, BREAK, SPACE, ISOLATED, WORD, SEQ, HANGUL = range(7)
BLOCK = 128

clean = normalizers.BertNormalizer(True, False, False, False).normalize_str
chinese = normalizers.BertNormalizer(False, True, False, False).normalize_str
strip = normalizers.BertNormalizer(False, False, True, False).normalize_str
lower = normalizers.BertNormalizer(False, False, False, True).normalize_str
full = normalizers.BertNormalizer(True, True, None, True).normalize_str
nfd = normalizers.NFD().normalize_str
split = pre_tokenizers.BertPreTokenizer().pre_tokenize_str


def code_points():
    return (c for c in range(0x110000) if not 0xD800 <= c < 0xE000)


def die(text):
    sys.exit(f"gen_unicode: {text}")


def swaps(first, second):
    """Whether NFD puts second before first: 0 < class(second) < class(first)."""
    return first != second and nfd(f"a{first}{second}") == f"a{second}{first}"


def reference_marks():
    """One mark for each combining class, in order. The package's tables are older than Python's:
    only marks that it sorts itself are taken."""
    first, last = "\u0338", "\u0345"  # classes 1 and 240, the lowest and the highest
    marks = {1: first, 240: last}
    for c in code_points():
        ch = chr(c)
        k = unicodedata.combining(ch)
        if k and k not in marks and swaps(last, ch) and swaps(ch, first):
            marks[k] = ch
    marks = sorted(marks.items())
    for (lo, a), (hi, b) in zip(marks, marks[1:]):
        if not swaps(b, a):
            die(f"classes {lo} and {hi} do not sort")
    return marks


def classify_marks():
    """Combining class of each code point as NFD sorts it; only non-zero ones are kept."""
    marks = reference_marks()
    first, last = marks[0][1], marks[-1][1]
    classes = {}
    for c in code_points():
        ch = chr(c)
        if nfd(ch) != ch or not (ch in (first, last) or swaps(last, ch) or swaps(ch, first)):
            continue
        rest = [k for k, m in marks if not swaps(ch, m) and not swaps(m, ch)]
        if len(rest) != 1:
            die(f"U+{c:04X} sorts beside {rest}")
        classes[c] = rest[0]
    return classes


def decompose(c, classes):
    """The items a kept, not chinese, not space code point becomes: (char, kind, class)."""
    items = []
    for d in nfd(chr(c)):
        k = classes.get(ord(d), 0)
        kept = strip(d)
        if kept == "":
            if k == 0:
                items.append((0, BREAK, 0))
            continue
        if kept != d:
            die(f"U+{ord(d):04X} of U+{c:04X} decomposes further")
        low = lower(d)
        for i, ch in enumerate(low):
            if i and k:
                die(f"mark U+{ord(d):04X} lowers to several")
            items.append((ord(ch), kind_of(ch), k))
    # A break beside a starter says nothing.
    out = []
    for i, item in enumerate(items):
        if item[1] == BREAK:
            before = out and out[-1][2] == 0
            after = i + 1 < len(items) and items[i + 1][2] == 0
            if before or after:
                continue
        out.append(item)
    return out


def kind_of(ch):
    pieces = [t for t, _ in split(f"a{ch}b")]
    if pieces == ["a", "b"]:
        return SPACE
    if pieces == ["a", ch, "b"]:
        return ISOLATED
    if pieces == [f"a{ch}b"]:
        return WORD
    return die(f"U+{ord(ch):04X} splits as {pieces}")


def entry_items(c, classes):
    ch = chr(c)
    cleaned = clean(ch)
    if cleaned == "":
        return []
    if cleaned != ch and cleaned != " ":
        die(f"U+{c:04X} cleans to {cleaned!r}")
    if cleaned == " ":
        return [(0, SPACE, 0)]
    items = decompose(c, classes)
    if chinese(ch) == f" {ch} ":
        if len(items) != 1 or items[0][1] != WORD or items[0][2]:
            die(f"chinese U+{c:04X} is not one letter: {items}")
        items = [(items[0][0], ISOLATED, 0)]
    elif chinese(ch) != ch:
        die(f"U+{c:04X}: odd chinese handling")
    check(c, items)
    return items


def check(c, items):
    """What unicode.c and tokenizer.c rely on."""
    width = len(chr(c).encode())
    if len(items) > width:
        die(f"U+{c:04X} becomes more characters than it has bytes")
    for ch, kind, k in items:
        if k and kind != WORD:
            die(f"U+{c:04X}: a mark that splits words")
        if kind == SPACE:
            die(f"U+{c:04X}: becomes a space late")
    text = "".join(chr(ch) for ch, kind, _ in items if kind != BREAK)
    got = full(chr(c)).strip(" ")
    if got != text:
        die(f"U+{c:04X}: composed {text!r}, the package says {got!r}")


def hangul(c):
    if not 0xAC00 <= c <= 0xD7A3:
        return None
    s = c - 0xAC00
    parts = [0x1100 + s // 588, 0x1161 + s % 588 // 28]
    if s % 28:
        parts.append(0x11A7 + s % 28)
    return [(p, WORD, 0) for p in parts]


def pack(ch, kind, k):
    return k << 24 | kind << 21 | ch


def build(classes):
    entries, sequences, index = [], [], {}
    for c in range(0x110000):
        if 0xD800 <= c < 0xE000:
            entries.append(0)
            continue
        items = entry_items(c, classes)
        if hangul(c) is not None:
            if items != hangul(c):
                die(f"U+{c:04X}: hangul differs")
            entries.append(pack(0, HANGUL, 0))
        elif not items:
            entries.append(pack(0, DROP, 0))
        elif len(items) == 1:
            ch, kind, k = items[0]
            entries.append(pack(0 if ch == c else ch, kind, k))
        else:
            key = tuple(items)
            if key not in index:
                index[key] = len(sequences)
                sequences.extend(pack(*i) for i in items)
            if len(items) > 15 or index[key] >= 1 << 17:
                die("sequence table too large")
            entries.append(pack(index[key] << 4 | len(items), SEQ, 0))
    return entries, sequences


def array(out, declaration, values, form):
    out.append(f"{declaration} = {{")
    line = "\t"
    for v in values:
        text = form(v) + ","
        if len(line) + len(text) > 96:
            out.append(line)
            line = "\t"
        line += text
    out.extend([line, "};", ""])


def main():
    if tokenizers.__version__ != VERSION:
        die(f"tokenizers {VERSION} is pinned, this is {tokenizers.__version__}")
    entries, sequences = build(classify_marks())
    blocks, stage1 = {}, []
    for b in range(0, 0x110000, BLOCK):
        key = tuple(entries[b:b + BLOCK])
        stage1.append(blocks.setdefault(key, len(blocks)))
    if len(blocks) > 256:
        kind = "uint16_t"
    else:
        kind = "uint8_t"
    out = [f"/* Generated by gen_unicode.py from tokenizers {VERSION}: do not edit. See unicode.h. */",
           '#include "embed/unicode.h"', ""]
    array(out, f"const {kind} sg_unicode_stage1[{len(stage1)}]", stage1, str)
    flat = [e for key in blocks for e in key]
    array(out, f"const uint32_t sg_unicode_stage2[{len(flat)}]", flat, lambda v: f"{v:#x}" if v > 9 else str(v))
    array(out, f"const uint32_t sg_unicode_sequences[{len(sequences)}]", sequences, lambda v: f"{v:#x}")
    print("\n".join(out[:-1]))
    marks = sum(1 for e in entries if e >> 24)
    print(f"{len(blocks)} blocks, {len(sequences)} in sequences, {marks} marks with a class",
          file=sys.stderr)


main()
