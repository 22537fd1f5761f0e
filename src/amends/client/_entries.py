"""What a journal holds, as values."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

_IDS_A_ROW: Final = 10_000


@dataclass(frozen=True, slots=True)
class Entry:
    """A call as the journal knows it. answer: what the server said, None where that is not known."""

    fingerprint: bytes
    ordinal: int
    key: str
    answer: bytes | None


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """A line of a journal, for people.

    content: SHA-256 of what was sent. ordinal: how many equal calls came before. received, total: bytes of an upload, None of
    anything else. resource_id: what was made. finished_at: None while it is under way.
    """

    call: str
    content: str
    key: str
    ordinal: int
    received: int | None
    total: int | None
    resource_id: str | None
    begun_at: datetime
    finished_at: datetime | None


class SentIds:
    """The custom_ids of a batch as they are sent, compressed as they come."""

    def __init__(self) -> None:
        self._rows: list[bytes] = []
        self._open: list[str] = []

    def add(self, custom_id: str) -> None:
        self._open.append(custom_id)
        if len(self._open) == _IDS_A_ROW:
            self._pack()

    def rows(self) -> Sequence[bytes]:
        """All of them, some thousands a row."""
        if self._open:
            self._pack()
        return self._rows

    def _pack(self) -> None:
        self._rows.append(zlib.compress(json.dumps(self._open).encode(), 3))
        self._open = []
