"""Blobs that arrive in parts, over any number of requests, restarts and days.

The bytes lie in ``parts/NAME`` until the last one is there; then the file gets a second name, the blob's, and loses the first::

    parts/upload_01j…   (written; flushed to the disk by ``sync``)
        ├─ link ─────►  ab/cdef…   (by ``commit``)
        └─ unlink                  (by ``discard``, once what refers to the blob is durable; before that, it can still go on)

What counts is not how long the file is but how much of it somebody has written down as durable: whoever goes on says how much, and
what lies beyond is cut off, whether it was written by a process that died or refused by a full disk. A file that still has both
names when somebody goes on is copied first: a blob's bytes never change.

One writer at a time: the lock is the system's (flock(2)), so it holds between processes and goes with them. The digest of what is
there is remembered between two openings; where it is not, since another process wrote it, the file is read again.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import threading
from collections import OrderedDict
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from amends.blobs._local import Blob, LocalBlobs, storage_problems, sync_path

_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")
_PIECE_BYTES: Final = 1 << 20
_REMEMBERED: Final = 1_000


class PartialLocked(Exception):
    """Somebody else writes this partial blob just now."""


class PartialLost(Exception):
    """Less of it lies on the disk than was written down as durable: somebody has removed or cut the file."""


class Partials:
    """The blobs under way in ``root/parts``."""

    def __init__(self, blobs: LocalBlobs) -> None:
        self._blobs = blobs
        self._folder = blobs.root / "parts"
        self._lock = threading.Lock()
        self._digests: OrderedDict[str, tuple[int, Any]] = OrderedDict()

    def open(self, name: str) -> PartialBlob:
        """Take hold of a partial blob, made if it is new. Raises PartialLocked; insufficient_storage when the disk is full."""
        path = self._path(name)
        with storage_problems():
            if not self._folder.is_dir():
                self._folder.mkdir(parents=True, exist_ok=True)
                sync_path(self._blobs.root)
            while (descriptor := _hold(path)) is None:
                pass  # it was deleted or copied between the opening and the locking
        return PartialBlob(self, self._blobs, name, path, descriptor)

    def delete(self, name: str) -> None:
        """Remove what has arrived, if anything has. Whoever still writes it writes into nothing."""
        self._path(name).unlink(missing_ok=True)
        self._take_digest(name)

    def names(self) -> list[str]:
        """Those that have arrived in part."""
        return sorted(path.name for path in self._folder.iterdir()) if self._folder.is_dir() else []

    def _path(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise ValueError(f"not a name of a partial blob: {name!r}")
        return self._folder / name

    def _take_digest(self, name: str) -> tuple[int, Any] | None:
        with self._lock:
            return self._digests.pop(name, None)

    def _keep_digest(self, name: str, size: int, digest: Any) -> None:
        with self._lock:
            self._digests[name] = (size, digest)
            while len(self._digests) > _REMEMBERED:
                self._digests.popitem(last=False)


class PartialBlob:
    """One partial blob, held alone; used as a context manager. ``rewind`` comes first."""

    def __init__(self, partials: Partials, blobs: LocalBlobs, name: str, path: Path, descriptor: int) -> None:
        self._partials = partials
        self._blobs = blobs
        self._name = name
        self._path = path
        self._descriptor = descriptor
        self._digest: Any = None
        self._digested = 0
        self._synced: tuple[int, Any] | None = None
        self._is_gone = False
        self.size = 0

    def __enter__(self) -> PartialBlob:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._digest is not None and not self._is_gone and self._digested == self.size:
            self._partials._keep_digest(self._name, self.size, self._digest)
        os.close(self._descriptor)

    def rewind(self, size: int) -> None:
        """Go on after the first ``size`` bytes; cut off what lies beyond. Raises PartialLost where there are fewer."""
        found = os.fstat(self._descriptor)
        if found.st_size < size:
            raise PartialLost(self._name)
        if found.st_nlink > 1:
            self._part_ways(size)
        os.ftruncate(self._descriptor, size)
        known = self._partials._take_digest(self._name) or self._synced
        if known is not None and known[0] == size:
            self._digested, self._digest = size, known[1].copy()
        else:
            self._digested, self._digest = 0, hashlib.sha256()
        self.size = size

    def write(self, data: bytes | memoryview) -> None:
        """Add bytes at the end; insufficient_storage when the disk is full, with some of them perhaps written."""
        view = memoryview(data)
        if self._digested == self.size:
            self._digest.update(view)
            self._digested += len(view)
        with storage_problems():
            while view:
                written = os.pwrite(self._descriptor, view, self.size)
                self.size += written
                view = view[written:]

    def sync(self) -> int:
        """Make what has been written durable; its size."""
        with storage_problems():
            os.fsync(self._descriptor)
            sync_path(self._path.parent)
        if self._digested == self.size:
            self._synced = (self.size, self._digest.copy())
        return self.size

    def sha256(self) -> str:
        """Of all that has been written; reads the file where that is not known."""
        while self._digested < self.size:
            piece = os.pread(self._descriptor, min(_PIECE_BYTES, self.size - self._digested), self._digested)
            if not piece:
                raise PartialLost(self._name)
            self._digest.update(piece)
            self._digested += len(piece)
        return str(self._digest.hexdigest())

    def commit(self) -> Blob:
        """Make all of it a blob, durable and visible. The partial one stays until ``discard``, so that failing is no loss."""
        blob = Blob(self.sha256(), self.size)
        second = self._blobs.temporary()
        with storage_problems():
            os.utime(self._descriptor)  # it may have been long in arriving, and is fresh nevertheless
            os.fsync(self._descriptor)
            os.link(self._path, second)
            self._blobs.publish(second, blob.sha256)
        return blob

    def discard(self) -> None:
        """Let go of what has arrived: it is a blob, or nobody wants it."""
        self._partials.delete(self._name)
        self._is_gone = True

    def _part_ways(self, size: int) -> None:
        """Go on with a copy, since the file is a blob, too."""
        copy = self._blobs.temporary()
        with storage_problems(), copy.open("x+b") as file, open(self._descriptor, "rb", closefd=False) as source:
            try:
                shutil.copyfileobj(source, file, _PIECE_BYTES)
                file.truncate(size)
                file.flush()
                os.fsync(file.fileno())
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                descriptor = os.dup(file.fileno())
                os.replace(copy, self._path)
            except BaseException:
                copy.unlink(missing_ok=True)
                raise
        os.close(self._descriptor)
        self._descriptor = descriptor


def _hold(path: Path) -> int | None:
    """A locked descriptor of the file, made if it is new; None where the name leads to another file by now."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if path.stat().st_ino == os.fstat(descriptor).st_ino:
            return descriptor
    except BlockingIOError:
        os.close(descriptor)
        raise PartialLocked(path.name) from None
    except FileNotFoundError:
        pass
    os.close(descriptor)
    return None
