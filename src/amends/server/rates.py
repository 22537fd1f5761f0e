"""How often a key may ask: token buckets, one a key and kind of request, each as large as its minute's limit.

A bucket is one number, the moment at which it will be full again::

    full_at ≤ now              the bucket is full, which is why it need not be kept
    full_at = now + 60 s       it is empty

Taking a token moves that moment by ``60 s / limit``; where that would lie more than 60 s ahead, there is none to take.
Nothing here reads a clock or waits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

Kind = Literal["reads", "writes", "uploads", "searches"]

WINDOW_SECONDS: Final = 60.0
_MOST_BUCKETS: Final = 50_000
# Kept as whole nanoseconds: the sum of as many steps as the limit has must not miss the window by a rounding.
_SECOND: Final = 1_000_000_000
_WINDOW: Final = int(WINDOW_SECONDS) * _SECOND

_READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_UPLOADS: Final = frozenset({"/v1/files", "/v1/uploads", "/openai/v1/files"})
_PIECES: Final = "/v1/uploads/"
_SEARCH: Final = "/api/search"


class Verdict(NamedTuple):
    """What became of one request.

    remaining: further requests that would pass now. full_after: seconds until all of the limit is there again.
    retry_after: seconds until one more passes, 0 where this one did.
    """

    limit: int
    remaining: int
    full_after: float
    retry_after: float

    @property
    def is_allowed(self) -> bool:
        return self.retry_after == 0.0


def kind_of(method: str, path: str) -> Kind | None:
    """What a request counts as; None for the pieces of a resumable upload, which counts when it is begun."""
    if method in _READING:
        return "reads"
    if method == "POST":
        if path in _UPLOADS:
            return "uploads"
        if path == _SEARCH:
            return "searches"
    elif method == "PATCH" and path.startswith(_PIECES):
        return None
    return "writes"


class Rates:
    """The buckets of every key. limits: requests a minute by kind, 1 at least.

    most: buckets kept; beyond it those go that are nearest to full, so that a crowd of keys costs leniency and not memory.
    """

    def __init__(self, limits: Mapping[Kind, int], *, most: int = _MOST_BUCKETS) -> None:
        self._steps = {kind: (limit, _WINDOW // limit) for kind, limit in limits.items()}
        self._full_at: dict[tuple[str, Kind], int] = {}
        self._most = most

    def __len__(self) -> int:
        """Buckets that are kept."""
        return len(self._full_at)

    def take(self, key: str, kind: Kind, now: float) -> Verdict:
        """Take a token of the key's if there is one. now: seconds on a clock that never goes back."""
        limit, step = self._steps[kind]
        at = int(now * _SECOND)
        before = max(self._full_at.get((key, kind), at), at)
        room = at + _WINDOW - before
        if room < step:
            return Verdict(limit, 0, (before - at) / _SECOND, (step - room) / _SECOND)
        if len(self._full_at) >= self._most:
            self._make_room(at)
        self._full_at[key, kind] = before + step
        return Verdict(limit, (room - step) // step, (before + step - at) / _SECOND, 0.0)

    def _make_room(self, at: int) -> None:
        kept = sorted((full_at, bucket) for bucket, full_at in self._full_at.items() if full_at > at)
        self._full_at = {bucket: full_at for full_at, bucket in kept[-self._most // 2 :]}
