"""What can be asked of the ledger: result lines, failures, items.

Lines are put together inside SQLite, so that a million of them reach the socket without becoming Python objects.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

from amends.database import Transaction, load_queries
from amends.ledger._lines import line_head
from amends.ledger._types import FailedAttempt, FailureGroup, ItemRecord, ItemStatus, ResultChunk, Run
from amends.ledger.sql._keys import first_key, gaps, key_of, last_key, seq_of
from amends.ledger.sql._leasing import LEASING
from amends.ledger.sql._runs import RUNS, run_of, visible

READING = load_queries("amends.ledger.sql", "reading.sql")

_CHUNK_BYTES = 1024 * 1024
_EMPTY = ResultChunk(b"", 0, None)


class Effective(NamedTuple):
    """An item's newest outcome in its lineage. line: None once it is deleted. key: where the outcome stands."""

    status: ItemStatus
    problem: str | None
    line: bytes | None
    key: int
    run_id: str


def items(tx: Transaction, run: Run, after: int, limit: int) -> Sequence[tuple[int, str, bytes]]:
    keys = {"after": key_of(run.no, after), "last": last_key(run.no), "limit": limit}
    return [(row[0], row[1], row[2]) for row in tx.execute(READING.item_page, keys)]


def results(tx: Transaction, run: Run, after: int, status: ItemStatus | None, limit: int, partial: bool) -> ResultChunk:
    if run.lines_deleted_at is not None:
        return _EMPTY
    before = first_unfinished(tx, run) if partial else None
    filtered = status is not None and status != "succeeded"
    weigh, read = (
        (READING.failed_lines_bytes, READING.failed_lines) if filtered else (READING.lines_bytes, READING.lines)
    )
    parameters = {
        "after": key_of(run.no, after),
        "before": last_key(run.no) if before is None else key_of(run.no, before),
        "status": status,
        "head": line_head(run.id).decode(),
    }
    return _chunk(tx, weigh, read, parameters, limit, from_key=True)


def results_by_completion(tx: Transaction, run: Run, after: int, status: ItemStatus | None, limit: int) -> ResultChunk:
    if run.lines_deleted_at is not None:
        return _EMPTY
    parameters = {"run_no": run.no, "after": after, "status": status, "head": line_head(run.id).decode()}
    return _chunk(tx, READING.lines_by_completion_bytes, READING.lines_by_completion, parameters, limit, from_key=False)


def _chunk(
    tx: Transaction, weigh: Any, read: Any, parameters: dict[str, Any], limit: int, *, from_key: bool
) -> ResultChunk:
    """The next lines, as many as weigh about 1 MiB; at least one."""
    row = tx.one(weigh, {k: v for k, v in parameters.items() if k != "head"} | {"limit": limit})
    assert row is not None
    size, count = row
    if not count:
        return _EMPTY
    if size > _CHUNK_BYTES:
        limit = max(1, count * _CHUNK_BYTES // size)
    row = tx.one(read, parameters | {"limit": limit})
    assert row is not None
    lines, count, last = row
    return ResultChunk(lines, count, seq_of(last) if from_key else last)


def first_unfinished(tx: Transaction, run: Run) -> int | None:
    """The seq of the first item without an outcome, None when all have one."""
    candidates = [tx.value(READING.lowest_pending, (run.no,)), tx.value(READING.lowest_deferred, (run.no,))]
    for lo, hi in list(tx.execute(READING.leased_spans, (run.no,))):
        keys = {"lo": key_of(run.no, lo), "hi": key_of(run.no, hi)}
        left = gaps(lo, hi, json.loads(tx.value(READING.outcome_seqs, keys)))
        candidates.append(left[0][0] if left else None)
    return min((seq for seq in candidates if seq is not None), default=None)


def has_children(tx: Transaction, root_id: str) -> bool:
    return bool(tx.value(READING.has_children, {"root_id": root_id}))


def effective(tx: Transaction, root_id: str, lo: int, hi: int) -> dict[int, Effective]:
    """The newest outcomes of the root's items lo … hi, by their seq in the root."""
    newest: dict[int, Effective] = {}
    for run_no, run_id, has_lines in list(tx.execute(READING.lineage, {"root_id": root_id})):
        if run_id == root_id:
            rows = tx.execute(READING.root_outcomes, {"lo": key_of(run_no, lo), "hi": key_of(run_no, hi)})
        else:
            rows = tx.execute(READING.child_outcomes, {"run_no": run_no, "lo": lo, "hi": hi})
        for origin, status, problem, line, key in rows:
            newest[origin] = Effective(status, problem, line if has_lines else None, key, run_id)
    return newest


def lineage_results(
    tx: Transaction, root: Run, after: int, status: ItemStatus | None, limit: int, partial: bool
) -> ResultChunk:
    """Each item's newest line among the root and its retries, in the root's order."""
    end = first_unfinished(tx, root) if partial else None
    last = (root.counts.total if end is None else end) - 1
    lines: list[bytes] = []
    size, cursor, place = 0, None, after
    while place < last and len(lines) < limit and size < _CHUNK_BYTES:
        lo, place = place + 1, min(last, place + min(limit, 1_000))
        for seq, found in sorted(effective(tx, root.id, lo, place).items()):
            if len(lines) >= limit or size >= _CHUNK_BYTES:
                break
            if found.line is not None and status in (None, found.status):
                lines.append(line_head(found.run_id) + found.line + b"\n")
                size, cursor = size + len(found.line), seq
    return ResultChunk(b"".join(lines), len(lines), cursor)


def failures(tx: Transaction, run: Run, examples: int) -> Sequence[FailureGroup]:
    keys = {"lo": first_key(run.no), "hi": last_key(run.no)}
    head = line_head(run.id)
    examples = examples if run.lines_deleted_at is None else 0
    return [
        FailureGroup(slug, count, tuple(head + row[0] for row in tx.execute(
            READING.failure_examples, {**keys, "problem": slug, "limit": examples}) if row[0] is not None))
        for slug, count in list(tx.execute(READING.failure_counts, keys))
    ]  # fmt: skip


def lineage_failures(tx: Transaction, root: Run, examples: int) -> Sequence[FailureGroup]:
    counts: dict[str, int] = {}
    lines: dict[str, list[bytes]] = {}
    for _, found in _failed_effective(tx, root):
        slug = found.problem or ""
        counts[slug] = counts.get(slug, 0) + 1
        kept = lines.setdefault(slug, [])
        if len(kept) < examples and found.line is not None:
            kept.append(line_head(found.run_id) + found.line)
    ordered = sorted(counts, key=lambda slug: (-counts[slug], slug))
    return [FailureGroup(slug, counts[slug], tuple(lines[slug])) for slug in ordered]


def _failed_effective(tx: Transaction, root: Run) -> Iterable[tuple[int, Effective]]:
    """(seq, newest outcome) of the root's failed items that still stand as failed. Only these can."""
    failed = [row[0] for row in tx.execute(
        READING.failed_outcomes, {"lo": first_key(root.no), "hi": last_key(root.no)})]  # fmt: skip
    for start in range(0, len(failed), 1_000):
        part = failed[start : start + 1_000]
        newest = effective(tx, root.id, part[0], part[-1])
        for seq in part:
            if newest[seq].status != "succeeded":
                yield seq, newest[seq]


def failed_items(
    tx: Transaction,
    run: Run,
    types: frozenset[str] | None,
    custom_ids: frozenset[str] | None,
    after: int,
    limit: int,
) -> Sequence[tuple[int, str, bytes]]:
    if run.parent_id is None and not has_children(tx, run.root_id):
        rows = tx.execute(
            READING.failed_items,
            {
                "after": key_of(run.no, after),
                "last": last_key(run.no),
                "types": None if types is None else json.dumps(sorted(types)),
                "custom_ids": None if custom_ids is None else json.dumps(sorted(custom_ids)),
                "limit": limit,
            },
        )
        return [(row[0], row[1], row[2]) for row in rows]
    return _failed_in_lineage(tx, run, types, custom_ids, after, limit)


def _failed_in_lineage(
    tx: Transaction,
    run: Run,
    types: frozenset[str] | None,
    custom_ids: frozenset[str] | None,
    after: int,
    limit: int,
) -> list[tuple[int, str, bytes]]:
    root = visible(tx, run.root_id)
    mine: set[int] | None = None
    if run.id != root.id:
        rows = tx.execute(READING.origins_of_run, {"run_no": run.no, "lo": 0, "hi": root.counts.total})
        mine = {row[1] for row in rows}
    found: list[tuple[int, str, bytes]] = []
    for seq, newest in _failed_effective(tx, root):
        if (
            seq <= after
            or (mine is not None and seq not in mine)
            or (types is not None and newest.problem not in types)
        ):
            continue
        row = tx.one(READING.item_of, (newest.key,))
        assert row is not None
        if custom_ids is None or row[0] in custom_ids:
            found.append((seq, row[0], row[1]))
            if len(found) == limit:
                break
    return found


def held_by_children(tx: Transaction, run: Run, custom_ids: Iterable[str]) -> Sequence[str]:
    wanted = json.dumps(list(custom_ids))
    held: list[str] = []
    for child in [run_of(row) for row in tx.execute(RUNS.children, {"id": run.id})]:
        if not child.is_terminal:
            names = tx.execute(READING.held_by_run, {"run_no": child.no, "custom_ids": wanted})
            held += [name[0] for name in names]
    return held


def item(tx: Transaction, run: Run, custom_id: str) -> ItemRecord | None:
    row = tx.one(READING.item_by_name, {"run_no": run.no, "custom_id": custom_id})
    if row is None:
        return None
    key, name, payload, input_hash = row
    outcome = tx.one(READING.outcome_of, (key,))
    has_line = outcome is not None and outcome[0] is not None and run.lines_deleted_at is None
    return ItemRecord(
        seq=seq_of(key),
        custom_id=name,
        payload=payload,
        input_hash=input_hash,
        origin=tx.value(READING.origin_of, {"run_no": run.no, "seq": seq_of(key)}) if run.parent_id else None,
        place="ended" if outcome is not None else _place(tx, run.no, key),
        attempts=tuple(
            FailedAttempt(seq, number, at, body.encode())
            for seq, number, at, body in tx.execute(READING.attempts_of, (key,))
        ),
        deaths=tx.value(READING.deaths_of, (key,)) or 0,
        line=line_head(run.id) + outcome[0] if outcome is not None and has_line else None,
        ended_at=None if outcome is None else outcome[1],
    )


def _place(tx: Transaction, run_no: int, key: int) -> Literal["pending", "leased", "deferred"]:
    deferral = tx.one(READING.deferral_of, (key,))
    if deferral is not None:
        return "deferred" if deferral[0] is None else "leased"
    pending = tx.value(READING.pending_with, {"run_no": run_no, "seq": seq_of(key)})
    return "pending" if pending else "leased"


def custom_ids(
    tx: Transaction, run_no: int, ranges: Sequence[tuple[int, int]], seqs: Sequence[int]
) -> list[tuple[int, str]]:
    """(seq, custom_id) of the items in the inclusive ranges and of the single seqs."""
    named: list[tuple[int, str]] = []
    for lo, hi in ranges:
        text = tx.value(LEASING.custom_ids, {"lo": key_of(run_no, lo), "hi": key_of(run_no, hi)})
        named += zip(range(lo, hi + 1), text.split("\n"), strict=True)
    if seqs:
        keys = json.dumps([key_of(run_no, seq) for seq in seqs])
        named += zip(sorted(seqs), tx.value(LEASING.custom_ids_of, {"keys": keys}).split("\n"), strict=True)
    return named
