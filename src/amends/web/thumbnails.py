"""Small pictures of large ones, made in a child process with limits and kept beside the data."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Final

from amends.web import _shrinking

_SECONDS: Final = 15.0
# A page asks for dozens at once; each child takes a core and as much memory as its picture has pixels.
_AT_ONCE: Final = threading.BoundedSemaphore(2)


class NoThumbnail(Exception):
    """The content cannot be shown small: it is no picture, a broken one, or too large to be looked at here."""


def thumbnail(source: Path, cache: Path, sha256: str) -> bytes:
    """The picture as a small WebP. Raises NoThumbnail.

    source: the blob of that hash. It is made once, since what has the hash never changes.
    """
    place = cache / "thumbnails" / sha256[:2] / f"{sha256}.webp"
    try:
        return place.read_bytes()
    except OSError:
        pass  # not made yet, or the cache cannot be had: the look is worth the time
    with _AT_ONCE, tempfile.TemporaryDirectory(prefix="amends-thumbnail-") as folder:
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
