"""Time and chance of a simulation: a queue of things to happen, two clocks, one source of randomness."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from random import Random

START_OF_TIME = 1_800_000_000.0


class World:
    """Runs one event after the other and moves the clocks to its time.

    ``monotonic`` never jumps; ``clock`` is the wall clock, which ``jump`` sets forwards or back.
    """

    def __init__(self, seed: int) -> None:
        self.chance = Random(seed)
        self._now = 0.0
        self._wall_offset = START_OF_TIME
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._planned = 0

    def monotonic(self) -> float:
        return self._now

    def clock(self) -> float:
        return self._now + self._wall_offset

    def jump(self, seconds: float) -> None:
        self._wall_offset += seconds

    def after(self, seconds: float, event: Callable[[], None]) -> None:
        """Plan an event; those of the same time happen in the order of planning."""
        self.at(self._now + seconds, event)

    def at(self, time: float, event: Callable[[], None]) -> None:
        self._planned += 1
        heapq.heappush(self._events, (max(time, self._now), self._planned, event))

    def step(self) -> bool:
        """Let the next event happen; False when nothing is planned."""
        if not self._events:
            return False
        self._now, _, event = heapq.heappop(self._events)
        event()
        return True

    def happens(self, probability: float) -> bool:
        return self.chance.random() < probability


class Line:
    """One direction of a connection: messages arrive late, but in order."""

    def __init__(self, world: World, deliver: Callable[[object], None]) -> None:
        self._world = world
        self._deliver = deliver
        self._free_at = 0.0
        self.is_cut = False

    def send(self, message: object, delay: float) -> None:
        self._free_at = max(self._free_at, self._world.monotonic() + delay)
        self._world.at(self._free_at, lambda: None if self.is_cut else self._deliver(message))
