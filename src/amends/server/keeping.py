"""Bytes that become a file: looked at, stored and written down, together or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from amends.blobs import Blob
from amends.database import Transaction, new_id
from amends.models import media_type_of
from amends.server.services import Services
from amends.store import FileRecord


@dataclass(frozen=True, slots=True)
class Described:
    """Whose a file is, and what they say of it.

    media_type: None where nothing was said; expires_after: seconds, None for never. created_by: the maker's principal.
    """

    workspace_id: str
    created_by: str | None
    filename: str
    media_type: str | None
    purpose: str
    expires_after: int | None


async def keep(
    hub: Services,
    described: Described,
    sha256: str,
    store: Callable[[], Blob],
    also: Callable[[Transaction, FileRecord], None],
) -> FileRecord:
    """Make bytes and file durable; neither is left without the other, unless the process dies between the two.

    sha256: what ``store`` will store. also: what belongs in the file's transaction.
    """
    is_kept = False
    try:
        with hub.pins.pinned(sha256):
            blob = await asyncio.to_thread(store)
            record = await _record(hub, described, blob)

            def write(tx: Transaction) -> None:
                hub.store.files.add(tx, record)
                also(tx, record)

            await asyncio.wrap_future(hub.database.submit(write))
        is_kept = True
    finally:
        if not is_kept:
            await asyncio.to_thread(drop_unused, hub, sha256)
    return record


def drop_unused(hub: Services, sha256: str) -> None:
    """Delete the blob unless somebody has it or is about to."""

    def drop() -> None:
        if not in_use(hub, [sha256]):
            hub.blobs.delete(sha256)

    hub.pins.unless_pinned(sha256, drop)


def in_use(hub: Services, digests: Sequence[str]) -> set[str]:
    """Those of the blobs that a file, a dataset or a run has, of any workspace."""
    return hub.store.files.used(digests) | hub.store.datasets.used(digests) | hub.ledger.references(digests)


async def _record(hub: Services, described: Described, blob: Blob) -> FileRecord:
    found = await hub.inspector.inspect(hub.blobs.path(blob.sha256))
    now = hub.now()
    return FileRecord(
        id=new_id("file_", now=now),
        workspace_id=described.workspace_id,
        filename=described.filename,
        media_type=media_type_of(found, blob.size, described.media_type, described.filename),
        bytes=blob.size,
        sha256=blob.sha256,
        pages=found.pages,
        purpose=described.purpose,
        created_by=described.created_by,
        created_at=now,
        expires_at=_expiry(hub, now, described.purpose, described.expires_after),
    )


def _expiry(hub: Services, now: float, purpose: str, seconds: int | None) -> float | None:
    if seconds is not None:
        return now + seconds
    return now + hub.settings.retention.batch_file_days * 86_400 if purpose == "batch" else None
