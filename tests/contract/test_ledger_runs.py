"""The life of a run: its states, what each step refuses, how it ends, and how it is forgotten."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from amends.ledger import Commit, Counts, InvalidTransition, Ledger, Manifest, Run, RunNotFound, RunState, line_members
from amends.problems import problem
from tests.ledgers import (
    START,
    HandClock,
    attempt,
    claim,
    complete,
    counts,
    create,
    defer,
    lines,
    manifest_of,
    read,
    request,
    retry_of,
    seqs,
    succeed,
    work_off,
)

CANCELLED = problem("batch_cancelled")
EXPIRED = problem("batch_expired")
MANIFEST = Manifest(Counts(), 0, "", ())

Step = Callable[[Ledger, str], Any]

STEPS: dict[str, Step] = {
    "settle": lambda ledger, run_id: ledger.settle(run_id, []),
    "start": lambda ledger, run_id: ledger.start(run_id),
    "cancel": lambda ledger, run_id: ledger.cancel(run_id),
    "end": lambda ledger, run_id: ledger.end(run_id, "expired"),
    "pause": lambda ledger, run_id: ledger.pause(run_id, "operator"),
    "resume": lambda ledger, run_id: ledger.resume(run_id),
    "extend": lambda ledger, run_id: ledger.extend(run_id),
    "sweep": lambda ledger, run_id: ledger.sweep(run_id, "canceled", CANCELLED),
    "fence": lambda ledger, run_id: ledger.fence(run_id),
    "finish": lambda ledger, run_id: ledger.finish(run_id, MANIFEST),
    "delete_lines": lambda ledger, run_id: ledger.delete_lines(run_id),
    "delete_run": lambda ledger, run_id: ledger.delete_run(run_id),
}

ALIVE = {"settle", "cancel", "end", "pause", "resume", "extend"}
GONE = {"delete_lines", "delete_run"}
ALLOWED: dict[RunState, set[str]] = {
    "validating": ALIVE | {"start"},
    "in_progress": ALIVE - {"settle"},
    "finalizing": {"sweep", "fence"},
    "cancelling": {"cancel", "sweep", "fence"},
    "completed": GONE,
    "failed": GONE,
    "cancelled": GONE | {"cancel"},
    "expired": GONE,
}


def bring_to(ledger: Ledger, state: RunState) -> Run:
    """A run of one item in that state, with the item still without an outcome where the state allows it."""
    run = create(ledger, 1, validate=state == "validating")
    if state == "completed":
        return complete(ledger, run)
    if state in ("cancelling", "cancelled"):
        ledger.cancel(run.id)
    elif state in ("finalizing", "failed", "expired"):
        ledger.end(run.id, "failed" if state == "failed" else "expired")
    if state in ("cancelled", "failed", "expired"):
        ledger.sweep(run.id, "canceled", CANCELLED)
        ledger.finish(run.id, manifest_of(read(ledger, run)))
    return read(ledger, run)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("state", ALLOWED)
def test_a_step_is_taken_from_the_states_that_allow_it_and_from_no_other(
    ledger: Ledger, state: RunState, step: str
) -> None:
    run = bring_to(ledger, state)
    assert run.state == state

    if step in ALLOWED[state]:
        STEPS[step](ledger, run.id)
        return
    with pytest.raises(InvalidTransition) as caught:
        STEPS[step](ledger, run.id)

    assert caught.value.state == state
    assert read(ledger, run) == run


@pytest.mark.parametrize("step", [*STEPS, "finalize"])
def test_a_step_of_no_run_is_refused(ledger: Ledger, step: str) -> None:
    steps = STEPS | {"finalize": lambda ledger, run_id: ledger.finalize(run_id)}

    with pytest.raises(RunNotFound):
        steps[step](ledger, "bpred_unknown")


@pytest.mark.parametrize(
    "reading", ["items", "results", "results_by_completion", "failures", "failed_items", "conservation"]
)
def test_reading_from_no_run_is_refused(ledger: Ledger, reading: str) -> None:
    with pytest.raises(RunNotFound):
        getattr(ledger, reading)("bpred_unknown")
    assert ledger.get("bpred_unknown") is None
    assert ledger.manifest("bpred_unknown") is None
    assert ledger.children("bpred_unknown") == []


def test_a_run_completes_when_the_finalizer_finds_nothing_left(ledger: Ledger, clock: HandClock) -> None:
    run = create(ledger, 2, validate=True)
    clock.advance(1)
    ledger.start(run.id)
    lease = claim(ledger)
    assert not ledger.finalize(run.id)
    succeed(ledger, lease)
    clock.advance(1)

    assert ledger.finalize(run.id)
    assert ledger.finalize(run.id)
    finalizing = read(ledger, run)
    clock.advance(1)
    manifest = Manifest(Counts(total=2, succeeded=2), 2, "ab" * 32, ("cd" * 32,))
    finished = ledger.finish(run.id, manifest)

    assert (finalizing.state, finalizing.ending, finalizing.finalizing_at) == ("finalizing", "completed", START + 2)
    assert (finished.state, finished.completed_at, finished.in_progress_at) == ("completed", START + 3, START + 1)
    assert (finished.failed_at, finished.cancelled_at, finished.expired_at) == (None, None, None)
    assert finished.is_terminal
    assert ledger.get(run.id) == finished
    assert ledger.manifest(run.id) == manifest
    assert not ledger.finalize(run.id)


@pytest.mark.parametrize("left", ["pending", "leased", "deferred"])
def test_the_finalizer_waits_for_every_item(ledger: Ledger, left: str) -> None:
    run = create(ledger, 2)
    lease = claim(ledger)
    succeed(ledger, lease, [0], final=left == "pending")
    if left == "deferred":
        defer(ledger, lease, [1])

    assert not ledger.finalize(run.id)

    assert read(ledger, run).state == "in_progress"


def test_a_run_that_is_not_in_progress_is_not_finalized(ledger: Ledger) -> None:
    assert not ledger.finalize(create(ledger, 0, validate=True).id)


def test_a_part_that_is_done_pauses_the_run_until_it_is_extended(ledger: Ledger) -> None:
    run = create(ledger, 4, limit_items=2)
    work_off(ledger, run)

    assert not ledger.finalize(run.id)
    paused = read(ledger, run)
    assert (paused.state, paused.paused_reason, paused.held) == ("in_progress", "limit", 2)
    extended = ledger.extend(run.id)
    assert (extended.paused_reason, extended.held) == (None, 0)
    assert seqs(claim(ledger)) == [2, 3]
    ledger.release_all()

    assert complete(ledger, run).counts == Counts(total=4, succeeded=4)


def test_a_pause_for_another_reason_outlives_the_part(ledger: Ledger) -> None:
    run = create(ledger, 2, limit_items=1)
    work_off(ledger, run)
    ledger.pause(run.id, "operator")

    assert not ledger.finalize(run.id)

    assert read(ledger, run).paused_reason == "operator"
    ledger.resume(run.id)
    assert read(ledger, run).paused_reason is None


def test_a_paused_run_with_nothing_left_is_finalized(ledger: Ledger) -> None:
    run = create(ledger, 1)
    work_off(ledger, run)
    ledger.pause(run.id, "operator")

    assert ledger.finalize(run.id)

    assert ledger.finish(run.id, MANIFEST).paused_reason is None


def test_cancelling_stops_workers_and_the_sweep_ends_the_rest(ledger: Ledger, clock: HandClock) -> None:
    run = create(ledger, 6, limit_items=5)
    lease = claim(ledger, max_items=3)
    defer(ledger, lease, [2])
    clock.advance(1)

    cancelled = ledger.cancel(run.id)

    assert (cancelled.state, cancelled.ending, cancelled.cancelling_at) == ("cancelling", "cancelled", START + 1)
    assert ledger.cancel(run.id) == cancelled
    assert ledger.claim(request()) is None
    assert ledger.renew(lease.id, 10) == "stopping"
    assert ledger.sweep(run.id, "canceled", CANCELLED) == 4
    assert ledger.sweep(run.id, "canceled", CANCELLED) == 0
    assert not ledger.finalize(run.id)
    assert succeed(ledger, lease, [0], final=True), "what was done when the cancel came is kept"
    assert ledger.sweep(run.id, "canceled", CANCELLED) == 1
    assert ledger.finalize(run.id)

    finished = ledger.finish(run.id, MANIFEST)
    assert (finished.state, finished.cancelled_at, finished.held) == ("cancelled", START + 1, 0)
    assert finished.counts == Counts(total=6, succeeded=1, canceled=5)
    assert ledger.cancel(run.id) == finished


def test_a_swept_item_has_a_line_that_says_why(ledger: Ledger) -> None:
    run = create(ledger, 1)
    ledger.cancel(run.id)

    ledger.sweep(run.id, "canceled", CANCELLED)

    [line] = lines(ledger.results(run.id).lines)
    assert (line["custom_id"], line["status"], line["output"], line["attempts"]) == ("item-0", "canceled", None, 0)
    assert line["error"]["type"] == f"{run.public_url}/errors/batch_cancelled"
    assert line["error"]["instance"] == f"/v1/batch-predictions/{run.id}/items/item-0"
    assert line["error"]["request_id"] == run.request_id


def test_a_swept_item_that_was_deferred_tells_its_attempts(ledger: Ledger) -> None:
    run = create(ledger, 3)
    defer(ledger, claim(ledger, max_items=2), [0, 1], attempts=4)
    ledger.cancel(run.id)

    ledger.sweep(run.id, "canceled", CANCELLED)

    assert [line["attempts"] for line in lines(ledger.results(run.id).lines)] == [4, 4, 0]


def test_a_sweep_keeps_within_its_limit(ledger: Ledger) -> None:
    run = create(ledger, 5)
    lease = claim(ledger, max_items=2)
    defer(ledger, lease, [0, 1])
    ledger.cancel(run.id)

    assert [ledger.sweep(run.id, "canceled", CANCELLED, limit=2) for _ in range(4)] == [2, 2, 1, 0]


def test_a_run_that_ends_is_fenced_after_the_grace(ledger: Ledger) -> None:
    run = create(ledger, 4, deadline=START)
    leases = [claim(ledger, max_items=2) for _ in range(2)]
    other = claim_of_another_run(ledger)
    ledger.end(run.id, "expired")

    assert ledger.renew(leases[0].id, 10) == "stopping"
    assert ledger.fence(run.id) == 2
    assert ledger.fence(run.id) == 0

    assert [ledger.renew(lease.id, 10) for lease in leases] == ["fenced", "fenced"]
    assert not succeed(ledger, leases[0])
    assert ledger.renew(other, 10) == "held"
    assert ledger.sweep(run.id, "expired", EXPIRED) == 4
    finished = ledger.finish(run.id, MANIFEST)
    assert (finished.state, finished.counts) == ("expired", Counts(total=4, expired=4))


def claim_of_another_run(ledger: Ledger) -> str:
    create(ledger, 1, kind="other")
    return claim(ledger, kinds=frozenset({"other"})).id


def test_a_run_ends_failed_with_its_problem(ledger: Ledger, clock: HandClock) -> None:
    run = create(ledger, 2, validate=True)
    clock.advance(4)
    ledger.end(run.id, "failed", problem("validation_failed", "An item cannot be processed."))
    ledger.sweep(run.id, "errored", problem("batch_validation_failed"))

    finished = ledger.finish(run.id, MANIFEST)

    assert (finished.state, finished.finalizing_at, finished.failed_at) == ("failed", START + 4, START + 4)
    assert (finished.in_progress_at, finished.counts) == (None, Counts(total=2, errored=2))
    assert finished.error is not None
    assert finished.error.detail == "An item cannot be processed."


def test_a_run_with_something_left_is_not_finished(ledger: Ledger) -> None:
    run = create(ledger, 3, limit_items=2)
    lease = claim(ledger, max_items=1)
    ledger.cancel(run.id)
    for step in ("sweep", "report"):
        with pytest.raises(InvalidTransition):
            ledger.finish(run.id, MANIFEST)
        if step == "sweep":
            ledger.sweep(run.id, "canceled", CANCELLED)
    succeed(ledger, lease)

    assert ledger.finish(run.id, MANIFEST).state == "cancelled"
    assert ledger.conservation(run.id).outcomes == 3


def test_runs_are_found_newest_first_in_pages(ledger: Ledger) -> None:
    runs = [create(ledger, 1) for _ in range(5)]
    ids = [run.id for run in reversed(runs)]
    stranger = create(ledger, 1, workspace_id="ws_b")

    assert [run.id for run in ledger.find("ws_a")] == ids
    assert [run.id for run in ledger.find("ws_a", limit=2)] == ids[:2]
    assert [run.id for run in ledger.find("ws_a", limit=2, after=ids[1])] == ids[2:4]
    assert ledger.find("ws_a", after=ids[-1]) == []
    assert [run.id for run in ledger.find("ws_b")] == [stranger.id]
    assert ledger.find("ws_c") == []


def test_runs_are_found_by_kind_and_state(ledger: Ledger) -> None:
    first, second = create(ledger, 1), create(ledger, 1, kind="train")
    ledger.cancel(first.id)

    assert [run.id for run in ledger.find("ws_a", kind="train")] == [second.id]
    assert [run.id for run in ledger.find("ws_a", state="cancelling")] == [first.id]
    assert ledger.find("ws_a", kind="train", state="cancelling") == []


def test_unfinished_runs_are_told_oldest_first_of_all_workspaces(ledger: Ledger) -> None:
    first = create(ledger, 1)
    done = complete(ledger, create(ledger, 1, kind="done"))
    second = create(ledger, 1, workspace_id="ws_b", validate=True)
    ledger.cancel(first.id)

    assert done.is_terminal
    assert [run.id for run in ledger.unfinished()] == [first.id, second.id]


def test_deleted_lines_are_gone_but_the_run_and_its_counts_stay(ledger: Ledger, clock: HandClock) -> None:
    run = complete(ledger, create(ledger, 4), failing=[1, 2])
    other = complete(ledger, create(ledger, 1))
    clock.advance(30)

    ledger.delete_lines(run.id)
    ledger.delete_lines(run.id)

    for _ in range(2):
        left = read(ledger, run)
        assert (left.lines_deleted_at, left.counts) == (START + 30, run.counts)
        assert ledger.results(run.id).lines == ledger.results(run.id, status="errored").lines == b""
        assert ledger.results(run.id, lineage=True).count == ledger.results_by_completion(run.id).count == 0
        record = ledger.item(run.id, "item-1")
        assert record is not None
        assert (record.place, record.line) == ("ended", None)
        assert [(group.count, list(group.examples)) for group in ledger.failures(run.id)] == [(2, [])]
        assert [(group.count, list(group.examples)) for group in ledger.failures(run.id, lineage=True)] == [(2, [])]
        assert ledger.manifest(run.id) is not None
        while ledger.clean(1):
            pass
    assert ledger.results(other.id).count == 1


def test_a_run_whose_lines_are_deleted_can_still_be_retried(ledger: Ledger) -> None:
    run = complete(ledger, create(ledger, 3), failing=[2])
    ledger.delete_lines(run.id)
    while ledger.clean():
        pass

    child = complete(ledger, retry_of(ledger, run))

    assert child.counts == Counts(total=1, succeeded=1)
    merged = lines(ledger.results(run.id, lineage=True).lines)
    assert [line["custom_id"] for line in merged] == ["item-2"]


def test_a_deleted_run_is_forgotten_whole(ledger: Ledger) -> None:
    run, kept = create(ledger, 20), create(ledger, 5, kind="kept")
    lease = claim(ledger, max_items=1, kinds=frozenset({"predict"}))
    ledger.commit(Commit(lease.id, attempts=[attempt(0, 1)], deaths=[0], final=True))
    complete(ledger, run)

    ledger.delete_run(run.id)

    assert ledger.get(run.id) is None
    assert ledger.item(run.id, "item-0") is None
    assert ledger.manifest(run.id) is None
    assert [found.id for found in ledger.find("ws_a")] == [kept.id]
    with pytest.raises(RunNotFound):
        ledger.delete_run(run.id)
    while ledger.clean(3):
        assert counts(ledger, kept) == Counts(total=5)
    assert complete(ledger, kept).counts == Counts(total=5, succeeded=5)


def test_an_items_record_tells_everything(ledger: Ledger) -> None:
    run = complete(ledger, create(ledger, 2), failing=[1])

    record = ledger.item(run.id, "item-1")

    assert record is not None
    assert (record.seq, record.payload, record.input_hash, record.origin) == (
        1,
        b'{"input":1}',
        b"\x00\x00\x00\x01",
        None,
    )
    assert record.line is not None
    line = line_members(record.line)
    assert (line["object"], line["batch_id"]) == ("batch_prediction.result", run.id)
    assert (line["custom_id"], line["status"]) == ("item-1", "errored")


def test_lines_and_runs_go_by_their_own_schedules_and_a_lineage_as_a_whole(ledger: Ledger, clock: HandClock) -> None:
    alone = complete(ledger, create(ledger, 2))
    root = complete(ledger, create(ledger, 2), failing=[1])
    clock.advance(10)
    between = clock.wall()
    child = retry_of(ledger, root)
    assert ledger.outdated(lines_before=between, runs_before=between) == ([alone.id], [alone.id])

    clock.advance(10)
    complete(ledger, child)
    assert ledger.outdated(lines_before=between, runs_before=between) == ([alone.id], [alone.id])
    clock.advance(10)
    lines, runs = ledger.outdated(lines_before=clock.wall(), runs_before=between)
    assert (set(lines), runs) == ({alone.id, root.id, child.id}, [alone.id])

    for run_id in lines:
        ledger.delete_lines(run_id)
    assert ledger.outdated(lines_before=clock.wall(), runs_before=0.0) == ([], [])
    assert set(ledger.outdated(lines_before=0.0, runs_before=clock.wall())[1]) == {alone.id, root.id, child.id}


def test_oldest_ends_are_outdated_first_and_no_more_than_asked_for(ledger: Ledger, clock: HandClock) -> None:
    runs = []
    for _ in range(3):
        runs.append(complete(ledger, create(ledger, 1)).id)
        clock.advance(1)
    assert ledger.outdated(lines_before=clock.wall(), runs_before=clock.wall(), limit=2) == (runs[:2], runs[:2])


def test_a_cool_down_is_remembered_until_it_is_over(ledger: Ledger, clock: HandClock) -> None:
    ledger.calm("acme/chat/0", 10.0)
    ledger.calm("acme/chat/1", 3.0)
    clock.advance(2.0)
    ledger.calm("acme/chat/0", 1.0)
    ledger.calm("acme/chat/1", 5.0)

    assert ledger.cool_downs() == pytest.approx({"acme/chat/0": 8.0, "acme/chat/1": 5.0})

    clock.advance(6.0)
    assert ledger.cool_downs() == pytest.approx({"acme/chat/0": 2.0})
