from __future__ import annotations

import concurrent.futures
import logging
import multiprocessing
import pickle
import re
from typing import Any

import httpx2
import pytest

from amends.client import GiveUpEvent, ResponseEvent, RetryEvent
from amends.exceptions import (
    ApiError,
    AuthError,
    ConflictError,
    NetworkError,
    RateLimitError,
    RequestTimeoutError,
    ServerError,
)
from amends.testing import Reply

FILE = Reply(json={"id": "file_1"})
BUSY = Reply(503)


def get(client: Any) -> Any:
    return client.files.get("file_1")


def delete(client: Any) -> Any:
    return client.files.delete("file_1")


def test_waits_double_from_one_second(rig: Any) -> None:
    assert rig.run(get, BUSY, BUSY, BUSY, FILE).id == "file_1"
    assert rig.clock.slept == [1.0, 2.0, 4.0]
    assert [request.headers["amends-attempt"] for request in rig.requests] == ["0", "1", "2", "3"]


@pytest.mark.parametrize(
    "fault",
    [
        Reply(500),
        Reply(502, body=b"<html>Bad gateway</html>"),
        Reply(504),
        Reply(507),
        Reply(408),
        Reply(429),
        httpx2.ConnectError("refused"),
        httpx2.ReadError("reset"),
        httpx2.RemoteProtocolError("Server disconnected"),
        httpx2.ReadTimeout("slow"),
        httpx2.ConnectTimeout("slow"),
    ],
    ids=str,
)
def test_what_may_pass_is_tried_again(rig: Any, fault: Any) -> None:
    assert rig.run(delete, fault, FILE).id == "file_1"
    assert len(rig.clock.slept) == 1


@pytest.mark.parametrize("status", [301, 304, 400, 401, 402, 403, 404, 405, 409, 410, 413, 415, 422])
def test_what_cannot_pass_is_raised_at_once(rig: Any, status: int) -> None:
    with pytest.raises(ApiError) as caught:
        rig.run(get, Reply(status, headers={"Retry-After": "1", "Location": "http://elsewhere.example/"}))
    assert caught.value.status_code == status
    assert len(caught.value.attempts) == 1
    assert rig.clock.slept == []


def test_max_retries_is_after_the_first_try(rig: Any) -> None:
    with pytest.raises(ServerError) as caught:
        rig.run(get, *[BUSY] * 3, max_retries=2)
    assert [attempt.status_code for attempt in caught.value.attempts] == [503] * 3
    assert [attempt.waited_seconds for attempt in caught.value.attempts] == [0.0, 1.0, 2.0]
    assert [attempt.error for attempt in caught.value.attempts] == ["SERVICE_UNAVAILABLE"] * 3
    with pytest.raises(ServerError):
        rig.run(get, BUSY, max_retries=0)


def test_network_error_holds_its_attempts(rig: Any) -> None:
    with pytest.raises(NetworkError, match="refused") as caught:
        rig.run(get, *[httpx2.ConnectError("refused")] * 4)
    assert len(caught.value.attempts) == 4
    assert caught.value.attempts[0].status_code is None
    assert caught.value.attempts[0].error == "ConnectError: refused"
    assert not isinstance(caught.value, RequestTimeoutError)
    assert pickle.loads(pickle.dumps(caught.value)).attempts == caught.value.attempts


@pytest.mark.parametrize(
    ("status", "header", "waited"),
    [
        (429, "7", 7.0),
        (503, "7.5", 7.5),
        (503, "120", 120.0),
        (503, "0", 1.0),
        (429, "0.2", 1.0),
        (503, "-5", 1.0),
        (503, "soon", 1.0),
        (503, "", 1.0),
        (503, "Fri, 15 Jan 2027 08:00:09 GMT", 9.0),
        (503, "Fri, 15 Jan 2027 07:00:00 GMT", 1.0),
        (500, "7", 1.0),
        (502, "7", 1.0),
        (408, "7", 1.0),
    ],
)
def test_retry_after_is_never_undercut(rig: Any, status: int, header: str, waited: float) -> None:
    rig.run(get, Reply(status, headers={"Retry-After": header}), FILE)
    assert rig.clock.slept == [waited]


@pytest.mark.parametrize("header", ["121", "3600", "99999999999999999999", "Fri, 15 Jan 2027 08:02:01 GMT"])
def test_retry_after_beyond_two_minutes_is_raised_at_once(rig: Any, header: str) -> None:
    with pytest.raises(RateLimitError) as caught:
        rig.run(get, Reply(429, headers={"Retry-After": header}))
    assert caught.value.retry_after is not None
    assert caught.value.retry_after > 120
    assert rig.clock.slept == []


def test_retry_after_beyond_the_deadline_is_raised_at_once(rig: Any) -> None:
    with pytest.raises(ServerError) as caught:
        rig.run(lambda client: client.files.get("f", deadline=5), Reply(503, headers={"Retry-After": "6"}))
    assert caught.value.retry_after == 6
    assert rig.clock.slept == []


def test_no_try_begins_past_the_deadline(rig: Any) -> None:
    with pytest.raises(ServerError) as caught:
        rig.run(get, Reply(503, takes_seconds=2), Reply(503, takes_seconds=2), deadline=6)
    assert len(caught.value.attempts) == 2
    assert rig.clock.slept == [1.0]
    assert [request.headers["amends-timeout"] for request in rig.requests] == ["6.000", "3.000"]


def test_each_try_is_bounded_by_timeout_and_what_is_left(rig: Any) -> None:
    rig.run(lambda client: client.files.get("f", timeout=3), Reply(503, takes_seconds=2.5), FILE, deadline=5)
    assert [request.timeout_seconds for request in rig.requests] == [3, 1.5]
    rig.run(lambda client: client.files.get("f", timeout=None), FILE)
    assert rig.requests[0].timeout_seconds is None


def test_body_that_drips_beyond_the_timeout_is_a_timeout(rig: Any) -> None:
    class Dripping(Reply):
        def content(self) -> bytes:
            rig.clock.advance(31)
            return b'{"id": "file_1"}'

    with pytest.raises(RequestTimeoutError, match="no answer after 31"):
        rig.run(get, Dripping(), max_retries=0)


def test_timeouts_are_request_timeout_errors(rig: Any) -> None:
    with pytest.raises(RequestTimeoutError) as caught:
        rig.run(get, *[httpx2.ReadTimeout("")] * 4)
    assert len(caught.value.attempts) == 4


def test_one_key_is_made_before_the_first_try_and_kept(rig: Any) -> None:
    rig.run(delete, BUSY, httpx2.ReadError("reset"), FILE)
    keys = {request.headers["idempotency-key"] for request in rig.requests}
    assert len(keys) == 1
    assert re.fullmatch(r"amends-[0-9a-f]{32}", keys.pop())


def test_each_call_has_a_key_of_its_own(rig: Any) -> None:
    rig.run(delete, FILE)
    first = rig.requests[0].headers["idempotency-key"]
    rig.run(delete, FILE)
    assert rig.requests[0].headers["idempotency-key"] != first


def test_given_key_overrides(rig: Any) -> None:
    rig.run(lambda client: client.files.delete("f", idempotency_key="mine"), FILE)
    assert rig.requests[0].headers["idempotency-key"] == "mine"
    rig.run(delete, FILE, new_key=lambda: "made")
    assert rig.requests[0].headers["idempotency-key"] == "made"


@pytest.mark.parametrize("key", ["", "x" * 256, "a\nb", "ä", " padded "])
def test_senseless_keys_are_refused_before_anything_is_sent(rig: Any, key: str) -> None:
    with pytest.raises(ValueError, match="idempotency_key"):
        rig.run(lambda client: client.files.delete("f", idempotency_key=key))


def test_reads_carry_no_key(rig: Any) -> None:
    rig.run(get, FILE)
    assert "idempotency-key" not in rig.requests[0].headers


def test_request_in_progress_is_waited_out(rig: Any) -> None:
    running = Reply(409, json={"error_code": "IDEMPOTENCY_IN_PROGRESS", "detail": "x"}, headers={"Retry-After": "2"})
    assert rig.run(delete, *[running] * 5, FILE).id == "file_1"
    assert rig.clock.slept == [2.0, 2.0, 4.0, 8.0, 16.0]


def test_other_conflicts_are_not(rig: Any) -> None:
    with pytest.raises(ConflictError) as caught:
        rig.run(delete, Reply(409, json={"error_code": "IDEMPOTENCY_CONFLICT", "detail": "x"}))
    assert caught.value.code == "idempotency_conflict"


def test_error_carries_problem_and_request_id(rig: Any) -> None:
    body = {
        "type": "http://127.0.0.1/errors/no_authentication",
        "title": "No Authentication",
        "status": 401,
        "detail": "Not authenticated",
        "error_code": "AUTHENTICATION_FAILED",
        "code": "authentication_failed",
    }
    with pytest.raises(AuthError) as caught:
        rig.run(get, Reply(401, json=body, headers={"X-Request-Id": "req_7"}))
    assert caught.value.code == "authentication_failed"
    assert caught.value.request_id == "req_7"
    assert "req_7" in str(caught.value)
    assert caught.value.problem.detail == "Not authenticated"
    assert caught.value.remedy.action == "reauthenticate"


def _raised() -> ServerError:
    from amends import Client
    from amends.testing import FakeClock, FakeTransport

    client = Client("k", http_client=FakeTransport(*[BUSY] * 4).http_client(), clock=FakeClock())
    try:
        client.files.get("f")
    except ServerError as error:
        return error
    raise AssertionError


def test_errors_survive_a_process_pool() -> None:
    with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("forkserver")) as pool:
        error = pool.submit(pickle.loads, pickle.dumps(_raised())).result(30)
    assert isinstance(error, ServerError)
    assert len(error.attempts) == 4


def test_hooks_are_told(rig: Any) -> None:
    events: list[Any] = []
    hooks = {"on_retry": events.append, "on_give_up": events.append, "on_response": events.append}
    with pytest.raises(ApiError):
        rig.run(get, BUSY, Reply(404, headers={"X-Request-Id": "req_1"}), **hooks)
    first, retry, second, end = events
    assert isinstance(first, ResponseEvent)
    assert isinstance(retry, RetryEvent)
    assert (retry.path, retry.attempt.number, retry.wait_seconds) == ("/v1/files/file_1", 1, 1.0)
    assert isinstance(second, ResponseEvent)
    assert (second.status_code, second.request_id) == (404, "req_1")
    assert isinstance(end, GiveUpEvent)
    assert (end.reason, len(end.attempts)) == ("not_retryable", 2)


def test_failing_hook_changes_nothing(rig: Any, caplog: pytest.LogCaptureFixture) -> None:
    def fail(event: object) -> None:
        raise RuntimeError("a bug in the hook")

    assert rig.run(get, BUSY, FILE, on_retry=fail, on_response=fail).id == "file_1"
    assert "hook_failed" in caplog.text


def test_retries_are_logged_with_fields(rig: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="amends"):
        rig.run(get, BUSY, FILE)
    (record,) = caplog.records
    assert record.name == "amends"
    assert record.message == "retrying"
    assert vars(record)["wait_seconds"] == 1.0
