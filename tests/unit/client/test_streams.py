from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx2
import pytest

from amends.exceptions import ApiError, ConflictError, GoneError, NetworkError, RequestTimeoutError
from amends.testing import Reply

CHUNKED = {"Transfer-Encoding": "chunked"}


def line(number: int, **members: Any) -> dict[str, Any]:
    return {"object": "batch_prediction.result", "custom_id": f"item-{number}", "status": "succeeded", **members}


def ndjson(*values: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(value).encode() + b"\n" for value in values)


def results(**query: Any) -> Any:
    return lambda client: client.batch_predictions.results("bpred_1", **query)


def test_lines_come_in_order_whatever_the_pieces(rig: Any) -> None:
    values = [line(number, output={"text": "ä" * number}) for number in range(50)]
    for piece_bytes in (1, 7, 100, 65_536):
        assert rig.run(results(), Reply(body=ndjson(*values), piece_bytes=piece_bytes)) == values
    assert rig.requests[0].query == {}
    assert rig.requests[0].headers["accept"] == "application/x-ndjson"


def test_empty_stream_has_no_lines(rig: Any) -> None:
    assert rig.run(results(status="errored"), Reply(body=b"")) == []


def test_query_is_what_was_asked(rig: Any) -> None:
    rig.run(results(partial=True, status="errored", lineage=True, after="a b/ü"), Reply(body=b""))
    assert rig.requests[0].query == {"partial": "true", "status": "errored", "lineage": "true", "after": "a b/ü"}


@pytest.mark.parametrize("drop_after", [0, 1, 50, 83, 84, 85, 86, 200])
def test_stream_goes_on_after_the_last_whole_line(rig: Any, drop_after: int) -> None:
    values = [line(number) for number in range(10)]

    def serve(request: Any) -> Reply:
        after = request.query.get("after")
        rest = values if after is None else values[int(after.removeprefix("item-")) + 1 :]
        body = ndjson(*rest)
        broken = len(rig.requests) < 4 and drop_after < len(body)
        return Reply(body=body, drop_after=drop_after if broken else None)

    assert rig.run(results(), serve) == values
    assert len(rig.requests) > 1
    assert len({request.headers.get("idempotency-key") for request in rig.requests}) == 1


def test_progress_gives_all_retries_back(rig: Any) -> None:
    values = [line(number) for number in range(30)]

    def serve(request: Any) -> Reply:
        after = request.query.get("after")
        rest = values if after is None else values[int(after.removeprefix("item-")) + 1 :]
        return Reply(body=ndjson(*rest), drop_after=100 if len(rest) > 1 else None)

    assert rig.run(results(), serve, budget=None) == values
    assert set(rig.clock.slept) == {1.0}


def test_stream_that_never_gets_further_is_given_up(rig: Any) -> None:
    with pytest.raises(NetworkError, match="broke off"):
        rig.run(results(), lambda request: Reply(body=ndjson(line(1)), drop_after=10))
    assert len(rig.requests) == 4


def test_completion_order_goes_on_by_cursor(rig: Any) -> None:
    first = ndjson(line(7, cursor="c1"), line(3, cursor="c2"))
    second = ndjson(line(5, cursor="c3"))
    got = rig.run(results(order="completion"), Reply(body=first + second, drop_after=len(first)), Reply(body=second))
    assert [value["custom_id"] for value in got] == ["item-7", "item-3", "item-5"]
    assert rig.requests[1].query == {"order": "completion", "after": "c2"}


def test_last_line_without_its_break_counts_if_it_is_whole(rig: Any) -> None:
    values = [line(1), line(2)]
    assert rig.run(results(), Reply(body=ndjson(*values)[:-1], headers=CHUNKED)) == values


def test_answer_cut_at_a_proxy_that_frames_nothing_is_noticed(rig: Any) -> None:
    """HTTP/1.0 ends a body by closing, so that a cut one looks whole: asking for what follows tells."""
    values = [line(number) for number in range(4)]

    def serve(request: Any) -> httpx2.Response:
        after = request.url.params.get("after")
        rest = values if after is None else values[int(after.removeprefix("item-")) + 1 :]
        return httpx2.Response(200, stream=httpx2.ByteStream(ndjson(*rest[:2])))

    from amends import Client

    client = Client("k", http_client=httpx2.Client(transport=httpx2.MockTransport(serve)))
    assert list(client.batch_predictions.results("b")) == values


@pytest.mark.parametrize(
    "body",
    [
        b"<html></html>\n",
        b"[1]\n",
        b"null\n",
        b'{"custom_id": 5}\n',
        b"{}\n",
        b"\xff\xfe\n",
        b'{"custom_id":"a"}\n{"cu\n',
    ],
)
def test_lines_that_are_none_are_an_api_error(rig: Any, body: bytes) -> None:
    with pytest.raises(ApiError) as caught:
        rig.run(results(), Reply(body=body))
    assert caught.value.status_code == 200


def test_stream_refused_is_raised_as_any_other(rig: Any) -> None:
    with pytest.raises(ConflictError):
        rig.run(results(), Reply(409, json={"detail": "It runs"}))
    with pytest.raises(GoneError):
        rig.run(results(), Reply(410, json={"detail": "gone"}))
    assert rig.run(results(), Reply(503), Reply(body=ndjson(line(1)))) == [line(1)]


def test_deadline_bounds_the_whole_stream(rig: Any) -> None:
    def serve(request: Any) -> Reply:
        return Reply(body=ndjson(line(len(rig.requests))) + b"{" * 50, drop_after=100, takes_seconds=4)

    with pytest.raises(RequestTimeoutError):
        rig.run(results(deadline=30), serve)
    assert rig.clock.monotonic() <= 35


def test_download_gives_bytes_or_a_file(rig: Any, tmp_path: Path) -> None:
    content = bytes(range(256)) * 1000
    assert rig.run(lambda client: client.files.download("file_1"), Reply(body=content)) == content
    target = tmp_path / "x.bin"
    assert rig.run(lambda client: client.files.download("file_1", target), Reply(body=content)) == target
    assert target.read_bytes() == content
    assert list(tmp_path.iterdir()) == [target]


def test_download_goes_on_by_range_where_the_bytes_are_the_same(rig: Any) -> None:
    content = bytes(range(200))
    headers = {"ETag": '"v1"'}
    rest = {**headers, "Content-Range": "bytes 60-199/200"}
    got = rig.run(
        lambda client: client.files.download("file_1"),
        Reply(body=content, headers=headers, drop_after=60),
        Reply(206, body=content[60:], headers=rest),
    )
    assert got == content
    assert rig.requests[1].headers["range"] == "bytes=60-"
    assert rig.requests[1].headers["if-range"] == '"v1"'


def test_download_begins_again_where_they_are_not(rig: Any) -> None:
    work = lambda client: client.files.download("file_1")  # noqa: E731
    changed = Reply(body=b"new content", headers={"ETag": '"v2"'})
    assert rig.run(work, Reply(body=b"old" * 50, headers={"ETag": '"v1"'}, drop_after=60), changed) == b"new content"
    assert rig.run(work, Reply(body=b"old" * 50, drop_after=60), changed) == b"new content"
    assert "range" not in rig.requests[1].headers


def test_wrong_range_is_no_download(rig: Any) -> None:
    wrong = Reply(206, body=b"x", headers={"Content-Range": "bytes 0-0/200", "ETag": '"v1"'})
    with pytest.raises(ApiError, match="range"):
        rig.run(
            lambda client: client.files.download("f"),
            Reply(body=b"a" * 200, headers={"ETag": '"v1"'}, drop_after=60),
            wrong,
        )


def test_broken_download_leaves_what_stood_there(rig: Any, tmp_path: Path) -> None:
    target = tmp_path / "x.bin"
    target.write_bytes(b"before")
    with pytest.raises(NetworkError):
        rig.run(lambda client: client.files.download("f", target), lambda request: Reply(body=b"a" * 9, drop_after=0))
    assert target.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize(
    ("format", "accept"),
    [("jsonl", "application/x-ndjson"), ("csv", "text/csv"), ("parquet", "application/vnd.apache.parquet")],
)
def test_results_are_saved_as_the_server_sends_them(rig: Any, tmp_path: Path, format: Any, accept: str) -> None:
    target = tmp_path / "results"
    broken = Reply(body=b"a" * 90, drop_after=50)
    work = lambda c: c.batch_predictions.download("b", target, format=format, status="errored", lineage=True)  # noqa: E731
    assert rig.run(work, broken, Reply(body=b"whole")) == target
    assert target.read_bytes() == b"whole"
    for request in rig.requests:
        assert request.path == "/v1/batch-predictions/b/results"
        assert request.query == {"status": "errored", "lineage": "true"}
        assert request.headers["accept"] == accept
