"""kill -9 of the server under every mutating operation of ``/v1`` at once: repeated under their keys, each is done exactly once."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import httpx2
import pytest

from tests.integration.test_server_idempotency import CALLS, RESUMABLE, Send
from tests.servers import ServerProcess, server_process

_KILL_SECONDS = 0.03
LISTS = ("/v1/batch-predictions", "/v1/files", "/v1/api-keys", "/v1/credits/history")


def is_chosen(operation: str) -> bool:
    """What the lists below count."""
    return " /v1/" in operation and operation not in RESUMABLE


def client_of(server: ServerProcess, key: str) -> httpx2.Client:
    return httpx2.Client(base_url=server.base_url, headers={"x-api-key": key}, timeout=30, trust_env=False)


def attempt(server: ServerProcess, key: str, send: Send, name: str) -> bool:
    """Whether it was answered before the server died."""
    try:
        with client_of(server, key) as client:
            return send(client, {"idempotency-key": name}).status_code < 300
    except httpx2.TransportError:
        return False


def totals(client: httpx2.Client) -> dict[str, int]:
    return {path: len(client.get(path, params={"limit": 100}).json()["data"]) for path in LISTS}


@pytest.mark.timeout(300)
def test_whatever_a_kill_interrupts_is_done_once_when_it_is_repeated(tmp_path: Path) -> None:
    with server_process(tmp_path / "data", AMENDS_ENGINE_WORKERS="1") as server:
        with client_of(server, server.key) as client:
            sends = {uuid4().hex: make(client) for name, make in CALLS.items() if is_chosen(name)}
            before = totals(client)
        with ThreadPoolExecutor(len(sends)) as pool:
            threading.Timer(_KILL_SECONDS, server.process.kill).start()
            answers = [pool.submit(attempt, server, server.key, send, name) for name, send in sends.items()]
        assert not all(answer.result() for answer in answers), "nothing was interrupted"
    key = server.key
    with server_process(tmp_path / "data", AMENDS_ENGINE_WORKERS="1") as server, client_of(server, key) as client:
        for name, send in sends.items():
            first, again = (send(client, {"idempotency-key": name}) for _ in range(2))
            assert first.status_code < 300, first.text
            assert again.headers["idempotency-replayed"] == "true"
            assert again.content == first.content
        # Two batches, two files and one of them deleted again, a key, a top-up; a revoked key stays in the list.
        made = {path: after - before[path] for path, after in totals(client).items()}
        assert made == {LISTS[0]: 2, LISTS[1]: 1, LISTS[2]: 1, LISTS[3]: 1}
