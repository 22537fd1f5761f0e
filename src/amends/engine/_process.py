"""What worker processes ask of the operating system."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")


def die_with_parent(parent_pid: int) -> None:
    """Be killed when the process that started this one dies, however it dies; at once if it is dead already.

    Linux only (prctl(2), PR_SET_PDEATHSIG; it is the starting *thread* whose end counts). Elsewhere the end of the
    parent's socket has to do.
    """
    if sys.platform == "linux":
        import ctypes  # here: it takes milliseconds that no other process of the engine has to spend

        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:
        os.kill(os.getpid(), signal.SIGKILL)


def resident_bytes(pid: int) -> int | None:
    """The memory a process has in RAM; None where the system does not tell (no /proc) or the process is gone."""
    try:
        pages = Path(f"/proc/{pid}/statm").read_bytes().split()[1]
    except (OSError, IndexError):
        return None
    return int(pages) * _PAGE_BYTES
