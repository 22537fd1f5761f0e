"""Celery on Redis: one task an item, acknowledged late, results in Redis, prefork workers.

Redis is started by ``run.py`` with its log on (``appendonly yes``, ``appendfsync everysec``, Celery's usual companion): a crash
may lose the last second, where Amends loses nothing. ``BENCH_REDIS`` is its URL.
In Celery's favour: no events, gossip or mingling, prefetch as its guide advises for short tasks, one connection for all tasks
sent, and results fetched with MGET, 1,000 keys at a time, where ``result.get()`` subscribes to each.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from celery import Celery

from benchmarks.engine.candidates._shared import Stopwatch, Task, report, task_from

URL = os.environ.get("BENCH_REDIS", "")
PAGE = 1_000

app = Celery("benchmarks.engine.candidates.celery_redis", broker=URL, backend=URL)
app.conf.update(
    task_acks_late=True,
    task_serializer="json",
    result_serializer="json",
    accept_content=["json"],
    worker_prefetch_multiplier=128,
    worker_send_task_events=False,
    broker_connection_retry_on_startup=True,
)


@app.task(name="echo")
def echo(item: dict[str, Any]) -> dict[str, Any]:
    return {"custom_id": item["custom_id"], "output": item["input"]}


@contextmanager
def workers(count: int, log: Any) -> Iterator[None]:
    process = subprocess.Popen(
        [sys.executable, "-m", "celery", "-A", "benchmarks.engine.candidates.celery_redis", "worker", "-P", "prefork", "-c", str(count),
         "-l", "ERROR", "--without-gossip", "--without-mingle", "--without-heartbeat"],
        stdout=log, stderr=log,
    )  # fmt: skip
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def send(items: Sequence[dict[str, Any]]) -> None:
    with app.producer_pool.acquire(block=True) as producer:
        for item in items:
            app.send_task("echo", (item,), task_id=item["custom_id"], producer=producer, ignore_result=False)


def outputs(items: Sequence[dict[str, Any]]) -> int:
    """Wait for every item and read its output; the number read."""
    backend, read = app.backend, 0
    for start in range(0, len(items), PAGE):
        missing = [backend.get_key_for_task(item["custom_id"]) for item in items[start : start + PAGE]]
        while missing:
            found = backend.mget(missing)
            read += sum(1 for value in found if value is not None and json.loads(value)["result"]["output"])
            missing = [key for key, value in zip(missing, found, strict=True) if value is None]
            if missing:
                time.sleep(0.05)
    return read


def measure(task: Task) -> None:
    items = task.read()
    with (task.data / "celery.log").open("wb") as log, workers(task.workers, log):
        first = [{"custom_id": f"warm-up-{number}", "input": {"text": "x"}} for number in range(10)]
        send(first)
        outputs(first)
        watch = Stopwatch()
        with watch.phase("create"):
            send(items)
        with watch.phase("last result read"):
            read = outputs(items)
        assert read == task.items
        report(task, watch)


if __name__ == "__main__":
    measure(task_from())
