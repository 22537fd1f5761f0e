"""Nothing that a server or gateway answers makes the SDK raise anything but its own exceptions."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amends import Client
from amends.exceptions import AmendsError
from amends.testing import FakeClock, FakeTransport, Reply

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
MEMBERS = st.sampled_from(
    ["id", "data", "status", "has_more", "next_cursor", "created_at", "request_counts", "metadata", "error", "detail",
     "errors", "remedy", "type", "title", "request_id", "error_code", "retry_after", "custom_id", "bytes", "attempts"]
)  # fmt: skip
OBJECTS = st.dictionaries(MEMBERS, JSON | st.just("x"), max_size=8)
BODIES = (
    st.binary(max_size=200)
    | (JSON | OBJECTS).map(lambda value: json.dumps(value).encode())
    | OBJECTS.map(lambda value: json.dumps(value).encode()[:-1])
    | st.sampled_from(
        [b"", b"<html><h1>502 Bad Gateway</h1></html>", b"\xff\xfe", b"[" * 100_000, b'{"id": "x"', b"null"]
    )
)
HEADERS = st.dictionaries(
    st.sampled_from(["Retry-After", "X-Request-Id", "Content-Type", "ETag", "Content-Range"]),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30)
    | st.sampled_from(["application/json; charset=nonsense", "9" * 400, "Wed, 99 Foo 2026 00:00:00 GMT", "-1"]),
)
CALLS = [
    lambda client: client.files.get("f"),
    lambda client: list(client.files.list()),
    lambda client: client.files.download("f"),
    lambda client: client.files.upload(b"x"),
    lambda client: client.batch_predictions.create([{"custom_id": "a"}], model="m"),
    lambda client: client.batch_predictions.wait("b", timeout=1),
    lambda client: client.batch_predictions.failures("b"),
    lambda client: client.batch_predictions.item("b", "a"),
    lambda client: list(client.batch_predictions.results("b")),
    lambda client: list(client.batch_predictions.results("b", order="completion")),
    lambda client: client.batch_predictions.reconcile("b", ["a"]),
    lambda client: client.me(),
]


def provoke(call: Any, reply: Reply) -> None:
    answers = 0

    def answer(request: Any) -> Reply:
        nonlocal answers
        answers += 1
        assert answers < 50, "asked for ever"
        return reply

    transport = FakeTransport(answer)
    client = Client("k", http_client=transport.http_client(), clock=FakeClock(), max_retries=1)
    with client, suppress(AmendsError):
        call(client)


@pytest.mark.parametrize("place", range(len(CALLS)))
@given(status=st.sampled_from([200, 200, 200, 201, 204, 206, 299, 302, 400, 404, 409, 418, 429, 500, 503, 599]), body=BODIES,
       headers=HEADERS, drop=st.booleans())  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_any_answer_at_all(place: int, status: int, body: bytes, headers: dict[str, str], drop: bool) -> None:
    provoke(CALLS[place], Reply(status, body=body, headers=headers, drop_after=len(body) // 2 if drop else None))


@pytest.mark.parametrize("call", CALLS, ids=range(len(CALLS)))
@pytest.mark.parametrize(
    "reply",
    [
        Reply(502, body=b"<html>" + b"x" * 2_000_000, headers={"Content-Type": "text/html"}),
        Reply(200, body=b"\x1f\x8b\x08broken", headers={"Content-Encoding": "gzip"}),
        Reply(200, body=b'{"id": "\xed\xa0\x80"}'),
        Reply(200, body=b'{"id": "x", "status": {"deep": [[[[]]]]}, "created_at": 1e400}'),
        Reply(200, body=b'{"id": "x", "created_at": 99999999999999999999}'),
        Reply(200, body=b'{"data": [null], "has_more": 1}'),
        Reply(200, body=b'{"data": [{"id": "x"}], "has_more": true, "next_cursor": null}'),
        Reply(200, body=b'{"custom_id": ["list"], "cursor": {}}\n'),
        Reply(200, body=b"\n\n\n"),
    ],
    ids=str,
)
def test_known_horrors(call: Any, reply: Reply) -> None:
    provoke(call, reply)
