"""Rate limits on requests, told in two families of headers on every answer.

``X-RateLimit-*`` is what most clients read; ``RateLimit-Policy`` and ``RateLimit`` are draft-ietf-httpapi-ratelimit-headers-11.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from amends.problems import ProblemError, rate_limited
from amends.server.auth import Caller
from amends.server.rates import WINDOW_SECONDS, Kind, Rates, Verdict, kind_of
from amends.server.settings import LimitSettings

FIELDS: Final = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "RateLimit-Policy", "RateLimit")


class Throttle:
    """ASGI middleware behind the authentication: refuses what is beyond the caller's limit, and says how much is left.

    Whoever came through the local socket is not limited. The headers go into the state of the request, since answers to what
    fails are composed further out.
    """

    def __init__(
        self,
        app: ASGIApp,
        limits: LimitSettings,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.app = app
        self._rates = Rates(rates_of(limits))
        self._monotonic = monotonic
        self._now = now

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller: Caller | None = scope["state"].get("caller") if scope["type"] == "http" else None
        if caller is not None and not caller.is_local:
            kind = kind_of(scope["method"], scope["path"])
            if kind is not None:
                verdict = self._rates.take(caller.key_id or caller.principal, kind, self._monotonic())
                scope["state"]["headers"] = fields(kind, verdict, self._now())
                if not verdict.is_allowed:
                    raise ProblemError(rate_limited(verdict.retry_after, policy=kind, limit=verdict.limit))
        await self.app(scope, receive, send)


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
