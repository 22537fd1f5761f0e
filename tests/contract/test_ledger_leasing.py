"""Claiming, renewing, committing, returning: how items move between spans, leases, deferrals and outcomes."""

from __future__ import annotations

import threading
from collections import Counter

import pytest

from amends.ledger import Commit, Conservation, Counts, Deferral, Ledger, NewItem, Renewal, Share
from tests.ledgers import (
    START,
    HandClock,
    attempt,
    claim,
    counts,
    create,
    defer,
    fail,
    failure,
    leased,
    lines,
    perform,
    read,
    request,
    seqs,
    succeed,
    success,
)


def test_a_lease_carries_its_run_and_items(ledger: Ledger) -> None:
    run = create(ledger, 3, deadline=START + 60, mode="test")

    lease = claim(ledger, max_items=2, ttl_seconds=7.0)

    assert (lease.run_id, lease.run_no, lease.kind, lease.mode) == (run.id, run.no, run.kind, "test")
    assert (lease.params, lease.request_id, lease.public_url) == (run.params, run.request_id, run.public_url)
    assert (lease.deadline, lease.ttl_seconds, lease.count, lease.alone) == (START + 60, 7.0, 2, False)
    assert [(item.seq, item.custom_id, item.attempts, item.deaths) for item in leased(lease)] == [
        (0, "item-0", 0, 0),
        (1, "item-1", 0, 0),
    ]


def test_fences_are_never_the_same(ledger: Ledger) -> None:
    create(ledger, 50)

    assert len({claim(ledger, max_items=1).id for _ in range(50)}) == 50


def test_claims_cut_the_head_off_the_lowest_span(ledger: Ledger) -> None:
    create(ledger, 5)

    assert [seqs(claim(ledger, max_items=2)) for _ in range(3)] == [[0, 1], [2, 3], [4]]
    assert ledger.claim(request()) is None


@pytest.mark.parametrize(("max_bytes", "taken"), [(0, 1), (1, 1), (10, 1), (19, 1), (20, 2), (29, 2), (1_000, 4)])
def test_a_lease_keeps_within_its_bytes_but_holds_an_item_at_least(ledger: Ledger, max_bytes: int, taken: int) -> None:
    create(ledger, [NewItem(f"i{n}", b"x" * 10, b"") for n in range(4)])

    assert claim(ledger, max_bytes=max_bytes).count == taken


def test_deferred_items_keep_within_bytes_too(ledger: Ledger, clock: HandClock) -> None:
    create(ledger, [NewItem(f"i{n}", b"x" * 10, b"") for n in range(4)])
    defer(ledger, claim(ledger), [0, 1, 2, 3])
    clock.advance(1)

    assert seqs(claim(ledger, max_bytes=20)) == [0, 1]
    assert seqs(claim(ledger, max_bytes=0)) == [2]
    assert seqs(claim(ledger)) == [3]


def test_a_worker_is_given_only_kinds_it_serves(ledger: Ledger) -> None:
    run = create(ledger, 1, kind="predict")

    assert ledger.claim(request(kinds=frozenset({"train"}))) is None
    assert claim(ledger, kinds=frozenset({"train", "predict"})).run_id == run.id


def test_every_workspace_and_every_priority_gets_its_turn(ledger: Ledger) -> None:
    many = [create(ledger, 400, workspace_id="ws_many") for _ in range(3)]
    alone = create(ledger, 400, workspace_id="ws_alone")
    urgent = create(ledger, 400, workspace_id="ws_many", priority=3)

    given = Counter(claim(ledger, max_items=1).run_id for _ in range(400))

    assert 140 < given[alone.id] < 260, "half of the claims, however many runs the other workspace has"
    assert given[urgent.id] > 3 * max(given[run.id] for run in many), "eight times the weight"
    assert all(given[run.id] for run in many)


def test_a_committed_outcome_is_counted_and_read_back(ledger: Ledger, clock: HandClock) -> None:
    run = create(ledger, 3)
    lease = claim(ledger)
    clock.advance(1.5)

    assert succeed(ledger, lease, [0, 2])
    assert fail(ledger, lease, [1])

    assert counts(ledger, run) == Counts(total=3, succeeded=2, errored=1)
    chunk = ledger.results(run.id)
    assert [line["status"] for line in lines(chunk.lines)] == ["succeeded", "errored", "succeeded"]
    record = ledger.item(run.id, "item-0")
    assert record is not None
    assert (record.place, record.ended_at) == ("ended", START + 1.5)


def test_a_lease_may_be_reported_under_many_times(ledger: Ledger) -> None:
    run = create(ledger, 4)
    lease = claim(ledger)

    for seq in (2, 0, 3):
        assert succeed(ledger, lease, [seq])
        assert ledger.renew(lease.id, 10) == "held"
    assert ledger.conservation(run.id).leased == 1
    assert ledger.commit(Commit(lease.id))
    assert succeed(ledger, lease, [1])

    assert ledger.renew(lease.id, 10) == "fenced", "a lease whose items are all reported ends by itself"
    assert counts(ledger, run) == Counts(total=4, succeeded=4)


def test_what_a_final_commit_leaves_out_comes_back_as_gaps(ledger: Ledger) -> None:
    run = create(ledger, 10)
    lease = claim(ledger)
    succeed(ledger, lease, [3])

    assert succeed(ledger, lease, [0, 4, 5, 8], final=True)

    assert ledger.conservation(run.id).pending == 5
    assert [seqs(claim(ledger)) for _ in range(3)] == [[1, 2], [6, 7], [9]]


def test_an_empty_final_commit_returns_everything(ledger: Ledger) -> None:
    create(ledger, 3)
    lease = claim(ledger)

    assert ledger.commit(Commit(lease.id, final=True))

    assert not ledger.commit(Commit(lease.id))
    assert seqs(claim(ledger)) == [0, 1, 2]


@pytest.mark.parametrize("wrong", [[1, 1], [3], [0], [99], [-1]])
def test_an_outcome_that_the_lease_does_not_cover_writes_nothing(ledger: Ledger, wrong: list[int]) -> None:
    run = create(ledger, 6)
    lease = claim(ledger, max_items=3)
    first = leased(lease)[0]
    succeed(ledger, lease, [0])
    stray = [success(run.id, first._replace(seq=seq)) for seq in [2, *wrong]]

    with pytest.raises(ValueError, match="item"):
        ledger.commit(Commit(lease.id, stray, final=True))

    assert counts(ledger, run) == Counts(total=6, succeeded=1)
    assert ledger.renew(lease.id, 10) == "held"
    assert ledger.conservation(run.id).leased == 2


@pytest.mark.parametrize("is_leased_again", [False, True])
def test_an_item_is_not_reported_again_after_its_deferral(
    ledger: Ledger, clock: HandClock, is_leased_again: bool
) -> None:
    run = create(ledger, 3)
    lease = claim(ledger)
    defer(ledger, lease, [1])
    clock.advance(1)
    if is_leased_again:
        assert seqs(claim(ledger, "worker-2")) == [1]

    with pytest.raises(ValueError, match="item"):
        succeed(ledger, lease, [1])
    with pytest.raises(ValueError, match="item"):
        defer(ledger, lease, [1])
    assert counts(ledger, run) == Counts(total=3)


def test_an_item_has_an_outcome_or_a_deferral_not_both(ledger: Ledger) -> None:
    create(ledger, 2)
    lease = claim(ledger)
    [item, _] = leased(lease)

    with pytest.raises(ValueError, match="item"):
        ledger.commit(Commit(lease.id, [success(lease.run_id, item)], [Deferral(0, 1, 1.0)]))
    succeed(ledger, lease, [0])
    with pytest.raises(ValueError, match="item"):
        defer(ledger, lease, [0])


def test_a_deferred_item_is_leased_when_due_before_any_span(ledger: Ledger, clock: HandClock) -> None:
    run = create(ledger, 6)
    lease = claim(ledger, max_items=3)
    defer(ledger, lease, [2, 0], delay_seconds=2.0, attempts=4)
    assert ledger.conservation(run.id).deferred == 2

    assert seqs(claim(ledger, max_items=1)) == [3]
    clock.advance(2)
    again = claim(ledger)

    assert [(item.seq, item.attempts) for item in leased(again)] == [(0, 4), (2, 4)]
    assert ledger.conservation(run.id).deferred == 0
    assert seqs(claim(ledger)) == [4, 5]


def test_only_due_items_are_leased(ledger: Ledger, clock: HandClock) -> None:
    create(ledger, 2)
    lease = claim(ledger)
    defer(ledger, lease, [0], 5.0)
    defer(ledger, lease, [1], 1.0)
    assert ledger.claim(request()) is None
    clock.advance(1)

    assert seqs(claim(ledger)) == [1]
    assert ledger.claim(request()) is None


def test_a_deferred_item_may_be_deferred_again_or_end(ledger: Ledger, clock: HandClock) -> None:
    run = create(ledger, 2)
    defer(ledger, claim(ledger), [0, 1], 0.0)
    second = claim(ledger)

    assert defer(ledger, second, [1], 3.0, attempts=2)
    assert succeed(ledger, second, [0])

    assert ledger.renew(second.id, 10) == "fenced"
    clock.advance(3)
    assert [(item.seq, item.attempts) for item in leased(claim(ledger))] == [(1, 2)]
    assert counts(ledger, run) == Counts(total=2, succeeded=1)


def test_unreported_deferred_items_are_deferred_again_and_due_now(ledger: Ledger) -> None:
    run = create(ledger, 3)
    defer(ledger, claim(ledger), [0, 1, 2], 0.0, attempts=7)
    lease = claim(ledger)

    assert succeed(ledger, lease, [1], final=True)

    assert ledger.conservation(run.id).deferred == 2
    assert [(item.seq, item.attempts) for item in leased(claim(ledger))] == [(0, 7), (2, 7)]


def test_an_expired_lease_stands_until_it_is_reaped(ledger: Ledger, clock: HandClock) -> None:
    run = create(ledger, 2)
    lease = claim(ledger, ttl_seconds=10)
    clock.advance(60)

    assert succeed(ledger, lease, [0])
    assert ledger.renew(lease.id, 10) == "held"
    clock.advance(9.999)
    assert ledger.reap() == []
    clock.advance(0.001)
    assert ledger.reap() == [lease.id]

    assert ledger.renew(lease.id, 10) == "fenced"
    assert not succeed(ledger, lease, [1])
    assert counts(ledger, run) == Counts(total=2, succeeded=1)
    assert seqs(claim(ledger)) == [1]


def test_a_late_commit_does_not_write_over_the_newer_worker(ledger: Ledger, clock: HandClock) -> None:
    run = create(ledger, 1)
    late = claim(ledger, "worker-1", ttl_seconds=10)
    clock.advance(11)
    ledger.reap()
    newer = claim(ledger, "worker-2")

    assert not ledger.commit(Commit(late.id, [failure(run.id, leased(late)[0])], final=True))
    assert succeed(ledger, newer)
    assert not succeed(ledger, late)

    assert counts(ledger, run) == Counts(total=1, succeeded=1)


def test_many_steps_at_once_are_answered_as_if_each_were_called_by_itself(ledger: Ledger) -> None:
    run = create(ledger, 5)
    first, second, third = (claim(ledger, max_items=1) for _ in range(3))
    report = Commit(first.id, [success(run.id, leased(first)[0])])

    held, fenced, following, renewed, last, nothing, unknown = perform(
        ledger,
        [report, report, request(max_items=1), Renewal(second.id, 10), request(), request(), Renewal(first.id, 10)],
    )

    assert (held, fenced, renewed, nothing, unknown) == (True, False, "held", None, "fenced")
    assert [seqs(lease) for lease in (following, last)] == [[3], [4]]
    assert len({lease.id for lease in (first, second, third, following, last)}) == 5
    assert ledger.conservation(run.id) == Conservation(5, outcomes=1, deferred=0, pending=0, leased=4)
    assert perform(ledger, []) == []


def test_a_step_that_fails_harms_no_other_before_or_after_it(ledger: Ledger) -> None:
    run = create(ledger, 4)
    leases = [claim(ledger, max_items=1) for _ in range(3)]
    good = [Commit(lease.id, [success(run.id, leased(lease)[0])], final=True) for lease in leases]
    stray = Commit(leases[1].id, [success(run.id, leased(leases[0])[0])], final=True)

    before, wrong, after, following = perform(ledger, [good[0], stray, good[2], request()])

    assert (before, after, seqs(following)) == (True, True, [3])
    assert isinstance(wrong, ValueError)
    assert ledger.conservation(run.id) == Conservation(4, outcomes=2, deferred=0, pending=0, leased=2)
    assert perform(ledger, [good[1]]) == [True], "the lease of the report that was wrong still stands"


def test_steps_about_thousands_of_items_are_all_answered(ledger: Ledger) -> None:
    run = create(ledger, 9_000)
    leases = perform(ledger, [request(max_items=3_000)] * 3)
    reports = [Commit(lease.id, [success(run.id, item) for item in leased(lease)]) for lease in leases]

    assert perform(ledger, [*reports, request(), *reports]) == [True] * 3 + [None] + [False] * 3

    assert counts(ledger, run) == Counts(total=9_000, succeeded=9_000)


def test_a_release_returns_the_owners_leases_only_and_counts_nothing(ledger: Ledger) -> None:
    create(ledger, 6)
    first, second = claim(ledger, "worker-1", max_items=2), claim(ledger, "worker-1", max_items=2)
    other = claim(ledger, "worker-2", max_items=2)
    succeed(ledger, first, [0])

    assert ledger.release_owner("worker-1") == 2
    assert ledger.release_owner("worker-1") == 0

    assert ledger.renew(first.id, 10) == ledger.renew(second.id, 10) == "fenced"
    assert ledger.renew(other.id, 10) == "held"
    assert [seqs(claim(ledger)) for _ in range(2)] == [[1], [2, 3]]
    assert ledger.release_all() == 3
    for _ in range(4):
        again = claim(ledger)
        assert not again.alone
        ledger.release_owner("worker-1")


def test_after_three_lapses_of_a_span_its_pieces_run_alone(ledger: Ledger, clock: HandClock) -> None:
    create(ledger, 4)
    for _ in range(3):
        lease = claim(ledger, max_items=2, ttl_seconds=1)
        assert not lease.alone
        clock.advance(1)
        ledger.reap()

    pieces = [claim(ledger) for _ in range(3)]
    assert [(seqs(piece), piece.alone) for piece in pieces] == [([2, 3], False), ([0], True), ([1], True)]


def test_an_item_that_takes_its_worker_along_each_time_keeps_nobody_from_their_turn(ledger: Ledger) -> None:
    run = create(ledger, 6)
    lost = 0
    while ledger.conservation(run.id).outcomes < 5:
        lease = claim(ledger)
        if 2 in seqs(lease):
            assert ledger.release_owner("worker-1", lapsed=True) == 1
            lost += 1
        else:
            succeed(ledger, lease)
    assert lost <= 4
    again = claim(ledger)
    assert (seqs(again), again.alone) == ([2], True)


def test_lapses_count_for_what_was_left_not_for_what_had_ended(ledger: Ledger, clock: HandClock) -> None:
    run = create(ledger, 5)
    lease = claim(ledger, ttl_seconds=1)
    succeed(ledger, lease, [0, 2])
    defer(ledger, lease, [3], 0.0, attempts=1)
    clock.advance(1)

    assert ledger.reap() == [lease.id]

    assert ledger.conservation(run.id).pending == 2
    assert [seqs(claim(ledger)) for _ in range(3)] == [[3], [1], [4]]


def test_a_death_is_kept_with_the_item_that_was_in_flight(ledger: Ledger) -> None:
    run = create(ledger, 4)
    lease = claim(ledger)

    assert ledger.commit(Commit(lease.id, deaths=[1, 2]))
    assert ledger.commit(Commit(lease.id, deaths=[1], final=True))

    assert [item.deaths for item in leased(claim(ledger))] == [0, 2, 1, 0]
    records = [ledger.item(run.id, f"item-{n}") for n in range(4)]
    assert [record.deaths for record in records if record] == [0, 2, 1, 0]


def test_a_deferred_item_keeps_its_deaths(ledger: Ledger) -> None:
    create(ledger, 2)
    lease = claim(ledger)

    assert ledger.commit(Commit(lease.id, deferred=[Deferral(1, 1, 0.0)], deaths=[1]))

    assert [(item.seq, item.attempts, item.deaths) for item in leased(claim(ledger))] == [(1, 1, 1)]


def test_failed_attempts_are_kept_the_newest_twenty(ledger: Ledger) -> None:
    run = create(ledger, 2)
    lease = claim(ledger)

    for number in range(1, 26):
        assert ledger.commit(Commit(lease.id, attempts=[attempt(0, number)]))

    record, other = ledger.item(run.id, "item-0"), ledger.item(run.id, "item-1")
    assert record is not None
    assert other is not None
    assert list(record.attempts) == [attempt(0, number) for number in range(6, 26)]
    assert (list(other.attempts), record.place) == ([], "leased")


def test_a_fenced_commit_leaves_no_trace(ledger: Ledger) -> None:
    run = create(ledger, 3)
    lease = claim(ledger)
    ledger.release_owner("worker-1")

    items = leased(lease)
    assert not ledger.commit(
        Commit(lease.id, [success(run.id, items[0])], [Deferral(1, 1, 0.0)], [attempt(1, 1)], [2], final=True)
    )

    record = ledger.item(run.id, "item-1")
    assert record is not None
    assert (list(record.attempts), record.place) == ([], "pending")
    assert [item.deaths for item in leased(claim(ledger))] == [0, 0, 0]
    assert counts(ledger, run) == Counts(total=3)


def test_a_paused_run_is_not_leased_but_may_be_committed_to(ledger: Ledger) -> None:
    run = create(ledger, 4)
    lease = claim(ledger, max_items=2)
    ledger.pause(run.id, "operator")

    assert ledger.claim(request()) is None
    assert ledger.renew(lease.id, 10) == "held"
    assert succeed(ledger, lease)
    ledger.resume(run.id)

    assert seqs(claim(ledger)) == [2, 3]


def test_the_places_of_items_are_told(ledger: Ledger) -> None:
    run = create(ledger, 5, limit_items=4)
    lease = claim(ledger, max_items=3)
    succeed(ledger, lease, [0])
    defer(ledger, lease, [1])

    records = [ledger.item(run.id, f"item-{n}") for n in range(5)]

    assert [r.place for r in records if r] == ["ended", "deferred", "leased", "pending", "pending"]
    assert ledger.item(run.id, "item-5") is None
    assert ledger.item("bpred_unknown", "item-0") is None
    told = ledger.conservation(run.id)
    assert (told.total, told.outcomes, told.deferred, told.leased, told.pending) == (5, 1, 1, 1, 2)


def test_a_deferred_item_in_a_lease_counts_as_leased(ledger: Ledger) -> None:
    run = create(ledger, 2)
    defer(ledger, claim(ledger), [0, 1], 0.0)
    claim(ledger, max_items=1)

    record = ledger.item(run.id, "item-0")
    assert record is not None
    assert record.place == "leased"
    told = ledger.conservation(run.id)
    assert (told.leased, told.deferred) == (1, 1)


def test_the_backlog_is_told(ledger: Ledger, clock: HandClock) -> None:
    assert ledger.backlog() == {"pending": 0, "leased": 0, "deferred": 0, "runs": 0, "next_due_seconds": float("inf")}
    create(ledger, 10)
    lease = claim(ledger, max_items=4)
    defer(ledger, lease, [0, 1], 5.0)
    succeed(ledger, lease, [2])
    clock.advance(2)

    assert ledger.backlog() == {"pending": 6, "leased": 1, "deferred": 2, "runs": 1, "next_due_seconds": 3.0}


def test_workers_at_the_same_time_never_share_an_item(adapter: Ledger) -> None:
    ledger = adapter  # unwatched: a watcher reads twice, and others commit in between
    run = create(ledger, 200)
    taken: list[list[int]] = []
    faults: list[BaseException] = []

    def work(owner: str) -> None:
        try:
            while lease := ledger.claim(request(owner, max_items=7)):
                taken.append(seqs(lease))
                assert succeed(ledger, lease)
        except BaseException as fault:
            faults.append(fault)

    workers = [threading.Thread(target=work, args=(f"worker-{n}",)) for n in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    assert faults == []
    assert sorted(seq for lease_seqs in taken for seq in lease_seqs) == list(range(200))
    assert read(ledger, run).counts == Counts(total=200, succeeded=200)


@pytest.mark.parametrize("jump", [-86_400.0, 86_400.0])
def test_setting_the_wall_clock_expires_no_lease_and_makes_nothing_due(
    ledger: Ledger, clock: HandClock, jump: float
) -> None:
    create(ledger, 4)
    lease = claim(ledger, max_items=2, ttl_seconds=10)
    defer(ledger, lease, [1], 5.0)
    clock.jump = jump
    clock.advance(4)
    assert not ledger.reap()
    assert ledger.renew(lease.id, 10) == "held"
    assert seqs(claim(ledger)) == [2, 3]
    clock.advance(1)
    assert seqs(claim(ledger)) == [1]
    clock.advance(9)
    assert lease.id in ledger.reap()


def test_of_a_run_with_a_share_no_more_is_claimed(ledger: Ledger) -> None:
    run, other = create(ledger, 5), create(ledger, 5)

    lease = claim(ledger, max_items=1, shares={run.no: Share(3, 0), other.no: Share(0, 0)})

    assert (lease.run_id, seqs(lease)) == (run.id, [0, 1, 2])
    defer(ledger, lease, [0, 1, 2], delay_seconds=0.0)
    assert seqs(claim(ledger, shares={run.no: Share(2, 0), other.no: Share(0, 0)})) == [3, 4]
    assert ledger.claim(request(shares={run.no: Share(9, 0), other.no: Share(0, 0)})) is None
    assert seqs(claim(ledger, shares={run.no: Share(0, 2), other.no: Share(0, 0)})) == [0, 1]
    assert claim(ledger, shares={run.no: Share(0, 0)}).run_id == other.id
