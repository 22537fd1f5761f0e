"""One run of the in-memory ledger: where each of its items is, in plain lists and dicts.

Every item without an outcome is in exactly one place::

    held ──extend──► pending ──claim──► a lease ──commit──► outcomes
                        ▲                 │  │
                        └──gaps returned──┘  └──commit──► deferred ──claim──► a lease (of deferred items)
"""

from __future__ import annotations

import random
from bisect import insort
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from amends.ledger._lines import line_head
from amends.ledger._types import (
    Conservation,
    Counts,
    Deferral,
    DuplicateCustomIds,
    Ending,
    FailedAttempt,
    ItemRecord,
    ItemStatus,
    Manifest,
    NewItem,
    NewRun,
    Outcome,
    Run,
    RunState,
)
from amends.problems import Problem

LAPSES_UNTIL_ALONE = 3
MAX_ATTEMPTS_KEPT = 20
MAX_DUPLICATES_NAMED = 1_000


@dataclass(order=True, slots=True)
class Span:
    """Items ``lo`` up to and without ``hi``. lapses: leases on them that expired."""

    lo: int
    hi: int
    lapses: int = 0

    @property
    def is_alone(self) -> bool:
        """Whether its items run one at a time."""
        return self.lapses >= LAPSES_UNTIL_ALONE


@dataclass(slots=True)
class Waiting:
    """A deferred item. due_at: on the monotonic clock. attempts: tries made so far."""

    due_at: float
    attempts: int


@dataclass(slots=True)
class Grant:
    """A lease from the ledger's side. remaining: seqs not yet reported.

    attempts: of the deferred items it took; None for a lease on a piece of a span.
    """

    id: str
    owner: str
    expires_at: float
    remaining: set[int]
    lapses: int
    attempts: dict[int, int] | None


@dataclass(slots=True)
class Record:
    """An outcome and when it was written (wall clock)."""

    outcome: Outcome
    ended_at: float


@dataclass(slots=True)
class RunRecord:
    """A run, its items and their places."""

    no: int
    new: NewRun
    root_id: str
    state: RunState = "receiving"
    ending: Ending | None = None
    paused_reason: str | None = None
    error: Problem | None = None
    times: dict[str, float] = field(default_factory=dict)
    """By name of the member of ``Run``: in_progress_at and so on."""
    items: list[NewItem] = field(default_factory=list)
    seqs: dict[str, int] = field(default_factory=dict)
    """custom_id → seq, filled in when the run is sealed."""
    pending: list[Span] = field(default_factory=list)
    held: list[Span] = field(default_factory=list)
    deferred: dict[int, Waiting] = field(default_factory=dict)
    grants: dict[str, Grant] = field(default_factory=dict)
    outcomes: dict[int, Record] = field(default_factory=dict)
    """By seq, in the order of completion."""
    attempts: dict[int, list[FailedAttempt]] = field(default_factory=dict)
    deaths: dict[int, int] = field(default_factory=dict)
    manifest: Manifest | None = None
    max_cost: int | None = None

    # What it is

    @property
    def counts(self) -> Counts:
        ended = [record.outcome.status for record in self.outcomes.values()]
        return Counts(
            len(self.items),
            ended.count("succeeded"),
            ended.count("errored"),
            ended.count("canceled"),
            ended.count("expired"),
        )

    @property
    def is_ending(self) -> bool:
        """Whether what has no outcome is to get one from the sweep instead of from a worker."""
        return self.state in ("cancelling", "finalizing")

    @property
    def has_lines(self) -> bool:
        return "lines_deleted_at" not in self.times

    def view(self) -> Run:
        new = self.new
        return Run(
            self.no, new.id, new.workspace_id, new.kind, new.model, new.params, new.mode, dict(new.metadata), new.request_id,
            new.public_url, new.validation, new.failure_tolerance, new.priority, new.completion_window, new.deadline,
            new.parent_id, self.root_id, new.created_by, self.state, self.ending, self.paused_reason, self.counts,
            size(self.held), self.error, new.created_at, price=new.price, max_cost=self.max_cost,
            on_credit_exhausted=new.on_credit_exhausted, **self.times,
        )  # fmt: skip

    def conservation(self) -> Conservation:
        return Conservation(
            total=len(self.items),
            outcomes=len(self.outcomes),
            deferred=len(self.deferred),
            pending=size(self.pending) + size(self.held),
            leased=self.leased,
        )

    @property
    def leased(self) -> int:
        return sum(len(grant.remaining) for grant in self.grants.values())

    @property
    def is_in_work(self) -> bool:
        """Whether an item is pending, leased or deferred (held ones wait for somebody's decision)."""
        return bool(self.pending or self.grants or self.deferred)

    def place(self, seq: int) -> Literal["pending", "leased", "deferred", "ended"]:
        if seq in self.outcomes:
            return "ended"
        if seq in self.deferred:
            return "deferred"
        return "leased" if any(seq in grant.remaining for grant in self.grants.values()) else "pending"

    def root_seq(self, seq: int) -> int:
        """The item's seq in the root run."""
        origin = self.items[seq].origin
        return seq if origin is None else origin

    def line(self, seq: int, *, cursor: int | None = None) -> bytes:
        """The item's result line as it is streamed, without the newline. cursor: its place in the order of completion."""
        place = b"" if cursor is None else b'"cursor":"%d",' % cursor
        return line_head(self.new.id) + place + self.outcomes[seq].outcome.line

    def item_record(self, seq: int) -> ItemRecord:
        item, record = self.items[seq], self.outcomes.get(seq)
        return ItemRecord(
            seq=seq,
            custom_id=item.custom_id,
            payload=item.payload,
            input_hash=item.input_hash,
            origin=item.origin,
            place=self.place(seq),
            attempts=tuple(self.attempts.get(seq, ())),
            deaths=self.deaths.get(seq, 0),
            line=self.line(seq) if record is not None and self.has_lines else None,
            ended_at=None if record is None else record.ended_at,
        )

    # Laying out

    def index(self) -> None:
        """Fill in ``seqs``. Raises DuplicateCustomIds."""
        seqs: dict[str, int] = {}
        repeated = [(n, item.custom_id) for n, item in enumerate(self.items) if seqs.setdefault(item.custom_id, n) != n]
        if repeated:
            raise DuplicateCustomIds(repeated[:MAX_DUPLICATES_NAMED], len(repeated))
        self.seqs = seqs

    def lay_out(self) -> None:
        """Make spans of the items: pending where they are to run now, held where ``limit_items`` or ``sample`` says so."""
        total, sample = len(self.items), self.new.sample
        chosen: Iterable[int] = range(total if self.new.limit_items is None else min(self.new.limit_items, total))
        if sample is not None:
            chosen = random.Random(sample.seed).sample(range(total), min(sample.n, total))
        running = set(chosen)
        self.pending = list(gaps(running))
        self.held = list(gaps(set(range(total)) - running))

    def release_held(self) -> None:
        self.pending = sorted([*self.pending, *self.held])
        self.held = []

    # Moving items

    def take_due(self, now: float, max_items: int, max_bytes: int) -> dict[int, int]:
        """Take the deferred items that are due longest; their attempts by seq. Empty: none is due."""
        due = [seq for _, seq in sorted((w.due_at, seq) for seq, w in self.deferred.items() if w.due_at <= now)]
        return {seq: self.deferred.pop(seq).attempts for seq in self._fitting(due, max_items, max_bytes)}

    def take_head(self, max_items: int, max_bytes: int) -> Span:
        """Cut the head off the pending span whose turn it is."""
        span = min(self.pending, key=lambda span: (span.lapses if span.is_alone else 0, span.lo))
        end = span.lo + (1 if span.is_alone else len(self._fitting(range(span.lo, span.hi), max_items, max_bytes)))
        head = Span(span.lo, end, span.lapses)
        at = self.pending.index(span)
        self.pending[at : at + 1] = [Span(end, span.hi, span.lapses)] if end < span.hi else []
        return head

    def _fitting(self, seqs: Sequence[int], max_items: int, max_bytes: int) -> Sequence[int]:
        """As many of the first seqs as are within both bounds, yet one at least."""
        taken, size_bytes = 0, 0
        for seq in seqs[:max_items]:
            size_bytes += len(self.items[seq].payload)
            if taken and size_bytes > max_bytes:
                break
            taken += 1
        return seqs[: max(taken, 1)]

    def give_back(self, grant: Grant, now: float, *, lapsed: bool = False) -> None:
        """End a lease: what it held and did not report can be claimed again.

        A piece of a span comes back as its contiguous gaps, with one lapse more if it lapsed. Deferred items are
        deferred again, due now, with the attempts they had.
        """
        del self.grants[grant.id]
        if grant.attempts is not None:
            self.deferred |= {seq: Waiting(now, grant.attempts[seq]) for seq in grant.remaining}
            return
        for gap in gaps(grant.remaining):
            insort(self.pending, Span(gap.lo, gap.hi, grant.lapses + lapsed))

    def record(self, outcomes: Iterable[Outcome], now: float) -> None:
        """Write outcomes; those written together are in the order of completion by their seq."""
        for outcome in sorted(outcomes, key=lambda o: o.seq):
            self.outcomes[outcome.seq] = Record(outcome, now)

    def keep_attempts(self, attempts: Iterable[FailedAttempt]) -> None:
        """Keep failed tries for the items' records, the newest ``MAX_ATTEMPTS_KEPT`` of each; a number stands once."""
        for attempt in attempts:
            kept = {other.number: other for other in self.attempts.get(attempt.seq, ())} | {attempt.number: attempt}
            self.attempts[attempt.seq] = [kept[number] for number in sorted(kept)[-MAX_ATTEMPTS_KEPT:]]

    def defer(self, deferral: Deferral, now: float) -> None:
        self.deferred[deferral.seq] = Waiting(now + deferral.delay_seconds, deferral.attempts)

    def unleased(self) -> Sequence[int]:
        """Seqs of all items that are in no lease and have no outcome: those of spans, held ones too, then the deferred."""
        spans = sorted([*self.pending, *self.held])
        return [*(seq for span in spans for seq in range(span.lo, span.hi)), *sorted(self.deferred)]

    def remove(self, seqs: set[int]) -> None:
        """Take items out of pending and held spans and out of the deferred."""
        self.pending = [piece for span in self.pending for piece in _without(span, seqs)]
        self.held = [piece for span in self.held for piece in _without(span, seqs)]
        self.deferred = {seq: waiting for seq, waiting in self.deferred.items() if seq not in seqs}


def gaps(seqs: Iterable[int]) -> Iterator[Span]:
    """The seqs as contiguous spans, lowest first."""
    current: Span | None = None
    for seq in sorted(seqs):
        if current is not None and seq == current.hi:
            current.hi += 1
            continue
        if current is not None:
            yield current
        current = Span(seq, seq + 1)
    if current is not None:
        yield current


def size(spans: Iterable[Span]) -> int:
    return sum(span.hi - span.lo for span in spans)


def _without(span: Span, seqs: set[int]) -> Iterator[Span]:
    for piece in gaps(set(range(span.lo, span.hi)) - seqs):
        yield Span(piece.lo, piece.hi, span.lapses)


def has_status(record: Record, status: ItemStatus | None) -> bool:
    return status is None or record.outcome.status == status
