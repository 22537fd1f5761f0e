"""The store on either database, with a clock that waits for nobody."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from amends.database import Database
from amends.store import Store
from amends.testing import FakeClock
from tests.postgres import database_of


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    with database_of(request.param) as url:
        opened = Database.open(url or tmp_path / "amends.db")
        yield opened
        opened.close()


@pytest.fixture
def store(database: Database, clock: FakeClock) -> Store:
    return Store(database, now=clock.time, monotonic=clock.monotonic)
