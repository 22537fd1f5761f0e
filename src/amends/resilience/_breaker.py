"""A circuit breaker: calls to what keeps failing are held back, and one is let through now and then to see.

                 the rule trips: Opened
      ┌────────┐ ───────────────────────► ┌──────┐
      │ closed │                          │ open │ ◄──────────────┐
      └────────┘ ◄───────────┐            └──────┘                │ the probe fails: Opened
          ▲                  │                │ its time is over  │
          │ the probe        │                ▼                   │
          │ succeeds: Closed │          ┌───────────┐             │
          └──────────────────┴───────── │ half open │ ────────────┘
                                        └───────────┘
                                          │       ▲ the probe has said nothing for probe_seconds:
                                          └───────┘ the next call is the probe

Whoever calls asks ``try_enter`` first and reports what came of it with the permit that it got. A permit is of one
period between two moves: what a call that began in an earlier one has to tell changes nothing.

Sources: M. Nygard, "Release It!" (2007), chapter 5; M. Fowler, "CircuitBreaker" (2014).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from ._breaker_rules import CountRule, ThresholdMoved, TripRule

BreakerState = Literal["closed", "open", "half_open"]

MAX_OPEN_SECONDS: Final = 120.0
"""The longest ``Retry-After`` that a breaker stays open for; a longer one is cut to this."""


@dataclass(frozen=True, slots=True)
class Permit:
    """Leave to make one call. period: which of the breaker's. is_probe: the one call of a half-open breaker."""

    period: int
    is_probe: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """No call now. until: when to ask again, on the clock that was handed in."""

    until: float


@dataclass(frozen=True, slots=True)
class Opened:
    """Calls are held back from now on. until: when one is tried again. why: a clause for a log or a metric's label."""

    until: float
    why: str


@dataclass(frozen=True, slots=True)
class Closed:
    """A probe succeeded, and calls pass again. after_seconds: since the breaker opened."""

    after_seconds: float


BreakerEvent = Opened | Closed | ThresholdMoved


class Breaker:
    """One circuit. It does no I/O and keeps no time: every ``now`` is of one monotonic clock. Threads may share it.

    rule: makes what decides when it opens; the default counts 20 failures and no success within 30 s. open_seconds: how
    long it stays open where the failure named no ``Retry-After``. probe_seconds: after which a probe that has not come
    back is given up. What counts as failure is the caller's to say; the SDK's is in ``counts_against_host``.
    """

    def __init__(
        self,
        *,
        rule: Callable[[], TripRule] = CountRule,
        open_seconds: float = 5.0,
        probe_seconds: float = 30.0,
    ) -> None:
        if not (open_seconds > 0 and probe_seconds > 0):
            raise ValueError(f"open_seconds and probe_seconds are above 0, not {open_seconds} and {probe_seconds}")
        self.open_seconds = open_seconds
        self.probe_seconds = probe_seconds
        self._make_rule = rule
        self._rule = rule()
        self._state: BreakerState = "closed"
        self._period = 0
        self._opened_at = self._until = 0.0
        self._lock = threading.Lock()

    def another(self) -> Breaker:
        """Return a closed one with the same settings, for another circuit."""
        return Breaker(rule=self._make_rule, open_seconds=self.open_seconds, probe_seconds=self.probe_seconds)

    @property
    def state(self) -> BreakerState:
        """As the last call left it: an open one becomes half open when a call enters."""
        return self._state

    def try_enter(self, now: float) -> Permit | Refused:
        """Ask to make a call. Whoever gets a permit reports with it: succeeded, failed or dropped."""
        with self._lock:
            if self._state == "closed":
                return Permit(self._period)
            if now < self._until:
                # How long a probe takes nobody knows: ask again after as long as an open breaker waits.
                return Refused(self._until if self._state == "open" else min(self._until, now + self.open_seconds))
            self._state, self._until = "half_open", now + self.probe_seconds
            self._period += 1
            return Permit(self._period, is_probe=True)

    def succeeded(self, permit: Permit, now: float) -> tuple[BreakerEvent, ...]:
        """Report a call that found the other side well."""
        with self._lock:
            if permit.period != self._period:
                return ()
            if self._state == "closed":
                return _events(self._rule.observe(False, now))
            self._state, self._rule = "closed", self._rule_kept()
            self._period += 1
            return (Closed(max(0.0, now - self._opened_at)),)

    def failed(
        self, permit: Permit, now: float, *, retry_after_seconds: float | None = None
    ) -> tuple[BreakerEvent, ...]:
        """Report a call that failed as a breaker counts it; retry_after_seconds: what the answer asked for, if it did."""
        with self._lock:
            if permit.period != self._period:
                return ()
            if self._state != "closed":
                return (self._open(now, retry_after_seconds, "the probe failed"),)
            moved = _events(self._rule.observe(True, now))
            why = self._rule.trips(now)
            if why is None:
                return moved
            self._opened_at = now
            return (*moved, self._open(now, retry_after_seconds, why))

    def dropped(self, permit: Permit) -> None:
        """Report a call that says nothing about the other side, such as one cancelled: the next one may be the probe."""
        with self._lock:
            if permit.is_probe and permit.period == self._period:
                self._until = 0.0

    def _open(self, now: float, retry_after_seconds: float | None, why: str) -> Opened:
        pause = self.open_seconds if retry_after_seconds is None else min(retry_after_seconds, MAX_OPEN_SECONDS)
        # An answer that asks for 0 s, or for less than a breaker waits anyway, is no reason to knock sooner.
        self._state, self._until = "open", now + max(pause, self.open_seconds)
        self._period += 1
        return Opened(self._until, why)

    def _rule_kept(self) -> TripRule:
        self._rule.restart()
        return self._rule

    def __repr__(self) -> str:
        return f"Breaker(state={self._state!r}, rule={self._rule!r}, open_seconds={self.open_seconds:g})"


def counts_against_host(status: int | None) -> bool:
    """Whether a call that ended so counts as failure in the SDK's breakers: no answer (None), 502, 503, 504."""
    return status is None or status in (502, 503, 504)


def _events(moved: ThresholdMoved | None) -> tuple[BreakerEvent, ...]:
    return () if moved is None else (moved,)
