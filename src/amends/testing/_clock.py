"""A clock that waits for nobody."""

from __future__ import annotations

import asyncio
import threading


class FakeClock:
    """Time that passes only when somebody sleeps on it or moves it. Threads may share it.

    ``slept``: every pause taken, in seconds, in order. Fits whatever asks for a clock: the SDK's clients, the engine.
    """

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.slept: list[float] = []
        self._epoch = now
        self._monotonic = 0.0
        self._lock = threading.Lock()

    def time(self) -> float:
        """Seconds since the epoch."""
        return self._epoch

    def monotonic(self) -> float:
        """Seconds since the clock was made; ``jump`` does not move it."""
        return self._monotonic

    def sleep(self, seconds: float) -> None:
        """Let ``seconds`` pass at once."""
        self.slept.append(seconds)
        self.advance(seconds)

    async def asleep(self, seconds: float) -> None:
        """The same, and let other tasks run."""
        self.sleep(seconds)
        await asyncio.sleep(0)

    def advance(self, seconds: float) -> None:
        """Let time pass without anybody sleeping. ValueError for a negative number: time does not go back."""
        if seconds < 0:
            raise ValueError(f"time does not go back: {seconds}")
        with self._lock:
            self._epoch += seconds
            self._monotonic += seconds

    def jump(self, seconds: float) -> None:
        """Set the wall clock forth or back, as an operator or NTP does; the monotonic one stays."""
        with self._lock:
            self._epoch += seconds
