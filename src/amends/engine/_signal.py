"""Tells whoever serves idle workers that there may be something to claim."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from typing import Final

_TICK_SECONDS: Final = 0.05
"""A million deferred items fall due together by the thousand: a wake for each would take as much memory as they do."""


class WorkSignal:
    """Counts the times that work may have appeared; whoever saw an older count may find some. For one thread."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._count = 0
        self._ticks: list[int] = []
        self._awaited: set[int] = set()

    @property
    def count(self) -> int:
        """What has fallen due counts, once for all of it."""
        now, has_due = self._monotonic(), False
        while self._ticks and self._ticks[0] * _TICK_SECONDS <= now:
            self._awaited.discard(heapq.heappop(self._ticks))
            has_due = True
        self._count += has_due
        return self._count

    def wake(self) -> None:
        """Something may be claimable now."""
        self._count += 1

    def wake_in(self, seconds: float) -> None:
        """Something will be claimable then: a deferred item falls due."""
        tick = math.ceil((self._monotonic() + seconds) / _TICK_SECONDS)
        if tick not in self._awaited:
            self._awaited.add(tick)
            heapq.heappush(self._ticks, tick)

    def next_due(self) -> float:
        """When the next deferred item falls due, on the monotonic clock; infinity when none will."""
        return self._ticks[0] * _TICK_SECONDS if self._ticks else math.inf
