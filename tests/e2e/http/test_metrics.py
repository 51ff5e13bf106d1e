"""/metrics: Prometheus' own parser reads it, and the figures are the ones that happened."""
import pytest
from core import Core
from prometheus_client.parser import text_string_to_metric_families as parse


def families(core):
    r = core.get("/metrics")
    assert r.type == "text/plain; version=0.0.4; charset=utf-8"
    assert r.text.endswith("\n")
    return {f.name: f for f in parse(r.text)}


def test_prometheus_reads_it(oss):
    oss.run("run:done")
    oss.get("/v1/runs/nonsense")
    found = families(oss)
    for name, f in found.items():
        assert f.documentation and f.type in ("counter", "gauge", "histogram"), name
        assert f.samples, name
        labels = [tuple(sorted(s.labels.items())) + (s.name,) for s in f.samples]
        assert len(set(labels)) == len(labels), f"{name}: a series twice"
    text = oss.get("/metrics").text
    for name in found:
        assert text.count(f"# TYPE {name} ") + text.count(f"# TYPE {name}_total ") == 1


def value(found, name, **labels):
    for f in found.values():
        for s in f.samples:
            if s.name == name and s.labels == labels:
                return s.value
    pytest.fail(f"no {name} {labels}")


def test_figures_are_what_happened(tmp_path, graphs):
    with Core(tmp_path / "core", graphs=[graphs], limits={"steps": 30}) as core:
        for _ in range(3):
            core.run("run:done")
        core.run("run:long")
        core.run("run:ask")
        core.get("/v1/runs/nonsense")
        core.post("/v1/runs", {"graph_id": "run:done"}, headers={"Origin": "https://evil.example"})
        found = families(core)
        assert value(found, "stargraph_runs_started_total") == 5
        assert value(found, "stargraph_runs_finished_total", status="done") == 3
        assert value(found, "stargraph_runs_finished_total", status="failed") == 1
        assert value(found, "stargraph_runs_waiting") == 1
        assert value(found, "stargraph_runs_live") == 0
        assert value(found, "stargraph_steps_total") >= 3 * 2 + 30 + 1
        assert value(found, "stargraph_http_responses_total", **{"class": "4xx"}) == 2
        assert value(found, "stargraph_refusals_total") == 1
        assert value(found, "stargraph_audit_records_total") in (len(core.audit()), len(core.audit()) - 1)
        assert value(found, "process_resident_memory_bytes") > 1 << 20
