"""One test for both clients: ``rig`` drives Client and AsyncClient alike."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from amends import AsyncClient, Client
from amends.testing import FakeClock, FakeTransport
from amends.testing._transport import Line


class Rig:
    """A client on a scripted transport and a clock that waits for nobody."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.clock = FakeClock()
        self.transport = FakeTransport()

    def run(self, work: Callable[[Any], Any], *script: Line, **settings: Any) -> Any:
        """Return what ``work(client)`` gives: awaited, or, of an iterator, all of it."""
        self.transport = FakeTransport(*script, clock=self.clock)
        defaults: dict[str, Any] = {"api_key": "ak_test_secret", "clock": self.clock, "draw": lambda: 0.5}
        if self.kind == "sync":
            client = Client(http_client=self.transport.http_client(), **defaults | settings)
            with client:
                value = work(client)
                return list(value) if inspect.isgenerator(value) else value
        return asyncio.run(self._arun(work, defaults | settings))

    def outcomes(self, works: Sequence[Callable[[Any], Any]], *script: Line, **settings: Any) -> list[Any]:
        """Return what each piece of work gave, in turn on one client: a value, or the exception it raised."""

        def all_of_them(client: Any) -> list[Any]:
            return [_outcome(lambda work=work: work(client)) for work in works]

        async def all_of_them_awaited(client: Any) -> list[Any]:
            found: list[Any] = []
            for work in works:
                try:
                    found.append(await work(client))
                except Exception as error:
                    found.append(error)
            return found

        result: list[Any] = self.run(all_of_them if self.kind == "sync" else all_of_them_awaited, *script, **settings)
        return result

    async def _arun(self, work: Callable[[Any], Any], settings: dict[str, Any]) -> Any:
        async with AsyncClient(http_client=self.transport.async_http_client(), **settings) as client:
            value = work(client)
            if inspect.isasyncgen(value):
                return [line async for line in value]
            return await value

    @property
    def requests(self) -> Any:
        return self.transport.requests


def _outcome(work: Callable[[], Any]) -> Any:
    try:
        return work()
    except Exception as error:
        return error


@pytest.fixture(params=["sync", "async"])
def rig(request: pytest.FixtureRequest) -> Rig:
    return Rig(request.param)
