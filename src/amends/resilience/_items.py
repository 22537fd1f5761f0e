"""Whether a failed item waits for another try or ends: the engine's counterpart of the SDK's retrying."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from amends.problems import Problem

from ._backoff import Draw, backoff

ITEM_BASE_SECONDS: Final = 1.0
ITEM_CAP_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Defer:
    """Try the item again after this many seconds."""

    after_seconds: float


@dataclass(frozen=True, slots=True)
class End:
    """The problem is the item's outcome."""


def item_decision(problem: Problem, attempts: int, max_attempts: int, draw: Draw) -> Defer | End:
    """Decide on an item whose try number ``attempts``, from 1, ended in ``problem``.

    A retryable problem defers it, with equal jitter so that no try follows at once, and no sooner than the problem's
    ``retry_after``. Anything else, and the last of ``max_attempts``, ends it. Deadlines are the run's affair.
    """
    if not problem.remedy.retryable or attempts >= max_attempts:
        return End()
    own = backoff(attempts, base_seconds=ITEM_BASE_SECONDS, cap_seconds=ITEM_CAP_SECONDS, draw=draw, jitter="equal")
    return Defer(max(own, problem.retry_after or 0.0))
