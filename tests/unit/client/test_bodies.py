from __future__ import annotations

import gc
import io
import json
import os
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from amends import Client
from amends.client import _json
from amends.testing import FakeClock, FakeTransport, Reply

BATCH = Reply(json={"id": "bpred_1", "object": "batch_prediction"})
BUSY = Reply(503)


def items(count: int) -> Iterator[dict[str, Any]]:
    for number in range(count):
        yield {"custom_id": f"item-{number}", "input": "text " * 40}


def create(items: Any, **options: Any) -> Any:
    return lambda client: client.batch_predictions.create(items, model="local/echo", **options)


def lines(request: Any) -> list[Any]:
    return [json.loads(line) for line in request.body.splitlines()]


def test_parameters_come_first_then_an_item_a_line(rig: Any) -> None:
    options = {"prompt": "why?", "metadata": {"a": "b"}, "limit_items": 2, "validation": None}
    rig.run(create(items(2), **options, output_schema={"type": "object"}, idempotency_key="mine"), BATCH)
    (request,) = rig.requests
    assert (request.method, request.path) == ("POST", "/v1/batch-predictions")
    assert request.headers["content-type"] == "application/x-ndjson"
    assert request.headers["idempotency-key"] == "mine"
    first, *rest = lines(request)
    assert first == {
        "model": "local/echo",
        "prompt": "why?",
        "output_schema": {"type": "object"},
        "metadata": {"a": "b"},
        "limit_items": 2,
    }
    assert rest == list(items(2))
    assert request.body.endswith(b"\n")


def test_one_shot_iterable_is_sent_again_byte_for_byte(rig: Any) -> None:
    taken = 0

    def once() -> Iterator[dict[str, Any]]:
        nonlocal taken
        for item in items(5_000):
            taken += 1
            yield item

    rig.run(create(once()), BUSY, httpx2.ReadError("reset"), BATCH)
    first, *others = (request.body for request in rig.requests)
    assert len(first.splitlines()) == 5_001
    assert others == [first, first]
    assert taken == 5_000


def test_list_is_gone_through_again(rig: Any) -> None:
    rig.run(create(list(items(3))), BUSY, BATCH)
    assert rig.requests[0].body == rig.requests[1].body


def test_any_iterable_will_do(rig: Any) -> None:
    for kind in (tuple(items(2)), {0: {"custom_id": "a"}}.values(), map(dict, items(2)), []):
        rig.run(create(kind), BATCH)
        assert len(lines(rig.requests[0])) in (1, 2, 3)


@pytest.mark.parametrize("wrong", [{"custom_id": "a"}, "text", b"bytes", None, 7])
def test_what_is_no_iterable_of_items_is_refused_unsent(rig: Any, wrong: Any) -> None:
    with pytest.raises(TypeError):
        rig.run(create(wrong), BATCH)
    assert rig.requests == []


def test_async_client_takes_async_iterables_and_keeps_them(rig: Any) -> None:
    async def once() -> AsyncIterator[dict[str, Any]]:
        for item in items(3_000):
            yield item

    if rig.kind == "sync":
        with pytest.raises(TypeError, match="AsyncClient"):
            rig.run(create(once()))
        return
    rig.run(create(once()), BUSY, BATCH)
    assert rig.requests[0].body == rig.requests[1].body
    assert len(lines(rig.requests[1])) == 3_001


class Broken(Exception):
    pass


def test_what_the_iterable_raises_passes_through_and_is_not_retried(rig: Any) -> None:
    def broken(error: Exception) -> Iterator[dict[str, Any]]:
        yield from items(2)
        raise error

    # Even what looks like our own network failing, since the caller may read items from elsewhere.
    for error in (Broken("mine"), httpx2.ReadError("theirs"), OSError("disk"), StopIteration()):
        expected = RuntimeError if isinstance(error, StopIteration) else type(error)
        with pytest.raises(expected):
            rig.run(create(broken(error)), BATCH)
    assert rig.clock.slept == []


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), object(), "\udc80", {"a": [float("nan"), None]}])
def test_item_that_json_cannot_hold_is_named(rig: Any, wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"items\[1\] \(custom_id 'b'\)"):
        rig.run(create([{"custom_id": "a", "input": "x"}, {"custom_id": "b", "input": wrong}]), BATCH)


def test_item_that_is_no_mapping_is_named(rig: Any) -> None:
    with pytest.raises(TypeError, match=r"items\[0\] is a str"):
        rig.run(create(["text"]), BATCH)


@pytest.mark.parametrize(
    "value", [None, True, 0, -1, 2**70, 1.5, 1e300, "", "ä\n\t\u2028\x00", [], [[None]], {"": {"ä": []}}, "null"]
)
def test_both_ways_of_writing_json_say_the_same(value: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    item = {"custom_id": "a", "input": value}
    quick = _json.encode_item(item, 0)
    monkeypatch.setattr(_json, "_encode_quickly", None)
    slow = _json.encode_item(item, 0)
    assert json.loads(quick) == json.loads(slow) == item
    block = slow + b"\n" + quick + b"\n"
    assert _json.decode_lines(block) == _json._loads_lines(block) == [item, item]


def test_deadline_ends_an_upload_that_is_under_way(rig: Any) -> None:
    def slow() -> Iterator[dict[str, Any]]:
        for item in items(4_000):
            rig.clock.advance(0.01)
            yield item

    with pytest.raises(Exception, match="no answer after") as caught:
        rig.run(create(slow(), deadline=5), BATCH)
    assert type(caught.value).__name__ == "RequestTimeoutError"
    assert rig.clock.monotonic() < 10


def test_temporary_file_is_gone_afterwards() -> None:
    before = set(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else set()
    client = Client("k", http_client=FakeTransport(BUSY, BATCH).http_client(), clock=FakeClock())
    create(items(10))(client)
    client.files  # noqa: B018 - a resource holds no file either
    assert not before or set(os.listdir("/proc/self/fd")) <= before


FILE = Reply(json={"id": "file_1", "filename": "a.txt"})


def form(request: Any) -> dict[str, Any]:
    """The parts of a multipart body: name → (filename, media type, content)."""
    boundary = request.headers["content-type"].partition("boundary=")[2].encode()
    parts = {}
    for part in request.body.split(b"--" + boundary)[1:-1]:
        head, _, content = part.strip(b"\r\n").partition(b"\r\n\r\n")
        fields = dict(pair.split("=", 1) for pair in head.decode().split("\r\n")[0].split("; ")[1:])
        kind = head.decode().partition("Content-Type: ")[2]
        parts[fields["name"].strip('"')] = (fields.get("filename", "").strip('"'), kind, content)
    return parts


def test_path_bytes_and_file_objects_upload_and_upload_again(rig: Any, tmp_path: Path) -> None:
    path = tmp_path / "größe.txt"
    path.write_bytes(b"hello")
    standing = io.BytesIO(b"skipped-hello")
    standing.seek(8)
    with path.open("rb") as opened:
        cases = [
            (path, {}, "größe.txt"),
            (str(path), {}, "größe.txt"),
            (b"hello", {"filename": "b.txt"}, "b.txt"),
            (b"hello", {}, "upload"),
            (standing, {}, "upload"),
            (opened, {"filename": "c.txt"}, "c.txt"),
        ]
        for file, options, name in cases:
            work = lambda client, file=file, options=options: client.files.upload(file, **options)  # noqa: E731
            assert rig.run(work, BUSY, FILE).id == "file_1"
            for request in rig.requests:
                assert form(request)["file"][0] == name
                assert form(request)["file"][2] == b"hello"


def test_fields_of_an_upload(rig: Any) -> None:
    options = {"purpose": "batch", "expires_after": 3600, "media_type": "text/markdown", "filename": "x.md"}
    rig.run(lambda client: client.files.upload(b"# x", **options), FILE)
    parts = form(rig.requests[0])
    assert parts["purpose"][2] == b"batch"
    assert parts["expires_after"][2] == b"3600"
    assert parts["file"] == ("x.md", "text/markdown", b"# x")
    assert "idempotency-key" in rig.requests[0].headers


def test_pipe_is_kept_for_a_retry(rig: Any) -> None:
    reader, writer = os.pipe()
    content = b"through a pipe " * 20_000

    def fill() -> None:
        with os.fdopen(writer, "wb") as pipe:
            pipe.write(content)

    thread = threading.Thread(target=fill)
    thread.start()
    with os.fdopen(reader, "rb") as pipe:
        rig.run(lambda client: client.files.upload(pipe, filename="p"), BUSY, FILE)
    thread.join()
    assert [form(request)["file"][2] for request in rig.requests] == [content, content]


def test_opened_file_is_closed_whatever_happens(rig: Any, tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x")
    # An unclosed file is a ResourceWarning, and warnings are errors here.
    with pytest.raises(ValueError, match="idempotency_key"):
        rig.run(lambda client: client.files.upload(path, idempotency_key="\n"))
    with pytest.raises(Exception, match="Conflict"):
        rig.run(lambda client: client.files.upload(path), Reply(409, json={"detail": "Conflict"}))
    gc.collect()


def test_file_that_cannot_be_read_is_the_callers_error(rig: Any, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        rig.run(lambda client: client.files.upload(tmp_path / "none"), FILE)
    with pytest.raises(TypeError, match="binary"):
        rig.run(lambda client: client.files.upload(io.StringIO("text")), FILE)

    class Failing(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        rig.run(lambda client: client.files.upload(Failing(b"x")), FILE)
    assert rig.clock.slept == []
