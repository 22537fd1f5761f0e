"""Choosing the format of a result stream by ``Accept`` (RFC 9110, section 12.5.1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from amends.problems import ProblemError, problem

ResultFormat = Literal["ndjson", "csv", "parquet"]

_FORMATS: Final[tuple[tuple[str, ResultFormat], ...]] = (
    ("application/x-ndjson", "ndjson"),
    ("application/ndjson", "ndjson"),
    ("application/jsonl", "ndjson"),
    ("application/json", "ndjson"),
    ("text/csv", "csv"),
    ("application/vnd.apache.parquet", "parquet"),
)


def result_format(accept: str | None) -> ResultFormat:
    """The format that ``Accept`` prefers, NDJSON where it leaves the choice; ProblemError not_acceptable if it names none.

    Among ranges of the same quality the one written first wins.
    """
    chosen = preferred(accept, [media_type for media_type, _ in _FORMATS])
    if chosen is None:
        raise ProblemError(problem("not_acceptable"))
    return dict(_FORMATS)[chosen]


def preferred(accept: str | None, media_types: Sequence[str]) -> str | None:
    """That of the media types which ``Accept`` prefers, the first where it leaves the choice; None if it names none."""
    ranges = sorted(_ranges(accept or "*/*"), key=lambda pair: -pair[1])
    for media_range, quality in ranges:
        chosen = _matching(media_range, media_types)
        if chosen is not None and quality > 0:
            return chosen
    return None


def _ranges(accept: str) -> list[tuple[str, float]]:
    found = []
    for part in accept.split(","):
        media_range, *parameters = (piece.strip().lower() for piece in part.split(";"))
        quality = next((value[2:] for value in parameters if value.startswith("q=")), "1")
        if media_range:
            found.append((media_range, _quality(quality)))
    return found or [("*/*", 1.0)]


def _quality(text: str) -> float:
    try:
        return min(1.0, max(0.0, float(text)))
    except ValueError:
        return 0.0


def _matching(media_range: str, media_types: Sequence[str]) -> str | None:
    for media_type in media_types:
        kind = media_type.partition("/")[0]
        if media_range in ("*/*", f"{kind}/*", media_type):
            return media_type
    return None
