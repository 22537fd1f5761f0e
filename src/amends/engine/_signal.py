"""Tells idle workers' connections that there may be something to claim."""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable


class WorkSignal:
    """Counts the times that work may have appeared; whoever saw an older count need not wait."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._changed = threading.Condition()
        self._count = 0
        self._due: list[float] = []

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
            heapq.heappush(self._due, self._monotonic() + seconds)
            self._changed.notify_all()

    def wait(self, seen: int, longest_seconds: float) -> int:
        """Block until the count is beyond ``seen``, something falls due or the time is over; the count."""
        with self._changed:
            until = self._monotonic() + longest_seconds
            while self._count == seen:
                now = self._monotonic()
                if self._due and self._due[0] <= now:
                    while self._due and self._due[0] <= now:
                        heapq.heappop(self._due)
                    self._count += 1
                    self._changed.notify_all()
                    break
                if now >= until:
                    break
                self._changed.wait(min([until, *self._due[:1]]) - now)
            return self._count
