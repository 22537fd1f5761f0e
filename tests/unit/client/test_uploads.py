"""Uploads in parts, and many at once, on a scripted transport."""

from __future__ import annotations

import base64
import io
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from amends import Client
from amends.client import Upload, UploadProgress
from amends.client import _resuming as resuming
from amends.exceptions import ApiError, AuthError, ServerError
from amends.resilience import RetryBudget
from amends.testing import FakeClock, FakeTransport, Reply
from amends.testing._transport import RecordedRequest

FILE = {"id": "file_1", "object": "file", "filename": "a.bin", "bytes": 10}


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resuming, "PART_BYTES", 4)


class Uploading:
    """A server of one upload at a time. faults: what to answer to the next requests of a method instead."""

    def __init__(self, **faults: list[Any]) -> None:
        self.faults = faults
        self.content = b""
        self.length = 0
        self.created = 0
        self.metadata = ""

    def __call__(self, request: RecordedRequest) -> Reply | Exception:
        if pending := self.faults.get(request.method.lower()):
            fault = pending.pop(0)
            if callable(fault):
                fault = fault(self, request)
            if fault is not None:
                return fault  # type: ignore[no-any-return]
        return getattr(self, f"_{request.method.lower()}")(request)  # type: ignore[no-any-return]

    def _post(self, request: RecordedRequest) -> Reply:
        self.created += 1
        self.length = int(request.headers["upload-length"])
        self.metadata = request.headers["upload-metadata"]
        return Reply(201, headers={"Location": f"/v1/uploads/upload_{self.created}"})

    def _head(self, request: RecordedRequest) -> Reply:
        return Reply(headers=self._stand())

    def _patch(self, request: RecordedRequest) -> Reply:
        if int(request.headers["upload-offset"]) != len(self.content):
            return Reply(409, json={"error_code": "OFFSET_CONFLICT", "detail": "elsewhere"})
        assert int(request.headers["content-length"]) == len(request.body)
        self.content += request.body
        return Reply(204, headers=self._stand())

    def _get(self, request: RecordedRequest) -> Reply:
        assert request.path == "/v1/files/file_1"
        return Reply(json=FILE)

    def _stand(self) -> dict[str, str]:
        is_whole = {"Amends-File-Id": "file_1"} if len(self.content) == self.length else {}
        return {"Upload-Offset": str(len(self.content)), **is_whole}


def half(server: Uploading, request: RecordedRequest) -> Exception:
    """The part arrives by half, and its connection breaks."""
    server.content += request.body[: len(request.body) // 2]
    return httpx2.ReadError("reset")


def lost(server: Uploading, request: RecordedRequest) -> Exception:
    """The part arrives, its answer does not."""
    server._patch(request)
    return httpx2.ReadError("reset")


def upload(content: Any = b"0123456789", **options: Any) -> Any:
    return lambda client: client.files.upload(content, filename="größe.bin", resumable=True, **options)


def test_a_file_travels_in_parts_and_says_what_it_is(rig: Any) -> None:
    server = Uploading()
    file = rig.run(upload(purpose="batch", expires_after=60, media_type="x/y", idempotency_key="mine"), server)
    assert (file.id, server.content) == ("file_1", b"0123456789")
    said = dict(pair.split(" ") for pair in server.metadata.split(","))
    assert {name: base64.b64decode(value).decode() for name, value in said.items()} == {
        "filename": "größe.bin",
        "media_type": "x/y",
        "purpose": "batch",
        "expires_after": "60",
    }
    creation, head, *parts, get = rig.requests
    assert (creation.headers["idempotency-key"], head.method, get.method) == ("mine", "HEAD", "GET")
    assert [part.headers["upload-offset"] for part in parts] == ["0", "4", "8"]
    assert {part.headers["tus-resumable"] for part in (creation, head, *parts)} == {"1.0.0"}
    assert rig.clock.slept == []


@pytest.mark.parametrize("source", ["bytes", "path", "file", "file midway", "pipe"])
def test_whatever_is_given_is_sent_from_where_it_stands(rig: Any, source: str, tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"0123456789")
    midway = io.BytesIO(b"xx0123456789")
    midway.seek(2)

    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            self._rest = b"0123456789"

        def read(self, size: int = -1) -> bytes:
            block, self._rest = self._rest[:3], self._rest[3:]
            return block

        def seekable(self) -> bool:
            return False

    sources: dict[str, Any] = {
        "bytes": b"0123456789",
        "path": path,
        "file": io.BytesIO(b"0123456789"),
        "file midway": midway,
        "pipe": Pipe(),
    }
    server = Uploading(patch=[half])
    rig.run(upload(sources[source]), server)
    assert server.content == b"0123456789"


FAULTS: dict[str, dict[str, list[Any]]] = {
    "half a part": {"patch": [half]},
    "an answer lost": {"patch": [None, lost]},
    "the last answer lost": {"patch": [None, None, lost]},
    "a server error": {"patch": [Reply(503), None, Reply(500)]},
    "damage": {"patch": [Reply(460)]},
    "locked by a connection that died": {"patch": [Reply(423, headers={"Retry-After": "1"})] * 5},
    "too many requests": {"patch": [Reply(429, headers={"Retry-After": "7"})]},
    "no answer to the question": {"patch": [half], "head": [None, httpx2.ReadError("reset"), Reply(502)]},
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_breaks_goes_on_from_where_it_was(rig: Any, fault: str) -> None:
    server = Uploading(**{method: list(faults) for method, faults in FAULTS[fault].items()})
    assert rig.run(upload(), server).id == "file_1"
    assert server.content == b"0123456789", "sent twice, or not at all"
    assert server.created == 1
    assert rig.clock.slept, "it went on without a pause"
    if fault == "too many requests":
        assert rig.clock.slept == [7.0]


def test_parts_that_get_no_further_end_it_with_their_error(rig: Any) -> None:
    with pytest.raises(ServerError) as caught:
        rig.run(upload(), Uploading(patch=[None, *[Reply(503)] * 4]))
    assert caught.value.status_code == 503
    assert rig.clock.slept == [1.0, 2.0, 4.0]


def test_each_step_forward_gives_the_retries_back(rig: Any) -> None:
    server = Uploading(patch=[half] * 9)
    assert rig.run(upload(b"x" * 40), server).id == "file_1"
    assert server.content == b"x" * 40


def test_where_the_retry_budget_is_spent_it_waits_for_a_token(rig: Any) -> None:
    server = Uploading(patch=[half, half, half])
    budget = RetryBudget(1, success_return=0, refill_seconds=100)
    assert rig.run(upload(), server, budget=budget).id == "file_1"
    assert server.content == b"0123456789"
    assert [seconds for seconds in rig.clock.slept if seconds > 50] == [pytest.approx(99.0)] * 2


def test_an_upload_that_stays_locked_ends_in_five_minutes(rig: Any) -> None:
    with pytest.raises(ApiError) as caught:
        rig.run(upload(), Uploading(patch=[Reply(423)] * 1_000))
    assert caught.value.status_code == 423
    assert 300 < sum(rig.clock.slept) < 310


def test_what_cannot_be_mended_is_raised_at_once(rig: Any) -> None:
    with pytest.raises(AuthError):
        rig.run(upload(), Uploading(patch=[Reply(401)]))
    assert rig.clock.slept == []


def test_an_upload_that_the_server_forgot_begins_anew_under_another_key(rig: Any) -> None:
    server = Uploading(head=[Reply(404)])
    assert rig.run(upload(idempotency_key="mine"), server).id == "file_1"
    keys = [request.headers["idempotency-key"] for request in rig.requests if request.method == "POST"]
    assert keys == ["mine", "mine.1"]
    with pytest.raises(ApiError, match="forgets uploads"):
        rig.run(upload(), Uploading(head=[Reply(404)] * 4))


def test_a_file_that_becomes_shorter_is_named(rig: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resuming, "PART_BYTES", 400_000)
    path = tmp_path / "a"
    path.write_bytes(b"x" * 1_000_000)

    def shorten(server: Uploading, request: RecordedRequest) -> None:
        path.write_bytes(b"x" * 600_000)

    with pytest.raises(ValueError, match=r"größe\.bin became shorter while it was sent: it ends at byte 600000"):
        rig.run(upload(path), Uploading(patch=[shorten]))


ODD_ANSWERS: dict[str, dict[str, list[Any]]] = {
    "no location": {"post": [Reply(201)]},
    "a location elsewhere": {"post": [Reply(201, headers={"Location": "https://elsewhere.example/x"})]},
    "no offset": {"head": [Reply()]},
    "an offset that is none": {"head": [Reply(headers={"Upload-Offset": "-1"})]},
    "an offset beyond the end": {"head": [Reply(headers={"Upload-Offset": "11"})]},
    "an endless offset": {"head": [Reply(headers={"Upload-Offset": "9" * 5_000})]},
    "whole, and no file": {"head": [Reply(headers={"Upload-Offset": "10"})]},
}


@pytest.mark.parametrize("odd", ODD_ANSWERS)
def test_a_server_that_answers_nonsense_is_told_apart(rig: Any, odd: str) -> None:
    with pytest.raises(ApiError, match="not what this call promises"):
        rig.run(upload(), Uploading(**{method: list(faults) for method, faults in ODD_ANSWERS[odd].items()}))


def test_the_deadline_bounds_the_whole(rig: Any) -> None:
    with pytest.raises(ServerError):
        rig.run(upload(deadline=2.5), Uploading(patch=[Reply(503)] * 50))
    assert rig.clock.slept == [1.0]


@pytest.mark.parametrize(("size", "is_in_parts"), [(999, False), (1_000, True)])
def test_large_files_travel_in_parts_by_themselves(
    rig: Any, monkeypatch: pytest.MonkeyPatch, size: int, is_in_parts: bool
) -> None:
    monkeypatch.setattr("amends.client._files.RESUMABLE_BYTES", 1_000)
    monkeypatch.setattr(resuming, "PART_BYTES", 600)
    server = Uploading()
    rig.run(lambda client: client.files.upload(b"x" * size), server if is_in_parts else Reply(json=FILE))
    assert (rig.requests[0].path == "/v1/uploads") == is_in_parts


# Many


def many(files: Any, **options: Any) -> Any:
    return lambda client: client.files.upload_many(files, **options)


def answering(request: RecordedRequest) -> Reply:
    """Answers an upload by what is in it."""
    if b"too large" in request.body:
        return Reply(413)
    if b"no key" in request.body:
        return Reply(401)
    name = request.body.split(b'filename="')[1].split(b'"')[0].decode()
    return Reply(json={**FILE, "filename": name, "id": f"file_{name}"})


def test_each_of_many_succeeds_or_fails_alone_in_the_order_given(rig: Any, tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.txt" for number in range(20)]
    for path in paths:
        path.write_text("fine")
    paths[3].unlink()
    paths[7].write_text("too large")
    seen: list[UploadProgress] = []
    found = rig.run(many(paths, on_progress=seen.append), answering)
    assert [one.source for one in found] == paths
    assert [one.is_stored for one in found] == [number not in (3, 7) for number in range(20)]
    assert [one.file.id for one in found if one.file][:3] == ["file_0.txt", "file_1.txt", "file_2.txt"]
    assert isinstance(found[3].error, FileNotFoundError)
    assert isinstance(found[7].error, ApiError)
    assert [progress.done for progress in seen] == list(range(1, 21))
    assert (seen[-1].failed, seen[-1].total) == (2, 20)


def test_what_would_befall_all_is_raised_and_nothing_more_is_sent(rig: Any) -> None:
    with pytest.raises(AuthError):
        rig.run(many([b"fine", b"no key", *[b"fine"] * 500], at_once=2), answering)
    assert len(rig.requests) < 10


def test_files_are_described_and_taken_as_there_is_room(rig: Any) -> None:
    taken = 0

    def files() -> Iterator[Upload]:
        nonlocal taken
        for number in range(30):
            taken += 1
            yield Upload(b"fine", f"{number}.bin", purpose="batch", idempotency_key=f"key {number}")

    ahead: list[int] = []
    found = rig.run(
        many(files(), at_once=3, on_progress=lambda progress: ahead.append(taken - progress.done)), answering
    )
    assert [one.file.filename for one in found] == [f"{number}.bin" for number in range(30)]
    assert {request.headers["idempotency-key"] for request in rig.requests} == {f"key {n}" for n in range(30)}
    assert max(ahead) <= 3
    assert [one.error for one in rig.run(many([]), answering)] == []


def test_so_many_are_under_way_at_once_and_no_more() -> None:
    barrier, most = threading.Barrier(3, timeout=10), 0
    lock, under_way = threading.Lock(), 0

    def answer(request: RecordedRequest) -> Reply:
        nonlocal most, under_way
        with lock:
            under_way += 1
            most = max(most, under_way)
        barrier.wait()
        with lock:
            under_way -= 1
        return Reply(json=FILE)

    with Client("k", http_client=FakeTransport(answer).http_client(), clock=FakeClock()) as client:
        assert len(client.files.upload_many([b"x"] * 9, at_once=3)) == 9
    assert most == 3


@pytest.mark.parametrize(("files", "options"), [("one.txt", {}), (b"bytes", {}), ([], {"at_once": 0})])
def test_what_is_no_list_of_files_is_refused(rig: Any, files: Any, options: dict[str, Any]) -> None:
    with pytest.raises((TypeError, ValueError)):
        rig.run(many(files, **options), answering)
