"""A server of limited capacity, as the simulation and the real one have it.

Slots serve one request at a time; a short queue stands before them; beyond it a request is refused, which costs a little
of a slot's time. A request whose client has stopped waiting is served all the same: nobody tells the server.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Capacity:
    """slots / service_seconds requests a second; refusing costs refusal_seconds of a slot."""

    slots: int
    service_seconds: float
    queue: int
    refusal_seconds: float

    @property
    def requests_a_second(self) -> float:
        return self.slots / self.service_seconds


class Server:
    """``level``: how much of the capacity is there, from 0 (every request is answered 503 at once) to 1."""

    def __init__(self, capacity: Capacity) -> None:
        self.requests = 0
        self.level = 1.0
        self._capacity = capacity
        self._busy = 0
        self._debt_seconds = 0.0
        self._queue: deque[asyncio.Future[int]] = deque()

    def submit(self) -> asyncio.Future[int]:
        """Take a request; the future is its status."""
        loop = asyncio.get_running_loop()
        self.requests += 1
        answer: asyncio.Future[int] = loop.create_future()
        if self.level == 0:
            answer.set_result(503)
        elif self._busy < self._slots():
            self._serve(answer)
        elif len(self._queue) < self._capacity.queue:
            self._queue.append(answer)
        else:
            self._debt_seconds += self._capacity.refusal_seconds
            answer.set_result(503)
        return answer

    def _slots(self) -> int:
        return round(self._capacity.slots * self.level)

    def _serve(self, answer: asyncio.Future[int]) -> None:
        self._busy += 1
        debt = min(self._debt_seconds, self._capacity.service_seconds)
        self._debt_seconds -= debt
        asyncio.get_running_loop().call_later(self._capacity.service_seconds + debt, self._end, answer)

    def _end(self, answer: asyncio.Future[int]) -> None:
        self._busy -= 1
        if not answer.done():
            answer.set_result(200 if self.level else 503)
        while self._queue and self._busy < self._slots():
            self._serve(self._queue.popleft())
        if not self.level:
            while self._queue:
                if not (waiting := self._queue.popleft()).done():
                    waiting.set_result(503)
