"""A thousand inputs from a generator, asynchronously. Needs a server and its key in AMENDS_API_KEY."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

from amends import AsyncClient


def items() -> Iterator[dict[str, Any]]:
    """Streamed as it is made: a million would need no more memory than these."""
    for number in range(1_000):
        yield {"custom_id": f"n-{number}", "input": {"number": number}}


async def main() -> None:
    async with AsyncClient() as client:
        batch = await client.batch_predictions.create(items=items(), model="local/echo")
        await client.batch_predictions.wait(batch.id, timeout=300)
        total = 0
        async for line in client.batch_predictions.results(batch.id):
            total += line["output"]["number"]
        print("sum", total)


if __name__ == "__main__":
    asyncio.run(main())
