"""What was found out about an order as a whole: what its annotators are worth, and how probable each answer is.

The votes are read as numbers; what nobody answered is not read.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

from amends.labelling import accuracy
from amends.server.services import Services
from amends.store import Annotator, Order
from amends.store import Response as Answered

if TYPE_CHECKING:
    from amends.labelling import Votes

Method = Literal["majority", "weighted", "dawid_skene"]

CHOSEN: Final = ("classification", "compare")
"""Kinds whose answers are chosen among some."""
_MOST_LABELS: Final = 50
"""Beyond so many different answers a matrix of who confuses what with what means nothing."""
_MOST_CELLS: Final = 4_000_000
"""Of a matrix of tasks and answers, which is held a few times; each takes eight bytes."""
_PAGE: Final = 500


@dataclass
class Aggregated:
    """What was found out about an order as a whole.

    weights: by annotator's id. labels: the answers that there are, in the order of the columns of ``posterior``, whose rows are those tasks
    that have votes or a known truth; ``row_of`` has the row of each gold one by its seq, ``seqs`` the others' behind them. posterior: None
    where an answer weighs what those do who gave it.
    """

    order: Order
    method: Method
    annotators: Sequence[Annotator]
    counts: Mapping[str, int]
    weights: dict[str, float]
    labels: list[Any] = field(default_factory=list)
    posterior: Any = None
    row_of: dict[int, int] = field(default_factory=dict)
    seqs: array[int] = field(default_factory=lambda: array("q"))
    confusion: dict[str, list[list[float]]] = field(default_factory=dict)
    agreement: tuple[float | None, float | None] = (None, None)

    @classmethod
    def of(cls, hub: Services, order: Order, method: Method | None) -> Aggregated:
        default: Method = "dawid_skene" if order.kind in CHOSEN else "weighted"
        found = cls._unread(hub, order, method or default)
        if order.kind in CHOSEN:
            found._choose(hub)
        elif found.method == "majority":
            found.weights = dict.fromkeys(found.weights, 1.0)
        return found

    @classmethod
    def roughly(cls, hub: Services, order: Order) -> Aggregated:
        """What is known without reading every vote: how annotators fared where the truth is known."""
        return cls._unread(hub, order, "weighted")

    @classmethod
    def _unread(cls, hub: Services, order: Order, method: Method) -> Aggregated:
        annotators = hub.store.annotators.of_order(order.id)
        weights = {one.id: accuracy(one.gold_right, one.gold_asked) for one in annotators}
        return cls(order, method, annotators, hub.store.annotators.counts(order.id), weights)

    def _choose(self, hub: Services) -> None:
        from amends.labelling import dawid_skene, krippendorff_alpha, percent_agreement

        votes, truth = self._votes(hub)
        self.agreement = percent_agreement(votes), krippendorff_alpha(votes)
        is_large = votes.labels > _MOST_LABELS or votes.labels * votes.tasks > _MOST_CELLS
        if self.method == "dawid_skene" and is_large:
            self.method = "weighted"
        if self.method == "majority":
            self.weights = dict.fromkeys(self.weights, 1.0)
        if self.method != "dawid_skene":
            return
        estimate = dawid_skene(votes, truth=truth)
        self.posterior = estimate.posterior
        for place, one in enumerate(self.annotators):
            if self.counts.get(one.id):
                self.weights[one.id] = round(float(estimate.skill[place]), 6)
                self.confusion[one.id] = estimate.confusion[place].round(4).tolist()

    def _votes(self, hub: Services) -> tuple[Votes, dict[int, int]]:
        """Every vote by numbers, and the gold tasks' truth."""
        import numpy as np

        from amends.labelling import Votes

        who = {one.id: place for place, one in enumerate(self.annotators)}
        number: dict[Any, int] = {}
        truth: dict[int, int] = {}
        for seq, right in hub.store.tasks.truths(self.order.id).items():
            self.row_of[seq] = len(truth)
            truth[len(truth)] = number.setdefault(right, len(number))
        table = array("q")
        for answered in answered_tasks(hub, self.order):
            for seq, responses in answered.items():
                row = self.row_of.get(seq)
                if row is None:
                    row = len(truth) + len(self.seqs)
                    self.seqs.append(seq)
                for one in responses:
                    if one.annotator_id in who:  # not one that came since they were counted
                        table.extend((row, who[one.annotator_id], number.setdefault(one.answer, len(number))))
        self.labels = list(number)
        rows = np.frombuffer(table, dtype=np.int64).reshape(-1, 3) if table else np.zeros((0, 3), np.int64)
        size = {"tasks": len(truth) + len(self.seqs), "annotators": len(who), "labels": max(len(number), 1)}
        return Votes(rows[:, 0], rows[:, 1], rows[:, 2], **size), truth

    def shares(self, seq: int, responses: Sequence[Answered]) -> dict[Any, float]:
        """What speaks for each answer to a task that has responses; empty where that is not known yet."""
        if self.posterior is None:
            found: dict[Any, float] = {}
            for one in responses:
                found[one.answer] = found.get(one.answer, 0.0) + self.weights.get(one.annotator_id, 1.0)
            return found
        row = self.row_of.get(seq)
        if row is None:
            place = bisect_left(self.seqs, seq)
            if place == len(self.seqs) or self.seqs[place] != seq:
                return {}  # answered while the stream was under way
            row = len(self.row_of) + place
        said = {one.answer for one in responses}
        shares = zip(self.labels, self.posterior[row].tolist(), strict=False)
        return {label: share for label, share in shares if label in said or share > 0.0005}


def answered_tasks(hub: Services, order: Order) -> Iterator[dict[int, list[Answered]]]:
    """The responses by seq, those of some tasks at a time."""
    after = -1
    while seqs := hub.store.tasks.answered(order.id, after, _PAGE):
        yield responses_between(hub, order, seqs[0], seqs[-1])
        after = seqs[-1]


def responses_between(hub: Services, order: Order, first: int, last: int) -> dict[int, list[Answered]]:
    """The responses to the tasks from one seq to another, by seq."""
    found: dict[int, list[Answered]] = {}
    for one in hub.store.tasks.responses(order.id, first - 1, last):
        found.setdefault(one.seq, []).append(one)
    return found
