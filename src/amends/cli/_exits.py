"""Exit codes, and which exception ends with which: the one place that knows.

    0    every item succeeded, or the command did what it says
    1    local failure: port in use, data directory locked or of a newer version, disk full, a missing extra
    2    bad usage: unknown flag, no such folder, a schema that is none
    3    ended, and not every item succeeded
    4    refused by the server
    5    the server could not be reached
    130  interrupted, and resumable

3 and 4 come from the catalogue (``amends.problems.exit_code``), so that a new row there needs nothing here.
"""

from __future__ import annotations

from typing import Final

from amends.exceptions import AmendsError, ApiError, ConfigurationError, NetworkError, PollTimeoutError
from amends.problems import ProblemError, exit_code

SUCCEEDED: Final = 0
LOCAL_FAILURE: Final = 1
BAD_USAGE: Final = 2
ITEMS_FAILED: Final = 3
REFUSED: Final = 4
UNREACHABLE: Final = 5
INTERRUPTED: Final = 130


class CommandError(Exception):
    """Ends a command with one line on stderr and ``code``."""

    code: int = LOCAL_FAILURE


class LocalFailure(CommandError):
    """Something on this machine stands in the way."""


class BadUsage(CommandError):
    """What was asked for cannot be meant; nothing was done."""

    code = BAD_USAGE


def code_of(error: BaseException) -> int:
    """The exit code that an exception ends with."""
    match error:
        case KeyboardInterrupt():
            return INTERRUPTED
        case CommandError():
            return error.code
        case ApiError():
            return exit_code(error.problem.slug, where="E")
        case ConfigurationError():
            return BAD_USAGE
        case NetworkError() | PollTimeoutError():
            return UNREACHABLE
        case AmendsError() | ProblemError() | OSError():
            return LOCAL_FAILURE
        case _:
            return LOCAL_FAILURE


def line_of(error: BaseException) -> str:
    """The one line that tells a person what happened and what to do."""
    if isinstance(error, ProblemError):
        found = error.problem
        text = f"{found.detail} {found.remedy.hint}"
    elif isinstance(error, OSError) and error.strerror:
        text = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    else:
        text = str(error) or type(error).__name__
    return " ".join(text.split())
