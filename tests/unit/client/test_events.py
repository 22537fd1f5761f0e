from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amends.client._events import EventParser, SentEvent
from amends.exceptions import ApiError, NetworkError, NotFoundError
from amends.testing import Reply

STREAM = {"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked"}


def told(*events: tuple[str, str | None, dict[str, Any]]) -> bytes:
    return b"".join(
        f"event: {kind}\n{f'id: {place}' + chr(10) if place else ''}data: {json.dumps(data)}\n\n".encode()
        for kind, place, data in events
    )


def watch(**query: Any) -> Any:
    return lambda client: client.runs.events("bpred_1", **query)


RUN = ("run", None, {"id": "bpred_1", "status": "in_progress"})
FAILED = ("failure", "7", {"custom_id": "a", "status": "errored", "cursor": "7"})
LATER = ("failure", "9", {"custom_id": "b", "status": "errored", "cursor": "9"})
END = ("end", "end", {"id": "bpred_1", "status": "completed"})


@given(cuts=st.lists(st.integers(0, 400)))
def test_events_are_the_same_whatever_the_pieces(cuts: list[int]) -> None:
    whole = b": hello\nretry: 250\n\n" + told(RUN, FAILED) + b"data: a\r\ndata: b\r\n\r\n" + told(END)
    places = sorted({0, *(min(cut, len(whole)) for cut in cuts), len(whole)})
    parser = EventParser()
    pieces = [whole[start:end] for start, end in itertools.pairwise(places)]
    found = [event for piece in pieces for event in parser.feed(piece)]
    assert [event.type for event in found] == ["run", "failure", "message", "end"]
    assert found[2] == SentEvent("message", "a\nb", "7")
    assert (parser.retry_seconds, parser.last_id) == (0.25, "end")


@given(junk=st.binary(max_size=300))
def test_any_bytes_give_events_or_a_value_error(junk: bytes) -> None:
    try:
        assert all(isinstance(event, SentEvent) for event in EventParser().feed(junk + b"\n\n"))
    except ValueError:
        pass  # no UTF-8


def test_an_event_without_end_is_refused_before_it_fills_the_memory() -> None:
    parser = EventParser()
    for _ in range(63):
        assert list(parser.feed(b"data: " + b"x" * 65_500)) == []
    with pytest.raises(ValueError, match="longer"):
        list(parser.feed(b"x" * 200_000))


def test_what_happens_is_emitted_until_the_end(rig: Any) -> None:
    got = rig.run(watch(), Reply(body=told(RUN, FAILED, END) + told(RUN), headers=STREAM))
    assert [event.type for event in got] == ["run", "failure", "end"]
    assert (got[0].run.status, got[1].line["custom_id"], got[2].run.is_ended) == ("in_progress", "a", True)
    assert (rig.requests[0].path, rig.requests[0].headers["accept"]) == ("/v1/runs/bpred_1/events", "text/event-stream")
    assert "last-event-id" not in rig.requests[0].headers


def test_a_broken_stream_goes_on_after_the_last_event(rig: Any) -> None:
    first = told(RUN, FAILED)
    got = rig.run(watch(), Reply(body=first + told(LATER), drop_after=len(first) + 5, headers=STREAM),
                  Reply(body=told(LATER, END), headers=STREAM))  # fmt: skip
    assert [event.id for event in got] == [None, "7", "9", "end"]
    assert rig.requests[1].headers["last-event-id"] == "7"


def test_a_stream_that_the_server_ends_is_asked_for_again_as_soon_as_it_says(rig: Any) -> None:
    got = rig.run(watch(), Reply(body=b"retry: 3000\n\n" + told(FAILED), headers=STREAM),
                  *[Reply(body=b"", headers=STREAM)] * 9, Reply(body=told(END), headers=STREAM))  # fmt: skip
    assert [event.type for event in got] == ["failure", "end"]
    assert rig.clock.slept[0] == 3.0
    assert len(rig.requests) == 11


def test_who_asks_after_the_end_hears_nothing_more(rig: Any) -> None:
    assert rig.run(watch(after="end"), Reply(204)) == []
    assert rig.requests[0].headers["last-event-id"] == "end"


def test_a_stream_that_never_gets_further_is_given_up(rig: Any) -> None:
    with pytest.raises(NetworkError, match="broke off"):
        rig.run(watch(), lambda request: Reply(body=told(RUN), drop_after=4, headers=STREAM))
    assert len(rig.requests) == 4


@pytest.mark.parametrize("data", ["[1]", "{", '{"status": "in_progress"}', '"text"'])
def test_an_event_that_is_none_is_an_api_error(rig: Any, data: str) -> None:
    with pytest.raises(ApiError, match="not what this call promises"):
        rig.run(watch(), Reply(body=f"event: run\ndata: {data}\n\n".encode(), headers=STREAM))


def test_a_run_that_is_not_there_is_not_found(rig: Any) -> None:
    with pytest.raises(NotFoundError):
        rig.run(watch(), Reply(404, json={"type": "x/resource_not_found", "status": 404}))
