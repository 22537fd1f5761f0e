"""Fetching what datapoints name by URL, one URL an item.

The owner's process imports only this module.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from amends.engine.processor import Job, Needs, Session, Surroundings
from amends.problems import Problem

__all__ = ["FetchProcessor"]

_AT_ONCE = 16
_LOOKING_SECONDS = 60.0
"""What looking at a file may take once it is here."""


class FetchProcessor:
    """The processor of kind ``fetch``. An item is ``{"url": …}``; its output says what was stored: sha256, media_type, bytes,
    width, height, filename."""

    kind = "fetch"

    def validate(self, job: Job, payload: Mapping[str, Any]) -> Problem | None:
        """Nothing: what is there, only fetching it tells."""
        return None

    def needs(self, job: Job) -> Needs:
        """Many at once, since each mostly waits."""
        seconds = float(job.settings.get("fetch", {}).get("total_seconds", 60.0))
        return Needs(batch_size=_AT_ONCE, item_timeout_seconds=seconds + _LOOKING_SECONDS)

    def open(self, surroundings: Surroundings) -> Session:
        """Return a session that fetches some items at a time."""
        from ._session import FetchSession

        return FetchSession(surroundings)
