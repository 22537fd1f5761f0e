"""Resumable uploads: how much of each has arrived, and which file it became."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from amends.database import Database, Transaction, load_queries

QUERIES = load_queries(__package__, "uploads.sql")


@dataclass(frozen=True, slots=True)
class UploadRecord:
    """An upload. media_type: as declared; expires_after: of the file, in seconds. metadata: what said so,
    as it came. length: bytes in all.

    received: how many of them are durable. file_id: what it became, None while it is under way; such an upload lives as long as
    the file does, any other until ``expires_at``.
    """

    id: str
    workspace_id: str
    filename: str
    media_type: str | None
    purpose: str
    expires_after: int | None
    metadata: str
    length: int
    received: int
    file_id: str | None
    created_by: str | None
    created_at: float
    expires_at: float | None


class Uploads:
    """Every question is bound to a workspace; an upload that has expired is as gone as a deleted one."""

    def __init__(self, database: Database, *, now: Callable[[], float]) -> None:
        self._database = database
        self._now = now

    def add(self, tx: Transaction, upload: UploadRecord) -> None:
        tx.execute(QUERIES.insert_upload, {name: getattr(upload, name) for name in UploadRecord.__slots__})

    def get(self, workspace_id: str, upload_id: str) -> UploadRecord | None:
        with self._database.read() as tx:
            row = tx.one(QUERIES.get_upload, {"id": upload_id, "workspace_id": workspace_id, "now": self._now()})
        return UploadRecord(*row) if row else None

    def advance(self, tx: Transaction, upload_id: str, received: int, expires_at: float) -> bool:
        """Write down that so many bytes are durable; False for an upload that is gone or finished."""
        tx.execute(QUERIES.advance_upload, {"id": upload_id, "received": received, "expires_at": expires_at})
        return tx.changes == 1

    def finish(self, tx: Transaction, upload_id: str, file_id: str) -> bool:
        """Write down what it became; False for an upload that is gone or finished."""
        tx.execute(QUERIES.finish_upload, {"id": upload_id, "file_id": file_id})
        return tx.changes == 1

    def delete(self, tx: Transaction, workspace_id: str, upload_id: str) -> bool:
        """Forget an upload; whether it was there. What it became stays."""
        tx.execute(QUERIES.delete_upload, {"id": upload_id, "workspace_id": workspace_id})
        return tx.changes == 1

    def of_file(self, tx: Transaction, file_id: str) -> list[str]:
        """The uploads that became the file: none or one."""
        return [row[0] for row in tx.execute(QUERIES.uploads_of_file, {"file_id": file_id})]

    def delete_expired(self, tx: Transaction, limit: int = 500) -> list[str]:
        """Forget up to ``limit`` uploads that have expired; their ids."""
        rows = list(tx.execute(QUERIES.expired_uploads, {"now": self._now(), "limit": limit}))
        for upload_id, workspace_id in rows:
            self.delete(tx, workspace_id, upload_id)
        return [upload_id for upload_id, _ in rows]

    def under_way(self, ids: Iterable[str]) -> set[str]:
        """Those of the ids that are uploads under way, of any workspace."""
        with self._database.read() as tx:
            return set(json.loads(tx.value(QUERIES.known_uploads, {"ids": json.dumps(list(ids))})))
