"""Which boot of the machine this is: leases on its monotonic clock mean nothing after the next one."""

from __future__ import annotations

import time
from pathlib import Path


def boot_id() -> str:
    """Names this boot of the machine: the monotonic clock starts again with the next one."""
    path = Path("/proc/sys/kernel/random/boot_id")
    return path.read_text().strip() if path.exists() else f"booted-{time.time() - time.monotonic():.0f}"
