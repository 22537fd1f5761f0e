"""A lock file that one process holds, gone with the process however it ends."""

from __future__ import annotations

import os
import sys
from pathlib import Path


class Locked(Exception):
    """Somebody else holds it. holder: their process id, None where it is not known."""

    def __init__(self, holder: int | None) -> None:
        super().__init__(holder)
        self.holder = holder


class FileLock:
    """A lock on the file ``path``, which says who holds it and goes when it is let go of."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    @property
    def is_held(self) -> bool:
        return self._descriptor is not None

    def take(self) -> None:
        """Hold the lock. Raises Locked, OSError."""
        while True:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                if not _lock(descriptor):
                    raise Locked(_holder(descriptor))
                if _is_still(self._path, descriptor):
                    os.ftruncate(descriptor, 0)
                    os.write(descriptor, str(os.getpid()).encode())
                    self._descriptor, descriptor = descriptor, -1
                    return
            finally:
                if descriptor >= 0:
                    os.close(descriptor)

    def release(self) -> None:
        """Let go. Idempotent."""
        if self._descriptor is None:
            return
        descriptor, self._descriptor = self._descriptor, None
        if sys.platform == "win32":
            os.close(descriptor)  # there an open file cannot be removed
        try:
            self._path.unlink(missing_ok=True)
        except OSError:
            pass  # a file without a lock on it holds nobody up
        if sys.platform != "win32":
            os.close(descriptor)


def _is_still(path: Path, descriptor: int) -> bool:
    """Whether the name still leads to the file that was opened; its holder may have removed it in between."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _holder(descriptor: int) -> int | None:
    try:
        text = os.pread(descriptor, 20, 0) if hasattr(os, "pread") else b""
    except OSError:
        return None
    return int(text) if text.isdigit() else None


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> bool:
        os.lseek(descriptor, 1 << 20, os.SEEK_SET)  # beyond what is written, so that it can be read
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        os.lseek(descriptor, 0, os.SEEK_SET)
        return True

else:
    import fcntl

    def _lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
