"""The parts that the owner puts together from settings: engine and processors."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Final

from amends.engine.processor import Processor
from amends.ledger import Ledger
from amends.server.settings import Settings

_GROUP: Final = "amends.processors"
if TYPE_CHECKING:
    from amends.engine import Engine

_DAY_SECONDS: Final = 86_400.0


def processors() -> Mapping[str, Processor]:
    """Every installed processor by its kind, for ``validate`` in the owner; each in a child makes its own."""
    return {entry.name: entry.load()() for entry in entry_points(group=_GROUP)}


def make_engine(settings: Settings, ledger: Ledger, data: Path) -> Engine:
    """The engine on this machine's processors, with blobs and caches in the data directory."""
    raise NotImplementedError
