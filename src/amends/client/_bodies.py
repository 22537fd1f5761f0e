"""Request bodies that can be sent again, byte for byte."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, BinaryIO, Final, Protocol

from ._json import encode, encode_item

_BLOCK_BYTES: Final = 64 * 1024


class BodyFault(Exception):
    """The caller's own iterable or file raised ``error``: no network failure, so it is raised as it was."""

    def __init__(self, error: Exception) -> None:
        super().__init__(repr(error))
        self.error = error


class DeadlinePassed(Exception):
    """The call's deadline passed while its body was being sent."""


Guard = Callable[[], None]
"""Called before each piece of a body; raises DeadlinePassed."""


class Body(Protocol):
    """What a request carries. ``headers`` go with it."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Content-Type and the like; the length is the transport's affair."""

    def sync_arguments(self, guard: Guard) -> dict[str, Any]:
        """Return the arguments of ``httpx2.Client.build_request`` that carry it, from its first byte on."""

    def async_arguments(self, guard: Guard) -> dict[str, Any]:
        """Return the same for ``httpx2.AsyncClient``."""

    def close(self) -> None:
        """Let go of files and the like."""


class JsonBody:
    """A JSON value, small enough to be held."""

    headers: Mapping[str, str] = {"Content-Type": "application/json"}

    def __init__(self, value: Any) -> None:
        self._content = encode(value)

    def sync_arguments(self, guard: Guard) -> dict[str, Any]:
        guard()
        return {"content": self._content}

    async_arguments = sync_arguments

    def close(self) -> None:
        pass


class NdjsonBody:
    """A line of parameters, then one item a line, encoded as they are sent.

    Items of a list or tuple are simply gone through again on a retry. Any other iterable may give its items only once,
    or others the next time: what was sent is kept in a temporary file, which a retry reads before it goes on with the
    rest. ``keep``: False where there will be no retry. The caller's iterable may be asynchronous in an AsyncClient.
    """

    headers: Mapping[str, str] = {"Content-Type": "application/x-ndjson"}

    def __init__(
        self,
        first: Mapping[str, Any],
        items: Iterable[Mapping[str, Any]] | AsyncIterable[Mapping[str, Any]],
        keep: bool,
    ) -> None:
        self._first = encode(first) + b"\n"
        self._items = items
        self._spool: IO[bytes] | None = None
        self._source: Iterator[bytes] | None = None
        self._asource: AsyncIterator[bytes] | None = None
        self._keep = keep

    def sync_arguments(self, guard: Guard) -> dict[str, Any]:
        if not isinstance(self._items, Iterable):
            raise TypeError("items is asynchronous, which only an AsyncClient can go through")
        if isinstance(self._items, Sequence):
            return {"content": _guarded(_encoded(self._first, self._items), guard)}
        if self._source is None:
            self._source = _encoded(self._first, self._items)
        return {"content": _guarded(self._spooled(self._source), guard)}

    def async_arguments(self, guard: Guard) -> dict[str, Any]:
        if isinstance(self._items, Iterable):
            return {"content": _in_tasks(self.sync_arguments(guard)["content"])}
        if self._asource is None:
            self._asource = _aencoded(self._first, self._items)
        return {"content": self._aspooled(self._asource, guard)}

    def _spooled(self, source: Iterator[bytes]) -> Iterator[bytes]:
        yield from self._kept()
        for block in source:
            self._remember(block)
            yield block

    async def _aspooled(self, source: AsyncIterator[bytes], guard: Guard) -> AsyncIterator[bytes]:
        for block in self._kept():
            guard()
            yield block
        async for block in source:
            guard()
            self._remember(block)
            yield block

    def _kept(self) -> Iterator[bytes]:
        """What earlier tries sent. Read by position, since writing moves the file's own."""
        if self._spool is None:
            return
        end, place = self._spool.seek(0, os.SEEK_END), 0
        while place < end:
            self._spool.seek(place)
            block = self._spool.read(_BLOCK_BYTES)
            place += len(block)
            yield block

    def _remember(self, block: bytes) -> None:
        """Before it is sent, so that a try that fails while sending it has it all the same."""
        if not self._keep:
            return
        if self._spool is None:
            self._spool = tempfile.TemporaryFile(prefix="amends-items-")  # noqa: SIM115 - open until close()
        self._spool.seek(0, os.SEEK_END)
        self._spool.write(block)

    def close(self) -> None:
        if self._spool is not None:
            self._spool.close()
            self._spool = None


class UploadBody:
    """A multipart form of one file and some fields.

    file: a path, opened anew for each try; bytes; or a binary file object, read from where it stands and put back there
    for a retry (one that cannot seek is kept in a temporary file while it is read).
    """

    headers: Mapping[str, str] = {}

    def __init__(
        self,
        file: str | os.PathLike[str] | bytes | BinaryIO,
        filename: str | None,
        media_type: str | None,
        fields: Mapping[str, str],
    ) -> None:
        self._opened: IO[bytes] | None = None
        opened: Any = file
        if isinstance(file, str | os.PathLike):
            opened = self._opened = Path(file).open("rb")  # noqa: SIM115 - open until close()
        elif isinstance(file, bytes | bytearray | memoryview):
            opened = io.BytesIO(file)
        if isinstance(opened, io.TextIOBase) or not hasattr(opened, "read"):
            raise TypeError("file is a path, bytes or a file object opened in binary mode")
        if filename is None:
            name = getattr(opened, "name", None)
            filename = Path(name).name if isinstance(name, str) and name else "upload"
        self._source = _Rewindable(opened)
        # A name that is no text (surrogates of undecodable bytes) cannot go on the wire as it is.
        self._filename = filename.encode("utf-8", "replace").decode()
        self._media_type = media_type
        self._fields = fields

    def sync_arguments(self, guard: Guard) -> dict[str, Any]:
        self._source.guard = guard
        part = (self._filename, self._source) + ((self._media_type,) if self._media_type else ())
        return {"files": {"file": part}, "data": dict(self._fields)}

    async_arguments = sync_arguments

    def close(self) -> None:
        self._source.close()
        if self._opened is not None:
            self._opened.close()


class _Rewindable:
    """A file whose position 0 is where it stood when it was handed over."""

    def __init__(self, file: BinaryIO) -> None:
        self.guard: Guard = _never
        self._copy: IO[bytes] | None = None
        try:
            self._start = file.tell()
            file.seek(self._start)
            self._file: Any = file
        except (OSError, AttributeError):  # a pipe or the like: io.UnsupportedOperation is an OSError
            self._copy = self._file = tempfile.TemporaryFile(prefix="amends-upload-")  # noqa: SIM115 - until close()
            self._start = 0
            while block := file.read(_BLOCK_BYTES):
                self._copy.write(block)
            self._copy.seek(0)

    def read(self, size: int = -1) -> bytes:
        self.guard()
        try:
            block: bytes = self._file.read(size)
        except Exception as error:
            raise BodyFault(error) from error
        return block

    def tell(self) -> int:
        return int(self._file.tell()) - self._start

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        place = offset + self._start if whence == os.SEEK_SET else offset
        return int(self._file.seek(place, whence)) - self._start

    def close(self) -> None:
        if self._copy is not None:
            self._copy.close()


def _never() -> None:
    pass


def _guarded(blocks: Iterator[bytes], guard: Guard) -> Iterator[bytes]:
    for block in blocks:
        guard()
        yield block


async def _in_tasks(blocks: Iterator[bytes]) -> AsyncIterator[bytes]:
    for block in blocks:
        yield block


def _encoded(first: bytes, items: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    """Blocks of about 64 KiB, so that neither a million small items nor one large one is held at once."""
    packer = _Packer(first)
    try:
        for item in items:
            if block := packer.add(item):
                yield block
    except Exception as error:
        raise BodyFault(error) from error
    yield packer.rest()


async def _aencoded(first: bytes, items: AsyncIterable[Mapping[str, Any]]) -> AsyncIterator[bytes]:
    packer = _Packer(first)
    try:
        async for item in items:
            if block := packer.add(item):
                yield block
    except Exception as error:
        raise BodyFault(error) from error
    yield packer.rest()


class _Packer:
    def __init__(self, first: bytes) -> None:
        self._lines = [first]
        self._bytes = len(first)
        self._count = 0

    def add(self, item: Mapping[str, Any]) -> bytes | None:
        """Take an item; return a block once there is enough for one."""
        line = encode_item(item, self._count)
        self._count += 1
        self._lines += (line, b"\n")
        self._bytes += len(line) + 1
        return self.rest() if self._bytes >= _BLOCK_BYTES else None

    def rest(self) -> bytes:
        """Return what no block has been made of yet."""
        block = b"".join(self._lines)
        self._lines, self._bytes = [], 0
        return block
