"""The disk is full, or the user's quota is used up: refused whole and typed, and everything goes on when there is room again."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.disks import Disk
from tests.killing import EXTRACT, Witness, local_client, note, until
from tests.problem_shape import assert_problem
from tests.servers import serve_command, server_process


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


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.timeout(60)
def test_a_server_whose_log_has_no_room_serves_all_the_same(tmp_path: Path) -> None:
    command = serve_command(tmp_path, "--log-level", "debug")
    with (
        open("/dev/full", "w", encoding="utf-8") as full,
        subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=full) as server,
    ):
        try:
            with local_client(tmp_path) as client:
                assert upload(client, b"kept").json()["bytes"] == 4
                assert_problem(client.get("/v1/files/file_none"), "resource_not_found")
        finally:
            server.terminate()
        assert server.wait(30) == 0
