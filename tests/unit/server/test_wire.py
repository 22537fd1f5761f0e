"""The batch surface's words are those of the ledger, and its objects hold exactly what is promised."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest
from pydantic_core import PydanticCustomError

from amends.ledger import Counts, MemoryLedger, Run, RunState
from amends.problems import problem
from amends.server.wire import STATES, BatchPrediction, RunObject, batch_body, run_body, window_seconds
from tests.ledgers import HandClock, create

FIELDS = [
    "id",
    "object",
    "status",
    "model",
    "completion_window",
    "metadata",
    "request_counts",
    "created_at",
    "in_progress_at",
    "finalizing_at",
    "completed_at",
    "failed_at",
    "cancelling_at",
    "cancelled_at",
    "expires_at",
    "expired_at",
    "results_url",
    "error",
    "parent_id",
    "root_id",
    "paused_reason",
]


def some_run() -> Run:
    clock = HandClock()
    return create(MemoryLedger(clock=clock.wall, monotonic=clock.monotonic), 3)


def test_states_are_those_of_the_ledger_without_the_invisible_one() -> None:
    visible = set(get_args(RunState)) - {"receiving"}
    assert set(STATES) == visible
    assert set(get_args(BatchPrediction.model_fields["status"].annotation)) == visible


def test_batch_has_exactly_the_promised_fields() -> None:
    run = some_run()
    body = batch_body(run, "http://h")
    assert sorted(body) == sorted(FIELDS)
    BatchPrediction.model_validate(body, strict=True)
    RunObject.model_validate(run_body(run, "http://h"), strict=True)


def test_error_and_results_are_shown_at_the_end_only() -> None:
    run = some_run()
    failing = replace(run, state="finalizing", ending="failed", error=problem("validation_failed", "No."))
    assert (batch_body(failing, "http://h")["error"], batch_body(failing, "http://h")["results_url"]) == (None, None)
    body = batch_body(replace(failing, state="failed", failed_at=1.5), "http://h")
    assert body["results_url"] == f"http://h/v1/batch-predictions/{run.id}/results"
    assert (body["error"]["detail"], body["error"]["instance"]) == ("No.", f"/v1/batch-predictions/{run.id}")
    assert body["failed_at"] == "1970-01-01T00:00:01.500Z"


def test_counts_sum_to_the_total() -> None:
    run = some_run()
    counts = batch_body(replace(run, counts=Counts(9, 1, 2, 1, 1)), "http://h")["request_counts"]
    assert counts == {"total": 9, "processing": 4, "succeeded": 1, "errored": 2, "canceled": 1, "expired": 1}


@pytest.mark.parametrize(("window", "seconds"), [("15m", 900), ("24h", 86_400), ("7d", 604_800), ("168h", 604_800)])
def test_window_is_read(window: str, seconds: int) -> None:
    assert window_seconds(window) == seconds


@pytest.mark.parametrize(
    "window", ["", "14m", "0h", "8d", "169h", "1w", "15 m", "-15m", "015m", "1.5h", "15m\n", "١٥m"]
)
def test_other_windows_are_refused(window: str) -> None:
    with pytest.raises(PydanticCustomError):
        window_seconds(window)
