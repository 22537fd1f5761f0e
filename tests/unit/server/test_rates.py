from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amends.server.auth import Caller
from amends.server.rates import WINDOW_SECONDS, Rates, Verdict, kind_of
from amends.server.settings import LimitSettings
from amends.server.throttle import Throttle, fields


class Bucket:
    """The textbook's bucket of tokens, to compare with."""

    def __init__(self, limit: int) -> None:
        self.limit, self.tokens, self.at = limit, float(limit), 0.0

    def take(self, now: float) -> bool:
        self.tokens = min(self.limit, self.tokens + (now - self.at) * self.limit / WINDOW_SECONDS)
        self.at = now
        if self.tokens < 1 - 1e-6:
            return False
        self.tokens -= 1
        return True


@settings(deadline=None)
@given(limit=st.integers(1, 50), pauses=st.lists(st.integers(0, 20_000).map(lambda ms: ms / 1_000), max_size=200))
def test_a_key_gets_what_a_bucket_of_tokens_gives(limit: int, pauses: list[float]) -> None:
    rates, bucket, now = Rates({"writes": limit}), Bucket(limit), 0.0
    for pause in pauses:
        now += pause
        verdict = rates.take("key", "writes", now)
        assert verdict.is_allowed == bucket.take(now)
        assert verdict.remaining == int(bucket.tokens + 1e-6)
        assert verdict.full_after == pytest.approx((limit - bucket.tokens) * WINDOW_SECONDS / limit, abs=1e-6)


@settings(deadline=None)
@given(limit=st.integers(1, 10_000), start=st.floats(0, 1e9))
def test_the_whole_limit_may_come_at_once_and_nothing_more(limit: int, start: float) -> None:
    rates = Rates({"reads": limit})
    answers = [rates.take("key", "reads", start).is_allowed for _ in range(limit + 1)]
    assert answers == [True] * limit + [False]


@settings(deadline=None)
@given(limit=st.integers(1, 10_000), start=st.floats(0, 1e9))
def test_who_waits_as_long_as_told_is_let_in(limit: int, start: float) -> None:
    rates = Rates({"reads": limit})
    while (verdict := rates.take("key", "reads", start)).is_allowed:
        pass
    assert 0 < verdict.retry_after <= WINDOW_SECONDS / limit + 1e-3
    assert rates.take("key", "reads", start + max(1, math.ceil(verdict.retry_after))).is_allowed


def test_keys_and_kinds_have_buckets_of_their_own() -> None:
    rates = Rates({"reads": 1, "writes": 1})
    assert rates.take("a", "reads", 0.0).is_allowed
    assert not rates.take("a", "reads", 0.0).is_allowed
    assert rates.take("a", "writes", 0.0).is_allowed
    assert rates.take("b", "reads", 0.0).is_allowed


def test_a_million_keys_take_bounded_memory_and_the_busy_one_stays_limited() -> None:
    rates = Rates({"reads": 60}, most=1_000)
    while rates.take("busy", "reads", 0.0).is_allowed:
        pass
    for number in range(20_000):
        rates.take(f"key-{number}", "reads", 0.0)
        assert len(rates) <= 1_000
    assert not rates.take("busy", "reads", 0.0).is_allowed


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [
        ("GET", "/v1/files", "reads"),
        ("HEAD", "/v1/uploads/up_1", "reads"),
        ("GET", "/v1/batch-predictions/bpred_1/results", "reads"),
        ("POST", "/v1/files", "uploads"),
        ("POST", "/v1/uploads", "uploads"),
        ("PATCH", "/v1/uploads/up_1", None),
        ("DELETE", "/v1/uploads/up_1", "writes"),
        ("PATCH", "/v1/files/file_1", "writes"),
        ("POST", "/openai/v1/files", "uploads"),
        ("POST", "/api/search", "searches"),
        ("POST", "/v1/batch-predictions", "writes"),
        ("BREW", "/v1/files", "writes"),
    ],
)
def test_what_a_request_counts_as(method: str, path: str, kind: str | None) -> None:
    assert kind_of(method, path) == kind


def test_both_families_of_headers_tell_the_same() -> None:
    told = dict(fields("writes", Verdict(600, 12, 58.8, 0.0), 1_000.5))
    assert told == {
        b"x-ratelimit-limit": b"600",
        b"x-ratelimit-remaining": b"12",
        b"x-ratelimit-reset": b"1060",
        b"ratelimit-policy": b'"writes";q=600;w=60',
        b"ratelimit": b'"writes";r=12;t=59',
    }


def throttled(caller: Caller, times: int, limits: LimitSettings) -> list[str]:
    throttle = Throttle(limits, monotonic=lambda: 100.0, now=lambda: 1_000.0)
    answers = [throttle.admit(caller, "GET", "/v1/me") for _ in range(times)]
    return ["passed" if refused is None else refused.problem.detail for _, refused in answers]


def test_a_key_beyond_its_limit_is_told_when_to_come_again() -> None:
    caller = Caller("ws_a", "owner", "live", key_id="key_a")
    answers = throttled(caller, 7, LimitSettings(reads_per_minute=6))
    assert answers == ["passed"] * 6 + ["Rate limit exceeded. Try again in 10 seconds."]


def test_the_local_socket_is_not_limited() -> None:
    limits = LimitSettings(reads_per_minute=1)
    assert throttled(Caller("ws_a", "owner", "live", is_local=True), 5, limits) == ["passed"] * 5
