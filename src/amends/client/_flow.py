"""The steps a flow is made of.

Whatever takes more than one request (retrying, waiting, walking pages, resuming a stream) is a *flow*: a generator
that yields what is to be done and is sent what came of it. It does no I/O. Two small loops drive every flow,
``SyncLoop`` and ``AsyncLoop``, which is why ``Client`` and ``AsyncClient`` cannot differ.

    Send(request) → Answer | Failure      Sleep(seconds) → None
    Read()        → bytes | None | Failure   the next piece of the streamed answer; None at its end
    Close()       → None                     the streamed answer is done with
    Do(work)      → whatever work returns: something that takes a while, or touches a file
    Drive(work, awork) → whatever they return: other flows, several at once
    Emit(values)  → None                     hand these to whoever iterates (streams only)
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from ._bodies import Body
from ._exceptions import Attempt

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Request:
    """One try, as it goes on the wire.

    timeout_seconds: None for no bound. is_bulk: the timeout bounds each silence, not the whole try.
    is_streamed: a good answer's body is left to ``Read``. expires_at: on the client's monotonic clock, None for never.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    body: Body | None = None
    timeout_seconds: float | None = None
    is_bulk: bool = False
    is_streamed: bool = False
    expires_at: float | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server said. body: empty where it is streamed. attempts: the tries it took, the last one included."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""
    is_framed: bool = True
    attempts: tuple[Attempt, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Failure:
    """No answer, or none to its end. is_timeout: time ran out."""

    error: Exception
    is_timeout: bool = False


@dataclass(frozen=True, slots=True)
class Send:
    request: Request


@dataclass(frozen=True, slots=True)
class Sleep:
    seconds: float


@dataclass(frozen=True, slots=True)
class Read:
    pass


@dataclass(frozen=True, slots=True)
class Close:
    pass


@dataclass(frozen=True, slots=True)
class Do:
    """awork: what an AsyncLoop awaits instead; None has it call ``work`` in a thread. What either raises ends the flow."""

    work: Callable[[], Any]
    awork: Callable[[], Awaitable[Any]] | None = None


@dataclass(frozen=True, slots=True)
class Drive:
    """work: given what runs a flow, and called; awork: given what awaits one, and awaited. What they raise ends the flow."""

    work: Callable[[Callable[[Flow[Any]], Any]], Any]
    awork: Callable[[Callable[[Flow[Any]], Awaitable[Any]]], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Emit(Generic[T]):
    values: Sequence[T]


Step = Send | Sleep | Read | Close | Do | Drive
Flow = Generator[Step, Any, T]
"""Returns a T in the end."""
Stream = Generator[Step | Emit[T], Any, None]
"""Emits Ts as it goes."""
