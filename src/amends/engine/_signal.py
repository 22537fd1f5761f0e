"""Tells idle workers' connections that there may be something to claim."""

from __future__ import annotations

import heapq
import math
import threading
from collections.abc import Callable
from typing import Final

_TICK_SECONDS: Final = 0.05
"""A million deferred items fall due together by the thousand: a wake for each would take as much memory as they do."""


class WorkSignal:
    """Counts the times that work may have appeared; whoever saw an older count need not wait."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._changed = threading.Condition()
        self._count = 0
        self._ticks: list[int] = []
        self._awaited: set[int] = set()

    @property
    def count(self) -> int:
        return self._count

    def wake(self) -> None:
        """Something may be claimable now."""
        with self._changed:
            self._count += 1
            self._changed.notify_all()

    def wake_in(self, seconds: float) -> None:
        """Something will be claimable then: a deferred item falls due."""
        with self._changed:
            now = self._monotonic()
            self._note_due(now)
            tick = math.ceil((now + seconds) / _TICK_SECONDS)
            if tick not in self._awaited:
                self._awaited.add(tick)
                heapq.heappush(self._ticks, tick)
                self._changed.notify_all()

    def wait(self, seen: int, longest_seconds: float) -> int:
        """Block until the count is beyond ``seen``, something falls due or the time is over; the count."""
        with self._changed:
            until = self._monotonic() + longest_seconds
            while self._count == seen:
                now = self._monotonic()
                if self._note_due(now) or now >= until:
                    break
                next_due = [tick * _TICK_SECONDS for tick in self._ticks[:1]]
                self._changed.wait(min([until, *next_due]) - now)
            return self._count

    def _note_due(self, now: float) -> bool:
        """Wake for what has fallen due, once for all of it."""
        has_due = False
        while self._ticks and self._ticks[0] * _TICK_SECONDS <= now:
            self._awaited.discard(heapq.heappop(self._ticks))
            has_due = True
        if has_due:
            self._count += 1
            self._changed.notify_all()
        return has_due
