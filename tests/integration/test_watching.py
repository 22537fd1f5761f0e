"""What an operator sees of the work: a log line for every failed attempt, counts, and traces at a real collector."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
import structlog
from structlog.testing import capture_logs

from amends.server.logs import configure_logs
from amends.server.owner import Owner
from amends.server.settings import Settings
from amends.server.tracing import CannotTrace, context_of
from tests.collector import collecting
from tests.servers import running_server

ROWS = [{"custom_id": "good", "input": {"text": "x"}}, {"custom_id": "lost", "file_id": "file_none"}]
POEM = [{"custom_id": "poem", "input": "no number in here"}]
SCHEMA = {"type": "object", "properties": {"number": {"type": "integer"}}, "required": ["number"]}
TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"


def run_to_its_end(client: httpx2.Client, rows: list[dict[str, object]], **parameters: object) -> httpx2.Response:
    """The answer that made the run, which has ended by then."""
    body = {"model": "local/echo", "items": rows, **parameters}
    made = client.post("/v1/batch-predictions", json=body, headers={"traceparent": f"00-{TRACE}-{SPAN}-01"})
    assert made.status_code == 200, made.text
    until = time.monotonic() + 60
    while client.get(f"/v1/runs/{made.json()['id']}").json()["status"] != "completed":
        assert time.monotonic() < until
        time.sleep(0.05)
    return made


def metric(text: str, *parts: str) -> float:
    """The sum of the series whose lines hold all the parts."""
    lines = [line for line in text.splitlines() if all(part in line for part in parts)]
    return sum(float(line.rpartition(" ")[2]) for line in lines)


@pytest.fixture
def info() -> Iterator[None]:
    """Logs from level info on, as ``amends serve`` has them."""
    configure_logs("json", "info")
    yield
    structlog.reset_defaults()


@pytest.mark.usefixtures("info")
def test_every_failed_attempt_is_logged_and_counted(tmp_path: Path) -> None:
    with running_server(tmp_path / "data") as server, server.client() as client:
        with capture_logs() as logged:
            made = run_to_its_end(client, ROWS)
            other = run_to_its_end(client, POEM, model="local/extract", output_schema=SCHEMA)
        text = client.get("/metrics").text
    lost, poem = [entry for entry in logged if entry["event"] == "attempt_failed"]
    run_id = made.json()["id"]
    assert (lost["run_id"], lost["request_id"]) == (run_id, made.headers["x-request-id"])
    assert (lost["problem"], lost["code"]) == ("file_not_found", "FILE_NOT_FOUND")
    assert lost["item"] == f"/v1/batch-predictions/{run_id}/items/lost"
    assert "file_none" in lost["message"]
    assert (poem["run_id"], poem["attempt"], poem["is_final"]) == (other.json()["id"], 1, True)
    assert (poem["code"], poem["model"]) == ("PREDICTION_FAILED", "local/extract")
    ends = [entry for entry in logged if entry["event"] == "run_ended"]
    assert [(entry["items"], entry["errored"]) for entry in ends] == [(2, 1), (1, 1)]
    assert metric(text, "amends_items_ended_total", 'model="local/echo"', 'status="succeeded"') == 1
    assert metric(text, "amends_items_ended_total", 'status="errored"') == 2
    assert metric(text, "amends_failed_attempts_total", 'code="PREDICTION_FAILED"', 'retried="no"') == 1


def test_request_run_and_leases_are_spans_that_point_to_each_other(tmp_path: Path) -> None:
    with collecting() as collector:
        with running_server(tmp_path / "data", otlp_endpoint=collector.endpoint) as server, server.client() as client:
            made = run_to_its_end(client, ROWS)
            run_id = made.json()["id"]
            client.get("/v1/runs/run_none")
        run_context = context_of(run_id)
        ids = (f"{run_context.trace_id:032x}", f"{run_context.span_id:016x}")
        request = collector.awaited(lambda span: span.name == "POST /v1/batch-predictions")
        run = collector.awaited(lambda span: span.name == "run predict")
        lease = collector.awaited(lambda span: span.name == "lease")
        missing = collector.awaited(lambda span: span.attributes.get("url.path") == "/v1/runs/run_none")
    assert (request.trace_id, request.parent_id) == (TRACE, SPAN)
    assert request.links == [ids]
    assert request.attributes["amends.request_id"] == made.headers["x-request-id"]
    assert request.attributes["http.response.status_code"] == 200
    assert (run.trace_id, run.span_id, run.parent_id) == (*ids, "")
    assert run.attributes["amends.request_id"] == made.headers["x-request-id"]
    assert (run.attributes["amends.items"], run.attributes["amends.items.errored"]) == (2, 1)
    assert 0 < run.seconds < 60
    assert (lease.trace_id, lease.parent_id, lease.attributes["amends.items"]) == (*ids, 1)
    assert (missing.attributes["http.response.status_code"], missing.has_failed) == (404, False)


def test_a_collector_that_is_not_there_disturbs_nobody(tmp_path: Path) -> None:
    with running_server(tmp_path / "data", otlp_endpoint="http://127.0.0.1:9") as server, server.client() as client:
        run_to_its_end(client, ROWS)


def test_tracing_without_its_extra_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    settings = Settings().with_flags(data=tmp_path / "data", otlp_endpoint="http://127.0.0.1:4318")
    with pytest.raises(CannotTrace, match=r"pip install 'amends\[tracing\]'"), Owner(settings):
        raise AssertionError("it started")
