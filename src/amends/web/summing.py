"""What an order's answers say together, as plots: how often which answer, who agrees with whom, how far it was when."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import combinations
from typing import Any, Final

from markupsafe import Markup

from amends.store import Response
from amends.web import plots

MOST_BARS: Final = 12
_MOST_NAMES: Final = 10
POINTS: Final = 120


@dataclass(slots=True)
class Summing:
    """Sums over answered tasks, of which none need be kept. names: of the annotators, by their ids."""

    names: Mapping[str, str]
    answers: Counter[str] = field(default_factory=Counter)
    alike: Counter[tuple[str, str]] = field(default_factory=Counter)
    pairs: Counter[tuple[str, str]] = field(default_factory=Counter)
    times: list[float] = field(default_factory=list)

    def add(self, answer: Any, responses: Sequence[Response]) -> None:
        """Count a task by its answer, and what was said to it."""
        self.answers[words_of(answer)] += 1
        said = [(one.annotator_id, json.dumps(one.answer)) for one in responses]
        for (one, given), (other, theirs) in combinations(sorted(said), 2):
            self.pairs[one, other] += 1
            self.alike[one, other] += given == theirs
        self.times += [one.created_at for one in responses]

    def answers_plot(self) -> Markup:
        """The answers that most datapoints have got, and the rest together."""
        return answers_plot(self.answers.most_common(MOST_BARS), self.answers.total(), "Answers, by datapoints")

    def agreement_plot(self) -> Markup:
        """How often each two annotators said the same of what both answered."""
        shown = list(self.names)[:_MOST_NAMES]
        shares = [[self._share(one, other) for other in shown] for one in shown]
        return plots.matrix([self.names[one] for one in shown], shares, title="Agreement of each two")

    def _share(self, one: str, other: str) -> float | None:
        pair = (min(one, other), max(one, other))
        return self.alike[pair] / self.pairs[pair] if one != other and self.pairs[pair] else None

    def progress_plot(self, needed: int) -> Markup:
        """Answers over time. needed: how many there are to be."""
        times = sorted(self.times)
        step = max(1, len(times) // POINTS)
        points = [(at, number) for number, at in enumerate(times, 1) if number % step == 0 or number == len(times)]
        return progress_plot([(times[0], 0), *points] if times else [], needed)


def answers_plot(common: Sequence[tuple[str, int]], total: int, title: str) -> Markup:
    """The most common answers, and the rest together."""
    rest = total - sum(count for _, count in common)
    slices = [plots.Slice(answer, count, f"{count:,}") for answer, count in common]
    if rest > 0:
        slices.append(plots.Slice("other answers", rest, f"{rest:,}", "idle"))
    return plots.bars(slices, title=title)


def progress_plot(points: Sequence[tuple[float, int]], needed: int) -> Markup:
    """Answers over time: how many there were when. needed: how many there are to be."""
    reached = points[-1][1] if points else 0
    first, last = (_clock(points[end][0]) if points else "" for end in (0, -1))
    drawn = [(at, float(count)) for at, count in points]
    return plots.line(drawn, title="Answers over time", most=max(needed, reached), first=first, last=last)


def words_of(answer: Any) -> str:
    """An answer of any kind as people read it."""
    if isinstance(answer, int):
        return f"Number {answer + 1}"
    if isinstance(answer, list):
        return _points(answer)
    return str(answer)


def _points(points: Sequence[Mapping[str, float]]) -> str:
    places = ", ".join(f"{point['x']:.0%} {point['y']:.0%}" for point in points[:3])
    return f"{len(points)} at {places}{' …' if len(points) > 3 else ''}"


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")
