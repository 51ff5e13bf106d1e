#!/usr/bin/env python3
"""Writes vectors.jsonl: texts, ids and vectors of sentence-transformers, the oracle of the kernels.

usage: make_vectors.py MODEL_DIR > vectors.jsonl   (needs sentence-transformers; each text alone)

One JSON object a line: text, ids (with [CLS] and [SEP]), vector (384 little-endian float32, hex).
"""
import json
import sys

from sentence_transformers import SentenceTransformer
import numpy as np
import torch

WORDS = (
    "the sensor on turbine seven reports a pressure drop of forty percent while operators wait for "
    "a signed procedure before they restart the pump and an analyst reads the advisory again"
).split()
SHORT = [
    "", "a", "Hello, world!", "cat sat on the mat", "The cat sat on the mat.",
    "CVE-2021-44228: remote code execution in Apache Log4j 2 through JNDI lookups.",
    "Heap-based buffer overflow in the TLS parser allows remote attackers to crash the server.",
    "SELECT * FROM users WHERE name = '' OR 1=1; --", "naïve café, Ångström, Straße, İstanbul",
    "東京都は日本の首都です。", "안녕하세요 세계", "🙂🚀 emoji 👩‍👩‍👧 sequence", "[CLS] literal [MASK] ##x [SEP]",
    "1 2 3 4 5 6 7 8 9 10", "!!!!!!!!!!!!!!!!!!!!!!!!", "x" * 150, "for (int i = 0; i < n; i++) sum += a[i];",
    "Überprüfung der Zertifikate an der Grenze zwischen zwei Netzen",
    "Вектор не зависит от соседей по пакету.", "A man is playing guitar.",
]


def texts():
    yield from SHORT
    for n in (9, 17, 30, 45, 60, 61, 62, 63, 64, 90, 126, 127, 128, 190, 254, 255, 400):
        yield " ".join(WORDS[(i * 7 + n) % len(WORDS)] for i in range(n))


def main():
    torch.set_num_threads(1)
    model = SentenceTransformer(sys.argv[1], device="cpu")
    for text in texts():
        ids = model.tokenize([text])["input_ids"][0].tolist()
        vector = np.asarray(model.encode([text], batch_size=1)[0], dtype="<f4")
        print(json.dumps({"text": text, "ids": ids, "vector": vector.tobytes().hex()}))


if __name__ == "__main__":
    main()
