"""Which of the assets of an order that compares are the better ones."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from amends.server.aggregates import Aggregated, answered_tasks
from amends.server.assets import asset_name
from amends.server.services import Services
from amends.store import DatapointRecord, Order
from amends.store import Response as Answered


def ranking(hub: Services, order: Order, aggregated: Aggregated) -> list[dict[str, Any]]:
    """The assets that were compared, the strongest first; each comparison weighs what its annotator does."""
    if order.kind != "compare":
        return []
    comparisons = _Comparisons()
    golden = hub.store.tasks.truths(order.id)
    for answered in answered_tasks(hub, order):
        for datapoint in hub.store.datasets.datapoints_at(order.dataset_id, answered):
            if datapoint.seq not in golden:
                comparisons.add(datapoint, answered[datapoint.seq], aggregated.weights)
    return comparisons.ranked()


@dataclass(slots=True)
class _Comparisons:
    """Pairs of the better and the worse one, each by its number, and what each pair weighs. names: of the assets, by number."""

    numbers: dict[str, int] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    pairs: array[int] = field(default_factory=lambda: array("q"))
    weights: array[float] = field(default_factory=lambda: array("d"))

    def add(self, datapoint: DatapointRecord, responses: Sequence[Answered], weights: Mapping[str, float]) -> None:
        shown = []
        for asset in datapoint.assets:
            if asset.identity not in self.numbers:
                self.numbers[asset.identity] = len(self.names)
                self.names.append(asset_name(asset))
            shown.append(self.numbers[asset.identity])
        for one in responses:
            for other in shown:
                if other != shown[one.answer]:
                    self.pairs.extend((shown[one.answer], other))
                    self.weights.append(weights.get(one.annotator_id, 1.0))

    def ranked(self) -> list[dict[str, Any]]:
        import numpy as np

        from amends.labelling import bradley_terry

        count = len(self.names)
        table = np.frombuffer(self.pairs, np.int64).reshape(-1, 2) if self.pairs else np.zeros((0, 2), np.int64)
        strength = bradley_terry(table[:, 0], table[:, 1], count, weights=np.array(self.weights))
        wins, losses = (np.bincount(table[:, side], minlength=count) for side in (0, 1))
        return [
            {
                "asset": self.names[place],
                "strength": round(float(strength[place]), 6),
                "wins": int(wins[place]),
                "comparisons": int(wins[place] + losses[place]),
            }
            for place in np.argsort(-strength, kind="stable")
        ]
