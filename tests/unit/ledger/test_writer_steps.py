"""What one transaction of the SQLite ledger costs does not grow with the run: counted in steps of SQLite's machine, not in time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from amends.database import Database
from amends.database._database import SqliteDatabase
from amends.ledger import Commit, Deferral, FailedAttempt, LeasedItem, Ledger, Sample, SqliteLedger
from amends.ledger.sql import _creating
from tests.ledgers import HandClock, claim, complete, create, failure, leased, new_items, new_run, request, success

STEPS = 100
"""How finely steps are counted."""


@dataclass
class Writer:
    ledger: Ledger
    database: Database

    def steps(self, call: Callable[[], object]) -> int:
        """How many hundreds of virtual machine steps the writer takes for the call."""
        taken = 0

        def count() -> bool:
            nonlocal taken
            taken += 1
            return False

        self.database._connection.set_progress_handler(count, STEPS)
        try:
            call()
        finally:
            self.database._connection.set_progress_handler(None)
        return taken

    def rows(self, call: Callable[[], object]) -> int:
        """How many rows the call writes or deletes."""
        before = self.database._connection.total_changes()
        call()
        return self.database._connection.total_changes() - before


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Writer]:
    clock = HandClock()
    database = Database.open(tmp_path / "amends.db")
    yield Writer(SqliteLedger(database, clock=clock.wall, monotonic=clock.monotonic), database)
    database.close()


def test_settling_every_other_item_costs_the_same_at_the_end_as_at_the_beginning(writer: Writer) -> None:
    run = create(writer.ledger, 20_000, validate=True)
    items = [LeasedItem(*row) for row in writer.ledger.items(run.id, limit=20_000)]

    def settle(start: int) -> Callable[[], object]:
        return lambda: writer.ledger.settle(run.id, [failure(run.id, i) for i in items[start : start + 200 : 2]])

    first = writer.steps(settle(200))
    for start in range(400, 19_800, 200):
        settle(start)()
    assert writer.steps(settle(19_800)) < 2 * first


def test_claiming_from_a_sample_does_not_look_at_all_that_is_held(writer: Writer) -> None:
    run = create(writer.ledger, 4_000, run=new_run(sample=Sample(1_300, 7)))
    while (lease := writer.ledger.claim(request())) and leased(lease)[0].seq < 3_900:
        writer.ledger.commit(Commit(lease.id, [success(run.id, item) for item in leased(lease)]))
    assert writer.steps(lambda: writer.ledger.claim(request(max_items=1))) < 10


def test_claiming_what_is_due_does_not_look_at_all_that_is_due(writer: Writer) -> None:
    create(writer.ledger, 9_000)
    lease = claim(writer.ledger)
    writer.ledger.commit(Commit(lease.id, deferred=[Deferral(item.seq, 1, 0.0) for item in leased(lease)]))
    assert writer.steps(lambda: writer.ledger.claim(request(max_items=10))) < 40


def test_deferring_is_not_done_item_by_item(writer: Writer) -> None:
    create(writer.ledger, 2_000)
    lease = claim(writer.ledger)
    sent: list[str] = []

    def note(cursor: object, sql: str, bindings: object) -> bool:
        sent.append(sql)
        return True

    writer.database._connection.set_exec_trace(note)
    writer.ledger.commit(
        Commit(
            lease.id,
            deferred=[Deferral(item.seq, 1, 0.0) for item in leased(lease)],
            attempts=[FailedAttempt(item.seq, 1, 1.0, b"{}") for item in leased(lease)],
        )
    )
    writer.database._connection.set_exec_trace(None)
    assert len(sent) < 100


def test_no_slice_of_cleaning_deletes_more_rows_than_it_was_asked_for(writer: Writer) -> None:
    run = create(writer.ledger, 300)
    while lease := writer.ledger.claim(request(max_items=1)):  # a row of the order of completion for each
        writer.ledger.commit(Commit(lease.id, [success(run.id, item) for item in leased(lease)]))
    complete(writer.ledger, run)
    writer.ledger.delete_run(run.id)
    slices = []
    while rows := writer.rows(lambda: writer.ledger.clean(20)):
        slices.append(rows)
    assert max(slices) <= 2 * 20 + 1, "outcomes and items, and where to go on"


def test_a_large_sample_is_laid_out_in_slices(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_creating, "SLICE", 100)
    sizes: list[int] = []
    write = SqliteDatabase.write

    def watched(database: SqliteDatabase, work: Callable[..., object]) -> object:
        result: list[object] = []
        sizes.append(writer.rows(lambda: result.append(write(database, work))))
        return result[0]

    monkeypatch.setattr(SqliteDatabase, "write", watched)
    run = new_run(sample=Sample(500, 1))
    writer.ledger.open_run(run)
    writer.ledger.append(run.id, new_items(1_000))
    sizes.clear()
    sealed = writer.ledger.seal(run.id, validate=False)
    assert max(sizes) <= 100
    assert sealed.held == 500
    assert writer.ledger.conservation(run.id).pending == 1_000
