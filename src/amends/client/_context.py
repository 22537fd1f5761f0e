"""What every flow is handed: settings, policy, clock, randomness, ids and hooks."""

from __future__ import annotations

import logging
import random
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol, TypedDict

from amends.resilience import Draw, RetryBudget

from ._exceptions import AmendsError, Attempt
from ._guards import Guards
from ._rates import RateLimit
from ._settings import Secret

if TYPE_CHECKING:
    from ._journal import Journal

LOGGER: Final = logging.getLogger("amends")


class Clock(Protocol):
    """Where a client has its time from. ``amends.testing.FakeClock`` is one that waits for nobody."""

    def time(self) -> float:
        """Seconds since the epoch."""

    def monotonic(self) -> float:
        """Seconds since some moment; never goes back."""

    def sleep(self, seconds: float) -> None:
        """Wait, in a thread of its own."""

    async def asleep(self, seconds: float) -> None:
        """Wait, letting other tasks run."""


class SystemClock:
    """The machine's."""

    def time(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    async def asleep(self, seconds: float) -> None:
        import asyncio  # costs a fifth of the SDK's whole import, and a Client never needs it

        await asyncio.sleep(seconds)


@dataclass(frozen=True, slots=True)
class RetryEvent:
    """A try failed and is repeated after ``wait_seconds``. ``error``: what would have been raised."""

    method: str
    path: str
    attempt: Attempt
    wait_seconds: float
    error: AmendsError


@dataclass(frozen=True, slots=True)
class GiveUpEvent:
    """A call failed for good. ``reason``: why it is not repeated, such as ``not_retryable`` or ``deadline``."""

    method: str
    path: str
    attempts: tuple[Attempt, ...]
    reason: str
    error: AmendsError


@dataclass(frozen=True, slots=True)
class ResponseEvent:
    """An answer came, good or bad. ``elapsed_seconds``: from sending to its last byte, or to its head if streamed.

    ``rate_limit``: what is left of the key's limit, None where the answer does not say.
    """

    method: str
    path: str
    status_code: int
    request_id: str | None
    attempt: Attempt
    elapsed_seconds: float
    rate_limit: RateLimit | None = None


@dataclass(frozen=True, slots=True)
class Hooks:
    """Callables told what happens. One that raises is logged and changes nothing: watching must not break the work."""

    on_retry: Callable[[RetryEvent], object] | None = None
    on_give_up: Callable[[GiveUpEvent], object] | None = None
    on_response: Callable[[ResponseEvent], object] | None = None


def tell(hook: Callable[[Any], object] | None, event: object) -> None:
    """Call a hook, if there is one."""
    if hook is None:
        return
    try:
        hook(event)
    except Exception:
        LOGGER.exception("hook_failed", extra={"hook": getattr(hook, "__name__", repr(hook))})


@dataclass(frozen=True, slots=True)
class Policy:
    """How long and how often. timeout_seconds: of one try; deadline_seconds: of the whole call; None is no bound."""

    timeout_seconds: float | None = 30.0
    deadline_seconds: float | None = None
    max_retries: int = 3

    def __post_init__(self) -> None:
        for name, value in (("timeout", self.timeout_seconds), ("deadline", self.deadline_seconds)):
            if value is not None and not value > 0:
                raise ValueError(f"{name} is a number of seconds above 0, or None; not {value!r}")
        if self.max_retries < 0:
            raise ValueError(f"max_retries is 0 or more, not {self.max_retries!r}")


def new_idempotency_key() -> str:
    """Return a key that nobody else makes: 128 random bits."""
    return f"amends-{secrets.token_hex(16)}"


@dataclass(frozen=True, slots=True)
class Context:
    """All a flow needs. api_key: None where none is sent. journal: None where what was done is not kept.

    Copies of a client share its guards and its journal.
    """

    base_url: str
    api_key: Secret | None
    policy: Policy = field(default_factory=Policy)
    clock: Clock = field(default_factory=SystemClock)
    draw: Draw = random.random
    new_key: Callable[[], str] = new_idempotency_key
    hooks: Hooks = field(default_factory=Hooks)
    guards: Guards = field(default_factory=lambda: Guards(RetryBudget(), None))
    journal: Journal | None = None


class ReadOptions(TypedDict, total=False):
    """Options of any call. Seconds, None for no bound; what is not given is the client's.

    timeout: one try (a bulk transfer, whose size decides how long it takes: each silence in it).
    deadline: the whole call with its waits.
    """

    timeout: float | None
    deadline: float | None


class WriteOptions(ReadOptions, total=False):
    """Options of a call that changes something. idempotency_key: 1 to 255 printable characters, instead of a new one."""

    idempotency_key: str
