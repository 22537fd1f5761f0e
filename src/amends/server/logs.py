"""Structured logs: one event a line on stderr, named fields, the request id with each."""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog

from amends.server.settings import LogFormat


def configure_logs(log_format: LogFormat = "text", level: str = "info") -> None:
    """Send every event of this process to stderr, those of the standard library's loggers too; stdout is for data."""
    # Plain tracebacks: the pretty ones show local variables, and those hold people's data and keys.
    plain = structlog.dev.plain_traceback
    render: list[Any] = [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)]
    if log_format == "json":
        render = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, *render],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
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
