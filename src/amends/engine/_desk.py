"""The owner's side of one worker: its messages become steps of the ledger, their answers replies. No sockets, no threads."""

from __future__ import annotations

import json
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final, cast

import msgspec

from amends._trouble import Trouble
from amends.engine._calls import Calls
from amends.engine._gate import Gate, Leave
from amends.engine._loading import Processors
from amends.engine._signal import WorkSignal
from amends.engine._wire import (
    Begin,
    Claim,
    Committed,
    Leased,
    Note,
    Renew,
    Report,
    StandingOf,
    ToOwner,
    ToSupervisor,
)
from amends.engine.processor import Job, Needs
from amends.ledger import Answer, ClaimRequest, Commit, Lease, Outcome, Renewal, Run, Standing, Step

log = logging.getLogger("amends.engine")

_outcomes = msgspec.msgpack.Decoder(list[Outcome])
_RUNS_REMEMBERED: Final = 64


class NeedsOfRuns:
    """What the processors say that the jobs need, asked once a run. A processor that cannot say gets the defaults."""

    def __init__(self, processors: Processors) -> None:
        self._processors = processors
        self._known: OrderedDict[str, Needs] = OrderedDict()

    def of(self, lease: Lease) -> Needs:
        return self.known(lease.run_id, lease)

    def known(self, run_id: str, run: Lease | Run) -> Needs:
        """What the job of this run needs."""
        needs = self._known.get(run_id)
        if needs is None:
            needs = self._known[run_id] = self._ask(run_id, run)
            if len(self._known) > _RUNS_REMEMBERED:
                self._known.popitem(last=False)
        return needs

    def _ask(self, run_id: str, run: Lease | Run) -> Needs:
        try:
            job = Job(run_id, run.mode, json.loads(run.params or b"{}"), self._processors.settings)
            return self._processors[run.kind].needs(job)
        except Exception:  # the child meets the same trouble and gives every item its problem
            return Needs()


class Desk:
    """Answers one worker: ``hear`` its messages, have the ledger perform the ``steps``, send what follows once ``answered``.

    leases: what the worker holds, lease → run; any thread may look at a copy. calls: who says how many calls may be made,
    shared by all desks. on_end: told that a lease ended after which the worker held none of its run, so that the run may
    be done.
    """

    def __init__(
        self,
        worker_id: str,
        needs: NeedsOfRuns,
        signal: WorkSignal,
        *,
        ttl_seconds: float,
        longest_item_seconds: float,
        kinds: frozenset[str] = frozenset(),
        calls: Calls | None = None,
        on_end: Callable[[], None] = lambda: None,
        trouble: Trouble | None = None,
    ) -> None:
        self.worker_id = worker_id
        self.child_pid: int | None = None
        self.leases: dict[str, str] = {}
        self._needs = needs
        self._signal = signal
        self._ttl_seconds = ttl_seconds
        self._longest_item_seconds = longest_item_seconds
        self._kinds = kinds
        self._calls = calls or Calls(Gate(), time.monotonic)
        self._on_end = on_end
        self._trouble = trouble or Trouble(log)
        self._news: list[Commit | Renewal] = []
        self._claims: list[Claim] = []
        self._new_claims = 0
        self._asked: list[Claim] = []
        self._ended_runs: set[str] = set()
        self._told_run: str | None = None

    @property
    def run_id(self) -> str | None:
        """The run that the worker took on last, of those it works on."""
        return next(reversed(self.leases.values()), None)

    @property
    def has_news(self) -> bool:
        """Whether something waits to be recorded."""
        return bool(self._news)

    @property
    def has_claims(self) -> bool:
        """Whether claims wait for work."""
        return bool(self._claims)

    @property
    def has_new_claims(self) -> bool:
        """Whether there are claims that were not tried yet."""
        return self._new_claims > 0

    def hear(self, message: ToOwner) -> None:
        match message:
            case Report():
                self._news.append(self._commit_of(message))
                if message.claim is not None:
                    self._want(message.claim)
            case Claim():
                self._want(message)
            case Renew():
                self._news.append(Renewal(message.lease_id, self._ttl_seconds))
            case Note():
                self.child_pid = message.child_pid

    def steps(self, *, may_find_work: bool = False) -> list[Step]:
        """What is to be recorded, then the new claims; of those that wait already one, where there may be work for it.

        While a run makes calls, one claim at a time: what the next may take depends on what this one is given.
        """
        claims = self._new_claims or int(may_find_work and self.has_claims)
        if self._calls.are_made:
            claims = min(claims, 1)
        self._asked = self._claims[len(self._claims) - claims :]
        return [*self._news, *map(self._request, self._asked)]

    def answered(self, steps: Sequence[Step], answers: Sequence[Answer]) -> list[ToSupervisor]:
        """The replies. What the ledger could not record stays news, a claim for which there was nothing waits."""
        del self._claims[len(self._claims) - len(self._asked) :]
        self._new_claims = max(0, self._new_claims - len(self._asked))
        waiting, self._news = self._claims, []
        self._claims = []
        replies = [reply for pair in zip(steps, answers, strict=True) if (reply := self._reply(*pair)) is not None]
        self._claims += waiting
        if self._ended_runs - set(self.leases.values()):
            self._on_end()
        self._ended_runs.clear()
        return replies

    def give_up(self) -> list[ToSupervisor]:
        """The news cannot be recorded: the work is lost, its items come back when the leases lapse."""
        lost = [step for step in self._news if isinstance(step, Commit)]
        self._news = []
        return [self._committed(commit, False) for commit in lost]

    def leave(self) -> None:
        """The worker is gone: it wants nothing any more."""
        self._claims = []
        self._new_claims = 0
        self._forget(*self.leases)

    def _reply(self, step: Step, answer: Answer) -> ToSupervisor | None:
        if isinstance(answer, Exception):
            return self._failed(step, answer)
        match step:
            case ClaimRequest():
                claim = self._asked.pop(0)
                if isinstance(answer, Lease):
                    return self._leased(answer)
                self._wait(claim)
                return None
            case Commit():
                return self._committed(step, answer is True)
            case Renewal():
                return self._standing(step, answer)

    def _failed(self, step: Step, error: Exception) -> ToSupervisor | None:
        if isinstance(step, Commit) and isinstance(error, ValueError):
            log.error("report_refused", exc_info=error, extra={"worker_id": self.worker_id})
            return self._committed(step, False)
        self._trouble.note("ledger_unavailable", error, worker_id=self.worker_id)
        if isinstance(step, ClaimRequest):
            self._wait(self._asked.pop(0))
        else:
            self._news.append(step)
        return None

    def _committed(self, commit: Commit, ok: bool) -> Committed:
        if not ok:
            self._forget(commit.lease_id)
        for deferral in commit.deferred:
            self._signal.wake_in(deferral.delay_seconds)
        return Committed(commit.lease_id, ok)

    def _standing(self, renewal: Renewal, answer: Answer) -> StandingOf:
        standing = cast("Standing", answer)
        if standing == "fenced":
            self._forget(renewal.lease_id)
        return StandingOf(renewal.lease_id, standing)

    def _leased(self, lease: Lease) -> Leased:
        self.leases[lease.id] = lease.run_id
        needs = self._needs.of(lease)
        leave = self._calls.leased(lease, needs)
        seconds = min(needs.item_timeout_seconds, self._longest_item_seconds)
        begin = None
        if leave is not None or lease.run_id != self._told_run:
            begin = _begin(lease, needs, leave)
        self._told_run = None if leave is not None else lease.run_id  # where calls go may change with each lease
        return Leased(lease.id, begin, lease.packed, lease.ttl_seconds, seconds, lease.alone)

    def _want(self, claim: Claim) -> None:
        self._claims.append(claim)
        self._new_claims += 1

    def _wait(self, claim: Claim) -> None:
        """There was nothing for it; calls may be made again by and by."""
        self._claims.append(claim)
        if (seconds := self._calls.opens_in()) is not None:
            self._signal.wake_in(seconds)

    def _request(self, claim: Claim) -> ClaimRequest:
        shares = self._calls.shares(claim.max_calls)
        return ClaimRequest(self.worker_id, claim.max_items, claim.max_bytes, self._ttl_seconds, self._kinds, shares)

    def _commit_of(self, report: Report) -> Commit:
        """What a report tells of calls counts at once, recorded or not."""
        outcomes = _joined(report.batches)
        if self._calls.reported(report.lease_id, outcomes, report.deferred, report.attempts):
            self._signal.wake()
        if report.final:
            self._forget(report.lease_id)
        return Commit(
            report.lease_id,
            outcomes=outcomes,
            deferred=report.deferred,
            attempts=report.attempts,
            deaths=report.deaths,
            final=report.final,
        )

    def _forget(self, *lease_ids: str) -> None:
        """These leases are over."""
        self._calls.ended(lease_ids)
        for lease_id in list(lease_ids):
            if (run_id := self.leases.pop(lease_id, None)) is not None:
                self._ended_runs.add(run_id)


def _begin(lease: Lease, needs: Needs, leave: Leave | None) -> Begin:
    return Begin(
        lease.run_id,
        lease.kind,
        lease.mode,
        lease.params,
        lease.request_id,
        lease.public_url,
        needs.batch_size,
        lease.deadline,
        *(leave or ()),
    )


def _joined(batches: list[msgspec.Raw]) -> list[Outcome]:
    """The outcomes of all batches, decoded once."""
    if len(batches) == 1:
        return _outcomes.decode(batches[0])
    return [outcome for batch in batches for outcome in _outcomes.decode(batch)]
