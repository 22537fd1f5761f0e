"""What a processor is: the work done to the items of one kind of run.

A processor knows nothing about HTTP, SQL, leases or retries. It is found by its kind through the entry point group
``amends.processors`` (or a mapping handed to the engine), never by import. It lives twice: in the owner's process, where
only ``validate`` and ``needs`` are called (cheap, pure, no weights), and in each worker's child, where ``open`` is called once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from amends.problems import Problem


class WorkItem(NamedTuple):
    """One item to process. payload: its JSON. key: ``{run}:{seq}``, to pass upstream as an idempotency key. attempts: tries before."""

    seq: int
    key: str
    payload: bytes
    attempts: int = 0


class Succeeded(NamedTuple):
    """output: JSON object. evidence: JSON object, pointer into the output → {page, start, end}; None without. usage: JSON object or None."""

    seq: int
    output: bytes
    evidence: bytes | None = None
    usage: bytes | None = None


class Failed(NamedTuple):
    """The engine decides by ``problem.remedy`` whether the item is tried again."""

    seq: int
    problem: Problem


Result = Succeeded | Failed


@dataclass(frozen=True, slots=True)
class Job:
    """A run as its processor sees it. params: the decoded parameters (model, prompt, output_schema, …).

    settings: what the installation says to processors, as in ``Surroundings``. deadline: of the run, in seconds since the
    epoch; None where it has none or nobody waits for it (in the owner's process). upstream: the name of the one that the items
    at hand go to; empty where there is none.
    """

    run_id: str
    mode: str
    params: Mapping[str, Any]
    settings: Mapping[str, Any] = field(default_factory=dict)
    deadline: float | None = None
    upstream: str = ""


@dataclass(frozen=True, slots=True)
class Upstream:
    """Something outside that items of a job are calls to, with its limits, which count for all workers together.

    name: told to the session with the job. provider: whose it is; retries are paid for by provider. None: no limit.
    """

    name: str
    provider: str
    concurrency: int
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None


@dataclass(frozen=True, slots=True)
class Needs:
    """What a job needs of a worker.

    batch_size: items handed to ``process`` at once by preference (1: singly). item_timeout_seconds: an item in flight longer
    than this has its child killed. upstreams: where its items are calls that mostly wait, what they go to, any of them; many are
    then under way at a time, ``process`` is called by several threads at once, and the session is a ``CallSession``.
    """

    batch_size: int = 1
    item_timeout_seconds: float = 300.0
    upstreams: tuple[Upstream, ...] = ()


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a child has: where blobs are, where caches may be written, how many threads a model may use.

    settings: what the installation says to processors, by subject; decoded JSON, no secrets.
    """

    blobs: Path
    cache: Path
    threads: int = 1
    settings: Mapping[str, Any] = field(default_factory=dict)


class Session(Protocol):
    """A processor opened in a child; keeps its loaded models."""

    def process(self, job: Job, items: Sequence[WorkItem]) -> Iterator[Result]:
        """Yield one result for each item, as soon as it is known, in any order.

        A ``ProblemError`` or any other exception ends only the item when items are handed singly; with several the engine hands the
        unanswered ones again singly.
        """
        ...

    def close(self) -> None: ...


class CallSession(Session, Protocol):
    """A session whose items are calls to upstreams. Its methods are called by several threads at once."""

    def stop(self, keys: Collection[str]) -> None:
        """Stop what is under way for the items with these keys: connections are closed, and no result follows."""
        ...


class Processor(Protocol):
    """The work done to items of one kind of run. kind: by which the engine finds it."""

    kind: str

    def validate(self, job: Job, payload: Mapping[str, Any]) -> Problem | None:
        """What can be said against an item before it runs. Pure and cheap; called in the owner's process."""
        ...

    def needs(self, job: Job) -> Needs:
        """What the job needs of a worker. Pure and cheap; called in the owner's process."""
        ...

    def open(self, surroundings: Surroundings) -> Session:
        """Get ready to process, once a child. What it raises becomes the problem of every item of the kind."""
        ...
