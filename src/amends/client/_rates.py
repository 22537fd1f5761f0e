"""What answers tell of the key's limits."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

# draft-ietf-httpapi-ratelimit-headers-11; of several policies the first is the nearest.
_STATE: Final = re.compile(r'\s*"([^"]{1,64})"((?:\s*;\s*[a-z][a-z0-9_*.-]*(?:=[^;,]*)?)*)')
_PARAMETER: Final = re.compile(r";\s*([a-z][a-z0-9_*.-]*)=(\d{1,15})\s*(?=;|$)")


@dataclass(frozen=True, slots=True)
class RateLimit:
    """How much of a limit is left. policy: which it is. limit: requests a minute, None where the answer does not say.

    reset_seconds: until all of it is there again, None where the answer does not say.
    """

    policy: str
    limit: int | None
    remaining: int
    reset_seconds: int | None


def rate_limit(headers: Mapping[str, str]) -> RateLimit | None:
    """What an answer tells, None where it tells nothing that can be read."""
    state = _STATE.match(headers.get("ratelimit", ""))
    if state is None:
        return None
    told = {name: int(number) for name, number in _PARAMETER.findall(state[2])}
    if "r" not in told:
        return None
    limit = headers.get("x-ratelimit-limit", "").strip()
    is_number = limit.isascii() and limit.isdigit() and len(limit) <= 15
    return RateLimit(state[1], int(limit) if is_number else None, told["r"], told.get("t"))
