"""Servers whose models come from the tests' own provider."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from amends.models.providers import Provider, read_providers
from tests.servers import RunningServer, running_server
from tests.upstream import Upstream

TEXT_SCHEMA = {
    "type": "object",
    "properties": {"text": {"type": "string"}},
    "required": ["text"],
    "additionalProperties": False,
}


def provider_of(*upstreams: Upstream, **table: Any) -> Provider:
    """A provider with these endpoints. table: as it would stand in the configuration."""
    defaults = {"endpoints": [upstream.base_url for upstream in upstreams], "timeout_seconds": 5.0}
    return read_providers({"acme": {**defaults, **table}})["acme"]


@contextmanager
def provided_server(
    data: Path, *upstreams: Upstream, flags: dict[str, Any] | None = None, **table: Any
) -> Iterator[RunningServer]:
    """A server with workers and the provider ``acme``. flags: further settings."""
    providers = {"acme": provider_of(*upstreams, **table).to_table()}
    with running_server(data, providers=providers, **(flags or {})) as server:
        yield server
