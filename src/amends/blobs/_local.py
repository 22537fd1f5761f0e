"""Blobs in a local directory.

A blob is written beside its place under a name of its own, flushed to the disk and then renamed, so whoever finds a blob
under its hash finds all of it, whatever died in between::

    tmp/3f9c…     (written, fsync)
        └─ rename ─►  ab/cdef…   (fsync of the folder: the name itself survives a power cut)

Same bytes are stored once: two writers of the same content rename onto the same name, and either file is the right one.

A sweep may judge a blob to be nobody's and then meet a writer that stores the same bytes again. So a blob's time is that of its
last storing, whoever stores holds the folder's lock shared and the sweep holds it alone, and what was stored since it was judged
stays (``delete_unchanged``). The locks are the system's (flock(2)): they hold between processes and go with them.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO
from uuid import uuid4

from amends.problems import ProblemError, problem

_NAME = re.compile(r"[0-9a-f]{64}")
_FOLDER = re.compile(r"[0-9a-f]{2}")
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class BlobNotFound(LookupError):
    """No blob of that hash is stored here."""


@dataclass(frozen=True, slots=True)
class Blob:
    """Stored bytes. size: in bytes."""

    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class StoredBlob:
    """A blob as it lies on the disk. stored_ns: when its bytes were last stored, in nanoseconds since the epoch."""

    sha256: str
    stored_ns: int


class BlobWriter:
    """One blob on its way to the disk; used as a context manager.

    Nothing is visible before ``commit``, and leaving without it leaves nothing behind. A full disk is raised as the problem
    ``insufficient_storage`` by whichever call met it.
    """

    def __init__(self, blobs: LocalBlobs) -> None:
        self._blobs = blobs
        self._digest = hashlib.sha256()
        self.path = blobs.temporary()
        self.size = 0
        with storage_problems():
            self._file: BinaryIO = open(self.path, "xb", buffering=0)  # noqa: SIM115 closed by __exit__

    def __enter__(self) -> BlobWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of the file: nothing more is written. What becomes of it is decided by whoever entered the writer."""
        self._file.close()

    def write(self, data: bytes | memoryview) -> None:
        view = memoryview(data)
        self._digest.update(view)
        self.size += len(view)
        with storage_problems():
            while view:  # a raw file may take less than it is given
                view = view[self._file.write(view) :]

    @property
    def sha256(self) -> str:
        """Of what has been written so far."""
        return self._digest.hexdigest()

    def commit(self) -> Blob:
        """Make the blob durable and visible."""
        blob = Blob(self.sha256, self.size)
        with storage_problems():
            os.utime(self._file.fileno())  # it may have been long in writing, and is fresh nevertheless
            os.fsync(self._file.fileno())
            self._file.close()
            self._blobs.publish(self.path, blob.sha256)
        return blob


class LocalBlobs:
    """Blobs under the folder ``root``, as ``ab/cdef…``. Any number of processes may read and write at once."""

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)

    def writer(self) -> BlobWriter:
        return BlobWriter(self)

    def put(self, data: bytes | Iterable[bytes]) -> Blob:
        """Store bytes, or the pieces of them. Durable when it returns; insufficient_storage when the disk is full."""
        with self.writer() as writer:
            for piece in (data,) if isinstance(data, bytes) else data:
                writer.write(piece)
            return writer.commit()

    def path(self, sha256: str) -> Path:
        """Where the blob is, or would be. ValueError for what is no hash, so that no name from outside becomes a path."""
        if not _NAME.fullmatch(sha256):
            raise ValueError(f"not a SHA-256 in hex: {sha256!r}")
        return self.root / sha256[:2] / sha256[2:]

    def exists(self, sha256: str) -> bool:
        return self.path(sha256).is_file()

    def open(self, sha256: str) -> BinaryIO:
        """The blob for reading; BlobNotFound."""
        try:
            return open(self.path(sha256), "rb")
        except FileNotFoundError:
            raise BlobNotFound(sha256) from None

    def get(self, sha256: str) -> bytes:
        with self.open(sha256) as file:
            return file.read()

    def size(self, sha256: str) -> int:
        try:
            return self.path(sha256).stat().st_size
        except FileNotFoundError:
            raise BlobNotFound(sha256) from None

    def read(self, sha256: str, start: int = 0, end: int | None = None, piece: int = 1 << 18) -> Iterator[bytes]:
        """The bytes from ``start`` up to and without ``end`` (None: the blob's end), in pieces."""
        with self.open(sha256) as file:
            file.seek(start)
            left = None if end is None else end - start
            while left is None or left > 0:
                data = file.read(piece if left is None else min(piece, left))
                if not data:
                    return
                left = None if left is None else left - len(data)
                yield data

    def delete(self, sha256: str) -> bool:
        """Remove the blob; whether it was there. The caller knows that nobody relies on it any more."""
        try:
            self.path(sha256).unlink()
        except FileNotFoundError:
            return False
        return True

    def folders(self) -> list[str]:
        """The names of the folders that blobs lie in, each the first two digits of their hashes; sorted."""
        if not self.root.is_dir():
            return []
        return sorted(path.name for path in self.root.iterdir() if _FOLDER.fullmatch(path.name))

    def stored(self, folder: str) -> Iterator[StoredBlob]:
        """The blobs of one folder, in no order."""
        with contextlib.suppress(FileNotFoundError), os.scandir(self.root / folder) as entries:
            for entry in entries:
                if _NAME.fullmatch(folder + entry.name):
                    with contextlib.suppress(FileNotFoundError):
                        yield StoredBlob(folder + entry.name, entry.stat().st_mtime_ns)

    def delete_unchanged(self, blob: StoredBlob) -> bool:
        """Remove the blob unless it was stored again since; whether it was removed."""
        path = self.path(blob.sha256)
        with contextlib.suppress(FileNotFoundError), _locked(path.parent, fcntl.LOCK_EX):
            if path.stat().st_mtime_ns == blob.stored_ns:
                path.unlink()
                return True
        return False

    def clear_strays(self) -> int:
        """Remove what writers that died left behind; the number of files. For the owner at its start, when nobody writes."""
        strays = [path for path in (self.root / "tmp").glob("*") if path.is_file()]
        for path in strays:
            path.unlink(missing_ok=True)
        return len(strays)

    def temporary(self) -> Path:
        """A name that nobody has, for what is to be a blob; whatever bears one is gone at the owner's next start."""
        with storage_problems():
            (self.root / "tmp").mkdir(parents=True, exist_ok=True)
        return self.root / "tmp" / uuid4().hex

    def publish(self, temporary: Path, sha256: str) -> None:
        """Let the file ``temporary`` become the blob; its bytes are on the disk and have this hash."""
        folder = self.path(sha256).parent
        is_new = not folder.is_dir()
        self.place(temporary, sha256)
        sync_path(folder)
        if is_new:
            sync_path(self.root)

    def place(self, temporary: Path, sha256: str) -> None:
        """The same, but for the caller to make the name durable."""
        place = self.path(sha256)
        place.parent.mkdir(parents=True, exist_ok=True)
        with _locked(place.parent, fcntl.LOCK_SH):
            os.replace(temporary, place)


@contextlib.contextmanager
def _locked(folder: Path, how: int) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, how)
        yield
    finally:
        os.close(descriptor)


def sync_path(path: Path) -> None:
    """Make the bytes of a file, or the names in a folder, durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def storage_problems() -> Iterator[None]:
    """Turn a full disk into its problem."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise ProblemError(problem("insufficient_storage")) from error
        raise
