"""Small pictures of large ones, made in a child process with limits and kept beside the data."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from amends.server.threads import in_thread
from amends.web import _shrinking

_SECONDS: Final = 15.0
# A page asks for dozens at once, and each child takes a core and as much memory as its picture has pixels. In threads of their
# own, since those that wait must not take the ones that everything else is answered in.
_POOL: Final = ThreadPoolExecutor(2, thread_name_prefix="amends-thumbnail")


class NoThumbnail(Exception):
    """The content cannot be shown small: it is no picture, a broken one, or too large to be looked at here."""


async def thumbnail(source: Path, cache: Path, sha256: str) -> bytes:
    """The picture as a small WebP. Raises NoThumbnail.

    source: the blob of that hash. It is made once, since what has the hash never changes.
    """
    place = cache / "thumbnails" / sha256[:2] / f"{sha256}.webp"
    kept = await in_thread(_kept, place)
    if kept is not None:
        return kept
    return await asyncio.get_running_loop().run_in_executor(_POOL, _made, source, place)


def _kept(place: Path) -> bytes | None:
    try:
        return place.read_bytes()
    except OSError:
        return None  # not made yet, or the cache cannot be had: the look is worth the time


def _made(source: Path, place: Path) -> bytes:
    with tempfile.TemporaryDirectory(prefix="amends-thumbnail-") as folder:
        made = Path(folder, "made.webp")
        command = [sys.executable, "-I", _shrinking.__file__, str(source), str(made)]
        try:
            subprocess.run(command, check=True, timeout=_SECONDS, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            content = made.read_bytes()
        except (subprocess.SubprocessError, OSError) as error:
            raise NoThumbnail from error
    _keep(place, content)
    return content


def _keep(place: Path, content: bytes) -> None:
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=place.parent, suffix=".tmp", delete=False) as file:
            file.write(content)
        os.replace(file.name, place)
    except OSError:
        return  # the disk is full: the next look makes it again
