"""What people can be shown: pictures that can be decoded to their end, video and audio by their signatures.

Bytes of anybody are decoded here, so call it where a crash harms nobody: in a child process.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Final, NamedTuple

from amends.problems import ProblemError, asset_failed

from ._content import identify

__all__ = ["MAX_PIXELS", "Looked", "look_at_asset", "may_be_shown"]

MAX_PIXELS: Final = 100_000_000
_FORMATS: Final = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")
_DECODED: Final = frozenset(
    {"image/bmp", "image/gif", "image/jpeg", "image/png", "image/tiff", "image/webp", "image/x-ms-bmp"}
)
_PLAYED: Final = ("video/", "audio/")
_ORIENTATION: Final = 0x0112
_LYING: Final = frozenset({5, 6, 7, 8})
"""Orientations of EXIF under which width and height change places."""
_SMALL_SIDE: Final = 64
_HEAD_BYTES: Final = 64
# Where the model that tells content types would take milliseconds, and the first bytes say it.
_RIFF: Final = {b"WEBP": "image/webp", b"WAVE": "audio/x-wav", b"AVI ": "video/x-msvideo"}
_BRANDS: Final = {b"heic": "image/heic", b"heix": "image/heic", b"mif1": "image/heif", b"avif": "image/avif",
                  b"avis": "image/avif", b"M4A ": "audio/mp4", b"qt  ": "video/quicktime"}  # fmt: skip
_STARTS: Final = {b"OggS": "audio/ogg", b"fLaC": "audio/flac", b"ID3": "audio/mpeg", b"\x1aE\xdf\xa3": "video/webm"}


class Looked(NamedTuple):
    """What content is. width, height: of a picture as it is shown, upright; None of anything else."""

    media_type: str
    bytes: int
    width: int | None = None
    height: int | None = None


def look_at_asset(path: Path) -> Looked:
    """What the content is. Raises ProblemError asset_upload_failed for what cannot be shown, with its stage."""
    size = path.stat().st_size
    if not size:
        raise ProblemError(asset_failed("decode", "The file is empty"))
    media_type = _by_signature(path) or identify(path).media_type
    if media_type in _DECODED:
        return Looked(media_type, size, *_decoded(path))
    if not may_be_shown(media_type):
        what = f"The file is {media_type}, and neither a picture that is decoded here nor video or audio"
        raise ProblemError(asset_failed("content_type", what, media_type=media_type))
    return Looked(media_type, size)


def may_be_shown(media_type: str) -> bool:
    """Whether content of this type can be an asset."""
    return media_type in _DECODED or media_type.startswith(_PLAYED)


def _by_signature(path: Path) -> str | None:
    with open(path, "rb") as file:
        head = file.read(_HEAD_BYTES)
    if head[:4] == b"RIFF":
        return _RIFF.get(head[8:12])
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12], "video/mp4")
    if head[:4] == b"\x1aE\xdf\xa3" and b"webm" not in head:
        return "video/x-matroska"
    if head[:2] == b"\xff\xfb":
        return "audio/mpeg"
    return next((media_type for start, media_type in _STARTS.items() if head.startswith(start)), None)


def _decoded(path: Path) -> tuple[int, int]:
    """Width and height of a picture that can be decoded to its end. A JPEG is decoded no larger than it takes to see that."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of sizes below our own limit, and of odd metadata
            with Image.open(path, formats=_FORMATS) as image:
                width, height = image.size
                if width * height > MAX_PIXELS:
                    raise _too_large(f"{width} by {height}")
                image.draft("RGB", (_SMALL_SIDE, _SMALL_SIDE))
                image.load()
                is_lying = image.getexif().get(_ORIENTATION) in _LYING
    except (ProblemError, MemoryError):
        raise
    except Image.DecompressionBombError:
        raise _too_large("far too many") from None
    except Exception as error:  # decoders raise nearly anything
        raise ProblemError(asset_failed("decode", "The picture is damaged or ends too soon")) from error
    return (height, width) if is_lying else (width, height)


def _too_large(pixels: str) -> ProblemError:
    detail = f"The picture would have {pixels} pixels; at most {MAX_PIXELS} are decoded"
    return ProblemError(asset_failed("size", detail, limit=MAX_PIXELS))
