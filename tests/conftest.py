"""Fixtures for everybody."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from amends.server import passwords
from tests.postgres import database_of
from tests.servers import RunningServer, running_server

# A shell that starts the tests in the background has them ignore Ctrl-C, and every program that they start and interrupt, too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def quick_passwords() -> Iterator[None]:
    """Argon2id takes a tenth of a second on purpose, which the tests of everything else have no use for."""
    usual = dict(passwords.PARAMETERS)
    passwords.PARAMETERS.update(time_cost=1, memory_cost=8, parallelism=1)
    yield
    passwords.PARAMETERS.update(usual)


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def sql_dialect(request: pytest.FixtureRequest) -> str:
    """What the server's database is."""
    return str(request.param)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, sql_dialect: str) -> Iterator[RunningServer]:
    """A whole server with a worker, shared by the tests of a module; ``running_server`` makes one of a test's own."""
    with (
        database_of(sql_dialect) as database,
        running_server(tmp_path_factory.mktemp("server") / "data", database=database) as running,
    ):
        yield running


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory, sql_dialect: str) -> Iterator[RunningServer]:
    """A server without workers: quick to start, runs stay where they are."""
    with (
        database_of(sql_dialect) as database,
        running_server(tmp_path_factory.mktemp("shell") / "data", engine=None, database=database) as running,
    ):
        yield running
