from typing import Any

import pytest

from amends.resilience import (
    MAX_OPEN_SECONDS,
    Breaker,
    Closed,
    CountRule,
    Opened,
    Permit,
    RateRule,
    Refused,
    ThresholdMoved,
    counts_against_host,
)


def enter(breaker: Breaker, now: float) -> Permit:
    permit = breaker.try_enter(now)
    assert isinstance(permit, Permit)
    return permit


def opened(now: float = 0.0, **settings: Any) -> Breaker:
    """A breaker that the twentieth failure opened at ``now``."""
    breaker = Breaker(**settings)
    for _ in range(20):
        breaker.failed(enter(breaker, now), now)
    assert breaker.state == "open"
    return breaker


def test_it_opens_at_the_twentieth_failure_without_a_success() -> None:
    breaker = Breaker()
    for n in range(19):
        assert breaker.failed(enter(breaker, n), n) == ()
    assert breaker.failed(enter(breaker, 19), 19) == (Opened(24, "20 failures and no success within 30 s"),)
    assert breaker.try_enter(19) == breaker.try_enter(23.9) == Refused(24)


def test_one_success_within_the_window_keeps_it_closed() -> None:
    breaker = Breaker()
    breaker.succeeded(enter(breaker, 0), 0)
    for n in range(100):
        breaker.failed(enter(breaker, n * 0.3), n * 0.3)
    assert breaker.state == "closed"
    assert breaker.failed(enter(breaker, 30.1), 30.1)
    assert breaker.state == "open"


def test_twenty_failures_spread_over_more_than_the_window_do_not_open_it() -> None:
    breaker = Breaker()
    for n in range(100):
        breaker.failed(enter(breaker, n * 1.6), n * 1.6)
    assert breaker.state == "closed"


def test_one_probe_goes_through_and_its_success_closes() -> None:
    breaker = opened()
    probe = enter(breaker, 5)
    assert probe.is_probe
    assert breaker.state == "half_open"
    assert isinstance(breaker.try_enter(5.1), Refused)
    assert breaker.succeeded(probe, 6) == (Closed(6),)
    assert not enter(breaker, 6).is_probe


def test_a_failed_probe_opens_it_again_and_one_failure_after_a_good_one_does_not() -> None:
    breaker = opened()
    assert breaker.failed(enter(breaker, 5), 6) == (Opened(11, "the probe failed"),)
    assert breaker.try_enter(10) == Refused(11)
    assert breaker.succeeded(enter(breaker, 11), 12) == (Closed(12),)
    assert breaker.failed(enter(breaker, 12), 12) == ()
    assert breaker.state == "closed"


def test_retry_after_keeps_it_open_longer_within_bounds_and_never_shorter() -> None:
    for asked, pause in [(None, 5), (0, 5), (2, 5), (60, 60), (1e9, MAX_OPEN_SECONDS)]:
        breaker = Breaker()
        for _ in range(20):
            events = breaker.failed(enter(breaker, 0), 0, retry_after_seconds=asked)
        assert events == (Opened(pause, "20 failures and no success within 30 s"),)


def test_a_probe_that_never_comes_back_makes_way_for_another() -> None:
    breaker = opened()
    lost = enter(breaker, 5)
    assert breaker.try_enter(34.9) == Refused(35)
    second = enter(breaker, 35)
    assert second.is_probe
    assert breaker.succeeded(lost, 36) == ()
    assert breaker.state == "half_open"
    breaker.succeeded(second, 37)
    assert breaker.state == "closed"


def test_a_dropped_probe_makes_way_at_once() -> None:
    breaker = opened()
    breaker.dropped(enter(breaker, 5))
    assert enter(breaker, 5).is_probe


def test_what_began_before_it_opened_changes_nothing() -> None:
    breaker = Breaker()
    early = enter(breaker, 0)
    for _ in range(20):
        breaker.failed(enter(breaker, 1), 1)
    assert breaker.succeeded(early, 2) == breaker.failed(early, 2) == ()
    breaker.dropped(early)
    assert breaker.state == "open"


def test_another_has_the_settings_and_none_of_the_state() -> None:
    breaker = opened(open_seconds=7, rule=lambda: CountRule(20, 10))
    other = breaker.another()
    assert (other.state, other.open_seconds) == ("closed", 7)
    for _ in range(20):
        events = other.failed(enter(other, 0), 0)
    assert events == (Opened(7, "20 failures and no success within 10 s"),)


@pytest.mark.parametrize("status", [None, *range(200, 600)])
def test_only_a_missing_answer_502_503_and_504_count_against_a_host(status: int | None) -> None:
    assert counts_against_host(status) == (status in {None, 502, 503, 504})


def feed(rule: RateRule, *, calls: int, every: int, start: float, seconds: float) -> list[ThresholdMoved]:
    """Let ``calls`` pass evenly, of which each ``every``-th fails (0: none); expect that nothing trips."""
    moves = []
    for n in range(calls):
        now = start + seconds * n / calls
        moved = rule.observe(bool(every) and n % every == 0, now)
        assert rule.trips(now) is None
        if moved is not None:
            moves.append(moved)
    return moves


def failures_until_open(rule: RateRule, now: float) -> int:
    for n in range(1, 1_000):
        rule.observe(True, now)
        if rule.trips(now):
            return n
    raise AssertionError("it never opens")


def test_a_rule_of_rate_opens_at_few_calls_only_when_nearly_all_fail() -> None:
    assert failures_until_open(RateRule(), 0) == 10
    rule = RateRule()
    for n in range(40):
        rule.observe(n % 4 == 0, n * 0.1)
    assert rule.trips(4) is None  # a quarter fails: at the threshold, not beyond it
    assert RateRule(min_calls=3).trips(0) is None


def test_the_threshold_follows_what_is_usual_and_says_so() -> None:
    rule = RateRule()
    moves = feed(rule, calls=2_000, every=5, start=0, seconds=600)
    assert moves[0].before == 0.25
    assert all(move.after == min(0.75, max(0.25, 2 * move.base_rate)) for move in moves)
    assert [move.before for move in moves[1:]] == [move.after for move in moves[:-1]]
    assert rule.base_rate == pytest.approx(0.2, abs=0.03)
    assert rule.threshold == moves[-1].after == pytest.approx(0.4, abs=0.06)
    back = feed(rule, calls=4_000, every=0, start=600, seconds=3_600)
    assert back[-1].after == pytest.approx(0.25, abs=0.01)


def test_the_threshold_stays_within_its_bounds() -> None:
    rule = RateRule(floor=0.25, ceiling=0.75)
    for n in range(20_000):
        rule.observe(n % 5 != 0, n * 0.1)
        assert 0.25 <= rule.threshold <= 0.75
    assert rule.threshold == 0.75
    assert rule.base_rate == pytest.approx(0.8, abs=0.05)


def test_what_opened_the_breaker_never_becomes_usual() -> None:
    breaker = Breaker(rule=RateRule)
    now = 0.0
    for _ in range(50):
        while isinstance(permit := breaker.try_enter(now), Permit) and not permit.is_probe:
            breaker.failed(permit, now)
            now += 0.01
        now += 5
        probe = enter(breaker, now)
        breaker.succeeded(probe, now)
    rule = breaker._rule
    assert isinstance(rule, RateRule)
    assert rule.base_rate == 0


def test_a_breaker_with_a_rule_of_rate_says_why_it_opened_and_when_its_threshold_moved() -> None:
    breaker = Breaker(rule=RateRule)
    events = []
    for n in range(1_000):
        now = n * 0.3
        events += (breaker.failed if n % 5 == 0 else breaker.succeeded)(enter(breaker, now), now)
    assert events
    assert all(isinstance(event, ThresholdMoved) for event in events)
    for _ in range(500):
        permit = breaker.try_enter(300)
        if isinstance(permit, Refused):
            break
        events += breaker.failed(permit, 300)
    last = events[-1]
    assert isinstance(last, Opened)
    assert "calls failed within 30 s" in last.why
    assert "usual are" in last.why


@pytest.mark.parametrize(
    "make",
    [
        lambda: Breaker(open_seconds=0),
        lambda: Breaker(probe_seconds=-1),
        lambda: CountRule(0),
        lambda: CountRule(window_seconds=0),
        lambda: RateRule(floor=0),
        lambda: RateRule(floor=0.8, ceiling=0.7),
        lambda: RateRule(ceiling=1),
        lambda: RateRule(factor=0.5),
        lambda: RateRule(min_calls=0),
        lambda: RateRule(half_life_seconds=0),
    ],
)
def test_settings_that_make_no_sense_are_refused(make: Any) -> None:
    with pytest.raises(ValueError, match=r"above 0|factor"):
        make()
