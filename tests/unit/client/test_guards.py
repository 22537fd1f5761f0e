"""The retry budget and the breakers of a client."""

from __future__ import annotations

import asyncio
import pickle
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amends import AsyncClient, Client
from amends.exceptions import (
    ApiError,
    CircuitOpenError,
    NetworkError,
    NotFoundError,
    PollTimeoutError,
    RequestTimeoutError,
    ServerError,
)
from amends.resilience import Breaker, RetryBudget
from amends.testing import FakeClock, FakeTransport, Reply

FILE = Reply(json={"id": "file_1"})
BUSY = Reply(503)


def get(client: Any) -> Any:
    return client.files.get("file_1")


def get_run(client: Any) -> Any:
    return client.runs.get("run_1")


def create(client: Any) -> Any:
    return client.batch_predictions.create([{"custom_id": "a", "input": "x"}], model="local/echo")


def refused(request: Any) -> Any:
    return httpx2.ConnectError("refused")


def busy(request: Any) -> Any:
    return BUSY


def spent(now: float = 0.0) -> RetryBudget:
    """A budget whose tokens are gone at ``now``, by default when the fake clock begins."""
    budget = RetryBudget()
    while budget.try_take(now):
        pass
    return budget


def test_a_call_that_the_budget_refuses_says_so(rig: Any) -> None:
    events: list[Any] = []
    with pytest.raises(ServerError, match="was not tried again: the client's retry budget is spent") as caught:
        rig.run(get, BUSY, budget=spent(), on_give_up=events.append)
    assert caught.value.gave_up == "budget_refused"
    assert len(caught.value.attempts) == 1
    assert [event.reason for event in events] == ["budget_refused"]
    assert rig.clock.slept == []
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (copy.gave_up, str(copy)) == ("budget_refused", str(caught.value))
    with pytest.raises(NetworkError, match="retry budget is spent"):
        rig.run(get, refused, budget=spent())


def test_a_call_that_ran_out_of_tries_says_that_instead(rig: Any) -> None:
    with pytest.raises(ServerError) as caught:
        rig.run(get, *[BUSY] * 4)
    assert caught.value.gave_up == "attempts_exhausted"
    assert "budget" not in str(caught.value)


def test_a_lonely_call_has_all_its_retries_and_a_crowd_hardly_any(rig: Any) -> None:
    found = rig.outcomes([get] * 100, busy)
    assert [len(error.attempts) for error in found[:6]] == [4] * 6
    assert len(rig.requests) <= 100 + 20 + rig.clock.monotonic() / 10
    assert {error.gave_up for error in found[10:]} <= {"budget_refused", "attempts_exhausted"}
    assert len(found[-1].attempts) == 1


def test_ten_good_calls_pay_for_a_retry(rig: Any) -> None:
    budget = spent()
    rig.outcomes([get] * 10, lambda request: FILE, budget=budget)
    assert rig.run(get, BUSY, FILE, budget=budget).id == "file_1"
    with pytest.raises(ServerError):
        rig.run(get, BUSY, budget=budget)


def test_no_budget_is_no_bound(rig: Any) -> None:
    found = rig.outcomes([get] * 20, busy, budget=None)
    assert [len(error.attempts) for error in found] == [4] * 20


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_copies_share_budget_and_breakers(kind: Any) -> None:
    client = kind("k", breaker=Breaker())
    copy = client.with_options(max_retries=1)
    assert copy._context.guards is client._context.guards
    assert kind("k")._context.guards.budget is not client._context.guards.budget


def test_bulk_work_waits_for_a_token(rig: Any) -> None:
    batch = Reply(json={"id": "bpred_1"})
    assert rig.run(create, BUSY, batch, budget=spent()).id == "bpred_1"
    assert rig.clock.slept == [1.0, pytest.approx(9.0)]


def test_bulk_work_that_cannot_have_a_token_in_time_fails(rig: Any) -> None:
    with pytest.raises(ServerError) as caught:
        rig.run(create, BUSY, budget=spent(), deadline=8)
    assert caught.value.gave_up == "deadline"
    assert rig.clock.slept == [1.0]


def test_a_result_stream_that_broke_waits_for_a_token(rig: Any) -> None:
    line = b'{"custom_id": "a", "status": "succeeded"}\n'
    script = [Reply(body=line * 2, drop_after=len(line)), Reply(body=b"")]
    assert len(rig.run(lambda client: client.batch_predictions.results("b"), *script, budget=spent())) == 1
    assert rig.clock.slept == [1.0, pytest.approx(8.0)]  # the stream's good beginning returned a tenth
    budget = spent(rig.clock.monotonic())
    with pytest.raises(RequestTimeoutError, match="deadline of 4 s"):
        rig.run(lambda client: client.batch_predictions.results("b"), *script, budget=budget, deadline=4)


def test_polling_takes_no_tokens_and_its_retries_wait_for_them(rig: Any) -> None:
    running, ended = Reply(json={"id": "r", "status": "in_progress"}), Reply(json={"id": "r", "status": "completed"})
    budget = spent()
    assert rig.run(lambda client: client.runs.wait("r"), *[running] * 3, BUSY, ended, budget=budget).id == "r"
    assert len(rig.requests) == 5
    assert sum(rig.clock.slept) == pytest.approx(7.0, abs=0.1)  # three good polls returned three tenths


def test_a_caller_that_leaves_takes_no_token_with_it() -> None:
    class Leaving(FakeClock):
        async def asleep(self, seconds: float) -> None:
            raise asyncio.CancelledError

    async def leave(budget: RetryBudget) -> None:
        transport = FakeTransport(busy)
        client = AsyncClient("k", http_client=transport.async_http_client(), clock=Leaving(), budget=budget)
        await client.files.get("f")

    budget = RetryBudget()
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(leave(budget))
    assert budget.tokens(0) == 20


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["good", "bad", "bulk"]), st.floats(0, 5)), min_size=1, max_size=60))
def test_requests_at_the_far_end_never_exceed_calls_and_budget(steps: list[tuple[str, float]]) -> None:
    clock = FakeClock()
    answers = {"good": FILE, "bad": BUSY, "bulk": BUSY}
    now = "good"
    transport = FakeTransport(lambda request: answers[now], clock=clock)
    client = Client("k", http_client=transport.http_client(), clock=clock, draw=lambda: 0.5)
    good = 0
    for now, pause in steps:
        clock.advance(pause)
        try:
            (create if now == "bulk" else get)(client)
            good += 1
        except ApiError:
            pass
        retries = sum(request.headers["amends-attempt"] != "0" for request in transport.requests)
        assert retries <= 20 + 0.1 * good + clock.monotonic() / 10 + 1e-4


def test_a_breaker_raises_at_once_and_says_when_it_tries_again(rig: Any) -> None:
    found = rig.outcomes([get] * 21, refused, max_retries=0, breaker=Breaker())
    assert [type(error) for error in found] == [NetworkError] * 20 + [CircuitOpenError]
    assert found[-1].host == "127.0.0.1:8080"
    assert found[-1].retry_at == datetime.fromtimestamp(rig.clock.time() + 5, UTC)
    assert found[-1].attempts == ()
    assert len(rig.requests) == 20


def test_each_route_group_has_a_breaker_of_its_own(rig: Any) -> None:
    found = rig.outcomes([get] * 21 + [get_run], refused, max_retries=0, breaker=Breaker())
    assert [type(error) for error in found[20:]] == [CircuitOpenError, NetworkError]


@pytest.mark.parametrize("status", [500, 429, 404, 507])
def test_only_an_unreachable_host_opens_it(rig: Any, status: int) -> None:
    found = rig.outcomes([get] * 40, lambda request: Reply(status), max_retries=0, breaker=Breaker())
    assert {type(error) for error in found} & {CircuitOpenError} == set()


def test_one_probe_goes_through_after_five_seconds_and_closes_it(rig: Any) -> None:
    def wait_five(client: Any) -> Any:
        rig.clock.advance(5)
        return get(client)

    healed = [refused] * 20 + [lambda request: FILE]

    def answer(request: Any) -> Any:
        return healed.pop(0)(request) if len(healed) > 1 else healed[0](request)

    found = rig.outcomes([get] * 21 + [wait_five, get], answer, max_retries=0, breaker=Breaker())
    assert isinstance(found[20], CircuitOpenError)
    assert [file.id for file in found[21:]] == ["file_1", "file_1"]


def test_retry_after_of_a_503_keeps_it_open(rig: Any) -> None:
    asked = Reply(503, headers={"Retry-After": "60"})
    found = rig.outcomes([get] * 21, lambda request: asked, max_retries=0, breaker=Breaker())
    assert found[-1].retry_at == datetime.fromtimestamp(rig.clock.time() + 60, UTC)


def test_a_call_whose_breaker_opened_while_it_waited_tells_what_it_tried(rig: Any) -> None:
    failing = [lambda client: client.with_options(max_retries=0).files.get("f")] * 19
    opened = rig.outcomes([*failing, get], refused, breaker=Breaker())[-1]
    assert isinstance(opened, CircuitOpenError)
    assert isinstance(opened.__cause__, NetworkError)
    assert [attempt.error for attempt in opened.attempts] == ["ConnectError: refused"]
    assert len(rig.requests) == 20


def test_a_probe_that_is_left_makes_way(rig: Any) -> None:
    def broken(client: Any) -> Any:
        rig.clock.advance(5)
        return client.files.get("f", deadline=1e-9)

    found = rig.outcomes([get] * 20 + [broken, get], refused, max_retries=0, breaker=Breaker())
    assert isinstance(found[20], NetworkError)
    assert isinstance(found[21], CircuitOpenError)  # the probe went out and failed


def test_without_a_breaker_bulk_work_pauses_where_single_calls_fail(rig: Any) -> None:
    script = [refused] * 20 + [lambda request: Reply(json={"id": "bpred_1"})]

    def answer(request: Any) -> Any:
        return (script.pop(0) if len(script) > 1 else script[0])(request)

    found = rig.outcomes([create] * 21, answer, max_retries=0)
    assert [type(error) for error in found[:20]] == [NetworkError] * 20
    assert rig.clock.slept == [5.0]
    assert found[20].id == "bpred_1"
    found = rig.outcomes([get] * 30, refused, max_retries=0)
    assert {type(error) for error in found} == {NetworkError}


def test_bulk_work_that_pauses_keeps_its_deadline(rig: Any) -> None:
    works = [create] * 20 + [lambda client: client.batch_predictions.create([], model="m", deadline=3)]
    late = rig.outcomes(works, refused, max_retries=0)[-1]
    assert isinstance(late, RequestTimeoutError)
    assert (late.gave_up, rig.clock.slept) == ("deadline", [3.0])


def test_waiting_for_a_run_pauses_too_and_ends_in_time(rig: Any) -> None:
    def wait(client: Any) -> Any:
        return client.runs.wait("r", timeout=2)

    found = rig.outcomes([lambda client: client.runs.wait("r")] * 20 + [wait], refused, max_retries=0)
    assert isinstance(found[-1], PollTimeoutError)
    assert len(rig.requests) == 20


def test_an_answer_that_discourages_repeating_is_believed(rig: Any) -> None:
    with pytest.raises(ServerError) as caught:
        rig.run(get, Reply(500, headers={"x-should-retry": "false"}))
    assert caught.value.gave_up == "not_retryable"
    with pytest.raises(NotFoundError):
        rig.run(get, Reply(404, headers={"x-should-retry": "true"}))


def test_every_try_says_how_long_it_is_waited_for(rig: Any) -> None:
    rig.run(get, FILE)
    assert rig.requests[0].headers["amends-timeout"] == "30.000"
    rig.run(create, Reply(json={"id": "b"}))
    assert "amends-timeout" not in rig.requests[0].headers  # however long it takes
    rig.run(create, Reply(json={"id": "b"}), deadline=90)
    assert rig.requests[0].headers["amends-timeout"] == "90.000"


def test_circuit_open_error_pickles_with_its_attempts() -> None:
    error = CircuitOpenError("h", datetime(2026, 1, 1, tzinfo=UTC), ())
    assert pickle.loads(pickle.dumps(error)).args == error.args
