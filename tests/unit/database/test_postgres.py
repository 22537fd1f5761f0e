"""PostgreSQL under the same calls: transactions side by side, its migrations, its statements, and what is told when it is gone."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from typing import Any

import psycopg
import pytest

from amends.database import Database, DatabaseUnusable, Duplicate, NewerDatabase, Transaction, load_queries
from amends.database._migrations import migrations
from amends.database._postgres import PostgresDatabase, masked
from amends.database._queries import for_psycopg
from amends.problems import ProblemError
from tests.postgres import PostgresServer, nobody_is_left, postgres_url, shared_server
from tests.unit.database.test_database import FILES

# What SQLite needs so as not to hold its writer for long; PostgreSQL's callers never ask for it.
SQLITE_ONLY = {"sorted_names", "insert_names"}


@pytest.fixture
def url() -> Iterator[str]:
    with postgres_url() as url:
        yield url


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    database = Database.open(url)
    yield database
    database.close()
    assert nobody_is_left(url)


def note(tx: Transaction, name: str, value: str = "") -> None:
    tx.execute("insert into meta (name, value) values (?, ?)", (name, value))


def names(database: Database) -> set[str]:
    with database.read() as tx:
        return {row[0] for row in tx.execute("select name from meta")}


def test_what_was_written_is_read_back_and_what_failed_is_not_there(database: Database) -> None:
    def fail(tx: Transaction) -> None:
        note(tx, "half")
        raise LookupError("no")

    assert database.write(lambda tx: note(tx, "a") or "answer") == "answer"
    assert database.submit(lambda tx: note(tx, "b") or "later").result(10) == "later"
    with pytest.raises(LookupError):
        database.write(fail)
    with pytest.raises(LookupError):
        database.submit(fail).result(10)
    assert names(database) == {"a", "b"}


def test_many_threads_write_at_once(database: Database) -> None:
    with ThreadPoolExecutor(40) as threads:
        list(threads.map(lambda n: database.write(lambda tx: note(tx, f"n{n}")), range(200)))
    assert len(names(database)) == 200


def test_a_reader_sees_one_snapshot_and_cannot_write(database: Database) -> None:
    with database.read() as tx:
        before = tx.value("select count(*) from meta")
        database.write(lambda t: note(t, "later"))
        assert tx.value("select count(*) from meta") == before
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction), database.read() as tx:
        note(tx, "sneaky")
    assert names(database) == {"later"}


@pytest.mark.parametrize("rows", [0, 1, 257, 3_000])
def test_bulk_rows_arrive_whole(database: Database, rows: int) -> None:
    insert = "insert into meta (name, value) select ? || column1, column2 from unnest(?::text[], ?::text[]) as rows (column1, column2)"
    flat = [value for n in range(rows) for value in (f"row{n:05}", str(n))]
    database.write(lambda tx: tx.insert_rows(insert, ("x",), 2, flat))
    with database.read() as tx:
        found = list(tx.execute("select name, value from meta order by name"))
    assert found == [(f"xrow{n:05}", str(n)) for n in range(rows)]

    copy = "copy item (key, custom_id, payload, input_hash) from stdin (format binary)"
    flat = [value for n in range(rows) for value in (n, f"ü\t{n}", b"\x00\\x\n%d" % n, b"")]
    database.write(lambda tx: tx.insert_rows(copy, (1 << 40,), 4, flat))
    with database.read() as tx:
        copied = list(tx.execute("select * from item order by key"))
    assert copied == [((1 << 40) + n, f"ü\t{n}", b"\x00\\x\n%d" % n, b"") for n in range(rows)]


def test_a_row_that_is_there_already_is_told(database: Database) -> None:
    copy = "copy item (key, custom_id, payload, input_hash) from stdin (format binary)"
    database.write(lambda tx: note(tx, "a"))
    with pytest.raises(Duplicate):
        database.write(lambda tx: note(tx, "a"))
    with pytest.raises(Duplicate):
        database.write(lambda tx: tx.insert_rows(copy, (1,), 4, [1, "a", b"", b"", 1, "b", b"", b""]))


def test_what_the_server_refuses_is_told_by_its_kind(database: Database) -> None:
    def refused(state: str) -> str:
        with pytest.raises(ProblemError) as caught:
            database.write(lambda tx: tx.execute(f"do $$ begin raise sqlstate '{state}'; end $$"))
        return caught.value.problem.slug

    assert refused("53100") == "insufficient_storage"
    for state in ("53300", "57P01", "58030", "40P01"):
        assert refused(state) == "service_unavailable"
    database.write(lambda tx: note(tx, "goes on"))


def test_one_of_two_that_wait_for_each_other_is_told_to_come_again(database: Database) -> None:
    database.write(lambda tx: (note(tx, "a"), note(tx, "b")))
    both = threading.Barrier(2)

    def take(first: str, second: str) -> str:
        def work(tx: Transaction) -> None:
            tx.execute("update meta set value = ? where name = ?", (first, first))
            both.wait(10)
            tx.execute("update meta set value = ? where name = ?", (first, second))

        try:
            database.write(work)
        except ProblemError as error:
            return error.problem.slug
        return "done"

    with ThreadPoolExecutor(2) as threads:
        assert sorted(threads.map(take, "ab", "ba")) == ["done", "service_unavailable"]


def test_a_closed_database_takes_no_more_work_and_closing_twice_is_fine(url: str) -> None:
    database = Database.open(url)
    last = database.submit(lambda tx: note(tx, "last"))
    database.close()
    database.close()
    assert last.result(0) is None
    for call in (database.write, database.submit):
        with pytest.raises(RuntimeError):
            call(lambda tx: None)


def test_a_database_that_dies_is_told_and_serves_again_once_it_is_back() -> None:
    shared_server()  # skips where there is none
    server = PostgresServer(careless=False)
    try:
        database = Database.open(server.new_database())
        database.write(lambda tx: note(tx, "before"))
        with pytest.raises(ProblemError) as caught:
            database.write(lambda tx: (note(tx, "half"), server.kill(), note(tx, "lost")))
        assert caught.value.problem.slug == "service_unavailable"
        for _ in range(3):
            with pytest.raises(ProblemError) as caught:
                database.write(lambda tx: note(tx, "meanwhile"))
            assert caught.value.problem.slug == "service_unavailable"
            assert caught.value.problem.retry_after
        server.start()
        database.write(lambda tx: note(tx, "after"))
        assert names(database) == {"before", "after"}
        database.close()
    finally:
        server.close()


def test_text_with_what_postgres_cannot_hold_is_neither_found_nor_an_error(database: Database) -> None:
    database.write(lambda tx: note(tx, "a\0b", "\0"))
    assert names(database) == {"a\ufffdb"}
    with database.read() as tx:
        assert tx.value("select count(*) from meta where name = :name", {"name": "a\0"}) == 0
        found = tx.execute(
            "select jsonb_array_elements_text(:names::jsonb)", {"names": json.dumps(["x", "a\0", "\\\\u"])}
        )
        assert [row[0] for row in found] == ["x", "a\ufffd", "\\\\u"]


# Opening


def test_servers_that_start_at_once_migrate_once() -> None:
    url = shared_server().new_database()
    with ThreadPoolExecutor(6) as threads:
        for database in list(threads.map(Database.open, [url] * 6)):
            database.close()
    with psycopg.connect(url) as connection:
        numbers = [row[0] for row in connection.execute("select number from amends.schema_version order by number")]
    assert numbers == [number for number, _ in migrations("postgres")]


def test_a_database_of_a_newer_version_is_refused() -> None:
    url = shared_server().new_database()
    Database.open(url).close()
    with psycopg.connect(url) as connection:
        connection.execute("insert into amends.schema_version (number) values (9999)")
    with pytest.raises(NewerDatabase, match="schema version 9999") as caught:
        Database.open(url)
    assert caught.value.found == 9999


def test_what_cannot_be_opened_is_told_without_the_password() -> None:
    with pytest.raises(DatabaseUnusable) as caught:
        Database.open("postgresql://ada:s3cret@127.0.0.1:1/amends?connect_timeout=2")
    assert "s3cret" not in str(caught.value)
    assert "ada:********@127.0.0.1:1" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://h/db", "postgresql://h/db"),
        ("postgresql://u@h:5432/db", "postgresql://u@h:5432/db"),
        ("postgresql://u:p@h/db", "postgresql://u:********@h/db"),
        ("postgresql://u:p%40@:@h/db?sslmode=require", "postgresql://u:********@h/db?sslmode=require"),
        ("postgresql:///db?host=/run&password=p&user=u", "postgresql:///db?host=/run&password=********&user=u"),
        ("postgresql://u:p@[::1", "postgresql://u:********@[::1"),
        ("postgresql://u:p/q?r@h/db?sslpassword=p", "postgresql://u:********@h/db?sslpassword=********"),
    ],
)
def test_the_password_is_masked_wherever_it_stands(url: str, shown: str) -> None:
    assert masked(url) == shown


# Twins


def test_every_migration_has_its_twin() -> None:
    folder = resources.files("amends.database") / "migrations"
    named = {file.name for file in folder.iterdir() if file.name.endswith(".sql")}
    twins = {file.name for file in folder.joinpath("postgres").iterdir() if file.name.endswith(".sql")}
    assert named == twins


@pytest.mark.parametrize(("package", "filename"), FILES)
def test_every_statement_or_its_twin_is_valid_on_postgres(database: Database, package: str, filename: str) -> None:
    assert isinstance(database, PostgresDatabase)
    with database.read() as tx:
        connection: Any = tx._connection  # type: ignore[attr-defined]
        for name, sql in load_queries(package, filename).items():
            text = sql.postgres  # type: ignore[attr-defined]
            if text.startswith("copy "):
                assert tx._column_types(text), name  # type: ignore[attr-defined]
            elif name not in SQLITE_ONLY:
                statement, types = _numbered(text)
                answer = connection.pgconn.prepare(b"", statement.encode(), types)
                assert not answer.error_message, f"{name}: {answer.error_message.decode()}"


def _numbered(text: str) -> tuple[str, list[int]]:
    """Placeholders as the server takes them, and their types: 0 lets it find out, which it cannot for what is shifted."""
    places: dict[str, int] = {}

    def place(match: re.Match[str]) -> str:
        name = match[1] or f"?{len(places)}"
        return f"${places.setdefault(name, len(places) + 1)}"

    statement = re.sub(r"%(?:\((\w+)\))?s", place, text).replace("%%", "%")
    return statement, [20 if name == "run_no" else 0 for name in places]


def test_a_statement_is_put_in_psycopgs_words() -> None:
    text = "select ':no %', a::text, :a_1, b[1:2] from t where c like 'x%' and (:d is null or d = :d) and e = ? and f % 2 = 1"
    assert for_psycopg(text) == (
        "select ':no %%', a::text, %(a_1)s, b[1:2] from t where c like 'x%%' "
        "and (%(d)s::text is null or d = %(d)s) and e = %s and f %% 2 = 1"
    )
