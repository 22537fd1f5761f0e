"""Slowing whoever guesses passwords and codes: of one account or annotator, or from one address. Nothing here reads a clock or waits.

The first wrong guesses are free, as people mistype. Each further one makes the next wait twice as long, up to a minute::

    wrong  1 … 5   6    7    8   …  12 on
    wait     0     1 s  2 s  4 s …  60 s

A quarter of an hour without a wrong guess and it is forgotten. A right one forgets what was held against the account, but not
what was held against the address: somebody's own account would otherwise pay for guesses at others'.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Final, Literal, NamedTuple

Kind = Literal["account", "address", "registration", "newcomer", "annotator"]

LONGEST_SECONDS: Final = 60.0
FORGOTTEN_SECONDS: Final = 900.0
FREE: Final[Mapping[Kind, int]] = {
    "account": 5,
    "address": 20,
    "registration": 100,
    "newcomer": 1_000,  # a whole office may come by an invitation from one address
    "annotator": 5,
}
_MOST: Final = 50_000


class Name(NamedTuple):
    """What guesses are held against."""

    kind: Kind
    value: str


@dataclass(slots=True)
class _Record:
    wrong: int
    next_at: float
    last_at: float


class Guesses:
    """What is held against whom. most: names kept; beyond it the ones that were quiet the longest are forgotten."""

    def __init__(self, *, most: int = _MOST) -> None:
        self._records: dict[Name, _Record] = {}
        self._most = most

    def begin(self, names: Sequence[Name], now: float) -> float:
        """Ask to try: seconds to wait, 0 where the try may be made.

        One that may counts as wrong until ``right`` is told, so that many at once are no way around. now: seconds on a clock that
        never goes back.
        """
        wait = max((self._record(name, now).next_at - now for name in names), default=0.0)
        if wait > 0:
            return wait
        for name in names:
            record = self._record(name, now)
            record.wrong += 1
            record.next_at, record.last_at = now + delay_after(record.wrong, FREE[name.kind]), now
            self._records[name] = record
        if len(self._records) > self._most:
            self._make_room()
        return 0.0

    def right(self, names: Sequence[Name]) -> None:
        """The try was right after all."""
        for name in names:
            record = self._records.get(name)
            if record is not None:
                record.wrong -= 1
                record.next_at = record.last_at
            if name.kind == "account":
                self._records.pop(name, None)

    def _record(self, name: Name, now: float) -> _Record:
        known = self._records.get(name)
        return known if known is not None and now - known.last_at < FORGOTTEN_SECONDS else _Record(0, now, now)

    def _make_room(self) -> None:
        newest = sorted(self._records.items(), key=lambda item: item[1].last_at)[-self._most // 2 :]
        self._records = dict(newest)


def delay_after(wrong: int, free: int) -> float:
    """Seconds until the next guess after so many wrong ones, of which so many are free."""
    return 0.0 if wrong <= free else min(LONGEST_SECONDS, 2.0 ** min(wrong - free - 1, 10))


def network_of(address: str) -> str:
    """The address, or of IPv6 the network that one subscriber has at least."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if parsed.version == 4:
        return str(parsed)
    mapped = parsed.ipv4_mapped
    return str(mapped) if mapped is not None else str(ip_network((parsed.packed[:8] + bytes(8), 64)))
