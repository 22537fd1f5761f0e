"""OpenTelemetry traces: a span a request, a run and a lease, sent by OTLP to where the settings say.

A run outlives the request that made it, the process that began it and any span that could be held open. So its trace and span
ids are derived from its id: every process knows what its leases are parts of, and whoever sees it end writes its span. The
request that made it links to it, and both carry the request id.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from opentelemetry import trace
from opentelemetry.propagate import extract
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from starlette.types import Scope

from amends import __version__
from amends.ledger import Run
from amends.server.directory import StartError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.id_generator import IdGenerator

_NANOSECONDS: Final = 1_000_000_000


class Answered(Protocol):
    """An answer. status: of HTTP, 0 until it has begun."""

    status: int


class CannotTrace(StartError):
    """What tracing needs is not installed."""


def context_of(run_id: str) -> SpanContext:
    """The span of a run, wherever it is asked for."""
    digest = hashlib.sha256(run_id.encode()).digest()
    trace_id, span_id = int.from_bytes(digest[:16], "big"), int.from_bytes(digest[16:24], "big")
    return SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))


def link_to(run_id: str) -> None:
    """Have the span of the request under way, if there is one, point to the run that it made."""
    span = trace.get_current_span()
    if span.is_recording():
        span.add_link(context_of(run_id), {"amends.run_id": run_id})
        span.set_attribute("amends.run_id", run_id)


class Traces:
    """Spans on their way to a collector.

    endpoint: of OTLP over HTTP, such as ``http://127.0.0.1:4318``. Spans are sent by a thread of their own, and dropped where the
    collector does not keep up: nothing waits for it. Raises CannotTrace without the extra ``tracing``.
    """

    def __init__(self, endpoint: str) -> None:
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
        except ImportError as error:
            raise CannotTrace(
                f"otlp_endpoint is set, and {error.name} is not installed: pip install 'amends[tracing]'"
            ) from error
        self._ids = _Ids()
        resource = Resource.create({"service.name": "amends", "service.version": __version__})
        self._provider: TracerProvider = TracerProvider(resource=resource, id_generator=cast("IdGenerator", self._ids))
        exporter = OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces", timeout=5)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self.tracer = self._provider.get_tracer("amends", __version__)

    @contextmanager
    def request(self, scope: Scope, answer: Answered) -> Iterator[None]:
        """A span around a request, part of the caller's trace where ``traceparent`` names one (W3C Trace Context).

        Names and attributes follow OpenTelemetry's conventions for HTTP servers.
        """
        attributes: dict[str, Any] = {
            "http.request.method": scope["method"],
            "url.path": scope["path"],
            "amends.request_id": scope["state"]["request_id"],
        }
        parent = extract(_carrier(scope["headers"]))
        with self.tracer.start_as_current_span(
            scope["method"], context=parent, kind=SpanKind.SERVER, attributes=attributes
        ) as span:
            yield
            if route := getattr(scope.get("route"), "path", None):
                span.update_name(f"{scope['method']} {route}")
                span.set_attribute("http.route", route)
            span.set_attribute("http.response.status_code", answer.status)
            if who := scope["state"].get("caller"):
                span.set_attribute("amends.workspace_id", who.workspace_id)
            if answer.status >= 500:
                span.set_status(Status(StatusCode.ERROR))

    def run_ended(self, run: Run) -> None:
        """Write the span of a run, from its creation to its end."""
        counts = run.counts
        attributes: dict[str, Any] = {
            "amends.run_id": run.id,
            "amends.request_id": run.request_id,
            "amends.kind": run.kind,
            "amends.model": run.model,
            "amends.status": run.state,
            "amends.items": counts.total,
            "amends.items.errored": counts.errored,
        }
        with self._ids.being(context_of(run.id)):
            span = self.tracer.start_span(
                f"run {run.kind}", context=trace.set_span_in_context(trace.INVALID_SPAN), attributes=attributes,
                start_time=int(run.created_at * _NANOSECONDS),
            )  # fmt: skip
        if run.state != "completed":
            span.set_status(Status(StatusCode.ERROR, run.state))
        span.end(int((run.ended_at or run.created_at) * _NANOSECONDS))

    def lease_ended(self, run_id: str, owner: str, items: int, errored: int, seconds: float) -> None:
        """Write the span of a lease that ends now. seconds: how long it was held; errored: items that failed, for good or not."""
        now = time.time_ns()
        attributes: dict[str, Any] = {
            "amends.run_id": run_id,
            "amends.worker_id": owner,
            "amends.items": items,
            "amends.items.errored": errored,
        }
        parent = trace.set_span_in_context(NonRecordingSpan(context_of(run_id)))
        span = self.tracer.start_span(
            "lease", context=parent, attributes=attributes, start_time=now - int(seconds * _NANOSECONDS)
        )
        span.end(now)

    def close(self) -> None:
        """Send what waits, within a few seconds."""
        self._provider.shutdown()


class _Ids(threading.local):
    """Makes ids, at random but for the span of a run. A generator of the SDK's kind, one state a thread."""

    def __init__(self) -> None:
        from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

        self._random = RandomIdGenerator()
        self._next: SpanContext | None = None

    @contextmanager
    def being(self, context: SpanContext) -> Iterator[None]:
        """Give the next span these ids."""
        self._next = context
        try:
            yield
        finally:
            self._next = None

    def generate_span_id(self) -> int:
        return self._next.span_id if self._next else self._random.generate_span_id()

    def generate_trace_id(self) -> int:
        return self._next.trace_id if self._next else self._random.generate_trace_id()

    def is_trace_id_random(self) -> bool:
        return True


def _carrier(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    wanted = (b"traceparent", b"tracestate", b"baggage")
    return {name.decode(): value.decode("latin-1") for name, value in headers if name in wanted}
