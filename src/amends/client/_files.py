"""``client.files``: bytes that items speak of."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from secrets import token_hex
from typing import BinaryIO, Unpack, overload

from ._bodies import UploadBody
from ._context import Context, ReadOptions, WriteOptions
from ._flow import Flow
from ._loops import AsyncLoop, SyncLoop
from ._models import Deleted, File
from ._operations import Rows, fetch, fetch_rows, given, segment
from ._pages import AsyncPage, Page
from ._streams import download

Uploadable = str | os.PathLike[str] | bytes | BinaryIO

_ROOT = "/v1/files"


def _upload(
    context: Context,
    file: Uploadable,
    filename: str | None,
    media_type: str | None,
    purpose: str | None,
    expires_after: int | None,
    options: WriteOptions,
) -> Flow[File]:
    fields = {name: str(value) for name, value in given(purpose=purpose, expires_after=expires_after).items()}
    body = UploadBody(file, filename, media_type, fields)
    return fetch(context, File, options, "POST", _ROOT, body=body, is_bulk=True)


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


def _list(
    context: Context, purpose: str | None, limit: int | None, after: str | None, options: ReadOptions
) -> Flow[Rows[File]]:
    return fetch_rows(context, File, options, _ROOT, given(purpose=purpose, limit=limit, after=after))


class Files:
    """Stored files."""

    def __init__(self, loop: SyncLoop, context: Context) -> None:
        self._loop = loop
        self._context = context

    def upload(
        self,
        file: Uploadable,
        *,
        filename: str | None = None,
        media_type: str | None = None,
        purpose: str | None = None,
        expires_after: int | None = None,
        **options: Unpack[WriteOptions],
    ) -> File:
        """Store a file; return its record.

        file: a path, bytes, or a file object opened in binary mode, read from where it stands. filename: None takes the
        path's or file's own. media_type: a hint; content decides. expires_after: seconds until it is deleted, None keeps
        it. ``timeout`` bounds each silence, ``deadline`` the whole. OSError where the file cannot be read.
        """
        return self._loop.run(_upload(self._context, file, filename, media_type, purpose, expires_after, options))

    def get(self, id: str, **options: Unpack[ReadOptions]) -> File:
        """Return a file's record."""
        return self._loop.run(fetch(self._context, File, options, "GET", f"{_ROOT}/{segment(id)}"))

    def list(
        self,
        *,
        purpose: str | None = None,
        limit: int | None = None,
        after: str | None = None,
        **options: Unpack[ReadOptions],
    ) -> Page[File]:
        """Return a page of files, newest first, ``limit`` (1 to 100) at most; iterating it walks all pages."""
        page = Page(*self._loop.run(_list(self._context, purpose, limit, after, options)))
        page._fetch = lambda cursor: self.list(purpose=purpose, limit=limit, after=cursor, **options)
        return page

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

    def delete(self, id: str, **options: Unpack[WriteOptions]) -> Deleted:
        """Delete a file."""
        return self._loop.run(fetch(self._context, Deleted, options, "DELETE", f"{_ROOT}/{segment(id)}"))


class AsyncFiles:
    """Stored files."""

    def __init__(self, loop: AsyncLoop, context: Context) -> None:
        self._loop = loop
        self._context = context

    async def upload(
        self,
        file: Uploadable,
        *,
        filename: str | None = None,
        media_type: str | None = None,
        purpose: str | None = None,
        expires_after: int | None = None,
        **options: Unpack[WriteOptions],
    ) -> File:
        """Store a file; return its record.

        file: a path, bytes, or a file object opened in binary mode, read from where it stands. filename: None takes the
        path's or file's own. media_type: a hint; content decides. expires_after: seconds until it is deleted, None keeps
        it. ``timeout`` bounds each silence, ``deadline`` the whole. OSError where the file cannot be read.
        """
        return await self._loop.run(_upload(self._context, file, filename, media_type, purpose, expires_after, options))

    async def get(self, id: str, **options: Unpack[ReadOptions]) -> File:
        """Return a file's record."""
        return await self._loop.run(fetch(self._context, File, options, "GET", f"{_ROOT}/{segment(id)}"))

    async def list(
        self,
        *,
        purpose: str | None = None,
        limit: int | None = None,
        after: str | None = None,
        **options: Unpack[ReadOptions],
    ) -> AsyncPage[File]:
        """Return a page of files, newest first, ``limit`` (1 to 100) at most; iterating it walks all pages."""
        page = AsyncPage(*await self._loop.run(_list(self._context, purpose, limit, after, options)))
        page._fetch = lambda cursor: self.list(purpose=purpose, limit=limit, after=cursor, **options)
        return page

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

    async def delete(self, id: str, **options: Unpack[WriteOptions]) -> Deleted:
        """Delete a file."""
        return await self._loop.run(fetch(self._context, Deleted, options, "DELETE", f"{_ROOT}/{segment(id)}"))
