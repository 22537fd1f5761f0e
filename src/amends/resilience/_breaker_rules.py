"""When a breaker opens: by a count, as the SDK's does, or by a rate that follows what is usual, as the server's does."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Final, Protocol

# One-sided 99 %: how sure a rate has to be above its threshold.
_Z: Final = 2.326
_PARTS: Final = 10
# The base rate begins as if so many calls had been seen to go well, so that the first few bad ones do not become usual.
_PRIOR_CALLS: Final = 100.0


@dataclass(frozen=True, slots=True)
class ThresholdMoved:
    """A rule now opens its breaker at another rate of failure. base_rate: the usual rate that it follows."""

    before: float
    after: float
    base_rate: float


class TripRule(Protocol):
    """Watches the calls of a closed breaker. Not for threads: the breaker that holds it has the lock."""

    def observe(self, is_failure: bool, now: float) -> ThresholdMoved | None:
        """Take note of a call; return how the threshold moved, where it did."""

    def trips(self, now: float) -> str | None:
        """Return why the breaker opens, None where it stays closed."""

    def restart(self) -> None:
        """Forget what led to opening: the breaker has closed again. What is usual stays known."""


class CountRule:
    """Trips at ``failures`` of them and no success within ``window_seconds``. Costs no more however many calls there are."""

    def __init__(self, failures: int = 20, window_seconds: float = 30.0) -> None:
        if not (failures > 0 and window_seconds > 0):
            raise ValueError(f"failures and window_seconds are above 0, not {failures} and {window_seconds}")
        self.failures = failures
        self.window_seconds = window_seconds
        self._failed_at: deque[float] = deque(maxlen=failures)
        self._succeeded_at = -math.inf

    def observe(self, is_failure: bool, now: float) -> None:
        """Take note of a call."""
        if is_failure:
            self._failed_at.append(now)
        else:
            self._succeeded_at = now

    def trips(self, now: float) -> str | None:
        """Return why the breaker opens, None where it stays closed."""
        start = now - self.window_seconds
        if len(self._failed_at) < self.failures or self._failed_at[0] < start or self._succeeded_at >= start:
            return None
        return f"{self.failures} failures and no success within {self.window_seconds:g} s"

    def restart(self) -> None:
        """Forget all."""
        self._failed_at.clear()
        self._succeeded_at = -math.inf

    def __repr__(self) -> str:
        return f"CountRule(failures={self.failures}, window_seconds={self.window_seconds:g})"


@dataclass(slots=True)
class _Part:
    """A tenth of the window."""

    start: float
    calls: int = 0
    failures: int = 0


class RateRule:
    """Trips when the rate of failure is, beyond chance, above a threshold that follows what is usual here.

    threshold = ``factor`` × the base rate, no lower than ``floor`` and no higher than ``ceiling``. The base rate is that
    of all calls that left the window while the breaker was closed; an older one counts half as much each
    ``half_life_seconds``. So a provider that always fails one call in five is used on, at half of them it opens; and the
    failures that open the breaker never become usual. "Beyond chance": the lower Wilson bound at 99 % of at least
    ``min_calls`` within ``window_seconds``; so few calls have to fail nearly all, many only a few more than usual.

    Sources: E. B. Wilson, "Probable Inference, the Law of Succession, and Statistical Inference" (1927), for the bound;
    resilience4j's time-based sliding window for the parts.
    """

    def __init__(
        self,
        *,
        floor: float = 0.25,
        ceiling: float = 0.75,
        factor: float = 2.0,
        min_calls: int = 10,
        window_seconds: float = 30.0,
        half_life_seconds: float = 600.0,
    ) -> None:
        if not (0 < floor <= ceiling < 1 and factor >= 1):
            raise ValueError(f"0 < floor <= ceiling < 1 and factor >= 1, not {floor}, {ceiling}, {factor}")
        if not (min_calls > 0 and window_seconds > 0 and half_life_seconds > 0):
            raise ValueError("min_calls, window_seconds and half_life_seconds are above 0")
        self.floor = floor
        self.ceiling = ceiling
        self.factor = factor
        self.min_calls = min_calls
        self.window_seconds = window_seconds
        self.half_life_seconds = half_life_seconds
        self._parts: deque[_Part] = deque()
        self._usual_calls, self._usual_failures, self._usual_at = _PRIOR_CALLS, 0.0, -math.inf
        self._threshold = floor

    @property
    def base_rate(self) -> float:
        """The usual rate of failure."""
        return self._usual_failures / self._usual_calls

    @property
    def threshold(self) -> float:
        """The rate at which the breaker opens."""
        return self._threshold

    def observe(self, is_failure: bool, now: float) -> ThresholdMoved | None:
        """Take note of a call; return how the threshold moved, where it did by a hundredth or more."""
        moved = self._roll(now)
        span = self.window_seconds / _PARTS
        if not self._parts or now >= self._parts[-1].start + span:
            self._parts.append(_Part(now))
        self._parts[-1].calls += 1
        self._parts[-1].failures += is_failure
        return moved

    def trips(self, now: float) -> str | None:
        """Return why the breaker opens, None where it stays closed."""
        calls, failures = self._sums()
        if calls < self.min_calls or _lower_bound(failures, calls) <= self._threshold:
            return None
        return (
            f"{failures} of {calls} calls failed within {self.window_seconds:g} s, "
            f"above {self._threshold:.0%} beyond chance; usual are {self.base_rate:.0%}"
        )

    def restart(self) -> None:
        """Forget the window; the base rate stays."""
        self._parts.clear()

    def _sums(self) -> tuple[int, int]:
        return sum(part.calls for part in self._parts), sum(part.failures for part in self._parts)

    def _roll(self, now: float) -> ThresholdMoved | None:
        """Make what left the window part of the base rate."""
        gone = _Part(now)
        while self._parts and self._parts[0].start <= now - self.window_seconds:
            part = self._parts.popleft()
            gone.calls += part.calls
            gone.failures += part.failures
        if not gone.calls:
            return None
        kept = 1.0 if self._usual_at == -math.inf else 0.5 ** (max(0.0, now - self._usual_at) / self.half_life_seconds)
        self._usual_at = max(now, self._usual_at)
        # However long nothing was heard, a hundredth of a call is left to divide by.
        self._usual_calls = max(0.01, self._usual_calls * kept) + gone.calls
        self._usual_failures = self._usual_failures * kept + gone.failures
        return self._follow()

    def _follow(self) -> ThresholdMoved | None:
        before, after = self._threshold, min(self.ceiling, max(self.floor, self.factor * self.base_rate))
        if abs(after - before) < 0.01:
            return None
        self._threshold = after
        return ThresholdMoved(before, after, self.base_rate)

    def __repr__(self) -> str:
        return f"RateRule(threshold={self._threshold:.2f}, base_rate={self.base_rate:.2f})"


def _lower_bound(failures: int, calls: int) -> float:
    """Return the rate that the true one is above with 99 % certainty (Wilson)."""
    rate, z2 = failures / calls, _Z * _Z
    centre = rate + z2 / (2 * calls)
    spread = _Z * math.sqrt(rate * (1 - rate) / calls + z2 / (4 * calls * calls))
    return max(0.0, (centre - spread) / (1 + z2 / calls))
