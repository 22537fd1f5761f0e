"""What the ledger speaks of: runs, items, leases, outcomes.

Plain values, no behaviour. Every adapter (SQLite, the in-memory model, PostgreSQL) takes and returns these.
Times are seconds since the epoch (wall clock) unless a name says otherwise; durations end in ``_seconds``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from amends.problems import Problem

RunState = Literal[
    "receiving", "validating", "in_progress", "finalizing", "cancelling", "completed", "failed", "cancelled", "expired"
]
ItemStatus = Literal["succeeded", "errored", "canceled", "expired"]
Ending = Literal["completed", "cancelled", "failed", "expired"]
Mode = Literal["live", "test"]
Standing = Literal["held", "stopping", "fenced"]
OnExhausted = Literal["pause", "fail"]

TERMINAL: frozenset[RunState] = frozenset({"completed", "failed", "cancelled", "expired"})


@dataclass(frozen=True, slots=True)
class Sample:
    """A part of a run to try first: ``n`` items drawn with ``seed``."""

    n: int
    seed: int = 0


@dataclass(frozen=True, slots=True)
class NewRun:
    """A run as its creator states it.

    params: JSON object handed to the processor as it is (model, prompt, output_schema, …).
    deadline: when items without an outcome become ``expired``; None means never.
    failure_tolerance: fraction of errored items beyond which the run stops; 1.0 means never.
    limit_items / sample: run only a part, hold the rest until the run is extended.
    price: what an item is held for, in millionths of a credit; max_cost: what all of them may cost, None without a bound.
    """

    id: str
    workspace_id: str
    kind: str
    model: str
    params: bytes
    created_at: float
    mode: Mode = "live"
    metadata: Mapping[str, str] = field(default_factory=dict)
    request_id: str = ""
    public_url: str = "http://127.0.0.1:8080"
    validation: Literal["per_item", "strict"] = "per_item"
    failure_tolerance: float = 1.0
    priority: int = 0
    completion_window: str | None = None
    deadline: float | None = None
    limit_items: int | None = None
    sample: Sample | None = None
    parent_id: str | None = None
    created_by: str | None = None
    price: int = 0
    max_cost: int | None = None
    on_credit_exhausted: OnExhausted = "pause"


class NewItem(NamedTuple):
    """One unit of a new run. Its seq is its place in the order of submission, from 0.

    payload: compact JSON without raw tabs or newlines. origin: in a retry, the item's seq in the root run.
    """

    custom_id: str
    payload: bytes
    input_hash: bytes
    origin: int | None = None


@dataclass(frozen=True, slots=True)
class Counts:
    """How many items of a run ended in which way. The four ways and ``processing`` always sum to ``total``."""

    total: int = 0
    succeeded: int = 0
    errored: int = 0
    canceled: int = 0
    expired: int = 0

    @property
    def ended(self) -> int:
        return self.succeeded + self.errored + self.canceled + self.expired

    @property
    def processing(self) -> int:
        return self.total - self.ended


@dataclass(frozen=True, slots=True)
class Run:
    """A run as the ledger holds it. ``no`` is the ledger's own short number; ``id`` the public one.

    error: the problem of a failed run, None otherwise. held: items waiting for an extension.
    ending: how the run will end once it is finalized, None while it may still complete.
    lines_deleted_at: when retention or a purge deleted its result lines.
    """

    no: int
    id: str
    workspace_id: str
    kind: str
    model: str
    params: bytes
    mode: Mode
    metadata: Mapping[str, str]
    request_id: str
    public_url: str
    validation: Literal["per_item", "strict"]
    failure_tolerance: float
    priority: int
    completion_window: str | None
    deadline: float | None
    parent_id: str | None
    root_id: str
    created_by: str | None
    state: RunState
    ending: Ending | None
    paused_reason: str | None
    counts: Counts
    held: int
    error: Problem | None
    created_at: float
    in_progress_at: float | None = None
    finalizing_at: float | None = None
    completed_at: float | None = None
    failed_at: float | None = None
    cancelling_at: float | None = None
    cancelled_at: float | None = None
    expired_at: float | None = None
    lines_deleted_at: float | None = None
    price: int = 0
    max_cost: int | None = None
    on_credit_exhausted: OnExhausted = "pause"

    @property
    def is_terminal(self) -> bool:
        return self.state in TERMINAL

    @property
    def ended_at(self) -> float | None:
        """When it reached its terminal state."""
        return self.completed_at or self.failed_at or self.cancelled_at or self.expired_at


class LeasedItem(NamedTuple):
    """attempts: tries already made and recorded before this one."""

    seq: int
    custom_id: str
    payload: bytes
    attempts: int = 0
    deaths: int = 0


@dataclass(frozen=True, slots=True)
class Lease:
    """A fenced, expiring claim on some items of one run.

    id is the fence: random, never reused. packed: the items as one text, so that a million of them pass through
    the owner's process without becoming Python objects there; ``amends.ledger.unpack_items`` reads it.
    alone: it holds one item to be run by itself (its span lapsed three times). A suspect, an item that was in flight at a
    death, is known by its own ``deaths``.
    """

    id: str
    run_id: str
    run_no: int
    kind: str
    mode: Mode
    params: bytes
    request_id: str
    public_url: str
    deadline: float | None
    packed: bytes
    count: int
    ttl_seconds: float
    alone: bool = False


class Outcome(NamedTuple):
    """The one terminal state of an item.

    line: the result line without its ``object`` and ``batch_id`` members, see ``amends.ledger.ResultLines``;
    ``@sha256`` instead where the line is a blob (above 64 KiB). problem: the slug, None for a success.
    """

    seq: int
    status: ItemStatus
    problem: str | None
    attempts: int
    elapsed_ms: int
    line: bytes
    cost: int = 0


class Deferral(NamedTuple):
    """An item that waits for another try, due ``delay_seconds`` from now."""

    seq: int
    attempts: int
    delay_seconds: float


class FailedAttempt(NamedTuple):
    """One failed try at an item, kept for its record. problem: the problem's body as JSON."""

    seq: int
    number: int
    at: float
    problem: bytes


@dataclass(frozen=True, slots=True)
class Commit:
    """What a worker reports under a lease; it may report many times.

    deaths: seqs of items that were in flight when the child died: only these become suspects.
    final: the lease ends here; whatever it held and did not report goes back to be claimed.
    """

    lease_id: str
    outcomes: Sequence[Outcome] = ()
    deferred: Sequence[Deferral] = ()
    attempts: Sequence[FailedAttempt] = ()
    deaths: Sequence[int] = ()
    final: bool = False


class Share(NamedTuple):
    """How many items of a run may be claimed: from its spans, and of those that wait for another try."""

    fresh: int
    retries: int


@dataclass(frozen=True, slots=True)
class ClaimRequest:
    """owner: the worker's id. kinds: kinds of run it serves, empty for all. shares: by run number, what is
    claimed of these runs instead of ``max_items``."""

    owner: str
    max_items: int
    max_bytes: int = 4 * 1024 * 1024
    ttl_seconds: float = 10.0
    kinds: frozenset[str] = frozenset()
    shares: Mapping[int, Share] = field(default_factory=dict)

    def most(self, run_no: int, *, are_retries: bool) -> int:
        """How many items of a run the claim may take."""
        share = self.shares.get(run_no)
        if share is None:
            return self.max_items
        return share.retries if are_retries else share.fresh


@dataclass(frozen=True, slots=True)
class Renewal:
    """Asks that a lease hold for ``ttl_seconds`` from now."""

    lease_id: str
    ttl_seconds: float


Step = Commit | ClaimRequest | Renewal
"""What a worker may want of the ledger, see ``Ledger.perform``."""

Answer = bool | Lease | Standing | Exception | None
"""To a commit bool, to a claim a lease or None, to a renewal a standing; the exception where the step failed."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """The sum of a finished run. sha256: over its result lines, each with its newline, in submission order;
    sections: one digest per 10,000 lines, so that a resumed download can be checked."""

    counts: Counts
    lines: int
    sha256: str
    sections: Sequence[str]


@dataclass(frozen=True, slots=True)
class Conservation:
    """Every item without an outcome is in exactly one place: outcomes + deferred + pending + leased = total."""

    total: int
    outcomes: int
    deferred: int
    pending: int
    leased: int

    @property
    def holds(self) -> bool:
        return self.outcomes + self.deferred + self.pending + self.leased == self.total


@dataclass(frozen=True, slots=True)
class ResultChunk:
    """Result lines as they are streamed, each ending in a newline, and where the next chunk begins.

    last: the cursor of the last line (its seq, or its place in the order of completion); None when lines is empty.
    """

    lines: bytes
    count: int
    last: int | None


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """Failures of one type: how many, and the custom_ids and lines of the first few."""

    problem: str
    count: int
    examples: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class ItemRecord:
    """Everything the ledger knows of one item. line: whole result line, None before its outcome."""

    seq: int
    custom_id: str
    payload: bytes
    input_hash: bytes
    origin: int | None
    place: Literal["pending", "leased", "deferred", "ended"]
    attempts: Sequence[FailedAttempt]
    deaths: int
    line: bytes | None
    ended_at: float | None


class DuplicateCustomIds(Exception):
    """custom_ids that occur more than once in a new run.

    duplicates: (index, custom_id) of the second and later occurrences, in submission order, at most 1,000; total counts all.
    """

    def __init__(self, duplicates: Sequence[tuple[int, str]], total: int) -> None:
        super().__init__(f"{total} duplicate custom_ids")
        self.duplicates = duplicates
        self.total = total


class RunNotFound(LookupError):
    """No such run, or not in the state in which the call makes sense."""


class TooManyRuns(Exception):
    """The workspace has as many unfinished runs as it may."""


class InvalidTransition(Exception):
    """The run's state does not allow it. state: where the run stands."""

    def __init__(self, state: RunState, wanted: str) -> None:
        super().__init__(f"cannot go from {state} to {wanted}")
        self.state = state
        self.wanted = wanted
