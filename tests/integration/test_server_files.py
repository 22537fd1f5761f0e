from __future__ import annotations

import asyncio
import hashlib
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pypdfium2
import pytest
from PIL import Image

from amends.problems import ProblemError, problem
from amends.server.inspector import Inspection, Inspector
from amends.store import Files
from tests.problem_shape import assert_problem
from tests.servers import RunningServer, running_server

TEXT = b"The quick brown fox jumps over the lazy dog.\n" * 50
FILE_MEMBERS = {
    "id", "object", "filename", "media_type", "bytes", "sha256", "pages", "purpose", "status", "created_at", "expires_at"
}  # fmt: skip


@pytest.fixture(scope="module")
def client(shell: RunningServer) -> Iterator[httpx2.Client]:
    with shell.client() as opened:
        yield opened


def upload(
    client: httpx2.Client, content: bytes = TEXT, name: str = "a.txt", kind: str = "text/plain", **fields: Any
) -> Any:
    answer = client.post("/v1/files", files={"file": (name, content, kind)}, data=fields)
    assert answer.status_code == 200, answer.text
    return answer.json()


def pdf(pages: int) -> bytes:
    document = pypdfium2.PdfDocument.new()
    for _ in range(pages):
        document.new_page(200, 200)
    buffer = io.BytesIO()
    document.save(buffer)
    return buffer.getvalue()


def png() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4), "red").save(buffer, "PNG")
    return buffer.getvalue()


# Uploading


def test_a_file_is_answered_with_exactly_its_members(client: httpx2.Client) -> None:
    file = upload(client)
    assert set(file) == FILE_MEMBERS
    assert file["sha256"] == hashlib.sha256(TEXT).hexdigest()
    assert (file["bytes"], file["filename"], file["media_type"], file["pages"]) == (
        len(TEXT),
        "a.txt",
        "text/plain",
        None,
    )
    assert (file["object"], file["purpose"], file["status"], file["expires_at"]) == (
        "file",
        "user_data",
        "processed",
        None,
    )
    assert isinstance(file["created_at"], int)
    assert client.get(f"/v1/files/{file['id']}").json() == file


@pytest.mark.parametrize(
    ("content", "name", "declared", "media_type", "pages"),
    [
        (pdf(3), "paper.txt", "text/plain", "application/pdf", 3),
        (pdf(1)[:200], "cut.pdf", "application/pdf", "application/pdf", None),
        (png(), "photo.pdf", "application/pdf", "image/png", None),
        (TEXT, "photo.jpg", "image/jpeg", "text/plain", None),
        (b"a,b\n1,2\n", "t.csv", "application/octet-stream", "text/csv", None),
        (b"# Title\n\ntext\n", "n.md", "text/markdown", "text/markdown", None),
        (b"", "empty.pdf", "application/pdf", "application/pdf", None),
    ],
)
def test_content_decides_what_a_file_is(
    client: httpx2.Client, content: bytes, name: str, declared: str, media_type: str, pages: int | None
) -> None:
    file = upload(client, content, name, declared)
    assert (file["media_type"], file["pages"], file["bytes"]) == (media_type, pages, len(content))


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "naïve – ☃.txt", "a b;c=d.txt", "x" * 1_000, ".", "%00.txt", "a'b.txt"]
)
def test_a_name_is_shown_as_given_and_never_a_path(shell: RunningServer, client: httpx2.Client, name: str) -> None:
    before = {path for path in shell.data.rglob("*") if path.is_file()}
    file = upload(client, TEXT + name.encode(), name)
    assert file["filename"] == name
    new = {path for path in shell.data.rglob("*") if path.is_file()} - before
    assert [path for path in new if path.suffix not in {".db", ".db-wal", ".db-shm"}] == [
        shell.owner.services.blobs.path(file["sha256"])
    ]
    assert client.get(f"/v1/files/{file['id']}/content").content == TEXT + name.encode()


def test_the_same_bytes_are_stored_once_and_deleted_with_the_last_file(
    shell: RunningServer, client: httpx2.Client
) -> None:
    content = os.urandom(1_000)
    first, second = upload(client, content), upload(client, content, "b.txt")
    blob = shell.owner.services.blobs.path(first["sha256"])
    assert first["sha256"] == second["sha256"]
    assert client.delete(f"/v1/files/{first['id']}").json() == {"id": first["id"], "object": "file", "deleted": True}
    assert blob.exists()
    assert client.get(f"/v1/files/{second['id']}/content").content == content
    client.delete(f"/v1/files/{second['id']}")
    assert not blob.exists()
    assert_problem(client.get(f"/v1/files/{first['id']}"), "resource_not_found", detail="File not found")
    assert_problem(client.delete(f"/v1/files/{first['id']}"), "resource_not_found")


def test_a_large_file_passes_through_in_pieces(shell: RunningServer, client: httpx2.Client) -> None:
    piece = os.urandom(1 << 20)
    file = upload(client, piece * 24, "large.bin", "application/octet-stream")
    assert file["sha256"] == hashlib.sha256(piece * 24).hexdigest()
    with client.stream("GET", f"/v1/files/{file['id']}/content") as answer:
        digest = hashlib.sha256()
        for part in answer.iter_bytes():
            digest.update(part)
    assert digest.hexdigest() == file["sha256"]
    assert not list((shell.data / "blobs" / "tmp").iterdir())


BOUNDARY = "multipart/form-data; boundary=x"
PART = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nabc\r\n'
BAD_FORMS: list[tuple[str, str, bytes, str]] = [
    ("json", "application/json", b"{}", "unsupported_media_type"),
    ("nothing said", "", PART + b"--x--\r\n", "unsupported_media_type"),
    ("no boundary", "multipart/form-data", PART, "malformed_request"),
    ("cut off", BOUNDARY, PART, "malformed_request"),
    ("empty", BOUNDARY, b"", "malformed_request"),
    ("another boundary", BOUNDARY, PART.replace(b"--x", b"--y") + b"--y--\r\n", "malformed_request"),
    (
        "no file",
        BOUNDARY,
        b'--x\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--x--\r\n',
        "validation_failed",
    ),
    ("two files", BOUNDARY, PART + PART + b"--x--\r\n", "validation_failed"),
    ("no name", BOUNDARY, b"--x\r\n\r\nabc\r\n--x--\r\n", "validation_failed"),
    (
        "field that is no text",
        BOUNDARY,
        PART + b'--x\r\nContent-Disposition: form-data; name="purpose"\r\n\r\n\xff\r\n--x--\r\n',
        "malformed_request",
    ),
    ("endless header", BOUNDARY, b"--x\r\nX: " + b"x" * 20_000 + b"\r\n\r\nabc\r\n--x--\r\n", "malformed_request"),
    (
        "field too long",
        BOUNDARY,
        PART + b'--x\r\nContent-Disposition: form-data; name="purpose"\r\n\r\n' + b"x" * 70_000 + b"\r\n--x--\r\n",
        "payload_too_large",
    ),
    (
        "control character in the name",
        BOUNDARY,
        PART.replace(b'filename="a"', b'filename="a\x01"') + b"--x--\r\n",
        "validation_failed",
    ),
]


@pytest.mark.parametrize(("kind", "body", "slug"), [row[1:] for row in BAD_FORMS], ids=[row[0] for row in BAD_FORMS])
def test_a_form_that_cannot_be_taken_leaves_nothing(
    shell: RunningServer, client: httpx2.Client, kind: str, body: bytes, slug: str
) -> None:
    assert_problem(client.post("/v1/files", content=body, headers={"content-type": kind} if kind else {}), slug)
    assert not list((shell.data / "blobs" / "tmp").iterdir())


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"expires_after": "0"}, "/expires_after"),
        ({"expires_after": "518401"}, "/expires_after"),
        ({"expires_after": "soon"}, "/expires_after"),
        ({"purpose": "world_domination"}, "/purpose"),
        ({"colour": "red"}, "/colour"),
        ({"filename": "other"}, "/filename"),
    ],
)
def test_a_field_that_cannot_be_taken_is_named(client: httpx2.Client, fields: dict[str, str], pointer: str) -> None:
    body = assert_problem(client.post("/v1/files", files={"file": ("a", b"abc")}, data=fields), "validation_failed")
    assert [row["pointer"] for row in body["errors"]] == [pointer]


def test_a_file_beyond_the_limit_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    with running_server(tmp_path, engine=None, limits__file_bytes=1_000) as small, small.client() as client:
        assert_problem(client.post("/v1/files", files={"file": ("a", b"x" * 1_001)}), "payload_too_large")
        assert upload(client, b"x" * 1_000)["bytes"] == 1_000
        assert len([path for path in (tmp_path / "blobs").rglob("*") if path.is_file()]) == 1


def test_a_file_that_cannot_be_written_down_leaves_no_bytes(
    shell: RunningServer, client: httpx2.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise ProblemError(problem("insufficient_storage"))

    content = os.urandom(100)
    kept = upload(client, os.urandom(100))
    key = {"idempotency-key": "of a full disk"}
    with monkeypatch.context() as patch:
        patch.setattr(Files, "add", full)
        for data in (content, client.get(f"/v1/files/{kept['id']}/content").content):
            answer = client.post("/v1/files", files={"file": ("a", data)}, headers=key)
            assert_problem(answer, "insufficient_storage")
    assert not shell.owner.services.blobs.exists(hashlib.sha256(content).hexdigest())
    assert client.get(f"/v1/files/{kept['id']}/content").status_code == 200
    again = client.post("/v1/files", files={"file": ("a", content)}, headers=key)
    assert again.status_code == 200
    assert "idempotency-replayed" not in again.headers


# Reading

RANGES: list[tuple[str, int, slice]] = [
    ("bytes=0-9", 206, slice(0, 10)),
    ("bytes=5-", 206, slice(5, None)),
    ("bytes=-7", 206, slice(-7, None)),
    ("bytes=0-999999", 206, slice(0, None)),
    ("bytes=-999999", 206, slice(0, None)),
    ("bytes=0-0", 206, slice(0, 1)),
    ("bytes=9-5", 200, slice(0, None)),
    ("bytes=0-1,3-4", 200, slice(0, None)),
    ("lines=0-1", 200, slice(0, None)),
    ("bytes=-", 200, slice(0, None)),
    ("nonsense", 200, slice(0, None)),
]


@pytest.mark.parametrize(("header", "status", "part"), RANGES)
def test_a_range_gives_that_part(client: httpx2.Client, header: str, status: int, part: slice) -> None:
    file = upload(client)
    answer = client.get(f"/v1/files/{file['id']}/content", headers={"range": header})
    assert (answer.status_code, answer.content) == (status, TEXT[part])
    assert answer.headers["etag"] == f'"{file["sha256"]}"'
    assert int(answer.headers["content-length"]) == len(TEXT[part])
    if status == 206:
        start, stop, _ = part.indices(len(TEXT))
        assert answer.headers["content-range"] == f"bytes {start}-{stop - 1}/{len(TEXT)}"


@pytest.mark.parametrize("header", [f"bytes={len(TEXT)}-", "bytes=99999999-", "bytes=-0"])
def test_a_range_beyond_the_end_is_refused_with_the_size(client: httpx2.Client, header: str) -> None:
    answer = client.get(f"/v1/files/{upload(client)['id']}/content", headers={"range": header})
    assert_problem(answer, "range_not_satisfiable")
    assert answer.headers["content-range"] == f"bytes */{len(TEXT)}"


def test_a_range_of_an_empty_file_is_refused_and_the_whole_is_empty(client: httpx2.Client) -> None:
    path = f"/v1/files/{upload(client, b'')['id']}/content"
    assert_problem(client.get(path, headers={"range": "bytes=0-"}), "range_not_satisfiable")
    assert (client.get(path).status_code, client.get(path).content) == (200, b"")


def test_a_resumed_download_gets_the_whole_when_it_was_of_other_bytes(client: httpx2.Client) -> None:
    file = upload(client)
    path, tag = f"/v1/files/{file['id']}/content", f'"{file["sha256"]}"'
    assert client.get(path, headers={"range": "bytes=5-", "if-range": tag}).status_code == 206
    assert client.get(path, headers={"range": "bytes=5-", "if-range": '"other"'}).status_code == 200
    assert client.get(path, headers={"if-none-match": f'"x", {tag}'}).status_code == 304


def test_content_cannot_run_as_a_page_of_ours(client: httpx2.Client) -> None:
    file = upload(client, b"<html><script>alert(1)</script></html>", "naïve.html", "text/html")
    headers = client.get(f"/v1/files/{file['id']}/content").headers
    assert headers["content-type"] == "text/html"
    assert headers["content-disposition"] == "attachment; filename*=utf-8''na%C3%AFve.html"
    assert headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in headers["content-security-policy"]


def test_a_list_goes_through_all_files_and_ends(shell: RunningServer) -> None:
    key = shell.new_key(workspace="listing")
    with shell.client(key) as client:
        made = [upload(client, TEXT, f"{number}.txt")["id"] for number in range(5)]
        seen, after = [], None
        while True:
            page = client.get("/v1/files", params={"limit": 2, **({"after": after} if after else {})}).json()
            seen += [row["id"] for row in page["data"]]
            if not page["has_more"]:
                assert page["next_cursor"] is None
                break
            after = page["next_cursor"]
        assert seen == made[::-1]
        assert client.get("/v1/files", params={"after": made[0]}).json()["data"] == []
        assert client.get("/v1/files", params={"purpose": "batch"}).json()["data"] == []


# Changing and expiring


def test_name_purpose_and_expiry_can_be_changed_and_nothing_else(client: httpx2.Client) -> None:
    file = upload(client)
    path = f"/v1/files/{file['id']}"
    changed = client.patch(path, json={"filename": "b.txt", "expires_after": 60}).json()
    assert changed == {**file, "filename": "b.txt", "expires_at": changed["expires_at"]}
    assert 0 < changed["expires_at"] - file["created_at"] <= 65
    assert client.patch(path, json={"expires_after": None}).json() == {**file, "filename": "b.txt"}
    assert client.get(path).json() == {**file, "filename": "b.txt"}
    assert_problem(client.patch(path, json={"sha256": "0" * 64}), "validation_failed")
    assert_problem(client.patch(path, json={"filename": ""}), "validation_failed")
    assert_problem(client.patch(path, json={"expires_after": True}), "validation_failed")


def test_files_expire_by_themselves_and_their_bytes_go(tmp_path: Path) -> None:
    from amends.server.housekeeping import Housekeeping

    with running_server(tmp_path, engine=None) as running, running.client() as client:
        services = running.owner.services
        stays, goes = upload(client, b"stays"), upload(client, b"goes", expires_after=1)
        batch = upload(client, b"batch", purpose="batch")
        assert batch["expires_at"] == batch["created_at"] + 30 * 86_400
        running.owner.services.database.write(
            lambda tx: [*tx.execute("update file set expires_at = 1 where expires_at < 2e9")]
        )
        Housekeeping(services).tick()
        assert_problem(client.get(f"/v1/files/{goes['id']}"), "resource_not_found")
        assert client.get(f"/v1/files/{stays['id']}").status_code == 200
        assert not services.blobs.exists(goes["sha256"])
        assert services.blobs.exists(stays["sha256"])


# The child that looks at files


def test_a_file_that_stalls_or_kills_the_inspection_is_unknown_and_the_next_is_not(tmp_path: Path) -> None:
    (tmp_path / "good").write_bytes(pdf(2))
    os.mkfifo(tmp_path / "stalls")
    inspector = Inspector(timeout_seconds=0.5)

    async def looks() -> list[Inspection]:
        names = ["good", "stalls", "good", "missing", "good"]
        return [await inspector.inspect(tmp_path / name) for name in names]

    try:
        good = Inspection("application/pdf", is_text=False, pages=2)
        assert asyncio.run(looks()) == [good, Inspection(), good, Inspection(), good]
    finally:
        inspector.close()


def test_a_closed_document_is_a_pdf_whose_pages_cannot_be_counted(client: httpx2.Client) -> None:
    encrypted = pdf(1).replace(b"trailer", b"trailer <</Encrypt <</Filter/Standard/V 1/R 2/P 0/O(x)/U(x)>>>>", 1)
    assert upload(client, encrypted, "locked.pdf")["media_type"] == "application/pdf"
