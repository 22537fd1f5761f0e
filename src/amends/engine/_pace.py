"""How many items to take at once, from how long the items of a run have taken so far."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

GROWTH: Final = 4
"""A lease or chunk holds at most so many times the items of the one before: the first times may mislead."""

MAX_LEASES: Final = 16
"""So many leases at most are held at once, of those that may hold only a moment's work."""

_MOMENT: Final = 1 / 3
"""Of the seconds that a chunk should hold."""

_RUNS_REMEMBERED: Final = 64
_WEIGHT: Final = 0.5


@dataclass(slots=True)
class _RunPace:
    """item_seconds: None before the first result."""

    item_seconds: float | None = None
    lease_items: int = 0
    chunk_items: int = 0


class Pace:
    """Remembers the pace of the runs worked on last. lease_seconds, chunk_seconds: the work one of each should hold."""

    def __init__(self, lease_seconds: float, chunk_seconds: float, max_lease_items: int) -> None:
        self._lease_seconds = lease_seconds
        self._chunk_seconds = chunk_seconds
        self._max_lease_items = max_lease_items
        self._runs: OrderedDict[str, _RunPace] = OrderedDict()

    def leased(self, run_id: str, items: int) -> None:
        self._of(run_id).lease_items = items

    def worked(self, run_id: str, items: int, seconds: float) -> None:
        """So many items took so long."""
        pace = self._of(run_id)
        latest = seconds / items
        before = latest if pace.item_seconds is None else pace.item_seconds
        pace.item_seconds = before + _WEIGHT * (latest - before)

    def lease_items(self, run_id: str | None, batch_size: int = 1) -> int:
        """What to claim after a lease of this run; 1 where nothing is known, since nobody knows how long an item takes."""
        pace = _RunPace() if run_id is None else self._of(run_id)
        if pace.item_seconds is None:
            return 1
        return min(_grown(pace.lease_items, pace.item_seconds, self._lease_seconds, batch_size), self._max_lease_items)

    def leases(self, run_id: str | None) -> int:
        """How many leases of this run to hold at once: one, more where even the largest is done in a moment, so that the
        child need not wait for the owner after each."""
        pace = _RunPace() if run_id is None else self._of(run_id)
        if pace.item_seconds is None:
            return 1
        fitting = _MOMENT * self._chunk_seconds / max(self._max_lease_items * pace.item_seconds, 1e-9)
        return max(1, int(min(fitting, MAX_LEASES)))

    def chunk_items(self, run_id: str, batch_size: int) -> int:
        """What to hand to the child next: whole batches."""
        pace = self._of(run_id)
        if pace.item_seconds is None:
            return batch_size
        items = _grown(pace.chunk_items, pace.item_seconds, self._chunk_seconds, batch_size)
        pace.chunk_items = items = items - items % batch_size
        return items

    def _of(self, run_id: str) -> _RunPace:
        pace = self._runs.setdefault(run_id, _RunPace())
        self._runs.move_to_end(run_id)
        if len(self._runs) > _RUNS_REMEMBERED:
            self._runs.popitem(last=False)
        return pace


def _grown(last: int, item_seconds: float, seconds: float, least: int) -> int:
    fitting = seconds / max(item_seconds, 1e-9)
    return max(least, int(min(fitting, GROWTH * max(last, 1))))
