"""DBOS: one workflow an item on one queue, results read when all have ended.

variant ``sqlite``: the system database that DBOS takes by default. ``postgresql``: the one its documentation recommends for
production; its URL comes in ``BENCH_POSTGRESQL``. One worker process beside the client: with a second one both are slower
on two cores.
In DBOS's favour: the queue is polled each 10 ms (1 s by default), items are enqueued 100 a transaction through the client
(``enqueue_in_transaction``) and results are read 1,000 at a time with ``list_workflows``, where its tutorial enqueues and
fetches one by one.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from dbos import DBOS, DBOSClient
from sqlalchemy import Engine, create_engine, make_url

from benchmarks.engine.candidates._shared import Stopwatch, Task, report, task_from

QUEUE = "items"
VERSION = "bench"
PAGE = 1_000


@DBOS.workflow(name="echo")
def echo(item: dict[str, Any]) -> dict[str, Any]:
    return {"custom_id": item["custom_id"], "output": item["input"]}


def work(url: str, executor: str) -> None:
    """A worker: runs until its standard input is closed."""
    DBOS(
        config={
            "name": "bench", "system_database_url": url, "application_version": VERSION, "executor_id": executor,
            "log_level": "ERROR", "run_admin_server": False,
        }  # type: ignore[typeddict-unknown-key]
    )  # fmt: skip
    DBOS.launch()
    DBOS.register_queue(QUEUE, worker_concurrency=200, polling_interval_sec=0.01)
    print("ready", flush=True)
    sys.stdin.read()
    DBOS.destroy()


@contextmanager
def workers(url: str, count: int) -> Iterator[None]:
    started = []
    for number in range(count):
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.engine.candidates.dbos_queue", "--work", url, f"worker-{number}"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        started.append(process)
        assert process.stdout is not None
        while (line := process.stdout.readline()) and line.strip() != "ready":
            pass
    try:
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


def enqueue(client: DBOSClient, engine: Engine, items: Sequence[dict[str, Any]]) -> None:
    for start in range(0, len(items), 100):
        with engine.begin() as connection:
            for item in items[start : start + 100]:
                client.enqueue_in_transaction(
                    connection,
                    {"queue_name": QUEUE, "workflow_name": "echo", "workflow_id": item["custom_id"], "app_version": VERSION},
                    item,
                )  # fmt: skip


def engine_of(url: str) -> Engine:
    parsed = make_url(url)
    return create_engine(parsed.set(drivername="postgresql+psycopg") if parsed.drivername == "postgresql" else parsed)


def outputs(client: DBOSClient, items: Sequence[dict[str, Any]]) -> int:
    """Wait for every item and read its output; the number read."""
    read = 0
    for start in range(0, len(items), PAGE):
        ids = [item["custom_id"] for item in items[start : start + PAGE]]
        while True:
            ended = client.list_workflows(workflow_ids=ids, status="SUCCESS", load_input=False, load_output=True)
            if len(ended) == len(ids):
                break
            time.sleep(0.1)
        read += sum(1 for status in ended if status.output["output"])
    return read


def measure(task: Task) -> None:
    url = (
        os.environ.get("BENCH_POSTGRESQL") if task.variant == "postgresql" else f"sqlite:///{task.data / 'dbos.sqlite'}"
    )
    assert url
    items = task.read()
    with workers(url, 1):
        client, engine = DBOSClient(system_database_url=url), engine_of(url)
        first = {"custom_id": "warm-up", "input": {"text": "x"}}
        enqueue(client, engine, [first])
        outputs(client, [first])
        watch = Stopwatch()
        with watch.phase("create"):
            enqueue(client, engine, items)
        with watch.phase("last result read"):
            read = outputs(client, items)
        assert read == task.items
        report(task, watch)


if __name__ == "__main__":
    if "--work" in sys.argv:
        work(*sys.argv[2:])
    else:
        measure(task_from())
