"""OpenTelemetry spans: one a call and, in it, one a try.

They are made once the program itself has imported OpenTelemetry, without which nobody would record them. So they cost
nothing, not even an import, where it is not used.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, MutableMapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer


class Trace:
    """The spans of one call; does nothing where nothing is recorded."""

    def __init__(self, method: str, group: str, url: str) -> None:
        self._call: Span | None = None
        self._try: Span | None = None
        if "opentelemetry.trace" not in sys.modules:
            return
        tracer = _tracer()
        span = tracer.start_span(f"amends {method} {group}")
        if span.is_recording():
            self._call, self._tracer, self._method, self._url = span, tracer, method, url

    def begin_try(self, number: int, headers: MutableMapping[str, str]) -> None:
        """Begin the span of a try, ``number`` from 0, and tell the server of it: ``traceparent``."""
        if self._call is None:
            return
        from opentelemetry.propagate import inject
        from opentelemetry.trace import SpanKind, set_span_in_context

        parts = urlsplit(self._url)
        attributes: dict[str, Any] = {
            "http.request.method": self._method,
            "url.full": self._url,
            "server.address": parts.hostname or "",
            "server.port": parts.port or (443 if parts.scheme == "https" else 80),
        }
        if number:
            attributes["http.request.resend_count"] = number
        context = set_span_in_context(self._call)
        self._try = self._tracer.start_span(self._method, context, SpanKind.CLIENT, attributes)
        inject(headers, set_span_in_context(self._try))

    def end_try(self, status: int | None, error: BaseException | str | None) -> None:
        """End it: ``status`` None where no answer came, ``error`` None where it was good."""
        if self._try is None:
            return
        attributes = {} if status is None else {"http.response.status_code": status}
        _end(self._try, attributes, error)
        self._try = None

    def end(self, attempts: int, error: BaseException | str | None) -> None:
        """End the span of the call, and that of a try that was left where it was."""
        if self._call is None:
            return
        self.end_try(None, error)
        _end(self._call, {"amends.attempts": attempts}, error)
        self._call = None


def _tracer() -> Tracer:
    from opentelemetry.trace import get_tracer

    from amends import __version__

    return get_tracer("amends", __version__)


def _end(span: Span, attributes: Mapping[str, Any], error: BaseException | str | None) -> None:
    from opentelemetry.trace import StatusCode

    span.set_attributes(attributes)
    if error is not None:
        kind = error if isinstance(error, str) else type(error).__name__
        span.set_attribute("error.type", kind)
        span.set_status(StatusCode.ERROR, str(error))
    span.end()
