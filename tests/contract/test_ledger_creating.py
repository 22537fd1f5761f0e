"""Creating runs: receiving, sealing, what is held back, what is abandoned."""

from __future__ import annotations

from typing import Any

import pytest

from amends.ledger import Counts, DuplicateCustomIds, Ledger, NewItem, RunNotFound, Sample, TooManyRuns
from amends.problems import problem
from tests.ledgers import (
    START,
    HandClock,
    claim,
    complete,
    create,
    failure,
    leased,
    new_items,
    new_run,
    read,
    request,
    seqs,
    work_off,
)


def test_a_workspace_opens_no_more_runs_than_it_may(ledger: Ledger) -> None:
    first = new_run()
    ledger.open_run(first, most=2)  # receiving counts
    second = create(ledger)
    with pytest.raises(TooManyRuns):
        ledger.open_run(new_run("bpred_x"), most=2)
    ledger.open_run(new_run(workspace_id="ws_b"), most=1)
    ledger.open_run(third := new_run())
    ledger.abandon(third.id)
    ledger.abandon(first.id)
    complete(ledger, second)
    ledger.open_run(new_run("bpred_x"), most=1)


def test_a_receiving_run_is_invisible(ledger: Ledger) -> None:
    run = new_run()
    ledger.open_run(run)
    ledger.append(run.id, new_items(3))

    assert ledger.get(run.id) is None
    assert ledger.find("ws_a") == []
    assert ledger.unfinished() == []
    assert ledger.item(run.id, "item-0") is None
    assert ledger.claim(request()) is None
    with pytest.raises(RunNotFound):
        ledger.cancel(run.id)
    with pytest.raises(RunNotFound):
        ledger.start(run.id)


def test_a_sealed_run_is_as_its_creator_stated_it(ledger: Ledger, clock: HandClock) -> None:
    statement = new_run(
        mode="test",
        metadata={"team": "Ärger"},
        validation="strict",
        failure_tolerance=0.25,
        priority=3,
        completion_window="24h",
        deadline=START + 86_400,
        created_by="user_1",
    )
    clock.advance(2)

    run = create(ledger, 3, run=statement)

    for name in ("id", "workspace_id", "kind", "model", "params", "mode", "metadata", "request_id", "public_url"):
        assert getattr(run, name) == getattr(statement, name)
    for name in ("validation", "failure_tolerance", "priority", "completion_window", "deadline", "created_by"):
        assert getattr(run, name) == getattr(statement, name)
    assert (run.created_at, run.in_progress_at) == (START, START + 2)
    assert (run.state, run.ending, run.paused_reason, run.error) == ("in_progress", None, None, None)
    assert (run.parent_id, run.root_id, run.held) == (None, run.id, 0)
    assert run.counts == Counts(total=3)
    assert ledger.get(run.id) == run


def test_seqs_go_on_from_one_append_to_the_next(ledger: Ledger) -> None:
    run = new_run()
    ledger.open_run(run)
    ledger.append(run.id, new_items(2))
    ledger.append(run.id, [])
    ledger.append(run.id, new_items(2, prefix="more-"))
    ledger.seal(run.id, validate=False)

    assert [(seq, custom_id) for seq, custom_id, _ in ledger.items(run.id)] == [
        (0, "item-0"),
        (1, "item-1"),
        (2, "more-0"),
        (3, "more-1"),
    ]


def test_items_are_read_in_pages(ledger: Ledger) -> None:
    run = create(ledger, 5)

    assert [seq for seq, _, _ in ledger.items(run.id, limit=2)] == [0, 1]
    assert [seq for seq, _, _ in ledger.items(run.id, after=1, limit=2)] == [2, 3]
    assert ledger.items(run.id, after=3) == [(4, "item-4", b'{"input":1}')]
    assert ledger.items(run.id, after=4) == []


def test_ten_thousand_items_a_call_are_taken_and_found(ledger: Ledger) -> None:
    run = create(ledger, 10_000)

    assert run.counts.total == 10_000
    record = ledger.item(run.id, "item-9999")
    assert record is not None
    assert record.seq == 9_999


@pytest.mark.parametrize("custom_id", ["ä", "日本語 🚀", "a b", '"quoted"', "a\\b", "x" * 256, "'", "%_"])
def test_any_custom_id_is_kept_as_it_is(ledger: Ledger, custom_id: str) -> None:
    payload = '{"input":"tabs \\t and Ünïcode"}'.encode()
    run = create(ledger, [NewItem(custom_id, payload, b"\x00\xff")])

    record = ledger.item(run.id, custom_id)

    assert record is not None
    assert (record.custom_id, record.payload, record.input_hash) == (custom_id, payload, b"\x00\xff")
    [item] = leased(claim(ledger))
    assert (item.custom_id, item.payload) == (custom_id, payload)


def test_duplicates_are_named_in_submission_order_and_the_run_stays_receiving(ledger: Ledger) -> None:
    run = new_run()
    names = ["b", "a", "b", "c", "a", "b"]
    ledger.open_run(run)
    ledger.append(run.id, [NewItem(name, b"{}", b"") for name in names])

    with pytest.raises(DuplicateCustomIds) as caught:
        ledger.seal(run.id, validate=True)

    assert list(caught.value.duplicates) == [(2, "b"), (4, "a"), (5, "b")]
    assert caught.value.total == 3
    assert ledger.get(run.id) is None
    ledger.abandon(run.id)
    with pytest.raises(RunNotFound):
        ledger.append(run.id, new_items(1))


def test_at_most_a_thousand_duplicates_are_named_but_all_are_counted(ledger: Ledger) -> None:
    run = new_run()
    ledger.open_run(run)
    ledger.append(run.id, [NewItem("same", b"{}", b"") for _ in range(1_500)])

    with pytest.raises(DuplicateCustomIds) as caught:
        ledger.seal(run.id, validate=False)

    assert list(caught.value.duplicates) == [(n, "same") for n in range(1, 1_001)]
    assert caught.value.total == 1_499


def test_the_same_custom_id_may_stand_in_two_runs(ledger: Ledger) -> None:
    first, second = create(ledger, 1), create(ledger, 1)

    assert ledger.item(first.id, "item-0") is not None
    assert ledger.item(second.id, "item-0") is not None


def test_a_run_of_no_items_completes(ledger: Ledger) -> None:
    run = create(ledger, 0)

    assert ledger.claim(request()) is None
    assert ledger.finalize(run.id)
    assert read(ledger, run).state == "finalizing"


def test_a_run_that_validates_is_not_leased(ledger: Ledger) -> None:
    run = create(ledger, 2, validate=True)

    assert (run.state, run.in_progress_at) == ("validating", None)
    assert ledger.claim(request()) is None


def test_only_a_receiving_run_takes_items_and_is_sealed(ledger: Ledger) -> None:
    run = create(ledger, 1)

    for run_id in (run.id, "bpred_unknown"):
        with pytest.raises(RunNotFound):
            ledger.append(run_id, new_items(1))
        with pytest.raises(RunNotFound):
            ledger.seal(run_id, validate=False)


def test_an_abandoned_run_is_gone_at_once_and_its_rows_in_slices(ledger: Ledger) -> None:
    run = new_run()
    ledger.open_run(run)
    ledger.append(run.id, new_items(10))

    ledger.abandon(run.id)

    with pytest.raises(RunNotFound):
        ledger.append(run.id, new_items(1))
    cleaned = [ledger.clean(4)]
    while cleaned[-1]:
        cleaned.append(ledger.clean(4))
    assert len(cleaned) > 2
    assert ledger.clean() == 0


def test_abandoning_leaves_every_other_state_alone(ledger: Ledger) -> None:
    run = create(ledger, 1)

    ledger.abandon(run.id)
    ledger.abandon("bpred_unknown")

    assert read(ledger, run) == run


def test_an_owner_that_starts_abandons_what_was_being_received(ledger: Ledger) -> None:
    kept, receiving = create(ledger, 1), [new_run(), new_run()]
    for run in receiving:
        ledger.open_run(run)

    assert ledger.abandon_receiving() == 2
    assert ledger.abandon_receiving() == 0
    for run in receiving:
        with pytest.raises(RunNotFound):
            ledger.seal(run.id, validate=False)
    assert read(ledger, kept) == kept


def test_limit_items_holds_all_but_the_first(ledger: Ledger) -> None:
    run = create(ledger, 5, limit_items=2)

    assert run.held == 3
    assert seqs(claim(ledger)) == [0, 1]
    assert ledger.claim(request()) is None


def test_a_limit_beyond_the_last_item_holds_nothing(ledger: Ledger) -> None:
    assert create(ledger, 5, limit_items=5).held == 0
    assert create(ledger, 5, sample=Sample(9)).held == 0


def test_the_same_seed_draws_the_same_sample(ledger: Ledger) -> None:
    drawn = []
    for _ in range(2):
        run = create(ledger, 50, sample=Sample(10, seed=3))
        work_off(ledger, run)
        drawn.append([seq for seq, name, _ in ledger.items(run.id) if place_of(ledger, run.id, name) == "ended"])
        assert run.held == 40
    assert drawn[0] == drawn[1]
    assert len(drawn[0]) == 10


def place_of(ledger: Ledger, run_id: str, custom_id: str) -> str:
    record = ledger.item(run_id, custom_id)
    assert record is not None
    return record.place


def test_settled_items_leave_their_spans(ledger: Ledger) -> None:
    run = create(ledger, 6, validate=True, limit_items=4)
    items = [(seq, custom_id) for seq, custom_id, _ in ledger.items(run.id)]

    ledger.settle(run.id, [_settled(run.id, *items[n]) for n in (1, 3, 4)])

    settled = read(ledger, run)
    assert (settled.counts, settled.held) == (Counts(total=6, errored=3), 1)
    ledger.start(run.id)
    assert seqs(claim(ledger)) == [0]
    assert seqs(claim(ledger)) == [2]
    ledger.extend(run.id)
    assert seqs(claim(ledger)) == [5]


def _settled(run_id: str, seq: int, custom_id: str) -> Any:
    from amends.ledger import LeasedItem

    return failure(run_id, LeasedItem(seq, custom_id, b""), "file_not_found")


def test_an_item_is_settled_once(ledger: Ledger) -> None:
    run = create(ledger, 2, validate=True)
    ledger.settle(run.id, [_settled(run.id, 0, "item-0")])

    for wrong in ([0], [1, 1], [2]):
        with pytest.raises(ValueError, match="item"):
            ledger.settle(run.id, [_settled(run.id, seq, f"item-{seq}") for seq in wrong])
    assert read(ledger, run).counts == Counts(total=2, errored=1)


def test_also_is_done_with_the_step_or_not_at_all(ledger: Ledger) -> None:
    done: list[str] = []

    def refuse(transaction: Any) -> None:
        raise KeyError("refused")

    run = new_run()
    with pytest.raises(KeyError):
        ledger.open_run(run, also=refuse)
    ledger.open_run(run, also=lambda transaction: done.append("opened"))
    ledger.append(run.id, new_items(2))
    with pytest.raises(KeyError):
        ledger.seal(run.id, validate=False, also=refuse)
    assert ledger.get(run.id) is None
    ledger.seal(run.id, validate=False, also=lambda transaction: done.append("sealed"))
    with pytest.raises(KeyError):
        ledger.cancel(run.id, also=refuse)
    with pytest.raises(KeyError):
        ledger.extend(run.id, also=refuse)
    assert ledger.get(run.id) is not None
    ledger.extend(run.id, also=lambda transaction: done.append("extended"))
    ledger.cancel(run.id, also=lambda transaction: done.append("cancelled"))
    ledger.cancel(run.id, also=lambda transaction: done.append("cancelled again"))

    assert done == ["opened", "sealed", "extended", "cancelled", "cancelled again"]


def test_a_child_has_its_parents_root(ledger: Ledger) -> None:
    root = create(ledger, 1)
    child = create(ledger, [NewItem("item-0", b"{}", b"", origin=0)], parent_id=root.id)
    grandchild = create(ledger, [NewItem("item-0", b"{}", b"", origin=0)], parent_id=child.id)

    assert (child.parent_id, child.root_id) == (root.id, root.id)
    assert (grandchild.parent_id, grandchild.root_id) == (child.id, root.id)
    for run in (root, child, grandchild):
        assert [found.id for found in ledger.children(run.id)] == [child.id, grandchild.id]
    record = ledger.item(grandchild.id, "item-0")
    assert record is not None
    assert record.origin == 0


def test_a_run_that_failed_keeps_its_problem(ledger: Ledger) -> None:
    run = create(ledger, 1)
    ledger.end(run.id, "failed", problem("validation_failed", "Nothing fits."))

    error = read(ledger, run).error

    assert error is not None
    assert (error.slug, error.detail) == ("validation_failed", "Nothing fits.")
