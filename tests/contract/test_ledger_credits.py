"""Credits in the ledger: taken in blocks, held by leases, settled by what succeeded, and never lost or charged twice."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest

from amends.ledger import Commit, CreditEntry, CreditExceeded, CreditStanding, Ledger, Run
from tests.ledgers import (
    START,
    HandClock,
    claim,
    complete,
    create,
    defer,
    fail,
    failure,
    leased,
    manifest_of,
    new_items,
    new_run,
    read,
    request,
    seqs,
    succeed,
    success,
    work_off,
)

_numbers = itertools.count()


def top_up(ledger: Ledger, amount: int, workspace_id: str = "ws_a") -> CreditEntry:
    entry = CreditEntry(f"topup_{next(_numbers):06d}", workspace_id, "top_up", amount, None, "paid", "user_1", START)
    ledger.top_up(entry)
    return entry


def standing(ledger: Ledger, workspace_id: str = "ws_a") -> tuple[int, int, int]:
    """(balance, held, charged), which add up to the history."""
    found = ledger.credit(workspace_id)
    assert found.holds, found
    return found.balance, found.held, found.charged


def priced(ledger: Ledger, items: int = 5, price: int = 10, **changes: Any) -> Run:
    return create(ledger, items, price=price, **changes)


def test_top_ups_add_up_and_stand_in_the_history(ledger: Ledger) -> None:
    assert ledger.credit("ws_a") == CreditStanding(0, 0, 0, 0)
    first, second = top_up(ledger, 70), top_up(ledger, 30)
    top_up(ledger, 5, "ws_b")
    assert standing(ledger) == (100, 0, 0)
    assert standing(ledger, "ws_b") == (5, 0, 0)
    assert list(ledger.credit_entries("ws_a")) == [second, first]
    assert list(ledger.credit_entries("ws_a", limit=1)) == [second]
    assert list(ledger.credit_entries("ws_a", after=second.id)) == [first]
    assert list(ledger.credit_entries("ws_a", after=first.id)) == []


@pytest.mark.parametrize("amount", [0, -5])
def test_a_top_up_adds_something(ledger: Ledger, amount: int) -> None:
    with pytest.raises(ValueError, match="top-up"):
        top_up(ledger, amount)
    assert standing(ledger) == (0, 0, 0)


def test_a_charge_of_a_single_call_takes_from_the_balance_in_the_transaction_of_its_answer(ledger: Ledger) -> None:
    top_up(ledger, 10)
    charge = CreditEntry("charge_1", "ws_a", "charge", -12, None, "a call", "user_1", START)
    with pytest.raises(ZeroDivisionError):
        ledger.charge(charge, also=lambda tx: 1 / 0)
    assert standing(ledger) == (10, 0, 0)
    ledger.charge(charge)
    assert standing(ledger) == (-2, 0, 0)
    assert list(ledger.credit_entries("ws_a", limit=1)) == [charge]


@pytest.mark.parametrize("wrong", [{"amount": 0}, {"amount": 5}, {"kind": "top_up"}, {"run_id": "run_1"}])
def test_a_charge_takes_something_and_is_no_runs(ledger: Ledger, wrong: dict[str, Any]) -> None:
    charge = CreditEntry("charge_1", "ws_a", "charge", -1, None, None, None, START)
    with pytest.raises(ValueError, match="charge"):
        ledger.charge(replace(charge, **wrong))
    assert standing(ledger) == (0, 0, 0)


def test_a_run_without_a_price_touches_no_credit(ledger: Ledger) -> None:
    complete(ledger, create(ledger, 3))
    assert standing(ledger) == (0, 0, 0)
    assert list(ledger.credit_entries("ws_a")) == []


def test_what_succeeds_is_charged_and_what_fails_is_not(ledger: Ledger) -> None:
    top_up(ledger, 1_000)
    run = priced(ledger, 5)
    assert standing(ledger) == (1_000, 0, 0)
    lease = claim(ledger)
    assert standing(ledger) == (950, 50, 0)
    succeed(ledger, lease, [0, 1])
    assert standing(ledger) == (950, 30, 20)
    fail(ledger, lease, [2, 3])
    assert standing(ledger) == (950, 30, 20)
    succeed(ledger, lease, [4])
    assert standing(ledger) == (950, 20, 30)
    assert ledger.finalize(run.id)
    ended = ledger.finish(run.id, manifest_of(read(ledger, run)))
    assert standing(ledger) == (970, 0, 0)
    charge = ledger.credit_entries("ws_a")[0]
    assert (charge.kind, charge.amount, charge.run_id, charge.created_at) == ("charge", -30, run.id, ended.ended_at)


def test_a_lease_takes_no_more_items_than_there_is_credit_for(ledger: Ledger) -> None:
    top_up(ledger, 35)
    run = priced(ledger, 5)
    lease = claim(ledger)
    assert seqs(lease) == [0, 1, 2]
    assert ledger.claim(request()) is None
    assert read(ledger, run).paused_reason == "credit"
    assert standing(ledger) == (5, 30, 0)
    succeed(ledger, lease)
    assert standing(ledger) == (5, 0, 30)
    assert ledger.fund(run.id) == "exhausted"
    top_up(ledger, 100)
    assert ledger.fund(run.id) == "funded"
    assert read(ledger, run).paused_reason is None
    work_off(ledger, run)
    complete(ledger, run)
    assert standing(ledger) == (85, 0, 0)


def test_credit_that_failed_items_give_back_lets_the_run_go_on(ledger: Ledger) -> None:
    top_up(ledger, 20)
    run = priced(ledger, 3)
    lease = claim(ledger)
    assert ledger.claim(request()) is None
    assert ledger.fund(run.id) == "waiting"
    fail(ledger, lease, [0])
    assert ledger.fund(run.id) == "funded"
    assert seqs(claim(ledger)) == [2]
    succeed(ledger, lease, [1])
    assert standing(ledger) == (0, 10, 10)


def test_a_deferred_item_holds_credit_only_while_it_is_leased(ledger: Ledger, clock: HandClock) -> None:
    top_up(ledger, 20)
    run = priced(ledger, 2)
    lease = claim(ledger)
    defer(ledger, lease, [0, 1])
    assert standing(ledger) == (0, 20, 0)
    clock.advance(1.0)
    again = claim(ledger)
    assert seqs(again) == [0, 1]
    assert standing(ledger) == (0, 20, 0)
    succeed(ledger, again)
    complete(ledger, run)
    assert standing(ledger) == (0, 0, 0)


@pytest.mark.parametrize("how", ["reap", "release_owner", "release_all"])
def test_what_a_lost_lease_held_is_held_by_the_run_again(ledger: Ledger, clock: HandClock, how: str) -> None:
    top_up(ledger, 30)
    run = priced(ledger, 3)
    lease = claim(ledger)
    succeed(ledger, lease, [1])
    clock.advance(60.0)
    {"reap": ledger.reap, "release_all": ledger.release_all, "release_owner": lambda: ledger.release_owner("worker-1")}[
        how
    ]()
    assert standing(ledger) == (0, 20, 10)
    assert not succeed(ledger, lease, [0])  # fenced: nothing is charged
    assert standing(ledger) == (0, 20, 10)
    work_off(ledger, run)
    complete(ledger, run)
    assert [entry.amount for entry in ledger.credit_entries("ws_a")] == [-30, 30]


def test_a_run_takes_blocks_and_gives_back_what_it_does_not_need(ledger: Ledger) -> None:
    top_up(ledger, 1_000_000)
    run = _large(ledger, 15_000)
    lease = claim(ledger, max_items=1)
    assert standing(ledger) == (900_000, 100_000, 0)
    succeed(ledger, lease)
    ledger.pause(run.id, "operator")
    assert standing(ledger) == (999_990, 0, 10)
    ledger.resume(run.id)
    work_off(ledger, run)
    complete(ledger, run)
    assert standing(ledger) == (850_000, 0, 0)


def _large(ledger: Ledger, items: int) -> Run:
    statement = new_run(price=10)
    ledger.open_run(statement)
    rows = new_items(items)
    for start in range(0, items, 5_000):
        ledger.append(statement.id, rows[start : start + 5_000])
    return ledger.seal(statement.id, validate=False)


def test_two_runs_share_what_there_is(ledger: Ledger) -> None:
    top_up(ledger, 50)
    first, second = priced(ledger, 4, kind="one"), priced(ledger, 4, kind="two")
    one = claim(ledger, kinds=frozenset({"one"}))
    two = claim(ledger, kinds=frozenset({"two"}))
    assert (len(seqs(one)), len(seqs(two))) == (4, 1)
    assert ledger.claim(request(kinds=frozenset({"two"}))) is None
    succeed(ledger, one)
    succeed(ledger, two)
    complete(ledger, first)
    assert read(ledger, second).paused_reason == "credit"
    assert standing(ledger) == (0, 0, 10)


def test_a_run_that_can_pay_is_claimed_though_another_cannot(ledger: Ledger) -> None:
    top_up(ledger, 10)
    poor = priced(ledger, 2, price=10)
    succeed(ledger, claim(ledger))
    free = create(ledger, 1)
    for _ in range(3):
        lease = ledger.claim(request())
        if lease is not None:
            assert lease.run_id == free.id
            succeed(ledger, lease)
    assert read(ledger, free).counts.succeeded == 1
    assert read(ledger, poor).paused_reason == "credit"


def test_a_run_stops_at_what_it_may_cost_and_can_be_extended(ledger: Ledger) -> None:
    top_up(ledger, 1_000)
    run = priced(ledger, 6, max_cost=25)
    lease = claim(ledger)
    assert seqs(lease) == [0, 1]
    assert ledger.claim(request()) is None
    assert read(ledger, run).paused_reason == "cost_cap"
    assert standing(ledger) == (980, 20, 0)
    fail(ledger, lease, [0])  # which costs nothing, so there is room for one more
    assert ledger.fund(run.id) == "funded"
    succeed(ledger, lease, [1])
    succeed(ledger, claim(ledger))
    assert ledger.claim(request()) is None
    assert ledger.fund(run.id) == "waiting"
    assert standing(ledger) == (980, 0, 20)
    assert ledger.extend(run.id, max_cost=30).max_cost == 30
    succeed(ledger, claim(ledger))
    assert ledger.claim(request()) is None
    assert read(ledger, run).paused_reason == "cost_cap"
    assert ledger.extend(run.id).max_cost is None
    work_off(ledger, run)
    complete(ledger, run)
    assert standing(ledger) == (950, 0, 0)


def test_extending_a_part_keeps_what_the_run_may_cost(ledger: Ledger) -> None:
    top_up(ledger, 1_000)
    run = priced(ledger, 6, max_cost=25, limit_items=1)
    succeed(ledger, claim(ledger))
    assert not ledger.finalize(run.id)
    assert read(ledger, run).paused_reason == "limit"
    assert standing(ledger) == (990, 0, 10)
    assert ledger.extend(run.id).max_cost == 25
    assert len(seqs(claim(ledger))) == 1


def test_a_run_that_cannot_start_is_refused(ledger: Ledger) -> None:
    top_up(ledger, 9)
    with pytest.raises(CreditExceeded) as caught:
        ledger.open_run(new_run("bpred_poor", price=10))
    assert (caught.value.required, caught.value.remaining) == (10, 9)
    assert ledger.get("bpred_poor") is None
    top_up(ledger, 21)
    statement = new_run(price=10, on_credit_exhausted="fail")
    ledger.open_run(statement)
    ledger.append(statement.id, new_items(4))
    with pytest.raises(CreditExceeded) as caught:
        ledger.seal(statement.id, validate=False)
    assert (caught.value.required, caught.value.remaining) == (40, 30)
    ledger.abandon(statement.id)
    capped = priced(ledger, 4, max_cost=30, on_credit_exhausted="fail")
    assert capped.on_credit_exhausted == "fail"
    assert priced(ledger, 9, limit_items=3, on_credit_exhausted="fail").price == 10
    assert standing(ledger) == (30, 0, 0)


def test_what_an_item_really_cost_is_charged(ledger: Ledger) -> None:
    top_up(ledger, 100)
    run = priced(ledger, 4)
    lease = claim(ledger)
    items = leased(lease)
    outcomes = [
        success(run.id, items[0])._replace(cost=3),
        success(run.id, items[1])._replace(cost=45),
        failure(run.id, items[2])._replace(cost=7),
        success(run.id, items[3]),
    ]
    ledger.commit(Commit(lease.id, outcomes))
    assert standing(ledger) == (60, -18, 58)
    complete(ledger, run)
    assert standing(ledger) == (42, 0, 0)


def test_work_that_cost_more_than_there_was_leaves_a_debt(ledger: Ledger) -> None:
    top_up(ledger, 10)
    run = priced(ledger, 2)
    lease = claim(ledger)
    ledger.commit(Commit(lease.id, [success(run.id, leased(lease)[0])._replace(cost=25)]))
    assert ledger.claim(request()) is None
    assert standing(ledger) == (-15, 0, 25)
    top_up(ledger, 20)
    assert ledger.fund(run.id) == "exhausted"
    top_up(ledger, 5)
    assert ledger.fund(run.id) == "funded"
    succeed(ledger, claim(ledger))
    complete(ledger, run)
    assert standing(ledger) == (0, 0, 0)


def test_a_cancelled_run_is_charged_for_what_it_did(ledger: Ledger) -> None:
    from amends.problems import problem

    top_up(ledger, 100)
    run = priced(ledger, 5)
    lease = claim(ledger, max_items=3)
    succeed(ledger, lease, [0])
    ledger.cancel(run.id)
    ledger.fence(run.id)
    assert standing(ledger) == (50, 40, 10)
    ledger.sweep(run.id, "canceled", problem("batch_cancelled"))
    ledger.finish(run.id, manifest_of(read(ledger, run)))
    assert standing(ledger) == (90, 0, 0)
    ledger.delete_run(run.id)
    while ledger.clean():
        pass
    assert standing(ledger) == (90, 0, 0)
