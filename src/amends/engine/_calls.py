"""What all desks share about calls to upstreams: the gate under a lock, and the reading of reports for it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from amends.engine._gate import CallEnd, Ended, Event, Gate, Leave, Standing
from amends.engine.processor import Needs
from amends.ledger import Deferral, FailedAttempt, Lease, Outcome, Run, Share, line_members
from amends.resilience import Closed, LimitMoved, Opened

log = logging.getLogger("amends.engine")

_ENDED: Final[Mapping[str, Ended]] = {
    "UPSTREAM_RATE_LIMITED": "limited",
    "UPSTREAM_ERROR": "unwell",
    "UPSTREAM_TIMEOUT": "unwell",
    "UPSTREAM_REFUSED": "well",
}


class Calls:
    """Used by many threads.

    keep_calm: told of an upstream that is not to be called for so many seconds, to remember it. on_breaker: told of one whose
    breaker opened or closed; it may not block.
    """

    def __init__(
        self,
        gate: Gate,
        monotonic: Callable[[], float],
        *,
        keep_calm: Callable[[str, float], None] = lambda upstream, seconds: None,
    ) -> None:
        self._gate = gate
        self._monotonic = monotonic
        self._keep_calm = keep_calm
        self.on_breaker: Callable[[str, Opened | Closed], None] = lambda upstream, event: None
        self._lock = threading.RLock()
        self._noted: set[int] = set()

    def remember(self, cool_downs: Mapping[str, float]) -> None:
        """These upstreams are not to be called for so many seconds: what an owner before this one was told."""
        with self._lock:
            for upstream, seconds in cool_downs.items():
                self._gate.calm(upstream, seconds, self._monotonic())

    def note_runs(self, runs: Iterable[Run], needs_of: Callable[[Run], Needs]) -> None:
        """These are all the runs there are to work on. Each is asked about once; called by one thread."""
        numbers = {run.no: run for run in runs}
        needs = {number: needs_of(numbers[number]) for number in numbers.keys() - self._noted}
        self._noted = set(numbers)
        with self._lock:
            for number, needed in needs.items():
                self._gate.know(number, needed.upstreams)
            self._gate.forget_all_but(self._noted)

    @property
    def are_made(self) -> bool:
        """Whether any run makes some."""
        return bool(self._gate)

    def shares(self, most: int) -> Mapping[int, Share]:
        """What a claim may take; no other is to be made before its lease is noted. Costs nothing while no run makes calls."""
        if not self._gate:
            return {}
        with self._lock:
            return self._gate.shares(most, self._monotonic())

    def leased(self, lease: Lease, needs: Needs) -> Leave | None:
        """A claim was granted; where its calls go, None where it makes none."""
        if not needs.upstreams:
            return None
        with self._lock:
            self._gate.know(lease.run_no, needs.upstreams)
            return self._gate.leased(lease.id, lease.run_no, lease.count, self._monotonic())

    def reported(
        self,
        lease_id: str,
        outcomes: Sequence[Outcome],
        deferred: Sequence[Deferral],
        attempts: Sequence[FailedAttempt],
    ) -> bool:
        """Learn from a report; whether its lease makes calls."""
        if not self._gate:
            return False
        with self._lock:
            if not self._gate.holds(lease_id):
                return False
            ends = call_ends(outcomes, deferred, attempts, counts_tokens=self._gate.counts_tokens(lease_id))
            for event in self._gate.reported(lease_id, ends, self._monotonic()):
                self._tell(event)
            return True

    def ended(self, lease_ids: Collection[str]) -> None:
        """These leases are over."""
        if self._gate:
            with self._lock:
                for lease_id in lease_ids:
                    self._gate.ended(lease_id)

    def opens_in(self) -> float | None:
        """Seconds until a claim may find something that it does not find now; None where it is no matter of time."""
        if not self._gate:
            return None
        with self._lock:
            return self._gate.opens_in(self._monotonic())

    def is_shut(self, run: Run) -> bool:
        """Whether a breaker holds all calls of the run back."""
        with self._lock:
            return self._gate.is_shut(run.no, self._monotonic())

    def standings(self) -> Sequence[Standing]:
        """How every upstream stands that was ever called."""
        with self._lock:
            return self._gate.standings(self._monotonic())

    def _tell(self, event: Event) -> None:
        if event.cool_down_seconds is not None:
            log.warning("upstream_cools_down", extra={"upstream": event.upstream, "seconds": event.cool_down_seconds})
            self._keep_calm(event.upstream, event.cool_down_seconds)
        else:
            # How many calls are made at a time moves all the while; what a breaker does, somebody may have to know.
            level = logging.DEBUG if isinstance(event.what, LimitMoved) else logging.WARNING
            log.log(level, "upstream_changed", extra={"upstream": event.upstream, "change": repr(event.what)})
            if isinstance(event.what, Opened | Closed):
                self.on_breaker(event.upstream, event.what)


def call_ends(
    outcomes: Sequence[Outcome],
    deferred: Sequence[Deferral],
    attempts: Sequence[FailedAttempt],
    *,
    counts_tokens: bool,
) -> list[CallEnd]:
    """What a report says of calls. Only failures are read, and usage where tokens are limited."""
    failed = {attempt.seq: attempt for attempt in attempts}
    ends = [
        _of_problem(msgspec.json.decode(failed[one.seq].problem), is_retried=True)
        for one in deferred
        if one.seq in failed
    ]
    ends += [CallEnd("unrelated") for one in deferred if one.seq not in failed]
    for outcome in outcomes:
        seconds = outcome.elapsed_ms / 1000
        if outcome.problem == "upstream_failed" and outcome.line[:1] != b"@":
            ends.append(_of_problem(line_members(b"{" + outcome.line)["error"], is_retried=False))
        elif outcome.problem in (None, "prediction_failed"):
            ends.append(CallEnd("well", seconds, tokens=_tokens(outcome) if counts_tokens else 0))
        else:
            ends.append(CallEnd("unrelated"))
    return ends


def _of_problem(body: Mapping[str, Any], *, is_retried: bool) -> CallEnd:
    ended = _ENDED.get(body.get("error_code", ""), "unrelated")
    if ended == "well" and body.get("upstream_status") is None:
        ended = "unrelated"  # refused before anybody was asked
    return CallEnd(ended, retry_after=body.get("retry_after"), is_retried=is_retried)


def _tokens(outcome: Outcome) -> int:
    usage = None if outcome.line[:1] == b"@" else line_members(b"{" + outcome.line)["usage"]
    return 0 if usage is None else int(usage.get("input_tokens", 0)) + int(usage.get("output_tokens", 0))
