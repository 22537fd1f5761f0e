"""Structured logs: one event a line on stderr, named fields, the request id with each."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from contextlib import suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import msgspec
import structlog

from amends.server.settings import LogFormat

REQUEST_ID: Final[ContextVar[str]] = ContextVar("request_id")
"""Of the request that is being answered, by whatever thread or task."""

_PLAIN: Final = re.compile(r"""[^ \t=\r\n"']*""")


def configure_logs(log_format: LogFormat = "text", level: str = "info") -> None:
    """Send every event of this process to stderr, those of the standard library's loggers too; stdout is for data."""
    render = [structlog.processors.format_exc_info, _Json()] if log_format == "json" else [_Text(sys.stderr.isatty())]
    shared: list[Any] = [
        add_request_id,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, *render],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=lambda *_: structlog.WriteLogger(STANDARD_ERROR),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(STANDARD_ERROR)
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


class _StandardError:
    """Wherever it goes now. A line that cannot be written, the disk full or the reader gone, is lost and fails nothing."""

    def write(self, text: str) -> None:
        with suppress(OSError):
            sys.stderr.write(text)

    def flush(self) -> None:
        with suppress(OSError):
            sys.stderr.flush()


STANDARD_ERROR: Final[Any] = _StandardError()


class Seen(NamedTuple):
    """What the line of a request tells, in the order of its names. principal and workspace_id: None where nobody is known."""

    method: str
    milliseconds: float
    path: str
    principal: str | None
    request_id: str
    status: int
    workspace_id: str | None


class RequestLines:
    """One line a request: who changed what is on record; who only looked is for whoever looks for a fault.

    Every request pays for its line, and structlog's way there costs as much as a third of all else that a request passes. So
    lines for a file or a pipe are put together here, the same to the letter, and only a terminal's go that way.
    """

    def __init__(self) -> None:
        self._log = structlog.get_logger("amends.server").bind()
        self.tells_of_reading: bool = self._log.is_enabled_for(logging.DEBUG)
        self._tells_of_changes: bool = self._log.is_enabled_for(logging.INFO)
        render = structlog.get_config()["processors"][-1]
        self._line = (
            render.line if isinstance(render, _Json) or (isinstance(render, _Text) and render.is_plain) else None
        )

    def note(self, seen: Seen, *, is_reading: bool) -> None:
        if not (self.tells_of_reading if is_reading else self._tells_of_changes):
            return
        if self._line is None:
            self._log.log(logging.DEBUG if is_reading else logging.INFO, "request", **seen._asdict())
        else:
            now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
            STANDARD_ERROR.write(self._line(now, "debug" if is_reading else "info", seen))


def add_request_id(logger: Any, name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Structlog's own context would do it too, and take three times as long over each request."""
    if (request_id := REQUEST_ID.get(None)) is not None:
        event.setdefault("request_id", request_id)
    return event


class _Json(structlog.processors.JSONRenderer):
    """Lines for programs."""

    def __init__(self) -> None:
        super().__init__(serializer=_encoded)

    def line(self, timestamp: str, level: str, seen: Seen) -> str:
        return _encoded({**seen._asdict(), "level": level, "timestamp": timestamp, "event": "request"}) + "\n"


def _encoded(event: Any, default: Any = None, **_: Any) -> str:
    return msgspec.json.encode(event, enc_hook=default).decode()


class _Text:
    """Lines for people. structlog's own renderer lays out what is looked at on a terminal, and tracebacks.

    To a file it would cost a request more than all else that the request passes, so those lines are put together here, alike.
    """

    def __init__(self, colors: bool) -> None:
        self.is_plain = not colors
        # Plain tracebacks: the pretty ones show local variables, and those hold people's data and keys.
        self._console = structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=structlog.dev.plain_traceback)

    def __call__(self, logger: Any, name: str, event: MutableMapping[str, Any]) -> str:
        if not self.is_plain or "exc_info" in event or "exception" in event or "stack" in event:
            return self._console(logger, name, event)
        head = f"{event.pop('timestamp')} [{event.pop('level'):<9}] {event.pop('event')!s:<30}"
        return " ".join([head, *[f"{key}={_shown(event[key])}" for key in sorted(event)]])

    def line(self, timestamp: str, level: str, seen: Seen) -> str:
        method, milliseconds, path, principal, request_id, status, workspace_id = seen
        # Of all these only two are whatever somebody sent.
        return (
            f"{timestamp} [{level:<9}] {'request':<30} method={method} milliseconds={milliseconds} path={_shown(path)} "
            f"principal={principal} request_id={_shown(request_id)} status={status} workspace_id={workspace_id}\n"
        )


def _shown(value: Any) -> str:
    """A value as one word: a plain string as it is, one that holds a space, a quote or the like quoted."""
    return value if isinstance(value, str) and _PLAIN.fullmatch(value) else repr(value)
