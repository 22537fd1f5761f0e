"""How many items may be at each upstream, and when: the owner's side of every call that workers make. No I/O, no clock.

::

    shares ──► claim ──leased──► calls in flight ──reported──► what is learnt: latency, limits, cool-down, health
       ▲                                                                            │
       └────────────────────────────────────────────────────────────────────────────┘

A lease is the leave to make its calls: workers ask nobody else, and what one of them is told counts for all of them. Of several
upstreams of a job a lease goes to the one with the most room, so that a failing one is left for the others.

Times are of one monotonic clock. Not for threads: whoever shares one has a lock.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

from amends.engine.processor import Upstream
from amends.ledger import Share
from amends.resilience import (
    AdaptiveLimit,
    Breaker,
    BreakerEvent,
    BreakerState,
    LimitMoved,
    Opened,
    Permit,
    RateRule,
    Refused,
    RetryBudget,
)

Ended = Literal["well", "unwell", "limited", "unrelated"]
"""How a call ended, as far as it tells of its upstream."""

_INITIAL_CALLS: Final = 8
_BUDGET_TOKENS: Final = 20.0
_BUDGET_REFILL_SECONDS: Final = 0.5
"""Retries of a provider go on at this pace however badly it does, and with a tenth of what succeeds."""
_MAX_COOL_DOWN_SECONDS: Final = 3_600.0
_MINUTE: Final = 60.0
_OF_NO_PERIOD: Final = Permit(-1)
"""Of a lease that nobody had leave for: what its calls tell belongs to no period of the breaker."""


class CallEnd(NamedTuple):
    """One item of a lease is through with its call. seconds: how long it took. retry_after: what the upstream asked for."""

    ended: Ended
    seconds: float = 0.0
    retry_after: float | None = None
    is_retried: bool = False
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class Event:
    """What is worth a line in the log. cool_down_seconds: the upstream is not called for so long; None otherwise."""

    upstream: str
    what: BreakerEvent | LimitMoved | None = None
    cool_down_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """How an upstream stands. calls: under way. limit: at most so many at a time, as adapted. calm_seconds: until it is called again."""

    upstream: str
    calls: int
    limit: int
    breaker: BreakerState
    calm_seconds: float


class Leave(NamedTuple):
    """A lease's upstream. is_probe: its one call decides whether a breaker closes."""

    upstream: str
    is_probe: bool


class _Rate:
    """So much a minute, at most a second's worth at once. What is spent beyond is owed."""

    def __init__(self, per_minute: float | None) -> None:
        self._per_second = None if per_minute is None else per_minute / _MINUTE
        self._most = max(1.0, self._per_second or 0.0)
        self._there = self._most
        self._counted_at: float | None = None

    def room(self, now: float) -> float:
        if self._per_second is None:
            return math.inf
        if self._counted_at is not None and now > self._counted_at:
            self._there = min(self._most, self._there + (now - self._counted_at) * self._per_second)
        self._counted_at = now
        return self._there

    def spend(self, much: float) -> None:
        if self._per_second is not None:
            self._there -= much

    def seconds_until_one(self, now: float) -> float:
        if self._per_second is None or self.room(now) >= 1.0:
            return 0.0
        return (1.0 - self._there) / self._per_second


class _Line:
    """One upstream as it stands."""

    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream
        initial = min(_INITIAL_CALLS, upstream.concurrency)
        self.limit = AdaptiveLimit(initial=initial, highest=upstream.concurrency)
        self.breaker = Breaker(rule=RateRule)
        self.requests = _Rate(upstream.requests_per_minute)
        self.tokens = _Rate(upstream.tokens_per_minute)
        self.calm_until = -math.inf
        self.probe: Permit | None = None
        self.next_try = -math.inf

    def room(self, now: float) -> int:
        """How many calls may begin."""
        if now < self.calm_until:
            return 0
        free = self.limit.limit - self.limit.in_flight
        most = min(float(free), self.requests.room(now), math.inf if self.tokens.room(now) >= 1.0 else 0.0)
        if most < 1.0 or self.breaker.state == "closed":
            return max(0, int(most))
        return 1 if self._may_probe(now) else 0

    def _may_probe(self, now: float) -> bool:
        if self.probe is None:
            permit = self.breaker.try_enter(now)
            if isinstance(permit, Refused):
                self.next_try = permit.until
                return False
            self.probe = permit
        return True

    def enter(self, calls: int, now: float) -> tuple[Permit, int]:
        """Begin so many calls; how many of them the limit counts. There are more than may be where a run was not known yet."""
        counted = sum(self.limit.try_enter() for _ in range(calls))
        self.requests.spend(calls)
        if self.probe is not None:
            permit, self.probe = self.probe, None
            return permit, counted
        asked = self.breaker.try_enter(now)
        return (_OF_NO_PERIOD if isinstance(asked, Refused) else asked), counted

    def opens_in(self, now: float) -> float:
        """Seconds until time alone may bring room; infinite where only the end of a call can."""
        waits = [self.calm_until - now, self.requests.seconds_until_one(now), self.tokens.seconds_until_one(now)]
        if self.breaker.state != "closed" and self.probe is None:
            waits.append(self.next_try - now)
        if max(waits) <= 0 and self.limit.in_flight >= self.limit.limit:
            return math.inf
        return max(0.0, *waits)

    def is_shut(self, now: float) -> bool:
        """Whether the breaker is open, and it is too early for a probe. While one is out, it is not known better."""
        if self.breaker.state == "closed" or self.probe is not None:
            return False
        return self.breaker.state == "open" and now < self.next_try


@dataclass(slots=True)
class _Held:
    """A lease on calls. left: those not yet reported. counted: of them, those that the limit counts."""

    run_no: int
    line: _Line
    permit: Permit
    left: int
    counted: int

    def leave(self) -> bool:
        """One call is through; whether the limit counted it."""
        self.left -= 1
        self.counted -= 1
        return self.counted >= 0


@dataclass(slots=True)
class _Account:
    """What retries of one provider are paid from. owed: retries to come that are not paid for yet."""

    budget: RetryBudget = field(
        default_factory=lambda: RetryBudget(_BUDGET_TOKENS, refill_seconds=_BUDGET_REFILL_SECONDS)
    )
    owed: int = 0

    def may_retry(self, now: float) -> bool:
        while self.owed and self.budget.try_take(now):
            self.owed -= 1
        return not self.owed


class Gate:
    """Knows the runs whose items are calls to upstreams; of all others it has no opinion."""

    def __init__(self) -> None:
        self._lines: dict[str, _Line] = {}
        self._accounts: dict[str, _Account] = {}
        self._runs: dict[int, tuple[_Line, ...]] = {}
        self._leases: dict[str, _Held] = {}
        self._calmed: dict[str, float] = {}

    def __bool__(self) -> bool:
        """Whether it knows any run."""
        return bool(self._runs or self._leases)

    def know(self, run_no: int, upstreams: Sequence[Upstream]) -> None:
        """Items of this run go to these."""
        if upstreams and run_no not in self._runs:
            self._runs[run_no] = tuple(self._line(upstream) for upstream in upstreams)

    def forget_all_but(self, run_nos: Collection[int]) -> None:
        """What is known of the upstreams stays."""
        for run_no in self._runs.keys() - set(run_nos):
            del self._runs[run_no]

    def calm(self, upstream: str, seconds: float, now: float) -> None:
        """Nobody calls it for so long; it need not be known yet."""
        self._calmed[upstream] = max(self._calmed.get(upstream, -math.inf), now + seconds)
        if upstream in self._lines:
            self._lines[upstream].calm_until = self._calmed[upstream]

    def shares(self, most: int, now: float) -> Mapping[int, Share]:
        """run → what a claim may take of it, at most ``most``."""
        return {run_no: self._share(lines, most, now) for run_no, lines in self._runs.items()}

    def opens_in(self, now: float) -> float | None:
        """Seconds until a claim that found nothing may find something; None where that is not a matter of time."""
        waits = [line.opens_in(now) for lines in self._runs.values() for line in lines]
        waits += [account.budget.seconds_until_token(now) for account in self._accounts.values() if account.owed]
        soonest = min((wait for wait in waits if wait > 0), default=math.inf)
        return None if soonest == math.inf else soonest

    def leased(self, lease_id: str, run_no: int, items: int, now: float) -> Leave | None:
        """A lease of so many items was given; where its calls go. None for a run that makes none."""
        lines = self._runs.get(run_no)
        if lines is None:
            return None
        line = _roomiest(lines, now)
        permit, counted = line.enter(items, now)
        self._leases[lease_id] = _Held(run_no, line, permit, items, counted)
        return Leave(line.upstream.name, permit.is_probe)

    def holds(self, lease_id: str) -> bool:
        """Whether the lease makes calls."""
        return lease_id in self._leases

    def counts_tokens(self, lease_id: str) -> bool:
        """Whether its upstream limits tokens."""
        return self._leases[lease_id].line.upstream.tokens_per_minute is not None

    def reported(self, lease_id: str, ends: Sequence[CallEnd], now: float) -> Iterator[Event]:
        """What became of some of a lease's calls."""
        held = self._leases.get(lease_id)
        if held is None:
            return
        for end in ends:
            yield from self._learn(held, end, now)

    def ended(self, lease_id: str) -> None:
        """The lease is over, however it ended; what was not reported tells nothing."""
        held = self._leases.pop(lease_id, None)
        if held is not None:
            while held.left > 0:
                self._drop(held)

    def is_shut(self, run_no: int, now: float) -> bool:
        """Whether every upstream of the run is held back by its breaker."""
        lines = self._runs.get(run_no, ())
        return bool(lines) and all(line.is_shut(now) for line in lines)

    def standings(self, now: float) -> Sequence[Standing]:
        """How every upstream stands that was ever called."""
        return [
            Standing(name, line.limit.in_flight, line.limit.limit, line.breaker.state, max(0.0, line.calm_until - now))
            for name, line in self._lines.items()
        ]

    def _line(self, upstream: Upstream) -> _Line:
        line = self._lines.get(upstream.name)
        if line is None:
            line = self._lines[upstream.name] = _Line(upstream)
            line.calm_until = self._calmed.get(upstream.name, -math.inf)
        return line

    def _account(self, line: _Line) -> _Account:
        return self._accounts.setdefault(line.upstream.provider, _Account())

    def _share(self, lines: Sequence[_Line], most: int, now: float) -> Share:
        line = _roomiest(lines, now)
        room = min(line.room(now), most)
        # A probe is let through whatever the budget says: without it nothing would ever be known again.
        is_probe = line.probe is not None
        return Share(room, room if is_probe or self._account(line).may_retry(now) else 0)

    def _learn(self, held: _Held, end: CallEnd, now: float) -> Iterator[Event]:
        line, name = held.line, held.line.upstream.name
        line.tokens.spend(end.tokens)
        moved: LimitMoved | None = None
        events: tuple[BreakerEvent, ...] = ()
        match end.ended:
            case "well":
                moved = line.limit.succeeded(now - end.seconds, now) if held.leave() else None
                events = line.breaker.succeeded(held.permit, now)
                self._account(line).budget.succeeded()
            case "limited":
                moved = line.limit.throttled(now - end.seconds, now) if held.leave() else None
                line.breaker.dropped(held.permit)
            case "unwell":
                self._drop(held, is_breaker_told=True)
                events = line.breaker.failed(held.permit, now, retry_after_seconds=end.retry_after)
                self._account(line).owed += end.is_retried
            case "unrelated":
                self._drop(held)
        for event in (moved, *events):
            if event is not None:
                yield Event(name, event)
            if isinstance(event, Opened):
                line.next_try = event.until
        if end.retry_after and end.ended in ("limited", "unwell"):
            yield from self._cool_down(line, min(end.retry_after, _MAX_COOL_DOWN_SECONDS), now)

    def _drop(self, held: _Held, *, is_breaker_told: bool = False) -> None:
        if held.leave():
            held.line.limit.dropped()
        if not is_breaker_told:
            held.line.breaker.dropped(held.permit)

    def _cool_down(self, line: _Line, seconds: float, now: float) -> Iterator[Event]:
        if now + seconds > line.calm_until:
            self.calm(line.upstream.name, seconds, now)
            yield Event(line.upstream.name, cool_down_seconds=seconds)


def _roomiest(lines: Sequence[_Line], now: float) -> _Line:
    """The first of those with the most room."""
    return max(lines, key=lambda line: line.room(now))
