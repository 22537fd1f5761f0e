"""Puts pieces of text that were found on a page into lines, top to bottom and left to right."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from statistics import median
from typing import NamedTuple

__all__ = ["Piece", "to_text"]

_COLUMN_BREAK = "   "
_COLUMN_GAP = 1.2
"""A gap of this many line heights parts columns; a space between words is about 0.3."""


class Piece(NamedTuple):
    """Some text and where it stands; y grows downwards."""

    text: str
    left: float
    top: float
    right: float
    bottom: float

    @property
    def middle(self) -> float:
        return (self.top + self.bottom) / 2

    @property
    def height(self) -> float:
        return self.bottom - self.top


def to_text(pieces: Iterable[Piece]) -> str:
    """Return the text of a page: a line where pieces stand side by side, three spaces between columns, an empty line
    where more than a line's height is left free."""
    lines = _lines(pieces)
    if not lines:
        return ""
    usual = median(piece.height for line in lines for piece in line)
    out = [_join(lines[0])]
    for above, line in pairwise(lines):
        gap = min(piece.top for piece in line) - max(piece.bottom for piece in above)
        if gap > usual:
            out.append("")
        out.append(_join(line))
    return "\n".join(out)


def _lines(pieces: Iterable[Piece]) -> list[list[Piece]]:
    lines: list[list[Piece]] = []
    for piece in sorted(pieces, key=lambda piece: piece.middle):
        if lines and _is_beside(piece, lines[-1]):
            lines[-1].append(piece)
        else:
            lines.append([piece])
    return [sorted(line, key=lambda piece: piece.left) for line in lines]


def _is_beside(piece: Piece, line: list[Piece]) -> bool:
    middle = sum(other.middle for other in line) / len(line)
    height = min(piece.height, *(other.height for other in line))
    overlaps = any(min(piece.right, other.right) - max(piece.left, other.left) > height for other in line)
    return abs(piece.middle - middle) < height / 2 and not overlaps


def _join(line: list[Piece]) -> str:
    parts = [line[0].text]
    for before, piece in pairwise(line):
        height = max(before.height, piece.height)
        parts += (_COLUMN_BREAK if piece.left - before.right > _COLUMN_GAP * height else " ", piece.text)
    return "".join(parts)
