"""Moves runs through their life: workers, leases, deadlines, the end of a run.

engine = Engine(ledger, blobs=directory / "blobs", settings=EngineSettings(workers=4))
engine.start()
...
engine.close(grace_seconds=10)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from amends._lazy import front_door
from amends.engine._settings import EngineSettings
from amends.engine._transitions import TRANSITIONS, may_follow, mermaid
from amends.engine.executor import Executor, Slot, WorkerExit
from amends.engine.processor import (
    Failed,
    Job,
    Needs,
    Processor,
    Result,
    Session,
    Succeeded,
    Surroundings,
    WorkItem,
)

if TYPE_CHECKING:
    from amends.engine._engine import Engine, OwnersExecutor, WorkerStatus
    from amends.engine.local import LocalExecutor

# The owner's side; worker processes, which come and go, do without it.
_HOME_OF = {
    "Engine": "amends.engine._engine",
    "LocalExecutor": "amends.engine.local",
    "OwnersExecutor": "amends.engine._engine",
    "WorkerStatus": "amends.engine._engine",
}

__all__ = [
    "TRANSITIONS",
    "Engine",
    "EngineSettings",
    "Executor",
    "Failed",
    "Job",
    "LocalExecutor",
    "Needs",
    "OwnersExecutor",
    "Processor",
    "Result",
    "Session",
    "Slot",
    "Succeeded",
    "Surroundings",
    "WorkItem",
    "WorkerExit",
    "WorkerStatus",
    "may_follow",
    "mermaid",
]

__getattr__, __dir__ = front_door(__name__, _HOME_OF, __all__)
