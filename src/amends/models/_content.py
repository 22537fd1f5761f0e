"""What a file is: decided by its content, and among texts by what it was said to be.

Bytes of anybody are looked at here, so call it where a crash harms nobody: in a child process.
"""

from __future__ import annotations

import codecs
import mimetypes
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

__all__ = ["UNKNOWN", "Content", "identify", "identify_head", "load_identifier", "media_type_of", "type_named"]

UNKNOWN: Final = "application/octet-stream"
_HEAD_BYTES: Final = 64 * 1024
_TEXT_APPLICATIONS: Final = frozenset(
    {
        "application/json",
        "application/xml",
        "application/x-ndjson",
        "application/jsonl",
        "application/yaml",
        "application/toml",
    }
)
# The platform's tables differ; these are the kinds that processors tell apart.
_OWN_TYPES: Final = {".md": "text/markdown", ".markdown": "text/markdown", ".jsonl": "application/x-ndjson",
                     ".ndjson": "application/x-ndjson", ".csv": "text/csv", ".tsv": "text/tab-separated-values",
                     ".yaml": "application/yaml", ".yml": "application/yaml"}  # fmt: skip
# The model takes 5 to 15 ms of a processor for each file, too much for a hundred thousand of the common kinds, which say
# what they are in their first bytes. Everything else is for the model.
_SIGNATURES: Final = {
    b"%PDF-": "application/pdf",
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
    b"II*\0": "image/tiff",
    b"MM\0*": "image/tiff",
}


@dataclass(frozen=True, slots=True)
class Content:
    """What the bytes say."""

    media_type: str = UNKNOWN
    is_text: bool = False


def identify(path: Path) -> Content:
    """What the file holds. Loads a model the first time the first bytes do not tell."""
    with open(path, "rb") as file:
        head = file.read(_HEAD_BYTES)
    known = identify_head(head)
    if known is not None:
        return known
    found = load_identifier().identify_path(path)  # reads a few KiB from both ends
    return Content(found.output.mime_type, bool(found.output.is_text)) if found.ok else Content()


def identify_head(head: bytes) -> Content | None:
    """What the first bytes of a file say, up to 64 KiB of them; None where they do not tell."""
    for signature, media_type in _SIGNATURES.items():
        if head.startswith(signature):
            return Content(media_type)
    return Content("text/plain", is_text=True) if _reads_as_text(head[:_HEAD_BYTES]) else None


def _reads_as_text(head: bytes) -> bool:
    """Whether it begins as UTF-8 without control characters.

    The model gives up on texts of a few words and takes monotonous ones for disk images; which kind of text it is, the
    name and the sender decide anyway.
    """
    try:
        # not final: the cut may go through a character
        text = codecs.getincrementaldecoder("utf-8-sig")().decode(head)
    except UnicodeDecodeError:
        return False
    return bool(text) and all(character >= " " or character in "\t\n\r\f" for character in text)


@cache
def load_identifier() -> Any:
    """Load the model that tells what the first bytes do not; ``identify`` does it when it first needs to."""
    from magika import Magika

    return Magika()


def media_type_of(found: Content, size: int, declared: str | None, filename: str) -> str:
    """The file's media type: content decides; among text types the declared one and the name do, else ``text/plain``.

    Nothing can be told of an empty file by its content, so what it was said to be stands.
    """
    said = (declared or "").partition(";")[0].strip().lower()
    named = type_named(filename)
    if size == 0:
        return next((kind for kind in (said, named) if _is_specific(kind)), UNKNOWN)
    if not found.is_text:
        return found.media_type
    return next((kind for kind in (said, named) if _is_text(kind) and kind != "text/plain"), "text/plain")


def type_named(filename: str) -> str:
    """The media type that a file's name promises, "" for none."""
    return _OWN_TYPES.get(Path(filename).suffix.lower()) or mimetypes.guess_type(filename, strict=False)[0] or ""


def _is_specific(kind: str) -> bool:
    return bool(kind) and kind != UNKNOWN and "/" in kind and kind.isprintable() and len(kind) <= 255


def _is_text(kind: str) -> bool:
    return _is_specific(kind) and (
        kind.startswith("text/") or kind in _TEXT_APPLICATIONS or kind.endswith(("+xml", "+json"))
    )
