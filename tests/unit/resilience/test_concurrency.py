from typing import Any

import pytest

from amends.resilience import AdaptiveLimit, LimitMoved


def enter_all(limit: AdaptiveLimit) -> int:
    entered = 0
    while limit.try_enter():
        entered += 1
    return entered


def run_round(limit: AdaptiveLimit, now: float, latency: float = 1.0) -> None:
    """Fill the limit; each call ends and makes room for the next until a whole round is through."""
    calls = enter_all(limit)
    for _ in range(calls):
        limit.succeeded(now, now + latency)
        limit.try_enter()
    for _ in range(limit.in_flight):
        limit.dropped()


def test_slow_start_doubles_each_round() -> None:
    limit = AdaptiveLimit(initial=2, highest=64)
    sizes = []
    for n in range(6):
        sizes.append(limit.limit)
        run_round(limit, n)
    assert sizes == [2, 4, 8, 16, 32, 64]
    assert limit.limit == 64


def test_throttling_halves_once_a_round_and_the_climb_is_slow_from_then_on() -> None:
    limit = AdaptiveLimit(initial=32)
    assert enter_all(limit) == 32
    assert limit.throttled(0.0, 1.0) == LimitMoved(32, 16, "throttled")
    for _ in range(31):
        assert limit.throttled(0.0, 1.1) is None
    assert (limit.limit, limit.in_flight) == (16, 0)
    run_round(limit, 2.0)
    assert limit.limit in (16, 17)
    run_round(limit, 3.0)
    assert limit.limit in (17, 18)


def test_the_limit_stays_within_its_bounds() -> None:
    limit = AdaptiveLimit(initial=4, lowest=2, highest=5)
    for n in range(20):
        run_round(limit, n)
    assert limit.limit == 5
    for n in range(20):
        assert limit.try_enter()
        limit.throttled(100 + n, 100.5 + n)
    assert limit.limit == 2


def test_a_limit_that_is_hardly_used_does_not_climb() -> None:
    limit = AdaptiveLimit(initial=4)
    for n in range(100):
        assert limit.try_enter()
        assert limit.succeeded(n, n + 1) is None
    assert limit.limit == 4


def test_it_stops_climbing_where_latency_rises_and_goes_on_once_it_holds() -> None:
    limit = AdaptiveLimit(initial=8)
    for n in range(3):
        run_round(limit, n)
    assert limit.limit == 64
    run_round(limit, 10, latency=10.0)
    assert limit.limit == 64
    for n in range(3):
        run_round(limit, 30 + n, latency=1.0)
    assert 64 < limit.limit <= 64 + 4  # not in slow start again


def test_a_new_usual_latency_is_learnt_in_some_hundreds_of_calls() -> None:
    limit = AdaptiveLimit(initial=8, highest=20)
    for n in range(20):
        run_round(limit, n)
    limit.try_enter()
    limit.throttled(50, 51)
    assert limit.limit == 10
    for n in range(100):
        run_round(limit, 100 + 10 * n, latency=10.0)
    assert limit.limit == 20


def test_no_more_calls_enter_than_the_limit_allows_also_after_a_cut() -> None:
    limit = AdaptiveLimit(initial=10)
    assert enter_all(limit) == 10
    limit.throttled(0, 1)
    assert (limit.limit, limit.in_flight) == (5, 9)
    assert not limit.try_enter()
    for _ in range(5):
        limit.dropped()
    assert enter_all(limit) == 1


@pytest.mark.parametrize(
    "settings",
    [{"lowest": 0}, {"initial": 300}, {"initial": 1, "lowest": 2}, {"tolerance": 0.5}, {"factor": 1}, {"factor": 0}],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"lowest|tolerance"):
        AdaptiveLimit(**settings)
