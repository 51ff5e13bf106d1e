#!/usr/bin/env python3
"""Writes texts.jsonl (text and ids) and vectors.f32 (384 little-endian floats a text) with
sentence-transformers, one text at a time, float32, on a CPU.

usage: generate.py MODEL_DIR      (a python with sentence-transformers; versions go to versions.txt)
"""
import json
import os
import pathlib
import sys

os.environ["HF_HUB_OFFLINE"] = "1"
HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tokenizer"))

import numpy
import sentence_transformers
import tokenizers
import torch
from strings import Texts

LANGUAGES = [
    "A remote attacker can execute arbitrary code by sending a crafted packet.",
    "Un attaquant distant peut exécuter du code arbitraire à l'aide d'un paquet forgé.",
    "Ein entfernter Angreifer kann über präparierte Pakete beliebigen Code ausführen – straße, Größe.",
    "Удалённый злоумышленник может выполнить произвольный код.",
    "Ένας απομακρυσμένος εισβολέας μπορεί να εκτελέσει αυθαίρετο κώδικα. ΣΊΣΥΦΟΣ",
    "远程攻击者可通过特制数据包执行任意代码。", "リモートの攻撃者は細工されたパケットにより任意のコードを実行できる。",
    "원격 공격자가 조작된 패킷으로 임의의 코드를 실행할 수 있습니다.", "يمكن لمهاجم بعيد تنفيذ تعليمات برمجية عشوائية.",
    "תוקף מרוחק יכול להריץ קוד שרירותי.", "एक दूरस्थ हमलावर मनमाना कोड चला सकता है।", "ผู้โจมตีระยะไกลสามารถเรียกใช้โค้ดได้",
    "Kẻ tấn công từ xa có thể thực thi mã tùy ý.", "İstanbul'da ıssız bir gece", "ﬁne ligature ﬂow ½ ² ①",
]
SHORT = ["", " ", "a", ".", "?!", "0", "the", "[CLS]", "[MASK]", "[SEP] [SEP]", "##x", "👍", "👨‍👩‍👧 family", "\u200b", "e\u0301",
         "é", "x" * 100, "x" * 101, "CVE-2021-44228", "1.2.3.4:8080", "https://example.org/a?b=c#d", "SELECT * FROM users;",
         "\t\n\r", "NaN", "a b c d e f g h", "don't won't can't", "C:\\Windows\\System32", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢", "한", "中"]


def advisories():
    path = HERE.parents[2] / "deploy/triage/advisories.jsonl"
    return [" ".join(str(v) for v in json.loads(line).values()) for line in path.open()]


def of_length(tokenizer, source, tokens):
    """Words of source until there are that many tokens, [CLS] and [SEP] included."""
    words, i = [], 0
    while len(tokenizer.encode(" ".join(words)).ids) < tokens:
        words.append(source[i % len(source)])
        i += 1
    return " ".join(words)


def texts(model):
    tokenizer = tokenizers.Tokenizer.from_file(f"{model}/tokenizer.json")
    tokenizer.no_truncation()
    tokenizer.no_padding()
    real = advisories()
    result = LANGUAGES + SHORT + real
    result += [" ".join(real[i:i + 3]) for i in range(0, len(real), 3)]
    source = " ".join(real).split()
    result += [of_length(tokenizer, source[i:] + source[:i], n)
               for i, n in enumerate((3, 7, 8, 12, 15, 16, 17, 31, 32, 33, 48, 63, 64, 65, 96, 127, 128, 129,
                                      192, 254, 255, 256, 257, 258, 300, 512, 1000))]
    odd = Texts(4, tokenizer.get_vocab(with_added_tokens=False))
    while len(result) < 150:
        text = odd.mixture()
        if "\0" not in text:
            result.append(text)
    return result


def main():
    model_dir = sys.argv[1]
    model = sentence_transformers.SentenceTransformer(model_dir, device="cpu")
    torch.set_num_threads(1)
    chosen = texts(model_dir)
    reference = tokenizers.Tokenizer.from_file(f"{model_dir}/tokenizer.json")
    reference.no_padding()
    reference.enable_truncation(256)
    vectors = []
    with open(HERE / "texts.jsonl", "w") as out:
        for text in chosen:
            ids = model.preprocess([text])["input_ids"][0].tolist()
            assert ids == reference.encode(text).ids, text
            out.write(json.dumps({"text": text, "ids": ids}, separators=(",", ":")) + "\n")
            vectors.append(model.encode([text], batch_size=1, show_progress_bar=False)[0])
    numpy.asarray(vectors, "<f4").tofile(HERE / "vectors.f32")
    (HERE / "versions.txt").write_text(
        f"sentence-transformers {sentence_transformers.__version__}\ntorch {torch.__version__}\n"
        f"tokenizers {tokenizers.__version__}\n")


main()
