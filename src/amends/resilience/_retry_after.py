"""Reading ``Retry-After`` (RFC 9110, section 10.2.3): seconds, or a date in any of the three forms of 5.6.7."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

MAX_SECONDS: Final = 366 * 86_400.0
"""What a longer wait is read as, so that sums with it stay sane."""

_MAX_CHARS: Final = 100

_SECONDS: Final = re.compile(r"[0-9]+(\.[0-9]*)?|\.[0-9]+")
_CLOCK: Final = r"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})"
_ZONE: Final = r"(?:GMT|UTC|\+0000)"  # only GMT is right; the others mean the same and are seen
_DATES: Final = tuple(
    re.compile(form, re.IGNORECASE)
    for form in (
        rf"[a-z]{{3}}, (?P<day>[0-9]{{1,2}}) (?P<month>[a-z]{{3}}) (?P<year>[0-9]{{4}}) {_CLOCK} {_ZONE}",
        rf"[a-z]{{6,9}}, (?P<day>[0-9]{{2}})-(?P<month>[a-z]{{3}})-(?P<year>[0-9]{{2}}) {_CLOCK} {_ZONE}",
        rf"[a-z]{{3}} (?P<month>[a-z]{{3}}) (?P<day>[ 0-9][0-9]) {_CLOCK} (?P<year>[0-9]{{4}})",
    )
)
_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


def parse_retry_after(value: str, now_epoch: float) -> float | None:
    """Return the seconds to wait from ``now_epoch`` (Unix time) on, between 0 and ``MAX_SECONDS``.

    A date gone by is 0. None for anything that is neither: negative, signed, garbage, a date that does not exist.
    Decimal seconds are not of the standard, but are sent.
    """
    text = value.strip(" \t")
    if len(text) > _MAX_CHARS:
        return None
    if _SECONDS.fullmatch(text):
        return min(MAX_SECONDS, float(text))
    for form in _DATES:
        if match := form.fullmatch(text):
            at = _epoch(match, now_epoch)
            return None if at is None else min(MAX_SECONDS, max(0.0, at - now_epoch))
    return None


def _epoch(match: re.Match[str], now_epoch: float) -> float | None:
    month = match["month"].lower()
    if month not in _MONTHS:
        return None
    year = int(match["year"])
    if len(match["year"]) == 2:
        year = _full_year(year, datetime.fromtimestamp(now_epoch, UTC).year)
    second = min(int(match["second"]), 59) if match["second"] <= "60" else 60  # 60 is a leap second; 61 is none
    try:
        at = datetime(
            year, _MONTHS.index(month) + 1, int(match["day"]), int(match["hour"]), int(match["minute"]), second,
            tzinfo=UTC,
        )  # fmt: skip
    except ValueError:
        return None
    return at.timestamp()


def _full_year(two_digits: int, this_year: int) -> int:
    """Return the latest year with these digits that is at most 50 years ahead (RFC 9110, 5.6.7)."""
    limit = this_year + 50
    return limit - (limit - two_digits) % 100
