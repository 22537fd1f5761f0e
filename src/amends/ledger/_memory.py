"""The ledger as the plainest Python that is correct: the model that the SQL ledgers are compared with.

It also serves the engine's unit tests and ``amends.testing.simulate``. Nothing here is fast or durable.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from random import Random, SystemRandom

from amends.ledger._credits import CreditEntry, CreditStanding, Funding, check_charge, check_top_up
from amends.ledger._lines import ResultLines, pack_items
from amends.ledger._memory_credits import Accounts
from amends.ledger._memory_run import LAPSES_UNTIL_ALONE, Grant, RunRecord, has_status, size
from amends.ledger._protocol import Also
from amends.ledger._types import (
    Answer,
    ClaimRequest,
    Commit,
    Conservation,
    Ending,
    FailureGroup,
    InvalidTransition,
    ItemRecord,
    ItemStatus,
    Lease,
    LeasedItem,
    Manifest,
    NewItem,
    NewRun,
    Outcome,
    Renewal,
    ResultChunk,
    Run,
    RunNotFound,
    RunState,
    Standing,
    Step,
    TooManyRuns,
)
from amends.problems import Problem

MAX_APPENDED = 10_000
MAX_CHUNK_BYTES = 1024 * 1024

Row = tuple[int, RunRecord, int]
"""A result: its cursor, the run that gave it, the item's seq in that run."""


class MemoryLedger:
    """``Ledger`` in dicts under one lock; gone with the process. ``also`` callbacks receive None.

    clock: wall, seconds since the epoch. monotonic: for leases and deferrals. draw: for fences and fair claims.

    Where the protocol leaves room, all ledgers do as this one:

    - A lease that expired stands until it is reaped: until then it can be renewed and committed under. Renewing a
      ``stopping`` lease extends it too. A commit does not extend its lease.
    - A lease whose items are all reported ends, final or not.
    - Items of a span are leased with 0 attempts, deferred ones with those of their deferral.
    - A lease is ``alone`` by the lapses of its span; a suspect is known by the deaths it is leased with.
    - The outcomes of deleted lines still count and still stand in their lineage.
    - Cancelling or ending a run clears its pause.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        draw: Random | None = None,
    ) -> None:
        self._clock = clock
        self._monotonic = monotonic
        self._draws = draw or SystemRandom()
        self._lock = threading.RLock()
        self._runs: dict[str, RunRecord] = {}
        self._by_lease: dict[str, RunRecord] = {}
        self._made = 0
        self._garbage = 0
        self._calm_until: dict[str, float] = {}
        self._accounts = Accounts()

    # Creating

    def open_run(self, run: NewRun, *, most: int | None = None, also: Also | None = None) -> None:
        with self._lock:
            if run.id in self._runs:
                raise ValueError(f"run {run.id} exists")
            if most is not None and self._unfinished_of(run.workspace_id) >= most:
                raise TooManyRuns
            self._accounts.check_start(run, 1, "pause")
            root_id = run.id if run.parent_id is None else self._visible(run.parent_id).root_id
            _call(also)
            self._made += 1
            self._runs[run.id] = RunRecord(self._made, run, root_id, max_cost=run.max_cost)

    def append(self, run_id: str, items: Sequence[NewItem]) -> None:
        if len(items) > MAX_APPENDED:
            raise ValueError(f"at most {MAX_APPENDED} items a call")
        with self._lock:
            self._receiving(run_id).items.extend(items)

    def seal(self, run_id: str, *, validate: bool, also: Also | None = None) -> Run:
        with self._lock:
            run = self._receiving(run_id)
            run.index()
            run.lay_out()
            self._accounts.check_start(run.new, size(run.pending), run.new.on_credit_exhausted)
            _call(also)
            self._accounts.open(run)
            run.state = "validating"
            if not validate:
                self._enter(run, "in_progress")
            return run.view()

    def abandon(self, run_id: str) -> None:
        with self._lock:
            run = self._runs.get(run_id)
            if run is not None and run.state == "receiving":
                self._forget(run)

    def clean(self, limit: int = 10_000) -> int:
        with self._lock:
            cleaned = min(limit, self._garbage)
            self._garbage -= cleaned
            return cleaned

    def abandon_receiving(self) -> int:
        with self._lock:
            receiving = [run for run in self._runs.values() if run.state == "receiving"]
            for run in receiving:
                self._forget(run)
            return len(receiving)

    # Moving items

    def claim(self, request: ClaimRequest) -> Lease | None:
        with self._lock:
            while (run := self._draw(request)) is not None:
                are_retries = _has_due(run, request, self._monotonic())
                items = self._accounts.affordable(run, request.most(run.no, are_retries=are_retries))
                if items:
                    return self._lease(run, replace(request, max_items=items), are_retries=are_retries)
            return None

    def renew(self, lease_id: str, ttl_seconds: float) -> Standing:
        with self._lock:
            run = self._by_lease.get(lease_id)
            if run is None:
                return "fenced"
            run.grants[lease_id].expires_at = self._monotonic() + ttl_seconds
            return "stopping" if run.is_ending else "held"

    def commit(self, commit: Commit) -> bool:
        with self._lock:
            run = self._by_lease.get(commit.lease_id)
            if run is None:
                return False
            grant = run.grants[commit.lease_id]
            _check_covered(commit, grant)
            self._report(run, grant, commit)
            if commit.final or not grant.remaining:
                self._end_lease(run, grant)
            return True

    def perform(self, steps: Sequence[Step]) -> Sequence[Answer]:
        with self._lock:
            return [self._perform(step) for step in steps]

    def release_owner(self, owner: str, *, lapsed: bool = False) -> int:
        return len(self._end_leases(lambda run, grant: grant.owner == owner, lapsed=lapsed))

    def release_all(self) -> int:
        return len(self._end_leases(lambda run, grant: True))

    def reap(self) -> Sequence[str]:
        now = self._monotonic()
        return self._end_leases(lambda run, grant: grant.expires_at <= now, lapsed=True)

    # Moving runs

    def settle(self, run_id: str, outcomes: Sequence[Outcome]) -> None:
        with self._lock:
            run = self._in(run_id, "in_progress", "validating")
            seqs = [outcome.seq for outcome in outcomes]
            if not _are_distinct(seqs) or not set(seqs) <= set(run.unleased()):
                raise ValueError("an outcome of an item that has one, or of no item")
            run.remove(set(seqs))
            run.record(outcomes, self._clock())

    def start(self, run_id: str) -> None:
        with self._lock:
            self._enter(self._in(run_id, "in_progress", "validating"), "in_progress")

    def cancel(self, run_id: str, *, also: Also | None = None) -> Run:
        with self._lock:
            run = self._in(run_id, "cancelling", "validating", "in_progress", "cancelling", "cancelled")
            _call(also)
            if run.state in ("validating", "in_progress"):
                self._enter(run, "cancelling")
                run.ending, run.paused_reason = "cancelled", None
            return run.view()

    def end(self, run_id: str, ending: Ending, error: Problem | None = None) -> None:
        if ending not in ("failed", "expired"):
            raise ValueError(f"a run is not ended as {ending}")
        with self._lock:
            run = self._in(run_id, "finalizing", "validating", "in_progress")
            self._enter(run, "finalizing")
            run.ending, run.paused_reason, run.error = ending, None, error

    def pause(self, run_id: str, reason: str) -> None:
        with self._lock:
            run = self._in(run_id, "paused", "validating", "in_progress")
            self._accounts.release(run)
            run.paused_reason = reason

    def resume(self, run_id: str) -> None:
        with self._lock:
            self._in(run_id, "resumed", "validating", "in_progress").paused_reason = None

    def extend(self, run_id: str, *, max_cost: int | None = None, also: Also | None = None) -> Run:
        with self._lock:
            run = self._in(run_id, "extended", "validating", "in_progress")
            _call(also)
            if max_cost is not None or run.paused_reason == "cost_cap":
                run.max_cost = max_cost
            run.release_held()
            run.paused_reason = None
            return run.view()

    def fund(self, run_id: str) -> Funding:
        with self._lock:
            return self._accounts.fund(self._in(run_id, "funded", "validating", "in_progress"))

    def sweep(self, run_id: str, status: ItemStatus, problem: Problem, limit: int = 10_000) -> int:
        """Items of spans first, held ones too, then the deferred, each lowest seq first."""
        with self._lock:
            run = self._ending(run_id, "swept")
            seqs = run.unleased()[:limit]
            lines = ResultLines(run.new.id, run.new.request_id, run.new.public_url)
            outcomes = []
            for seq in seqs:
                attempts = run.deferred[seq].attempts if seq in run.deferred else 0
                line = lines.ended(run.items[seq].custom_id, status, problem, attempts=attempts)
                outcomes.append(Outcome(seq, status, problem.slug, attempts, 0, line))
            run.remove(set(seqs))
            run.record(outcomes, self._clock())
            return len(seqs)

    def fence(self, run_id: str) -> int:
        with self._lock:
            run = self._ending(run_id, "fenced")
            return len(self._end_leases(lambda other, grant: other is run))

    def finalize(self, run_id: str) -> bool:
        with self._lock:
            run = self._visible(run_id)
            if run.state not in ("in_progress", "finalizing", "cancelling") or run.is_in_work:
                return False
            if run.state != "in_progress":
                return not run.held
            if run.held:
                if run.paused_reason is None:
                    self._accounts.release(run)
                    run.paused_reason = "limit"
                return False
            self._enter(run, "finalizing")
            run.ending, run.paused_reason = "completed", None
            return True

    def finish(self, run_id: str, manifest: Manifest) -> Run:
        with self._lock:
            run = self._in(run_id, "finished", "finalizing", "cancelling")
            if run.is_in_work or run.held:
                raise InvalidTransition(run.state, "finished")
            assert run.ending is not None
            self._enter(run, run.ending)
            self._accounts.close(run, self._clock())
            run.manifest = manifest
            return run.view()

    # Reading

    def get(self, run_id: str) -> Run | None:
        with self._lock:
            run = self._find(run_id)
            return None if run is None else run.view()

    def find(
        self,
        workspace_id: str,
        *,
        kind: str | None = None,
        state: RunState | None = None,
        limit: int = 20,
        after: str | None = None,
    ) -> Sequence[Run]:
        """In the order of the runs' ids, which sort by time."""
        with self._lock:
            matching = [
                run.view()
                for run in self._all_visible()
                if run.new.workspace_id == workspace_id
                and kind in (None, run.new.kind)
                and state in (None, run.state)
                and (after is None or run.new.id < after)
            ]
        return sorted(matching, key=lambda run: run.id, reverse=True)[:limit]

    def unfinished(self) -> Sequence[Run]:
        with self._lock:
            views = [run.view() for run in self._all_visible()]
        return [view for view in views if not view.is_terminal]

    def children(self, run_id: str) -> Sequence[Run]:
        with self._lock:
            run = self._find(run_id)
            return [] if run is None else [other.view() for other in self._lineage(run) if other.new.id != run.root_id]

    def items(self, run_id: str, *, after: int = -1, limit: int = 10_000) -> Sequence[tuple[int, str, bytes]]:
        with self._lock:
            items = self._visible(run_id).items
            seqs = range(after + 1, min(after + 1 + limit, len(items)))
            return [(seq, items[seq].custom_id, items[seq].payload) for seq in seqs]

    def item(self, run_id: str, custom_id: str) -> ItemRecord | None:
        with self._lock:
            run = self._find(run_id)
            seq = None if run is None else run.seqs.get(custom_id)
            return None if run is None or seq is None else run.item_record(seq)

    def results(
        self,
        run_id: str,
        *,
        after: int = -1,
        status: ItemStatus | None = None,
        limit: int = 5_000,
        partial: bool = False,
        lineage: bool = False,
    ) -> ResultChunk:
        """With lineage: of the whole lineage, whichever of its runs is asked; a line names the run that gave it."""
        with self._lock:
            run = self._visible(run_id)
            rows = sorted(self._rows(run, lineage=lineage), key=lambda row: row[0])
            if partial:
                rows = [row for place, row in enumerate(rows) if row[0] == place]
            kept = (row for row in rows if row[0] > after and has_status(row[1].outcomes[row[2]], status))
            return _chunk(((cursor, giver.line(seq)) for cursor, giver, seq in kept if giver.has_lines), limit)

    def results_by_completion(
        self, run_id: str, *, after: int = -1, status: ItemStatus | None = None, limit: int = 5_000
    ) -> ResultChunk:
        with self._lock:
            run = self._visible(run_id)
            ended = enumerate(run.outcomes if run.has_lines else ())
            kept = ((cursor, seq) for cursor, seq in ended if cursor > after and has_status(run.outcomes[seq], status))
            return _chunk(((cursor, run.line(seq, cursor=cursor)) for cursor, seq in kept), limit)

    def failures(self, run_id: str, *, examples: int = 3, lineage: bool = False) -> Sequence[FailureGroup]:
        with self._lock:
            groups: dict[str, list[bytes | None]] = {}
            for _, giver, seq in sorted(self._rows(self._visible(run_id), lineage=lineage), key=lambda row: row[0]):
                slug = giver.outcomes[seq].outcome.problem
                if slug is not None:
                    groups.setdefault(slug, []).append(giver.line(seq) if giver.has_lines else None)
        found = [
            FailureGroup(slug, len(lines), tuple(line for line in lines if line is not None)[:examples])
            for slug, lines in groups.items()
        ]
        return sorted(found, key=lambda group: (-group.count, group.problem))

    def failed_items(
        self,
        run_id: str,
        *,
        types: frozenset[str] | None = None,
        custom_ids: frozenset[str] | None = None,
        after: int = -1,
        limit: int = 10_000,
    ) -> Sequence[tuple[int, str, bytes]]:
        """Those the run itself has, with the payload that failed last (a retry may have replaced it)."""
        with self._lock:
            run, found = self._visible(run_id), []
            own = {run.root_seq(seq) for seq in range(len(run.items))}
            for cursor, giver, seq in sorted(self._rows(run, lineage=True), key=lambda row: row[0]):
                item, slug = giver.items[seq], giver.outcomes[seq].outcome.problem
                is_wanted = (types is None or slug in types) and (custom_ids is None or item.custom_id in custom_ids)
                if slug is not None and is_wanted and cursor > after and cursor in own:
                    found.append((cursor, item.custom_id, item.payload))
            return found[:limit]

    def held_by_children(self, run_id: str, custom_ids: Iterable[str]) -> Sequence[str]:
        """In the order given. The root is nobody's child; a child holds its items until it ends as a whole."""
        with self._lock:
            run = self._visible(run_id)
            unfinished = [r for r in self._lineage(run) if r.new.id != run.root_id and not r.view().is_terminal]
            return [custom_id for custom_id in custom_ids if any(custom_id in r.seqs for r in unfinished)]

    def manifest(self, run_id: str) -> Manifest | None:
        with self._lock:
            run = self._find(run_id)
            return None if run is None else run.manifest

    def conservation(self, run_id: str) -> Conservation:
        with self._lock:
            return self._visible(run_id).conservation()

    def calm(self, upstream: str, seconds: float) -> None:
        with self._lock:
            self._calm_until[upstream] = max(self._calm_until.get(upstream, 0.0), self._clock() + seconds)

    def cool_downs(self) -> Mapping[str, float]:
        with self._lock:
            now = self._clock()
            return {upstream: until - now for upstream, until in self._calm_until.items() if until > now}

    def backlog(self) -> Mapping[str, float]:
        with self._lock:
            now = self._monotonic()
            runs = [run for run in self._all_visible() if not run.view().is_terminal]
            dues = [w.due_at - now for run in runs if _is_claimable(run) for w in run.deferred.values()]
            return {
                "pending": sum(size(run.pending) for run in runs),
                "leased": sum(run.leased for run in runs),
                "deferred": sum(len(run.deferred) for run in runs),
                "runs": len(runs),
                "next_due_seconds": max(min(dues, default=math.inf), 0.0),
            }

    # Credits

    def top_up(self, entry: CreditEntry, *, also: Also | None = None) -> None:
        check_top_up(entry)
        self._move(entry, also)

    def charge(self, entry: CreditEntry, *, also: Also | None = None) -> None:
        check_charge(entry)
        self._move(entry, also)

    def _move(self, entry: CreditEntry, also: Also | None) -> None:
        with self._lock:
            _call(also)
            self._accounts.move(entry)

    def credit(self, workspace_id: str) -> CreditStanding:
        with self._lock:
            return self._accounts.standing(workspace_id, self._runs.values())

    def credit_entries(self, workspace_id: str, *, limit: int = 20, after: str | None = None) -> Sequence[CreditEntry]:
        with self._lock:
            return self._accounts.find(workspace_id, limit, after)

    # Retention

    def outdated(
        self, *, lines_before: float, runs_before: float, limit: int = 100
    ) -> tuple[Sequence[str], Sequence[str]]:
        with self._lock:
            views = sorted((run.view() for run in self._all_visible()), key=lambda run: run.ended_at or math.inf)
        newest = {view.root_id: -math.inf for view in views}
        for view in views:
            newest[view.root_id] = max(newest[view.root_id], math.inf if view.ended_at is None else view.ended_at)
        ended = [view for view in views if view.is_terminal]
        lines = [view.id for view in ended if newest[view.root_id] < lines_before and view.lines_deleted_at is None]
        return lines[:limit], [view.id for view in ended if newest[view.root_id] < runs_before][:limit]

    def delete_lines(self, run_id: str) -> None:
        with self._lock:
            run = self._terminal(run_id, "deleted")
            if run.has_lines:
                run.times["lines_deleted_at"] = self._clock()
                self._garbage += len(run.outcomes)

    def delete_run(self, run_id: str) -> None:
        with self._lock:
            self._forget(self._terminal(run_id, "deleted"))

    def references(self, digests: Iterable[str]) -> set[str]:
        with self._lock:
            pointers = {item.payload for run in self._runs.values() for item in run.items}
            pointers |= {
                kept.outcome.line for run in self._runs.values() if run.has_lines for kept in run.outcomes.values()
            }
            return {digest for digest in digests if b"@" + digest.encode() in pointers}

    def close(self) -> None:
        """Nothing to close."""

    # Runs by id and state

    def _find(self, run_id: str) -> RunRecord | None:
        run = self._runs.get(run_id)
        return None if run is None or run.state == "receiving" else run

    def _visible(self, run_id: str) -> RunRecord:
        run = self._find(run_id)
        if run is None:
            raise RunNotFound(run_id)
        return run

    def _receiving(self, run_id: str) -> RunRecord:
        run = self._runs.get(run_id)
        if run is None or run.state != "receiving":
            raise RunNotFound(run_id)
        return run

    def _in(self, run_id: str, wanted: str, *states: RunState) -> RunRecord:
        run = self._visible(run_id)
        if run.state not in states:
            raise InvalidTransition(run.state, wanted)
        return run

    def _terminal(self, run_id: str, wanted: str) -> RunRecord:
        return self._in(run_id, wanted, "completed", "failed", "cancelled", "expired")

    def _ending(self, run_id: str, wanted: str) -> RunRecord:
        run = self._in(run_id, wanted, "cancelling", "finalizing")
        if run.ending == "completed":
            raise InvalidTransition(run.state, wanted)
        return run

    def _unfinished_of(self, workspace_id: str) -> int:
        return sum(run.new.workspace_id == workspace_id and not run.view().is_terminal for run in self._runs.values())

    def _all_visible(self) -> Sequence[RunRecord]:
        return [run for run in self._runs.values() if run.state != "receiving"]

    def _enter(self, run: RunRecord, state: RunState) -> None:
        run.state = state
        run.times[f"{state}_at"] = self._clock()

    def _forget(self, run: RunRecord) -> None:
        del self._runs[run.new.id]
        self._garbage += len(run.items) + len(run.outcomes)

    # Leases

    def _perform(self, step: Step) -> Answer:
        try:
            match step:
                case Commit():
                    return self.commit(step)
                case ClaimRequest():
                    return self.claim(step)
                case Renewal():
                    return self.renew(step.lease_id, step.ttl_seconds)
        except Exception as error:
            return error

    def _draw(self, request: ClaimRequest) -> RunRecord | None:
        """A workspace with work at random, then one of its runs by the weight 2**priority."""
        now = self._monotonic()
        kinds = request.kinds
        ready = [
            run for run in self._runs.values() if (not kinds or run.new.kind in kinds) and _has_work(run, request, now)
        ]
        if not ready:
            return None
        workspace_id = self._draws.choice(sorted({run.new.workspace_id for run in ready}))
        ready = [run for run in ready if run.new.workspace_id == workspace_id]
        return self._draws.choices(ready, [2.0**run.new.priority for run in ready])[0]

    def _lease(self, run: RunRecord, request: ClaimRequest, *, are_retries: bool) -> Lease:
        now = self._monotonic()
        attempts: dict[int, int] | None = (
            run.take_due(now, request.max_items, request.max_bytes) if are_retries else None
        )
        seqs: Sequence[int]
        if attempts is not None:
            seqs, lapses = list(attempts), 0
        else:
            head = run.take_head(request.max_items, request.max_bytes)
            seqs, lapses = range(head.lo, head.hi), head.lapses
        fence = f"{self._draws.getrandbits(128):032x}"
        grant = Grant(fence, request.owner, now + request.ttl_seconds, set(seqs), lapses, attempts)
        run.grants[fence] = grant
        self._by_lease[fence] = run
        self._accounts.lease(run, len(seqs))
        return _view_lease(run, grant, seqs, request.ttl_seconds)

    def _report(self, run: RunRecord, grant: Grant, commit: Commit) -> None:
        now = self._monotonic()
        self._accounts.settle(run, len(commit.outcomes) + len(commit.deferred), commit.outcomes)
        run.record(commit.outcomes, self._clock())
        for deferral in commit.deferred:
            run.defer(deferral, now)
        run.keep_attempts(commit.attempts)
        for seq in commit.deaths:
            run.deaths[seq] = run.deaths.get(seq, 0) + 1
        grant.remaining -= {outcome.seq for outcome in commit.outcomes} | {deferral.seq for deferral in commit.deferred}

    def _end_leases(self, ends: Callable[[RunRecord, Grant], bool], *, lapsed: bool = False) -> Sequence[str]:
        with self._lock:
            pairs = [(run, run.grants[lease_id]) for lease_id, run in self._by_lease.items()]
            ended = [(run, grant) for run, grant in pairs if ends(run, grant)]
            for run, grant in ended:
                self._end_lease(run, grant, lapsed=lapsed)
            return [grant.id for _, grant in ended]

    def _end_lease(self, run: RunRecord, grant: Grant, *, lapsed: bool = False) -> None:
        del self._by_lease[grant.id]
        self._accounts.lease(run, -len(grant.remaining))
        run.give_back(grant, self._monotonic(), lapsed=lapsed)

    # Lineages

    def _lineage(self, run: RunRecord) -> Sequence[RunRecord]:
        """Root and retries, oldest first."""
        return [other for other in self._all_visible() if other.root_id == run.root_id]

    def _rows(self, run: RunRecord, *, lineage: bool) -> Iterable[Row]:
        """The run's outcomes, or the newest of each item of its lineage, in no order."""
        if not lineage:
            return [(seq, run, seq) for seq in run.outcomes]
        newest: dict[int, Row] = {}
        for other in self._lineage(run):
            for seq in other.outcomes:
                newest[other.root_seq(seq)] = (other.root_seq(seq), other, seq)
        return newest.values()


def _call(also: Also | None) -> None:
    """Before anything is changed, so that a callback that raises changes nothing."""
    if also is not None:
        also(None)


def _are_distinct(seqs: Sequence[int]) -> bool:
    return len(set(seqs)) == len(seqs)


def _check_covered(commit: Commit, grant: Grant) -> None:
    reported = [outcome.seq for outcome in commit.outcomes] + [deferral.seq for deferral in commit.deferred]
    if not _are_distinct(reported):
        raise ValueError("an item is reported twice in one commit")
    tried = {attempt.seq for attempt in commit.attempts} | set(commit.deaths)
    uncovered = ({*reported} | tried) - grant.remaining
    if uncovered:
        raise ValueError(f"items that the lease does not hold: {sorted(uncovered)}")


def _is_claimable(run: RunRecord) -> bool:
    return run.state == "in_progress" and run.paused_reason is None


def _has_work(run: RunRecord, request: ClaimRequest, now: float) -> bool:
    has_span = bool(run.pending) and request.most(run.no, are_retries=False) > 0
    return _is_claimable(run) and (has_span or _has_due(run, request, now))


def _has_due(run: RunRecord, request: ClaimRequest, now: float) -> bool:
    """Whether the claim may take an item that waited for another try."""
    is_due = any(waiting.due_at <= now for waiting in run.deferred.values())
    return is_due and request.most(run.no, are_retries=True) > 0


def _view_lease(run: RunRecord, grant: Grant, seqs: Sequence[int], ttl_seconds: float) -> Lease:
    new, attempts = run.new, grant.attempts or {}
    items = [
        LeasedItem(seq, run.items[seq].custom_id, run.items[seq].payload, attempts.get(seq, 0), run.deaths.get(seq, 0))
        for seq in seqs
    ]
    alone = grant.lapses >= LAPSES_UNTIL_ALONE
    return Lease(
        grant.id, new.id, run.no, new.kind, new.mode, new.params, new.request_id, new.public_url, new.deadline,
        pack_items(items), len(items), ttl_seconds, alone,
    )  # fmt: skip


def _chunk(lines: Iterator[tuple[int, bytes]], limit: int) -> ResultChunk:
    """About ``limit`` lines or ``MAX_CHUNK_BYTES``, whichever is less."""
    taken: list[bytes] = []
    last, size_bytes = None, 0
    for cursor, line in lines:
        taken.append(line + b"\n")
        last, size_bytes = cursor, size_bytes + len(line) + 1
        if len(taken) == limit or size_bytes >= MAX_CHUNK_BYTES:
            break
    return ResultChunk(b"".join(taken), len(taken), last)
