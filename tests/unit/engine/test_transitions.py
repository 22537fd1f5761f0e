"""The one table of a run's states, against the ledgers and its picture."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import get_args

import pytest

from amends.engine import TRANSITIONS, may_follow, mermaid
from amends.ledger import (
    TERMINAL,
    Counts,
    InvalidTransition,
    Ledger,
    Manifest,
    MemoryLedger,
    NewItem,
    RunNotFound,
    RunState,
)
from tests.engines import own_ledger
from tests.ledgers import new_run

NOTHING = Manifest(Counts(), 0, "", ())


def make(ledger: Ledger, state: RunState) -> str:
    """A run without pending items in the state."""
    run = new_run()
    ledger.open_run(run)
    if state == "receiving":
        return run.id
    ledger.append(run.id, [])
    ledger.seal(run.id, validate=state == "validating")
    match state:
        case "cancelling" | "cancelled":
            ledger.cancel(run.id)
        case "finalizing" | "completed":
            ledger.finalize(run.id)
        case "failed" | "expired":
            ledger.end(run.id, state)
    if state in TERMINAL:
        ledger.finish(run.id, NOTHING)
    return run.id


MOVES: dict[str, Callable[[Ledger, str], object]] = {
    "seal": lambda ledger, run_id: ledger.seal(run_id, validate=False),
    "seal to validate": lambda ledger, run_id: ledger.seal(run_id, validate=True),
    "start": lambda ledger, run_id: ledger.start(run_id),
    "cancel": lambda ledger, run_id: ledger.cancel(run_id),
    "fail": lambda ledger, run_id: ledger.end(run_id, "failed"),
    "expire": lambda ledger, run_id: ledger.end(run_id, "expired"),
    "finalize": lambda ledger, run_id: ledger.finalize(run_id),
    "finish": lambda ledger, run_id: ledger.finish(run_id, NOTHING),
}


@pytest.fixture(params=["memory", "sqlite"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    if request.param == "memory":
        yield MemoryLedger()
        return
    with own_ledger(tmp_path) as ledger:
        yield ledger


def test_the_table_knows_every_state() -> None:
    assert set(TRANSITIONS) == set(get_args(RunState))
    assert {state for state, followers in TRANSITIONS.items() if not followers} == TERMINAL


@pytest.mark.parametrize("state", get_args(RunState))
def test_the_ledgers_move_runs_by_the_table_only(ledger: Ledger, state: RunState) -> None:
    for name, move in MOVES.items():
        run_id = make(ledger, state)
        before: RunState = getattr(ledger.get(run_id), "state", "receiving")
        assert before == state
        try:
            move(ledger, run_id)
        except (InvalidTransition, RunNotFound):
            continue
        after: RunState = getattr(ledger.get(run_id), "state", "receiving")
        assert after == before or may_follow(before, after), f"{name}: {before} → {after}"


def test_every_line_of_the_table_can_be_walked(ledger: Ledger) -> None:
    walked = set()
    for state in TRANSITIONS:
        for move in MOVES.values():
            run_id = make(ledger, state)
            try:
                move(ledger, run_id)
            except (InvalidTransition, RunNotFound):
                continue
            after = getattr(ledger.get(run_id), "state", "receiving")
            walked.add((state, after))
    for ending in ("failed", "expired"):
        run_id = make(ledger, "in_progress")
        ledger.end(run_id, ending)
        walked.add(("finalizing", ledger.finish(run_id, NOTHING).state))
    assert walked >= {(state, follower) for state, followers in TRANSITIONS.items() for follower in followers}


def test_the_picture_shows_the_table() -> None:
    picture = mermaid()
    assert picture.startswith("stateDiagram-v2\n")
    for state, followers in TRANSITIONS.items():
        for follower in followers:
            assert f"    {state} --> {follower}: " in picture


def test_items_need_not_exist_for_a_run_to_end(ledger: Ledger) -> None:
    run = new_run()
    ledger.open_run(run)
    ledger.append(run.id, [NewItem("c", b"{}", b"")])
    with pytest.raises((InvalidTransition, RunNotFound)):
        ledger.finish(run.id, NOTHING)
