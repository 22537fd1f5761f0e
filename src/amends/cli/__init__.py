"""The command line: thin calls to the SDK. ``amends --help`` lists the commands."""

from __future__ import annotations

import gc
import sys

__all__ = ["main"]

_YOUNG_OBJECTS = 20_000


def main() -> None:
    """Run the command that the arguments name, and exit with its code."""
    # What is imported stays. Looking through it every 700 objects takes a tenth of the time of a start.
    gc.set_threshold(_YOUNG_OBJECTS)
    from ._app import main as run_command

    sys.exit(run_command())
