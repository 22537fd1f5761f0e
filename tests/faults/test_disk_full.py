"""The disk is full, or the user's quota is used up: refused whole and typed, and everything goes on when there is room again."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import httpx2
import pytest

from tests.killing import EXTRACT, Witness, local_client, note, until
from tests.problem_shape import assert_problem
from tests.servers import server_process

DISK_BYTES = 48 << 20


class Disk(Protocol):
    data: Path

    def fill(self, server_pid: int) -> None: ...

    def free(self, server_pid: int) -> None: ...


class Quota:
    """No file of the server may grow past a bound (EFBIG): needs no rights, works everywhere."""

    def __init__(self, place: Path) -> None:
        self.data = place / "data"
        self._before = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)

    def fill(self, server_pid: int) -> None:
        self._before = resource.prlimit(server_pid, resource.RLIMIT_FSIZE)
        resource.prlimit(server_pid, resource.RLIMIT_FSIZE, (4_096, self._before[1]))

    def free(self, server_pid: int) -> None:
        resource.prlimit(server_pid, resource.RLIMIT_FSIZE, self._before)

    def close(self) -> None: ...


class SmallDisk:
    """A file system of its own that is filled to the last byte (ENOSPC)."""

    def __init__(self, place: Path) -> None:
        self.data = place / "disk"
        self.data.mkdir()
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "amends-test", str(self.data)],
            check=True,
            capture_output=True,
        )

    def fill(self, server_pid: int) -> None:
        with (self.data / "filler").open("wb", buffering=0) as filler:
            try:
                while True:
                    filler.write(bytes(4_096))
            except OSError:
                pass  # full is what it was to become

    def free(self, server_pid: int) -> None:
        (self.data / "filler").unlink()

    def close(self) -> None:
        subprocess.run(["umount", "--lazy", str(self.data)], check=True)


@pytest.fixture(params=[Quota, SmallDisk])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Disk]:
    try:
        disk = request.param(tmp_path)
    except (subprocess.CalledProcessError, FileNotFoundError) as error:
        if "CI" in os.environ:
            raise
        # mounting takes a right that a developer's account may lack; the quota half of these tests needs none
        pytest.skip(f"no file system can be mounted here ({error}); the quota stands in for it")
    yield disk
    disk.close()


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.timeout(90)
def test_without_room_uploads_and_batches_are_refused_whole_and_later_taken(disk: Disk) -> None:
    content = os.urandom(1 << 20)
    body = lines_of_batch(400)
    ndjson = {"Content-Type": "application/x-ndjson", "Idempotency-Key": "full"}
    with server_process(disk.data, AMENDS_ENGINE_WORKERS="1") as server, local_client(disk.data) as client:
        first = upload(client, b"there is room for this")
        disk.fill(server.process.pid)
        for _ in range(2):
            refused = upload(client, content)
            assert_problem(refused, "insufficient_storage")
            refused = client.post("/v1/batch-predictions", content=body, headers=ndjson)
            assert_problem(refused, "insufficient_storage")
        assert len(files_below(disk.data / "blobs")) == 1, "something half written was left"
        assert [file["id"] for file in client.get("/v1/files").json()["data"]] == [first.json()["id"]]
        assert client.get(f"/v1/files/{first.json()['id']}/content").content == b"there is room for this"
        assert client.get("/v1/batch-predictions").json()["data"] == []

        disk.free(server.process.pid)
        taken = upload(client, content).raise_for_status().json()
        assert taken["sha256"] == hashlib.sha256(content).hexdigest()
        batch = client.post("/v1/batch-predictions", content=body, headers=ndjson).raise_for_status().json()
        path = f"/v1/batch-predictions/{batch['id']}"
        until(lambda: client.get(path).json()["status"] == "completed")
        assert len(client.get("/v1/batch-predictions").json()["data"]) == 1
        Witness(batch["id"]).check_end(client, 400)


@pytest.mark.timeout(90)
def test_a_run_waits_for_room_and_goes_on(disk: Disk) -> None:
    items = [{"custom_id": f"c{n}", "input": note(n)} for n in range(2_500)]
    with server_process(disk.data, AMENDS_ENGINE_WORKERS="1") as server, local_client(disk.data) as client:
        answer = client.post("/v1/batch-predictions", json={"items": items, **EXTRACT}).raise_for_status()
        witness = Witness(answer.json()["id"])
        until(lambda: witness.look(client))
        disk.fill(server.process.pid)
        time.sleep(2.5)  # it works on meanwhile, and nothing of it can be written down
        stuck = witness.look_at_all(client)["outcomes"]
        assert stuck < len(items)
        time.sleep(0.5)
        assert witness.look_at_all(client)["outcomes"] == stuck
        disk.free(server.process.pid)
        path = f"/v1/batch-predictions/{witness.run_id}"
        until(lambda: client.get(path).json()["status"] == "completed")
        lines = witness.check_end(client, len(items))
        assert {line["status"] for line in lines} == {"succeeded"}


def upload(client: httpx2.Client, content: bytes) -> httpx2.Response:
    return client.post("/v1/files", files={"file": ("some.bin", content)})


def lines_of_batch(items: int) -> bytes:
    parameters: list[dict[str, Any]] = [{"model": "local/echo"}]
    lines = parameters + [{"custom_id": f"c{n}", "input": note(n)} for n in range(items)]
    return "\n".join(map(json.dumps, lines)).encode()
