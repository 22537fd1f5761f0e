"""Plots as SVG that stands in the page: no script draws them, and style sheet and colour scheme hold for them too.

Pure functions of numbers. Colours are classes; lengths are attributes, since the pages allow no inline style.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup, escape

_WIDTH: Final = 640
_LABEL: Final = 160
_ROW: Final = 30


@dataclass(frozen=True, slots=True)
class Slice:
    """One bar of a chart. shown: the value in words; tone: a class of the style sheet."""

    label: str
    value: float
    shown: str
    tone: str = "accent"


def bar(parts: Iterable[tuple[str, int, str]], total: int) -> Markup:
    """One bar of parts, each (tone, count, word); what is left of ``total`` stays empty."""
    known = [(tone, count, word) for tone, count, word in parts if count > 0]
    words = ", ".join(f"{count:,} {word}" for _, count, word in known) or "nothing yet"
    pieces: list[Markup] = []
    at = 0.0
    for tone, count, _ in known:
        # What is there shows, however little it is.
        width = max(100 * count / total, 0.8) if total else 0.0
        pieces.append(Markup('<rect class="{}" x="{:.2f}%" width="{:.2f}%" height="100%"/>').format(tone, at, width))
        at += width
    return Markup('<svg class="bar" role="img" aria-label="{}">{}</svg>').format(
        f"{words}, of {total:,}", Markup("").join(pieces)
    )


def bars(slices: Sequence[Slice], *, title: str, most: float | None = None) -> Markup:
    """Horizontal bars, one below the other. most: the value of a full bar, by default the largest."""
    top = most or max((one.value for one in slices), default=0) or 1
    room = _WIDTH - _LABEL - 90
    rows = [_bar_row(one, index, room * min(one.value / top, 1)) for index, one in enumerate(slices)]
    return _figure(title, len(slices) * _ROW or _ROW, rows, ", ".join(f"{one.label} {one.shown}" for one in slices))


def _bar_row(one: Slice, index: int, width: float) -> Markup:
    middle = index * _ROW + _ROW / 2
    label = one.label if len(one.label) <= 22 else one.label[:21] + "…"
    return Markup(
        '<text class="label" x="{}" y="{}" text-anchor="end" dominant-baseline="central">{}</text>'
        '<rect class="track" x="{}" y="{}" width="{}" height="14" rx="2"/>'
        '<rect class="{}" x="{}" y="{}" width="{:.1f}" height="14" rx="2"/>'
        '<text class="value" x="{}" y="{}" dominant-baseline="central">{}</text>'
    ).format(
        _LABEL - 12, middle, label,
        _LABEL, middle - 7, _WIDTH - _LABEL - 90,
        one.tone, _LABEL, middle - 7, width,
        _WIDTH - 78, middle, one.shown,
    )  # fmt: skip


def line(points: Sequence[tuple[float, float]], *, title: str, most: float, first: str, last: str) -> Markup:
    """What grew over time. points: (moment, value) by moment; most: the value at the top; first, last: the ends in words."""
    height, left, bottom = 180, 44, 24
    room, tall = _WIDTH - left - 8, height - bottom - 10
    begin, end = (points[0][0], points[-1][0]) if points else (0.0, 1.0)
    span, top = (end - begin) or 1.0, most or 1.0
    places = [(left + room * (at - begin) / span, 10 + tall * (1 - min(value / top, 1))) for at, value in points]
    # Steps, since nothing happened between two moments.
    path = f"M{places[0][0]:.1f} {places[0][1]:.1f}" if places else ""
    path += "".join(f"H{x:.1f}V{y:.1f}" for x, y in places[1:])
    area = f"{path}V{10 + tall}H{left}Z" if places else ""
    pieces = [
        Markup('<text class="label" x="{}" y="{}" text-anchor="end" dominant-baseline="central">{}</text>').format(
            left - 8, 10 + tall * (1 - share), f"{top * share:,.0f}"
        )
        + Markup('<path class="grid" d="M{} {}H{}"/>').format(left, f"{10 + tall * (1 - share):.1f}", _WIDTH - 8)
        for share in (0.0, 0.5, 1.0)
    ]
    pieces.append(Markup('<path class="area" d="{}"/><path class="curve" d="{}"/>').format(area, path))
    pieces.append(Markup('<text class="label" x="{}" y="{}">{}</text>').format(left, height - 6, first))
    pieces.append(
        Markup('<text class="label" x="{}" y="{}" text-anchor="end">{}</text>').format(_WIDTH - 8, height - 6, last)
    )
    reached = points[-1][1] if points else 0
    return _figure(title, height, pieces, f"{reached:,.0f} of {most:,.0f}, from {first} to {last}")


def matrix(names: Sequence[str], shares: Sequence[Sequence[float | None]], *, title: str) -> Markup:
    """How often each of the ones named agrees with each other, as a table whose cells are tinted; None: never compared."""
    head = Markup("").join(Markup('<th scope="col">{}</th>').format(name) for name in names)
    rows = Markup("").join(
        Markup('<tr><th scope="row">{}</th>{}</tr>').format(name, Markup("").join(map(_cell, row)))
        for name, row in zip(names, shares, strict=True)
    )
    return Markup(
        '<table class="matrix"><caption>{}</caption><thead><tr><td></td>{}</tr></thead><tbody>{}</tbody></table>'
    ).format(title, head, rows)


def _cell(share: float | None) -> Markup:
    if share is None:
        return Markup('<td class="quiet">–</td>')
    return Markup('<td class="tint-{}">{} %</td>').format(min(int(share * 5), 4), f"{share * 100:.0f}")


def _figure(title: str, height: int, pieces: Sequence[Markup | str], words: str) -> Markup:
    return Markup(
        '<figure class="plot"><figcaption>{}</figcaption><svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg></figure>'
    ).format(title, _WIDTH, height, f"{title}: {words}", Markup("").join(escape(piece) for piece in pieces))
