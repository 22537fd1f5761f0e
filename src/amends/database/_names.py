"""Public ids and times as they appear on the wire."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base32 in lower case: sorts as its value does
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]
_RANDOM_BYTES = 10
_SHIFTS = range(120, -1, -10)  # of the pairs of digits in 130 bits
_DRAWS_AT_ONCE = 256

# Drawn ahead: where asking the kernel is slow it costs as much as a tenth of a request. A forked child draws its own.
_draws: list[int] = []
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_draws.clear)


def new_id(prefix: str, *, now: float | None = None) -> str:
    """Return an opaque id such as ``run_01j…``: 48 bits of milliseconds, 80 random bits, sortable by time.

    now: seconds since the epoch; None takes the clock's. Layout as in the ULID specification.
    """
    milliseconds = int((time.time() if now is None else now) * 1000)
    value = milliseconds << 8 * _RANDOM_BYTES | _draw()
    return prefix + "".join([_PAIRS[value >> shift & 1023] for shift in _SHIFTS])


def _draw() -> int:
    """Random bits that nobody has had; from any thread."""
    try:
        return _draws.pop()
    except IndexError:
        drawn = os.urandom(_RANDOM_BYTES * _DRAWS_AT_ONCE)
        own, *others = [int.from_bytes(drawn[at : at + _RANDOM_BYTES]) for at in range(0, len(drawn), _RANDOM_BYTES)]
        _draws.extend(others)
        return own


def rfc3339(epoch_seconds: float) -> str:
    """The time in UTC with milliseconds, as in RFC 3339 section 5.6: ``2026-11-21T11:00:00.123Z``."""
    moment = datetime.fromtimestamp(epoch_seconds, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"
