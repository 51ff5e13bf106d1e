"""Texts for the differential test of the tokenizer, from a seed: every assigned code point in several
surroundings, then mixtures of what tokenizers get wrong."""
import itertools
import random
import unicodedata

SPECIALS = ["[CLS]", "[SEP]", "[PAD]", "[UNK]", "[MASK]"]
SPACES = [chr(c) for c in (9, 10, 11, 12, 13, 28, 31, 32, 0x85, 0xA0, 0x1680, *range(0x2000, 0x2010),
                           0x2028, 0x2029, 0x202F, 0x205F, 0x2060, 0x3000, 0xFEFF)]
CONTROLS = [chr(c) for c in (0, 1, 8, 0x1B, 0x7F, 0x80, 0x9F, 0xAD, 0x200B, 0x200C, 0x200D, 0x200E,
                             0x202E, 0xFFFD, 0xFFFE, 0xFFFF, 0xE000, 0x10FFFF, 0xE0001, 0xE0041)]
EMOJI = ["\U0001F600", "\U0001F468\u200D\U0001F469\u200D\U0001F467", "\U0001F1E9\U0001F1EA",
         "\U0001F44D\U0001F3FD", "\u2764\uFE0F", "1\uFE0F\u20E3", "\U0001F3F4\U000E0067\U000E0062"]


def assigned():
    """Every code point that a text can hold and that Unicode (Python's or a newer one) may assign:
    all scalar values outside the reserved planes 4 to 13."""
    return [c for c in range(0x110000)
            if not 0xD800 <= c < 0xE000 and not 0x40000 <= c < 0xE0000]


def of_category(*categories):
    return [chr(c) for c in assigned() if unicodedata.category(chr(c)) in categories]


class Texts:
    def __init__(self, seed, vocab):
        self.r = random.Random(seed)
        words = sorted(vocab)
        self.words = [w for w in words if not w.startswith("##") and not w.startswith("[")]
        self.pieces = [w[2:] if w.startswith("##") else w for w in words if not w.startswith("[")]
        self.marks = of_category("Mn", "Mc", "Me")
        self.letters = of_category("Ll", "Lu", "Lt", "Lm")
        self.punctuation = of_category("Po", "Ps", "Pe", "Pd", "Pc", "Pi", "Pf", "Sm", "Sc", "Sk", "So")
        self.composed = [c for c in self.letters if unicodedata.decomposition(c)]
        self.kinds = [self.word, self.word, self.glued, self.cased, self.accents, self.decomposed,
                      self.mark_run, self.hangul, self.cjk, self.emoji, self.space, self.control,
                      self.special, self.damaged_special, self.long_word, self.punct, self.number,
                      self.any_letter, self.any_char, self.hashes]

    def word(self):
        return self.r.choice(self.words)

    def glued(self):
        return "".join(self.r.choice(self.pieces) for _ in range(self.r.randint(2, 6)))

    def cased(self):
        return "".join(self.r.choice((str.upper, str.lower))(c) for c in self.word())

    def accents(self):
        return "".join(self.r.choice(self.composed) for _ in range(self.r.randint(1, 5)))

    def decomposed(self):
        return unicodedata.normalize(self.r.choice(("NFD", "NFC", "NFKC")), self.accents() + self.word())

    def mark_run(self):
        base = self.r.choice(("", "a", "e", "!", "\u4e2d", "\uac00", " ", self.any_letter()))
        return base + "".join(self.r.choice(self.marks) for _ in range(self.r.randint(1, 8)))

    def hangul(self):
        r = self.r
        return "".join(chr(r.choice((r.randint(0xAC00, 0xD7A3), r.randint(0x1100, 0x11FF),
                                     r.randint(0x3130, 0x318F), r.randint(0xFFA0, 0xFFDC))))
                       for _ in range(r.randint(1, 6)))

    def cjk(self):
        r = self.r
        return "".join(chr(r.choice((r.randint(0x4E00, 0x9FFF), r.randint(0x3400, 0x4DBF),
                                     r.randint(0x20000, 0x2FA1F), r.randint(0x3040, 0x30FF),
                                     r.randint(0xF900, 0xFAFF))))
                       for _ in range(r.randint(1, 6)))

    def emoji(self):
        return self.r.choice(EMOJI)

    def space(self):
        return self.r.choice(SPACES)

    def control(self):
        return self.r.choice(CONTROLS)

    def special(self):
        return self.r.choice(SPECIALS)

    def damaged_special(self):
        s = self.special()
        i = self.r.randrange(len(s) + 1)
        return self.r.choice((s.lower(), s[:i], s[i:], s[:i] + self.control() + s[i:], "[" + s + "]",
                              s[:i] + "\u0301" + s[i:], s[:-1], s.replace("[", "["), s + s[1:]))

    def long_word(self):
        n = self.r.choice((99, 100, 101, 102, 150, 400))
        unit = self.r.choice(("a", "é", "e\u0301", "\u0301", "中", "가", "ß", "\u1D15E", "x1", "\U0001D15E"))
        return (unit * n)[:n + self.r.randint(-1, 1)]

    def punct(self):
        return "".join(self.r.choice(self.punctuation) for _ in range(self.r.randint(1, 3)))

    def number(self):
        return f"{self.r.random() * 10 ** self.r.randint(0, 9):.{self.r.randint(0, 5)}f}"

    def any_letter(self):
        return self.r.choice(self.letters)

    def any_char(self):
        c = self.r.randrange(0x110000)
        return chr(c) if not 0xD800 <= c < 0xE000 else "\ufffd"

    def hashes(self):
        return "##" + self.word()

    def mixture(self):
        parts = []
        for _ in range(self.r.choice((1, 2, 3, 5, 9, 20))):
            parts.append(self.r.choice(self.kinds)())
            if self.r.random() < 0.6:
                parts.append(" ")
        return "".join(parts)

    def surroundings(self, ch):
        m = self.r.choice(self.marks)
        return self.r.choice((ch, f"a{ch}b", f"{ch}{ch}", f"x {ch} y", f"a{ch}{m}b", f"a{m}{ch}{m}b",
                              f"{self.word()}{ch}{self.word()}", f"E{ch}\u0301", f"[CLS]{ch}[SEP]"))

    def every_code_point(self):
        for c in assigned():
            yield self.surroundings(chr(c))

    def take(self, n):
        """n texts: as many code points as fit in half of them, evenly spread, then mixtures."""
        points = assigned()
        stride = max(1, 2 * len(points) // n) if n < 2 * len(points) else 1
        for c in itertools.islice(points, self.r.randrange(stride), None, stride):
            n -= 1
            yield self.surroundings(chr(c))
        for _ in range(n):
            yield self.mixture()
