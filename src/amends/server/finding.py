"""What a path names, or the problem that there is no such thing."""

from __future__ import annotations

from typing import TypeVar

from amends.problems import ProblemError, not_found

T = TypeVar("T")


def existing(found: T | None, kind: str, id: str) -> T:
    """Return what was found; ProblemError resource_not_found where that is nothing."""
    if found is None:
        raise ProblemError(not_found(kind, id))
    return found
