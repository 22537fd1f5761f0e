"""Spans: one a call, one a try, and nothing where OpenTelemetry is not used."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from amends.client import _tracing
from amends.exceptions import ServerError
from amends.testing import Reply

FILE = Reply(json={"id": "file_1"})


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(_tracing, "_tracer", lambda: provider.get_tracer("amends"))
    yield exporter
    provider.shutdown()


def get(client: Any) -> Any:
    return client.files.get("file_1")


def test_a_call_is_one_span_and_each_try_one_in_it(rig: Any, spans: InMemorySpanExporter) -> None:
    rig.run(get, Reply(503), httpx2.ReadError("reset"), FILE)
    *tries, call = spans.get_finished_spans()
    assert (call.name, call.parent, call.status.status_code) == ("amends GET /v1/files", None, StatusCode.UNSET)
    assert call.attributes == {"amends.attempts": 3}
    assert [span.parent.span_id for span in tries if span.parent] == [call.context.span_id] * 3
    assert {(span.name, span.kind) for span in tries} == {("GET", SpanKind.CLIENT)}
    attributes = [dict(span.attributes or {}) for span in tries]
    assert [found.get("http.response.status_code") for found in attributes] == [503, None, 200]
    assert [found.get("http.request.resend_count") for found in attributes] == [None, 1, 2]
    assert [found.get("error.type") for found in attributes] == ["503", "ReadError", None]
    assert attributes[0]["url.full"] == "http://127.0.0.1:8080/v1/files/file_1"
    assert (attributes[0]["server.address"], attributes[0]["server.port"]) == ("127.0.0.1", 8080)


def test_each_try_tells_the_server_of_its_span(rig: Any, spans: InMemorySpanExporter) -> None:
    rig.run(get, Reply(503), FILE)
    *tries, call = spans.get_finished_spans()
    told = [request.headers["traceparent"].split("-") for request in rig.requests]
    assert [int(parts[2], 16) for parts in told] == [span.context.span_id for span in tries]
    assert {int(parts[1], 16) for parts in told} == {call.context.trace_id}


def test_a_call_given_up_ends_its_span_with_the_error(rig: Any, spans: InMemorySpanExporter) -> None:
    with pytest.raises(ServerError):
        rig.run(get, Reply(503), max_retries=0)
    call = spans.get_finished_spans()[-1]
    assert call.status.status_code is StatusCode.ERROR
    assert call.attributes == {"amends.attempts": 1, "error.type": "ServerError"}


def test_a_call_that_broke_for_a_reason_of_its_own_leaves_no_span_open(rig: Any, spans: InMemorySpanExporter) -> None:
    def answer(request: Any) -> Any:
        raise KeyError("a bug")

    with pytest.raises(KeyError):
        rig.run(get, answer)
    assert [span.name for span in spans.get_finished_spans()] == ["GET", "amends GET /v1/files"]


PROGRAM = """
import sys
{first}
from amends import Client
from amends.testing import FakeTransport, Reply
transport = FakeTransport(Reply(json={{"id": "f"}}))
Client("k", http_client=transport.http_client()).files.get("f")
print("opentelemetry" in sys.modules, "traceparent" in transport.requests[0].headers)
"""
RECORDING = (
    "from opentelemetry import trace; from opentelemetry.sdk.trace import TracerProvider; "
    "trace.set_tracer_provider(TracerProvider())"
)


@pytest.mark.parametrize(
    ("first", "printed"),
    [
        ("", "False False"),
        ("import opentelemetry.trace", "True False"),
        (RECORDING, "True True"),
        ("sys.modules['opentelemetry'] = None", "True False"),
    ],
    ids=["unused", "imported", "recording", "missing"],
)
def test_spans_cost_nothing_where_nobody_records_them(first: str, printed: str) -> None:
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(first=first)], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == printed
