"""What is told of the work itself: every failed attempt in the log, counts for Prometheus, spans for whoever collects traces.

``WatchedLedger`` stands between engine and ledger, where everything that becomes of an item comes by, and changes nothing.
"""

from __future__ import annotations

import json
import time
from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Final

import structlog

from amends.ledger import Answer, ClaimRequest, Commit, Lease, Ledger, Manifest, Outcome, Run, Step
from amends.server.metrics import Metrics
from amends.server.tracing import Traces

log = structlog.get_logger("amends.engine")

_LEASES_REMEMBERED: Final = 4_096
"""Leases that lapse are told to nobody here, so what is known of them is forgotten by age."""


@dataclass(slots=True)
class _Held:
    """A lease under way. errored: failed attempts so far, for good or not."""

    run_id: str
    request_id: str
    kind: str
    model: str
    owner: str
    since: float
    items: int = 0
    errored: int = 0


@dataclass(frozen=True, slots=True)
class FailedTry:
    """A failed attempt as it is told. is_final: the item ended so. provider: empty where none was asked."""

    number: int
    is_final: bool
    problem: str
    code: str
    message: str
    instance: str
    provider: str = ""

    @classmethod
    def of(cls, body: Mapping[str, Any], number: int, *, is_final: bool) -> FailedTry:
        """From a problem's body."""
        slug = str(body.get("type", "")).rpartition("/")[2]
        texts = (str(body.get(name) or "") for name in ("error_code", "detail", "instance", "provider"))
        return cls(number, is_final, slug, *texts)


class WatchedLedger:
    """A ledger that tells what passes. Whatever is not named here goes to the ledger behind it."""

    def __init__(self, ledger: Ledger, metrics: Metrics, traces: Traces | None = None) -> None:
        self._ledger = ledger
        self._metrics = metrics
        self._traces = traces
        self._held: OrderedDict[str, _Held] = OrderedDict()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    def claim(self, request: ClaimRequest) -> Lease | None:
        lease = self._ledger.claim(request)
        self._note_answer(request, lease)
        return lease

    def commit(self, commit: Commit) -> bool:
        held = self._ledger.commit(commit)
        self._note_answer(commit, held)
        return held

    def perform(self, steps: Sequence[Step]) -> Sequence[Answer]:
        answers = self._ledger.perform(steps)
        for step, answer in zip(steps, answers, strict=True):
            self._note_answer(step, answer)
        return answers

    def settle(self, run_id: str, outcomes: Sequence[Outcome]) -> None:
        self._ledger.settle(run_id, outcomes)
        if outcomes and (run := self._ledger.get(run_id)) is not None:
            self._note_outcomes(_Held(run.id, run.request_id, run.kind, run.model, "", 0.0), outcomes)

    def finish(self, run_id: str, manifest: Manifest) -> Run:
        run = self._ledger.finish(run_id, manifest)
        counts = run.counts
        log.info("run_ended", run_id=run.id, request_id=run.request_id, status=run.state, items=counts.total,
                 succeeded=counts.succeeded, errored=counts.errored)  # fmt: skip
        if self._traces is not None:
            self._traces.run_ended(run)
        return run

    def _note_answer(self, step: Step, answer: Answer) -> None:
        if isinstance(answer, Lease) and isinstance(step, ClaimRequest):
            self._note_lease(answer, step.owner)
        elif answer is True and isinstance(step, Commit) and (held := self._held.get(step.lease_id)) is not None:
            self._note_commit(held, step)

    def _note_lease(self, lease: Lease, owner: str) -> None:
        model = _model_of(lease.params)
        self._held[lease.id] = _Held(lease.run_id, lease.request_id, lease.kind, model, owner, time.monotonic())
        while len(self._held) > _LEASES_REMEMBERED:
            self._held.popitem(last=False)

    def _note_commit(self, held: _Held, commit: Commit) -> None:
        held.items += len(commit.outcomes) + len(commit.deferred)
        held.errored += len(commit.deferred)
        self._note_outcomes(held, commit.outcomes)
        for attempt in commit.attempts:
            self._note_failure(held, FailedTry.of(json.loads(attempt.problem), attempt.number, is_final=False))
        if commit.final:
            self._held.pop(commit.lease_id, None)
            if self._traces is not None:
                seconds = time.monotonic() - held.since
                self._traces.lease_ended(held.run_id, held.owner, held.items, held.errored, seconds)

    def _note_outcomes(self, held: _Held, outcomes: Sequence[Outcome]) -> None:
        for status, count in Counter(map(itemgetter(1), outcomes)).items():
            self._metrics.items(held.kind, held.model, status, count)
            if status != "succeeded":
                held.errored += count
                for failure in _failures(outcomes, status):
                    self._note_failure(held, failure)

    def _note_failure(self, held: _Held, failure: FailedTry) -> None:
        self._metrics.failed_attempt(held.kind, held.model, failure)
        log.info(
            "attempt_failed",
            run_id=held.run_id,
            item=failure.instance,
            attempt=failure.number,
            is_final=failure.is_final,
            problem=failure.problem,
            code=failure.code,
            message=failure.message,
            request_id=held.request_id,
            model=held.model,
            **({"provider": failure.provider} if failure.provider else {}),
        )


def _failures(outcomes: Sequence[Outcome], status: str) -> Iterator[FailedTry]:
    for outcome in outcomes:
        if outcome.status != status:
            continue
        if outcome.line[:1] == b"@":  # kept as a blob; what it says is not worth the reading here
            yield FailedTry(outcome.attempts, True, outcome.problem or "", "", "", f"item {outcome.seq}")
        else:
            error = json.loads(b"{" + outcome.line)["error"]
            yield FailedTry.of(error, outcome.attempts, is_final=True)


def _model_of(params: bytes) -> str:
    found = json.loads(params or b"{}").get("model", "")
    return found if isinstance(found, str) else ""
