"""Files: what people uploaded, by name and owner; the bytes themselves are blobs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from amends.database import Database, Transaction, load_queries

QUERIES = load_queries(__package__, "files.sql")


@dataclass(frozen=True, slots=True)
class FileRecord:
    """A file. bytes: its size; pages: None where they cannot be counted; expires_at: None means never."""

    id: str
    workspace_id: str
    filename: str
    media_type: str
    bytes: int
    sha256: str
    pages: int | None
    purpose: str
    created_by: str | None
    created_at: float
    expires_at: float | None


class FileRef(NamedTuple):
    """What an item needs to know of its file."""

    id: str
    sha256: str
    media_type: str
    pages: int | None
    filename: str
    bytes: int


class ExpiredFile(NamedTuple):
    """What is left of a file whose time was up."""

    id: str
    workspace_id: str
    sha256: str


class Files:
    """Every question is bound to a workspace; an expired file is as gone as a deleted one."""

    def __init__(self, database: Database, *, now: Callable[[], float]) -> None:
        self._database = database
        self._now = now

    def add(self, tx: Transaction, file: FileRecord) -> None:
        tx.execute(QUERIES.insert_file, {name: getattr(file, name) for name in FileRecord.__slots__})

    def get(self, workspace_id: str, file_id: str) -> FileRecord | None:
        with self._database.read() as tx:
            row = tx.one(QUERIES.get_file, {"id": file_id, "workspace_id": workspace_id, "now": self._now()})
        return FileRecord(*row) if row else None

    def find(
        self, workspace_id: str, *, limit: int, after: str | None = None, purpose: str | None = None
    ) -> list[FileRecord]:
        """The workspace's files, newest first, those older than the file ``after``."""
        values = {"workspace_id": workspace_id, "limit": limit, "after": after, "purpose": purpose, "now": self._now()}
        with self._database.read() as tx:
            return [FileRecord(*row) for row in tx.execute(QUERIES.list_files, values)]

    def resolve(self, workspace_id: str, ids: Iterable[str]) -> Mapping[str, FileRef]:
        """Those of the files that exist in the workspace, by id: one query for thousands."""
        wanted = json.dumps(list(dict.fromkeys(ids)))
        with self._database.read() as tx:
            values = {"workspace_id": workspace_id, "ids": wanted, "now": self._now()}
            found = json.loads(tx.value(QUERIES.resolve_files, values))
        return {row[0]: FileRef(*row) for row in found}

    def with_contents(self, workspace_id: str, digests: Iterable[str]) -> Mapping[str, FileRef]:
        """A file of the workspace for each of the contents that one has, by SHA-256."""
        wanted = json.dumps(list(dict.fromkeys(digests)))
        with self._database.read() as tx:
            values = {"workspace_id": workspace_id, "digests": wanted, "now": self._now()}
            found = json.loads(tx.value(QUERIES.files_with_contents, values))
        return {row[1]: FileRef(*row) for row in found}

    def update(self, tx: Transaction, file: FileRecord) -> None:
        """Write the file's name, media type, purpose and expiry; nothing else of it ever changes."""
        names = ("id", "workspace_id", "filename", "media_type", "purpose", "expires_at")
        tx.execute(QUERIES.update_file, {name: getattr(file, name) for name in names})

    def delete(self, tx: Transaction, workspace_id: str, file_id: str) -> None:
        tx.execute(QUERIES.delete_file, {"id": file_id, "workspace_id": workspace_id})

    def delete_expired(self, tx: Transaction, limit: int = 500) -> list[ExpiredFile]:
        """Forget up to ``limit`` files that have expired."""
        rows = tx.execute(QUERIES.expired_files, {"now": self._now(), "limit": limit})
        gone = [ExpiredFile(*row) for row in rows]
        for file in gone:
            self.delete(tx, file.workspace_id, file.id)
        return gone

    def is_used(self, sha256: str) -> bool:
        """Whether any file, of any workspace, has these bytes."""
        with self._database.read() as tx:
            return bool(tx.value(QUERIES.is_used, {"sha256": sha256}))

    def used(self, digests: Iterable[str]) -> set[str]:
        """Those of the hashes that any file, of any workspace, has as its bytes."""
        with self._database.read() as tx:
            return set(json.loads(tx.value(QUERIES.used_blobs, {"digests": json.dumps(list(digests))})))
