"""The SQLite file and its one writer thread.

Several writers on one file wait for each other's locks for seconds; one thread that owns the only write connection and
puts waiting requests into one transaction shares each fsync among them. Readers have connections of their own and see
the last commit (WAL).

Every ``sqlite3_step`` gives up the interpreter's lock, and getting it back may cost a whole switch interval when
another thread is busy. So bulk work must be few steps, not many: see ``Transaction.insert_rows``.
"""

from __future__ import annotations

import errno
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, LiteralString, TypeVar

import apsw

from amends.database._migrations import migrate
from amends.database._protocol import Database, Dialect, Duplicate, Parameters, Transaction
from amends.problems import ProblemError, problem

T = TypeVar("T")
E = TypeVar("E", bound=Exception)
Request = tuple[Callable[["Transaction"], Any], "Future[Any]"]

_GROUP_SECONDS = 0.02
_CHECKPOINT_PAGES = 4_000
_TRUNCATE_PAGES = 50_000
_BUSY_SECONDS = 5.0
_TRUNCATE_SECONDS = 0.05
"""How long the writer waits for readers, so that the log can start afresh."""
_ROWS_PER_STATEMENT = 256
_NO_MORE_ROOM = frozenset({errno.EDQUOT, errno.EFBIG})


class SqliteTransaction(Transaction):
    """SQLite's connection inside a transaction."""

    __slots__ = ("_connection",)

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection

    def execute(self, sql: LiteralString, parameters: Parameters = ()) -> Iterator[tuple[Any, ...]]:
        return self._connection.execute(sql, parameters)

    def one(self, sql: LiteralString, parameters: Parameters = ()) -> tuple[Any, ...] | None:
        return self._connection.execute(sql, parameters).fetchone()

    def value(self, sql: LiteralString, parameters: Parameters = ()) -> Any:
        row = self._connection.execute(sql, parameters).fetchone()
        return None if row is None else row[0]

    def many(self, sql: LiteralString, rows: Iterator[Parameters] | Sequence[Parameters]) -> None:
        self._connection.executemany(sql, rows)

    def insert_rows(self, sql: LiteralString, first: Sequence[Any], width: int, flat: list[Any]) -> None:
        try:
            self._insert_rows(sql, first, width, flat)
        except apsw.ConstraintError as error:
            raise Duplicate from error

    def _insert_rows(self, sql: str, first: Sequence[Any], width: int, flat: list[Any]) -> None:
        whole, start = width * _ROWS_PER_STATEMENT, 0
        statement = _with_values(sql, width, _ROWS_PER_STATEMENT)
        while len(flat) - start >= whole:
            self._connection.execute(statement, [*first, *flat[start : start + whole]])
            start += whole
        rows = (len(flat) - start) // width
        while rows:
            slice_rows = 1 << (rows.bit_length() - 1)
            end = start + slice_rows * width
            self._connection.execute(_with_values(sql, width, slice_rows), [*first, *flat[start:end]])
            start, rows = end, rows - slice_rows

    def lock(self, sql: LiteralString, parameters: Parameters = ()) -> None:
        pass  # the writer is alone

    @property
    def changes(self) -> int:
        return self._connection.changes()


@lru_cache(maxsize=256)
def _with_values(sql: str, width: int, rows: int) -> str:
    row = "(" + ",".join("?" * width) + ")"
    return f"{sql} (values {','.join([row] * rows)})"


class SqliteDatabase(Database):
    """The file, its writer thread and a pool of read connections. What was written is durable (``synchronous=FULL``)."""

    dialect: ClassVar[Dialect] = "sqlite"

    def __init__(self, path: Path, connection: apsw.Connection) -> None:
        self.path = path
        self._connection = connection
        self._requests: queue.SimpleQueue[Request | None] = queue.SimpleQueue()
        self._readers: list[apsw.Connection] = []
        self._lock = threading.Lock()
        self._closed = False
        self._wal_pages = 0
        self._truncate_at = _TRUNCATE_PAGES
        connection.set_wal_hook(self._note_wal)
        self._thread = threading.Thread(target=self._run, name="amends-writer", daemon=True)
        self._thread.start()

    @staticmethod
    def open(place: Path | str) -> SqliteDatabase:
        path = Path(place)
        connection = _connect(path)
        try:
            migrate(connection, path)
        except BaseException:
            connection.close()
            raise
        return SqliteDatabase(path, connection)

    def own(self) -> None:
        pass  # whoever holds the data directory owns the file in it

    def write(self, work: Callable[[Transaction], T]) -> T:
        return self.submit(work).result()

    def submit(self, work: Callable[[Transaction], T]) -> Future[T]:
        future: Future[T] = Future()
        with self._lock:
            if self._closed:
                raise RuntimeError("the database is closed")
            self._requests.put((work, future))
        return future

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        connection = self._take_reader()
        try:
            connection.execute("begin")
            try:
                yield SqliteTransaction(connection)
            finally:
                connection.execute("rollback")
        finally:
            self._give_reader_back(connection)

    def close(self) -> None:
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._requests.put(None)
        self._thread.join()
        for reader in self._readers:
            reader.close()
        self._connection.set_wal_hook(None)
        with suppress(apsw.Error):
            self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        self._connection.close()

    def _take_reader(self) -> apsw.Connection:
        with self._lock:
            if self._closed:
                raise RuntimeError("the database is closed")
            if self._readers:
                return self._readers.pop()
        return _connect(self.path, read_only=True)

    def _give_reader_back(self, connection: apsw.Connection) -> None:
        with self._lock:
            if not self._closed:
                self._readers.append(connection)
                return
        connection.close()

    def _run(self) -> None:
        while (request := self._requests.get()) is not None:
            if not self._transact(request):
                return
            self._checkpoint()

    def _transact(self, request: Request) -> bool:
        """Run the request and those that wait behind it in one transaction. False: the end of the queue was met."""
        taken = [request[1]]
        done: list[tuple[Future[Any], Any]] = []
        going_on = True
        try:
            self._connection.execute("begin immediate")
            going_on = self._gather(request, taken, done)
            self._connection.execute("commit")
        except BaseException as error:
            failure = self._translated(error)
            self._roll_back()
            for future in taken:  # whoever is not told would wait for ever
                if not future.done():
                    future.set_exception(failure)
            return going_on
        for future, result in done:
            future.set_result(result)
        return going_on

    def _roll_back(self) -> None:
        """Undo what SQLite has not undone by itself; where it cannot even do that, the next ``begin`` says so."""
        with suppress(apsw.Error):
            if self._connection.in_transaction:
                self._connection.execute("rollback")

    def _gather(self, request: Request, taken: list[Future[Any]], done: list[tuple[Future[Any], Any]]) -> bool:
        """Perform requests until the group is long enough. taken: the futures of all of them; done: those that went well."""
        started = time.monotonic()
        following: Request | None = request
        while following is not None:
            self._perform(*following, done)
            if time.monotonic() - started > _GROUP_SECONDS:
                return True
            try:
                following = self._requests.get_nowait()
            except queue.Empty:
                return True
            if following is not None:
                taken.append(following[1])
        return False

    def _perform(
        self, work: Callable[[Transaction], Any], future: Future[Any], done: list[tuple[Future[Any], Any]]
    ) -> None:
        """Run one request under a savepoint: its failure leaves its companions alone."""
        if not future.set_running_or_notify_cancel():
            return
        self._connection.execute("savepoint request")
        try:
            result = work(SqliteTransaction(self._connection))
        except BaseException as error:
            if not self._connection.in_transaction:
                # SQLite rolled the whole transaction back (disk full, I/O error): nobody's work is kept.
                raise
            failure = self._translated(error)
            self._connection.execute("rollback to request")
            self._connection.execute("release request")
            future.set_exception(failure)
            return
        self._connection.execute("release request")
        done.append((future, result))

    def _translated(self, error: BaseException) -> BaseException:
        """A full disk is a problem that the caller can be told, as is one that fails; everything else stays as it is."""
        if isinstance(error, apsw.FullError) or self._is_quota_used_up(error):
            detail = "The disk that holds the database is full."
            return _chained(ProblemError(problem("insufficient_storage", detail)), error)
        if isinstance(error, apsw.IOError):
            return _chained(ProblemError(problem("service_unavailable")), error)
        if isinstance(error, apsw.ConstraintError):
            return _chained(Duplicate(str(error)), error)
        return error

    def _is_quota_used_up(self, error: BaseException) -> bool:
        """SQLite calls only ENOSPC a full disk; a quota or a bound on a file's size is one to us, too."""
        return isinstance(error, apsw.IOError) and self._connection.system_errno in _NO_MORE_ROOM

    def _note_wal(self, _connection: apsw.Connection, _name: str, pages: int) -> int:
        self._wal_pages = pages
        return apsw.SQLITE_OK

    def _checkpoint(self) -> None:
        """Move the log into the file now and then; start it afresh when readers let it grow long."""
        if self._wal_pages < _CHECKPOINT_PAGES:
            return
        pages, self._wal_pages = self._wal_pages, 0
        if pages > self._truncate_at:
            self._truncate(pages)
            return
        with suppress(apsw.BusyError, apsw.LockedError, apsw.FullError, apsw.IOError):
            self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)

    def _truncate(self, pages: int) -> None:
        """Everybody waits for the writer, so it does not wait long for a reader, nor again before the log has grown."""
        self._connection.set_busy_timeout(int(_TRUNCATE_SECONDS * 1000))
        try:
            self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
            self._truncate_at = _TRUNCATE_PAGES
        except (apsw.BusyError, apsw.LockedError, apsw.FullError, apsw.IOError):
            self._truncate_at = pages + _CHECKPOINT_PAGES
        finally:
            self._connection.set_busy_timeout(int(_BUSY_SECONDS * 1000))


def _connect(path: Path, *, read_only: bool = False) -> apsw.Connection:
    flags = apsw.SQLITE_OPEN_READWRITE | (0 if read_only else apsw.SQLITE_OPEN_CREATE)
    connection = apsw.Connection(str(path), flags=flags)
    # Plans must not depend on what is bound: otherwise every execution with new values is prepared anew (apsw's SQLite has STAT4).
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
    connection.set_busy_timeout(int((2 * _BUSY_SECONDS if read_only else _BUSY_SECONDS) * 1000))
    if read_only:
        connection.pragma("query_only", True)
        connection.pragma("cache_size", -1_000)
    else:
        connection.pragma("journal_mode", "wal")
        connection.pragma("synchronous", "full")
        connection.pragma("wal_autocheckpoint", 0)
        connection.pragma("cache_size", -16_000)
    return connection


def _chained(error: E, cause: BaseException) -> E:
    error.__cause__ = cause
    return error
