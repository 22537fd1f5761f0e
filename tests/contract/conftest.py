"""The ledgers under contract, each watched: after every step, every run's items are accounted for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from random import Random
from typing import Any, cast

import apsw
import pytest

from amends.ledger import Ledger, MemoryLedger
from tests.ledgers import HandClock
from tests.postgres import nobody_is_left, postgres_url


class Watched:
    """A ledger that checks conservation after every call, whether it returned or raised."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._run_ids: list[str] = []
        self.is_watching = True

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._ledger, name)
        return self._checked(member) if callable(member) else member

    def _checked(self, method: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(method)
        def call(*args: Any, **options: Any) -> Any:
            if method.__name__ == "open_run":
                self._run_ids.append(args[0].id)
            try:
                return method(*args, **options)
            finally:
                if self.is_watching:
                    self._check()

        return call

    def _check(self) -> None:
        for run in filter(None, map(self._ledger.get, self._run_ids)):
            conservation, counts = self._ledger.conservation(run.id), run.counts
            assert conservation.holds, conservation
            assert conservation.outcomes == counts.ended
            assert conservation.total == counts.total == counts.ended + counts.processing
            assert run.held <= conservation.pending


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def adapter(request: pytest.FixtureRequest, clock: HandClock, tmp_path: Path) -> Iterator[Ledger]:
    """One ledger of each kind. At the end it has left no thread and no connection behind."""
    before = set(threading.enumerate())
    if request.param == "memory":
        ledger: Ledger = MemoryLedger(clock=clock.wall, monotonic=clock.monotonic, draw=Random(7))
        yield ledger
        ledger.close()
    elif request.param == "postgres":
        with postgres_ledger(clock) as ledger:
            yield ledger
    else:
        from amends.database import Database
        from amends.ledger import SqliteLedger

        database = Database.open(tmp_path / "amends.db")
        ledger = SqliteLedger(database, clock=clock.wall, monotonic=clock.monotonic, draw=Random(7))
        yield ledger
        ledger.close()
        database.close()
    assert set(threading.enumerate()) <= before
    assert not [c for c in apsw.connections() if Path(c.filename).is_relative_to(tmp_path)]


@contextmanager
def postgres_ledger(clock: HandClock) -> Iterator[Ledger]:
    """At the end it has left no connection either."""
    from amends.database import Database
    from amends.ledger import PostgresLedger

    with postgres_url() as url:
        database = Database.open(url)
        ledger = PostgresLedger(database, clock=clock.wall, monotonic=clock.monotonic, draw=Random(7))
        yield ledger
        ledger.close()
        database.close()
        assert nobody_is_left(url)


@pytest.fixture
def ledger(adapter: Ledger) -> Iterator[Ledger]:
    """The same, watched."""
    watched = Watched(adapter)
    yield cast("Ledger", watched)
    watched.is_watching = False
