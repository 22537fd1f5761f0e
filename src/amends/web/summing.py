"""What an order's result lines say together, as plots: how often which answer, who agrees with whom, how far it was when."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import combinations
from typing import Any, Final

from markupsafe import Markup

from amends.web import plots

_MOST_BARS: Final = 12
_MOST_NAMES: Final = 10
_POINTS: Final = 120


@dataclass(slots=True)
class Summing:
    """Sums over result lines, of which none need be kept. names: of the annotators, by their ids."""

    names: Mapping[str, str]
    answers: Counter[str] = field(default_factory=Counter)
    alike: Counter[tuple[str, str]] = field(default_factory=Counter)
    pairs: Counter[tuple[str, str]] = field(default_factory=Counter)
    times: list[float] = field(default_factory=list)

    def add(self, line: Mapping[str, Any]) -> None:
        if line["answer"] is not None:
            self.answers[words_of(line["answer"])] += 1
        said = [(one["annotator_id"], json.dumps(one["answer"])) for one in line["responses"]]
        for (one, answer), (other, theirs) in combinations(sorted(said), 2):
            self.pairs[one, other] += 1
            self.alike[one, other] += answer == theirs
        self.times += [datetime.fromisoformat(one["created_at"]).timestamp() for one in line["responses"]]

    def answers_plot(self) -> Markup:
        """The answers that most datapoints have got, and the rest together."""
        common = self.answers.most_common(_MOST_BARS)
        rest = self.answers.total() - sum(count for _, count in common)
        slices = [plots.Slice(answer, count, f"{count:,}") for answer, count in common]
        if rest:
            slices.append(plots.Slice("other answers", rest, f"{rest:,}", "idle"))
        return plots.bars(slices, title="Answers, by datapoints")

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
        step = max(1, len(times) // _POINTS)
        points = [
            (at, float(number)) for number, at in enumerate(times, 1) if number % step == 0 or number == len(times)
        ]
        if times:
            points.insert(0, (times[0], 0.0))
        first, last = (_clock(times, end) for end in (0, -1))
        return plots.line(points, title="Answers over time", most=max(needed, len(times)), first=first, last=last)


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


def _clock(times: Sequence[float], end: int) -> str:
    return datetime.fromtimestamp(times[end], UTC).strftime("%Y-%m-%d %H:%M UTC") if times else ""
