from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from amends.server.schedule import PAUSES, is_taken, next_try, reason_to_disable

DAY = 86_400.0


def test_a_message_is_tried_ten_times_in_a_little_more_than_three_days() -> None:
    now, tries = 0.0, 1
    while (following := next_try(tries, now, lambda: 0.0)) is not None:
        now, tries = following, tries + 1
    assert tries == len(PAUSES) + 1 == 10
    assert 3 * DAY < now < 3.25 * DAY


@given(tries=st.integers(1, 9), now=st.floats(0, 1e10), draw=st.floats(0, 1, exclude_max=True), asked=st.floats(0, 1e9))
def test_a_pause_is_never_shorter_than_asked_nor_longer_than_a_day_and_a_bit(
    tries: int, now: float, draw: float, asked: float
) -> None:
    following = next_try(tries, now, lambda: draw, asked)
    assert following is not None
    assert now + max(PAUSES[tries - 1], min(asked, DAY)) <= following <= now + 1.1 * DAY


def test_only_an_answer_of_success_is_one() -> None:
    assert [status for status in (None, 100, 200, 204, 299, 301, 400, 410, 500) if is_taken(status)] == [200, 204, 299]


def test_a_webhook_is_given_up_when_it_says_so_or_after_days_of_nothing_else() -> None:
    assert reason_to_disable(410, None, 0.0, 5) == "It answered 410 Gone."
    assert reason_to_disable(500, None, 10 * DAY, 5) is None
    assert reason_to_disable(None, 0.0, 4.9 * DAY, 5) is None
    assert reason_to_disable(None, 0.0, 5 * DAY, 5) == "Nothing has reached it for 5 days."
