"""Summing up a finished run: the digests of its result lines, read in slices."""

from __future__ import annotations

import hashlib
from typing import Final

from amends.ledger import Ledger, Manifest, ReadBlob, Run, filled_lines

SECTION_LINES: Final = 10_000
_SLICE_LINES: Final = 5_000


class ManifestBuilder:
    """Reads the lines of a run that is done, a slice a step."""

    def __init__(self, run_id: str) -> None:
        self._run_id = run_id
        self._after = -1
        self._lines = 0
        self._whole = hashlib.sha256()
        self._section = hashlib.sha256()
        self._in_section = 0
        self._sections: list[str] = []

    def step(self, ledger: Ledger, read_blob: ReadBlob) -> bool:
        """Take in the next slice; False when there is none left."""
        limit = min(_SLICE_LINES, SECTION_LINES - self._in_section)
        chunk = ledger.results(self._run_id, after=self._after, limit=limit)
        if chunk.last is None:
            return False
        for piece in filled_lines(chunk.lines, read_blob):
            self._whole.update(piece)
            self._section.update(piece)
        self._after = chunk.last
        self._lines += chunk.count
        self._in_section += chunk.count
        if self._in_section >= SECTION_LINES:
            self._end_section()
        return True

    def manifest(self, run: Run) -> Manifest:
        """The sum, after the last step. run: as it stands now, for its counts."""
        if self._in_section:
            self._end_section()
        return Manifest(run.counts, self._lines, self._whole.hexdigest(), tuple(self._sections))

    def _end_section(self) -> None:
        self._sections.append(self._section.hexdigest())
        self._section = hashlib.sha256()
        self._in_section = 0
