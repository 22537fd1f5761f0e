"""The items of one lease on their way: waiting, in the child's hands, answered but not yet reported."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

import msgspec

from amends.engine._composer import death, ended, failed_attempt, is_set_aside, stopped, with_death
from amends.engine._wire import NO_OUTCOMES, Begin, Leased, Results, raw
from amends.ledger import Deferral, FailedAttempt, LeasedItem, Outcome, ResultLines, unpack_items

_SUSPECT: Final = re.compile(rb"\d+\t\d+\t[1-9]")
_LATER_SUSPECT: Final = re.compile(rb"\n" + _SUSPECT.pattern)
"""A pattern that begins with one certain byte is searched for seven times as fast."""


@dataclass(slots=True)
class Unreported:
    """What the next report will say. since: when the oldest of it came, None while there is nothing."""

    batches: list[msgspec.Raw] = field(default_factory=list)
    deferred: list[Deferral] = field(default_factory=list)
    attempts: list[FailedAttempt] = field(default_factory=list)
    deaths: list[int] = field(default_factory=list)
    items: int = 0
    size: int = 0
    since: float | None = None

    def add(self, results: Results, now: float) -> None:
        if results.outcomes != NO_OUTCOMES:
            self.batches.append(results.outcomes)
            self.size += len(memoryview(results.outcomes))
        self.deferred += results.deferred
        self.attempts += results.attempts
        self.items += len(results.seqs)
        self.touch(now)

    def end(self, outcome: Outcome, now: float) -> None:
        self.batches.append(raw([outcome]))
        self.items += 1
        self.touch(now)

    def touch(self, now: float) -> None:
        if self.since is None:
            self.since = now


@dataclass(slots=True)
class Handed:
    """A chunk in the child's hands. since: when it came there; for calls, whose chunks are all in flight."""

    no: int
    lines: list[bytes]
    is_alone: bool
    since: float = 0.0
    answered: set[int] = field(default_factory=set)

    def unanswered(self) -> list[bytes]:
        return [line for line in self.lines if int(line[: line.index(b"\t")]) not in self.answered]


class Work:
    """A lease being worked on.

    Suspects, which were in flight at a death, and every item of an ``alone`` lease are handed singly, before the others.
    """

    def __init__(self, leased: Leased, begin: Begin, now: float) -> None:
        self.leased = leased
        self.begin = begin
        self.started_at = now
        self.renewed_at = now
        self.is_stopping = False
        self.is_reporting = False
        self.has_deaths_under_way = False
        self.in_hand: deque[Handed] = deque()
        self.unreported = Unreported()
        packed = leased.packed
        lines = packed.split(b"\n") if packed else []
        self.count = len(lines)
        self._alone: deque[bytes] = deque()
        if leased.alone:
            self._alone.extend(lines)
            lines = []
        elif _SUSPECT.match(packed) or _LATER_SUSPECT.search(packed):
            self._alone.extend(line for line in lines if _SUSPECT.match(line))
            lines = [line for line in lines if not _SUSPECT.match(line)]
        self._plain = lines
        self._next = 0

    @property
    def lease_id(self) -> str:
        return self.leased.lease_id

    @property
    def run_id(self) -> str:
        return self.begin.run_id

    @property
    def makes_calls(self) -> bool:
        """Whether its items are calls, of which many are in flight at a time."""
        return bool(self.begin.upstream)

    @property
    def unanswered(self) -> int:
        """Items in the child's hands."""
        return sum(len(handed.lines) - len(handed.answered) for handed in self.in_hand)

    @property
    def is_alone_in_hand(self) -> bool:
        return any(handed.is_alone for handed in self.in_hand)

    @property
    def is_aside(self) -> bool:
        """Whether only calls under way are left of it."""
        return self.makes_calls and bool(self.in_hand) and not self.is_waiting

    @property
    def waits_alone(self) -> bool:
        """Whether what is handed next is to run by itself."""
        return bool(self._alone)

    @property
    def is_waiting(self) -> bool:
        """Whether items wait to be handed."""
        return bool(self._alone) or self._next < len(self._plain)

    def take(self, no: int, items: int, now: float = 0.0) -> Handed:
        """The next chunk: a suspect by itself, else up to so many items."""
        if self._alone:
            handed = Handed(no, [self._alone.popleft()], is_alone=True, since=now)
        else:
            handed = Handed(no, self._plain[self._next : self._next + items], is_alone=False, since=now)
            self._next += len(handed.lines)
        self.in_hand.append(handed)
        return handed

    def answer(self, results: Results, now: float) -> bool:
        """Note results; False when they belong to no chunk in hand: that work was thrown away."""
        handed = next((handed for handed in self.in_hand if handed.no == results.chunk_no), None)
        if handed is None:
            return False
        handed.answered.update(results.seqs)
        if results.seqs:
            self.unreported.add(results, now)
        if results.is_last:
            self.in_hand.remove(handed)
        return True

    def drop_in_hand(self) -> None:
        """Nobody works on what was handed any more; the final report returns it."""
        self.in_hand.clear()

    def note_stopped(self, now: float, clock: Callable[[], float]) -> None:
        """The run ends without what is in hand. Of calls that is kept on record, since a provider may bill them."""
        if not (self.makes_calls and self.in_hand):
            return
        lines = ResultLines(self.run_id, self.begin.request_id, self.begin.public_url)
        for item in unpack_items(b"\n".join(line for handed in self.in_hand for line in handed.unanswered())):
            tries = item.attempts + item.deaths + 1
            self.unreported.attempts.append(failed_attempt(lines, item, tries, clock(), stopped()))
        self.unreported.touch(now)

    def take_back(self) -> None:
        """The child ended through no fault of what was in its hands: it waits again."""
        for handed in reversed(self.in_hand):
            if handed.is_alone:
                self._alone.extendleft(reversed(handed.unanswered()))
            else:
                self._plain[self._next : self._next] = handed.unanswered()
        self.in_hand.clear()

    def note_death(self, error_code: str, now: float, clock: Callable[[], float]) -> None:
        """The child died: what it had begun becomes suspect or, at the last death, is set aside; the rest waits again."""
        begun = list(self.in_hand) if self.makes_calls else [self.in_hand[0]]
        for _ in begun:
            self.in_hand.popleft()
        self.take_back()
        lines = ResultLines(self.run_id, self.begin.request_id, self.begin.public_url)
        suspects = [line for handed in begun for line in handed.unanswered()]
        for item, line in _with_deaths(suspects):
            cause = death(error_code, item.deaths)
            tries = item.attempts + item.deaths
            self.unreported.deaths.append(item.seq)
            if is_set_aside(item.deaths):
                self.unreported.end(ended(lines, item, cause, tries), now)
                continue
            self._alone.append(line)
            if len(suspects) == 1:  # among several nobody knows whose death it was
                self.unreported.attempts.append(failed_attempt(lines, item, tries, clock(), cause))
        self.unreported.touch(now)


def _with_deaths(lines: list[bytes]) -> Iterator[tuple[LeasedItem, bytes]]:
    for line in map(with_death, lines):
        (item,) = unpack_items(line)
        yield item, line
