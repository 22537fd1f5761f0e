"""What every candidate does alike: read its task, take the workload, say what it measured.

Imports nothing but the standard library: candidates run in different environments.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Task:
    """One measurement. lines: an NDJSON file, one item a line, written before the clock starts. data: an empty directory."""

    lines: Path
    items: int
    data: Path
    workers: int
    lease: int | None
    variant: str

    def read(self) -> list[dict[str, Any]]:
        """The items, decoded. Peers get them as Python objects, outside the clock."""
        with self.lines.open("rb") as file:
            return [json.loads(line) for line in file]


@dataclass
class Stopwatch:
    """Seconds a phase, in the order in which the phases ended."""

    phases: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def phase(self, name: str) -> Any:
        started = time.perf_counter()
        yield
        self.phases[name] = round(time.perf_counter() - started, 4)

    @property
    def total(self) -> float:
        return sum(self.phases.values())


def task_from(argv: Sequence[str] | None = None) -> Task:
    parser = argparse.ArgumentParser()
    parser.add_argument("--lines", type=Path, required=True)
    parser.add_argument("--items", type=int, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--lease", type=int, default=None)
    parser.add_argument("--variant", default="")
    return Task(**vars(parser.parse_args(argv)))


def report(task: Task, watch: Stopwatch, **more: Any) -> None:
    """One JSON object on the last line of stdout: what ``run.py`` reads."""
    print(json.dumps({
        "items": task.items, "seconds": round(watch.total, 4), "items_a_second": round(task.items / watch.total, 1),
        "phases": watch.phases, **more,
    }), flush=True)  # fmt: skip
