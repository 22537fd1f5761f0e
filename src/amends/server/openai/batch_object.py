"""A batch as OpenAI's API shows it, from what is stored of it and from its run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from pydantic import BaseModel

from amends.ledger import Run
from amends.store import OpenAIBatch

Status = Literal["validating", "failed", "in_progress", "finalizing", "completed", "expired", "cancelling", "cancelled"]

_ENDS: Final = ("completed_at", "failed_at", "expired_at", "cancelled_at")
_TIMES: Final = ("in_progress_at", "finalizing_at", "cancelling_at", *_ENDS)


class BatchFault(BaseModel):
    code: str
    line: int | None
    message: str
    param: str | None


class BatchFaults(BaseModel):
    object: Literal["list"] = "list"
    data: list[BatchFault]


class RequestCounts(BaseModel):
    total: int
    completed: int
    failed: int


class BatchObject(BaseModel):
    """A batch. Times are Unix seconds. A batch is a run, whose id it has: ``/v1/runs/{id}``."""

    id: str
    object: Literal["batch"] = "batch"
    endpoint: str
    model: str | None
    errors: BatchFaults | None
    input_file_id: str
    completion_window: Literal["24h"] = "24h"
    status: Status
    output_file_id: str | None
    error_file_id: str | None
    created_at: int
    in_progress_at: int | None
    expires_at: int
    finalizing_at: int | None
    completed_at: int | None
    failed_at: int | None
    expired_at: int | None
    cancelling_at: int | None
    cancelled_at: int | None
    request_counts: RequestCounts
    metadata: dict[str, str] | None


class BatchList(BaseModel):
    object: Literal["list"] = "list"
    data: list[BatchObject]
    first_id: str | None
    last_id: str | None
    has_more: bool


def batch_object(batch: OpenAIBatch, run: Run | None) -> BatchObject:
    """The batch as it stands. run: its own, None where there is none yet, or not any more."""
    is_written = batch.state == "written"
    times = _times(batch, run)
    faults = [BatchFault(**fault) for fault in batch.errors] or _faults_of(run)
    return BatchObject(
        id=batch.id,
        endpoint=batch.endpoint,
        model=batch.model,
        errors=BatchFaults(data=faults) if faults else None,
        input_file_id=batch.input_file_id,
        status=status_of(batch, run, is_written=is_written),
        output_file_id=batch.output_file_id,
        error_file_id=batch.error_file_id,
        created_at=int(batch.created_at),
        expires_at=int(batch.deadline),
        request_counts=RequestCounts(**(batch.counts if is_written else counts_of(run))),
        metadata=dict(batch.metadata) or None,
        in_progress_at=_seconds(times, "in_progress_at"),
        finalizing_at=_seconds(times, "finalizing_at"),
        completed_at=_seconds(times, "completed_at"),
        failed_at=_seconds(times, "failed_at"),
        expired_at=_seconds(times, "expired_at"),
        cancelling_at=_seconds(times, "cancelling_at"),
        cancelled_at=_seconds(times, "cancelled_at"),
    )


def _seconds(times: Mapping[str, float], name: str) -> int | None:
    return int(times[name]) if name in times else None


def _times(batch: OpenAIBatch, run: Run | None) -> Mapping[str, float]:
    if batch.state == "written":
        return batch.times
    times = times_of(run)
    for name in _ENDS:  # its files are still to be made
        times.pop(name, None)
    if batch.cancelling_at is not None:
        times.setdefault("cancelling_at", batch.cancelling_at)
    if batch.ended_at is not None:
        times[f"{batch.state}_at"] = batch.ended_at
    return times


def status_of(batch: OpenAIBatch, run: Run | None, *, is_written: bool) -> Any:
    """The batch's status; one whose files are not made yet has not ended."""
    if batch.state in ("failed", "cancelled"):
        return batch.state
    if batch.status is not None:
        return batch.status
    if batch.state == "reading":
        return "validating" if batch.cancelling_at is None else "cancelling"
    if run is None:  # retention has overtaken it
        return "completed"
    if run.is_terminal and not is_written:
        return "cancelling" if run.state == "cancelled" else "finalizing"
    return run.state


def counts_of(run: Run | None) -> dict[str, int]:
    """Requests that succeeded, and those that ended otherwise."""
    if run is None:
        return {"total": 0, "completed": 0, "failed": 0}
    counts = run.counts
    return {"total": counts.total, "completed": counts.succeeded, "failed": counts.ended - counts.succeeded}


def times_of(run: Run | None) -> dict[str, float]:
    """When the run came into which state."""
    return {name: at for name in _TIMES if run is not None and (at := getattr(run, name)) is not None}


def _faults_of(run: Run | None) -> list[BatchFault]:
    """What ended a run that failed on its way: credit that ran out, for one."""
    error: Mapping[str, Any] = run.error.to_body("") if run is not None and run.error is not None else {}
    return [BatchFault(code=error["code"], line=None, message=error["detail"], param=None)] if error else []
