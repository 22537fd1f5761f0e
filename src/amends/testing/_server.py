"""A whole server within a test: the real application and engine on a temporary directory, gone when the test ends."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import httpx2

from amends import AsyncClient, Client


@dataclass(frozen=True, slots=True)
class LocalServer:
    """A running server. key: an owner's, of test mode. data: its directory. socket: the way in that needs no key."""

    base_url: str
    key: str = field(repr=False)
    data: Path
    socket: Path

    def client(self, key: str | None = None, **options: Any) -> Client:
        """A client of it, with the owner's key or another. options: as ``amends.Client`` takes them."""
        return Client(key or self.key, self.base_url, **options)

    def async_client(self, key: str | None = None, **options: Any) -> AsyncClient:
        """The same, asynchronous."""
        return AsyncClient(key or self.key, self.base_url, **options)

    def new_key(
        self,
        role: Literal["viewer", "member", "admin", "owner"] = "owner",
        *,
        mode: Literal["live", "test"] = "test",
        workspace: str | None = None,
        user: str | None = None,
    ) -> str:
        """The secret of a new key. workspace, user: by name, made if new; None takes the default workspace, and no user."""
        return _new_key(self.socket, {"role": role, "mode": mode, "workspace": workspace, "user": user})


@contextmanager
def server(*, data: Path | None = None, workers: int = 1, **settings: Any) -> Iterator[LocalServer]:
    """Run a server on a free port of loopback until the block ends.

    data: its directory, kept; None makes one that is removed. workers: processes that work on items; 0 leaves runs where they
    are. settings: by name, dots as double underscores (``limits__nesting=8``); the environment is not read.

    Needs ``amends[server]``, and ``amends[models]`` for models other than ``local/echo``.
    """
    if data is not None:
        with _running(data, workers, settings) as running:
            yield running
        return
    with (
        tempfile.TemporaryDirectory(prefix="amends-test-") as place,
        _running(Path(place), workers, settings) as running,
    ):
        yield running


@contextmanager
def _running(data: Path, workers: int, settings: dict[str, Any]) -> Iterator[LocalServer]:
    from amends.server.composition import make_engine
    from amends.server.owner import Owner
    from amends.server.settings import Settings
    from amends.web import PAGES

    chosen = Settings().with_flags(**{"data": data, "port": 0, "engine__workers": workers or None, **settings})
    with Owner(chosen, command="test", listen=True, engine=make_engine if workers else None, pages=PAGES) as owner:
        assert owner.url is not None, "an owner that listens has an address"
        key = _new_key(owner.socket, {"role": "owner", "mode": "test", "workspace": None, "user": None})
        yield LocalServer(owner.url, key, data, owner.socket)


def _new_key(socket: Path, wanted: dict[str, str | None]) -> str:
    body = {name: value for name, value in wanted.items() if value is not None}
    with httpx2.Client(base_url="http://local", transport=httpx2.HTTPTransport(uds=str(socket)), timeout=30) as local:
        answer = local.post("/v1/api-keys", json=body)
    answer.raise_for_status()
    return str(answer.json()["key"])
