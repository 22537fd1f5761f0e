"""Moves runs through their life: workers, leases, deadlines, the end of a run.

engine = Engine(ledger, blobs=directory / "blobs", settings=EngineSettings(workers=4))
engine.start()
...
engine.close(grace_seconds=10)
"""

from amends.engine._engine import Engine, OwnersExecutor, WorkerStatus
from amends.engine._settings import EngineSettings
from amends.engine._transitions import TRANSITIONS, may_follow, mermaid
from amends.engine.executor import Executor, Slot, WorkerExit
from amends.engine.local import LocalExecutor
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
