"""The command line: thin calls to the SDK. ``amends --help`` lists the commands."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command that the arguments name, and exit with its code."""
    from ._app import main as run_command

    sys.exit(run_command())
