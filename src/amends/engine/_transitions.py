"""The life of a run: which state may follow which, and why.

The ledgers enforce it with conditional updates; a test compares what they allow with this table, and the picture in the
docs is drawn from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from amends.ledger import RunState

TRANSITIONS: Final[Mapping[RunState, Mapping[RunState, str]]] = MappingProxyType(
    {
        "receiving": {"validating": "sealed", "in_progress": "sealed, nothing to validate"},
        "validating": {
            "in_progress": "valid enough",
            "cancelling": "cancelled",
            "finalizing": "strict validation failed, or the deadline passed",
        },
        "in_progress": {
            "finalizing": "every item has an outcome, the tolerance is exceeded, or the deadline passed",
            "cancelling": "cancelled",
        },
        "cancelling": {"cancelled": "nothing left"},
        "finalizing": {"completed": "nothing left", "failed": "nothing left", "expired": "nothing left"},
        "completed": {},
        "failed": {},
        "cancelled": {},
        "expired": {},
    }
)
"""state → the states that may follow it, each with what brings it about. ``paused`` is no state: a run in progress waits."""


def may_follow(state: RunState, wanted: RunState) -> bool:
    """Whether a run in ``state`` may go to ``wanted``."""
    return wanted in TRANSITIONS[state]


def mermaid() -> str:
    """The table as a Mermaid state diagram."""
    lines = ["stateDiagram-v2", "    [*] --> receiving"]
    for state, followers in TRANSITIONS.items():
        lines += [f"    {state} --> {follower}: {reason}" for follower, reason in followers.items()]
        if not followers:
            lines.append(f"    {state} --> [*]")
    return "\n".join(lines) + "\n"
