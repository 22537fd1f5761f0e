from itertools import product
from typing import Any

import pytest

from amends.problems import CATALOGUE, problem
from amends.resilience import MAX_RETRY_AFTER_SECONDS, Defer, End, GiveUp, Retry, item_decision, retry_decision

RETRIED = {None, 408, 429, *range(500, 600)}


def middle() -> float:
    return 0.5


def decide(status: int | None = 503, **changes: Any) -> Retry | GiveUp:
    call: dict[str, Any] = {
        "error_code": None,
        "attempt": 1,
        "max_retries": 3,
        "repeatable": True,
        "retry_after_seconds": None,
        "remaining_seconds": None,
        "draw": middle,
    }
    return retry_decision(status=status, **(call | changes))


@pytest.mark.parametrize("status", [None, *range(400, 600)])
def test_the_status_decides_whether_a_call_is_tried_again(status: int | None) -> None:
    expected = Retry(1.0) if status in RETRIED else GiveUp("not_retryable")
    assert decide(status) == expected


def test_every_combination_ends_as_the_contract_says() -> None:
    statuses = (None, 400, 408, 409, 429, 500, 503)
    codes = (None, "IDEMPOTENCY_IN_PROGRESS", "IDEMPOTENCY_CONFLICT")
    for status, code, attempt, retries, repeatable, asked, remaining in product(
        statuses, codes, (1, 3, 4, 12), (0, 3), (True, False), (None, 0, 7, 120, 121), (None, 0.5, 60)
    ):
        decision = decide(
            status,
            error_code=code,
            attempt=attempt,
            max_retries=retries,
            repeatable=repeatable,
            retry_after_seconds=asked,
            remaining_seconds=remaining,
        )
        in_progress = (status, code) == (409, "IDEMPOTENCY_IN_PROGRESS")
        allowed = retries + 8 if in_progress and retries else retries
        pause = max(min(2.0 ** (attempt - 1), 30), asked or 0)
        if status not in RETRIED and not in_progress:
            assert decision == GiveUp("not_retryable")
        elif not repeatable:
            assert decision == GiveUp("not_repeatable")
        elif attempt > allowed:
            assert decision == GiveUp("attempts_exhausted")
        elif (asked or 0) > MAX_RETRY_AFTER_SECONDS:
            assert decision == GiveUp("retry_after_too_long")
        elif remaining is not None and pause >= remaining:
            assert decision == GiveUp("deadline")
        else:
            assert decision == Retry(pause)


@pytest.mark.parametrize("status", [None, 408, 409, 429, 500, 503])
def test_an_answer_that_discourages_repeating_is_not_repeated(status: int | None) -> None:
    code = "IDEMPOTENCY_IN_PROGRESS" if status == 409 else None
    assert isinstance(decide(status, error_code=code), Retry)
    assert decide(status, error_code=code, is_discouraged=True) == GiveUp("not_retryable")


def test_waits_are_1_2_4_seconds_and_a_quarter_either_way() -> None:
    assert [decide(attempt=n) for n in (1, 2, 3)] == [Retry(1), Retry(2), Retry(4)]
    assert decide(draw=lambda: 0.0) == Retry(0.75)
    assert decide(attempt=3, draw=lambda: 0.0) == Retry(3.0)


def test_retry_after_is_never_undercut_and_0_still_backs_off() -> None:
    assert decide(429, retry_after_seconds=90) == Retry(90)
    assert decide(429, retry_after_seconds=0) == Retry(1)


def test_a_request_in_progress_is_waited_out_beyond_the_usual_retries() -> None:
    running: dict[str, Any] = {"error_code": "IDEMPOTENCY_IN_PROGRESS", "retry_after_seconds": 1}
    assert decide(409, attempt=11, **running) == Retry(30)
    assert decide(409, attempt=12, **running) == GiveUp("attempts_exhausted")
    assert decide(409, attempt=1, max_retries=0, **running) == GiveUp("attempts_exhausted")


@pytest.mark.parametrize(
    ("slug", "code"), [(row.slug, code) for row in CATALOGUE.values() for code in row.error_codes if "{" not in code]
)
def test_an_item_is_deferred_exactly_when_its_problem_is_retryable(slug: str, code: str) -> None:
    failed = problem(slug, error_code=code)
    decision = item_decision(failed, 1, 5, middle)
    if failed.remedy.retryable:
        assert decision == Defer(max(0.75, failed.retry_after or 0))
    else:
        assert decision == End()


def test_an_item_waits_longer_each_time_and_ends_with_its_last_attempt() -> None:
    failed = problem("upstream_failed")
    assert [item_decision(failed, n, 9, middle) for n in (1, 2, 3, 8)] == [
        Defer(0.75),
        Defer(1.5),
        Defer(3.0),
        Defer(45.0),
    ]
    assert item_decision(failed, 9, 9, middle) == End()
    assert item_decision(failed.replace(remedy=problem("upstream_failed", retry_after=300).remedy), 1, 9, middle) == (
        Defer(300)
    )


def test_no_deferred_item_comes_back_at_once() -> None:
    assert item_decision(problem("upstream_failed"), 1, 9, lambda: 0.0) == Defer(0.5)
