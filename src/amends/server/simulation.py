"""``Amends-Simulate``: any endpoint answers with any problem of the catalogue, for whoever tests a client in test mode."""

from __future__ import annotations

import hashlib
from asyncio import sleep
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from amends.problems import DROP, BadSimulation, ProblemError, Simulation, parse_simulation, problem
from amends.server.auth import SIMULATE, Caller

DROPPING: Final = "amends.drop"
"""The ASGI extension with which a server cuts the connection of a request."""

_REMEMBERED: Final = 10_000


class ConnectionDropped(Exception):
    """Raised where the server behind the application knows no other way to cut a connection."""


@dataclass(slots=True)
class _Tally:
    """Requests of one key to one method and path. good: those answered well; asked: all."""

    good: int = 0
    asked: int = 0


class Tallies:
    """Counts for ``after`` and ``p``, by key, method and path; the longest unused are forgotten."""

    def __init__(self, remembered: int = _REMEMBERED) -> None:
        self._remembered = remembered
        self._tallies: OrderedDict[bytes, _Tally] = OrderedDict()

    def of(self, caller: Caller, method: str, path: str) -> _Tally:
        words = "\n".join((caller.workspace_id, caller.key_id or "", method, path))
        name = hashlib.blake2b(words.encode(errors="surrogateescape"), digest_size=16).digest()  # a path may be long
        tally = self._tallies.setdefault(name, _Tally())
        self._tallies.move_to_end(name)
        if len(self._tallies) > self._remembered:
            self._tallies.popitem(last=False)
        return tally


class Simulating:
    """ASGI middleware for requests with the header, after authentication and before anything is read or done."""

    def __init__(self, app: ASGIApp, pause: Callable[[float], Awaitable[None]] = sleep) -> None:
        self.app = app
        self._pause = pause
        self._tallies = Tallies()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller: Caller = scope["state"]["caller"]
        simulation = _permitted([value for name, value in scope["headers"] if name == SIMULATE], caller)
        tally = self._tallies.of(caller, scope["method"], scope["path"])
        occasion, tally.asked = tally.asked, tally.asked + 1
        await self._pause(simulation.delay_seconds)
        if tally.good < simulation.after or not simulation.happens(occasion):
            await self.app(scope, receive, _counting(tally, send))
        elif simulation.outcome == DROP:
            await _drop(scope, receive, send)
        elif (what := simulation.problem()) is not None:
            raise ProblemError(what)
        else:
            await self.app(scope, receive, send)


def _permitted(asked: list[bytes], caller: Caller) -> Simulation:
    if caller.mode != "test":
        raise ProblemError(
            problem(
                "insufficient_permissions",
                "Amends-Simulate works in test mode only",
                hint="Use a key of test mode: `amends keys create --test` makes one.",
            )
        )
    try:
        if len(asked) > 1:
            raise BadSimulation("The header may be given once")
        return parse_simulation(asked[0].decode("latin-1"), "E")
    except BadSimulation as error:
        raise ProblemError(problem("malformed_request", f"Amends-Simulate: {error}")) from error


def _counting(tally: _Tally, send: Send) -> Send:
    async def counted(message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] < 400:
            tally.good += 1
        await send(message)

    return counted


async def _drop(scope: Scope, receive: Receive, send: Send) -> None:
    """Cut the connection without an answer; where the server cannot, within an answer."""
    drop: Callable[[], None] | None = scope.get("extensions", {}).get(DROPPING)
    if drop is None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1")]})
        raise ConnectionDropped("as Amends-Simulate asks")
    drop()
    while (await receive())["type"] != "http.disconnect":
        pass
