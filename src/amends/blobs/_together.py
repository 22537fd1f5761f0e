"""Many small blobs made durable together: each flushed by itself, they would wait for the disk as often as there are blobs, twice.

::

    written, written, …  ─► one flush of all their bytes ─► rename, rename, … ─► one flush of all their names

Whoever finds a blob under its hash still finds all of it, whatever died in between, since no name is given to bytes that are not on
the disk.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

from amends.blobs._local import Blob, BlobWriter, LocalBlobs, storage_problems, sync_folder

_FEW: Final = 4
"""So many are flushed by themselves: everything else that waits for the same disk would be flushed with them."""


def flush_together(blobs: LocalBlobs, writers: Sequence[BlobWriter]) -> None:
    """Bring the bytes of some blobs to the disk; nothing more is written to them. ProblemError insufficient_storage."""
    for writer in writers:
        writer.close()
    with storage_problems():
        if len(writers) <= _FEW or not _sync_all(blobs.root):
            for writer in writers:
                _sync_file(writer.path)


def publish_together(blobs: LocalBlobs, writers: Sequence[BlobWriter]) -> list[Blob]:
    """Make blobs visible whose bytes are on the disk, and their names durable."""
    made = [Blob(writer.sha256, writer.size) for writer in writers]
    with storage_problems():
        for writer, blob in zip(writers, made, strict=True):
            os.utime(writer.path)  # it may have been long in writing, and is fresh nevertheless
            blobs.place(writer.path, blob.sha256)
        if len(writers) <= _FEW or not _sync_all(blobs.root):
            for folder in {blobs.path(blob.sha256).parent for blob in made}:
                sync_folder(folder)
            sync_folder(blobs.root)
    return made


def _sync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_all(folder: Path) -> bool:
    """Flush the file system that the folder is on; False where the system has no such call (syncfs(2))."""
    syncfs = _syncfs()
    if syncfs is None:
        return False
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        if syncfs(descriptor) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
    finally:
        os.close(descriptor)
    return True


@cache
def _syncfs() -> Any:
    if sys.platform != "linux":
        return None
    return getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
