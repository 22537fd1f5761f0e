"""Resumable uploads where things break: kill -9 of the server at any moment, a full disk. A foreign client, too."""

from __future__ import annotations

import hashlib
import os
import threading
from pathlib import Path
from random import Random

import httpx2
import pytest
from tusclient.client import TusClient

from tests.disks import Disk
from tests.killing import local_client
from tests.problem_shape import assert_problem
from tests.servers import RunningServer, ServerProcess, server_process

TUS = {"Tus-Resumable": "1.0.0"}
PART_BYTES = 700_000


class Sender:
    """Sends files in parts to a server that dies, asking after each death how far they came. acknowledged: by path."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.paths: dict[str, str] = {}
        self.acknowledged: dict[str, int] = {}
        self.deaths = 0

    def go_on(self, server: ServerProcess, key: str) -> bool:
        """Send what is missing; whether all is there. False: the server died."""
        headers = {**TUS, "X-API-Key": key}
        try:
            with httpx2.Client(base_url=server.base_url, headers=headers, timeout=20) as client:
                for name, content in self.files.items():
                    self._send(client, name, content)
        except httpx2.TransportError:
            self.deaths += 1
            return False
        return True

    def _send(self, client: httpx2.Client, name: str, content: bytes) -> None:
        creation = {"Upload-Length": str(len(content)), "Idempotency-Key": name}
        path = client.post("/v1/uploads", headers=creation).raise_for_status().headers["location"]
        assert self.paths.setdefault(name, path) == path, "the same creation made another upload"
        while (place := self._asked(client, path)) < len(content):
            part = {"Upload-Offset": str(place), "Content-Type": "application/offset+octet-stream"}
            answer = client.patch(path, content=content[place : place + PART_BYTES], headers=part)
            assert answer.status_code == 204, answer.text
            self.acknowledged[path] = int(answer.headers["upload-offset"])

    def _asked(self, client: httpx2.Client, path: str) -> int:
        place = int(client.head(path).raise_for_status().headers["upload-offset"])
        assert place >= self.acknowledged.get(path, 0), "what was acknowledged is gone"
        return place


def test_killed_at_random_moments_uploads_go_on_and_make_one_file_each(tmp_path: Path) -> None:
    draw, kills, key = Random(), 6, ""
    sender = Sender({f"{number}": os.urandom(draw.randint(1, 5_000_000)) for number in range(12)})
    is_whole = False
    while not is_whole:
        with server_process(tmp_path / "data") as server:
            key = key or server.key
            if sender.deaths < kills:
                threading.Timer(draw.uniform(0.005, 0.25), server.process.kill).start()
            is_whole = sender.go_on(server, key)
            if is_whole and sender.deaths < kills:
                sender.files[f"more {sender.deaths}"] = os.urandom(3_000_000)
                is_whole = sender.go_on(server, key)
    assert sender.deaths >= 3, "nothing was interrupted"
    with server_process(tmp_path / "data") as server, httpx2.Client(base_url=server.base_url) as client:
        client.headers["X-API-Key"] = key
        files = client.get("/v1/files", params={"limit": 100}).json()["data"]
        assert sorted(file["sha256"] for file in files) == sorted(
            hashlib.sha256(content).hexdigest() for content in sender.files.values()
        )
        for file in files:
            content = client.get(f"/v1/files/{file['id']}/content").content
            assert hashlib.sha256(content).hexdigest() == file["sha256"]
        ids = {client.get(path).json()["file_id"] for path in sender.paths.values()}
        assert ids == {file["id"] for file in files}


@pytest.mark.timeout(90)
def test_without_room_a_part_is_refused_whole_and_the_upload_goes_on_when_there_is(disk: Disk) -> None:
    content = os.urandom(5 << 20)
    with server_process(disk.data, AMENDS_ENGINE_WORKERS="1") as server, local_client(disk.data) as client:
        client.headers.update(TUS)
        path = client.post("/v1/uploads", headers={"Upload-Length": str(len(content))}).headers["location"]
        part = {"Content-Type": "application/offset+octet-stream"}
        client.patch(path, content=content[:1_000], headers={**part, "Upload-Offset": "0"}).raise_for_status()
        disk.fill(server.process.pid)
        for _ in range(2):
            refused = client.patch(path, content=content[1_000:], headers={**part, "Upload-Offset": "1000"})
            assert_problem(refused, "insufficient_storage")
        (kept,) = [found for found in (disk.data / "blobs").rglob("*") if found.is_file()]
        assert kept.stat().st_size == 1_000
        assert client.head(path).headers["upload-offset"] == "1000"
        assert client.get("/v1/files").json()["data"] == []
        disk.free(server.process.pid)
        taken = client.patch(path, content=content[1_000:], headers={**part, "Upload-Offset": "1000"})
        assert taken.status_code == 204, taken.text
        assert client.get(f"/v1/files/{taken.headers['amends-file-id']}/content").content == content


def test_a_client_of_others_uploads_and_resumes(shell: RunningServer, tmp_path: Path) -> None:
    source = tmp_path / "größe.bin"
    source.write_bytes(os.urandom(1_000_000))
    foreign = TusClient(f"{shell.base_url}/v1/uploads", headers={"X-API-Key": shell.key})

    said = {"filename": source.name, "filetype": "application/octet-stream"}
    with source.open("rb") as stream:
        first = foreign.uploader(file_stream=stream, chunk_size=200_000, metadata=said, upload_checksum=True)
        first.upload(stop_at=400_000)
        second = foreign.uploader(file_stream=stream, chunk_size=200_000, url=first.url, upload_checksum=True)
        assert second.offset == 400_000
        second.upload()
    with shell.client() as client:
        upload = client.get(second.url).json()
        file = client.get(f"/v1/files/{upload['file_id']}").json()
    assert (file["filename"], file["bytes"]) == (source.name, 1_000_000)
    assert file["sha256"] == hashlib.sha256(source.read_bytes()).hexdigest()
