"""The journal: what this program has asked a server to do, so that the next run of it does not ask again.

The heart of it is one secret, written down durably when the journal is made. The idempotency key of a call is made from that secret,
from what is sent and from how many equal calls came before it in this process, so a run that was killed anywhere makes the same keys
again, and the server answers a repeated request with what it answered first. Everything else is there to spare requests: an entry
that has its answer is not sent at all, and one without is sent under its old key::

    (nothing) ──begin──► under way ──finish──► finished        all go when the ``with`` block ends well (a new secret)

So only the secret is forced onto the disk; losing the last entries to a power cut costs some requests and doubles nothing.

One process at a time, under a lock beside the file.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import sqlite3
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Final, LiteralString

from ._context import LOGGER
from ._entries import Entry, JournalEntry, SentIds
from ._exceptions import ConfigurationError
from ._locking import FileLock, Locked

_APPLICATION_ID: Final = 0x416D4A6C  # "AmJl"
_VERSION: Final = 1


class Journal:
    """A journal file, held by this process. identity: whose work it is, asked of the server once; see ``_journaling``.

    Raises ConfigurationError for a file that is held by another process, is none, is damaged, is of a newer version or cannot be
    written; nothing was sent then.
    """

    def __init__(self, path: Path, *, now: Callable[[], float] = time.time) -> None:
        self.path = path
        self.identity: str | None = None
        self._now = now
        self._mutex = threading.Lock()
        self._process = os.getpid()
        self._counts: Counter[bytes] = Counter()
        self._lock = _held(path)
        try:
            self._connection = _opened(path)
            with self._working():
                self._secret = self._prepared()
        except BaseException:
            if hasattr(self, "_connection"):
                self._connection.close()
            self._lock.release()
            raise

    def begin(
        self,
        call: str,
        content: str,
        parameters: Any,
        *,
        key: str | None = None,
        total: int | None = None,
        sent: SentIds | None = None,
    ) -> Entry:
        """Return the entry of a call, which is written down if it is new.

        call: what is called. content: SHA-256 of what is sent; parameters: what else makes the call what it is, as JSON has it.
        key: of the caller's own. Counts the call among its equals, so it is asked once a call.
        """
        stated = json.dumps([self.identity, call, content, parameters, key], sort_keys=True)
        fingerprint = hashlib.sha256(stated.encode()).digest()
        with self._working():
            ordinal = self._counts[fingerprint]
            self._counts[fingerprint] += 1
            place = {"fingerprint": fingerprint, "ordinal": ordinal}
            row = self._connection.execute(_sql("entry"), place).fetchone()
            if row is not None:
                return Entry(fingerprint, ordinal, *row)
            key = key or _key(self._secret, fingerprint, ordinal)
            rows = sent.rows() if sent else ()
            with self._transaction():
                values = {**place, "call": call, "content": content, "key": key, "total": total, "now": self._now()}
                self._connection.execute(_sql("begin"), values)
                for part, ids in enumerate(rows):
                    self._connection.execute(_sql("sent"), {**place, "part": part, "custom_ids": ids})
        return Entry(fingerprint, ordinal, key, None)

    def note(self, entry: Entry, received: int) -> None:
        """Write down how much of an upload has arrived, for people; the server knows better."""
        with self._spared(), self._working():
            self._connection.execute(
                _sql("note"), {"fingerprint": entry.fingerprint, "ordinal": entry.ordinal, "received": received}
            )

    def finish(self, entry: Entry, answer: bytes) -> None:
        """Write down the answer. Where that fails it is only logged: the call would be sent again, under its old key."""
        values = {
            "fingerprint": entry.fingerprint,
            "ordinal": entry.ordinal,
            "answer": answer,
            "resource_id": _id_in(answer),
            "now": self._now(),
        }
        with self._spared(), self._working():
            self._connection.execute(_sql("finish"), values)

    def custom_ids(self, resource_id: str) -> list[str] | None:
        """The custom_ids that were sent of a batch; None for one that was not made through this journal."""
        with self._working():
            rows = self._connection.execute(_sql("custom_ids"), {"resource_id": resource_id}).fetchall()
        return [custom_id for row in rows for custom_id in json.loads(zlib.decompress(row[0]))] or None

    def clear(self) -> None:
        """Forget everything: the same calls are new work from now on."""
        with self._working(), self._transaction(is_durable=True):
            self._secret = self._forget()
            self._counts.clear()

    def close(self, *, is_done: bool = False) -> None:
        """Let go of the file. is_done: nothing of it is wanted any more, so it goes. Idempotent."""
        if self._lock.is_held:
            self._connection.close()
            if is_done:
                with suppress(OSError):
                    self.path.unlink(missing_ok=True)
            self._lock.release()

    @contextmanager
    def _working(self) -> Iterator[None]:
        if os.getpid() != self._process:
            raise ConfigurationError(f"The journal {self.path} belongs to the process that opened it, not to its fork.")
        with self._mutex, _as_configuration_error(self.path):
            yield

    @contextmanager
    def _spared(self) -> Iterator[None]:
        """What is only there to spare requests must not end the work."""
        try:
            yield
        except ConfigurationError as error:
            LOGGER.warning("journal_not_written", extra={"error": str(error)})

    @contextmanager
    def _transaction(self, *, is_durable: bool = False) -> Iterator[None]:
        if is_durable:
            self._connection.execute("pragma synchronous = full")
        self._connection.execute("begin immediate")
        try:
            yield
            self._connection.execute("commit")
        except BaseException:
            with suppress(sqlite3.Error):
                self._connection.execute("rollback")
            raise
        finally:
            self._connection.execute("pragma synchronous = normal")

    def _prepared(self) -> bytes:
        """The secret, made with the tables in a file that is new."""
        if _pragma(self._connection, "user_version") == _VERSION:
            return bytes(self._connection.execute(_sql("secret")).fetchone()[0])
        self._connection.execute("pragma journal_mode = wal")
        with self._transaction(is_durable=True):
            for statement in _sql("schema").split(";\n"):
                self._connection.execute(statement)
            self._connection.execute(f"pragma application_id = {_APPLICATION_ID}")
            self._connection.execute(f"pragma user_version = {_VERSION}")
            secret = self._forget()
        _sync_folder(self.path.parent)
        return secret

    def _forget(self) -> bytes:
        secret = secrets.token_bytes(32)
        for statement in _sql("clear").split(";\n"):
            self._connection.execute(statement)
        self._connection.execute(_sql("set_secret"), {"secret": secret})
        return secret


def read_journal(path: Path) -> list[JournalEntry]:
    """The entries of a journal, the oldest first; also of one that is held. Raises ConfigurationError for what is none."""
    if not path.is_file():
        raise ConfigurationError(f"There is no journal at {path}.")
    connection = _opened(path)
    try:
        with _as_configuration_error(path):
            if _pragma(connection, "user_version") != _VERSION:
                return []
            rows = connection.execute(_sql("entries")).fetchall()
    finally:
        connection.close()
    return [
        JournalEntry(*row[:7], *(None if at is None else datetime.fromtimestamp(at, UTC) for at in row[7:]))
        for row in rows
    ]


def _held(path: Path) -> FileLock:
    lock = FileLock(path.with_name(path.name + ".lock"))
    try:
        lock.take()
    except Locked as error:
        raise ConfigurationError(
            f"The journal {path} is held by another client (process {error.holder or 'unknown'}): "
            "let that end, or name another file with journal=…"
        ) from None
    except OSError as error:
        raise ConfigurationError(f"The journal {path} cannot be written: {error.strerror or error}.") from error
    return lock


def _opened(path: Path) -> sqlite3.Connection:
    """A connection to a file that is a journal of this version, or empty."""
    connection: sqlite3.Connection | None = None
    try:
        with _as_configuration_error(path):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            version, application = _pragma(connection, "user_version"), _pragma(connection, "application_id")
            is_new = connection.execute("select count(*) from sqlite_master").fetchone()[0] == 0
        if application != _APPLICATION_ID and not (is_new and version == 0):
            raise ConfigurationError(f"{path} is a database of something else, no journal: name another file.")
        if version > _VERSION:
            raise ConfigurationError(
                f"The journal {path} is of version {version}, and this version of Amends knows {_VERSION}: install the newer one."
            )
    except BaseException:
        if connection is not None:
            connection.close()
        raise
    return connection


@contextmanager
def _as_configuration_error(path: Path) -> Iterator[None]:
    """Turn what SQLite and the system complain of into a sentence that says what to do."""
    try:
        yield
    except OSError as error:
        raise ConfigurationError(f"The journal {path} cannot be written: {error.strerror or error}.") from error
    except (sqlite3.Error, zlib.error, ValueError) as error:
        code = getattr(error, "sqlite_errorname", None) or ""
        if code.startswith("SQLITE_FULL"):
            message = (
                f"The journal {path} cannot be written: the disk is full. Nothing was sent; make room and try again."
            )
        elif code.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT")) or not code:
            message = f"{path} is no journal, or a damaged one ({error}): move it away or name another file."
        else:
            message = f"The journal {path} cannot be written: {error}."
        raise ConfigurationError(message) from error


def _pragma(connection: sqlite3.Connection, name: LiteralString) -> int:
    return int(connection.execute(f"pragma {name}").fetchone()[0])


def _key(secret: bytes, fingerprint: bytes, ordinal: int) -> str:
    return "amends-" + hmac.new(secret, fingerprint + ordinal.to_bytes(8, "big"), hashlib.sha256).hexdigest()[:32]


def _id_in(answer: bytes) -> str | None:
    try:
        found = json.loads(answer).get("id")
    except (ValueError, AttributeError):
        return None
    return found if isinstance(found, str) else None


def _sync_folder(folder: Path) -> None:
    """Make the file's name durable, where the system lets a folder be opened."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@cache
def _statements() -> dict[str, LiteralString]:
    text = resources.files(__package__).joinpath("journal.sql").read_text("utf-8")
    named: dict[str, LiteralString] = {}
    for block in text.split("-- name: ")[1:]:
        name, _, body = block.partition("\n")
        lines = [line for line in body.splitlines() if not line.startswith("--")]
        named[name] = "\n".join(lines).strip().rstrip(";")
    return named


def _sql(name: str) -> LiteralString:
    return _statements()[name]
