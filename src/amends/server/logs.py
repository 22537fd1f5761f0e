"""Structured logs: one event a line on stderr, named fields, the request id with each."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from contextvars import ContextVar
from typing import Any, Final

import msgspec
import structlog

from amends.server.settings import LogFormat

REQUEST_ID: Final[ContextVar[str]] = ContextVar("request_id")
"""Of the request that is being answered, by whatever thread or task."""

_PLAIN: Final = re.compile(r"""[^ \t=\r\n"']*""")


def configure_logs(log_format: LogFormat = "text", level: str = "info") -> None:
    """Send every event of this process to stderr, those of the standard library's loggers too; stdout is for data."""
    render = _json_renderers() if log_format == "json" else [_text_renderer(colors=sys.stderr.isatty())]
    shared: list[Any] = [
        add_request_id,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, *render],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=lambda *_: structlog.WriteLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
        )
    )
    ours = logging.getLogger("amends")
    ours.handlers, ours.propagate = [handler], False
    ours.setLevel(level.upper())
    # What it has to say of a request is in our own events already, with the request id.
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)


def add_request_id(logger: Any, name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Structlog's own context would do it too, and take three times as long over each request."""
    if (request_id := REQUEST_ID.get(None)) is not None:
        event.setdefault("request_id", request_id)
    return event


def _json_renderers() -> list[Any]:
    def dumps(event: Any, default: Any, **_: Any) -> str:
        return msgspec.json.encode(event, enc_hook=default).decode()

    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(serializer=dumps)]


def _text_renderer(*, colors: bool) -> Any:
    """Lines for people. structlog's own renderer lays out what is looked at on a terminal, and tracebacks.

    To a file it would cost a request more than all else that the request passes, so those lines are put together here, alike.
    """
    # Plain tracebacks: the pretty ones show local variables, and those hold people's data and keys.
    console = structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=structlog.dev.plain_traceback)

    def render(logger: Any, name: str, event: MutableMapping[str, Any]) -> str:
        if colors or "exc_info" in event or "exception" in event or "stack" in event:
            return console(logger, name, event)
        head = f"{event.pop('timestamp')} [{event.pop('level'):<9}] {event.pop('event')!s:<30}"
        return " ".join([head, *[f"{key}={_shown(event[key])}" for key in sorted(event)]])

    return render


def _shown(value: Any) -> str:
    """A value as one word: a plain string as it is, one that holds a space, a quote or the like quoted."""
    return value if isinstance(value, str) and _PLAIN.fullmatch(value) else repr(value)
