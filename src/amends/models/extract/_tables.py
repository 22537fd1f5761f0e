"""Reads lists of objects from tables: a header row that names the properties, and the rows below it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from ._document import Cell, Document, Line
from ._labels import concepts, fit
from ._targets import ListTarget

__all__ = ["Row", "read_rows"]

_MIN_FIT = 0.45
_ENDS = frozenset({"total", "subtotal", "tax", "balance", "due", "discount", "shipping"})
_RULE = re.compile(r"[-:=_+ ]*")


class Row(NamedTuple):
    """The cell of each property that has one."""

    cells: Mapping[str, Cell]


def read_rows(document: Document, target: ListTarget) -> list[Row]:
    """Return the rows of the table that names most of the properties, the first of several; [] where there is none.

    A later table with the same header (on the next page) goes on with it.
    """
    headers = [(line, columns) for line in document.lines if (columns := _header(line, target))]
    if not headers:
        return []
    best = max(headers, key=lambda header: len(header[1]))
    meaning = [concepts(cell.text) for cell in best[0].columns]
    rows: list[Row] = []
    for line, columns in headers:
        if [concepts(cell.text) for cell in line.columns] == meaning:
            rows += _rows_below(document.lines, line, columns)
    return rows


def _header(line: Line, target: ListTarget) -> dict[str, int]:
    """Which column holds which property; {} where the line is no header of this list."""
    if len(line.cells) < min(2, len(target.columns)) or not line.cells:
        return {}
    fits = sorted(
        (
            (fit(concepts(cell.text), alternatives[0].label), -number, name)
            for number, cell in enumerate(line.columns)
            if cell.text and len(cell.text) <= 60
            for name, alternatives in target.columns.items()
            if alternatives
        ),
        reverse=True,
    )
    columns: dict[str, int] = {}
    for score, number, name in fits:
        if score >= _MIN_FIT and name not in columns and -number not in columns.values():
            columns[name] = -number
    enough = len(columns) >= min(2, len(target.columns)) and not (_required(target) - columns.keys())
    return columns if enough else {}


def _required(target: ListTarget) -> frozenset[str]:
    return target.row.required if target.row else frozenset()


def _rows_below(lines: Sequence[Line], header: Line, columns: Mapping[str, int]) -> Iterator[Row]:
    blank = 0
    for line in lines[header.number + 1 :]:
        if not line.cells or all(_RULE.fullmatch(cell.text) for cell in line.cells):
            blank += not line.cells
            if blank > 2:
                return
            continue
        cells = _aligned(line, header)
        if cells is None or (len(line.cells) > 1 and concepts(line.cells[0].text) & _ENDS):
            return
        if [cell.text for cell in cells] == [cell.text for cell in header.columns]:
            return  # the header again: read from there
        blank = 0
        yield Row({name: cells[number] for name, number in columns.items() if cells[number].text})


def _aligned(line: Line, header: Line) -> tuple[Cell, ...] | None:
    """The line's cells under the header's; None where they do not line up."""
    if len(line.columns) == len(header.columns):
        return line.columns
    if len(line.columns) > len(header.columns) or len(line.cells) < 2:
        return None
    slots = [Cell(line.page, line.start, line.start, "")] * len(header.columns)
    for cell in line.cells:
        under = [n for n, above in enumerate(header.columns) if _overlaps(cell, line, above, header)]
        if len(under) != 1 or slots[under[0]].text:
            return None
        slots[under[0]] = cell
    return tuple(slots)


def _overlaps(cell: Cell, line: Line, above: Cell, header: Line) -> bool:
    start, end = cell.start - line.start, cell.end - line.start
    return start < above.end - header.start and above.start - header.start < end
