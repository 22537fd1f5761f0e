"""When a message to a webhook is tried again, and when a webhook is given up. Nothing here reads a clock or waits."""

from __future__ import annotations

from typing import Final

from amends.resilience import Draw

_MINUTE: Final = 60.0
_HOUR: Final = 3_600.0
PAUSES: Final = (5.0, 5 * _MINUTE, 30 * _MINUTE, 2 * _HOUR, 5 * _HOUR, 10 * _HOUR, 14 * _HOUR, 20 * _HOUR, 24 * _HOUR)
"""Between the tries, as the Standard Webhooks specification has them: ten tries in three days."""
_JITTER: Final = 0.1
_LONGEST_ASKED: Final = 24 * _HOUR
_DAY: Final = 86_400.0
GONE: Final = 410


def is_taken(status: int | None) -> bool:
    """Whether the answer says that the message has arrived."""
    return status is not None and 200 <= status < 300


def next_try(tries: int, now: float, draw: Draw, retry_after: float | None = None) -> float | None:
    """When a message is tried again that failed ``tries`` times; None: never, it is dead.

    retry_after: seconds that the answer asked to wait, which makes the pause longer and not shorter. Up to a tenth is drawn on
    top, so that what failed together does not come back together.
    """
    if tries > len(PAUSES):
        return None
    pause = PAUSES[tries - 1] * (1 + _JITTER * draw())
    return now + max(pause, min(retry_after or 0.0, _LONGEST_ASKED))


def reason_to_disable(status: int | None, failing_since: float | None, now: float, failing_days: float) -> str | None:
    """Why a webhook is told nothing any more after this failure; None where it is."""
    if status == GONE:
        return "It answered 410 Gone."
    if failing_since is not None and now - failing_since >= failing_days * _DAY:
        return f"Nothing has reached it for {failing_days:g} days."
    return None
