"""Going through a large JSON array in small ones, so that a body of megabytes never is millions of objects at once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import msgspec

PIECE_BYTES: Final = 256 * 1024

_BETWEEN_OBJECTS: Final = re.compile(rb"\}[ \t\r\n]*,(?=[ \t\r\n]*\{)")
_raw_array = msgspec.json.Decoder(list[msgspec.Raw])


def array_pieces(array: msgspec.Raw, piece_bytes: int = PIECE_BYTES) -> Iterator[tuple[int, bytes]]:
    """The array's elements as arrays of about ``piece_bytes``: (index of the first element, the small array).

    array: valid JSON, an array without blanks around it. A cut is tried behind a comma that seems to stand between two
    elements. Whether it does shows when the piece is read: what parses as whole elements from the start of an array is how the
    array begins, since JSON is read in one way only. Where it does not, the piece is taken twice as long.
    """
    text = memoryview(array)
    place, end, index, length = 1, len(text) - 1, 0, piece_bytes
    while place < end:
        cut = _cut(text, place, length, end)
        piece = b"[" + text[place:cut] + b"]"
        count = len(_raw_array.decode(piece)) if cut == end else _count(piece)
        if count is None:
            length *= 2
            continue
        if count:
            yield index, piece
        index, place, length = index + count, cut + 1, piece_bytes


def _cut(text: memoryview, place: int, length: int, end: int) -> int:
    """Where the comma stands that may end the piece: between objects if one is near, else any; the array's end if none is."""
    near, far = place + length, min(end, place + 2 * length)
    if near >= end:
        return end
    between = _BETWEEN_OBJECTS.search(text, near, far)
    if between is not None:
        return between.end() - 1
    comma = bytes(text[near:far]).find(b",")
    return near + comma if comma >= 0 else far if far == end else _cut(text, place, 2 * length, end)


def _count(piece: bytes) -> int | None:
    """How many elements a piece has; None if it is no array."""
    try:
        return len(_raw_array.decode(piece))
    except (msgspec.MsgspecError, RecursionError):
        return None
