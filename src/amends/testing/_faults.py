"""Faults by schedule: what goes wrong at which request or call, the same each time it is played."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, repeat
from typing import Any, Final, Literal, TypeVar

T = TypeVar("T")

FaultKind = Literal["drop", "delay", "error", "cut"]

_ONE_AFTER_THE_OTHER: Final[tuple[FaultKind, ...]] = ("drop", "error", "cut", "delay")


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to one request on its way.

    drop: the connection ends without an answer. delay: it goes on after ``seconds``. error: it is answered with ``status`` and
    never arrives. cut: it arrives, and its answer ends after ``after_bytes``.
    """

    kind: FaultKind
    seconds: float = 0.0
    status: int = 503
    after_bytes: int = 0


def draw_faults(
    seed: int,
    *,
    drop: float = 0.0,
    delay: float = 0.0,
    error: float = 0.0,
    cut: float = 0.0,
    seconds: float = 0.1,
    statuses: Collection[int] = (500, 502, 503),
    after_bytes: int = 1_000,
) -> Iterator[Fault | None]:
    """Yield without end what happens to each request, None for nothing; the same for the same seed.

    drop, delay, error, cut: how likely each is; ValueError where they come to more than 1. seconds: the longest delay.
    after_bytes: the most that comes of an answer that is cut.
    """
    likely = {"drop": drop, "error": error, "cut": cut, "delay": delay}
    if min(likely.values()) < 0 or sum(likely.values()) > 1:
        raise ValueError(f"the likelihoods of faults must be from 0 to 1 together: {likely}")
    return _drawn(random.Random(seed), likely, seconds, tuple(statuses), after_bytes)


def _drawn(
    draws: random.Random, likely: dict[str, float], seconds: float, statuses: tuple[int, ...], after_bytes: int
) -> Iterator[Fault | None]:
    while True:
        # Each number is drawn whether it is used or not, so that another likelihood changes no later fault.
        point, pause, status, length = (
            draws.random(),
            draws.random(),
            draws.choice(statuses),
            draws.randint(0, after_bytes),
        )
        found: Fault | None = None
        for kind in _ONE_AFTER_THE_OTHER:
            if point < likely[kind]:
                found = Fault(kind, pause * seconds, status, length)
                break
            point -= likely[kind]
        yield found


class Schedule:
    """Hands out a schedule's entries one by one, to any number of threads; None when it is over."""

    def __init__(self, entries: Iterable[T | None]) -> None:
        self._entries: Iterator[Any] = chain(entries, repeat(None))
        self._lock = threading.Lock()

    def next(self) -> Any:
        with self._lock:
            return next(self._entries)


@dataclass(frozen=True, slots=True)
class Lost:
    """The call is made, and its caller is told that it failed with ``error``: what an answer that never arrives looks like."""

    error: Exception


Trouble = float | Exception | Lost | None
"""What happens to one call: it waits so many seconds first, fails undone, is done and its answer lost, or nothing."""


class Troubled:
    """Stands for ``target``, a ledger or a store, and troubles calls of its methods by schedule.

    schedule: an entry for each call in turn; nothing happens when it is over. only: the names of the methods that count;
    None counts all. ``calls``: the names of those that counted. sleep: waits.
    """

    def __init__(
        self,
        target: Any,
        schedule: Iterable[Trouble],
        *,
        only: Collection[str] | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._target = target
        self._schedule = Schedule(schedule)
        self._only = only
        self._sleep = sleep
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._target, name)
        if not callable(member) or (self._only is not None and name not in self._only):
            return member
        return self._troubled(name, member)

    def _troubled(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            self.calls.append(name)
            trouble = self._schedule.next()
            if isinstance(trouble, Exception):
                raise trouble
            if isinstance(trouble, float | int):
                self._sleep(trouble)
            answer = method(*args, **options)
            if isinstance(trouble, Lost):
                raise trouble.error
            return answer

        return call
