"""What moves runs along without a worker: validation, deadlines, cancelling, finalizing, leases that lapse, retention.

Everything is done in small slices, so that neither the ledger's writer nor this thread is held for long. The decisions are
the ledger's: each step is conditional on the state of the run, and a step that lost its race is dropped.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, Final

from amends._trouble import Trouble
from amends.engine._calls import Calls
from amends.engine._desk import NeedsOfRuns
from amends.engine._gate import Gate
from amends.engine._loading import Processors
from amends.engine._manifest import ManifestBuilder
from amends.engine._settings import EngineSettings
from amends.engine._validation import Validation
from amends.engine.processor import Processor
from amends.ledger import CREDIT, InvalidTransition, ItemStatus, Ledger, ReadBlob, Run, RunNotFound
from amends.problems import Problem, credit_exceeded, problem

log = logging.getLogger("amends.engine")

_RETENTION_SECONDS: Final = 60.0
_REST_SECONDS: Final = 5.0
"""A run that could not be moved is tried again after so long."""
_CLEAN_ITEMS: Final = 3_000
_SWEEP_ITEMS: Final = 3_000
_BREAKER: Final = "breaker"
_ON_TIME: Final = 0.5
"""In times to live. A look for expired leases that is late by more than this is left out, and so is each within a time to
live from then: this process, or the whole machine, stood still, and the workers' renewals are waiting to be read."""


class Maintenance:
    """One ``tick`` after the other, by one thread.

    monotonic: for the engine's own waits; clock: wall time, for deadlines and retention. on_stop: told of a run whose
    running items are to be stopped. on_lapse: told of leases that expired. on_work: something may be claimable. calls: who knows
    which runs' calls are held back.
    """

    def __init__(
        self,
        ledger: Ledger,
        processors: Processors,
        settings: EngineSettings,
        *,
        read_blob: ReadBlob,
        monotonic: Callable[[], float],
        clock: Callable[[], float],
        on_stop: Callable[[str], None] = lambda run_id: None,
        on_lapse: Callable[[Sequence[str]], None] = lambda lease_ids: None,
        on_work: Callable[[], None] = lambda: None,
        calls: Calls | None = None,
        needs: NeedsOfRuns | None = None,
        trouble: Trouble | None = None,
    ) -> None:
        self._ledger = ledger
        self._processors = processors
        self._settings = settings
        self._read_blob = read_blob
        self._monotonic = monotonic
        self._clock = clock
        self._on_stop = on_stop
        self._on_lapse = on_lapse
        self._on_work = on_work
        self._calls = calls or Calls(Gate(), monotonic)
        self._needs = needs or NeedsOfRuns(processors)
        self._trouble = trouble or Trouble(log, monotonic=monotonic)
        self._looked_at = monotonic()
        self._reaps_from = float("-inf")
        self._tidied_at = float("-inf")
        self._is_dirty = True
        self._validations: dict[str, Validation] = {}
        self._manifests: dict[str, ManifestBuilder] = {}
        self._ending_since: dict[str, float] = {}
        self._resting_until: dict[str, float] = {}

    def tick(self) -> bool:
        """Do a slice of whatever is due. True: there is more to do at once."""
        now = self._monotonic()
        since = now - self._looked_at
        if since >= self._settings.tick_seconds:
            self._looked_at = now
            if since - self._settings.tick_seconds > _ON_TIME * self._settings.ttl_seconds:
                self._reaps_from = now + self._settings.ttl_seconds
            if now >= self._reaps_from:
                self._reap()
        runs = self._ledger.unfinished()
        self._forget_all_but({run.id for run in runs})
        self._calls.note_runs(runs, lambda run: self._needs.known(run.id, run))
        has_more = [self._move_safely(run, now) for run in runs]
        return any([*has_more, self._tidy(now)])

    def _reap(self) -> None:
        lapsed = self._ledger.reap()
        if lapsed:
            log.warning("leases_lapsed", extra={"leases": len(lapsed)})
            self._on_lapse(lapsed)
            self._on_work()

    def _move_safely(self, run: Run, now: float) -> bool:
        """Move one run; whatever is wrong with it must not keep the others."""
        if now < self._resting_until.get(run.id, now):
            return False
        try:
            return self._move(run, now)
        except (InvalidTransition, RunNotFound):
            return False  # somebody was quicker, the next tick sees where it stands now
        except Exception as error:
            self._trouble.note("run_not_moved", error, run_id=run.id, state=run.state)
            self._resting_until[run.id] = now + _REST_SECONDS
            return False

    def _move(self, run: Run, now: float) -> bool:
        if run.state in ("validating", "in_progress") and self._is_overdue(run):
            self._ledger.end(run.id, "expired")
            return True
        match run.state:
            case "validating":
                return self._validate(run)
            case "in_progress":
                return self._watch(run)
            case _:
                return self._end(run, now)

    def _is_overdue(self, run: Run) -> bool:
        return run.deadline is not None and self._clock() >= run.deadline

    def _validate(self, run: Run) -> bool:
        validation = self._validations.get(run.id)
        if validation is None:
            processor = self._processor(run)
            if processor is None:
                self._ledger.start(run.id)
                self._on_work()
                return True
            settings = self._processors.settings
            validation = self._validations[run.id] = Validation(run, processor, self._ledger, self._read_blob, settings)
        if validation.step():
            return True
        del self._validations[run.id]
        self._on_work()
        return True

    def _processor(self, run: Run) -> Processor | None:
        """What looks over the run's items. None where there is nothing of the kind, or it cannot be loaded: the items run, and the
        child, which meets the same trouble, gives each its problem."""
        try:
            return self._processors[run.kind]
        except Exception:
            log.exception("processor_not_loaded", extra={"run_id": run.id, "kind": run.kind})
            return None

    def _watch(self, run: Run) -> bool:
        if run.paused_reason in ("credit", "cost_cap"):
            self._fund(run)
            return False
        if run.paused_reason in (None, _BREAKER) and self._follow_breaker(run):
            return False
        counts = run.counts
        if run.failure_tolerance < 1.0 and counts.errored > run.failure_tolerance * counts.total:
            self._ledger.end(run.id, "failed", _too_many_failed(run))
            return True
        if counts.processing > run.held or run.paused_reason is not None:
            return False
        return self._ledger.finalize(run.id)

    def _follow_breaker(self, run: Run) -> bool:
        """Pause a run whose calls are all held back, and let it go on when one may be tried; whether it waits."""
        is_shut = self._calls.is_shut(run)
        if is_shut and run.paused_reason is None:
            self._ledger.pause(run.id, _BREAKER)
        elif not is_shut and run.paused_reason == _BREAKER:
            self._ledger.resume(run.id)
            self._on_work()
        return is_shut or run.paused_reason == _BREAKER

    def _fund(self, run: Run) -> None:
        """A run without credit goes on by itself once there is some; one that is to fail then ends when nothing can come back."""
        funding = self._ledger.fund(run.id)
        if funding == "funded":
            self._on_work()
        elif funding == "exhausted" and run.on_credit_exhausted == "fail":
            self._ledger.end(run.id, "failed", self._out_of_credit(run))

    def _out_of_credit(self, run: Run) -> Problem:
        remaining = self._ledger.credit(run.workspace_id).balance
        return credit_exceeded(
            run.counts.processing * run.price / CREDIT,
            remaining / CREDIT,
            self._settings.credit_unit,
            self._settings.credit_url or f"{run.public_url}/errors/credit_exceeded",
        )

    def _end(self, run: Run, now: float) -> bool:
        """Cancelling or finalizing: everything left gets its outcome, then the manifest and the end."""
        if run.id not in self._ending_since:
            self._ending_since[run.id] = now
            if run.ending != "completed":
                self._on_stop(run.id)
        if run.ending != "completed" and run.counts.processing:
            status, cause = _swept_as(run)
            if self._ledger.sweep(run.id, status, cause, _SWEEP_ITEMS):
                return True
            if now < self._ending_since[run.id] + self._settings.fence_grace_seconds:
                return False
            return self._ledger.fence(run.id) > 0
        return self._sum_up(run)

    def _sum_up(self, run: Run) -> bool:
        builder = self._manifests.get(run.id)
        if builder is None:
            if not self._ledger.finalize(run.id):
                return False
            builder = self._manifests[run.id] = ManifestBuilder(run.id)
        if builder.step(self._ledger, self._read_blob):
            return True
        ended = self._ledger.get(run.id)
        if ended is not None:
            self._ledger.finish(run.id, builder.manifest(ended))
        del self._manifests[run.id]
        return False

    def _tidy(self, now: float) -> bool:
        """Retention: lines, then runs, by schedules of their own; then a slice of what was deleted."""
        if now >= self._tidied_at + _RETENTION_SECONDS:
            self._tidied_at = now
            self._is_dirty = True
            wall = self._clock()
            lines, runs = self._ledger.outdated(
                lines_before=wall - self._settings.line_retention_seconds,
                runs_before=wall - self._settings.run_retention_seconds,
            )
            for run_id in lines:
                self._ledger.delete_lines(run_id)
            for run_id in runs:
                self._ledger.delete_run(run_id)
        if self._is_dirty:
            self._is_dirty = self._ledger.clean(_CLEAN_ITEMS) > 0
        return self._is_dirty

    def _forget_all_but(self, run_ids: set[str]) -> None:
        memories: tuple[dict[str, Any], ...]
        memories = (self._validations, self._manifests, self._ending_since, self._resting_until)
        for memory in memories:
            for run_id in memory.keys() - run_ids:
                del memory[run_id]


def _swept_as(run: Run) -> tuple[ItemStatus, Problem]:
    """How the items of an ending run end that have no outcome yet."""
    if run.ending == "expired":
        return "expired", problem("batch_expired")
    if run.error is not None and run.error.slug == "credit_exceeded":
        return "canceled", run.error
    if run.ending == "failed" and run.in_progress_at is None:
        return "errored", problem("batch_validation_failed")
    return "canceled", problem("batch_cancelled")


def _too_many_failed(run: Run) -> Problem:
    counts = run.counts
    return problem(
        "validation_failed",
        f"{counts.errored} of {counts.total} items failed, more than failure_tolerance {run.failure_tolerance:g} allows",
        hint="See the failures of the run, mend their causes, and retry the failed items.",
        errors_total=counts.errored,
        failure_tolerance=run.failure_tolerance,
    )
