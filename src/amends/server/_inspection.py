"""The child that looks at uploaded files: ``python -m amends.server._inspection``.

Decoders meet hostile bytes here, in a process with limits of its own, and not in the owner's. One JSON line in, ``{"path": …}``;
two out, ``{"media_type": …, "is_text": …}`` and, should the counting come to an end, ``{"pages": …}``. It ends with its standard input.
"""

from __future__ import annotations

import codecs
import json
import resource
import sys
from pathlib import Path
from typing import Any

import amends.models  # noqa: F401 keeps onnxruntime, on which magika stands, from sending usage events

_ADDRESS_SPACE_BYTES = 6 << 30  # onnxruntime reserves much more than it touches
_FILE_BYTES = 1 << 20
_OPEN_FILES = 64
_HEAD_BYTES = 64 * 1024


# The model takes 5 to 15 ms of a processor for each file, too much for a hundred thousand of the common kinds, which say
# what they are in their first bytes. Everything else is for the model.
_SIGNATURES = {
    b"%PDF-": "application/pdf",
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
    b"II*\0": "image/tiff",
    b"MM\0*": "image/tiff",
}


def main() -> None:
    _limit(resource.RLIMIT_AS, _ADDRESS_SPACE_BYTES)
    _limit(resource.RLIMIT_FSIZE, _FILE_BYTES)
    _limit(resource.RLIMIT_NOFILE, _OPEN_FILES)
    _limit(resource.RLIMIT_CORE, 0)
    from magika import Magika  # loads a model: only here, and only once

    magika = Magika()
    for line in sys.stdin:
        path = Path(json.loads(line)["path"])
        found = _identify(magika, path)
        _answer(found)
        pages = _count_pages(path) if found["media_type"] == "application/pdf" else None
        _answer({"pages": pages})


def _answer(part: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(part) + "\n")
    sys.stdout.flush()


def _identify(magika: Any, path: Path) -> dict[str, Any]:
    with open(path, "rb") as file:
        head = file.read(16)
    for signature, media_type in _SIGNATURES.items():
        if head.startswith(signature):
            return {"media_type": media_type, "is_text": False}
    if _reads_as_text(path):
        return {"media_type": "text/plain", "is_text": True}
    found = magika.identify_path(path)  # reads a few KiB from both ends
    if not found.ok:
        return {"media_type": "application/octet-stream", "is_text": False}
    return {"media_type": found.output.mime_type, "is_text": bool(found.output.is_text)}


def _reads_as_text(path: Path) -> bool:
    """Whether it begins as UTF-8 without control characters.

    The model gives up on texts of a few words and takes monotonous ones for disk images; which kind of text it is, the
    name and the sender decide anyway.
    """
    with open(path, "rb") as file:
        head = file.read(_HEAD_BYTES)
    try:
        # not final: the cut may go through a character
        text = codecs.getincrementaldecoder("utf-8-sig")().decode(head)
    except UnicodeDecodeError:
        return False
    return bool(text) and all(character >= " " or character in "\t\n\r\f" for character in text)


def _count_pages(path: Path) -> int | None:
    """None for a document that cannot be opened: broken, or closed with a password."""
    import pypdfium2

    try:
        document = pypdfium2.PdfDocument(path)
    except pypdfium2.PdfiumError:
        return None
    try:
        return len(document)
    finally:
        document.close()


def _limit(what: int, value: int) -> None:
    _, hard = resource.getrlimit(what)
    resource.setrlimit(what, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))


if __name__ == "__main__":
    main()
