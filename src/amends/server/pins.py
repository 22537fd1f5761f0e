"""Bytes on their way to being somebody's."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Pins:
    """Hashes of blobs that are being stored but not yet written down as anybody's; a deletion must leave those alone."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()

    @contextmanager
    def pinned(self, sha256: str) -> Iterator[None]:
        """Keep the blob, from before it is stored until what refers to it is durable."""
        with self._lock:
            self._counts[sha256] += 1
        try:
            yield
        finally:
            with self._lock:
                self._counts[sha256] -= 1
                if not self._counts[sha256]:
                    del self._counts[sha256]

    def unless_pinned(self, sha256: str, work: Callable[[], object]) -> None:
        """Do the work, unless somebody pins the blob; nobody can begin to meanwhile."""
        with self._lock:
            if not self._counts[sha256]:
                work()
