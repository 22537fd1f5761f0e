"""What the tests of the engine share: real workers on a ledger, and small runs for them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from amends.database import Database
from amends.engine import Engine, EngineSettings
from amends.ledger import Ledger, NewItem, NewRun, Run, line_members
from amends.server.composition import ledger_on
from tests.hostile import PROCESSORS
from tests.postgres import own_database

ROOT = Path(__file__).parents[1]


def until(claim: Callable[[], Any], seconds: float = 60.0) -> Any:
    """Wait for something true of real processes."""
    end = time.monotonic() + seconds
    while not (value := claim()):
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.01)
    return value


@contextmanager
def own_ledger(directory: Path) -> Iterator[Ledger]:
    """On a database of the test's own, of SQLite unless the tests are told otherwise."""
    database = Database.open(own_database(directory) or directory / "amends.db")
    try:
        yield ledger_on(database)
    finally:
        database.close()


@contextmanager
def running_engine(ledger: Ledger, directory: Path, **settings: Any) -> Iterator[Engine]:
    """An engine with two real workers; the environment must let them import ``tests``."""
    engine = Engine(
        ledger,
        blobs=directory / "blobs",
        processors=PROCESSORS,
        settings=EngineSettings(**{"workers": 2, **settings}),
    )
    engine.start()
    try:
        yield engine
    finally:
        engine.close(0)


def submit(
    ledger: Ledger, inputs: Sequence[Any], run_id: str = "bpred_1", *, validate: bool = False, **changes: Any
) -> str:
    """A run of the hostile processor; ``params`` as a dict. custom_ids are c0, c1 …"""
    params = json.dumps(changes.pop("params", {})).encode()
    ledger.open_run(NewRun(run_id, "ws", "hostile", "local/hostile", params, time.time(), **changes))
    items = [NewItem(f"c{n}", json.dumps({"input": said}).encode(), b"") for n, said in enumerate(inputs)]
    for start in range(0, len(items), 10_000):
        ledger.append(run_id, items[start : start + 10_000])
    ledger.seal(run_id, validate=validate)
    return run_id


def ended(ledger: Ledger, run_id: str, seconds: float = 60.0) -> Run:
    def terminal() -> Run | None:
        run = ledger.get(run_id)
        return run if run is not None and run.is_terminal else None

    run: Run = until(terminal, seconds)
    return run


def lines(ledger: Ledger, run_id: str) -> dict[str, dict[str, Any]]:
    """Result lines by custom_id; AssertionError for one that is there twice."""
    found: dict[str, dict[str, Any]] = {}
    after = -1
    while (chunk := ledger.results(run_id, after=after)).last is not None:
        after = chunk.last
        for line in chunk.lines.splitlines():
            members = line_members(line)
            assert members["custom_id"] not in found
            found[members["custom_id"]] = members
    return found
