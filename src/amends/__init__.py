"""Bulk AI-data work in which every item ends in a result or in a typed failure that says how to put it right.

from amends import Client

with Client() as client:
    batch = client.batch_predictions.create([{"custom_id": "a", "input": "…"}], model="local/echo")
    client.batch_predictions.wait(batch.id)
    for line in client.batch_predictions.results(batch.id):
        ...
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from amends.client import AsyncClient, Client, Datapoint, FailedUpload

__version__ = "0.1.0"

__all__ = ["AsyncClient", "Client", "Datapoint", "FailedUpload", "__version__"]


def __getattr__(name: str) -> Any:
    # The worker's child imports amends thousands of times; it needs no HTTP client.
    if name not in ("AsyncClient", "Client", "Datapoint", "FailedUpload"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from amends import client

    return getattr(client, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
