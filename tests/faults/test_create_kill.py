"""A server killed while it takes a batch: nothing of the batch is left, its key is free, and repeating makes exactly one."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path

import httpx2

from tests.servers import ServerProcess, server_process

PATH = "/v1/batch-predictions"
ITEMS = 30_000


def body() -> bytes:
    lines = [{"model": "local/echo"}, *({"custom_id": f"c{n}", "input": n} for n in range(ITEMS))]
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def headers(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}", "Content-Type": "application/x-ndjson", "Idempotency-Key": "killed"}


def begin_create(server: ServerProcess, key: str) -> socket.socket:
    """Send all items and never the end of the body."""
    host, port = server.base_url.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)))
    head = "".join(f"{name}: {value}\r\n" for name, value in headers(key).items())
    connection.sendall(f"POST {PATH} HTTP/1.1\r\nHost: x\r\n{head}Transfer-Encoding: chunked\r\n\r\n".encode())
    connection.sendall(b"%x\r\n%b\r\n" % (len(body()), body()))
    return connection


def wait_until_received(server: ServerProcess, key: str) -> None:
    """Until the key is claimed, so that the kill really interrupts the work."""
    end = time.monotonic() + 20
    while True:
        answer = httpx2.post(server.base_url + PATH, content=b'{"model":"local/echo"}\n', headers=headers(key))
        if answer.status_code == 409 and answer.json()["code"] == "idempotency_in_progress":
            return
        assert time.monotonic() < end
        time.sleep(0.02)


def test_killed_create_leaves_nothing_and_its_repetition_makes_one_batch(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with server_process(data) as server:
        key = server.key
        with begin_create(server, key):
            wait_until_received(server, key)
            server.kill()
    with (
        server_process(data) as server,
        httpx2.Client(base_url=server.base_url, headers=headers(key), timeout=30) as client,
    ):
        assert client.get(PATH).json()["data"] == []
        first, second = client.post(PATH, content=body()), client.post(PATH, content=body())
        assert (first.status_code, first.json()["request_counts"]["total"]) == (200, ITEMS)
        assert (first.content, second.headers["idempotency-replayed"]) == (second.content, "true")
        assert len(client.get(PATH).json()["data"]) == 1
        server.kill()
    with (
        server_process(data) as server,
        httpx2.Client(base_url=server.base_url, headers=headers(key), timeout=30) as client,
    ):
        again = client.post(PATH, content=body())
        assert (again.content, again.headers["idempotency-replayed"]) == (first.content, "true")
