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
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, Final

from amends.blobs._local import Blob, BlobWriter, LocalBlobs, storage_problems, sync_path

_FEW: Final = 4
"""So many are flushed by themselves."""
_THREADS: Final = 8
_MEMINFO: Final = Path("/proc/meminfo")
_CALM_KIB: Final = 64 << 10
"""Others may have so much to be written that the whole file system is flushed nevertheless: beyond it, that would wait for them."""


def flush_together(blobs: LocalBlobs, writers: Sequence[BlobWriter]) -> None:
    """Bring the bytes of some blobs to the disk; nothing more is written to them. ProblemError insufficient_storage."""
    for writer in writers:
        writer.close()
    with storage_problems():
        _sync(blobs.root, [writer.path for writer in writers])


def publish_together(blobs: LocalBlobs, writers: Sequence[BlobWriter]) -> list[Blob]:
    """Make blobs visible whose bytes are on the disk, and their names durable."""
    made = [Blob(writer.sha256, writer.size) for writer in writers]
    with storage_problems():
        for writer, blob in zip(writers, made, strict=True):
            os.utime(writer.path)  # it may have been long in writing, and is fresh nevertheless
            blobs.place(writer.path, blob.sha256)
        _sync(blobs.root, [*{blobs.path(blob.sha256).parent for blob in made}, blobs.root])
    return made


def _sync(root: Path, paths: Sequence[Path]) -> None:
    """Flush files or folders under ``root``, with all else on the file system where that is quicker."""
    if len(paths) > _FEW and _is_calm() and _sync_all(root):
        return
    if len(paths) <= _FEW:
        for path in paths:
            sync_path(path)
        return
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="amends-flush") as pool:
        for _ in pool.map(sync_path, paths):
            pass


def _is_calm() -> bool:
    """Whether little waits to be written on this machine; False where nobody knows."""
    try:
        lines = _MEMINFO.read_text().splitlines()
    except OSError:
        return False
    waiting = [int(line.split()[1]) for line in lines if line.startswith(("Dirty:", "Writeback:"))]
    return bool(waiting) and sum(waiting) < _CALM_KIB


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
