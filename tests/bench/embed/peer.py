"""One peer of the benchmark, as a process that answers the lines bench_embed.c answers.

usage: peer.py openvino|onnxruntime|torch|sentence-transformers THREADS MODEL_DIR CORPUS f32|bf16

  text N REPS  -> best milliseconds for one text of N tokens
  corpus       -> tokens/s over the corpus at the batch setting that was best in `tune`
  tune         -> the setting chosen: "batch SIZE" or "streams N"
"""
import os
import sys
import time

NAME, THREADS, MODEL, CORPUS, PRECISION = sys.argv[1:6]
THREADS = int(THREADS)
for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = str(THREADS)
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np  # noqa: E402

BATCHES = (1, 2, 4, 8, 16, 32)


def read_corpus():
    with open(CORPUS) as f:
        return [[int(i) for i in line.split()] for line in f]


def padded(texts):
    """ids and attention mask of texts, padded to the longest."""
    width = max(len(t) for t in texts)
    ids = np.zeros((len(texts), width), dtype=np.int64)
    mask = np.zeros_like(ids)
    for row, text in enumerate(texts):
        ids[row, : len(text)] = text
        mask[row, : len(text)] = 1
    return ids, mask


def torch_model():
    """The whole path from ids to unit vectors as one module, in float32."""
    import torch
    from transformers import AutoModel

    torch.set_num_threads(THREADS)

    class Embedder(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.bert = AutoModel.from_pretrained(MODEL, dtype=torch.float32).eval()

        def forward(self, input_ids, attention_mask):
            hidden = self.bert(input_ids=input_ids, attention_mask=attention_mask)[0]
            keep = attention_mask.unsqueeze(-1).to(hidden.dtype)
            mean = (hidden * keep).sum(1) / keep.sum(1).clamp(min=1e-9)
            return torch.nn.functional.normalize(mean, p=2, dim=1)

    return Embedder().eval()


class Torch:
    def __init__(self):
        self.model = torch_model()

    def embed(self, ids, mask):
        import torch

        with torch.inference_mode():
            return self.model(torch.from_numpy(ids), torch.from_numpy(mask)).numpy()


class SentenceTransformers:
    """Text in, as people call it: tokenization included."""

    def __init__(self):
        import torch
        from sentence_transformers import SentenceTransformer

        torch.set_num_threads(THREADS)
        self.model = SentenceTransformer(MODEL, device="cpu")
        self.texts = {}

    def text_of(self, ids, mask):
        key = ids.tobytes() + mask.tobytes()
        if key not in self.texts:
            rows = [row[keep > 0][1:-1] for row, keep in zip(ids, mask)]
            self.texts[key] = [self.model.tokenizer.decode(row) for row in rows]
        return self.texts[key]

    def embed(self, ids, mask):
        return self.model.encode(self.text_of(ids, mask), batch_size=len(ids),
                                 show_progress_bar=False)


class OpenVINO:
    def __init__(self):
        import openvino as ov
        import torch

        example = torch.ones(1, 16, dtype=torch.int64)
        dynamic = [("input_ids", [-1, -1], np.int64), ("attention_mask", [-1, -1], np.int64)]
        self.graph = ov.convert_model(
            torch_model(), input=dynamic,
            example_input={"input_ids": example, "attention_mask": example})
        self.core = ov.Core()
        self.request = self.compile(1).create_infer_request()

    def compile(self, streams):
        return self.core.compile_model(self.graph, "CPU", {
            "INFERENCE_NUM_THREADS": THREADS, "NUM_STREAMS": streams,
            "INFERENCE_PRECISION_HINT": PRECISION})

    def embed(self, ids, mask):
        return self.request.infer({0: ids, 1: mask})[0]

    def streams(self, batches):
        """As many texts side by side as threads, each on one thread."""
        import openvino as ov

        if not hasattr(self, "queue"):
            self.queue = ov.AsyncInferQueue(self.compile(THREADS), THREADS)
        for ids, mask in batches:
            self.queue.start_async({0: ids, 1: mask})
        self.queue.wait_all()


class OnnxRuntime:
    def __init__(self):
        import onnxruntime as ort
        import tempfile
        import torch

        options = ort.SessionOptions()
        options.intra_op_num_threads = THREADS
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        example = torch.ones(2, 16, dtype=torch.int64)
        axes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("length", max=512)}
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "model.onnx")
            torch.onnx.export(torch_model(), (example, example), path, dynamo=True,
                              input_names=["input_ids", "attention_mask"],
                              dynamic_shapes=(axes, axes), verbose=False)
            self.session = ort.InferenceSession(path, options, ["CPUExecutionProvider"])

    def embed(self, ids, mask):
        return self.session.run(None, {"input_ids": ids, "attention_mask": mask})[0]


PEERS = {"openvino": OpenVINO, "onnxruntime": OnnxRuntime, "torch": Torch,
         "sentence-transformers": SentenceTransformers}


class Bench:
    def __init__(self):
        self.peer = PEERS[NAME]()
        self.corpus = sorted(read_corpus(), key=len)
        self.tokens = sum(map(len, self.corpus))
        self.setting = ("batch", 1)

    def text(self, n, reps):
        ids = np.array([[1000 + i * 7919 % 20000 for i in range(n)]], dtype=np.int64)
        mask = np.ones_like(ids)
        best = 1e9
        for _ in range(reps):
            t = time.perf_counter()
            self.peer.embed(ids, mask)
            best = min(best, time.perf_counter() - t)
        return best * 1e3

    def pass_over(self, texts, setting):
        kind, size = setting
        step = size if kind == "batch" else 1
        batches = [padded(texts[i : i + step]) for i in range(0, len(texts), step)]
        if NAME == "sentence-transformers":
            for b in batches:
                self.peer.text_of(*b)
        t = time.perf_counter()
        if kind == "streams":
            self.peer.streams(batches)
        else:
            for b in batches:
                self.peer.embed(*b)
        return sum(map(len, texts)) / (time.perf_counter() - t)

    def tune(self):
        some = self.corpus[:: max(1, len(self.corpus) // 64)]
        settings = [("batch", b) for b in BATCHES]
        if NAME == "openvino" and THREADS > 1:
            settings.append(("streams", THREADS))
        speed = {}
        for s in settings:
            self.pass_over(some, s)
            speed[s] = max(self.pass_over(some, s) for _ in range(2))
        self.setting = max(speed, key=speed.get)
        return "%s %d" % self.setting

    def answer(self, line):
        word, *rest = line.split()
        if word == "text":
            return "%.5f" % self.text(int(rest[0]), int(rest[1]))
        if word == "corpus":
            return "%.3f" % self.pass_over(self.corpus, self.setting)
        return self.tune() if word == "tune" else "?"


def main():
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the libraries print is not an answer
    bench = Bench()
    answers.write("ready\n")
    answers.flush()
    for line in sys.stdin:
        answers.write(bench.answer(line) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
