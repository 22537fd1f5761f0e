"""What the ledger and the store ask of a database, whichever it is.

They speak one Python to both; where the dialects differ a statement has a twin, see ``load_queries``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, ClassVar, Literal, LiteralString, TypeVar

T = TypeVar("T")
Dialect = Literal["sqlite", "postgres"]
Parameters = Sequence[Any] | Mapping[str, Any]


class Transaction(ABC):
    """One connection inside a transaction. Valid only within the call it was handed to."""

    __slots__ = ()

    @abstractmethod
    def execute(self, sql: LiteralString, parameters: Parameters = ()) -> Iterator[tuple[Any, ...]]: ...

    @abstractmethod
    def one(self, sql: LiteralString, parameters: Parameters = ()) -> tuple[Any, ...] | None:
        """The first row, None without one."""

    @abstractmethod
    def value(self, sql: LiteralString, parameters: Parameters = ()) -> Any:
        """The first column of the first row, None without one."""

    @abstractmethod
    def many(self, sql: LiteralString, rows: Iterator[Parameters] | Sequence[Parameters]) -> None:
        """Run the statement once a row: for a few rows (see ``insert_rows`` for thousands)."""

    @abstractmethod
    def insert_rows(self, sql: LiteralString, first: Sequence[Any], width: int, flat: list[Any]) -> None:
        """Insert thousands of rows in few steps.

        sql: an ``insert … select`` that ends in ``from``, whose columns name ``column1`` … ``columnN`` of the rows and whose
        own parameters are ``first``, numbered ``?1`` on. flat: the rows, one after the other, ``width`` values each.
        """

    @abstractmethod
    def lock(self, sql: LiteralString, parameters: Parameters = ()) -> None:
        """Lock the rows that a ``select … for update`` finds, until the transaction ends, before they are looked at.

        On PostgreSQL transactions run side by side. SQLite's writer is alone: nothing is done, and the statement is found in
        PostgreSQL's twin only.
        """

    @property
    @abstractmethod
    def changes(self) -> int:
        """Rows changed by the last statement."""


class Database(ABC):
    """A database that is open.

    Raises ``ProblemError`` where the caller can be told what is wrong: insufficient_storage when the disk is full,
    service_unavailable when the database cannot be reached or broke off. Nothing was written then, except where the connection
    was lost while PostgreSQL committed: that nobody can know.
    """

    dialect: ClassVar[Dialect]

    @staticmethod
    def open(place: Path | str) -> Database:
        """Open SQLite's file, made if new, or the PostgreSQL database of that address, and bring it to the newest schema.

        Raises NewerDatabase; DatabaseUnusable where PostgreSQL refuses or cannot be reached.
        """
        if isinstance(place, Path):
            from amends.database._database import SqliteDatabase

            return SqliteDatabase.open(place)
        try:
            from amends.database._postgres import PostgresDatabase
        except ModuleNotFoundError as error:
            raise DatabaseUnusable(f"{error.name} is not installed: pip install 'amends[postgres]'") from error
        return PostgresDatabase.open(place)

    @abstractmethod
    def own(self) -> None:
        """Take the database for this process alone, until it is closed or the process ends. Raises DatabaseTaken."""

    @abstractmethod
    def write(self, work: Callable[[Transaction], T]) -> T:
        """Run work in a transaction; return what it returns once that is durable. Work must not keep the transaction."""

    @abstractmethod
    def submit(self, work: Callable[[Transaction], T]) -> Future[T]:
        """The same by another thread; the future is done when the work is durable."""

    @abstractmethod
    def read(self) -> AbstractContextManager[Transaction]:
        """A snapshot of the last commit, to read from."""

    @abstractmethod
    def close(self) -> None:
        """Finish what is queued, then close. Idempotent."""


class Duplicate(Exception):
    """A row with that key is there already. Raised where it is noticed by ``insert_rows``, else out of ``write``."""


class DatabaseUnusable(Exception):
    """The database cannot be opened; the sentence says why and names no password."""


class DatabaseTaken(DatabaseUnusable):
    """Another process owns it."""
