import math
import threading
from typing import Any

import pytest

from amends.resilience import RetryBudget


def take_all(budget: RetryBudget, now: float) -> int:
    taken = 0
    while budget.try_take(now):
        taken += 1
    return taken


def test_a_lonely_call_has_all_its_retries_and_a_crowd_gets_twenty() -> None:
    assert take_all(RetryBudget(), now=5.0) == 20


def test_ten_successes_pay_for_one_retry() -> None:
    budget = RetryBudget()
    take_all(budget, 0)
    for _ in range(9):
        budget.succeeded()
    assert not budget.try_take(0)
    budget.succeeded()
    assert budget.try_take(0)
    assert not budget.try_take(0)


def test_one_token_comes_back_every_ten_seconds() -> None:
    budget = RetryBudget()
    take_all(budget, 100)
    assert [budget.try_take(now) for now in (109.9, 110, 119.9, 120)] == [False, True, False, True]


def test_it_holds_no_more_than_its_capacity_however_long_it_is_quiet() -> None:
    budget = RetryBudget()
    assert budget.try_take(0)
    for _ in range(1_000):
        budget.succeeded()
    assert budget.tokens(1e9) == 20
    assert take_all(budget, 1e9) == 20


def test_the_wait_for_a_token_is_as_long_as_it_says() -> None:
    budget = RetryBudget()
    assert budget.seconds_until_token(50) == 0
    take_all(budget, 50)
    assert budget.seconds_until_token(50) == pytest.approx(10)
    assert budget.seconds_until_token(54) == pytest.approx(6)
    assert budget.try_take(54 + budget.seconds_until_token(54))


@pytest.mark.parametrize("now", [0.0, 1e6, 1e9, 1.8e9])
def test_waiting_always_ends_whatever_the_clock_reads(now: float) -> None:
    budget = RetryBudget()
    take_all(budget, now)
    for _ in range(100):
        waits = 0
        while not budget.try_take(now):
            now += budget.seconds_until_token(now)
            waits += 1
        assert waits <= 2


def test_a_retry_that_was_not_made_costs_nothing() -> None:
    budget = RetryBudget()
    take_all(budget, 0)
    budget.give_back()
    assert budget.try_take(0)


def test_a_clock_that_goes_back_brings_no_tokens() -> None:
    budget = RetryBudget()
    take_all(budget, 1_000)
    assert not budget.try_take(0)
    assert not budget.try_take(1_000)
    assert budget.try_take(1_010)


def test_threads_never_take_more_than_there_is() -> None:
    budget = RetryBudget(1_000, success_return=0, refill_seconds=math.inf)
    taken: list[int] = []
    threads = [threading.Thread(target=lambda: taken.append(take_all(budget, 0))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(taken) == 1_000
    assert budget.seconds_until_token(0) == math.inf


@pytest.mark.parametrize(
    "settings",
    [
        {"capacity": 0.5},
        {"retry_cost": 0},
        {"retry_cost": 21},
        {"success_return": -0.1},
        {"refill_seconds": 0},
        {"capacity": math.nan},
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="above 0"):
        RetryBudget(**settings)
