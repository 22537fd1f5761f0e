"""How long to wait before the next try."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal

Draw = Callable[[], float]
"""Yields a float in [0, 1)."""

Jitter = Literal["none", "full", "equal", "decorrelated", "proportional"]

# 2.0 ** 1023 is the largest power of two that a float holds; the product may be infinite, which min() mends.
_MAX_DOUBLINGS: Final = 1023


def backoff(
    attempt: int,
    *,
    base_seconds: float,
    cap_seconds: float,
    draw: Draw,
    jitter: Jitter = "full",
    previous_seconds: float | None = None,
    spread: float = 0.25,
) -> float:
    """Return the seconds to wait before try ``attempt + 1``.

    attempt: tries already made, from 1; ValueError below. With ``d = min(cap, base * 2**(attempt - 1))``, which
    saturates at the cap however many tries there were:

    - none: d, for tests and where nobody else waits
    - full: between 0 and d
    - equal: between d / 2 and d
    - proportional: d ± ``spread`` × d, so a capped wait may pass the cap by that fraction
    - decorrelated: between base and three times ``previous_seconds`` (None: the base), at most the cap

    Source: AWS Architecture Blog, "Exponential Backoff And Jitter" (2015); proportional: our SDK's contract.
    """
    if attempt < 1:
        raise ValueError(f"attempt counts from 1, not {attempt}")
    if jitter == "decorrelated":
        previous = base_seconds if previous_seconds is None else previous_seconds
        return min(cap_seconds, base_seconds + draw() * max(0.0, 3 * previous - base_seconds))
    delay = min(cap_seconds, base_seconds * 2.0 ** min(attempt - 1, _MAX_DOUBLINGS))
    if jitter == "none":
        return delay
    if jitter == "full":
        return draw() * delay
    if jitter == "equal":
        return delay / 2 + draw() * delay / 2
    return delay * (1 - spread + draw() * 2 * spread)
