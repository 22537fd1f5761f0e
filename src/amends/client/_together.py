"""Several flows of one call at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any

from ._flow import Drive, Flow


def together(flows: Iterator[Flow[None]], at_once: int) -> Drive:
    """Drive flows, ``at_once`` of them at a time, taking the next as there is room."""
    return Drive(partial(_run_together, flows, at_once), partial(_arun_together, flows, at_once))


def _run_together(flows: Iterator[Flow[None]], at_once: int, run: Callable[[Flow[None]], Any]) -> None:
    """Drive flows from ``at_once`` threads. The first that fails is raised once nothing is under way any more."""
    from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

    under_way: set[Future[None]] = set()
    with ThreadPoolExecutor(at_once, thread_name_prefix="amends-datapoints") as pool:
        try:
            for flow in flows:
                under_way.add(pool.submit(run, flow))
                if len(under_way) >= at_once:
                    done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
                    for future in done:
                        future.result()
            for future in under_way:
                future.result()
        finally:
            for future in under_way:
                future.cancel()


async def _arun_together(
    flows: Iterator[Flow[None]], at_once: int, run: Callable[[Flow[None]], Awaitable[Any]]
) -> None:
    """Drive flows in ``at_once`` tasks. What there is to do before a flow is done in a thread, since it reads files."""
    import asyncio

    taking = asyncio.Lock()
    error: BaseException | None = None

    async def work() -> None:
        nonlocal error
        while error is None:
            async with taking:
                flow = await asyncio.to_thread(next, flows, None)
            if flow is None:
                return
            try:
                await run(flow)
            except Exception as failure:
                error = error or failure

    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(work())
    if error is not None:
        raise error
