"""The owner's side of one worker: its messages become calls of the ledger. No sockets, no threads."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

import msgspec

from amends.engine._loading import Processors
from amends.engine._signal import WorkSignal
from amends.engine._wire import Begin, Claim, Committed, Leased, Note, Renew, Report, StandingOf, ToOwner, ToSupervisor
from amends.engine.processor import Job, Needs
from amends.ledger import ClaimRequest, Commit, Lease, Ledger, Outcome

_outcomes = msgspec.msgpack.Decoder(list[Outcome])
_RUNS_REMEMBERED: Final = 64


class NeedsOfRuns:
    """What the processors say that the jobs need, asked once a run. A processor that cannot say gets the defaults."""

    def __init__(self, processors: Processors) -> None:
        self._processors = processors
        self._known: OrderedDict[str, Needs] = OrderedDict()

    def of(self, lease: Lease) -> Needs:
        needs = self._known.get(lease.run_id)
        if needs is None:
            needs = self._known[lease.run_id] = self._ask(lease)
            if len(self._known) > _RUNS_REMEMBERED:
                self._known.popitem(last=False)
        return needs

    def _ask(self, lease: Lease) -> Needs:
        try:
            job = Job(lease.run_id, lease.mode, json.loads(lease.params or b"{}"), self._processors.settings)
            return self._processors[lease.kind].needs(job)
        except Exception:  # the child meets the same trouble and gives every item its problem
            return Needs()


class Desk:
    """Answers one worker.

    ``pending``: the claim that waits for work, None otherwise. on_end: told that a lease ended
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
        on_end: Callable[[], None] = lambda: None,
    ) -> None:
        self.worker_id = worker_id
        self.pending: ClaimRequest | None = None
        self.child_pid: int | None = None
        self.lease_id: str | None = None
        self.run_id: str | None = None
        self._ledger = ledger
        self._needs = needs
        self._signal = signal
        self._ttl_seconds = ttl_seconds
        self._longest_item_seconds = longest_item_seconds
        self._kinds = kinds
        self._on_end = on_end

    def answer(self, message: ToOwner) -> list[ToSupervisor]:
        """The replies, in order. A claim for which there is nothing yet stays ``pending``."""
        match message:
            case Claim():
                self._forget()
                self.pending = self._request(message)
                return self.claimed()
            case Renew():
                return [StandingOf(message.lease_id, self._ledger.renew(message.lease_id, self._ttl_seconds))]
            case Report():
                return self._report(message)
            case Note():
                self.child_pid = message.child_pid
                return []

    def claimed(self) -> list[ToSupervisor]:
        """Try the pending claim; the lease, if there is one."""
        if self.pending is None:
            return []
        lease = self._ledger.claim(self.pending)
        return [] if lease is None else [self._leased(lease)]

    def give_up(self, report: Report) -> list[ToSupervisor]:
        """The reply to a report that could not be recorded: the work is lost, its items come back when the lease lapses."""
        if report.claim is not None:
            self._forget()
            self.pending = self._request(report.claim)
        return [Committed(report.lease_id, False)]

    def release(self, *, lapsed: bool) -> int:
        """The worker is gone: what it held goes back. The number of leases. lapsed: nobody had asked it to go."""
        self._forget()
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
        if report.claim is None:
            replies: list[ToSupervisor] = [Committed(report.lease_id, self._ledger.commit(commit))]
        else:
            request = self._request(report.claim)
            ok, lease = self._commit_and_claim(commit, request)
            if lease is None or lease.run_id != self.run_id:
                self._on_end()
            self._forget()
            self.pending = request
            replies = [Committed(report.lease_id, ok)]
            if lease is not None:
                replies.append(self._leased(lease))
        self._spread(report)
        return replies

    def _commit_and_claim(self, commit: Commit, request: ClaimRequest) -> tuple[bool, Lease | None]:
        ok, lease = self._ledger.perform([commit, request])
        for answer in (ok, lease):
            if isinstance(answer, Exception):
                raise answer
        assert isinstance(ok, bool)
        assert lease is None or isinstance(lease, Lease)
        return ok, lease

    def _spread(self, report: Report) -> None:
        for deferral in report.deferred:
            self._signal.wake_in(deferral.delay_seconds)
        if report.final and report.claim is None:
            self._forget()
            self._on_end()

    def _leased(self, lease: Lease) -> Leased:
        self.pending = None
        self.lease_id, self.run_id = lease.id, lease.run_id
        needs = self._needs.of(lease)
        begin = Begin(
            lease.run_id,
            lease.kind,
            lease.mode,
            lease.params,
            lease.request_id,
            lease.public_url,
            needs.batch_size,
            lease.deadline,
        )
        seconds = min(needs.item_timeout_seconds, self._longest_item_seconds)
        return Leased(lease.id, begin, lease.packed, lease.ttl_seconds, seconds, lease.alone)

    def _request(self, claim: Claim) -> ClaimRequest:
        return ClaimRequest(self.worker_id, claim.max_items, claim.max_bytes, self._ttl_seconds, self._kinds)

    def _forget(self) -> None:
        self.lease_id = self.run_id = None


def _joined(batches: list[msgspec.Raw]) -> list[Outcome]:
    """The outcomes of all batches, decoded once."""
    if len(batches) == 1:
        return _outcomes.decode(batches[0])
    return [outcome for batch in batches for outcome in _outcomes.decode(batch)]
