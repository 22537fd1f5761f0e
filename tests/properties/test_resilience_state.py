"""What budget, breaker and limit promise, over any history."""

import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from amends.resilience import (
    AdaptiveLimit,
    Breaker,
    CountRule,
    Opened,
    Permit,
    RateRule,
    Refused,
    RetryBudget,
    TripRule,
)

pauses = st.floats(min_value=0, max_value=60) | st.sampled_from([0.0, 1e-9, 1e5])


@given(
    st.lists(st.tuples(st.sampled_from(["take", "succeed", "wait"]), pauses), max_size=300),
    st.floats(min_value=0, max_value=1e9),
)
def test_retries_never_exceed_what_the_budget_affords(steps: list[tuple[str, float]], start: float) -> None:
    budget = RetryBudget()
    now, retries, successes = start, 0, 0
    for step, pause in steps:
        if step == "take":
            retries += budget.try_take(now)
        elif step == "succeed":
            budget.succeeded()
            successes += 1
        else:
            now += pause
        assert retries <= 20 + 0.1 * successes + (now - start) / 10 + 1e-5
        assert 0 <= budget.tokens(now) <= 20
        assert (budget.seconds_until_token(now) == 0) == (budget.tokens(now) >= 1 - 1e-6)


@given(
    capacity=st.floats(min_value=1, max_value=50),
    success_return=st.floats(min_value=0, max_value=2),
    refill_seconds=st.floats(min_value=0.1, max_value=100) | st.just(math.inf),
    steps=st.lists(st.tuples(st.booleans(), pauses), max_size=100),
)
def test_the_bound_holds_for_any_settings(
    capacity: float, success_return: float, refill_seconds: float, steps: list[tuple[bool, float]]
) -> None:
    budget = RetryBudget(capacity, success_return=success_return, refill_seconds=refill_seconds)
    now, retries, successes = 0.0, 0, 0
    for is_success, pause in steps:
        now += pause
        if is_success:
            budget.succeeded()
            successes += 1
        while budget.try_take(now):
            retries += 1
        assert retries <= capacity + success_return * successes + now / refill_seconds + 1e-5


rules: Any = st.sampled_from([lambda: CountRule(3, 10.0), CountRule, RateRule, lambda: RateRule(min_calls=3)])


@given(
    rules,
    st.lists(st.tuples(st.sampled_from(["succeed", "fail", "drop", "hang"]), pauses, st.integers(0, 5)), max_size=150),
    st.none() | st.floats(min_value=0, max_value=1e6),
)
def test_a_breaker_lets_one_probe_through_at_a_time_and_always_opens_up_again(
    rule: Any, steps: list[tuple[str, float, int]], asked: float | None
) -> None:
    breaker = Breaker(rule=rule)
    now, held, open_until = 0.0, list[Permit](), 0.0
    for what, pause, choice in steps:
        now += pause
        entered = breaker.try_enter(now)
        if isinstance(entered, Permit):
            assert now >= open_until
            assert entered.is_probe == (breaker.state == "half_open")
            held.append(entered)
        else:
            assert now < entered.until <= now + max(120, breaker.probe_seconds)
            assert breaker.state != "closed"
        if not held or what == "hang":
            continue
        permit = held.pop(choice % len(held))
        if what == "fail":
            events = breaker.failed(permit, now, retry_after_seconds=asked)
            if events and isinstance(events[-1], Opened):
                open_until = events[-1].until
                assert 5 <= open_until - now <= 120 + 1e-6
                assert isinstance(breaker.try_enter(now), Refused)
        elif what == "succeed":
            breaker.succeeded(permit, now)
        else:
            breaker.dropped(permit)
    later = breaker.try_enter(now + 200)
    assert isinstance(later, Permit)
    breaker.succeeded(later, now + 200)
    assert breaker.state == "closed"


@given(st.lists(st.tuples(st.booleans(), st.floats(min_value=0, max_value=2)), max_size=200))
def test_a_count_opens_exactly_when_the_window_holds_enough_failures_and_no_success(
    calls: list[tuple[bool, float]],
) -> None:
    rule: TripRule = CountRule(5, 10.0)
    now, seen = 0.0, list[tuple[float, bool]]()
    for is_failure, pause in calls:
        now += pause
        rule.observe(is_failure, now)
        seen.append((now, is_failure))
        recent = [failed for at, failed in seen if at >= now - 10.0]
        assert (rule.trips(now) is not None) == (sum(recent) >= 5 and all(recent))


@given(st.lists(st.tuples(st.booleans(), pauses), max_size=400))
def test_a_rate_rule_keeps_its_threshold_between_its_bounds_and_announces_each_move(
    calls: list[tuple[bool, float]],
) -> None:
    rule = RateRule(floor=0.2, ceiling=0.6)
    now, announced = 0.0, rule.threshold
    for is_failure, pause in calls:
        now += pause
        moved = rule.observe(is_failure, now)
        if moved is not None:
            assert moved.before == announced
            announced = moved.after
        assert rule.threshold == announced
        assert 0.2 <= announced <= 0.6
        assert 0 <= rule.base_rate <= 1


@given(
    st.integers(1, 8),
    st.lists(st.tuples(st.sampled_from(["enter", "succeed", "throttle", "drop"]), pauses), max_size=300),
)
def test_a_limit_never_lets_more_in_than_it_says_and_stays_within_its_bounds(
    lowest: int, steps: list[tuple[str, float]]
) -> None:
    limit = AdaptiveLimit(initial=10, lowest=lowest, highest=20)
    now, started = 0.0, list[float]()
    for what, pause in steps:
        now += pause
        before = limit.limit
        if what == "enter":
            assert limit.try_enter() == (len(started) < before)
            if limit.in_flight > len(started):
                started.append(now)
        elif started:
            begun = started.pop()
            moved = None
            if what == "succeed":
                moved = limit.succeeded(begun, now)
                assert limit.limit in (before, before + 1)
            elif what == "throttle":
                moved = limit.throttled(begun, now)
                assert limit.limit in (before, max(lowest, before // 2))
            else:
                limit.dropped()
            assert (moved is not None) == (limit.limit != before)
        assert limit.in_flight == len(started)
        assert lowest <= limit.limit <= 20
