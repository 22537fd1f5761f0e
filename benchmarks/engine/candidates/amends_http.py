"""Amends over HTTP: ``amends serve`` in a process of its own, NDJSON in by one POST, NDJSON out by one GET.

The client is plain httpx2 with authentication on, reading the lines' file as it sends; every result line is received and counted.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import httpx2

from benchmarks._serving import serving
from benchmarks.engine.candidates._shared import Stopwatch, Task, report, task_from

PARAMETERS = b'{"model":"local/echo"}\n'
NDJSON = "application/x-ndjson"
PIECE_BYTES = 256 * 1024
POLL_SECONDS = 0.02


def body(lines: Path) -> Iterator[bytes]:
    yield PARAMETERS
    with lines.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            yield piece


def create(client: httpx2.Client, content: Iterator[bytes] | bytes) -> str:
    """Send a batch; its id."""
    response = client.post("/v1/batch-predictions", content=content, headers={"Content-Type": NDJSON})
    response.raise_for_status()
    return str(response.json()["id"])


def wait(client: httpx2.Client, batch_id: str) -> None:
    while (
        status := client.get(f"/v1/batch-predictions/{batch_id}").raise_for_status().json()["status"]
    ) != "completed":
        assert status in ("validating", "in_progress", "finalizing"), status
        time.sleep(POLL_SECONDS)


def read(client: httpx2.Client, batch_id: str) -> int:
    """Receive every result line; their number."""
    lines = 0
    with client.stream("GET", f"/v1/batch-predictions/{batch_id}/results", headers={"Accept": NDJSON}) as response:
        response.raise_for_status()
        for piece in response.iter_bytes():
            lines += piece.count(b"\n")
    return lines


def measure(task: Task) -> None:
    settings = {"AMENDS_ENGINE_WORKERS": str(task.workers)}
    with (
        serving(task.data / "amends", settings) as server,
        httpx2.Client(base_url=server.url, headers={"Authorization": f"Bearer {server.key}"}, timeout=600) as client,
    ):
        first = create(client, PARAMETERS + b'{"custom_id":"warm-up","input":{"text":"x"}}\n')
        wait(client, first)
        read(client, first)
        watch = Stopwatch()
        with watch.phase("create"):
            batch_id = create(client, body(task.lines))
        with watch.phase("last outcome"):
            wait(client, batch_id)
        with watch.phase("last result read"):
            lines = read(client, batch_id)
        assert lines == task.items
        report(task, watch)


if __name__ == "__main__":
    measure(task_from())
