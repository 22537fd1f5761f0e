"""What the routes work with, put together once by ``amends.server.owner`` (or a test)."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from fastapi import Request

from amends.blobs import LocalBlobs, Partials
from amends.database import Database
from amends.engine.answering import Answering
from amends.engine.processor import Processor
from amends.ledger import Ledger
from amends.server.pins import Pins
from amends.store import Store

if TYPE_CHECKING:
    from amends.engine import Engine
    from amends.server.auth import Caller
    from amends.server.idempotency import Idempotency
    from amends.server.inspector import Inspector
    from amends.server.limits import Held
    from amends.server.logins import Logins
    from amends.server.metrics import Metrics
    from amends.server.sealing import Sealing
    from amends.server.settings import Settings
    from amends.server.throttle import Throttle
    from amends.server.tokens import Tokens
    from amends.server.tracing import Traces


@dataclass(frozen=True, slots=True)
class Services:
    """Collaborators of every handler.

    answering: where single items are answered at once. processors: by kind of run, for ``validate`` in the owner. engine: None where nothing moves the runs (some tests).
    now: seconds since the epoch. public_url: what ``type`` URIs begin with, known once the port is.
    call_holds: by workspace, what calls under way hold, in millionths of a credit; changed by the event loop alone.
    default_workspace_id: of whoever comes through the local socket. stopping: set when the server begins to shut down, so that
    streams without an end find one. traces: None where nobody collects them.
    """

    settings: Settings
    database: Database
    ledger: Ledger
    store: Store
    blobs: LocalBlobs
    partials: Partials
    engine: Engine | None
    answering: Answering
    processors: Mapping[str, Processor]
    idempotency: Idempotency
    inspector: Inspector
    sealing: Sealing
    tokens: Tokens
    logins: Logins
    throttle: Throttle
    held: Held
    metrics: Metrics
    public_url: str
    default_workspace_id: str
    traces: Traces | None = None
    call_holds: Counter[str] = field(default_factory=Counter)
    pins: Pins = field(default_factory=Pins)
    new_openai_batch: threading.Event = field(default_factory=threading.Event)
    new_fetch: threading.Event = field(default_factory=threading.Event)
    labelling_work: threading.Event = field(default_factory=threading.Event)
    stopping: threading.Event = field(default_factory=threading.Event)
    now: Callable[[], float] = field(default=time.time)

    def most_runs(self, who: Caller) -> int | None:
        """How many unfinished runs the caller's workspace may have; None where nothing limits it."""
        return None if who.is_local else self.settings.limits.running_batches


def services(request: Request) -> Services:
    """The services of the application that received the request."""
    return cast("Services", request.app.state.amends)


def caller(request: Request) -> Caller:
    """Who sent the request; set by the authentication before any handler runs."""
    return cast("Caller", request.state.caller)


# What routes depend on. Coroutines though they wait for nothing: the framework runs any other dependency in a thread, which
# costs each request more than all of the middleware does.
async def hub(request: Request) -> Services:
    """The services, for a route."""
    return services(request)


async def who(request: Request) -> Caller:
    """The caller, for a route."""
    return caller(request)
