"""How many retries a sender can afford, so that an outage does not multiply its load."""

from __future__ import annotations

import threading
from typing import Final

# Sums of tenths and of clock readings are off by rounding; a thousandth of a thousandth of a token is given away for it.
_ROUNDING: Final = 1e-6


class RetryBudget:
    """A bucket of tokens that retries are paid from. First tries cost nothing.

    capacity: tokens at first and at most. retry_cost: what a retry takes. success_return: what each success gives back.
    refill_seconds: in which one token comes back by itself. So over any time that begins with a full bucket, at most

        capacity + success_return × successes + seconds / refill_seconds

    retries (of cost 1) are made: a lonely call has all of its retries, a crowd in an outage hardly any. Every ``now``
    is of one monotonic clock; a reading earlier than the last one counts as the last one. Threads may share it.

    Sources: the Finagle library's RetryBudget; AWS SDKs' standard retry mode, which has a bucket without refill by time;
    Google SRE Book, chapter 21, "Handling Overload".
    """

    def __init__(
        self,
        capacity: float = 20.0,
        *,
        retry_cost: float = 1.0,
        success_return: float = 0.1,
        refill_seconds: float = 10.0,
    ) -> None:
        if not (retry_cost > 0 and capacity >= retry_cost):
            raise ValueError(f"capacity holds one retry_cost at least, and that is above 0: {capacity}, {retry_cost}")
        if not (success_return >= 0 and refill_seconds > 0):
            raise ValueError("success_return is 0 or more, refill_seconds above 0 (math.inf: none comes by itself)")
        self.capacity = float(capacity)
        self.retry_cost = float(retry_cost)
        self.success_return = float(success_return)
        self.refill_seconds = float(refill_seconds)
        self._tokens = self.capacity
        self._counted_at: float | None = None
        self._lock = threading.Lock()

    def try_take(self, now: float) -> bool:
        """Pay for one retry; False, and nothing is taken, where the tokens do not suffice."""
        with self._lock:
            self._refill(now)
            if self._tokens < self.retry_cost - _ROUNDING:
                return False
            self._tokens -= self.retry_cost
            return True

    def give_back(self) -> None:
        """Return what ``try_take`` took for a retry that was not made after all."""
        self._add(self.retry_cost)

    def succeeded(self) -> None:
        """Count a call that ended well, on whichever try."""
        self._add(self.success_return)

    def seconds_until_token(self, now: float) -> float:
        """Return how long until ``try_take`` can be paid by the passing of time alone, 0 where it can now."""
        with self._lock:
            self._refill(now)
            missing = self.retry_cost - self._tokens
        return 0.0 if missing <= _ROUNDING else missing * self.refill_seconds

    def tokens(self, now: float) -> float:
        """Return what there is."""
        with self._lock:
            self._refill(now)
            return max(0.0, self._tokens)

    def _add(self, tokens: float) -> None:
        with self._lock:
            self._tokens = min(self.capacity, self._tokens + tokens)

    def _refill(self, now: float) -> None:
        """Add what time brought. Idle time before the first call brings nothing: the bucket is full then."""
        if self._counted_at is not None and now > self._counted_at:
            self._tokens = min(self.capacity, self._tokens + (now - self._counted_at) / self.refill_seconds)
        if self._counted_at is None or now > self._counted_at:
            self._counted_at = now

    def __repr__(self) -> str:
        return (
            f"RetryBudget({self.capacity:g}, retry_cost={self.retry_cost:g}, "
            f"success_return={self.success_return:g}, refill_seconds={self.refill_seconds:g})"
        )
