"""Rate limits on requests, told in two families of headers on every answer.

``X-RateLimit-*`` is what most clients read; ``RateLimit-Policy`` and ``RateLimit`` are draft-ietf-httpapi-ratelimit-headers-11.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Final

from amends.problems import ProblemError, rate_limited
from amends.server.auth import Caller
from amends.server.rates import WINDOW_SECONDS, Kind, Rates, Verdict, kind_of
from amends.server.settings import LimitSettings

FIELDS: Final = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "RateLimit-Policy", "RateLimit")


Headers = Sequence[tuple[bytes, bytes]]


class Throttle:
    """Refuses what is beyond the caller's limit, and says how much is left."""

    def __init__(
        self,
        limits: LimitSettings,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._rates = Rates(rates_of(limits))
        self._monotonic = monotonic
        self._now = now

    def admit(self, caller: Caller, method: str, path: str) -> tuple[Headers, ProblemError | None]:
        """Count a request: the headers of its answer, and the error to be raised where it is one too many.

        Whoever came through the local socket is not limited.
        """
        return ((), None) if caller.is_local else self._take(caller.key_id or caller.principal, method, path)

    def admit_guest(self, name: str, method: str, path: str) -> tuple[Headers, ProblemError | None]:
        """The same for somebody without key or account."""
        return self._take(name, method, path)

    def _take(self, whose: str, method: str, path: str) -> tuple[Headers, ProblemError | None]:
        kind = kind_of(method, path)
        if kind is None:
            return (), None
        verdict = self._rates.take(whose, kind, self._monotonic())
        told = fields(kind, verdict, self._now())
        if verdict.is_allowed:
            return told, None
        return told, ProblemError(rate_limited(verdict.retry_after, policy=kind, limit=verdict.limit))


def rates_of(limits: LimitSettings) -> dict[Kind, int]:
    """Requests a minute by kind."""
    return {
        "reads": limits.reads_per_minute,
        "writes": limits.writes_per_minute,
        "uploads": limits.uploads_per_minute,
        "searches": limits.searches_per_minute,
    }


def fields(kind: Kind, verdict: Verdict, now: float) -> list[tuple[bytes, bytes]]:
    """The headers that tell a verdict. now: wall time."""
    limit, remaining, full_after, _ = verdict
    return [
        (b"x-ratelimit-limit", b"%d" % limit),
        (b"x-ratelimit-remaining", b"%d" % remaining),
        (b"x-ratelimit-reset", b"%d" % math.ceil(now + full_after)),
        (b"ratelimit-policy", b'"%b";q=%d;w=%d' % (kind.encode(), limit, WINDOW_SECONDS)),
        (b"ratelimit", b'"%b";r=%d;t=%d' % (kind.encode(), remaining, math.ceil(full_after))),
    ]
