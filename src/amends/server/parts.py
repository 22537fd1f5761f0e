"""One part of a resumable upload on its way from the socket to the disk.

What has been acknowledged is durable, and what is told as the offset was acknowledged or could have been: bytes are flushed to the
disk first and written down in the database afterwards (a checkpoint), now and then while they come and once more at the end. The
last bytes are written down together with the file that they complete, so an upload whose offset is its length has become a file::

    write … write ─► sync ─► received = n           (checkpoint: every 32 MiB, every 10 s, at the end, when the peer hangs up)
                 └─► sync ─► blob ─► received = length, file, answer      (one transaction)

A part that comes with a checksum counts as a whole or not at all, so there is no checkpoint within it.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Final

from fastapi import Request
from starlette.requests import ClientDisconnect

from amends.blobs import PartialBlob
from amends.database import Transaction
from amends.problems import ProblemError, not_found, problem
from amends.server.keeping import Described, keep
from amends.server.limits import too_large
from amends.server.services import Services
from amends.server.tus import Checksum
from amends.store import FileRecord, UploadRecord

_WRITE_BYTES: Final = 1 << 20
_CHECKPOINT_BYTES: Final = 32 << 20
_CHECKPOINT_SECONDS: Final = 10.0

Also = Callable[[Transaction, UploadRecord, str], None]
"""What belongs in the last transaction of a part, given the upload as it stands then and the part's SHA-256 in hex."""


class Stalled(ProblemError):
    """The peer sends nothing more, without hanging up."""

    def __init__(self, seconds: float) -> None:
        detail = f"Nothing of the part arrived for {seconds:g} s. Ask with HEAD how far it came, and go on from there."
        super().__init__(problem("service_unavailable", detail, retry_after=1))


class Part:
    """One part being received. partial: held, and rewound to what has been received of ``upload``."""

    def __init__(
        self, hub: Services, upload: UploadRecord, partial: PartialBlob, checksum: Checksum | None, also: Also
    ) -> None:
        self._hub = hub
        self._upload = upload
        self._partial = partial
        self._checksum = checksum
        self._digest = checksum.begin() if checksum else None
        self._sha256 = hashlib.sha256()
        self._also = also
        self._pending = bytearray()
        self._checked_at = time.monotonic()

    async def receive(self, request: Request) -> UploadRecord:
        """Take the whole body; the upload as it stands then.

        What came is kept when the peer hangs up or stalls; in any other failure what was not yet written down is cut off.
        """
        try:
            async for piece in pieces(request, self._hub.settings.limits.upload_silence_seconds):
                await self._add(piece)
            await self._flush()
            self._verify()
            return await self._end()
        except (ClientDisconnect, Stalled):
            if not self._checksum:
                await self._flush()
                await self._checkpoint()
            raise
        finally:
            # Only what was written down counts; a disk that is full or gone has lost nothing that did.
            if not self._upload.file_id and self._partial.size != self._upload.received:
                with contextlib.suppress(ProblemError, OSError):
                    await asyncio.to_thread(self._partial.rewind, self._upload.received)

    async def _add(self, piece: bytes) -> None:
        self._pending += piece
        if self._partial.size + len(self._pending) > self._upload.length:
            raise too_large(self._upload.length, "upload")
        if len(self._pending) < _WRITE_BYTES:
            return
        await self._flush()
        is_due = (
            self._partial.size - self._upload.received >= _CHECKPOINT_BYTES
            or time.monotonic() - self._checked_at >= _CHECKPOINT_SECONDS
        )
        if is_due and not self._checksum and self._partial.size < self._upload.length:
            await self._checkpoint()

    async def _flush(self) -> None:
        if self._pending:
            data, self._pending = bytes(self._pending), bytearray()
            await asyncio.to_thread(self._write, data)

    def _write(self, data: bytes) -> None:
        self._sha256.update(data)
        if self._digest is not None:
            self._digest.update(data)
        self._partial.write(data)

    def _verify(self) -> None:
        if self._checksum and self._digest is not None and self._digest.digest() != self._checksum.digest:
            detail = f"The part's {self._checksum.algorithm} is not the one that came with it; none of it was kept"
            raise ProblemError(problem("checksum_mismatch", detail))

    async def _end(self) -> UploadRecord:
        if self._partial.size < self._upload.length:
            await self._checkpoint(is_last=True)
            return self._upload
        return await self._finish()

    async def _checkpoint(self, *, is_last: bool = False) -> None:
        """Write down what is on the disk. All but the last byte: with that one the upload becomes a file."""
        size = min(await asyncio.to_thread(self._partial.sync), self._upload.length - 1)
        now = self._hub.now()
        changed = replace(self._upload, received=size, expires_at=expiry(self._hub, now))

        def write(tx: Transaction) -> None:
            if not self._hub.store.uploads.advance(tx, changed.id, size, changed.expires_at or now):
                raise ProblemError(not_found("upload", changed.id))
            if is_last:
                self._also(tx, changed, self._sha256.hexdigest())

        await asyncio.wrap_future(self._hub.database.submit(write))
        self._upload, self._checked_at = changed, time.monotonic()

    async def _finish(self) -> UploadRecord:
        sha256 = await asyncio.to_thread(self._partial.sha256)

        def also(tx: Transaction, file: FileRecord) -> None:
            if not self._hub.store.uploads.finish(tx, self._upload.id, file.id):
                raise ProblemError(not_found("upload", self._upload.id))
            self._also(tx, finished(self._upload, file), self._sha256.hexdigest())

        file = await keep(self._hub, described(self._upload), sha256, self._partial.commit, also)
        self._upload = finished(self._upload, file)
        await asyncio.to_thread(self._partial.discard)
        return self._upload


async def sha256_of(request: Request, silence_seconds: float) -> str:
    """Read a part that is not wanted again; its SHA-256 in hex."""
    digest = hashlib.sha256()
    async for piece in pieces(request, silence_seconds):
        digest.update(piece)
    return digest.hexdigest()


async def pieces(request: Request, silence_seconds: float) -> AsyncIterator[bytes]:
    """The body as it comes; Stalled where nothing more does, so that a dead connection holds nothing for ever."""
    stream = request.stream().__aiter__()
    while True:
        try:
            async with asyncio.timeout(silence_seconds):
                piece = await anext(stream)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise Stalled(silence_seconds) from None
        yield piece


def described(upload: UploadRecord) -> Described:
    """What was said of the file when the upload was created."""
    return Described(
        upload.workspace_id,
        upload.created_by,
        upload.filename,
        upload.media_type,
        upload.purpose,
        upload.expires_after,
    )


def finished(upload: UploadRecord, file: FileRecord) -> UploadRecord:
    """The upload once it has become ``file``."""
    return replace(upload, received=upload.length, file_id=file.id, expires_at=None)


def expiry(hub: Services, now: float) -> float:
    """When an upload expires that was last sent to ``now``."""
    return now + hub.settings.retention.upload_hours * 3_600
