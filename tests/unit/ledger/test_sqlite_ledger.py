"""What only the SQLite ledger has: a file that outlives it, boots of the machine, rows to clean."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from amends.database import Database
from amends.ledger import Counts, SqliteLedger
from tests.ledgers import HandClock, claim, complete, create, defer, leased, lines, read, retry_of, seqs, succeed


@contextmanager
def opened(folder: Path, clock: HandClock, boot: str = "first") -> Iterator[SqliteLedger]:
    database = Database.open(folder / "amends.db")
    try:
        yield SqliteLedger(database, clock=clock.wall, monotonic=clock.monotonic, boot=boot)
    finally:
        database.close()


def test_everything_outlives_the_process(tmp_path: Path) -> None:
    clock = HandClock()
    with opened(tmp_path, clock) as ledger:
        run = create(ledger, 4)
        lease = claim(ledger, max_items=3)
        succeed(ledger, lease, [0])
        defer(ledger, lease, [1], attempts=2)
        before = read(ledger, run)

    with opened(tmp_path, clock) as ledger:
        assert read(ledger, run) == before
        assert ledger.renew(lease.id, 10) == "held", "the worker may still be at work: only the owner died"
        assert succeed(ledger, lease, [2])
        assert [line["custom_id"] for line in lines(ledger.results(run.id).lines)] == ["item-0", "item-2"]
        assert ledger.conservation(run.id).holds


def test_another_boot_ends_every_lease_and_makes_what_waits_due(tmp_path: Path) -> None:
    clock = HandClock()
    with opened(tmp_path, clock) as ledger:
        run = create(ledger, 4)
        defer(ledger, claim(ledger, max_items=2), [0, 1], 3_600.0, attempts=2)
        lease = claim(ledger, ttl_seconds=3_600)

    clock.advance(-900.0)  # the monotonic clock starts again
    with opened(tmp_path, clock, boot="second") as ledger:
        assert not succeed(ledger, lease)
        assert [(item.seq, item.attempts) for item in leased(claim(ledger))] == [(0, 2), (1, 2)]
        assert seqs(claim(ledger)) == [2, 3]
        assert read(ledger, run).counts == Counts(total=4)


def test_cleaning_leaves_no_row_of_a_deleted_run(tmp_path: Path) -> None:
    clock = HandClock()
    database = Database.open(tmp_path / "amends.db")
    ledger = SqliteLedger(database, clock=clock.wall, monotonic=clock.monotonic)
    root = complete(ledger, create(ledger, 30), failing=[3, 4])
    child = complete(ledger, retry_of(ledger, root))
    for run in (child, root):
        ledger.delete_run(run.id)
    while ledger.clean(7):
        pass

    with database.read() as tx:
        tables = [
            row[0] for row in tx.execute("select name from sqlite_schema where type = 'table' and name <> 'meta'")
        ]
        mine = {"run", "item", "item_name", "item_origin", "pending", "lease", "deferred", "outcome", "completion"}
        mine |= {"attempt", "suspect", "manifest", "garbage"}
        assert mine <= set(tables)
        left = {table: tx.value(f"select count(*) from {table}") for table in mine}
    database.close()
    assert set(left.values()) == {0}, left
