"""Request ids, and what is noted of every request: one log line, one count."""

from __future__ import annotations

import re
import time
from typing import Final

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from amends.database import new_id
from amends.server.metrics import Metrics

log = structlog.get_logger("amends.server")

_READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
# What may stand in a header, a log line and a shell without harm.
_SANE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@/+=-]{0,127}")


class RequestContext:
    """The outermost ASGI middleware: every response carries ``X-Request-Id``, the caller's own where it is a sane one.

    It also carries the headers that a middleware further in put into the state, whoever composes the response.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = _request_id(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        status = 0
        started = time.monotonic()

        async def with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                own = ((b"x-request-id", request_id.encode()), *scope["state"].get("headers", ()))
                message["headers"] = [*message.get("headers", ()), *own]
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self.app(scope, receive, with_id)
            finally:
                seconds = time.monotonic() - started
                route = getattr(scope.get("route"), "path", "other")
                self.metrics.request(scope["method"], route, status, seconds)
                # Who changed what is on record; who only looked is for whoever looks for a fault.
                note = log.debug if scope["method"] in _READING else log.info
                who = scope["state"].get("caller")
                note(
                    "request",
                    method=scope["method"],
                    path=scope["path"],
                    status=status,
                    milliseconds=round(seconds * 1000, 1),
                    workspace_id=who and who.workspace_id,
                    principal=who and who.principal,
                )


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            own: str = value.decode("latin-1")
            return own if _SANE.fullmatch(own) else new_id("req_")
    return new_id("req_")
