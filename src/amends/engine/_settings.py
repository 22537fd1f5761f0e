"""The engine's settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

DAY_SECONDS: Final = 24 * 60 * 60


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """How the engine works. Sizes in bytes, times in seconds.

    workers: how many; None takes one a processor core. max_lease_items, max_lease_bytes: most that one claim takes.
    lease_seconds: how much work a lease should hold. flush_*: outcomes are committed when any of the three is reached.
    item_timeout_seconds: longest time an item may be in flight; a processor may ask for less.
    item_memory_bytes: a worker's child beyond it is killed. max_attempts: tries of an item whose failures may pass.
    grace_seconds: what running items get at shutdown. fence_grace_seconds: what they get when their run is cancelled
    or expires. line_retention_seconds, run_retention_seconds: how long result lines and runs are kept after their end.
    model_threads: threads a model may use in each worker; None shares the cores out among the workers.
    credit_unit, credit_url: what credit is called and where to top it up, for who runs out of it.
    """

    workers: int | None = None
    ttl_seconds: float = 10.0
    lease_seconds: float = 1.5
    max_lease_items: int = 10_000
    max_lease_bytes: int = 4 * 1024 * 1024
    chunk_seconds: float = 0.15
    flush_seconds: float = 1.0
    flush_items: int = 1_000
    flush_bytes: int = 4 * 1024 * 1024
    item_timeout_seconds: float = 300.0
    item_memory_bytes: int = 2 * 1024 * 1024 * 1024
    max_attempts: int = 5
    grace_seconds: float = 10.0
    fence_grace_seconds: float = 2.0
    tick_seconds: float = 0.25
    line_retention_seconds: float = 30.0 * DAY_SECONDS
    run_retention_seconds: float = 90.0 * DAY_SECONDS
    model_threads: int | None = None
    credit_unit: str = "credits"
    credit_url: str | None = None
