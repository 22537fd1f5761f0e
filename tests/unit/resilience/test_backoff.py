import math

import pytest

from amends.resilience import Deadline, Jitter, backoff


def wait(attempt: int, draw: float, jitter: Jitter, **options: float) -> float:
    return backoff(attempt, base_seconds=1, cap_seconds=30, draw=lambda: draw, jitter=jitter, **options)


@pytest.mark.parametrize(
    ("jitter", "lowest", "middle"),
    [("none", 1.0, 1.0), ("full", 0, 0.5), ("equal", 0.5, 0.75), ("proportional", 0.75, 1.0)],
)
def test_waits_double_up_to_the_cap_within_their_jitter(jitter: Jitter, lowest: float, middle: float) -> None:
    for attempt, delay in [(1, 1), (2, 2), (3, 4), (4, 8), (5, 16), (6, 30), (7, 30)]:
        assert wait(attempt, 0.0, jitter) == pytest.approx(lowest * delay)
        assert wait(attempt, 0.5, jitter) == pytest.approx(middle * delay)


def test_a_capped_proportional_wait_may_pass_the_cap_by_a_quarter() -> None:
    assert 37 < wait(9, math.nextafter(1, 0), "proportional") <= 37.5


def test_the_spread_of_a_proportional_wait_can_be_chosen() -> None:
    assert wait(2, 0.0, "proportional", spread=0.1) == pytest.approx(1.8)
    assert wait(2, 0.75, "proportional", spread=0.1) == pytest.approx(2.1)
    assert wait(2, 0.9, "proportional", spread=0.0) == 2


@pytest.mark.parametrize("attempt", [64, 1_024, 1_025, 10**9, 10**400])
@pytest.mark.parametrize("base", [0.0, 1e-3, 1.0, 1e300])
def test_a_huge_attempt_saturates(attempt: int, base: float) -> None:
    delay = backoff(attempt, base_seconds=base, cap_seconds=60, draw=lambda: 0.5, jitter="proportional")
    assert delay == (60 if base else 0)


def test_decorrelated_waits_grow_from_the_previous_one_up_to_the_cap() -> None:
    assert wait(1, 0.0, "decorrelated") == 1
    assert wait(1, 0.5, "decorrelated") == 2
    assert wait(2, 0.5, "decorrelated", previous_seconds=3) == 5
    assert wait(9, 0.9, "decorrelated", previous_seconds=30) == 30
    assert wait(2, 0.9, "decorrelated", previous_seconds=0) == 1


@pytest.mark.parametrize("attempt", [0, -1])
def test_attempts_count_from_one(attempt: int) -> None:
    with pytest.raises(ValueError, match="from 1"):
        wait(attempt, 0.5, "full")


def test_a_deadline_knows_what_is_left() -> None:
    deadline = Deadline.after(10, now=100)
    assert deadline == Deadline(110)
    assert (deadline.remaining(104), deadline.remaining(120)) == (6, 0)
    assert [deadline.expired(now) for now in (109.9, 110, 111)] == [False, True, True]
    assert [deadline.allows(5, now) for now in (104.9, 105, 106)] == [True, False, False]
