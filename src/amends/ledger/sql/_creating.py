"""Receiving a run: rows go in as they come, the index of their custom_ids afterwards, in sorted order.

Kept incremental, an index on random custom_ids costs two thirds of the speed.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import NamedTuple

from amends.database import Transaction, load_queries
from amends.ledger._types import DuplicateCustomIds, NewItem, NewRun, RunNotFound, TooManyRuns
from amends.ledger.sql import _credits
from amends.ledger.sql._keys import contiguous, first_key
from amends.ledger.sql._runs import RUNS, note_references

CREATING = load_queries("amends.ledger.sql", "creating.sql")

SLICE = 10_000


class Span(NamedTuple):
    """Items lo … hi. is_held: whether they wait until the run is extended."""

    lo: int
    hi: int
    is_held: bool


def open_run(tx: Transaction, run: NewRun, most: int | None) -> None:
    if most is not None:
        tx.lock(CREATING.lock_workspace, (run.workspace_id,))
    if most is not None and tx.value(CREATING.unfinished_runs, {"workspace_id": run.workspace_id}) >= most:
        raise TooManyRuns
    _credits.check_start(tx, run.workspace_id, run.price, 1, run.max_cost, "pause")
    sample = run.sample
    tx.execute(
        CREATING.insert_run,
        {
            "id": run.id,
            "workspace_id": run.workspace_id,
            "kind": run.kind,
            "model": run.model,
            "params": run.params,
            "mode": run.mode,
            "metadata": json.dumps(dict(run.metadata), ensure_ascii=False),
            "request_id": run.request_id,
            "public_url": run.public_url,
            "validation": run.validation,
            "failure_tolerance": run.failure_tolerance,
            "priority": run.priority,
            "completion_window": run.completion_window,
            "deadline": run.deadline,
            "limit_items": run.limit_items,
            "sample_n": sample.n if sample else None,
            "sample_seed": sample.seed if sample else None,
            "parent_id": run.parent_id,
            "created_by": run.created_by,
            "created_at": run.created_at,
            "price": run.price,
            "max_cost": run.max_cost,
            "on_credit_exhausted": run.on_credit_exhausted,
        },
    )


def receiving(tx: Transaction, run_id: str, *, to_move: bool = False) -> tuple[int, int]:
    """(no, items so far) of a receiving run, or RunNotFound. to_move: nobody else moves it until the transaction ends."""
    if to_move:
        tx.lock(RUNS.lock_run, (run_id,))
    row = tx.one(RUNS.run_no, (run_id,))
    if row is None or row[1] != "receiving":
        raise RunNotFound(run_id)
    return row[0], row[2]


def append(tx: Transaction, run_id: str, items: Sequence[NewItem]) -> None:
    run_no, total = receiving(tx, run_id, to_move=True)
    flat = [
        value for offset, item in enumerate(items) for value in (offset, item.custom_id, item.payload, item.input_hash)
    ]
    tx.insert_rows(CREATING.insert_items, (first_key(run_no) + total,), 4, flat)
    origins = [(item.origin, total + offset) for offset, item in enumerate(items) if item.origin is not None]
    if origins:
        tx.insert_rows(CREATING.insert_origins, (run_no,), 2, list(chain.from_iterable(origins)))
    note_references(tx, run_no, "payload", [item.payload for item in items if item.payload[:1] == b"@"])
    tx.execute(CREATING.add_to_total, {"run_no": run_no, "items": len(items)})


def sorted_names(tx: Transaction, run_no: int) -> Iterator[str]:
    """The run's custom_ids with their seqs in sorted order, as JSON texts of a slice each."""
    for row in tx.execute(CREATING.sorted_names, {"run_no": run_no, "slice": SLICE}):
        yield row[0]


def forget_names(tx: Transaction, run_no: int) -> None:
    """Drop what an earlier, refused seal left."""
    tx.execute(CREATING.drop_names, (run_no,))


def index_all_names(tx: Transaction, run_no: int) -> None:
    tx.execute(CREATING.index_all_names, {"run_no": run_no})


def insert_names(tx: Transaction, run_no: int, names: str) -> None:
    tx.execute(CREATING.insert_names, {"run_no": run_no, "names": names})


def duplicates(tx: Transaction, run_no: int) -> DuplicateCustomIds:
    rows = list(tx.execute(CREATING.duplicates, {"run_no": run_no}))
    return DuplicateCustomIds([(row[0], row[1]) for row in rows], rows[0][2] if rows else 0)


def spans(tx: Transaction, run_no: int, total: int) -> list[Span]:
    """The run's spans: those to run first and those that are held back."""
    row = tx.one(CREATING.part, (run_no,))
    assert row is not None
    limit_items, sample_n, sample_seed = row
    ranges = [(0, total - 1)] if total else []
    if sample_n is not None and sample_n < total:
        # seeded on purpose: the same sample again for the same seed
        ranges = contiguous(sorted(random.Random(sample_seed).sample(range(total), sample_n)))
    elif limit_items is not None and limit_items < total:
        ranges = [(0, limit_items - 1)] if limit_items else []
    open_spans = [Span(lo, hi, False) for lo, hi in ranges]
    return sorted([*open_spans, *(Span(lo, hi, True) for lo, hi in _held_ranges(ranges, total))])


def insert_spans(tx: Transaction, run_no: int, some: Sequence[Span]) -> None:
    tx.insert_rows(CREATING.insert_pending, (run_no,), 3, list(chain.from_iterable(some)))


def forget_spans(tx: Transaction, run_no: int) -> None:
    """Drop what an earlier seal left that did not come to its end."""
    tx.execute(RUNS.delete_pending, {"run_no": run_no, "limit": -1})


def _held_ranges(ranges: list[tuple[int, int]], total: int) -> list[tuple[int, int]]:
    """What the ascending ranges leave of 0 … total - 1."""
    left, start = [], 0
    for lo, hi in ranges:
        if lo > start:
            left.append((start, lo - 1))
        start = hi + 1
    return [*left, (start, total - 1)] if start < total else left
