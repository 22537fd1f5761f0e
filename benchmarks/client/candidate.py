"""Makes calls with one client against the stub, and says what they cost: ``candidate.py NAME URL CONCURRENT CALLS``.

NAME: amends, openai or httpx2. CONCURRENT: 0 for the client without asyncio, else the number of tasks that call at once.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

KEY = "ak_live_0123456789abcdef0123456789abcdef"
FILE = "file_01J0000000000000000000000"

Call = Callable[[], Any]
AsyncCall = Callable[[], Awaitable[Any]]


def of_amends(url: str) -> Call:
    from amends import Client

    files = Client(KEY, url).files
    return lambda: files.get(FILE).filename


def of_openai(url: str) -> Call:
    from openai import OpenAI

    files = OpenAI(api_key=KEY, base_url=f"{url}/v1").files
    return lambda: files.retrieve(FILE).filename


def of_httpx2(url: str) -> Call:
    import httpx2

    client = httpx2.Client(headers={"Authorization": f"Bearer {KEY}"}, timeout=30)
    return lambda: client.get(f"{url}/v1/files/{FILE}").raise_for_status().json()["filename"]


def of_amends_async(url: str) -> AsyncCall:
    from amends import AsyncClient

    files = AsyncClient(KEY, url).files

    async def call() -> Any:
        return (await files.get(FILE)).filename

    return call


def of_openai_async(url: str) -> AsyncCall:
    from openai import AsyncOpenAI

    files = AsyncOpenAI(api_key=KEY, base_url=f"{url}/v1").files

    async def call() -> Any:
        return (await files.retrieve(FILE)).filename

    return call


def of_httpx2_async(url: str) -> AsyncCall:
    import httpx2

    client = httpx2.AsyncClient(headers={"Authorization": f"Bearer {KEY}"}, timeout=30)

    async def call() -> Any:
        return (await client.get(f"{url}/v1/files/{FILE}")).raise_for_status().json()["filename"]

    return call


SYNC = {"amends": of_amends, "openai": of_openai, "httpx2": of_httpx2}
ASYNC = {"amends": of_amends_async, "openai": of_openai_async, "httpx2": of_httpx2_async}


def measure(call: Call, calls: int) -> dict[str, float]:
    for _ in range(min(200, calls)):
        assert call() == "invoice.pdf"
    gc.collect()
    started, used = time.perf_counter(), time.process_time()
    for _ in range(calls):
        call()
    return {"seconds": time.perf_counter() - started, "cpu_seconds": time.process_time() - used}


async def measure_async(make: Callable[[str], AsyncCall], url: str, concurrent: int, calls: int) -> dict[str, float]:
    call = make(url)

    async def some(number: int) -> None:
        for _ in range(number):
            assert await call() == "invoice.pdf"

    async def all_of_them(total: int) -> None:
        await asyncio.gather(*(some(total // concurrent) for _ in range(concurrent)))

    await all_of_them(max(200, 2 * concurrent))
    gc.collect()
    started, used = time.perf_counter(), time.process_time()
    await all_of_them(calls)
    return {"seconds": time.perf_counter() - started, "cpu_seconds": time.process_time() - used}


if __name__ == "__main__":
    name, url, concurrent, calls = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    if concurrent:
        calls -= calls % concurrent
        found = asyncio.run(measure_async(ASYNC[name], url, concurrent, calls))
    else:
        found = measure(SYNC[name](url), calls)
    print(json.dumps({"calls": calls, **found}))
