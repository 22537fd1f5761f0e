from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from amends.resilience import Retry, backoff, parse_retry_after, retry_decision

draws = st.floats(min_value=0, max_value=1, exclude_max=True)
waits = st.floats(min_value=0, max_value=1e6)


@given(
    st.integers(min_value=1),
    waits,
    waits,
    draws,
    st.sampled_from(["none", "full", "equal", "proportional", "decorrelated"]),
    waits,
)
def test_a_wait_is_never_negative_and_never_beyond_the_cap_and_a_quarter(
    attempt: int, base: float, cap: float, draw: float, jitter: Any, previous: float
) -> None:
    delay = backoff(
        attempt, base_seconds=base, cap_seconds=cap, draw=lambda: draw, jitter=jitter, previous_seconds=previous
    )
    assert 0 <= delay <= cap * (1.25 if jitter == "proportional" else 1)


@given(st.text(max_size=120), st.floats(min_value=0, max_value=4e9))
def test_any_retry_after_is_none_or_a_bounded_wait(value: str, now: float) -> None:
    seconds = parse_retry_after(value, now)
    assert seconds is None or 0 <= seconds <= 366 * 86_400


@given(
    st.none() | st.integers(min_value=100, max_value=599),
    st.none() | st.just("IDEMPOTENCY_IN_PROGRESS"),
    st.integers(min_value=1, max_value=50),
    st.integers(min_value=0, max_value=10),
    st.none() | waits,
    st.none() | waits,
    draws,
)
def test_a_retry_is_bounded_within_the_deadline_and_after_what_was_asked(
    status: int | None,
    code: str | None,
    attempt: int,
    retries: int,
    asked: float | None,
    remaining: float | None,
    draw: float,
) -> None:
    decision = retry_decision(
        status=status,
        error_code=code,
        attempt=attempt,
        max_retries=retries,
        repeatable=True,
        retry_after_seconds=asked,
        remaining_seconds=remaining,
        draw=lambda: draw,
    )
    if isinstance(decision, Retry):
        assert attempt <= retries + 8
        assert 0.75 <= decision.after_seconds <= 120
        assert decision.after_seconds >= (asked or 0)
        assert remaining is None or decision.after_seconds < remaining
