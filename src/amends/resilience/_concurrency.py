"""How many calls at once the other side can take, found by trying."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from typing import Final, Literal

# What a call counts towards the latest latency: the last ten make nearly all of it.
_WEIGHT: Final = 0.2
# … and towards the usual one, once there were as many as this makes equal parts; until then each counts the same.
_USUAL_WEIGHT: Final = 0.005


@dataclass(frozen=True, slots=True)
class LimitMoved:
    """The limit is another whole number of calls. why: what moved it."""

    before: int
    after: int
    why: Literal["climbed", "throttled"]


class AdaptiveLimit:
    """A limit on calls in flight that climbs while latency holds and halves when the other side throttles.

        slow start: + 1 a success                      climbing: + 1 / limit a success, so + 1 a round
     ┌──────────────────────────────────┐           ┌───────────────────────────────────────────┐
     │ until the first throttling, or   │ ────────► │ while half of the limit is used and       │
     │ until latency rises              │           │ latency holds; else it stays              │
     └──────────────────────────────────┘           └───────────────────────────────────────────┘
                        throttled: half of it, once a round: a call that began before the last halving
                        tells of the old limit, and moves nothing

    It is AIMD and no gradient: how long a model takes depends on its input and output more than on its queue, so latency
    here only stops the climb (beyond ``tolerance`` times the usual), and never lowers the limit. A limit that is hardly
    used says nothing about whether more would do, so it does not climb.

    lowest, highest: its bounds. initial: where it starts. Every ``now`` is of one monotonic clock. Threads may share it.

    Sources: D. Chiu and R. Jain, "Analysis of the Increase and Decrease Algorithms for Congestion Avoidance" (1989), for
    AIMD; V. Jacobson, "Congestion Avoidance and Control" (1988), and RFC 5681 for slow start and one cut a round;
    Netflix concurrency-limits for latency and for not climbing on an idle limit.
    """

    def __init__(
        self, *, initial: int = 4, lowest: int = 1, highest: int = 256, tolerance: float = 2.0, factor: float = 0.5
    ) -> None:
        if not 1 <= lowest <= initial <= highest:
            raise ValueError(f"1 <= lowest <= initial <= highest, not {lowest}, {initial}, {highest}")
        if not (tolerance >= 1 and 0 < factor < 1):
            raise ValueError(f"tolerance is 1 or more and factor between 0 and 1, not {tolerance} and {factor}")
        self.lowest = lowest
        self.highest = highest
        self.tolerance = tolerance
        self.factor = factor
        self._limit = float(initial)
        self._in_flight = 0
        self._is_slow_start = True
        self._cut_at = -math.inf
        self._latest = self._usual = 0.0
        self._answered = 0
        self._lock = threading.Lock()

    @property
    def limit(self) -> int:
        """Calls that may be in flight at once, now."""
        return int(self._limit)

    @property
    def in_flight(self) -> int:
        """Calls that are; more than ``limit`` for a while after it was cut."""
        return self._in_flight

    def try_enter(self) -> bool:
        """Ask to make a call. Whoever may reports once: succeeded, throttled or dropped."""
        with self._lock:
            if self._in_flight >= int(self._limit):
                return False
            self._in_flight += 1
            return True

    def succeeded(self, started: float, now: float) -> LimitMoved | None:
        """Report a call that was answered well, begun at ``started``."""
        with self._lock:
            is_used = 2 * self._in_flight >= int(self._limit)
            self._in_flight -= 1
            holds = self._take_latency(max(0.0, now - started))
            if not holds:
                self._is_slow_start = False
            if not (is_used and holds) or started <= self._cut_at:
                return None
            return self._move(self._limit + (1.0 if self._is_slow_start else 1.0 / self._limit), "climbed")

    def throttled(self, started: float, now: float) -> LimitMoved | None:
        """Report a call that the other side refused for load: a 429, or a 503 that says so."""
        with self._lock:
            self._in_flight -= 1
            if started <= self._cut_at:
                return None
            self._is_slow_start = False
            self._cut_at = now
            return self._move(self._limit * self.factor, "throttled")

    def dropped(self) -> None:
        """Report a call that says nothing about load: cancelled, or failed for a reason of its own."""
        with self._lock:
            self._in_flight -= 1

    def _take_latency(self, seconds: float) -> bool:
        """Take note of a call's latency; return whether the latest ones are as usual."""
        self._answered += 1
        even = 1.0 / self._answered
        self._latest += max(_WEIGHT, even) * (seconds - self._latest)
        self._usual += max(_USUAL_WEIGHT, even) * (seconds - self._usual)
        return self._latest <= self.tolerance * self._usual

    def _move(self, to: float, why: Literal["climbed", "throttled"]) -> LimitMoved | None:
        before = int(self._limit)
        self._limit = min(float(self.highest), max(float(self.lowest), to))
        after = int(self._limit)
        return None if after == before else LimitMoved(before, after, why)

    def __repr__(self) -> str:
        return f"AdaptiveLimit(limit={self.limit}, in_flight={self._in_flight})"
