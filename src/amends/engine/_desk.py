"""The owner's side of one worker: its messages become calls of the ledger. No sockets, no threads."""

from __future__ import annotations

import json
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from amends.engine._calls import Calls
from amends.engine._gate import Gate
from amends.engine._loading import Processors
from amends.engine._signal import WorkSignal
from amends.engine._wire import (
    Begin,
    Claim,
    Committed,
    Leased,
    Note,
    NoWork,
    Renew,
    Report,
    StandingOf,
    ToOwner,
    ToSupervisor,
)
from amends.engine.processor import Job, Needs
from amends.ledger import ClaimRequest, Commit, Lease, Ledger, Outcome, Run, Share

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
    """Answers one worker.

    ``pending``: the claim that waits for work, None otherwise. leases: id → run, of all that the worker holds. calls: who says
    how many calls may be made, shared by all desks. on_end: told that a lease ended
    after which there was none of its run, so that the run may be done.
    """

    def __init__(
        self,
        worker_id: str,
        ledger: Ledger,
        needs: NeedsOfRuns,
        signal: WorkSignal,
        *,
        ttl_seconds: float,
        longest_item_seconds: float,
        kinds: frozenset[str] = frozenset(),
        calls: Calls | None = None,
        on_end: Callable[[], None] = lambda: None,
    ) -> None:
        self.worker_id = worker_id
        self.pending: Claim | None = None
        self.child_pid: int | None = None
        self.leases: dict[str, str] = {}
        self._ledger = ledger
        self._needs = needs
        self._signal = signal
        self._ttl_seconds = ttl_seconds
        self._longest_item_seconds = longest_item_seconds
        self._kinds = kinds
        self._calls = calls or Calls(Gate(), time.monotonic)
        self._on_end = on_end

    @property
    def run_id(self) -> str | None:
        """The run that the worker took on last, of those it works on."""
        return next(reversed(self.leases.values()), None)

    def answer(self, message: ToOwner) -> list[ToSupervisor]:
        """The replies, in order. A claim for which there is nothing yet stays ``pending``."""
        match message:
            case Claim():
                self.pending = message
                return self.claimed()
            case Renew():
                standing = self._ledger.renew(message.lease_id, self._ttl_seconds)
                if standing == "fenced":
                    self._forget(message.lease_id)
                return [StandingOf(message.lease_id, standing)]
            case Report():
                return self._report(message)
            case Note():
                self.child_pid = message.child_pid
                return []

    def claimed(self) -> list[ToSupervisor]:
        """Try the pending claim; the lease, if there is one."""
        claim = self.pending
        if claim is None:
            return []
        with self._calls.claiming(claim.max_calls) as shares:
            lease = self._ledger.claim(self._request(claim, shares))
            return self._claimed(claim, lease)

    def give_up(self, report: Report) -> list[ToSupervisor]:
        """The reply to a report that could not be recorded: the work is lost, its items come back when the lease lapses."""
        self._forget(report.lease_id)
        self.pending = report.claim
        return [Committed(report.lease_id, False)]

    def release(self, *, lapsed: bool) -> int:
        """The worker is gone: what it held goes back. The number of leases. lapsed: nobody had asked it to go."""
        self._forget(*self.leases)
        self.pending = None
        released = self._ledger.release_owner(self.worker_id, lapsed=lapsed)
        if released:
            self._signal.wake()
            self._on_end()
        return released

    def _report(self, report: Report) -> list[ToSupervisor]:
        commit = Commit(
            report.lease_id,
            outcomes=_joined(report.batches),
            deferred=report.deferred,
            attempts=report.attempts,
            deaths=report.deaths,
            final=report.final,
        )
        if self._calls.reported(report.lease_id, commit.outcomes, report.deferred, report.attempts):
            self._signal.wake()
        run_id = self.leases.get(report.lease_id)
        if report.final:
            self._forget(report.lease_id)
        claim = report.claim
        if claim is None:
            ok, replies = self._ledger.commit(commit), []
        else:
            with self._calls.claiming(claim.max_calls) as shares:
                ok, lease = self._commit_and_claim(commit, self._request(claim, shares))
                replies = self._claimed(claim, lease)
        if not ok:
            self._forget(report.lease_id)
        if report.final and run_id not in self.leases.values():
            self._on_end()
        for deferral in report.deferred:
            self._signal.wake_in(deferral.delay_seconds)
        return [Committed(report.lease_id, ok), *replies]

    def _commit_and_claim(self, commit: Commit, request: ClaimRequest) -> tuple[bool, Lease | None]:
        ok, lease = self._ledger.perform([commit, request])
        for answer in (ok, lease):
            if isinstance(answer, Exception):
                raise answer
        assert isinstance(ok, bool)
        assert lease is None or isinstance(lease, Lease)
        return ok, lease

    def _claimed(self, claim: Claim, lease: Lease | None) -> list[ToSupervisor]:
        """The answer to a claim; none where it waits for work."""
        if lease is not None:
            self.pending = None
            return [self._leased(lease)]
        if (seconds := self._calls.opens_in()) is not None:
            self._signal.wake_in(seconds)
        self.pending = claim if claim.is_waiting else None
        return [] if claim.is_waiting else [NoWork()]

    def _leased(self, lease: Lease) -> Leased:
        self.leases[lease.id] = lease.run_id
        needs = self._needs.of(lease)
        leave = self._calls.leased(lease, needs)
        begin = Begin(
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
        seconds = min(needs.item_timeout_seconds, self._longest_item_seconds)
        return Leased(lease.id, begin, lease.packed, lease.ttl_seconds, seconds, lease.alone)

    def _request(self, claim: Claim, shares: Mapping[int, Share]) -> ClaimRequest:
        return ClaimRequest(self.worker_id, claim.max_items, claim.max_bytes, self._ttl_seconds, self._kinds, shares)

    def _forget(self, *lease_ids: str) -> None:
        self._calls.ended(lease_ids)
        for lease_id in lease_ids:
            self.leases.pop(lease_id, None)


def _joined(batches: list[msgspec.Raw]) -> list[Outcome]:
    """The outcomes of all batches, decoded once."""
    if len(batches) == 1:
        return _outcomes.decode(batches[0])
    return [outcome for batch in batches for outcome in _outcomes.decode(batch)]
