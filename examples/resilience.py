"""Retries, a budget, a breaker and a limit around calls of your own. Needs no server: the provider here is made up.

The decisions do no I/O, so the same ones serve a thread and a task; only the two short loops at the end differ.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator

from amends.resilience import (
    AdaptiveLimit,
    Breaker,
    Deadline,
    GiveUp,
    Permit,
    Refused,
    Retry,
    RetryBudget,
    counts_against_host,
    retry_decision,
)

PAUSE = 0.02  # the SDK's first pause is 1 s; an example should not take that long


class Provider:
    """Answers 200, and 503 to one call in four; 429 where more than eight are in flight."""

    def __init__(self) -> None:
        self.calls = self.in_flight = 0

    def begin(self) -> int:
        self.calls += 1
        self.in_flight += 1
        return 429 if self.in_flight > 8 else 503 if random.random() < 0.25 else 200

    def end(self) -> None:
        self.in_flight -= 1


class Gate:
    """What all calls to one provider share."""

    def __init__(self) -> None:
        self.budget = RetryBudget(capacity=200)
        self.breaker = Breaker()
        self.limit = AdaptiveLimit(initial=2, highest=64)

    def enter(self, now: float) -> Permit | float:
        """Return leave to call, or the seconds after which to ask again."""
        permit = self.breaker.try_enter(now)
        if isinstance(permit, Refused):
            return permit.until - now
        if self.limit.try_enter():
            return permit
        self.breaker.dropped(permit)
        return PAUSE

    def leave(self, permit: Permit, status: int, started: float, now: float) -> None:
        if status == 429:
            self.limit.throttled(started, now)
        elif status == 200:
            self.limit.succeeded(started, now)
            self.budget.succeeded()
        else:
            self.limit.dropped()
        (self.breaker.failed if counts_against_host(status) else self.breaker.succeeded)(permit, now)

    def next_try(self, status: int, attempt: int, deadline: Deadline, now: float) -> Retry | GiveUp:
        decision = retry_decision(
            status=status, error_code=None, attempt=attempt, max_retries=5, repeatable=True, retry_after_seconds=None,
            remaining_seconds=deadline.remaining(now), draw=random.random,
        )  # fmt: skip
        if isinstance(decision, Retry) and not self.budget.try_take(now):
            return GiveUp("budget_refused")
        return decision


def ask(gate: Gate, provider: Provider) -> Iterator[float]:
    """One call as a generator of pauses, without I/O: return once it is answered, raise once it is given up."""
    deadline = Deadline.after(60.0, time.monotonic())
    attempt = 0
    while True:
        permit = gate.enter(time.monotonic())
        if not isinstance(permit, Permit):
            yield permit
            continue
        started, status = time.monotonic(), provider.begin()
        yield PAUSE / 4  # this long the provider takes
        provider.end()
        now, attempt = time.monotonic(), attempt + 1
        gate.leave(permit, status, started, now)
        if status == 200:
            return
        decision = gate.next_try(status, attempt, deadline, now)
        if isinstance(decision, GiveUp):
            raise RuntimeError(f"{status} after {attempt} tries: {decision.reason}")
        yield decision.after_seconds * PAUSE


def call(gate: Gate, provider: Provider) -> None:
    for pause in ask(gate, provider):
        time.sleep(pause)


async def acall(gate: Gate, provider: Provider) -> None:
    for pause in ask(gate, provider):
        await asyncio.sleep(pause)


async def many(gate: Gate, provider: Provider, calls: int) -> int:
    ends = await asyncio.gather(*(acall(gate, provider) for _ in range(calls)), return_exceptions=True)
    return sum(end is None for end in ends)


if __name__ == "__main__":
    gate, provider = Gate(), Provider()
    call(gate, provider)
    done = asyncio.run(many(gate, provider, 300))
    print(
        f"{1 + done} of 301 answered with {provider.calls} calls; limit {gate.limit.limit}, breaker {gate.breaker.state}"
    )
