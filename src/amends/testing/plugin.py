"""Fixtures for pytest, found by themselves where Amends is installed. Importing this loads nothing of Amends."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from amends import Client
    from amends.testing import FakeClock, LocalServer


@pytest.fixture(scope="session")
def amends_server() -> Iterator[LocalServer]:
    """A whole server in this process, shared by the session: ``base_url``, ``key`` (test mode), ``client()``."""
    from amends.testing import server

    with server() as running:
        yield running


@pytest.fixture
def amends_client(amends_server: LocalServer) -> Iterator[Client]:
    """A client of that server, as the owner of a workspace, in test mode."""
    with amends_server.client() as client:
        yield client


@pytest.fixture
def amends_clock() -> FakeClock:
    """A clock that waits for nobody: ``Client(clock=amends_clock)``."""
    from amends.testing import FakeClock

    return FakeClock()
