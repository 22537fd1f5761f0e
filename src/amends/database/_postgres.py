"""A PostgreSQL database: transactions side by side, each on a connection of its own.

Connections are kept between uses and made by whoever needs one more. (psycopg's own pool makes them in threads, on a schedule that
backs off: while the database is gone its callers wait their time-out, and once it is back they wait for the schedule.) So whoever
comes while it is gone is told at once, and the first one after that is served.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Final, LiteralString, TypeVar

import psycopg
from psycopg import conninfo, errors
from psycopg.abc import Buffer
from psycopg.types.numeric import Int8BinaryDumper
from psycopg.types.string import StrDumperUnknown

from amends.database._address import masked
from amends.database._migrations import NewerDatabase, migrations
from amends.database._protocol import (
    Database,
    DatabaseTaken,
    DatabaseUnusable,
    Dialect,
    Duplicate,
    Parameters,
    Transaction,
)
from amends.database._queries import postgres_text
from amends.problems import Problem, ProblemError, problem

T = TypeVar("T")

SCHEMA: Final = "amends"
_CONNECTIONS: Final = 20
_WAIT_SECONDS: Final = 10.0
_PATIENCE_SECONDS: Final = 3.0
_LEAST_VERSION: Final = 130_000
_ADVISORY_MIGRATE: Final = 0x616D_656E_6473_0001  # "amends", then what is locked
_ADVISORY_OWNER: Final = 0x616D_656E_6473_0002
# A peer that died without a word is noticed; what is planned for one execution is not compiled for it (jit).
_DEFAULTS: Final = {"connect_timeout": "5", "keepalives_idle": "10", "tcp_user_timeout": "15000"}
_SESSION: Final = f"set search_path to {SCHEMA}; set synchronous_commit to on; set jit to off; set timezone to 'UTC'"
_WRITE: Final = "begin isolation level read committed"
_READ: Final = "begin isolation level repeatable read read only"


_types: dict[str, Sequence[int]] = {}


class _TextDumper(StrDumperUnknown):
    """PostgreSQL's text knows no NUL: it becomes the sign for what cannot be shown."""

    def dump(self, obj: str) -> Buffer | None:
        return super().dump(obj.replace("\0", "\ufffd") if "\0" in obj else obj)


class PostgresTransaction(Transaction):
    """PostgreSQL's connection inside a transaction."""

    __slots__ = ("_changes", "_connection", "_is_writing")

    def __init__(self, connection: psycopg.Connection, *, is_writing: bool) -> None:
        self._connection = connection
        self._is_writing = is_writing
        self._changes = 0

    def execute(self, sql: LiteralString, parameters: Parameters = ()) -> Iterator[tuple[Any, ...]]:
        cursor = self._run(sql, parameters)
        return iter(cursor.fetchall() if cursor.description else ())

    def one(self, sql: LiteralString, parameters: Parameters = ()) -> tuple[Any, ...] | None:
        return self._run(sql, parameters).fetchone()

    def value(self, sql: LiteralString, parameters: Parameters = ()) -> Any:
        row = self._run(sql, parameters).fetchone()
        return None if row is None else row[0]

    def many(self, sql: LiteralString, rows: Iterator[Parameters] | Sequence[Parameters]) -> None:
        with self._connection.cursor() as cursor:
            cursor.executemany(postgres_text(sql), rows)  # in one pipeline
            self._changes = cursor.rowcount

    def insert_rows(self, sql: LiteralString, first: Sequence[Any], width: int, flat: list[Any]) -> None:
        """The twin is a statement that takes its rows as ``width`` arrays, or a ``copy … from stdin (format binary)``, for the most.

        What is copied is column1 with the first parameter added, the other columns, the other parameters.
        """
        if not flat:
            return
        statement = postgres_text(sql)
        try:
            if statement.startswith("copy "):
                self._copy(statement, first, width, flat)
            else:
                self._run(sql, (*first, *(_array(flat[place::width]) for place in range(width))))
        except errors.UniqueViolation as error:
            raise Duplicate from error

    def _copy(self, statement: LiteralString, first: Sequence[Any], width: int, flat: list[Any]) -> None:
        base, rest = first[0], first[1:]
        types = self._column_types(statement)
        with self._connection.cursor() as cursor, cursor.copy(statement) as copy:
            copy.set_types(types)
            for at in range(0, len(flat), width):
                copy.write_row((base + flat[at], *flat[at + 1 : at + width], *rest))

    def _column_types(self, statement: LiteralString) -> Sequence[int]:
        """The types of the columns that a ``copy`` names, asked once."""
        if statement not in _types:
            table, columns = statement.removeprefix("copy ").partition(") from")[0].split(" (")
            cursor = self._connection.execute(f"select {columns} from {table} limit 0")
            _types[statement] = [column.type_code for column in cursor.description or ()]
        return _types[statement]

    def lock(self, sql: LiteralString, parameters: Parameters = ()) -> None:
        if self._is_writing:  # a reader sees its snapshot, whatever is going on
            self._run(sql, parameters)

    @property
    def changes(self) -> int:
        return self._changes

    def _run(self, sql: LiteralString, parameters: Parameters) -> psycopg.Cursor:
        cursor = self._connection.cursor(binary=True)
        cursor.execute(postgres_text(sql), parameters)
        self._changes = cursor.rowcount
        return cursor


class PostgresDatabase(Database):
    """Up to 20 connections, and threads for what is submitted.

    One process owns the database, by an advisory lock that ends with its session, as on SQLite by the lock of the data directory.

    A write is read committed: whoever writes what follows from what it read locks that first, or changes it by a conditional
    update. A read sees one snapshot.
    """

    dialect: ClassVar[Dialect] = "postgres"

    def __init__(self, url: str) -> None:
        self.url = url
        self._owner: psycopg.Connection | None = None
        self._is_owner = False
        self._lock = threading.Lock()
        self._idle: list[psycopg.Connection] = []
        self._free = threading.BoundedSemaphore(_CONNECTIONS)
        self._is_closed = False
        self._threads = ThreadPoolExecutor(_CONNECTIONS // 2, thread_name_prefix="amends-database")

    @staticmethod
    def open(place: Path | str) -> PostgresDatabase:
        url = str(place)
        try:
            connection = _connect(url)
        except psycopg.Error as error:
            raise DatabaseUnusable(f"{masked(url)} cannot be opened: {_first_line(error)}") from error
        try:
            with connection:
                _migrate(connection, url)
        except psycopg.Error as error:
            raise DatabaseUnusable(f"{masked(url)} cannot be used: {_first_line(error)}") from error
        return PostgresDatabase(url)

    def own(self) -> None:
        end = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                with self._lock:
                    self._take_ownership()
                return
            except DatabaseTaken:
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)  # the server may not have noticed yet that the last owner is gone
            except psycopg.Error as error:
                raise DatabaseUnusable(f"{masked(self.url)} cannot be used: {_first_line(error)}") from error

    def write(self, work: Callable[[Transaction], T]) -> T:
        self._refuse_if_closed()
        return self._write(work)

    def submit(self, work: Callable[[Transaction], T]) -> Future[T]:
        with self._lock:
            if self._is_closed:
                raise RuntimeError("the database is closed")
            return self._threads.submit(self._write, work)

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        self._refuse_if_closed()
        with self._transaction(_READ) as tx:
            yield tx

    def close(self) -> None:
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
        self._threads.shutdown()
        self._drop_idle()
        if self._owner is not None:
            self._owner.close()

    def _refuse_if_closed(self) -> None:
        if self._is_closed:
            raise RuntimeError("the database is closed")

    def _write(self, work: Callable[[Transaction], T]) -> T:
        try:
            with self._transaction(_WRITE) as tx:
                return work(tx)
        except errors.ReadOnlySqlTransaction as error:  # a standby, or one that has just become it
            raise ProblemError(problem("service_unavailable")) from error

    @contextmanager
    def _transaction(self, begin: LiteralString) -> Iterator[PostgresTransaction]:
        if not self._free.acquire(timeout=_WAIT_SECONDS):
            raise ProblemError(problem("service_unavailable"))
        try:
            with _translating():
                connection = self._begun(begin)
                try:
                    yield PostgresTransaction(connection, is_writing=begin == _WRITE)
                    connection.execute("commit")
                except BaseException:
                    self._roll_back(connection)
                    raise
                self._give_back(connection)
        finally:
            self._free.release()

    def _begun(self, begin: LiteralString) -> psycopg.Connection:
        """A connection in a transaction. One that was kept may have died: then so have the others."""
        with self._lock:
            kept = self._idle.pop() if self._idle else None
        if kept is not None:
            try:
                kept.execute(begin)
            except (psycopg.OperationalError, psycopg.InterfaceError):
                kept.close()
                self._drop_idle()
            else:
                return kept
        self._keep_ownership()
        connection = _connect(self.url)
        connection.execute(begin)
        return connection

    def _keep_ownership(self) -> None:
        """A new connection is made: perhaps since the database was away, and whoever owned it owns it no more."""
        with self._lock:
            if self._is_owner and (self._owner is None or not _is_alive(self._owner)):
                try:
                    self._take_ownership()
                except DatabaseTaken as error:
                    raise ProblemError(problem("service_unavailable")) from error

    def _take_ownership(self) -> None:
        if self._owner is not None:
            self._owner.close()
        self._owner = connection = _connect(self.url)
        row = connection.execute("select pg_try_advisory_lock(%s)", (_ADVISORY_OWNER,)).fetchone()
        if row != (True,):
            holder = connection.execute(
                """select a.application_name from pg_locks l join pg_stat_activity a on a.pid = l.pid
                where l.locktype = 'advisory' and l.granted and (l.classid::bigint << 32) | l.objid::bigint = %s
                and a.datname = current_database()""",
                (_ADVISORY_OWNER,),
            ).fetchone()
            connection.close()
            raise DatabaseTaken(
                f"{masked(self.url)} is held by another process" + (f" ({holder[0]})" if holder else "")
            )
        self._is_owner = True

    def _roll_back(self, connection: psycopg.Connection) -> None:
        try:
            connection.execute("rollback")
        except psycopg.Error:
            connection.close()
            self._drop_idle()
        else:
            self._give_back(connection)

    def _give_back(self, connection: psycopg.Connection) -> None:
        with self._lock:
            if not self._is_closed:
                self._idle.append(connection)
                return
        connection.close()

    def _drop_idle(self) -> None:
        with self._lock:
            dropped, self._idle = self._idle, []
        for connection in dropped:
            connection.close()


def _array(values: list[Any]) -> list[Any] | str:
    """Whole numbers written out: psycopg takes the type of the array from one of them, and the others may not fit it."""
    if all(type(value) is int for value in values):
        return "{" + ",".join(map(str, values)) + "}"
    return values


def _connect(url: str) -> psycopg.Connection:
    name = f"amends {os.getpid()} on {socket.gethostname()}"
    settings = {
        "application_name": name,
        **_DEFAULTS,
        **{name: str(value) for name, value in conninfo.conninfo_to_dict(url).items()},
    }
    connection = psycopg.connect(conninfo.make_conninfo("", **settings), autocommit=True)
    try:
        # Every whole number travels as int8: a statement is planned once, and a key is not cut to fit its value.
        connection.adapters.register_dumper(int, Int8BinaryDumper)
        connection.adapters.register_dumper(str, _TextDumper)
        connection.execute(_SESSION)
    except BaseException:
        connection.close()
        raise
    return connection


def _migrate(connection: psycopg.Connection, url: str) -> None:
    """Bring the database to the newest schema; of several that start at once, one does it. Raises NewerDatabase."""
    if connection.info.server_version < _LEAST_VERSION:
        raise DatabaseUnusable(
            f"{masked(url)} is PostgreSQL {connection.info.server_version // 10_000}; Amends needs 13"
        )
    connection.execute("select pg_advisory_lock(%s)", (_ADVISORY_MIGRATE,))
    if connection.execute("select to_regclass('schema_version')").fetchone() == (None,):
        with connection.transaction():
            connection.execute(f"create schema if not exists {SCHEMA}")
            connection.execute(
                "create table schema_version (number integer primary key, applied_at timestamptz not null default now())"
            )
    row = connection.execute("select coalesce(max(number), 0) from schema_version").fetchone()
    assert row is not None
    steps = migrations("postgres")
    if row[0] > steps[-1][0]:
        raise NewerDatabase(masked(url), row[0], steps[-1][0])
    for number, sql in steps:
        if number > row[0]:
            with connection.transaction():
                connection.execute(sql)
                connection.execute("insert into schema_version (number) values (%s)", (number,))


@contextmanager
def _translating() -> Iterator[None]:
    try:
        yield
    except errors.UniqueViolation as error:
        raise Duplicate(_first_line(error)) from error
    except psycopg.Error as error:
        found = _problem_of(error)
        if found is None:
            raise
        raise ProblemError(found) from error


def _problem_of(error: psycopg.Error) -> Problem | None:
    """The problem that the caller can be told, None for a fault of ours."""
    if isinstance(error, errors.DiskFull):
        return problem("insufficient_storage", "The disk that holds the database is full.")
    # Lost, refused, shutting down, too many connections, chosen to end a deadlock.
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return problem("service_unavailable")
    return None


def _is_alive(connection: psycopg.Connection) -> bool:
    try:
        connection.execute("select 1")
    except psycopg.Error:
        return False
    return True


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
