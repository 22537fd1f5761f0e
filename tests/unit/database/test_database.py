"""The writer thread: grouping, isolation of failures, durability, a full disk."""

from __future__ import annotations

import os
import re
import threading
import time
from concurrent.futures import Future
from pathlib import Path

import apsw
import pytest

from amends import store
from amends.database import Database, NewerDatabase, Transaction, _database, load_queries, new_id, rfc3339
from amends.database._migrations import migrations
from amends.problems import ProblemError


@pytest.fixture
def database(tmp_path: Path):
    database = Database.open(tmp_path / "amends.db")
    yield database
    database.close()


def note(tx: Transaction, name: str, value: str = "") -> None:
    tx.execute("insert into meta (name, value) values (?, ?)", (name, value))


def names(database: Database) -> set[str]:
    with database.read() as tx:
        return {row[0] for row in tx.execute("select name from meta")}


def test_what_was_written_is_read_back_after_the_write_returned(database: Database) -> None:
    assert database.write(lambda tx: note(tx, "a") or "answer") == "answer"
    assert "a" in names(database)


def test_a_failing_request_leaves_its_companions_in_the_same_transaction_alone(database: Database) -> None:
    started, go_on = threading.Event(), threading.Event()

    def hold(tx: Transaction) -> None:
        started.set()
        go_on.wait(10)

    def fail(tx: Transaction) -> None:
        note(tx, "half")
        raise LookupError("no")

    futures: list[Future[None]] = [database.submit(hold)]
    started.wait(10)
    futures += [database.submit(lambda tx: note(tx, "before")), database.submit(fail)]
    futures += [database.submit(lambda tx: note(tx, "after"))]
    go_on.set()
    with pytest.raises(LookupError):
        futures[2].result(10)
    for future in (futures[0], futures[1], futures[3]):
        future.result(10)
    assert {"before", "after"} <= names(database)
    assert "half" not in names(database)


def test_requests_that_wait_together_share_a_commit(database: Database) -> None:
    commits = []
    database._connection.set_commit_hook(lambda: bool(commits.append(1)))
    started, go_on = threading.Event(), threading.Event()
    first = database.submit(lambda tx: (note(tx, "first"), started.set(), go_on.wait(0.015)))
    started.wait(10)
    rest = [database.submit(lambda tx, n=n: note(tx, f"n{n}")) for n in range(50)]
    go_on.set()
    for future in [first, *rest]:
        future.result(10)
    database._connection.set_commit_hook(None)
    assert len(commits) < 25
    assert len(names(database)) >= 51


def test_whoever_shares_a_transaction_that_fails_as_a_whole_is_told(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("amends.database._database._GROUP_SECONDS", 10.0)
    started, go_on = threading.Event(), threading.Event()

    def first(tx: Transaction) -> None:
        note(tx, "first")
        started.set()
        assert go_on.wait(10)

    def breaks_its_savepoint(tx: Transaction) -> None:
        tx.execute("release request")

    futures = [database.submit(first)]
    assert started.wait(10)
    futures += [database.submit(breaks_its_savepoint), database.submit(lambda tx: note(tx, "third"))]
    go_on.set()
    for future in futures[:2]:
        with pytest.raises(apsw.SQLError, match="savepoint"):
            future.result(10)
    futures[2].result(10)
    assert names(database) & {"first", "third"} == {"third"}


def test_a_full_disk_is_a_typed_problem_and_keeps_nothing_of_the_request(database: Database) -> None:
    pages = database.write(lambda tx: tx.value("pragma page_count"))
    database.write(lambda tx: tx.value(f"pragma max_page_count = {pages + 2}"))
    with pytest.raises(ProblemError) as caught:
        database.write(lambda tx: note(tx, "big", "x" * 1_000_000))
    assert caught.value.problem.slug == "insufficient_storage"
    assert "big" not in names(database)
    database.write(lambda tx: tx.value("pragma max_page_count = 1000000"))
    database.write(lambda tx: note(tx, "big", "x" * 1_000_000))
    assert "big" in names(database)


def test_a_closed_database_takes_no_more_work_and_closing_twice_is_fine(tmp_path: Path) -> None:
    database = Database.open(tmp_path / "amends.db")
    last = database.submit(lambda tx: note(tx, "last"))
    database.close()
    database.close()
    assert last.result(0) is None
    with pytest.raises(RuntimeError):
        database.write(lambda tx: None)
    reopened = Database.open(tmp_path / "amends.db")
    assert "last" in names(reopened)
    reopened.close()


def test_a_file_of_a_newer_version_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "amends.db"
    Database.open(path).close()
    with apsw.Connection(str(path)) as connection:
        connection.pragma("user_version", 9999)
    connection.close()
    before = path.read_bytes()
    with pytest.raises(NewerDatabase) as caught:
        Database.open(path)
    assert caught.value.found == 9999
    assert path.read_bytes() == before


def test_an_older_file_is_copied_before_it_is_migrated(tmp_path: Path) -> None:
    path = tmp_path / "amends.db"
    connection = apsw.Connection(str(path))
    with connection:
        connection.execute(migrations()[0][1])
        connection.pragma("user_version", 1)
        connection.execute("insert into meta (name, value) values ('kept', '1')")
    connection.close()
    database = Database.open(path)
    assert "kept" in names(database)
    database.close()
    copies = list(tmp_path.glob("amends.db.before-*"))
    assert len(copies) == (1 if len(migrations()) > 1 else 0)
    for copy in copies:
        old = apsw.Connection(str(copy))
        assert old.pragma("user_version") == 1
        assert old.execute("select value from meta where name = 'kept'").get == "1"
        old.close()


@pytest.mark.parametrize("rows", [0, 1, 2, 255, 256, 257, 1000])
def test_bulk_rows_arrive_whole_and_in_order(database: Database, rows: int) -> None:
    flat = [value for n in range(rows) for value in (f"row{n:05}", str(n))]
    database.write(
        lambda tx: tx.insert_rows("insert into meta (name, value) select ?1 || column1, column2 from", ("x",), 2, flat)
    )
    with database.read() as tx:
        found = list(tx.execute("select name, value from meta where name like 'xrow%' order by name"))
    assert found == [(f"xrow{n:05}", str(n)) for n in range(rows)]


def test_a_reader_sees_one_snapshot_however_long_it_reads(database: Database) -> None:
    with database.read() as tx:
        before = tx.value("select count(*) from meta")
        database.write(lambda t: note(t, "later"))
        assert tx.value("select count(*) from meta") == before
    assert "later" in names(database)


def test_readers_cannot_write(database: Database) -> None:
    with database.read() as tx, pytest.raises(apsw.ReadOnlyError):
        note(tx, "sneaky")


def test_ids_sort_by_time_and_never_repeat() -> None:
    ids = [new_id("run_", now=1_700_000_000 + n / 1000) for n in range(1000)]
    assert ids == sorted(ids)
    assert len({new_id("run_", now=1.0) for _ in range(1000)}) == 1000
    assert len(ids[0]) == len("run_") + 26


def test_a_forked_child_makes_other_ids_than_its_parent() -> None:
    new_id("run_")
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        os.write(writer, new_id("run_", now=1.0).encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reader, 100).decode() != new_id("run_", now=1.0)
    os.close(reader)
    os.close(writer)


def test_times_are_rfc3339_in_utc() -> None:
    assert rfc3339(1_700_000_000.1239) == "2023-11-14T22:13:20.123Z"


FILES = [
    *[
        ("amends.ledger.sql", f"{name}.sql")
        for name in ("runs", "creating", "leasing", "reading", "credits", "upstreams")
    ],
    *[("amends.store", path.name) for path in sorted(Path(store.__path__[0]).glob("*.sql"))],
]


@pytest.mark.parametrize(("package", "filename"), FILES)
def test_every_named_statement_is_valid_sql(database: Database, package: str, filename: str) -> None:
    for name, sql in load_queries(package, filename).items():
        if sql:  # without text it is PostgreSQL's alone
            width = max(map(int, re.findall(r"column(\d+)", sql)), default=1)
            statement = f"{sql} (values ({','.join('?' * width)}))" if sql.endswith("from") else sql
            bindings = (1,) * _places(statement) if "?" in statement else _Anything()
            with database.read() as tx:
                assert list(tx.execute(f"explain {statement}", bindings)), name


def _places(statement: str) -> int:
    """Positional parameters: those with a number share places, those without follow the highest."""
    numbered = {int(n) for n in re.findall(r"\?(\d+)", statement)}
    return max(numbered, default=0) + len(re.findall(r"\?(?!\d)", statement))


class _Anything(dict):
    """Bindings that answer any name."""

    def __missing__(self, name: str) -> int:
        return 1


def test_a_reader_that_stays_does_not_hold_up_the_writer(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_database, "_CHECKPOINT_PAGES", 5)
    monkeypatch.setattr(database, "_truncate_at", 10)
    with database.read() as tx:
        tx.value("select count(*) from meta")
        started = time.monotonic()
        for number in range(4):
            database.write(lambda tx, name=f"long-{number}": note(tx, name, "x" * 100_000))
        assert time.monotonic() - started < 4, "a checkpoint waits 5 s for a reader if it is let"
    database.write(lambda tx: note(tx, "after", "x" * 100_000))
    assert {"long-0", "long-3", "after"} <= names(database)
