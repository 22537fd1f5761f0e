"""kill -9 of the server while it works under an Idempotency-Key: afterwards the work is done once."""

from __future__ import annotations

import threading
from pathlib import Path
from random import Random
from typing import Any

import httpx2

from tests.servers import ServerProcess, server_process

PIECE = b"x" * 50_000


def attempt(server: ServerProcess, key: str, name: str) -> httpx2.Response | None:
    """Upload a file under its key; None when the server died on it."""
    try:
        return httpx2.post(
            f"{server.base_url}/v1/files",
            files={"file": (name, PIECE + name.encode(), "text/plain")},
            headers={"x-api-key": key, "idempotency-key": name},
            timeout=20,
        )
    except httpx2.TransportError:
        return None


def test_an_upload_repeated_after_a_kill_makes_one_file(tmp_path: Path) -> None:
    draw = Random()
    names = [f"{number}.txt" for number in range(25)]
    answered: dict[str, Any] = {}
    key, deaths = "", 0
    while len(answered) < len(names):
        with server_process(tmp_path) as server:
            key = key or server.key
            if deaths < 2:
                threading.Timer(draw.uniform(0.01, 0.3), server.process.kill).start()
            for name in names:
                if name in answered:
                    continue
                answer = attempt(server, key, name)
                if answer is None:
                    deaths += 1
                    break
                assert answer.status_code == 200, answer.text
                answered[name] = answer.json()
    assert deaths == 2, "nothing was interrupted"
    with server_process(tmp_path) as server:
        headers = {"x-api-key": key}
        files = httpx2.get(f"{server.base_url}/v1/files", params={"limit": 100}, headers=headers).json()["data"]
        assert sorted(file["filename"] for file in files) == sorted(names)
        assert {file["filename"]: file for file in files} == answered
        for file in files:
            content = httpx2.get(f"{server.base_url}/v1/files/{file['id']}/content", headers=headers).content
            assert content == PIECE + file["filename"].encode()
    assert not list((tmp_path / "blobs" / "tmp").iterdir())
