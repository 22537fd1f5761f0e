"""Misuse of the SDK that must not check: each ignore is an error if mypy finds nothing to ignore.

Checked by mypy with ``warn_unused_ignores``, never run.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2

from amends import AsyncClient, Client


async def aread_items() -> AsyncIterator[dict[str, Any]]:
    yield {}


def misuse(client: Client, path: Path) -> None:
    Client(7)  # type: ignore[arg-type]
    Client(timeout="5")  # type: ignore[arg-type]
    Client(journal=7)  # type: ignore[arg-type]
    Client(http_client=httpx2.AsyncClient())  # type: ignore[arg-type]
    Client(budget=20)  # type: ignore[arg-type]
    Client(breaker=True)  # type: ignore[arg-type]
    client.with_options(budget=None)  # type: ignore[call-arg]
    client.with_options(api_key="other")  # type: ignore[call-arg]
    client.files.upload(7)  # type: ignore[arg-type]
    client.files.upload(path, nonsense=1)  # type: ignore[call-arg]
    client.files.upload_many(path)  # type: ignore[arg-type]
    client.files.upload_many([path], idempotency_key="one for all")  # type: ignore[call-arg]
    client.files.upload_many([7])  # type: ignore[list-item]
    client.files.get("f", idempotency_key="reads have none")  # type: ignore[call-arg]
    print(client.files.download("f").name)  # type: ignore[attr-defined]
    client.batch_predictions.create([])  # type: ignore[call-arg]
    client.batch_predictions.create([1], model="m")  # type: ignore[list-item]
    client.batch_predictions.create(aread_items(), model="m")  # type: ignore[arg-type]
    client.batch_predictions.create([], model="m", validation="lax")  # type: ignore[arg-type]
    client.batch_predictions.results("b", status="broken")  # type: ignore[arg-type]
    client.batch_predictions.wait("b", deadline=5)  # type: ignore[call-arg]
    client.api_keys.create(role="king")  # type: ignore[arg-type]
    client.webhooks.deliveries("w", status="lost")  # type: ignore[arg-type]
    client.credits.top_up("ten")  # type: ignore[arg-type]
    client.credits.history(idempotency_key="reads have none")  # type: ignore[call-arg]
    client.datasets.get("d").add_datapoints(["a.png"])  # type: ignore[list-item]
    client.runs.get("r").id = 7  # type: ignore[assignment]
    print(client.nonsense)  # type: ignore[attr-defined]


async def amisuse(client: AsyncClient) -> None:
    print(client.files.get("f").id)  # type: ignore[attr-defined]
    await client.batch_predictions.results("b")  # type: ignore[misc]
    for line in client.batch_predictions.results("b"):  # type: ignore[attr-defined]
        print(line)
    with client:  # type: ignore[attr-defined]
        pass
