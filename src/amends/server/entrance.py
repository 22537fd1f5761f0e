"""What every request passes on its way to a route, and every answer on its way back.

One middleware and not one for each concern: each costs every request its share of calls, of searches in the headers, and a
wrapper around the answer. The concerns stand in modules of their own, and this one says in which order they come.
"""

from __future__ import annotations

import re
import time
from typing import Final

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from amends.database import new_id
from amends.server import tus
from amends.server.auth import SIMULATE, Authenticator
from amends.server.errors import note_failure, problem_of, problem_response
from amends.server.limits import Limits
from amends.server.logs import REQUEST_ID, RequestLines, Seen
from amends.server.services import Services
from amends.server.simulation import Simulating

_READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
# What may stand in a header, a log line and a shell without harm.
_SANE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@/+=-]{0,127}")

Fields = dict[bytes, bytes]
"""The headers of a request by their names; of several with one name the first."""


class Answer:
    """The answer to one request on its way out: it gets the request's id and what was put into the state for it.

    status: 0 until it has begun.
    """

    __slots__ = ("_scope", "_send", "status")

    def __init__(self, scope: Scope, send: Send) -> None:
        self._scope = scope
        self._send = send
        self.status = 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            state = self._scope["state"]
            own = (b"x-request-id", state["request_id"].encode())
            message["headers"] = [*message.get("headers", ()), own, *state.get("headers", ())]
            if tus.speaks(self._scope["path"]):
                message["headers"] += tus.told(self.status)
        await self._send(message)


class Entrance:
    """ASGI middleware. A request passes, from outside in: its id, tracing, the error handler, authentication, its rate,
    simulation, its size.

    Every response carries ``X-Request-Id``, the caller's own where it is a sane one. Whatever is raised further in becomes a
    Problem and one response. Once headers have left no second response is begun: the exception goes on, and the server cuts the
    connection, so that the client sees a broken stream and not a short one.
    """

    def __init__(self, app: ASGIApp, services: Services) -> None:
        limits = services.settings.limits
        self._services = services
        self._authenticator = Authenticator(services)
        self._throttle = services.throttle
        self._limits = Limits(app, limits, services.held)
        self._simulating = Simulating(self._limits)
        self._lines = RequestLines()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._limits.app(scope, receive, send)
            return
        fields: Fields = dict(reversed(scope["headers"]))
        request_id = _request_id(fields)
        scope.setdefault("state", {})["request_id"] = request_id
        answer = Answer(scope, send)
        started = time.monotonic()
        named = REQUEST_ID.set(request_id)
        try:
            if tus.speaks(scope["path"]):
                tus.override_method(scope, fields)
            if (traces := self._services.traces) is None:
                await self._answered(scope, fields, receive, answer)
            else:
                with traces.request(scope, answer):
                    await self._answered(scope, fields, receive, answer)
        finally:
            self._note(scope, answer.status, time.monotonic() - started)
            REQUEST_ID.reset(named)

    async def _answered(self, scope: Scope, fields: Fields, receive: Receive, answer: Answer) -> None:
        """Have the request answered, by a route or with what went wrong."""
        try:
            await self._admitted(scope, fields, receive, answer.send)
        except ClientDisconnect:
            return  # nobody is left to be told
        except Exception as error:
            what = problem_of(error)
            note_failure(what, error, scope, has_started=answer.status != 0)
            if answer.status != 0:
                raise
            await problem_response(what, scope, self._services.public_url)(scope, receive, answer.send)

    async def _admitted(self, scope: Scope, fields: Fields, receive: Receive, send: Send) -> None:
        """Let through whom it may concern, and what is asked often and large enough to be answered."""
        caller = self._authenticator.caller(scope, fields)
        if caller is not None:
            state = scope["state"]
            state["caller"] = caller
            # In the state, since answers to what fails need them too.
            state["headers"], refused = self._throttle.admit(caller, scope["method"], scope["path"])
            if refused is not None:
                raise refused
        await (self._simulating if SIMULATE in fields else self._limits)(scope, receive, send)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        """One count, one line."""
        method, state = scope["method"], scope["state"]
        self._services.metrics.request(method, getattr(scope.get("route"), "path", "other"), status, seconds)
        is_reading = method in _READING
        if is_reading and not self._lines.tells_of_reading:
            return
        who = state.get("caller")
        workspace, principal = (None, None) if who is None else (who.workspace_id, who.principal)
        request_id, took = state["request_id"], round(seconds * 1000, 1)
        seen = Seen(method, took, scope["path"], principal, request_id, status, workspace)
        self._lines.note(seen, is_reading=is_reading)


def _request_id(fields: Fields) -> str:
    if (given := fields.get(b"x-request-id")) is not None and _SANE.fullmatch(own := given.decode("latin-1")):
        return own
    return new_id("req_")
