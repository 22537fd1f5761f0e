"""A document as rules see it: lines, their cells, and the pairs of label and value on them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from ._labels import concepts

__all__ = ["Cell", "Document", "Line", "Pair"]

_CELL_BREAK = re.compile(r"[ \u00a0]*[\t|][ \u00a0]*|[ \u00a0]{2,}")
# The second form is how OCR reads "Version: 6.1": without the space. A letter before it, so that no time of day is a label;
# no slash after it, so that no address is.
_COLON = re.compile(r"(?<=[\w)#.%])\s*[:=：](?=\s|$)|(?<=[^\W\d_])[:：](?=[^\s/:：])")
_MAX_LABEL_WORDS = 6
_MAX_LABEL_CHARS = 60


class Cell(NamedTuple):
    """A stretch of a page's text without a column break in it; offsets are those of the page, end exclusive."""

    page: int
    start: int
    end: int
    text: str


class Line(NamedTuple):
    """number: of the line in the document, from 0. columns: its cells, empty ones included."""

    number: int
    page: int
    start: int
    text: str
    columns: tuple[Cell, ...]

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The columns that hold anything."""
        return tuple(cell for cell in self.columns if cell.text)


class Pair(NamedTuple):
    """A label and the cell that may hold its value. trust: how sure the layout makes the two belong together, to 1."""

    label: frozenset[str]
    value: Cell
    trust: float
    line: int


@dataclass(frozen=True)
class Document:
    """pages: number and text of each. vocabulary: words known to be of labels, which help to part glued pairs."""

    pages: Sequence[tuple[int, str]]
    vocabulary: frozenset[str] = frozenset()

    @cached_property
    def lines(self) -> list[Line]:
        return list(self._lines())

    def _lines(self) -> Iterator[Line]:
        number = 0
        for page, text in self.pages:
            start = 0
            for raw in text.split("\n"):
                yield Line(number, page, start, raw, tuple(_cells(page, start, raw)))
                start += len(raw) + 1
                number += 1

    @cached_property
    def pairs(self) -> list[Pair]:
        """Every pair, surer ones first, then in the order of the document."""
        found: list[Pair] = []
        filled = [line for line in self.lines if line.cells]
        for position, line in enumerate(filled):
            below = filled[position + 1] if position + 1 < len(filled) else None
            found += self._pairs_of(line, below)
        return sorted(found, key=lambda pair: -pair.trust)

    @cached_property
    def headings(self) -> list[frozenset[str]]:
        """For each line, the concepts of the heading above it: the last short line without a value on it."""
        current: frozenset[str] = frozenset()
        headings = []
        for line in self.lines:
            headings.append(current)
            if len(line.cells) == 1:
                label = line.cells[0].text.rstrip(": ")
                if len(label.split()) <= 4 and ":" not in label and not any(char.isdigit() for char in label):
                    current = concepts(label)
        return headings

    def _pairs_of(self, line: Line, below: Line | None) -> Iterator[Pair]:
        cells, cells_below = line.cells, below.cells if below else ()
        for position, cell in enumerate(cells):
            after = cells[position + 1] if position + 1 < len(cells) else None
            under = cells_below[min(position, len(cells_below) - 1)] if cells_below else None
            yield from self._colon_pairs(line, cell, after, under)
        if len(cells) == 2 and _is_label(cells[0].text) and not _COLON.search(line.text):
            yield Pair(concepts(cells[0].text), cells[1], 0.9, line.number)
        if len(cells_below) == len(cells) and all(_is_label(cell.text) for cell in cells):
            trust = 0.7 if len(cells) > 1 else 0.6
            for label, value in zip(cells, cells_below, strict=True):
                yield Pair(concepts(label.text), value, trust, line.number)

    def _colon_pairs(self, line: Line, cell: Cell, after: Cell | None, under: Cell | None) -> Iterator[Pair]:
        colons = list(_COLON.finditer(cell.text))
        label_start = 0
        for position, colon in enumerate(colons):
            label = cell.text[label_start : colon.start()]
            limit, label_start = len(cell.text), len(cell.text)
            if position + 1 < len(colons):
                limit = label_start = self._next_label(cell.text, colon.end(), colons[position + 1].start())
            if not _is_label(label):
                continue
            value = _trimmed(cell, colon.end(), limit)
            if value.text:
                yield Pair(concepts(label), value, 1.0, line.number)
            elif after is not None and not _COLON.search(after.text):
                yield Pair(concepts(label), after, 1.0, line.number)
            elif under is not None and position + 1 == len(colons):
                yield Pair(concepts(label), under, 0.8, line.number)

    def _next_label(self, text: str, start: int, end: int) -> int:
        """Where the label before the next colon begins, in a line such as "Number: 7 Due date: 3 May"."""
        words = list(re.finditer(r"\S+", text[start:end]))
        first = len(words) - 1
        for position in range(len(words) - 2, max(-1, len(words) - 1 - _MAX_LABEL_WORDS), -1):
            if not concepts(words[position][0]) <= self.vocabulary:
                break
            first = position
        return start + words[first].start() if words else end


def _cells(page: int, start: int, raw: str) -> Iterator[Cell]:
    done = 0
    for match in (*_CELL_BREAK.finditer(raw), None):
        stop = match.start() if match else len(raw)
        yield _trimmed(Cell(page, start, start + len(raw), raw), done, stop)
        done = match.end() if match else stop


def _trimmed(cell: Cell, start: int, end: int) -> Cell:
    text = cell.text[start:end]
    left = len(text) - len(text.lstrip())
    text = text.strip()
    return Cell(cell.page, cell.start + start + left, cell.start + start + left + len(text), text)


def _is_label(text: str) -> bool:
    text = text.strip()
    return 0 < len(text) <= _MAX_LABEL_CHARS and len(text.split()) <= _MAX_LABEL_WORDS and any(map(str.isalpha, text))
