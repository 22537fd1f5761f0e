"""What the tests of the ledgers share: a clock moved by hand, small runs, and outcomes to commit."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from amends.ledger import (
    ClaimRequest,
    Commit,
    Counts,
    Deferral,
    FailedAttempt,
    ItemStatus,
    Lease,
    LeasedItem,
    Ledger,
    Manifest,
    NewItem,
    NewRun,
    Outcome,
    ResultLines,
    Run,
    Step,
    line_members,
    unpack_items,
)
from amends.problems import problem

START = 1_700_000_000.0


class HandClock:
    """Wall and monotonic time, moved only by the test; in steps of whole milliseconds. jump: how far off the wall clock is set."""

    def __init__(self) -> None:
        self.now = 0.0
        self.jump = 0.0

    def wall(self) -> float:
        return START + self.now + self.jump

    def monotonic(self) -> float:
        return 1_000.0 + self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


_numbers = itertools.count()


def new_run(run_id: str | None = None, **changes: Any) -> NewRun:
    """A run's statement; ids ascend in the order of the calls."""
    plain = NewRun(
        id=run_id or f"bpred_{next(_numbers):06d}",
        workspace_id="ws_a",
        kind="predict",
        model="local/echo",
        params=b'{"model":"local/echo"}',
        created_at=START,
        request_id="req_1",
    )
    return replace(plain, **changes)


def new_items(count: int, *, prefix: str = "item-", payload: bytes = b'{"input":1}') -> list[NewItem]:
    return [NewItem(f"{prefix}{n}", payload, n.to_bytes(4, "big")) for n in range(count)]


def create(
    ledger: Ledger,
    items: int | Sequence[NewItem] = 5,
    *,
    run: NewRun | None = None,
    validate: bool = False,
    **changes: Any,
) -> Run:
    """A sealed run of so many items, in progress unless ``validate``."""
    statement = run or new_run(**changes)
    ledger.open_run(statement)
    ledger.append(statement.id, new_items(items) if isinstance(items, int) else items)
    return ledger.seal(statement.id, validate=validate)


def retry_of(ledger: Ledger, parent: Run, *, run_id: str | None = None, **changes: Any) -> Run:
    """A child with everything that failed in the parent's lineage."""
    failed = ledger.failed_items(parent.id)
    items = [NewItem(custom_id, payload, b"again", origin) for origin, custom_id, payload in failed]
    return create(ledger, items, run=new_run(run_id, parent_id=parent.id, **changes))


def request(owner: str = "worker-1", **changes: Any) -> ClaimRequest:
    return replace(ClaimRequest(owner=owner, max_items=10_000), **changes)


def claim(ledger: Ledger, owner: str = "worker-1", **changes: Any) -> Lease:
    lease = ledger.claim(request(owner, **changes))
    assert lease is not None
    return lease


def perform(ledger: Ledger, steps: Sequence[Step]) -> list[Any]:
    """The answers, of whatever type."""
    return list(ledger.perform(steps))


def leased(lease: Lease | None) -> list[LeasedItem]:
    return [] if lease is None else list(unpack_items(lease.packed))


def seqs(lease: Lease | None) -> list[int]:
    return [item.seq for item in leased(lease)]


def success(run_id: str, item: LeasedItem, output: bytes = b'{"n":1}') -> Outcome:
    line = ResultLines(run_id, "req_1", "http://test").succeeded(item.custom_id, output, attempts=item.attempts + 1)
    return Outcome(item.seq, "succeeded", None, item.attempts + 1, 5, line)


def failure(run_id: str, item: LeasedItem, slug: str = "prediction_failed", status: ItemStatus = "errored") -> Outcome:
    found = problem(slug, "It did not work.")
    line = ResultLines(run_id, "req_1", "http://test").ended(item.custom_id, status, found, attempts=item.attempts + 1)
    return Outcome(item.seq, status, slug, item.attempts + 1, 5, line)


def succeed(ledger: Ledger, lease: Lease, only: Sequence[int] | None = None, *, final: bool = False) -> bool:
    """Commit success for the lease's items, or for some of them."""
    items = [item for item in leased(lease) if only is None or item.seq in only]
    return ledger.commit(Commit(lease.id, [success(lease.run_id, item) for item in items], final=final))


def fail(ledger: Ledger, lease: Lease, only: Sequence[int] | None = None, slug: str = "prediction_failed") -> bool:
    items = [item for item in leased(lease) if only is None or item.seq in only]
    return ledger.commit(Commit(lease.id, [failure(lease.run_id, item, slug) for item in items]))


def defer(ledger: Ledger, lease: Lease, only: Sequence[int], delay_seconds: float = 1.0, attempts: int = 1) -> bool:
    return ledger.commit(Commit(lease.id, deferred=[Deferral(seq, attempts, delay_seconds) for seq in only]))


def attempt(seq: int, number: int) -> FailedAttempt:
    return FailedAttempt(seq, number, START + number, b'{"type":"upstream_failed"}')


def work_off(ledger: Ledger, run: Run, failing: Sequence[int] = ()) -> None:
    """Claim and commit until nothing of the run is left: failure for ``failing``, success for the rest."""
    while lease := ledger.claim(request(kinds=frozenset({run.kind}))):
        ledger.commit(
            Commit(
                lease.id,
                [failure(run.id, i) if i.seq in failing else success(run.id, i) for i in leased(lease)],
            )
        )


def manifest_of(run: Run) -> Manifest:
    return Manifest(run.counts, run.counts.total, "00" * 32, ("11" * 32,))


def complete(ledger: Ledger, run: Run, failing: Sequence[int] = ()) -> Run:
    """Bring a run in progress to its end."""
    work_off(ledger, run, failing)
    assert ledger.finalize(run.id)
    return ledger.finish(run.id, manifest_of(read(ledger, run)))


def read(ledger: Ledger, run: Run) -> Run:
    found = ledger.get(run.id)
    assert found is not None
    return found


def lines(chunk: bytes) -> list[dict[str, Any]]:
    """Result lines, decoded."""
    return [line_members(line) for line in chunk.splitlines()]


def counts(ledger: Ledger, run: Run) -> Counts:
    return read(ledger, run).counts
