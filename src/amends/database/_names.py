"""Public ids and times as they appear on the wire."""

from __future__ import annotations

import secrets
import time
from datetime import UTC, datetime

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base32 in lower case: sorts as its value does
_RANDOM_BITS = 80
_DIGITS = 26


def new_id(prefix: str, *, now: float | None = None) -> str:
    """Return an opaque id such as ``run_01j…``: 48 bits of milliseconds, 80 random bits, sortable by time.

    now: seconds since the epoch; None takes the clock's. Layout as in the ULID specification.
    """
    milliseconds = int((time.time() if now is None else now) * 1000)
    value = (milliseconds << _RANDOM_BITS) | secrets.randbits(_RANDOM_BITS)
    digits = (_ALPHABET[(value >> shift) & 31] for shift in range(5 * (_DIGITS - 1), -1, -5))
    return prefix + "".join(digits)


def rfc3339(epoch_seconds: float) -> str:
    """The time in UTC with milliseconds, as in RFC 3339 section 5.6: ``2026-11-21T11:00:00.123Z``."""
    moment = datetime.fromtimestamp(epoch_seconds, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"
