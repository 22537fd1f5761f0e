"""The content of an answer as it was before it was sent, a piece at a time, whatever it unfolds to."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from typing import Final

_PIECE: Final = 256 * 1024
_GZIP_OR_ZLIB: Final = 32 + zlib.MAX_WBITS


class BadCoding(ValueError):
    """The answer is coded in a way that is not read here, or not coded as it says."""


def decoded(pieces: Iterable[bytes], coding: str) -> Iterator[bytes]:
    """The pieces with ``Content-Encoding`` undone. Raises BadCoding. No piece exceeds 256 KiB, so whoever counts can stop in time."""
    match coding.strip().lower():
        case "" | "identity":
            yield from pieces
        case "gzip" | "x-gzip" | "deflate":
            yield from _inflated(pieces)
        case other:
            raise BadCoding(f"with Content-Encoding {other[:40]!r}, which was not asked for")


def _inflated(pieces: Iterable[bytes]) -> Iterator[bytes]:
    inflater = zlib.decompressobj(_GZIP_OR_ZLIB)
    try:
        for piece in pieces:
            rest = piece
            while rest:
                yield inflater.decompress(rest, _PIECE)
                rest = inflater.unconsumed_tail
        while data := inflater.decompress(b"", _PIECE):
            yield data
    except zlib.error as error:
        raise BadCoding("with a compression that cannot be undone") from error
    if not inflater.eof:
        raise BadCoding("with a compression that ends too soon")
