from __future__ import annotations

import asyncio

import httpx2
import pytest

from amends import Client
from amends.exceptions import NetworkError
from amends.testing import FakeClock, FakeTransport, RecordedRequest, Reply


def test_fake_clock_moves_only_when_told() -> None:
    clock = FakeClock(now=100.0)
    assert (clock.time(), clock.monotonic()) == (100.0, 0.0)
    clock.sleep(2.5)
    asyncio.run(clock.asleep(1.5))
    clock.advance(6)
    assert (clock.time(), clock.monotonic(), clock.slept) == (110.0, 10.0, [2.5, 1.5])
    clock.jump(-3600)
    assert (clock.time(), clock.monotonic()) == (-3490.0, 10.0)
    with pytest.raises(ValueError, match="back"):
        clock.advance(-1)


def test_request_beyond_the_script_is_told() -> None:
    with pytest.raises(AssertionError, match="GET /v1/me"):
        Client("k", http_client=FakeTransport().http_client()).me()


def test_script_goes_in_order_and_a_last_callable_stays() -> None:
    seen: list[RecordedRequest] = []

    def rest(request: RecordedRequest) -> Reply:
        seen.append(request)
        return Reply(json={"id": request.path})

    transport = FakeTransport(httpx2.ConnectError("refused"), Reply(json={"id": "first"}), rest)
    client = Client("k", http_client=transport.http_client(), max_retries=0)
    with pytest.raises(NetworkError):
        client.files.get("a")
    assert [client.files.get(name).id for name in "abc"] == ["first", "/v1/files/b", "/v1/files/c"]
    assert transport.requests[-2:] == seen


def test_request_is_recorded_as_it_came() -> None:
    transport = FakeTransport(Reply(json={"id": "x"}), Reply(json={"data": []}))
    client = Client("k", http_client=transport.http_client())
    client.runs.retry_failed("run/1", prompt="ä")
    client.files.list(limit=3)
    first, second = transport.requests
    assert (first.path, first.raw_path) == ("/v1/runs/run/1/retry", "/v1/runs/run%2F1/retry")
    assert first.json() == {"prompt": "ä"}
    assert first.headers["content-type"] == "application/json"
    assert (second.query, second.timeout_seconds) == ({"limit": "3"}, 30.0)
