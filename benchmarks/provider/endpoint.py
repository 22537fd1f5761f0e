"""The endpoint that is measured against: real HTTP on loopback, a limit of calls a second, a share of calls that fail."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.upstream import Call, Cut, Deed, Say, chat, refusal, running_upstream

RETRY_AFTER_SECONDS = 1.0
_LATENCY_SECONDS = (0.08, 0.3)


@dataclass
class Endpoint:
    """calls: by what became of them. The limit is a token bucket of one second's calls; seed: of latencies and failures."""

    limit_per_second: float
    failing: float
    seed: int = 1
    base_url: str = ""
    calls: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._tokens = self.limit_per_second
        self._counted_at = time.monotonic()
        self._lock = threading.Lock()

    def answer(self, call: Call) -> Deed:
        with self._lock:
            self._tokens = min(
                self.limit_per_second, self._tokens + (call.at - self._counted_at) * self.limit_per_second
            )
            self._counted_at = call.at
            if self._tokens < 1.0:
                self.calls["limited"] += 1
                return refusal(429, "too many requests", retry_after=RETRY_AFTER_SECONDS)
            self._tokens -= 1.0
            latency = self._random.uniform(*_LATENCY_SECONDS)
            is_first = not self.calls  # some try their connection once before they begin, and give up when that fails
            if self._random.random() >= self.failing or is_first:
                self.calls["answered"] += 1
                return Say(chat({"text": call.text[:40]}), after_seconds=latency)
            self.calls["failed"] += 1
            return self._random.choice([Say(refusal(500).body, 500, after_seconds=latency), Cut(is_begun=False)])


@contextmanager
def running_endpoint(limit_per_second: float, failing: float) -> Iterator[Endpoint]:
    endpoint = Endpoint(limit_per_second, failing)
    with running_upstream(endpoint.answer) as upstream:
        endpoint.base_url = upstream.base_url
        yield endpoint
