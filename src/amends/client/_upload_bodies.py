"""Files on their way to the server: whole, in a form, or a part at a time."""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, BinaryIO, Final

from ._bodies import BLOCK_BYTES, BodyFault, Guard, guarded, in_tasks

PART_TYPE: Final = "application/offset+octet-stream"
_DIGEST_BYTES: Final = 1 << 20

Uploadable = str | os.PathLike[str] | bytes | BinaryIO


class Source:
    """A file to send, read any number of times from where it stood when it was handed over.

    file: a path; bytes; or a binary file object (one that cannot seek is copied to a temporary file). filename: None takes the
    path's or file's own. Raises OSError where it cannot be opened.
    """

    def __init__(self, file: Uploadable, filename: str | None = None) -> None:
        self.guard: Guard = _never
        self._opened: IO[bytes] | None = None
        self._copy: IO[bytes] | None = None
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
        # A name that is no text (surrogates of undecodable bytes) cannot go on the wire as it is.
        self.filename = filename.encode("utf-8", "replace").decode()
        self._file, self._start = self._rewindable(opened)

    def _rewindable(self, file: Any) -> tuple[Any, int]:
        try:
            start = file.tell()
            file.seek(start)
        except (OSError, AttributeError):  # a pipe or the like: io.UnsupportedOperation is an OSError
            self._copy = tempfile.TemporaryFile(prefix="amends-upload-")  # noqa: SIM115 - until close()
            while block := file.read(BLOCK_BYTES):
                self._copy.write(block)
            self._copy.seek(0)
            return self._copy, 0
        return file, int(start)

    @property
    def size(self) -> int:
        """Bytes from its start to its end as it is now."""
        before = self.tell()
        end = self.seek(0, os.SEEK_END)
        self.seek(before)
        return end

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

    def sha256(self) -> str:
        """Of the whole, in hex; it stands at its start again then."""
        self.seek(0)
        digest = hashlib.sha256()
        while block := self._file.read(_DIGEST_BYTES):
            digest.update(block)
        self.seek(0)
        return digest.hexdigest()

    def close(self) -> None:
        for file in (self._copy, self._opened):
            if file is not None:
                file.close()


class UploadBody:
    """A multipart form of one file and some fields. Leaves the source open."""

    headers: Mapping[str, str] = {}

    def __init__(self, source: Source, media_type: str | None, fields: Mapping[str, str]) -> None:
        self._source = source
        self._media_type = media_type
        self._fields = fields

    def sync_arguments(self, guard: Guard) -> dict[str, Any]:
        self._source.guard = guard
        part = (self._source.filename, self._source) + ((self._media_type,) if self._media_type else ())
        return {"files": {"file": part}, "data": dict(self._fields)}

    async_arguments = sync_arguments

    def close(self) -> None:
        """The source is whoever's opened it."""


class PartBody:
    """The bytes of a file from ``start`` on, ``size`` of them. Leaves the source open."""

    def __init__(self, source: Source, start: int, size: int) -> None:
        self._source = source
        self._start = start
        self._size = size
        self.headers: Mapping[str, str] = {"Content-Type": PART_TYPE, "Content-Length": str(size)}

    def sync_arguments(self, guard: Guard) -> dict[str, Any]:
        return {"content": guarded(self._blocks(), guard)}

    def async_arguments(self, guard: Guard) -> dict[str, Any]:
        return {"content": in_tasks(guarded(self._blocks(), guard))}

    def _blocks(self) -> Iterator[bytes]:
        place, left = self._start, self._size
        while left:
            self._source.seek(place)
            block = self._source.read(min(BLOCK_BYTES, left))
            if not block:
                name = self._source.filename
                raise BodyFault(ValueError(f"{name} became shorter while it was sent: it ends at byte {place}"))
            place, left = place + len(block), left - len(block)
            yield block

    def close(self) -> None:
        """The source is whoever's opened it."""


def _never() -> None:
    pass
