"""Resumable uploads by tus 1.0: what the protocol demands, and what we add to it."""

from __future__ import annotations

import base64
import hashlib
import os
import threading
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from amends.database import Transaction
from amends.problems import ProblemError, problem
from amends.server.housekeeping import Housekeeping
from amends.store import Uploads
from tests.killing import until
from tests.problem_shape import assert_problem
from tests.servers import RunningServer, running_server

TUS = {"Tus-Resumable": "1.0.0"}
PART = {**TUS, "Content-Type": "application/offset+octet-stream"}
TEXT = b"The quick brown fox jumps over the lazy dog. " * 20


@pytest.fixture(scope="module")
def client(shell: RunningServer) -> Iterator[httpx2.Client]:
    with shell.client() as opened:
        yield opened


def metadata(**pairs: str) -> str:
    return ",".join(f"{name} {base64.b64encode(value.encode()).decode()}" for name, value in pairs.items())


def create(client: httpx2.Client, length: int, *, key: str | None = None, **pairs: str) -> httpx2.Response:
    headers = {**TUS, "Upload-Length": str(length), "Upload-Metadata": metadata(**pairs)}
    return client.post("/v1/uploads", headers=headers | ({"Idempotency-Key": key} if key else {}))


def begin(client: httpx2.Client, length: int, **pairs: str) -> str:
    answer = create(client, length, **pairs)
    assert answer.status_code == 201, answer.text
    return str(answer.headers["location"])


def send(client: httpx2.Client, path: str, offset: int, content: Any, **headers: str) -> httpx2.Response:
    return client.patch(path, content=content, headers={**PART, "Upload-Offset": str(offset), **headers})


def offset_of(client: httpx2.Client, path: str) -> int:
    return int(client.head(path, headers=TUS).raise_for_status().headers["upload-offset"])


def parts_of(server: RunningServer) -> list[Path]:
    return sorted((server.data / "blobs" / "parts").glob("*"))


# Core and creation


def test_the_protocol_says_what_of_it_is_spoken(client: httpx2.Client) -> None:
    answer = client.options("/v1/uploads")
    assert answer.status_code == 204
    assert answer.headers["tus-version"] == answer.headers["tus-resumable"] == "1.0.0"
    assert answer.headers["tus-max-size"] == "50000000000"
    spoken = {"creation", "creation-with-upload", "termination", "checksum", "expiration"}
    assert set(answer.headers["tus-extension"].split(",")) == spoken
    assert "sha1" in answer.headers["tus-checksum-algorithm"].split(",")


def test_parts_become_a_file_like_one_that_was_sent_whole(client: httpx2.Client) -> None:
    whole = client.post(
        "/v1/files",
        files={"file": ("notes.md", TEXT, "text/markdown")},
        data={"purpose": "batch", "expires_after": "3600"},
    ).json()
    path = begin(
        client, len(TEXT), filename="notes.md", filetype="text/markdown", purpose="batch", expires_after="3600"
    )
    first = send(client, path, 0, TEXT[:100])
    assert (first.status_code, first.content, first.headers["upload-offset"]) == (204, b"", "100")
    assert "amends-file-id" not in first.headers
    assert parsedate_to_datetime(first.headers["upload-expires"]).timestamp() > time.time() + 80_000
    last = send(client, path, 100, TEXT[100:])
    assert last.headers["upload-offset"] == str(len(TEXT))
    assert "upload-expires" not in last.headers
    file = client.get(f"/v1/files/{last.headers['amends-file-id']}").json()
    own = {"id", "created_at", "expires_at"}
    assert {name: file[name] for name in file if name not in own} == {
        name: whole[name] for name in whole if name not in own
    }
    assert file["expires_at"] - file["created_at"] == 3600
    assert client.get(f"/v1/files/{file['id']}/content").content == TEXT


def test_an_upload_tells_how_it_stands_and_what_it_became(client: httpx2.Client) -> None:
    said = {"filename": "größe.txt", "media_type": "text/plain"}
    answer = create(client, 10, **said)
    upload = answer.json()
    path = f"/v1/uploads/{upload['id']}"
    assert answer.headers["location"] == path
    assert (upload["bytes"], upload["received"], upload["status"], upload["file_id"]) == (10, 0, "receiving", None)
    assert (upload["object"], upload["filename"], upload["media_type"]) == ("upload", "größe.txt", "text/plain")
    send(client, path, 0, b"01234")
    head = client.head(path, headers=TUS)
    assert (head.headers["upload-offset"], head.headers["upload-length"]) == ("5", "10")
    assert head.headers["upload-metadata"] == metadata(**said)
    assert head.headers["cache-control"] == "no-store"
    assert client.get(path).json() == {**upload, "received": 5, "expires_at": client.get(path).json()["expires_at"]}
    file_id = send(client, path, 5, b"56789").headers["amends-file-id"]
    head = client.head(path, headers=TUS)
    assert (head.headers["upload-offset"], head.headers["amends-file-id"]) == ("10", file_id)
    done = client.get(path).json()
    assert (done["received"], done["status"], done["file_id"], done["expires_at"]) == (10, "processed", file_id, None)


def test_the_first_part_may_come_with_the_creation(client: httpx2.Client) -> None:
    headers = {**PART, "Upload-Length": "6", "Upload-Metadata": metadata(filename="a.txt")}
    part = client.post("/v1/uploads", content=b"abc", headers=headers)
    assert (part.status_code, part.headers["upload-offset"], part.json()["received"]) == (201, "3", 3)
    rest = send(client, part.headers["location"], 3, b"def")
    whole = client.post("/v1/uploads", content=b"abcdef", headers=headers)
    assert whole.json()["file_id"] == whole.headers["amends-file-id"]
    files = [client.get(f"/v1/files/{answer.headers['amends-file-id']}").json() for answer in (rest, whole)]
    assert {file["sha256"] for file in files} == {hashlib.sha256(b"abcdef").hexdigest()}


def test_an_empty_file_is_whole_from_the_beginning(client: httpx2.Client) -> None:
    answer = create(client, 0, filename="empty.txt")
    file = client.get(f"/v1/files/{answer.headers['amends-file-id']}").json()
    assert (file["bytes"], file["filename"]) == (0, "empty.txt")


BAD_CREATIONS: list[tuple[dict[str, str], str]] = [
    ({"Upload-Length": "1"}, "precondition_failed"),
    ({"Upload-Length": "1", "Tus-Resumable": "0.2.2"}, "precondition_failed"),
    (TUS, "malformed_request"),
    ({**TUS, "Upload-Defer-Length": "1"}, "malformed_request"),
    ({**TUS, "Upload-Length": "-1"}, "malformed_request"),
    ({**TUS, "Upload-Length": "1.5"}, "malformed_request"),
    ({**TUS, "Upload-Length": "9" * 40}, "malformed_request"),
    ({**TUS, "Upload-Length": "50000000001"}, "payload_too_large"),
    ({**TUS, "Upload-Length": "1", "Upload-Metadata": "filename %%%"}, "malformed_request"),
    ({**TUS, "Upload-Length": "1", "Upload-Metadata": "filename YQ==,filename YQ=="}, "malformed_request"),
    ({**TUS, "Upload-Length": "1", "Upload-Metadata": "filename /w=="}, "validation_failed"),
    ({**TUS, "Upload-Length": "1", "Upload-Metadata": metadata(filename="a\nb")}, "validation_failed"),
    ({**TUS, "Upload-Length": "1", "Upload-Metadata": metadata(purpose="world domination")}, "validation_failed"),
    ({**TUS, "Upload-Length": "1", "Upload-Metadata": metadata(expires_after="soon")}, "validation_failed"),
    ({**TUS, "Upload-Length": "1", "Upload-Metadata": metadata(colour="red")}, "validation_failed"),
    ({**TUS, "Upload-Length": "1", "Upload-Checksum": "crc32 AAAA"}, "malformed_request"),
    ({**TUS, "Upload-Length": "1", "Upload-Checksum": "sha1 %"}, "malformed_request"),
    ({**TUS, "Upload-Length": "1", "Content-Type": "text/plain", "Content-Length": "1"}, "unsupported_media_type"),
]


@pytest.mark.parametrize(("headers", "slug"), BAD_CREATIONS)
def test_a_creation_that_cannot_be_taken_is_refused(
    shell: RunningServer, client: httpx2.Client, headers: dict[str, str], slug: str
) -> None:
    before = shell.owner.services.partials.names()
    answer = client.post("/v1/uploads", content=b"x" if "Content-Length" in headers else b"", headers=headers)
    body = assert_problem(answer, slug)
    assert answer.headers["tus-resumable"] == "1.0.0"
    assert ("tus-version" in answer.headers) == (slug == "precondition_failed")
    if slug == "validation_failed":
        assert [row["loc"][:2] for row in body["errors"]] == [["header", "upload-metadata"]]
    assert shell.owner.services.partials.names() == before


def test_a_part_elsewhere_than_where_it_belongs_is_refused_and_changes_nothing(client: httpx2.Client) -> None:
    path = begin(client, 10)
    send(client, path, 0, b"01234")
    for offset in (0, 4, 6, 10):
        body = assert_problem(send(client, path, offset, b""), "conflict", error_code="OFFSET_CONFLICT")
        assert body["offset"] == 5
    assert_problem(send(client, path, 5, b"567890"), "payload_too_large")
    assert_problem(send(client, path, 5, iter([b"5678", b"9012"])), "payload_too_large")
    answer = client.patch(path, content=b"5", headers={**TUS, "Upload-Offset": "5", "Content-Type": "text/plain"})
    assert_problem(answer, "unsupported_media_type")
    assert_problem(client.patch(path, content=b"5", headers=PART), "malformed_request")
    headers = {**PART, "Upload-Offset": "5", "Tus-Resumable": "2.0.0"}
    assert_problem(client.patch(path, content=b"5", headers=headers), "precondition_failed")
    assert offset_of(client, path) == 5
    assert send(client, path, 5, b"56789").status_code == 204
    assert_problem(send(client, path, 10, b""), "conflict", error_code="OFFSET_CONFLICT")


def test_the_method_may_be_named_in_a_header(client: httpx2.Client) -> None:
    path = begin(client, 3)
    headers = {**PART, "Upload-Offset": "0", "X-HTTP-Method-Override": "PATCH"}
    assert client.post(path, content=b"abc", headers=headers).status_code == 204
    assert client.post(path, headers={**TUS, "X-HTTP-Method-Override": "DELETE"}).status_code == 204
    assert client.head(path, headers=TUS).status_code == 404
    assert_problem(client.post(path), "method_not_allowed")


# Who may


def test_roles_hold_for_uploads(shell: RunningServer, client: httpx2.Client) -> None:
    path = begin(client, 3)
    with shell.client(shell.new_key("viewer")) as viewer, shell.client(shell.new_key("member")) as member:
        assert_problem(create(viewer, 3), "insufficient_permissions")
        assert viewer.head(path, headers=TUS).status_code == 200
        for who in (viewer, member):
            assert_problem(send(who, path, 0, b"abc"), "insufficient_permissions")
            assert_problem(who.delete(path, headers=TUS), "insufficient_permissions")
        own = begin(member, 3)
        file_id = send(client, own, 0, b"abc").headers["amends-file-id"]
        assert member.delete(f"/v1/files/{file_id}").status_code == 200, (
            "the file is its uploader's, whoever sent a part"
        )
        assert_problem(member.get(own), "resource_not_found", error_code="UPLOAD_NOT_FOUND")


# Termination and expiration


def test_an_upload_that_is_given_up_leaves_nothing(shell: RunningServer, client: httpx2.Client) -> None:
    path = begin(client, 10)
    send(client, path, 0, b"01234")
    assert path.rpartition("/")[2] in [found.name for found in parts_of(shell)]
    answer = client.delete(path, headers=TUS)
    assert (answer.status_code, answer.content) == (204, b"")
    assert path.rpartition("/")[2] not in [found.name for found in parts_of(shell)]
    assert client.head(path, headers=TUS).status_code == 404
    assert_problem(send(client, path, 5, b"56789"), "resource_not_found", error_code="UPLOAD_NOT_FOUND")
    assert_problem(client.delete(path, headers=TUS), "resource_not_found")


def test_a_file_stays_when_its_upload_is_given_up_and_takes_it_along_when_it_goes(client: httpx2.Client) -> None:
    first, second = begin(client, 3), begin(client, 3)
    stays = send(client, first, 0, b"abc").headers["amends-file-id"]
    goes = send(client, second, 0, b"abc").headers["amends-file-id"]
    assert client.delete(first, headers=TUS).status_code == 204
    assert client.get(f"/v1/files/{stays}").status_code == 200
    client.delete(f"/v1/files/{goes}")
    assert client.head(second, headers=TUS).status_code == 404


def test_uploads_expire_by_themselves_and_their_bytes_go(tmp_path: Path) -> None:
    with running_server(tmp_path / "data", engine=None) as running, running.client() as client:
        goes, stays = begin(client, 10), begin(client, 10)
        for path in (goes, stays):
            send(client, path, 0, b"01234")
        stray = running.data / "blobs" / "parts" / "upload_of_nobody"
        stray.write_bytes(b"left by who died")

        def age(tx: Transaction) -> None:
            tx.execute("update upload set expires_at = 1 where id = ?", (goes.rpartition("/")[2],))

        running.owner.services.database.write(age)
        assert client.head(goes, headers=TUS).status_code == 404
        Housekeeping(running.owner.services).tick()
        assert [found.name for found in parts_of(running)] == [stays.rpartition("/")[2]]
        file_id = send(client, stays, 5, b"56789").headers["amends-file-id"]
        assert client.get(f"/v1/files/{file_id}/content").content == b"0123456789"
        assert parts_of(running) == []


# Checksum


@pytest.mark.parametrize("algorithm", ["sha1", "sha256"])
def test_a_part_with_another_checksum_is_not_kept(client: httpx2.Client, algorithm: str) -> None:
    path = begin(client, 10)
    send(client, path, 0, b"012")

    def sums(content: bytes) -> str:
        return f"{algorithm} {base64.b64encode(hashlib.new(algorithm, content).digest()).decode()}"

    answer = send(client, path, 3, b"34567", **{"Upload-Checksum": sums(b"damaged")})
    assert_problem(answer, "checksum_mismatch")
    assert offset_of(client, path) == 3
    assert send(client, path, 3, b"3456789", **{"Upload-Checksum": sums(b"3456789")}).status_code == 204
    file_id = client.get(path).json()["file_id"]
    assert client.get(f"/v1/files/{file_id}/content").content == b"0123456789"


# What breaks


class Tap:
    """A body that stops after its first piece until it is let go on, or cut."""

    def __init__(self, first: bytes, rest: bytes = b"", *, is_cut: bool = False) -> None:
        self._pieces = (first, rest)
        self._is_cut = is_cut
        self.go_on = threading.Event()

    def __iter__(self) -> Iterator[bytes]:
        yield self._pieces[0]
        assert self.go_on.wait(30)
        if self._is_cut:
            raise ConnectionError("cut")
        yield self._pieces[1]


def test_two_parts_at_once_are_refused_and_the_first_is_kept(shell: RunningServer, client: httpx2.Client) -> None:
    halves = [os.urandom(2 << 20), os.urandom(1_000)]
    path, tap = begin(client, sum(map(len, halves))), Tap(*halves)
    answers: list[httpx2.Response] = []

    def first() -> None:
        with shell.client() as other:
            answers.append(send(other, path, 0, tap))

    thread = threading.Thread(target=first)
    thread.start()
    place = shell.data / "blobs" / "parts" / path.rpartition("/")[2]
    until(lambda: place.exists() and place.stat().st_size)
    second = send(client, path, 0, b"")
    assert_problem(second, "resource_locked")
    assert int(second.headers["retry-after"]) >= 1
    tap.go_on.set()
    thread.join()
    assert answers[0].status_code == 204
    content = client.get(f"/v1/files/{answers[0].headers['amends-file-id']}/content").content
    assert content == b"".join(halves)


def test_what_came_before_the_connection_broke_is_kept(shell: RunningServer, client: httpx2.Client) -> None:
    content = os.urandom(3 << 20)
    path, tap = begin(client, len(content)), Tap(content[: 2 << 20], is_cut=True)
    tap.go_on.set()
    with shell.client() as other, pytest.raises(ConnectionError):
        send(other, path, 0, tap)
    arrived = until(lambda: offset_of(client, path))
    assert 0 < arrived <= 2 << 20
    last = until(lambda: (found := send(client, path, arrived, content[arrived:])).status_code == 204 and found)
    assert (
        client.get(f"/v1/files/{last.headers['amends-file-id']}").json()["sha256"]
        == hashlib.sha256(content).hexdigest()
    )


def test_a_part_with_a_checksum_that_broke_off_is_not_kept(shell: RunningServer, client: httpx2.Client) -> None:
    path, tap = begin(client, 1 << 20), Tap(b"x" * 1_000, is_cut=True)
    tap.go_on.set()
    with shell.client() as other, pytest.raises(ConnectionError):
        send(other, path, 0, tap, **{"Upload-Checksum": "sha1 2jmj7l5rSw0yVb/vlWAYkK/YBwk="})
    until(lambda: send(client, path, 0, b"").status_code == 204)
    assert offset_of(client, path) == 0


def test_a_peer_that_falls_silent_holds_nothing_for_ever(tmp_path: Path) -> None:
    with running_server(tmp_path, engine=None, limits__upload_silence_seconds=0.3) as running:
        tap = Tap(b"01234", b"56789")
        with running.client() as client, running.client() as other:
            path = begin(client, 10)
            thread = threading.Thread(target=lambda: send(other, path, 0, tap))
            thread.start()
            assert until(lambda: offset_of(client, path)) == 5
            assert until(lambda: (found := send(client, path, 5, b"56789")).status_code == 204 and found)
            tap.go_on.set()
            thread.join()


def test_an_upload_goes_on_after_a_restart_and_what_was_not_acknowledged_is_cut_off(tmp_path: Path) -> None:
    content = os.urandom(300_000)
    with running_server(tmp_path, engine=None) as first, first.client() as client:
        path, key = begin(client, len(content)), first.key
        assert send(client, path, 0, content[:100_000]).status_code == 204
        part = parts_of(first)[0]
    with part.open("ab") as torn:
        torn.write(b"written by a process that died before it was flushed")
    with running_server(tmp_path, engine=None, key=key) as second, second.client() as client:
        assert offset_of(client, path) == 100_000
        last = send(client, path, 100_000, content[100_000:])
        assert client.get(f"/v1/files/{last.headers['amends-file-id']}/content").content == content


def test_an_upload_whose_bytes_were_removed_is_gone(shell: RunningServer, client: httpx2.Client) -> None:
    path = begin(client, 10)
    send(client, path, 0, b"01234")
    (shell.data / "blobs" / "parts" / path.rpartition("/")[2]).write_bytes(b"01")
    assert_problem(send(client, path, 5, b"56789"), "resource_not_found")
    assert client.head(path, headers=TUS).status_code == 404


def test_a_file_that_cannot_be_written_down_leaves_the_upload_as_it_was(
    shell: RunningServer, client: httpx2.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = os.urandom(1_000)
    path = begin(client, len(content))
    send(client, path, 0, content[:500])

    def full(*_: Any) -> None:
        raise ProblemError(problem("insufficient_storage"))

    with monkeypatch.context() as patch:
        patch.setattr(Uploads, "finish", full)
        assert_problem(send(client, path, 500, content[500:]), "insufficient_storage")
    assert not shell.owner.services.blobs.exists(hashlib.sha256(content).hexdigest())
    assert offset_of(client, path) == 500
    last = send(client, path, 500, content[500:])
    assert client.get(f"/v1/files/{last.headers['amends-file-id']}/content").content == content


def test_a_blob_keeps_its_bytes_when_the_upload_that_stored_it_goes_on(
    shell: RunningServer, client: httpx2.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The upload failed after its bytes had become a blob, and somebody else has the same bytes."""
    content = os.urandom(1_000)
    path = begin(client, len(content))
    send(client, path, 0, content[:500])
    digest = hashlib.sha256(content).hexdigest()

    def full(*_: Any) -> None:
        raise ProblemError(problem("insufficient_storage"))

    with shell.owner.services.pins.pinned(digest), monkeypatch.context() as patch:
        patch.setattr(Uploads, "finish", full)
        assert_problem(send(client, path, 500, content[500:]), "insufficient_storage")
    assert shell.owner.services.blobs.get(digest) == content
    assert send(client, path, 500, b"other").status_code == 204
    assert shell.owner.services.blobs.get(digest) == content


# Keys


def test_a_creation_repeated_under_its_key_is_the_same_upload_as_long_as_that_lives(client: httpx2.Client) -> None:
    key = uuid4().hex
    first, again = create(client, 3, key=key), create(client, 3, key=key)
    assert again.headers["idempotency-replayed"] == "true"
    assert (again.headers["location"], again.json()) == (first.headers["location"], first.json())
    assert_problem(create(client, 4, key=key), "conflict", error_code="IDEMPOTENCY_CONFLICT")
    assert_problem(create(client, 3, key=key, filename="b"), "conflict", error_code="IDEMPOTENCY_CONFLICT")


def test_a_part_repeated_under_its_key_is_taken_once(client: httpx2.Client) -> None:
    path, key = begin(client, 6), {"Idempotency-Key": uuid4().hex}
    first, again = send(client, path, 0, b"abc", **key), send(client, path, 0, b"abc", **key)
    assert again.headers["idempotency-replayed"] == "true"
    assert (again.status_code, again.headers["upload-offset"]) == (first.status_code, "3")
    assert_problem(send(client, path, 0, b"abd", **key), "conflict", error_code="IDEMPOTENCY_CONFLICT")
    assert offset_of(client, path) == 3
