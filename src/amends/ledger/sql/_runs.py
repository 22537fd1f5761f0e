"""Runs as rows: reading them, moving them through their life, forgetting them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

from amends.database import Transaction, load_queries
from amends.ledger._types import (
    Conservation,
    Counts,
    Ending,
    InvalidTransition,
    Manifest,
    Run,
    RunNotFound,
    RunState,
)
from amends.ledger.sql import _credits
from amends.ledger.sql._keys import last_key
from amends.problems import Problem

RUNS = load_queries("amends.ledger.sql", "runs.sql")

_COLUMNS = (
    "no", "id", "workspace_id", "kind", "model", "params", "mode", "metadata", "request_id", "public_url",
    "validation", "failure_tolerance", "priority", "completion_window", "deadline", "limit_items", "sample_n",
    "sample_seed", "parent_id", "root_id", "created_by", "state", "ending", "paused_reason", "total",
    "succeeded", "errored", "canceled", "expired", "held", "error", "created_at", "in_progress_at",
    "finalizing_at", "completed_at", "failed_at", "cancelling_at", "cancelled_at", "expired_at",
    "lines_deleted_at", "deleted", "price", "max_cost", "on_credit_exhausted",
)  # fmt: skip
_COUNTS = ("total", "succeeded", "errored", "canceled", "expired")
_SLICED = {
    "lines": (RUNS.delete_line_references,),
    "run": (
        RUNS.delete_names,
        RUNS.delete_origins,
        RUNS.delete_line_references,
        RUNS.delete_payload_references,
        RUNS.delete_pending,
        RUNS.delete_completion,
    ),
}
"""What goes, a slice at a time, once the rows of the items are gone; any of it may have as many rows as the run has items."""
_INNER = ("limit_items", "sample_n", "sample_seed", "deleted")


def run_of(row: Sequence[Any]) -> Run:
    """A row of ``select * from run`` as a value."""
    members = dict(zip(_COLUMNS, row, strict=True))
    counts = Counts(*(members.pop(name) for name in _COUNTS))
    for name in _INNER:
        del members[name]
    members["metadata"] = json.loads(members["metadata"])
    error = members.pop("error")
    return Run(**members, counts=counts, error=None if error is None else problem_of(error))


def problem_of(text: str) -> Problem:
    body = json.loads(text)
    return Problem.from_body(body, int(body["status"]))


def problem_text(problem: Problem, public_url: str) -> str:
    return json.dumps(problem.to_body(public_url), ensure_ascii=False)


def visible(tx: Transaction, run_id: str) -> Run:
    """The run, or RunNotFound."""
    row = tx.one(RUNS.run_by_id, {"id": run_id})
    if row is None:
        raise RunNotFound(run_id)
    return run_of(row)


def to_move(tx: Transaction, run_id: str) -> Run:
    """The run, which nobody else moves until the transaction ends; or RunNotFound."""
    tx.lock(RUNS.lock_run, (run_id,))
    return visible(tx, run_id)


def in_state(tx: Transaction, run_id: str, states: Sequence[RunState], wanted: str) -> Run:
    """The run to move if it stands in one of the states, else InvalidTransition."""
    run = to_move(tx, run_id)
    if run.state not in states:
        raise InvalidTransition(run.state, wanted)
    return run


def cancel(tx: Transaction, run_id: str, now: float) -> Run:
    run = to_move(tx, run_id)
    if run.ending == "cancelled":
        return run
    if run.state not in ("validating", "in_progress"):
        raise InvalidTransition(run.state, "cancelling")
    tx.execute(RUNS.begin_cancelling, {"run_no": run.no, "now": now})
    return visible(tx, run_id)


def end(tx: Transaction, run_id: str, ending: Ending, error: Problem | None, now: float) -> None:
    run = in_state(tx, run_id, ("validating", "in_progress"), ending)
    text = None if error is None else problem_text(error, run.public_url)
    tx.execute(RUNS.begin_ending, {"run_no": run.no, "ending": ending, "error": text, "now": now})


def pause(tx: Transaction, run_no: int, reason: str) -> None:
    """A paused run keeps no credit from others."""
    _credits.release(tx, run_no)
    tx.execute(RUNS.set_paused, {"run_no": run_no, "reason": reason})


def extend(tx: Transaction, run_id: str, max_cost: int | None) -> Run:
    run = in_state(tx, run_id, ("validating", "in_progress"), "in_progress")
    if max_cost is not None or run.paused_reason == "cost_cap":
        tx.execute(RUNS.set_max_cost, {"run_no": run.no, "max_cost": max_cost})
    tx.execute(RUNS.release_held, {"run_no": run.no})
    tx.execute(RUNS.clear_held, {"run_no": run.no})
    return visible(tx, run_id)


def finalize(tx: Transaction, run_id: str, now: float, on_pause: Callable[[int], None] = lambda run_no: None) -> bool:
    """on_pause: told of a run that was paused because the rest of it is held."""
    run = to_move(tx, run_id)
    if run.state not in ("in_progress", "finalizing", "cancelling") or not tx.value(
        RUNS.nothing_left, {"run_no": run.no}
    ):
        return False
    if run.state != "in_progress":
        return run.held == 0
    if run.held:
        if run.paused_reason is None:
            pause(tx, run.no, "limit")
            on_pause(run.no)
        return False
    tx.execute(RUNS.begin_finalizing, {"run_no": run.no, "now": now})
    return True


def finish(tx: Transaction, run_id: str, manifest: Manifest, now: float) -> Run:
    run = in_state(tx, run_id, ("finalizing", "cancelling"), "terminal")
    if run.counts.processing or not tx.value(RUNS.nothing_left, {"run_no": run.no}):
        raise InvalidTransition(run.state, "terminal")
    tx.execute(RUNS.set_manifest, {"run_no": run.no, "body": _manifest_text(manifest)})
    tx.execute(RUNS.finish, {"run_no": run.no, "state": run.ending or "completed", "now": now})
    _credits.close(tx, run, now)
    return visible(tx, run_id)


def delete_lines(tx: Transaction, run_id: str, now: float) -> None:
    run = in_state(tx, run_id, ("completed", "failed", "cancelled", "expired"), "purged")
    if run.lines_deleted_at is None:
        tx.execute(RUNS.mark_lines_deleted, {"run_no": run.no, "now": now})
        tx.execute(RUNS.set_garbage, {"run_no": run.no, "what": "lines"})


def delete_run(tx: Transaction, run_id: str) -> None:
    run = in_state(tx, run_id, ("completed", "failed", "cancelled", "expired"), "deleted")
    drop(tx, run.no)


def drop(tx: Transaction, run_no: int) -> None:
    """Make a run disappear; its rows follow in slices."""
    tx.execute(RUNS.mark_deleted, {"run_no": run_no})
    tx.execute(RUNS.set_garbage, {"run_no": run_no, "what": "run"})


def abandon(tx: Transaction, run_id: str) -> None:
    tx.lock(RUNS.lock_run, (run_id,))
    row = tx.one(RUNS.run_no, (run_id,))
    if row is not None and row[1] == "receiving":
        drop(tx, row[0])


def abandon_receiving(tx: Transaction) -> int:
    numbers = [row[0] for row in tx.execute(RUNS.receiving)]
    for run_no in numbers:
        drop(tx, run_no)
    return len(numbers)


def clean(tx: Transaction, limit: int) -> int:
    """Delete a slice of the oldest garbage; the number of rows that went."""
    row = tx.one(RUNS.garbage)
    if row is None:
        return 0
    run_no, what, next_key = row
    until = tx.value(RUNS.slice_end, {"next_key": next_key, "last_key": last_key(run_no), "limit": limit})
    if until is not None:
        gone = _clean_slice(tx, what, {"lo": next_key, "hi": until})
        tx.execute(RUNS.move_garbage, {"run_no": run_no, "next_key": until + 1})
        return max(gone, 1)
    return _clean_rest(tx, run_no, what, limit)


def _clean_slice(tx: Transaction, what: str, keys: dict[str, int]) -> int:
    if what == "lines":
        tx.execute(RUNS.clear_lines, keys)
        return tx.changes
    for statement in (RUNS.delete_outcomes, RUNS.delete_attempts, RUNS.delete_suspects, RUNS.delete_deferred):
        tx.execute(statement, keys)
    tx.execute(RUNS.delete_items, keys)
    return tx.changes


def _clean_rest(tx: Transaction, run_no: int, what: str, limit: int) -> int:
    for statement in _SLICED[what]:
        tx.execute(statement, {"run_no": run_no, "limit": limit})
        if tx.changes:
            return tx.changes
    if what == "run":
        for statement in (RUNS.delete_manifest, RUNS.delete_run):
            tx.execute(statement, (run_no,))
    tx.execute(RUNS.drop_garbage, (run_no,))
    return 1


def note_references(tx: Transaction, run_no: int, what: Literal["payload", "line"], texts: Iterable[bytes]) -> None:
    """Remember the blobs that ``@sha256`` payloads or lines point to, so that nobody deletes them."""
    for text in texts:
        tx.execute(RUNS.insert_reference, {"sha256": text[1:].decode(), "run_no": run_no, "what": what})


def references(tx: Transaction, digests: Iterable[str]) -> set[str]:
    return {row[0] for row in tx.execute(RUNS.references, (json.dumps(list(digests)),))}


def conservation(tx: Transaction, run_id: str) -> Conservation:
    row = tx.one(RUNS.conservation, (run_id,))
    if row is None:
        raise RunNotFound(run_id)
    total, outcomes, deferred, pending, leased = row
    return Conservation(total, outcomes, deferred, pending, leased)


def manifest_of(text: str) -> Manifest:
    body = json.loads(text)
    return Manifest(Counts(**body["counts"]), body["lines"], body["sha256"], tuple(body["sections"]))


def _manifest_text(manifest: Manifest) -> str:
    counts = {name: getattr(manifest.counts, name) for name in _COUNTS}
    body = {"counts": counts, "lines": manifest.lines, "sha256": manifest.sha256, "sections": list(manifest.sections)}
    return json.dumps(body)
