"""Whether a call is tried again, and when: the SDK's contract as one pure decision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from ._backoff import Draw, backoff

BASE_SECONDS: Final = 1.0
CAP_SECONDS: Final = 30.0
MAX_RETRY_AFTER_SECONDS: Final = 120.0
"""The longest ``Retry-After`` that is waited for; a longer one is the caller's to decide on."""

# A request that still runs under our key is usually our own that timed out, and ends when its server's lease does:
# beyond max_retries, so many waits (1 + 2 + 4 + 8 + 16 + 30 + 30 + 30 s) outlast it, and still bound a call without
# a deadline.
_IN_PROGRESS_WAITS: Final = 8

Repetition = Literal["again", "waited_out", "never"]
"""again: may pass, so up to max_retries. waited_out: it is our own earlier try that still runs. never: would be the same."""

# What a status means for trying again; 5xx is "again", what is not here "never". None: no answer came.
_BY_STATUS: Final[Mapping[int | None, Repetition]] = {None: "again", 408: "again", 429: "again"}
_BY_CODE: Final[Mapping[tuple[int | None, str | None], Repetition]] = {
    (409, "IDEMPOTENCY_IN_PROGRESS"): "waited_out",
}

Reason = Literal[
    "not_retryable",
    "not_repeatable",
    "attempts_exhausted",
    "retry_after_too_long",
    "deadline",
    "budget_refused",
    "circuit_open",
]


@dataclass(frozen=True, slots=True)
class Retry:
    """Try again after this many seconds."""

    after_seconds: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Raise, and why.

    not_retryable: the answer would be the same. not_repeatable: a write without an Idempotency-Key.
    attempts_exhausted: all retries are used. retry_after_too_long: the server asks for more than 120 s.
    deadline: the wait would outlast the call's deadline. budget_refused: the RetryBudget has no token. circuit_open: the
    Breaker holds calls back. The last two are found by who holds these, not by ``retry_decision``.
    """

    reason: Reason


def retry_decision(
    *,
    status: int | None,
    error_code: str | None,
    attempt: int,
    max_retries: int,
    repeatable: bool,
    retry_after_seconds: float | None,
    remaining_seconds: float | None,
    draw: Draw,
    is_discouraged: bool = False,
) -> Retry | GiveUp:
    """Decide on a call whose last try failed.

    status: None where no answer came (connection, TLS, timeout). error_code: of the problem, None without one.
    attempt: tries already made, from 1. repeatable: the method is safe, or the request carries an Idempotency-Key.
    retry_after_seconds: what the answer asked for, None without. remaining_seconds: until the deadline, None
    without one. is_discouraged: the answer says that repeating cannot help (``x-should-retry: false``).

    5xx, 429, 408 and failures without an answer are tried again, of other 4xx only 409 in progress. Waits are 1, 2,
    4 … 30 s, each ± 25 %, and never shorter than Retry-After: one of 0 still backs off.
    """
    repetition = repetition_of(status, error_code)
    if repetition == "never" or is_discouraged:
        return GiveUp("not_retryable")
    if not repeatable:
        return GiveUp("not_repeatable")
    # A caller who wants no retries at all gets none of any kind.
    is_patient = repetition == "waited_out" and max_retries > 0
    if attempt > (max_retries + _IN_PROGRESS_WAITS if is_patient else max_retries):
        return GiveUp("attempts_exhausted")
    asked = retry_after_seconds or 0.0
    if asked > MAX_RETRY_AFTER_SECONDS:
        return GiveUp("retry_after_too_long")
    own = backoff(attempt, base_seconds=BASE_SECONDS, cap_seconds=CAP_SECONDS, draw=draw, jitter="proportional")
    pause = max(own, asked)
    if remaining_seconds is not None and pause >= remaining_seconds:
        return GiveUp("deadline")
    return Retry(pause)


def repetition_of(status: int | None, error_code: str | None = None) -> Repetition:
    """Return what a failure means for trying again. status: None where no answer came; error_code: of its problem."""
    is_server_error = status is not None and status >= 500
    by_status = "again" if is_server_error else _BY_STATUS.get(status, "never")
    return _BY_CODE.get((status, error_code), by_status)
