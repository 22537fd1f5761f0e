"""Amends without HTTP: the owner of a data directory in this process, its workers as subprocesses, everything else as in a server.

Lines are read, checked and kept by the functions that the server's NDJSON route uses; results are read from the ledger.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

from amends.database import new_id
from amends.engine import Engine, EngineSettings
from amends.ledger import Ledger, NewRun
from amends.server.idempotency import Guard
from amends.server.items import Faults, rows_of
from amends.server.owner import Owner
from amends.server.receiving import Receiving
from amends.server.services import Services
from amends.server.settings import Settings
from amends.server.sources import LineSource
from benchmarks.engine.candidates._shared import Stopwatch, Task, report, task_from

PIECE_BYTES = 64 * 1024
POLL_SECONDS = 0.01


async def create(services: Services, body: AsyncIterator[bytes]) -> str:
    """What the route does with a good body; the run's id."""
    limits = services.settings.limits
    run = NewRun(
        new_id("bpred_"), services.default_workspace_id, "predict", "local/echo", b'{"model":"local/echo"}', time.time()
    )
    receiving = Receiving(services, run, Guard(), lambda sealed: {"id": sealed.id})
    source, faults = LineSource(body, limits.ndjson_line_bytes, limits.nesting), Faults()
    await source.parameters()
    await receiving.open()
    async for items in source.items(faults):
        await receiving.add(rows_of(items, {}))
    assert not faults
    await receiving.seal(validate=False)
    return run.id


async def pieces(lines: Path) -> AsyncIterator[bytes]:
    yield b'{"model":"local/echo"}\n'
    with lines.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            yield piece


async def one_item() -> AsyncIterator[bytes]:
    yield b'{"model":"local/echo"}\n{"custom_id":"warm-up","input":{"text":"x"}}\n'


def wait(ledger: Ledger, run_id: str) -> None:
    """Until the run has ended, its manifest written."""
    while (run := ledger.get(run_id)) is None or not run.is_terminal:
        time.sleep(POLL_SECONDS)
    assert run.state == "completed", run.state


def read(ledger: Ledger, run_id: str) -> int:
    """Read every result line; their number."""
    lines, after = 0, -1
    while (chunk := ledger.results(run_id, after=after)).last is not None:
        lines += chunk.lines.count(b"\n")
        after = chunk.last
    return lines


def measure(task: Task) -> None:
    def engine(_: Settings, ledger: Ledger, data: Path) -> Engine:
        most = {} if task.lease is None else {"max_lease_items": task.lease}
        return Engine(ledger, blobs=data / "blobs", settings=EngineSettings(workers=task.workers, **most))

    with Owner(Settings().with_flags(data=task.data / "amends"), engine=engine) as owner:
        services, watch = owner.services, Stopwatch()
        first = asyncio.run(create(services, one_item()))
        wait(services.ledger, first)
        read(services.ledger, first)
        with watch.phase("create"):
            run_id = asyncio.run(create(services, pieces(task.lines)))
        with watch.phase("last outcome"):
            wait(services.ledger, run_id)
        with watch.phase("last result read"):
            lines = read(services.ledger, run_id)
        assert lines == task.items
        assert services.ledger.conservation(run_id).holds
        report(task, watch)


if __name__ == "__main__":
    measure(task_from())
