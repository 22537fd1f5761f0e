from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amends import Client
from amends.client import RateLimit, ResponseEvent
from amends.client._rates import rate_limit
from amends.testing import FakeTransport, Reply

TOLD = {"RateLimit": '"writes";r=12;t=48', "X-RateLimit-Limit": "600"}


def test_a_hook_is_told_what_is_left() -> None:
    events: list[ResponseEvent] = []
    transport = FakeTransport(Reply(json={}, headers=TOLD), Reply(json={}))
    with Client("k", http_client=transport.http_client(), on_response=events.append) as client:
        client.me()
        client.me()
    assert [event.rate_limit for event in events] == [RateLimit("writes", 600, 12, 48), None]


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ({"ratelimit": '"a";r=1'}, RateLimit("a", None, 1, None)),
        ({"ratelimit": '"a";t=3;r=0'}, RateLimit("a", None, 0, 3)),
        ({"ratelimit": ' "a" ; r=5 ; t=7'}, RateLimit("a", None, 5, 7)),
        ({"ratelimit": '"day";r=50;t=30, "hour";r=3'}, RateLimit("day", None, 50, 30)),
        ({"ratelimit": '"a";r=5;pk=:c2VjcmV0:'}, RateLimit("a", None, 5, None)),
        ({"ratelimit": '"a";r=5', "x-ratelimit-limit": " 60 "}, RateLimit("a", 60, 5, None)),
        ({"ratelimit": '"a";r=5', "x-ratelimit-limit": "many"}, RateLimit("a", None, 5, None)),
        ({"ratelimit": '"a";r=5', "x-ratelimit-limit": "²"}, RateLimit("a", None, 5, None)),
        ({"ratelimit": "limit=100, remaining=99, reset=3"}, None),
        ({"ratelimit": '"a";t=3'}, None),
        ({"ratelimit": '"a";r=-1'}, None),
        ({"ratelimit": '"a";r=1e9'}, None),
        ({"ratelimit": '"a'}, None),
        ({"ratelimit": ""}, None),
        ({"x-ratelimit-limit": "600", "x-ratelimit-remaining": "3"}, None),
        ({}, None),
    ],
)
def test_odd_headers_are_read_or_left(headers: dict[str, str], found: Any) -> None:
    assert rate_limit(headers) == found


@given(state=st.text(max_size=60), limit=st.text(max_size=20))
def test_no_header_raises(state: str, limit: str) -> None:
    rate_limit({"ratelimit": state, "x-ratelimit-limit": limit})
