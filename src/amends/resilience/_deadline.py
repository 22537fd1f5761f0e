"""A point in time past which nothing is worth doing."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment ``at`` on a monotonic clock, in seconds; whoever asks hands in that clock's ``now``.

    Where there is none, callers hold None instead of one of these.
    """

    at: float

    @classmethod
    def after(cls, seconds: float, now: float) -> Deadline:
        """Make the one ``seconds`` from ``now``."""
        return cls(now + seconds)

    def remaining(self, now: float) -> float:
        """Return the seconds left, 0 once it has passed."""
        return max(0.0, self.at - now)

    def expired(self, now: float) -> bool:
        """Whether no time is left."""
        return now >= self.at

    def allows(self, pause_seconds: float, now: float) -> bool:
        """Whether some time is left after a pause that begins now."""
        return now + pause_seconds < self.at
