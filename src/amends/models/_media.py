"""Media types as models tell them apart."""

from __future__ import annotations

from typing import Literal

__all__ = ["Kind", "kind_of"]

Kind = Literal["pdf", "image", "text", "html", "csv", "docx"]

_EXACT: dict[str, Kind] = {
    "application/pdf": "pdf",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/xhtml+xml": "html",
    "image/bmp": "image",
    "image/gif": "image",
    "image/jpeg": "image",
    "image/png": "image",
    "image/tiff": "image",
    "image/webp": "image",
    "image/x-ms-bmp": "image",
    "text/csv": "csv",
    "text/html": "html",
    "text/tab-separated-values": "csv",
}
_TEXT = frozenset(
    {
        "application/json",
        "application/jsonl",
        "application/toml",
        "application/x-ndjson",
        "application/x-yaml",
        "application/xml",
        "application/yaml",
        "message/rfc822",
    }
)
_NO_TEXT = frozenset({"text/rtf"})  # by its name a text, but nothing a reader would call so


def kind_of(media_type: str) -> Kind | None:
    """Return how a file of this media type is read, None where it is not. Parameters (``; charset=…``) are ignored."""
    essence = media_type.partition(";")[0].strip().lower()
    if essence in _EXACT:
        return _EXACT[essence]
    if essence in _TEXT or (essence.startswith("text/") and essence not in _NO_TEXT):
        return "text"
    if essence.startswith("application/") and essence.endswith(("+json", "+xml")):
        return "text"
    return None
