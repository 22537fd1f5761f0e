"""``client.files``: bytes that items speak of."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from io import BytesIO
from pathlib import Path
from secrets import token_hex
from typing import BinaryIO, Unpack, overload

from ._context import Context, ReadOptions, WriteOptions
from ._entries import Entry
from ._exchange import Call, exchange
from ._flow import Answer, Do, Flow
from ._journaling import begin, finish
from ._many import OnUpload, Upload, Uploaded, upload_many
from ._models import Deleted, File, read
from ._operations import Rows, fetch, fetch_once, fetch_rows, given, segment
from ._resuming import RESUMABLE_BYTES, send_in_parts
from ._streams import download
from ._twins import AsyncResource, Methods, SyncResource, method, paged
from ._upload_bodies import Source, Uploadable, UploadBody

_ROOT = "/v1/files"


def upload_flow(context: Context, upload: Upload, resumable: bool | None, options: WriteOptions) -> Flow[File]:
    """Store a file, whole or in parts; under a journal once."""
    source = Source(upload.file, upload.filename)
    try:
        in_parts = resumable if resumable is not None else source.size >= RESUMABLE_BYTES
        send = _send_in_parts if in_parts else _send_whole
        if context.journal is None:
            answer = yield from send(context, source, upload, options, None)
            return read(File, answer)
        content: str = yield Do(source.sha256)
        said = [source.filename, upload.media_type, upload.purpose, upload.expires_after]
        entry = yield from begin(context, "files.upload", content, said, options, total=source.size)
        if entry.answer is not None:
            return read(File, Answer(200, {}, entry.answer))
        answer = yield from send(context, source, upload, {**options, "idempotency_key": entry.key}, entry)
        yield from finish(context, entry, answer)
        return read(File, answer)
    finally:
        source.close()


def _with_key(upload: Upload, options: ReadOptions) -> WriteOptions:
    own: WriteOptions = {} if upload.idempotency_key is None else {"idempotency_key": upload.idempotency_key}
    return {**options, **own}


def _send_whole(
    context: Context, source: Source, upload: Upload, options: WriteOptions, entry: Entry | None
) -> Flow[Answer]:
    fields = given(purpose=upload.purpose, expires_after=upload.expires_after)
    body = UploadBody(source, upload.media_type, {name: str(value) for name, value in fields.items()})
    return exchange(context, Call("POST", _ROOT, body=body, is_bulk=True), options)


def _send_in_parts(
    context: Context, source: Source, upload: Upload, options: WriteOptions, entry: Entry | None
) -> Flow[Answer]:
    fields = given(
        filename=source.filename,
        media_type=upload.media_type,
        purpose=upload.purpose,
        expires_after=upload.expires_after,
    )
    key = options.get("idempotency_key") or context.new_key()
    note = None if context.journal is None or entry is None else partial(context.journal.note, entry)
    return send_in_parts(context, source, {name: str(value) for name, value in fields.items()}, key, options, note)


def _download(context: Context, id: str, to: str | os.PathLike[str] | None, options: ReadOptions) -> Flow[bytes | Path]:
    path = f"{_ROOT}/{segment(id)}/content"
    if to is None:
        memory = BytesIO()
        yield from download(context, path, memory, options)
        return memory.getvalue()
    target = Path(to)
    with replacing(target) as file:
        yield from download(context, path, file, options)
    return target


@contextmanager
def replacing(target: Path) -> Iterator[BinaryIO]:
    """A file that takes ``target``'s place once it is whole; until then that stands as it was."""
    part = target.with_name(f".{target.name[:100]}.{token_hex(8)}.part")
    try:
        with part.open("xb") as file:
            yield file
        part.replace(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


class _Files(Methods):
    @method
    def upload(
        self,
        file: Uploadable,
        *,
        filename: str | None = None,
        media_type: str | None = None,
        purpose: str | None = None,
        expires_after: int | None = None,
        resumable: bool | None = None,
        **options: Unpack[WriteOptions],
    ) -> Flow[File]:
        """Store a file; return its record.

        file: a path, bytes, or a file object opened in binary mode, read from where it stands. filename: None takes the
        path's or file's own. media_type: a hint; content decides. expires_after: seconds until it is deleted, None keeps
        it. resumable: send it in parts, which go on where one got lost; None does so from 64 MiB on. It must not change
        meanwhile. ``timeout`` bounds each silence, ``deadline`` the whole. OSError where the file cannot be read.
        """
        upload = Upload(file, filename, media_type, purpose, expires_after)
        return upload_flow(self._context, upload, resumable, options)

    @method
    def upload_many(
        self,
        files: Iterable[Uploadable | Upload],
        *,
        at_once: int = 4,
        on_progress: OnUpload | None = None,
        **options: Unpack[ReadOptions],
    ) -> Flow[Sequence[Uploaded]]:
        """Store files, ``at_once`` of them at a time; return what became of each, in the order given.

        files: what ``upload`` takes, or ``Upload``s, which say more of a file; gone through as there is room. on_progress:
        told after each file. A file that cannot be read, or that the server refuses, fails alone: see ``Uploaded``. What
        would fail all of them (no network, no permission) is raised once those under way have ended. ``timeout`` and
        ``deadline`` are each file's.
        """

        def upload(one: Upload) -> Flow[File]:
            return upload_flow(self._context, one, None, _with_key(one, options))

        return upload_many(upload, files, at_once, on_progress)

    @method
    def get(self, id: str, **options: Unpack[ReadOptions]) -> Flow[File]:
        """Return a file's record."""
        return fetch(self._context, File, options, "GET", f"{_ROOT}/{segment(id)}")

    @paged
    def list(
        self,
        *,
        purpose: str | None = None,
        limit: int | None = None,
        after: str | None = None,
        **options: Unpack[ReadOptions],
    ) -> Flow[Rows[File]]:
        """Return a page of files, newest first, ``limit`` (1 to 100) at most; iterating it walks all pages."""
        return fetch_rows(self._context, File, options, _ROOT, given(purpose=purpose, limit=limit, after=after))

    @method
    def delete(self, id: str, **options: Unpack[WriteOptions]) -> Flow[Deleted]:
        """Delete a file."""
        return fetch_once(self._context, Deleted, options, "DELETE", f"{_ROOT}/{segment(id)}")


class Files(_Files, SyncResource):
    """Stored files."""

    # An overload is more than a decorator keeps.
    @overload
    def download(self, id: str, to: None = None, **options: Unpack[ReadOptions]) -> bytes: ...

    @overload
    def download(self, id: str, to: str | os.PathLike[str], **options: Unpack[ReadOptions]) -> Path: ...

    def download(
        self, id: str, to: str | os.PathLike[str] | None = None, **options: Unpack[ReadOptions]
    ) -> bytes | Path:
        """Return a file's bytes; or write them to the path ``to``, which appears whole or not at all, and return that.

        Goes on where a connection breaks.
        """
        return self._loop.run(_download(self._context, id, to, options))


class AsyncFiles(_Files, AsyncResource):
    """Stored files."""

    @overload
    async def download(self, id: str, to: None = None, **options: Unpack[ReadOptions]) -> bytes: ...

    @overload
    async def download(self, id: str, to: str | os.PathLike[str], **options: Unpack[ReadOptions]) -> Path: ...

    async def download(
        self, id: str, to: str | os.PathLike[str] | None = None, **options: Unpack[ReadOptions]
    ) -> bytes | Path:
        """Return a file's bytes; or write them to the path ``to``, which appears whole or not at all, and return that.

        Goes on where a connection breaks.
        """
        return await self._loop.run(_download(self._context, id, to, options))
