"""Reading results: streams and their cursors, failures, and lineages of retries."""

from __future__ import annotations

from typing import Any

import pytest

from amends.ledger import Commit, Ledger, NewItem, Outcome, ResultChunk, ResultLines, Run, line_head
from amends.problems import problem
from tests.ledgers import (
    HandClock,
    claim,
    complete,
    create,
    defer,
    fail,
    leased,
    lines,
    manifest_of,
    new_run,
    read,
    request,
    retry_of,
    succeed,
    work_off,
)


def names(chunk: ResultChunk) -> list[str]:
    return [line["custom_id"] for line in lines(chunk.lines)]


def all_names(ledger: Ledger, run: Run, limit: int, **options: Any) -> list[str]:
    """The whole stream, chunk by chunk."""
    found: list[str] = []
    after = -1
    while (chunk := ledger.results(run.id, after=after, limit=limit, **options)).count:
        assert len(names(chunk)) == chunk.count <= limit
        assert chunk.last is not None
        assert chunk.last > after
        found += names(chunk)
        after = chunk.last
    assert (chunk.lines, chunk.last) == (b"", None)
    return found


def test_lines_are_whole_and_in_submission_order(ledger: Ledger) -> None:
    run = create(ledger, 3)
    lease = claim(ledger)
    for seq in (2, 0, 1):
        succeed(ledger, lease, [seq])

    chunk = ledger.results(run.id)

    assert names(chunk) == ["item-0", "item-1", "item-2"]
    assert (chunk.count, chunk.last) == (3, 2)
    assert all(line.startswith(line_head(run.id)) for line in chunk.lines.splitlines())
    assert chunk.lines.endswith(b"}\n")
    assert lines(chunk.lines)[0] == {
        "object": "batch_prediction.result",
        "batch_id": run.id,
        "custom_id": "item-0",
        "status": "succeeded",
        "output": {"n": 1},
        "error": None,
        "usage": None,
        "attempts": 1,
        "elapsed_ms": 0,
        "evidence": None,
    }


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_a_stream_goes_on_after_its_cursor_under_every_filter(ledger: Ledger, limit: int) -> None:
    run = complete(ledger, create(ledger, 9), failing=[0, 4, 5, 8])

    assert all_names(ledger, run, limit) == [f"item-{n}" for n in range(9)]
    assert all_names(ledger, run, limit, status="errored") == ["item-0", "item-4", "item-5", "item-8"]
    assert all_names(ledger, run, limit, status="succeeded") == ["item-1", "item-2", "item-3", "item-6", "item-7"]
    assert all_names(ledger, run, limit, status="expired") == []
    assert names(ledger.results(run.id, after=5, status="errored")) == ["item-8"]


def test_one_runs_results_hold_no_other_runs_lines(ledger: Ledger) -> None:
    runs = [complete(ledger, create(ledger, 2, workspace_id=f"ws_{n}"), failing=[1]) for n in range(3)]

    for run in runs:
        for options in ({}, {"partial": True}, {"lineage": True}, {"status": "errored"}):
            chunk = ledger.results(run.id, **options)
            assert {line["batch_id"] for line in lines(chunk.lines)} == {run.id}
        assert {line["batch_id"] for line in lines(ledger.results_by_completion(run.id).lines)} == {run.id}
        assert len(ledger.items(run.id)) == 2
        assert [seq for seq, _, _ in ledger.failed_items(run.id)] == [1]


@pytest.mark.parametrize("place", ["pending", "leased", "deferred", "deferred and leased", "held"])
def test_a_partial_stream_stops_before_the_first_item_without_an_outcome(ledger: Ledger, place: str) -> None:
    run = create(ledger, 4, limit_items=2 if place == "held" else None)
    lease = claim(ledger, max_items=2)
    succeed(ledger, lease)
    if place != "held":
        lease = claim(ledger)
        succeed(ledger, lease, [3])
    if place == "pending":
        ledger.release_all()
    if place.startswith("deferred"):
        defer(ledger, lease, [2], 0.0)
    if place == "deferred and leased":
        claim(ledger)

    assert all_names(ledger, run, 1, partial=True) == ["item-0", "item-1"]
    assert all_names(ledger, run, 10, partial=True, lineage=True) == ["item-0", "item-1"]
    assert all_names(ledger, run, 10) == ["item-0", "item-1", *(["item-3"] if place != "held" else [])]


def test_a_partial_stream_of_a_finished_run_is_whole(ledger: Ledger) -> None:
    run = complete(ledger, create(ledger, 3))

    assert all_names(ledger, run, 2, partial=True) == ["item-0", "item-1", "item-2"]


def test_a_chunk_weighs_about_one_mebibyte_at_most(ledger: Ledger) -> None:
    run = create(ledger, 10)
    lease, output = claim(ledger), b'{"text":"%b"}' % (b"x" * 250_000)
    composed = ResultLines(run.id, "", "http://test")
    ledger.commit(
        Commit(
            lease.id,
            [Outcome(i.seq, "succeeded", None, 1, 0, composed.succeeded(i.custom_id, output)) for i in leased(lease)],
        )
    )

    first = ledger.results(run.id)

    assert 3 <= first.count <= 5
    assert all_names(ledger, run, 100) == [f"item-{n}" for n in range(10)]


def test_a_line_that_is_a_blob_is_named_by_its_hash(ledger: Ledger) -> None:
    run = create(ledger, 2)
    lease = claim(ledger)
    blob = b"@" + b"ab" * 32
    ledger.commit(Commit(lease.id, [Outcome(0, "succeeded", None, 1, 0, blob)]))
    succeed(ledger, lease, [1])

    first, _ = ledger.results(run.id).lines.splitlines()

    assert first == line_head(run.id) + blob
    record = ledger.item(run.id, "item-0")
    assert record is not None
    assert record.line == first


def test_results_are_read_in_the_order_of_completion_too(ledger: Ledger, clock: HandClock) -> None:
    run = create(ledger, 6)
    lease = claim(ledger)
    order = [[4], [0, 1, 5], [3]]
    for group in order:
        succeed(ledger, lease, group)
    fail(ledger, lease, [2])

    found, after = [], -1
    while (chunk := ledger.results_by_completion(run.id, after=after, limit=2)).count:
        found += lines(chunk.lines)
        assert chunk.last is not None
        assert found[-1]["cursor"] == str(chunk.last)
        after = chunk.last

    assert [line["custom_id"] for line in found] == [f"item-{n}" for n in (4, 0, 1, 5, 3, 2)]
    assert [int(line["cursor"]) for line in found] == [0, 1, 2, 3, 4, 5]
    errored = ledger.results_by_completion(run.id, status="errored")
    assert [(line["custom_id"], line["cursor"]) for line in lines(errored.lines)] == [("item-2", "5")]


def test_outcomes_appear_after_a_cursor_as_they_are_committed(ledger: Ledger) -> None:
    run = create(ledger, 3)
    lease = claim(ledger)
    succeed(ledger, lease, [2])
    first = ledger.results_by_completion(run.id)
    assert first.last == 0
    assert ledger.results_by_completion(run.id, after=0).count == 0
    succeed(ledger, lease, [0])

    assert names(ledger.results_by_completion(run.id, after=0)) == ["item-0"]


def test_failures_are_grouped_by_type_the_largest_first(ledger: Ledger) -> None:
    run = create(ledger, 8)
    lease = claim(ledger)
    fail(ledger, lease, [0, 1], "file_not_found")
    fail(ledger, lease, [2, 3, 5, 6], "prediction_failed")
    succeed(ledger, lease, [4])
    ledger.cancel(run.id)
    ledger.fence(run.id)
    ledger.sweep(run.id, "canceled", problem("batch_cancelled"))

    groups = ledger.failures(run.id, examples=3)

    assert [(group.problem, group.count) for group in groups] == [
        ("prediction_failed", 4),
        ("file_not_found", 2),
        ("batch_cancelled", 1),
    ]
    assert names_of(groups[0].examples) == ["item-2", "item-3", "item-5"]
    assert ledger.failures(run.id, examples=0)[0].examples in ((), [])


def names_of(examples: Any) -> list[str]:
    return [lines(example)[0]["custom_id"] for example in examples]


def test_failed_items_are_chosen_by_type_and_name_in_pages(ledger: Ledger) -> None:
    run = create(ledger, 6)
    lease = claim(ledger)
    fail(ledger, lease, [0, 3], "file_not_found")
    fail(ledger, lease, [1, 5], "prediction_failed")
    succeed(ledger, lease, [2])

    def found(**options: Any) -> list[int]:
        return [seq for seq, _, _ in ledger.failed_items(run.id, **options)]

    assert ledger.failed_items(run.id)[0] == (0, "item-0", b'{"input":1}')
    assert found() == [0, 1, 3, 5]
    assert found(limit=2) == [0, 1]
    assert found(limit=2, after=1) == [3, 5]
    assert found(types=frozenset({"file_not_found"})) == [0, 3]
    assert found(custom_ids=frozenset({"item-1", "item-2", "item-4", "item-5"})) == [1, 5]
    assert found(types=frozenset({"file_not_found"}), custom_ids=frozenset({"item-1"})) == []
    assert found(types=frozenset()) == []


@pytest.fixture
def lineage(ledger: Ledger) -> list[Run]:
    """Root: items 1, 3, 4 failed. First retry: 4 failed again. Second retry: 4 is in work."""
    root = complete(ledger, create(ledger, 6), failing=[1, 3, 4])
    first = complete(ledger, retry_of(ledger, root), failing=[2])
    second = retry_of(ledger, first)
    return [root, first, second]


def test_a_retry_holds_what_failed_at_its_place_in_the_root(ledger: Ledger, lineage: list[Run]) -> None:
    root, first, second = lineage

    assert [custom_id for _, custom_id, _ in ledger.items(first.id)] == ["item-1", "item-3", "item-4"]
    assert [custom_id for _, custom_id, _ in ledger.items(second.id)] == ["item-4"]
    record = ledger.item(second.id, "item-4")
    assert record is not None
    assert (record.seq, record.origin) == (0, 4)
    assert [run.id for run in ledger.children(root.id)] == [first.id, second.id]


def test_the_newest_outcome_of_a_lineage_is_the_effective_one(ledger: Ledger, lineage: list[Run]) -> None:
    root, first, second = lineage

    for run in lineage:
        merged = lines(ledger.results(run.id, lineage=True).lines)
        assert [line["custom_id"] for line in merged] == [f"item-{n}" for n in range(6)]
        assert [line["batch_id"] for line in merged] == [
            {1: first, 3: first, 4: first}.get(n, root).id for n in range(6)
        ]
        assert [line["custom_id"] for line in merged if line["status"] == "errored"] == ["item-4"]
    work_off(ledger, second)

    merged = lines(ledger.results(root.id, lineage=True).lines)
    assert (merged[4]["batch_id"], merged[4]["status"]) == (second.id, "succeeded")
    assert ledger.failed_items(root.id) == []
    assert ledger.failures(root.id, lineage=True) == []
    assert [group.count for group in ledger.failures(root.id)] == [3]


def test_a_later_failure_is_effective_over_an_earlier_success(ledger: Ledger) -> None:
    root = complete(ledger, create(ledger, 2), failing=[1])
    twins = [retry_of(ledger, root) for _ in range(2)]
    lease = claim(ledger, kinds=frozenset({"predict"}))
    other = claim(ledger, kinds=frozenset({"predict"}))
    by_run = {lease.run_id: lease, other.run_id: other}
    fail(ledger, by_run[twins[1].id])
    succeed(ledger, by_run[twins[0].id])

    assert [line["status"] for line in lines(ledger.results(root.id, lineage=True).lines)] == ["succeeded", "errored"]
    assert [seq for seq, _, _ in ledger.failed_items(root.id)] == [1]


@pytest.mark.parametrize("limit", [1, 2, 4])
def test_a_merged_stream_goes_on_after_its_cursor(ledger: Ledger, lineage: list[Run], limit: int) -> None:
    root = lineage[0]

    assert all_names(ledger, root, limit, lineage=True) == [f"item-{n}" for n in range(6)]
    assert all_names(ledger, root, limit, lineage=True, status="errored") == ["item-4"]
    assert all_names(ledger, root, limit, lineage=True, status="succeeded") == [f"item-{n}" for n in (0, 1, 2, 3, 5)]
    chunk = ledger.results(root.id, lineage=True, status="errored")
    assert chunk.last == 4


def test_failures_and_failed_items_follow_the_lineage(ledger: Ledger, lineage: list[Run]) -> None:
    _, first, second = lineage

    for run in lineage:
        [group] = ledger.failures(run.id, lineage=True)
        assert (group.problem, group.count, names_of(group.examples)) == ("prediction_failed", 1, ["item-4"])
        assert [seq for seq, _, _ in ledger.failed_items(run.id)] == [4]
    work_off(ledger, second)
    assert [group.count for group in ledger.failures(first.id)] == [1]
    assert ledger.failed_items(first.id) == []


def test_a_retry_goes_on_from_the_replaced_payload(ledger: Ledger) -> None:
    root = complete(ledger, create(ledger, 2), failing=[0, 1])
    replaced = [NewItem("item-0", b'{"input":"better"}', b"", origin=0)]
    child = complete(ledger, create(ledger, replaced, run=new_run(parent_id=root.id)), failing=[0])

    assert ledger.failed_items(root.id) == [(0, "item-0", b'{"input":"better"}'), (1, "item-1", b'{"input":1}')]
    assert ledger.failed_items(child.id) == [(0, "item-0", b'{"input":"better"}')]


def test_an_unfinished_retry_holds_its_items(ledger: Ledger, lineage: list[Run]) -> None:
    root, first, second = lineage
    wanted = ["item-1", "item-4", "item-0", "nobody"]

    assert list(ledger.held_by_children(root.id, wanted)) == ["item-4"]
    assert list(ledger.held_by_children(first.id, wanted)) == ["item-4"]
    ledger.cancel(second.id)
    assert list(ledger.held_by_children(root.id, wanted)) == ["item-4"]
    ledger.sweep(second.id, "canceled", problem("batch_cancelled"))
    assert ledger.finalize(second.id)
    ledger.finish(second.id, manifest_of(read(ledger, second)))

    assert list(ledger.held_by_children(root.id, wanted)) == []


def test_a_retry_that_is_being_received_changes_nothing(ledger: Ledger) -> None:
    root = complete(ledger, create(ledger, 2), failing=[0])
    ledger.open_run(new_run(parent_id=root.id))

    assert ledger.children(root.id) == []
    assert list(ledger.held_by_children(root.id, ["item-0"])) == []
    assert all_names(ledger, root, 5, lineage=True) == ["item-0", "item-1"]
    assert ledger.claim(request()) is None


def test_a_retry_of_many_items_keeps_their_places(ledger: Ledger) -> None:
    root = create(ledger, 2_500)
    lease = claim(ledger)
    fail(ledger, lease, range(0, 2_500, 2))
    succeed(ledger, lease, range(1, 2_500, 2))
    child = retry_of(ledger, root)
    work_off(ledger, child, failing=[1_249])

    assert child.counts.total == 1_250
    assert all_names(ledger, root, 700, lineage=True) == [f"item-{n}" for n in range(2_500)]
    assert all_names(ledger, root, 700, lineage=True, status="errored") == ["item-2498"]
    assert [seq for seq, _, _ in ledger.failed_items(root.id)] == [2_498]
