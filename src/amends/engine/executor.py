"""What an executor is: it places worker processes and says when they are gone. It never sees items or outcomes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Slot:
    """What a worker needs. kinds: kinds of run it serves, empty for all."""

    kinds: frozenset[str] = frozenset()
    cpus: float = 1.0
    gpus: float = 0.0
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WorkerExit:
    """A worker is gone. code: its exit status, negative for the signal that ended it; None where nobody knows."""

    worker_id: str
    reason: str
    code: int | None = None


class Executor(Protocol):
    """Places processes. What it tells is advice that shortens a wait; the ledger alone decides."""

    def start(self, slot: Slot) -> str:
        """Start a worker; its id, which is the owner of its leases. Raises OSError where it cannot."""
        ...

    def poll(self) -> Iterable[WorkerExit]:
        """Workers that ended since the last call, each once. Does not block."""
        ...

    def stop(self, worker_id: str, grace_seconds: float) -> None:
        """Ask the worker to end and kill it after the grace; returns at once when the grace is 0. Unknown ids are ignored."""
        ...

    def capacity(self) -> Mapping[str, float]:
        """What there is to place workers on: ``cpus``, ``gpus``, ``workers`` running."""
        ...

    def close(self) -> None:
        """Kill whatever still runs."""
        ...
