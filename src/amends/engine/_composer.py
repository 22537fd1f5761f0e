"""From a processor's result to what the ledger is told: an outcome, or another try. Pure: clock and draw are handed in."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Final, NamedTuple

from amends.engine.processor import Failed, Result
from amends.ledger import Deferral, FailedAttempt, ItemStatus, LeasedItem, Outcome, ResultLines
from amends.problems import Problem, problem
from amends.resilience import Defer, Draw, item_decision

MAX_LINE_BYTES: Final = 64 * 1024
"""A longer result line is kept as a blob."""

MAX_OUTPUT_BYTES: Final = 16 * 1024 * 1024
"""A longer output is a failure."""

DEATHS_UNTIL_SET_ASIDE: Final = 3

_CAUSES: Final = {
    "WORKER_CRASHED": "The item took its worker down {deaths} times and was set aside",
    "ITEM_TIMED_OUT": "The item was stopped {deaths} times because it did not end within its time limit, and was set aside",
    "ITEM_OUT_OF_MEMORY": "The item was stopped {deaths} times because it needed more memory than allowed, and was set aside",
}


_STATUS_OF: Final[dict[str, ItemStatus]] = {
    "batch_cancelled": "canceled",
    "credit_exceeded": "canceled",
    "batch_expired": "expired",
}
"""What the engine itself ends items with, and how; of a try at an item it only comes where test mode simulates it."""


class AnotherTry(NamedTuple):
    """The item waits, and the failed try is kept for its record."""

    deferral: Deferral
    attempt: FailedAttempt


class Composer:
    """Composes the outcomes of one run.

    keep: stores a line that is too long for the ledger as a blob and returns its SHA-256. clock: wall time.
    credits_per_cost: millionths of a credit that a unit of a provider's cost is charged as; 0 leaves it to the run's price.
    """

    def __init__(
        self,
        lines: ResultLines,
        *,
        max_attempts: int,
        draw: Draw,
        clock: Callable[[], float],
        keep: Callable[[bytes], str],
        credits_per_cost: float = 0.0,
    ) -> None:
        self._lines = lines
        self._max_attempts = max_attempts
        self._draw = draw
        self._clock = clock
        self._keep = keep
        self._credits_per_cost = credits_per_cost

    def compose(self, item: LeasedItem, result: Result, elapsed_ms: int) -> Outcome | AnotherTry:
        """What follows from the result of a try at the item, deaths counted as tries."""
        if isinstance(result, Failed):
            return self._failed(item, result.problem, elapsed_ms)
        tries = item.attempts + item.deaths + 1
        if len(result.output) > MAX_OUTPUT_BYTES:
            return self._failed(item, _too_large(len(result.output)), elapsed_ms)
        line = self._lines.succeeded(
            item.custom_id,
            result.output,
            evidence=result.evidence,
            usage=result.usage,
            attempts=tries,
            elapsed_ms=elapsed_ms,
        )
        return Outcome(item.seq, "succeeded", None, tries, elapsed_ms, self._kept(line), self._cost(result.usage))

    def _cost(self, usage: bytes | None) -> int:
        if usage is None or not self._credits_per_cost:
            return 0
        said = json.loads(usage).get("cost")
        # A cost of 0 would mean that none is known.
        return max(1, round(said * self._credits_per_cost)) if isinstance(said, int | float) and said > 0 else 0

    def _failed(self, item: LeasedItem, cause: Problem, elapsed_ms: int) -> Outcome | AnotherTry:
        tries = item.attempts + item.deaths + 1
        if cause.slug == "upstream_failed":
            cause = cause.replace(extensions={"attempts": tries, **cause.extensions})
        decision = item_decision(cause, item.attempts + 1, self._max_attempts, self._draw)
        if isinstance(decision, Defer) and cause.slug not in _STATUS_OF:
            return AnotherTry(
                Deferral(item.seq, item.attempts + 1, decision.after_seconds),
                failed_attempt(self._lines, item, tries, self._clock(), cause),
            )
        return ended(self._lines, item, cause, tries, elapsed_ms, self._kept)

    def _kept(self, line: bytes) -> bytes:
        return line if len(line) <= MAX_LINE_BYTES else b"@" + self._keep(line).encode()


def ended(
    lines: ResultLines,
    item: LeasedItem,
    cause: Problem,
    tries: int,
    elapsed_ms: int = 0,
    kept: Callable[[bytes], bytes] = bytes,
) -> Outcome:
    """The outcome of an item that ends in ``cause``."""
    status = _STATUS_OF.get(cause.slug, "errored")
    line = lines.ended(item.custom_id, status, cause, attempts=tries, elapsed_ms=elapsed_ms)
    return Outcome(item.seq, status, cause.slug, tries, elapsed_ms, kept(line))


def failed_attempt(lines: ResultLines, item: LeasedItem, number: int, at: float, cause: Problem) -> FailedAttempt:
    """Try ``number`` at the item, for its record."""
    return FailedAttempt(item.seq, number, at, lines.problem(item.custom_id, cause))


def death(error_code: str, deaths: int) -> Problem:
    """The problem of an item that was in flight at so many deaths, the last of them for this cause."""
    return problem(
        "batch_item_processing_failed", _CAUSES[error_code].format(deaths=deaths), error_code=error_code, deaths=deaths
    )


def stopped() -> Problem:
    """The problem of a call to an upstream that its run did not wait for: what it cost there nobody knows."""
    detail = "The call was under way when its batch was stopped; the provider may have billed it"
    return problem("batch_cancelled", detail, possibly_billed=True)


def is_set_aside(deaths: int) -> bool:
    return deaths >= DEATHS_UNTIL_SET_ASIDE


def with_death(packed: bytes) -> bytes:
    """The packed item with one death more."""
    seq, attempts, deaths, rest = packed.split(b"\t", 3)
    return b"%b\t%b\t%d\t%b" % (seq, attempts, int(deaths) + 1, rest)


def unexpected() -> Problem:
    """The problem of an item whose processor raised what it should not have; the log has the inside."""
    return problem("batch_item_processing_failed")


def no_processor(kind: str) -> Problem:
    """The problem of an item that nothing installed can work on."""
    return problem("batch_item_processing_failed", f"No processor for runs of kind '{kind}' is installed here")


def _too_large(size: int) -> Problem:
    detail = f"The output is {size} bytes long; at most {MAX_OUTPUT_BYTES} are kept"
    return problem("payload_too_large", detail, limit=MAX_OUTPUT_BYTES, unit="bytes")
