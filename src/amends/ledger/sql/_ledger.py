"""The ledger in SQL: each method is one transaction or one snapshot. What its dialects do differently stands in their statements."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from random import Random
from typing import TypeVar

from amends.database import Database, Duplicate, Transaction, load_queries
from amends.ledger._credits import CreditEntry, CreditStanding, Funding, check_charge, check_top_up
from amends.ledger._lines import ResultLines
from amends.ledger._protocol import Also, Told
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
    Manifest,
    NewItem,
    NewRun,
    Outcome,
    Renewal,
    ResultChunk,
    Run,
    RunState,
    Standing,
    Step,
)
from amends.ledger.sql import _creating, _credits, _leasing, _reading, _runs
from amends.ledger.sql._creating import CREATING
from amends.ledger.sql._keys import contiguous
from amends.ledger.sql._leasing import LEASING
from amends.ledger.sql._runs import RUNS, run_of, visible
from amends.problems import Problem

T = TypeVar("T")

_PORTION_ITEMS = 2_000
UPSTREAMS = load_queries("amends.ledger.sql", "upstreams.sql")


class SqlLedger:
    """Implements ``amends.ledger.Ledger`` on either dialect.

    clock: wall time, for what is shown and for deadlines. draw: makes claims fair. told: of what becomes of runs.
    """

    def __init__(
        self,
        database: Database,
        *,
        clock: Callable[[], float] = time.time,
        draw: Random | None = None,
        told: Told = lambda tx, run: None,
    ) -> None:
        self._database = database
        self._clock = clock
        self._told = told
        self._draw = draw or Random()

    def _now_ms(self, tx: Transaction) -> int:
        """Now on the clock of leases and deferrals."""
        raise NotImplementedError

    def _is_indexed_at_once(self, total: int) -> bool:
        """Whether so many custom_ids are indexed in one transaction, else in slices, so that nobody waits long for the writer."""
        return total <= 2 * _creating.SLICE

    # Creating

    def open_run(self, run: NewRun, *, most: int | None = None, also: Also | None = None) -> None:
        def work(tx: Transaction) -> None:
            _creating.open_run(tx, run, most)
            _together(tx, also)

        self._database.write(work)

    def append(self, run_id: str, items: Sequence[NewItem]) -> None:
        self._database.write(lambda tx: _creating.append(tx, run_id, items))

    def seal(self, run_id: str, *, validate: bool, also: Also | None = None) -> Run:
        run_no, total = self._read(lambda tx: _creating.receiving(tx, run_id))
        self._index_names(run_no, total)
        spans = self._lay_out(run_no, total)
        held = sum(span.hi - span.lo + 1 for span in spans if span.is_held)

        def work(tx: Transaction) -> Run:
            _creating.receiving(tx, run_id, to_move=True)
            if len(spans) <= _creating.SLICE:
                _creating.insert_spans(tx, run_no, spans)
            state = "validating" if validate else "in_progress"
            tx.execute(CREATING.seal, {"run_no": run_no, "state": state, "held": held, "now": self._clock()})
            run = visible(tx, run_id)
            _credits.open_hold(tx, run)
            _together(tx, also)
            return run

        return self._database.write(work)

    def abandon(self, run_id: str) -> None:
        self._database.write(lambda tx: _runs.abandon(tx, run_id))

    def abandon_receiving(self) -> int:
        return self._database.write(_runs.abandon_receiving)

    def clean(self, limit: int = 10_000) -> int:
        return self._database.write(lambda tx: _runs.clean(tx, limit))

    # Moving items

    def claim(self, request: ClaimRequest) -> Lease | None:
        return self._database.write(lambda tx: self._claim(tx, request))

    def renew(self, lease_id: str, ttl_seconds: float) -> Standing:
        return self._database.write(lambda tx: self._renew(tx, lease_id, ttl_seconds))

    def commit(self, commit: Commit) -> bool:
        return self._database.write(lambda tx: self._commit(tx, commit))

    def perform(self, steps: Sequence[Step]) -> Sequence[Answer]:
        """In requests to the writer that do not hold it long; should a step fail, each of its portion in one of its own."""
        return [answer for portion in _portions(steps) for answer in self._perform_all(portion)]

    def release_owner(self, owner: str, *, lapsed: bool = False) -> int:
        return self._give_back(lambda tx: tx.execute(LEASING.leases_of_owner, (owner,)), lapses=int(lapsed))

    def release_all(self) -> int:
        return self._give_back(lambda tx: tx.execute(LEASING.all_leases))

    def reap(self) -> Sequence[str]:
        def work(tx: Transaction) -> Sequence[str]:
            now_ms = self._now_ms(tx)
            lapsed = [row[0] for row in tx.execute(LEASING.expired_leases, (now_ms,))]
            _leasing.give_back_all(tx, lapsed, now_ms, lapses=1)
            return lapsed

        return self._database.write(work)

    # Moving runs

    def settle(self, run_id: str, outcomes: Sequence[Outcome]) -> None:
        def work(tx: Transaction) -> None:
            run = _runs.in_state(tx, run_id, ("validating",), "validating")
            seqs = sorted(outcome.seq for outcome in outcomes)
            for lo, hi in contiguous(seqs):
                _leasing.carve(tx, run.no, lo, hi)
            _leasing.write_outcomes(tx, run.no, outcomes, seqs, self._clock(), start=run.counts.ended)

        self._database.write(work)

    def start(self, run_id: str) -> None:
        def work(tx: Transaction) -> None:
            run = _runs.in_state(tx, run_id, ("validating",), "in_progress")
            tx.execute(RUNS.start, {"run_no": run.no, "now": self._clock()})

        self._database.write(work)

    def cancel(self, run_id: str, *, also: Also | None = None) -> Run:
        def work(tx: Transaction) -> Run:
            run = _runs.cancel(tx, run_id, self._clock())
            _together(tx, also)
            return run

        return self._database.write(work)

    def end(self, run_id: str, ending: Ending, error: Problem | None = None) -> None:
        self._database.write(lambda tx: _runs.end(tx, run_id, ending, error, self._clock()))

    def pause(self, run_id: str, reason: str) -> None:
        self._set_paused(run_id, reason)

    def resume(self, run_id: str) -> None:
        self._set_paused(run_id, None)

    def extend(self, run_id: str, *, max_cost: int | None = None, also: Also | None = None) -> Run:
        def work(tx: Transaction) -> Run:
            run = _runs.extend(tx, run_id, max_cost)
            _together(tx, also)
            return run

        return self._database.write(work)

    def fund(self, run_id: str) -> Funding:
        def run_in(tx: Transaction) -> Run:
            return _runs.in_state(tx, run_id, ("validating", "in_progress"), "funded")

        # Asked often of a run that waits: as long as nothing changed, nothing is written.
        unchanged = self._read(lambda tx: _credits.unchanged(tx, run_in(tx)))
        if unchanged is not None:
            return unchanged
        return self._database.write(lambda tx: _credits.fund(tx, run_in(tx)))

    def sweep(self, run_id: str, status: ItemStatus, problem: Problem, limit: int = 10_000) -> int:
        def work(tx: Transaction) -> int:
            run = _runs.to_move(tx, run_id)
            if run.ending in (None, "completed") or run.is_terminal:
                raise InvalidTransition(run.state, "swept")
            ranges, deferred = _leasing.sweepable(tx, run.no, limit)
            named = _reading.custom_ids(tx, run.no, ranges, list(deferred))
            for lo, hi in ranges:
                _leasing.carve(tx, run.no, lo, hi)
            if deferred:
                _leasing.drop_deferred(tx, run.no, list(deferred))
            outcomes = _swept(run, named, deferred, status, problem)
            if outcomes:
                seqs = sorted(seq for seq, _ in named)
                _leasing.write_outcomes(tx, run.no, outcomes, seqs, self._clock(), start=run.counts.ended)
            return len(outcomes)

        return self._database.write(work)

    def fence(self, run_id: str) -> int:
        def work(tx: Transaction) -> int:
            run = _runs.to_move(tx, run_id)
            if run.ending in (None, "completed") or run.is_terminal:
                raise InvalidTransition(run.state, "fenced")
            leases = [row[0] for row in tx.execute(LEASING.leases_of_run, (run.no,))]
            return _leasing.give_back_all(tx, leases, self._now_ms(tx))

        return self._database.write(work)

    def finalize(self, run_id: str) -> bool:
        return self._database.write(
            lambda tx: _runs.finalize(tx, run_id, self._clock(), lambda run_no: self._tell(tx, run_no))
        )

    def finish(self, run_id: str, manifest: Manifest) -> Run:
        def work(tx: Transaction) -> Run:
            run = _runs.finish(tx, run_id, manifest, self._clock())
            self._told(tx, run)
            return run

        return self._database.write(work)

    # Reading

    def get(self, run_id: str) -> Run | None:
        def work(tx: Transaction) -> Run | None:
            row = tx.one(RUNS.run_by_id, {"id": run_id})
            return None if row is None else run_of(row)

        return self._read(work)

    def find(
        self,
        workspace_id: str,
        *,
        kind: str | None = None,
        state: RunState | None = None,
        limit: int = 20,
        after: str | None = None,
    ) -> Sequence[Run]:
        parameters = {"workspace_id": workspace_id, "kind": kind, "state": state, "limit": limit, "after": after}
        return self._read(lambda tx: [run_of(row) for row in tx.execute(RUNS.find, parameters)])

    def unfinished(self) -> Sequence[Run]:
        return self._read(lambda tx: [run_of(row) for row in tx.execute(RUNS.unfinished)])

    def children(self, run_id: str) -> Sequence[Run]:
        return self._read(lambda tx: [run_of(row) for row in tx.execute(RUNS.children, {"id": run_id})])

    def items(self, run_id: str, *, after: int = -1, limit: int = 10_000) -> Sequence[tuple[int, str, bytes]]:
        return self._read(lambda tx: _reading.items(tx, visible(tx, run_id), after, limit))

    def item(self, run_id: str, custom_id: str) -> ItemRecord | None:
        def work(tx: Transaction) -> ItemRecord | None:
            row = tx.one(RUNS.run_by_id, {"id": run_id})
            return None if row is None else _reading.item(tx, run_of(row), custom_id)

        return self._read(work)

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
        def work(tx: Transaction) -> ResultChunk:
            run = visible(tx, run_id)
            if lineage and _reading.has_children(tx, run.root_id):
                root = visible(tx, run.root_id)
                return _reading.lineage_results(tx, root, after, status, limit, partial)
            return _reading.results(tx, run, after, status, limit, partial)

        return self._read(work)

    def results_by_completion(
        self, run_id: str, *, after: int = -1, status: ItemStatus | None = None, limit: int = 5_000
    ) -> ResultChunk:
        return self._read(lambda tx: _reading.results_by_completion(tx, visible(tx, run_id), after, status, limit))

    def failures(self, run_id: str, *, examples: int = 3, lineage: bool = False) -> Sequence[FailureGroup]:
        def work(tx: Transaction) -> Sequence[FailureGroup]:
            run = visible(tx, run_id)
            if lineage and _reading.has_children(tx, run.root_id):
                return _reading.lineage_failures(tx, visible(tx, run.root_id), examples)
            return _reading.failures(tx, run, examples)

        return self._read(work)

    def failed_items(
        self,
        run_id: str,
        *,
        types: frozenset[str] | None = None,
        custom_ids: frozenset[str] | None = None,
        after: int = -1,
        limit: int = 10_000,
    ) -> Sequence[tuple[int, str, bytes]]:
        return self._read(lambda tx: _reading.failed_items(tx, visible(tx, run_id), types, custom_ids, after, limit))

    def held_by_children(self, run_id: str, custom_ids: Iterable[str]) -> Sequence[str]:
        return self._read(lambda tx: _reading.held_by_children(tx, visible(tx, run_id), custom_ids))

    def manifest(self, run_id: str) -> Manifest | None:
        text = self._read(lambda tx: tx.value(RUNS.manifest, (run_id,)))
        return None if text is None else _runs.manifest_of(text)

    def conservation(self, run_id: str) -> Conservation:
        return self._read(lambda tx: _runs.conservation(tx, run_id))

    def backlog(self) -> Mapping[str, float]:
        row, now_ms = self._read(lambda tx: (tx.one(RUNS.backlog), self._now_ms(tx)))
        assert row is not None
        pending, leased, deferred, runs, due_ms = row
        wait = float("inf") if due_ms is None else max(0.0, (due_ms - now_ms) / 1000)
        return {"pending": pending, "leased": leased, "deferred": deferred, "runs": runs, "next_due_seconds": wait}

    # Upstreams

    def calm(self, upstream: str, seconds: float) -> None:
        def work(tx: Transaction) -> None:
            now = self._clock()
            tx.execute(UPSTREAMS.drop_over, {"now": now})
            tx.execute(UPSTREAMS.calm, {"name": upstream, "until": now + seconds})

        self._database.write(work)

    def cool_downs(self) -> Mapping[str, float]:
        return dict(self._read(lambda tx: list(tx.execute(UPSTREAMS.cool_downs, {"now": self._clock()}))))

    # Credits

    def top_up(self, entry: CreditEntry, *, also: Also | None = None) -> None:
        check_top_up(entry)
        self._move(entry, also)

    def charge(self, entry: CreditEntry, *, also: Also | None = None) -> None:
        check_charge(entry)
        self._move(entry, also)

    def _move(self, entry: CreditEntry, also: Also | None) -> None:
        def work(tx: Transaction) -> None:
            _credits.move(tx, entry)
            _together(tx, also)

        self._database.write(work)

    def credit(self, workspace_id: str) -> CreditStanding:
        return self._read(lambda tx: _credits.standing(tx, workspace_id))

    def credit_entries(self, workspace_id: str, *, limit: int = 20, after: str | None = None) -> Sequence[CreditEntry]:
        return self._read(lambda tx: _credits.entries(tx, workspace_id, limit, after))

    # Retention

    def outdated(
        self, *, lines_before: float, runs_before: float, limit: int = 100
    ) -> tuple[Sequence[str], Sequence[str]]:
        def work(tx: Transaction) -> tuple[Sequence[str], Sequence[str]]:
            lines = [row[0] for row in tx.execute(RUNS.outdated_lines, {"before": lines_before, "limit": limit})]
            return lines, [row[0] for row in tx.execute(RUNS.outdated_runs, {"before": runs_before, "limit": limit})]

        return self._read(work)

    def delete_lines(self, run_id: str) -> None:
        self._database.write(lambda tx: _runs.delete_lines(tx, run_id, self._clock()))

    def delete_run(self, run_id: str) -> None:
        self._database.write(lambda tx: _runs.delete_run(tx, run_id))

    def references(self, digests: Iterable[str]) -> set[str]:
        return self._read(lambda tx: _runs.references(tx, digests))

    def close(self) -> None:
        """The database belongs to whoever opened it."""

    def _read(self, work: Callable[[Transaction], T]) -> T:
        with self._database.read() as tx:
            return work(tx)

    def _claim(self, tx: Transaction, request: ClaimRequest) -> Lease | None:
        return _leasing.claim(tx, request, self._now_ms(tx), self._draw, lambda run_no: self._tell(tx, run_no))

    def _commit(self, tx: Transaction, commit: Commit) -> bool:
        return _leasing.commit(tx, commit, self._clock(), self._now_ms(tx))

    def _renew(self, tx: Transaction, lease_id: str, ttl_seconds: float) -> Standing:
        lease = _leasing.held(tx, lease_id)
        if lease is None:
            return "fenced"
        tx.execute(LEASING.renew, {"id": lease_id, "expires_ms": self._now_ms(tx) + int(ttl_seconds * 1000)})
        return "held" if lease.state == "in_progress" else "stopping"

    def _perform_all(self, steps: Sequence[Step]) -> Sequence[Answer]:
        try:
            return self._database.write(lambda tx: [self._perform(tx, step) for step in steps])
        except Exception:
            requests = [self._database.submit(partial(self._perform, step=step)) for step in steps]
        return [_answer(request) for request in requests]

    def _perform(self, tx: Transaction, step: Step) -> Answer:
        match step:
            case Commit():
                return self._commit(tx, step)
            case ClaimRequest():
                return self._claim(tx, step)
            case Renewal():
                return self._renew(tx, step.lease_id, step.ttl_seconds)

    def _give_back(self, which: Callable[[Transaction], Iterable[tuple[str]]], *, lapses: int = 0) -> int:
        def work(tx: Transaction) -> int:
            return _leasing.give_back_all(tx, [row[0] for row in which(tx)], self._now_ms(tx), lapses=lapses)

        return self._database.write(work)

    def _set_paused(self, run_id: str, reason: str | None) -> None:
        def work(tx: Transaction) -> None:
            run = _runs.in_state(tx, run_id, ("validating", "in_progress"), "paused")
            if reason is None:
                tx.execute(RUNS.set_paused, {"run_no": run.no, "reason": None})
            else:
                _runs.pause(tx, run.no, reason)
                if run.paused_reason != reason:
                    self._tell(tx, run.no)

        self._database.write(work)

    def _tell(self, tx: Transaction, run_no: int) -> None:
        row = tx.one(RUNS.run_by_no, {"run_no": run_no})
        if row is not None:
            self._told(tx, run_of(row))

    def _lay_out(self, run_no: int, total: int) -> list[_creating.Span]:
        """The run's spans. Those of a large sample are written, in slices; a few can wait for the last transaction."""
        spans = self._read(lambda tx: _creating.spans(tx, run_no, total))
        if len(spans) > _creating.SLICE:
            self._database.write(lambda tx: _creating.forget_spans(tx, run_no))
            for start in range(0, len(spans), _creating.SLICE):
                some = spans[start : start + _creating.SLICE]
                self._database.write(lambda tx, some=some: _creating.insert_spans(tx, run_no, some))  # type: ignore[misc]
        return spans

    def _index_names(self, run_no: int, total: int) -> None:
        """Fill in the index of custom_ids. A crash leaves the run receiving, which goes away with its index."""
        try:
            self._database.write(lambda tx: _creating.forget_names(tx, run_no))
            if self._is_indexed_at_once(total):
                self._database.write(lambda tx: _creating.index_all_names(tx, run_no))
                return
            with self._database.read() as reader:
                for names in _creating.sorted_names(reader, run_no):
                    self._database.write(lambda tx, names=names: _creating.insert_names(tx, run_no, names))  # type: ignore[misc]
        except Duplicate as error:
            raise self._read(lambda tx: _creating.duplicates(tx, run_no)) from error


def _answer(request: Future[Answer]) -> Answer:
    try:
        return request.result()
    except Exception as error:
        return error


def _portions(steps: Sequence[Step]) -> Iterator[Sequence[Step]]:
    """Cut where about ``_PORTION_ITEMS`` items are spoken of."""
    portion: list[Step] = []
    items = 0
    for step in steps:
        portion.append(step)
        items += _items_of(step)
        if items >= _PORTION_ITEMS:
            yield portion
            portion, items = [], 0
    if portion:
        yield portion


def _items_of(step: Step) -> int:
    match step:
        case Commit():
            return len(step.outcomes) + len(step.deferred)
        case ClaimRequest():
            return step.max_items
        case Renewal():
            return 1


def _together(tx: Transaction, also: Also | None) -> None:
    if also is not None:
        also(tx)


def _swept(
    run: Run, named: Sequence[tuple[int, str]], attempts: Mapping[int, int], status: ItemStatus, problem: Problem
) -> list[Outcome]:
    """attempts: of the items that were deferred, by seq; nobody tried the others."""
    line = ResultLines(run.id, run.request_id, run.public_url).repeated(status, problem)
    return [
        Outcome(seq, status, problem.slug, attempts.get(seq, 0), 0, line(custom_id, attempts.get(seq, 0)))
        for seq, custom_id in named
    ]
