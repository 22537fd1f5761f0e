"""The parts that the owner puts together from settings: engine and processors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Final

from amends.database import Database
from amends.engine import Engine, EngineSettings, Processor
from amends.engine.answering import Answering
from amends.ledger import CREDIT, Ledger, PostgresLedger, SqliteLedger, Told
from amends.server.settings import Settings

_GROUP: Final = "amends.processors"
_DAY_SECONDS: Final = 86_400.0


def processors() -> Mapping[str, Processor]:
    """Every installed processor by its kind, for ``validate`` in the owner; each in a child makes its own."""
    return {entry.name: entry.load()() for entry in entry_points(group=_GROUP)}


def processor_settings(settings: Settings) -> Mapping[str, Any]:
    """What processors are told of the installation, in values of JSON. Keys are not among it, only the names of their variables."""
    return {
        "providers": {name: provider.to_table() for name, provider in settings.server.providers.items()},
        "fetch": asdict(settings.fetch),
        "fill_gaps": settings.models.fill_gaps,
        "credits_per_cost": settings.credits.per_cost * CREDIT,
    }


def ledger_on(database: Database, told: Told = lambda tx, run: None) -> Ledger:
    """The ledger in the database's dialect. told: of what becomes of runs."""
    return PostgresLedger(database, told=told) if database.dialect == "postgres" else SqliteLedger(database, told=told)


def make_engine(settings: Settings, ledger: Ledger, data: Path) -> Engine:
    """The engine on this machine's processors, with blobs and caches in the data directory."""
    engine, retention = settings.engine, settings.retention
    return Engine(
        ledger,
        blobs=data / "blobs",
        cache=data / "cache",
        processor_settings=processor_settings(settings),
        settings=EngineSettings(
            workers=engine.workers,
            ttl_seconds=engine.ttl_seconds,
            item_timeout_seconds=engine.item_timeout_seconds,
            item_memory_bytes=engine.item_memory_bytes,
            grace_seconds=engine.grace_seconds,
            line_retention_seconds=retention.result_days * _DAY_SECONDS,
            run_retention_seconds=retention.run_days * _DAY_SECONDS,
            credit_unit=settings.credits.unit,
            credit_url=settings.credits.upgrade_url,
        ),
    )


def make_answering(settings: Settings, data: Path) -> Answering:
    """What answers single items of callers who wait, in one child beside the workers."""
    return Answering(blobs=data / "blobs", cache=data / "cache", memory_bytes=settings.engine.item_memory_bytes)
