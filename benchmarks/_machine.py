"""The machine a benchmark ran on, and which versions: kept with every result."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def machine(scratch: Path) -> dict[str, Any]:
    """Processor, memory, system and the disk under ``scratch``, with the load that others put on it now."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "fsync_ms": fsync_ms(scratch),
        "load_before": [round(load, 2) for load in os.getloadavg()],
        "commit": _commit(),
        "at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def versions(python: Path, names: tuple[str, ...]) -> dict[str, str]:
    """The versions of distributions in another environment."""
    code = "import importlib.metadata as m, sys; print(*(m.version(n) for n in sys.argv[1:]))"
    printed = subprocess.run([python, "-c", code, *names], capture_output=True, text=True, check=True).stdout
    return dict(zip(names, printed.split(), strict=True))


def own_versions(*names: str) -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in names}


def fsync_ms(scratch: Path, times: int = 200) -> float:
    """The median of a 4 KiB append with fdatasync: what one durable transaction costs at least."""
    took = []
    with tempfile.NamedTemporaryFile(dir=scratch) as file:
        for _ in range(times):
            started = time.perf_counter()
            file.write(b"x" * 4096)
            file.flush()
            os.fdatasync(file.fileno())
            took.append(time.perf_counter() - started)
    return round(statistics.median(took) * 1000, 3)


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    if not path.exists():
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in path.read_text().splitlines() if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _commit() -> str | None:
    if shutil.which("git") is None:
        return None
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    return done.stdout.strip() or None
