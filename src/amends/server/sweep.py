"""Deleting the blobs that nobody points to any more: of files, datasets and runs that are gone, and of work that was interrupted.

Whoever refers to a blob stores its bytes first and writes the reference down afterwards; between the two nobody points to it::

    store (its time is now) ──► reference durable
      └─ seconds in a worker's child, any time in a receiving run or an upload, which pin it

So a blob goes only if it is older than an age, unpinned, and without a reference at two looks that lie further apart than any
report of a worker takes, and was not stored again in between. The second look counts time on the monotonic clock: a laptop that
slept, or a clock that was set, makes a blob old at once, but not the report that was under way. What is stored while its old copy
is being deleted stays, see ``amends.blobs``. Dying at any moment loses nothing but the memory of the first look.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from amends.blobs import StoredBlob
from amends.server.keeping import in_use
from amends.server.services import Services

_FOLDERS: Final = 8
_ASKED_AT_ONCE: Final = 1_000
_REMEMBERED: Final = 500
"""Of each of 256 folders; what is more has its turn later."""


@dataclass(frozen=True, slots=True)
class _Look:
    """What was found unused in a folder, and when (monotonic). A blob stored again since is another one."""

    at: float
    unused: frozenset[StoredBlob]


class BlobSweep:
    """Looks at a few folders a step, round after round.

    age_seconds: since a blob was last stored. settle_seconds: between the two looks; longer than a worker's report may take.
    """

    def __init__(
        self,
        services: Services,
        *,
        age_seconds: float,
        settle_seconds: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._services = services
        self._age_seconds = age_seconds
        self._settle_seconds = settle_seconds
        self._monotonic = monotonic
        self._looks: dict[str, _Look] = {}
        self._last = ""

    def step(self, folders: int = _FOLDERS) -> int:
        """Look at the next so many folders; the number of blobs deleted."""
        names = self._services.blobs.folders()
        if not names:
            return 0
        after = [name for name in names if name > self._last]
        turn = [*after, *names][: min(folders, len(names))]
        self._last = turn[-1]
        return sum(self._look_into(name) for name in turn)

    def _look_into(self, folder: str) -> int:
        now, before = self._monotonic(), self._looks.get(folder)
        if before is not None and now < before.at + self._settle_seconds:
            return 0
        unused = set(self._unused(folder))
        gone = {blob for blob in unused if before is not None and blob in before.unused and self._delete(blob)}
        self._looks[folder] = _Look(now, frozenset(islice(unused - gone, _REMEMBERED)))
        return len(gone)

    def _unused(self, folder: str) -> Iterator[StoredBlob]:
        stored_before = (self._services.now() - self._age_seconds) * 1e9
        old = (blob for blob in self._services.blobs.stored(folder) if blob.stored_ns < stored_before)
        while some := list(islice(old, _ASKED_AT_ONCE)):
            used = in_use(self._services, [blob.sha256 for blob in some])
            yield from (blob for blob in some if blob.sha256 not in used)

    def _delete(self, blob: StoredBlob) -> bool:
        """Asked once more where nobody can pin it: what was pinned until a moment ago has its reference now."""
        deleted: list[bool] = []

        def delete() -> None:
            if not in_use(self._services, [blob.sha256]):
                deleted.append(self._services.blobs.delete_unchanged(blob))

        self._services.pins.unless_pinned(blob.sha256, delete)
        return any(deleted)
