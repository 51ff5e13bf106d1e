"""Knowledge stores over HTTP: declared in stargraph.toml, written, searched, refused."""
import pytest

from conftest import MODEL, Cli
from core import Core, Grant, Who

STORES = [{"name": "docs", "provider": "vector"}, {"name": "plain", "provider": "document"}]
DOCS = [{"id": "nano", "text": "small, friendly text editor", "metadata": {"section": "editors"}},
        {"id": "nginx", "text": "small, powerful, scalable web/proxy server"},
        {"id": "gimp", "text": "GNU Image Manipulation Program"}]


@pytest.fixture
def core(tmp_path):
    with Core(tmp_path / "core", stores=STORES, model={"model_path": MODEL}) as core:
        yield core


def search(core, query, store="docs", **kw):
    r = core.post(f"/v1/stores/{store}/search", {"query": query, **kw})
    assert r.status == 200, r
    return r.json()["hits"]


def test_documents_are_durable_when_answered(core, tmp_path):
    r = core.post("/v1/stores/docs/documents", {"documents": DOCS})
    assert r.status == 200 and r.json() == {
        "added": 3, "deleted": 0, "unchanged": 0, "updated": 0}
    core.restart()  # killed, not stopped
    hits = search(core, "changing photographs", mode="vector")
    assert [h["id"] for h in hits][0] == "gimp"
    assert hits[0]["source"] == "docs" and hits[0]["text"] == DOCS[2]["text"]
    assert search(core, "editors")[0]["id"] == "nano"
    assert [h["id"] for h in search(core, "small", filter={"section": "editors"})] == ["nano"]
    assert "text" not in search(core, "editors", text=False)[0]
    again = core.post("/v1/stores/docs/documents", {"documents": DOCS, "delete": ["gimp"]})
    assert again.json()["unchanged"] == 3 and again.json()["deleted"] == 1
    assert "gimp" not in [h["id"] for h in search(core, "image program")]
    stores = {s["name"]: s for s in core.get("/v1/stores").json()}
    assert stores["docs"]["items"] == 2 and stores["docs"]["model"]["dims"] == 384
    assert core.get("/v1/stores/plain").json()["provider"] == "document"
    assert '"documents_write"' in core.audit_path.read_text()
    # the command line reads beside the server, and sees the same
    hits = Cli(core.state_dir).json("search", "docs", "editors", "--model", MODEL)
    assert hits == search(core, "editors")
    assert "0 damaged" in Cli(core.state_dir).run("check")


def test_the_same_search_gives_the_same_hits(core):
    docs = [{"id": f"d{i:03}", "text": f"the same text {i % 3}"} for i in range(200)]
    assert core.post("/v1/stores/docs/documents", {"documents": docs}).status == 200
    first = search(core, "text", k=50)
    assert [h["id"] for h in first] == [h["id"] for h in search(core, "text", k=50)]
    vector = search(core, "the same text 1", mode="vector", k=100)
    assert len({h["score"] for h in vector[:67]}) == 1
    assert [h["id"] for h in vector[:67]] == [f"d{i:03}" for i in range(1, 200, 3)]
    core.restart()
    assert search(core, "text", k=50) == first


def test_what_is_wrong_changes_nothing(core):
    bad = [
        ({"documents": [{"id": "a"}]}, 422), ({"documents": [{"id": "", "text": "x"}]}, 422),
        ({"documents": [{"id": "a", "text": "x", "metadata": {"b": {}}}]}, 422),
        ({"documents": [{"id": "a", "text": "x"}, {"id": "a", "text": "y"}]}, 422),
        ({"documents": [{"id": "a", "text": "x"}] * 257}, 422), ({"docs": []}, 422),
    ]
    for body, status in bad:
        r = core.post("/v1/stores/docs/documents", body)
        assert r.status == status, (body, r)
    assert core.post("/v1/stores/none/documents", {"documents": []}).status == 404
    assert core.get("/v1/stores/docs").json()["items"] == 0
    for body in ({"query": ""}, {"query": "x", "k": 0}, {"query": "x", "mode": "fuzzy"},
                 {"query": "x", "filter": {"a": {"gtt": 1}}}, {"query": "x", "filter": {"a": None}}):
        assert core.post("/v1/stores/docs/search", body).status == 422, body
    assert core.post("/v1/stores/plain/search", {"query": "x", "mode": "vector"}).status == 422
    assert core.post("/v1/stores/none/search", {"query": "x"}).status == 404


def test_each_store_has_its_capabilities(tmp_path):
    reader, writer = Who("CN=reader"), Who("CN=writer")
    grants = [Grant(["db.plain:read"], subject="CN=reader"),
              Grant(["db.plain:read", "db.plain:write"], subject="CN=writer")]
    with Core(tmp_path / "core", profile="cleared", stores=STORES[1:], grants=grants) as core:
        def post(path, body, who):
            return core.request("POST", path, body, as_=who)
        write = {"documents": [{"id": "a", "text": "herons"}]}
        r = post("/v1/stores/plain/documents", write, reader)
        assert r.status == 403 and "db.plain:write" in r.text
        assert post("/v1/stores/plain/documents", write, writer).status == 200
        r = post("/v1/stores/plain/search", {"query": "heron", "mode": "text"}, reader)
        assert [h["id"] for h in r.json()["hits"]] == ["a"]
        assert core.request("GET", "/v1/stores", as_=reader).json()[0]["name"] == "plain"
        assert core.request("GET", "/v1/stores/docs", as_=reader).status == 403
        assert "db.plain:write" in core.audit_path.read_text()


def test_a_declaration_that_does_not_fit_is_refused(tmp_path):
    core = Core(tmp_path / "core", stores=[{"name": "docs", "provider": "vector"}])
    code, err = core.refused()
    assert code == 2 and "needs the embedding model" in err
    Cli(core.state_dir).run("create", "docs", "--provider", "document")
    core.model = {"model_path": MODEL}
    core.write_config()
    code, err = core.refused()
    assert code != 0 and "exists with provider document, not vector" in err
    core.stores = [{"name": "docs", "provider": "vectors"}]
    core.write_config()
    code, err = core.refused()
    assert code == 2 and "[store]" in err


def test_vectors_of_another_model_are_refused_at_the_start(tmp_path):
    with Core(tmp_path / "core", stores=STORES[:1], model={"model_path": MODEL}) as core:
        assert core.post("/v1/stores/docs/documents", {"documents": DOCS}).status == 200
    Cli(core.state_dir).run("reembed", "docs", "--model", MODEL, "--kernel", "bf16-emulated")
    code, err = core.refused()
    assert code == 2 and "holds vectors of (" in err and "reembed" in err
