"""Embeddings over HTTP: the real OpenAI client, and text-embeddings-inference's routes."""
import array
import base64
import concurrent.futures
import hashlib
import json
import os
import time

import openai
import pytest
from core import Core

MODEL = os.environ.get("SG_MODEL_DIR", "/work/models/all-MiniLM-L6-v2")
pytestmark = pytest.mark.skipif(not os.path.isdir(MODEL), reason="no model")
LONG = "word " * 400  # 402 tokens, of which 146 are cut off


def sha256(name):
    with open(os.path.join(MODEL, name), "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


@pytest.fixture(scope="module")
def core(tmp_path_factory):
    with Core(tmp_path_factory.mktemp("embeddings") / "core", model={"model_path": MODEL}) as core:
        yield core


@pytest.fixture(scope="module")
def client(core):
    with openai.OpenAI(api_key="unused", base_url=f"http://127.0.0.1:{core.port}/v1", max_retries=0) as c:
        yield c


def dot(a, b):
    return sum(x * y for x, y in zip(a, b))


def test_openai_client_asks_for_base64_and_gets_unit_vectors(client):
    r = client.embeddings.create(model="all-MiniLM-L6-v2", input=["a cat", "a kitten", "tax law"])
    v = [d.embedding for d in r.data]
    assert [d.index for d in r.data] == [0, 1, 2] and all(len(x) == 384 for x in v)
    assert dot(v[0], v[1]) > dot(v[0], v[2]) and abs(dot(v[0], v[0]) - 1) < 1e-5
    assert r.object == "list" and r.model == "all-MiniLM-L6-v2"
    assert r.usage.prompt_tokens == r.usage.total_tokens == 4 + 4 + 4


def test_openai_client_with_floats_a_string_and_its_options(client):
    wide = client.embeddings.create(model="m", input="a cat", encoding_format="float", dimensions=384, user="u")
    packed = client.embeddings.create(model="m", input="a cat")
    assert array.array("f", wide.data[0].embedding) == array.array("f", packed.data[0].embedding)


def test_openai_client_with_token_ids(core, client):
    text = "a cat sat on the mat"
    ids = [t["id"] for t in core.post("/tokenize", {"inputs": text}).json()[0]]
    one = client.embeddings.create(model="m", input=ids)
    many = client.embeddings.create(model="m", input=[ids, [101, 102]])
    want = client.embeddings.create(model="m", input=text).data[0].embedding
    assert one.data[0].embedding == many.data[0].embedding == want
    assert len(one.data) == 1 and len(many.data) == 2
    for bad in ([30522], [-1], [101, 1 << 40]):
        with pytest.raises(openai.UnprocessableEntityError) as e:
            client.embeddings.create(model="m", input=bad)
        assert "token id" in e.value.response.json()["detail"]
    long = client.embeddings.create(model="m", input=[101] + [2773] * 400 + [102])
    assert long.data[0].truncated_tokens == 146
    assert long.data[0].embedding == client.embeddings.create(model="m", input=LONG).data[0].embedding


def test_added_fields_name_the_model_and_what_was_cut_off(client):
    r = client.embeddings.create(model="m", input=["short", LONG])
    assert r.model_sha256 == r.content_sha256 == sha256("model.safetensors")
    assert r.tokenizer_sha256 == sha256("tokenizer.json")
    assert [(d.truncated, d.truncated_tokens) for d in r.data] == [(False, 0), (True, 146)]
    assert r.usage.prompt_tokens == 3 + 256


def test_truncate_false_refuses(client):
    client.embeddings.create(model="m", input="word " * 254, extra_body={"truncate": False})
    with pytest.raises(openai.APIStatusError) as e:
        client.embeddings.create(model="m", input=["short", "word " * 255], extra_body={"truncate": False})
    assert e.value.status_code == 413 and "256" in e.value.response.json()["detail"]


@pytest.mark.parametrize("bad", [
    {"input": []}, {"input": ["x"] * 257}, {"input": 1}, {}, {"input": "x", "dimensions": 10}, {"input": [1.5]},
    {"input": ["x", 1]}, {"input": [[]]}, {"input": [None]}, {"input": "x", "encoding_format": "hex"},
    {"input": "x", "truncate": "no"}, {"input": "x", "surprise": 1}])
def test_bad_requests_are_refused(core, bad):
    assert core.post("/v1/embeddings", bad).status == 422


def test_nul_is_a_character_like_any_other(core):
    got = core.post("/v1/embeddings", {"input": ["a\0cat", "acat"]})
    a, b = (d["embedding"] for d in got.json()["data"])
    assert got.status == 200 and a == b  # the tokenizers package drops NUL too
    tokens = core.post("/tokenize", {"inputs": "a\0b c"}).json()[0]
    assert [(t["text"], t["start"], t["stop"]) for t in tokens[1:-1]] == [("a\0b", 0, 3), ("c", 4, 5)]
    assert core.post("/v1/runs", {"graph_id": "a\0b"}).status == 422


def test_a_text_longer_than_the_limit_is_refused(tmp_path):
    with Core(tmp_path / "core", model={"model_path": MODEL}, limits={"text_bytes": 100}) as core:
        for path, key in (("/v1/embeddings", "input"), ("/embed", "inputs"), ("/tokenize", "inputs")):
            assert core.post(path, {key: "x" * 100}).status == 200
            r = core.post(path, {key: ["x", "x" * 101]})
            assert r.status == 413 and "limits.text_bytes" in r.json()["detail"]


def test_embed_in_the_shape_of_text_embeddings_inference(core, client):
    want = client.embeddings.create(model="m", input="a cat", encoding_format="float").data[0].embedding
    assert core.post("/embed", {"inputs": "a cat"}).json() == [want]
    r = core.post("/embed", {"inputs": ["a cat", LONG], "truncate": True, "normalize": True})
    assert r.status == 200 and r.json()[0] == want
    assert r.headers["x-truncated-tokens"] == "0,146"
    assert r.headers["x-model-sha256"] == sha256("model.safetensors")
    assert r.headers["x-tokenizer-sha256"] == sha256("tokenizer.json")
    assert core.post("/embed", {"inputs": [101, 1037, 4937, 102]}).json() == [want]
    assert core.post("/embed", {"inputs": LONG}).status == 413
    assert core.post("/embed", {"inputs": LONG, "truncate": False}).status == 413
    assert core.post("/embed", {"inputs": "x", "normalize": False}).status == 422


def test_tokenize_in_the_shape_of_text_embeddings_inference(core):
    from tokenizers import Tokenizer

    reference = Tokenizer.from_file(os.path.join(MODEL, "tokenizer.json"))
    reference.no_truncation()
    reference.no_padding()
    texts = ["Hello, w\u00f6rld!", "unaffable \U0001f468\u200d\U0001f469 \u4e2d\u6587", "a [MASK] b", "\"q\" \\ \t", LONG]
    for text, got in zip(texts, core.post("/tokenize", {"inputs": texts}).json()):
        e = reference.encode(text)
        assert got == [
            {"id": i, "text": token if special else text[a:b], "special": bool(special),
             "start": None if special else a, "stop": None if special else b}
            for i, token, special, (a, b) in zip(e.ids, e.tokens, e.special_tokens_mask, e.offsets)]
    bare = core.post("/tokenize", {"inputs": "a cat", "add_special_tokens": False}).json()
    assert [t["text"] for t in bare[0]] == ["a", "cat"]
    assert core.post("/tokenize", {"inputs": [101, 102]}).status == 422


def test_info_in_the_shape_of_text_embeddings_inference(core):
    info = core.get("/info").json()
    assert info["model_id"] == "sentence-transformers/all-MiniLM-L6-v2" and info["model_dtype"] == "float32"
    assert info["model_type"] == {"embedding": {"pooling": "mean"}} and info["max_input_length"] == 256
    assert info["model_sha"] == sha256("model.safetensors") and info["tokenizer_sha"] == sha256("tokenizer.json")
    assert info["max_client_batch_size"] == 256 and info["auto_truncate"] is False
    assert {"max_concurrent_requests", "max_batch_tokens", "max_batch_requests", "tokenization_workers",
            "version"} <= set(info)


def samples(core):
    return dict(line.rsplit(" ", 1) for line in core.get("/metrics").text.splitlines() if line[0] != "#")


def test_metrics_count_texts_tokens_batches_and_seconds(tmp_path):
    with Core(tmp_path / "core", model={"model_path": MODEL}) as core:
        assert core.post("/embed", {"inputs": ["a cat"] * 20}).status == 200
        m = samples(core)
        assert m["stargraph_embed_texts_total"] == "20" and m["stargraph_embed_tokens_total"] == "80"
        assert m["stargraph_embed_queue_texts"] == m["stargraph_embed_rejected_total"] == "0"
        batches = int(m["stargraph_embed_batch_texts_count"])
        assert 1 <= batches <= 20 and m["stargraph_embed_batch_texts_sum"] == "20"
        assert m['stargraph_embed_batch_texts_bucket{le="256"}'] == str(batches)
        for stage in ("tokenize", "wait", "compute"):
            assert 0 < float(m['stargraph_embed_seconds_total{stage="%s"}' % stage]) < 20


def test_a_full_queue_is_429_and_says_when_to_come_back(tmp_path):
    with Core(tmp_path / "core", model={"model_path": MODEL, "embed_workers": 1}, limits={"queue": 20}) as core:
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            got = list(pool.map(lambda _: core.post("/embed", {"inputs": [LONG] * 19, "truncate": True}), range(4)))
        assert {r.status for r in got} == {200, 429}
        full = next(r for r in got if r.status == 429)
        assert full.headers["retry-after"] == "1" and full.type == "application/problem+json"
        assert "limits.queue" in full.json()["detail"]
        # What a refused request had queued is gone with it: the queue empties and takes new texts.
        assert core.post("/embed", {"inputs": "after"}).status == 200
        served = 19 * sum(r.status == 200 for r in got)
        texts = int(samples(core)["stargraph_embed_texts_total"])
        assert served + 1 <= texts <= served + 1 + 4 * 2


def test_a_short_text_does_not_wait_for_the_long_ones_before_it(tmp_path):
    """The bound of pool.h: the batch that runs, then the short one; not sixty batches of long ones."""
    with Core(tmp_path / "core", model={"model_path": MODEL, "embed_workers": 1}, limits={"queue": 256}) as core:
        def timed(body):
            start = time.monotonic()
            assert core.post("/embed", body).status == 200
            return time.monotonic() - start

        one = min(timed({"inputs": LONG, "truncate": True}) for _ in range(3))
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            flood = pool.submit(timed, {"inputs": [LONG] * 60, "truncate": True})
            while int(samples(core)["stargraph_embed_queue_texts"]) < 20:
                assert not flood.done()
            waits = [timed({"inputs": "short"}) for _ in range(5)]
            assert not flood.done()
            assert flood.result() > 30 * one
        assert sorted(waits)[2] < 6 * one


def test_one_json_line_of_the_command_is_what_the_server_says(core):
    import subprocess
    from core import binary

    line = subprocess.run([binary(), "embed", "--model", MODEL], input=b'{"text":"a\\u0000 cat"}\n',
                          capture_output=True, check=True).stdout
    served = core.post("/embed", {"inputs": "a\0 cat"}).json()[0]
    assert array.array("f", json.loads(line)["embedding"]) == array.array("f", served)
    raw = core.post("/v1/embeddings", {"input": "a\0 cat", "encoding_format": "base64"}).json()
    assert base64.b64decode(raw["data"][0]["embedding"]) == array.array("f", served).tobytes()
