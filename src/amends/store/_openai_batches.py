"""Batches of the OpenAI-compatible surface: what they were made from, and what their runs cannot say.

::

    reading ──set_running──► running (its run says where it stands) ──set_written──► written
       ├──fail──► failed
       └──ask_to_cancel, then end_cancelled──► cancelled
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from amends.database import Database, Transaction, load_queries

QUERIES = load_queries(__package__, "openai_batches.sql")

BatchState = Literal["reading", "running", "failed", "cancelled", "written"]


@dataclass(frozen=True, slots=True)
class OpenAIBatch:
    """A batch as it is stored.

    output_seconds: how long its output files are kept, None for as long as results are. errors: the faults of its input file.
    cancelling_at: when somebody asked to cancel it while its input was read. status, counts, times: of its run, once its files
    are written.
    """

    id: str
    workspace_id: str
    endpoint: str
    input_file_id: str
    metadata: Mapping[str, str]
    mode: Literal["live", "test"]
    request_id: str
    created_by: str | None
    created_at: float
    deadline: float
    output_seconds: int | None = None
    model: str | None = None
    state: BatchState = "reading"
    errors: Sequence[Mapping[str, Any]] = ()
    cancelling_at: float | None = None
    ended_at: float | None = None
    status: str | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    times: Mapping[str, float] = field(default_factory=dict)
    output_file_id: str | None = None
    error_file_id: str | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """How a batch's run ended, and the files made of its results; None where there was nothing to put into one."""

    status: str
    counts: Mapping[str, int]
    times: Mapping[str, float]
    output_file_id: str | None
    error_file_id: str | None


class OpenAIBatches:
    def __init__(self, database: Database, *, now: Callable[[], float]) -> None:
        self._database = database
        self._now = now

    def add(self, tx: Transaction, batch: OpenAIBatch) -> None:
        names = ("id", "workspace_id", "endpoint", "input_file_id", "mode", "request_id", "created_by", "created_at")
        values = {name: getattr(batch, name) for name in (*names, "deadline", "output_seconds")}
        tx.execute(QUERIES.insert_batch, {**values, "metadata": _text(dict(batch.metadata))})

    def get(self, batch_id: str) -> OpenAIBatch | None:
        with self._database.read() as tx:
            row = tx.one(QUERIES.get_batch, {"id": batch_id})
        return None if row is None else _batch(row)

    def find(self, workspace_id: str, *, limit: int, after: str | None = None) -> list[OpenAIBatch]:
        """The workspace's batches, newest first, those older than the batch ``after``."""
        values = {"workspace_id": workspace_id, "limit": limit, "after": after}
        with self._database.read() as tx:
            return [_batch(row) for row in tx.execute(QUERIES.list_batches, values)]

    def unfinished(self) -> list[OpenAIBatch]:
        """Those of all workspaces that are still to be read or written, oldest first."""
        with self._database.read() as tx:
            return [_batch(row) for row in tx.execute(QUERIES.unfinished_batches)]

    def ask_to_cancel(self, tx: Transaction, batch_id: str) -> bool:
        """Note the wish; False: its input is not being read (any more)."""
        tx.execute(QUERIES.ask_to_cancel, {"id": batch_id, "now": self._now()})
        return tx.changes == 1

    def set_running(self, tx: Transaction, batch_id: str, model: str) -> bool:
        """Its run is there; False: somebody asked to cancel."""
        tx.execute(QUERIES.set_running, {"id": batch_id, "model": model})
        return tx.changes == 1

    def fail(self, tx: Transaction, batch_id: str, errors: Sequence[Mapping[str, Any]]) -> None:
        """Its input is bad."""
        self._refuse(tx, batch_id, "failed", errors)

    def end_cancelled(self, tx: Transaction, batch_id: str) -> None:
        """It was cancelled before there was a run."""
        self._refuse(tx, batch_id, "cancelled", ())

    def set_written(self, tx: Transaction, batch_id: str, written: Written) -> bool:
        """Its files are made; False: they were already."""
        values = {
            "id": batch_id,
            "now": self._now(),
            "status": written.status,
            "counts": _text(dict(written.counts)),
            "times": _text(dict(written.times)),
            "output_file_id": written.output_file_id,
            "error_file_id": written.error_file_id,
        }
        tx.execute(QUERIES.set_written, values)
        return tx.changes == 1

    def delete_outdated(self, tx: Transaction, *, before: float, limit: int = 500) -> int:
        """Forget up to ``limit`` batches that ended before that time."""
        tx.execute(QUERIES.delete_outdated, {"before": before, "limit": limit})
        return tx.changes

    def _refuse(self, tx: Transaction, batch_id: str, state: BatchState, errors: Sequence[Mapping[str, Any]]) -> None:
        values = {"id": batch_id, "state": state, "errors": _text(list(errors)), "now": self._now()}
        tx.execute(QUERIES.set_refused, values)


def _batch(row: Sequence[Any]) -> OpenAIBatch:
    names = (
        "id", "workspace_id", "endpoint", "input_file_id", "model", "metadata", "mode", "request_id", "created_by",
        "created_at", "deadline", "output_seconds", "state", "errors", "cancelling_at", "ended_at", "status", "counts",
        "times", "output_file_id", "error_file_id",
    )  # fmt: skip
    members = dict(zip(names, row, strict=True))
    for name, empty in (("metadata", "{}"), ("errors", "[]"), ("counts", "{}"), ("times", "{}")):
        members[name] = json.loads(members[name] or empty)
    return OpenAIBatch(**{**members, "errors": tuple(members["errors"])})


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
