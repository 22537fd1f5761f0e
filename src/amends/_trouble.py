"""What goes wrong again and again, in the log."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, Final

from amends.problems import ProblemError

_QUIET_SECONDS: Final = 60.0


class Trouble:
    """Notes what a loop met, which then tries again.

    A problem of the catalogue, such as a database that is away, is a line with its reason, and while it lasts another one a minute.
    Anything else is a fault of ours: each comes with its traceback.
    """

    def __init__(self, log: logging.Logger, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._monotonic = monotonic
        self._quiet_until: dict[tuple[str, str], float] = {}

    def note(self, event: str, error: Exception, **fields: Any) -> None:
        """Log it, if it is not known from just now."""
        if not isinstance(error, ProblemError) or error.problem.slug == "internal_server_error":
            self._log.error(event, exc_info=error, extra=fields)
            return
        now, key = self._monotonic(), (event, error.problem.slug)
        if now >= self._quiet_until.get(key, now):
            self._quiet_until[key] = now + _QUIET_SECONDS
            self._log.error(event, extra={**fields, "problem": error.problem.slug, "reason": _reason(error)})


def _reason(error: ProblemError) -> str:
    """What the driver said of it, where that is known: more than a client is told."""
    said = error.log_detail or str(error.__cause__ or "").strip() or error.problem.detail
    return said.partition("\n")[0]
