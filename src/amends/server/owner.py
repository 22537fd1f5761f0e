"""The owner of a data directory: the one process that opens its database, moves its runs and answers for it.

``amends serve`` listens on TCP and on the directory's socket; any other command that finds no owner becomes one that listens on the
socket alone. Everything else is the same: one code path.
"""

from __future__ import annotations

import os
import signal
import socket as sockets
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import cast

import structlog
from starlette.routing import BaseRoute

from amends.blobs import LocalBlobs, Partials
from amends.database import Database, Transaction, masked
from amends.engine import Engine
from amends.ledger import Ledger
from amends.server.app import GROUPS, create_app
from amends.server.composition import ledger_on, make_answering, make_engine, processors
from amends.server.deliveries import Deliveries
from amends.server.directory import (
    DataDirectory,
    DataDirectoryError,
    DataDirectoryLocked,
    OwnerInfo,
    StartError,
    find_owner,
)
from amends.server.fetches import FetchClerk
from amends.server.housekeeping import Housekeeping
from amends.server.idempotency import Idempotency
from amends.server.inspector import Inspector
from amends.server.limits import Held
from amends.server.logins import Logins
from amends.server.logs import STANDARD_ERROR, configure_logs
from amends.server.metrics import Metrics
from amends.server.openai.clerk import Clerk
from amends.server.passwords import Passwords
from amends.server.protocol import protocol_for
from amends.server.sealing import Sealing
from amends.server.services import Services
from amends.server.settings import Settings
from amends.server.sites import AsOwner, CannotListen, Front, Site, listening, url_of
from amends.server.steward import Steward
from amends.server.telling import tell_of_breakers, tell_of_orders, tell_of_runs
from amends.server.throttle import Throttle
from amends.server.tokens import Tokens
from amends.server.tracing import Traces
from amends.server.watching import WatchedLedger
from amends.store import IssuedKey, Store, Workspace, installation_id

__all__ = [
    "CannotListen",
    "DataDirectoryError",
    "DataDirectoryLocked",
    "Owner",
    "OwnerInfo",
    "StartError",
    "find_owner",
    "serve",
]

log = structlog.get_logger("amends.server")

EMBEDDED_URL = "http://127.0.0.1:8080"
_DEFAULT_WORKSPACE = "default"
_FIRST_USER = "owner"
# With the standard 5 ms the writer waits that long for the interpreter after each step while another thread computes.
_SWITCH_SECONDS = 0.001

EngineFactory = Callable[[Settings, Ledger, Path], Engine]


@dataclass(frozen=True, slots=True)
class _FirstStart:
    workspace: Workspace
    key: IssuedKey | None


class Owner:
    """Owns a data directory as long as it is entered.

    socket: where to speak to it as the workspace's owner. url: its TCP address, None unless ``listen``. first_key: the key made
    because there was none yet, else None; only when listening with authentication. services: what its routes work with.

    Entering raises StartError (and its kinds), or NewerDatabase or DatabaseUnusable of ``amends.database``; nothing is left behind then.
    """

    socket: Path
    url: str | None
    first_key: IssuedKey | None
    services: Services

    def __init__(
        self,
        settings: Settings,
        *,
        command: str = "command",
        listen: bool = False,
        engine: EngineFactory | None = make_engine,
        pages: Sequence[BaseRoute] = (),
    ) -> None:
        """command: what ``find_owner`` tells others of it. engine: makes what moves the runs; None leaves them where they are.
        pages: what it answers besides the API.
        """
        self._settings = settings
        self._command = command
        self._listen = listen
        self._make_engine = engine
        self._pages = pages
        self._stack = ExitStack()

    def __enter__(self) -> Owner:
        if not structlog.is_configured():
            configure_logs(level="warning")
        sys.setswitchinterval(_SWITCH_SECONDS)
        with ExitStack() as stack:
            listener = stack.enter_context(listening(self._settings.server)) if self._listen else None
            directory = DataDirectory(self._settings.server.data)
            stack.callback(directory.close)
            self.socket = directory.socket
            self.url = url_of(listener, self._settings.server) if listener else None
            self._open(stack, directory, listener)
            directory.announce(url=self.url, command=self._command)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let running work finish within the grace, then stop. Idempotent."""
        self._stack.close()

    def _open(self, stack: ExitStack, directory: DataDirectory, listener: sockets.socket | None) -> None:
        database = Database.open(self._settings.server.database or directory.database)
        stack.callback(database.close)
        database.own()
        directory.belong_to(database.write(installation_id))
        store = Store(database, keep_idempotency_seconds=self._settings.retention.idempotency_hours * 3_600)
        store.orders.on_move = tell_of_orders(store.webhooks)
        ledger = ledger_on(database, tell_of_runs(store.webhooks))
        _let_go(store, ledger)
        first = database.write(lambda tx: _first_start(tx, store, needs_key=self._needs_key()))
        self.first_key = first.key
        if first.key:
            store.keys.admit(first.key.key)
        self.services = self._serving(stack, directory, database, ledger, store, first.workspace)
        for kind in (Housekeeping, Clerk, FetchClerk, Steward, Deliveries):
            thread = kind(self.services)
            thread.start()
            stack.callback(thread.close)
        if engine := self.services.engine:
            engine.start()
            stack.callback(engine.close, self._settings.engine.grace_seconds)
        self._answer(stack, directory, listener)

    def _serving(
        self,
        stack: ExitStack,
        directory: DataDirectory,
        database: Database,
        ledger: Ledger,
        store: Store,
        workspace: Workspace,
    ) -> Services:
        """What the routes work with, put together; nothing runs yet."""
        settings, metrics, traces = self._settings, Metrics(), self._traces(stack)
        watched = cast("Ledger", WatchedLedger(ledger, metrics, traces))
        engine = self._make_engine(settings, watched, directory.path) if self._make_engine else None
        if engine:
            engine.listen(tell_of_breakers(database, store.webhooks))
        metrics.watch(ledger, store.webhooks, engine)
        blobs = LocalBlobs(directory.blobs)
        blobs.clear_strays()
        sealing = Sealing(directory.secret())
        passwords = stack.enter_context(closing(Passwords()))
        return Services(
            settings=settings,
            database=database,
            ledger=ledger,
            store=store,
            blobs=blobs,
            partials=Partials(blobs),
            engine=engine,
            answering=stack.enter_context(closing(make_answering(settings, directory.path))),
            processors=processors(),
            idempotency=Idempotency(database, store.idempotency),
            inspector=stack.enter_context(closing(Inspector())),
            sealing=sealing,
            tokens=Tokens(sealing, now=time.time),
            logins=Logins(database, store, passwords),
            throttle=Throttle(self._settings.limits),
            held=Held(self._settings.limits.json_bodies_bytes),
            metrics=metrics,
            public_url=(settings.server.public_url or self.url or EMBEDDED_URL).rstrip("/"),
            default_workspace_id=workspace.id,
            traces=traces,
        )

    def _answer(self, stack: ExitStack, directory: DataDirectory, listener: sockets.socket | None) -> None:
        app = create_app(self.services, routes=(*GROUPS, *self._pages))
        grace = self._settings.engine.grace_seconds
        protocol = protocol_for(self.services.public_url, self._settings.limits.header_bytes)
        sites = [Site(AsOwner(app), directory.listen(), protocol, grace)]
        if listener:
            sites.append(Site(app, listener, protocol, grace, self._settings.server))
        front = Front(sites)
        front.start()
        stack.callback(front.close)
        stack.callback(self.services.stopping.set)

    def _traces(self, stack: ExitStack) -> Traces | None:
        endpoint = self._settings.server.otlp_endpoint
        return None if endpoint is None else stack.enter_context(closing(Traces(endpoint)))

    def _needs_key(self) -> bool:
        return self._listen and not self._settings.server.no_auth


def serve(settings: Settings, *, pages: Sequence[BaseRoute] = ()) -> int:
    """Serve until SIGTERM or SIGINT; a second signal does not wait for running work. Returns the exit code.

    The first key goes to stdout, everything else to stderr. Raises StartError, NewerDatabase, DatabaseUnusable.
    """
    configure_logs(settings.server.log_format, settings.server.log_level)
    stopping = threading.Event()
    with _signals(stopping), Owner(settings, command="serve", listen=True, pages=pages) as owner:
        if owner.first_key:
            sys.stdout.write(owner.first_key.secret + "\n")
            sys.stdout.flush()
        if settings.server.log_format == "json":
            log.info(
                "listening",
                url=owner.url,
                data=str(settings.server.data),
                database=masked(settings.server.database or ""),
                first_key=bool(owner.first_key),
            )
        else:
            _say(settings, owner)
        stopping.wait()
        log.info("stopping", grace_seconds=settings.engine.grace_seconds)
    return 0


def _say(settings: Settings, owner: Owner) -> None:
    where = f" and {masked(settings.server.database)}" if settings.server.database else ""
    lines = [f"Listening on {owner.url}, data in {settings.server.data}{where}"]
    if settings.server.no_auth:
        lines.insert(0, "Authentication is off: everybody on this machine is the owner.")
    if owner.first_key:
        lines.insert(0, "The key above is the owner's. It is shown only now: Authorization: Bearer ak_…")
    STANDARD_ERROR.write("\n".join(lines) + "\n")


@contextmanager
def _signals(stopping: threading.Event) -> Iterator[None]:
    """SIGTERM and SIGINT ask to stop; the second one ends the process where it stands, which loses nothing.

    A thread hears of them through the wake-up descriptor: a Python handler would only run once the main thread, which may be waiting
    for a lock when another thread was interrupted, gets to it.
    """
    ears, mouth = sockets.socketpair()
    mouth.setblocking(False)

    def listen() -> None:
        while number := ears.recv(1):
            if stopping.is_set():
                os._exit(128 + number[0])
            stopping.set()

    listener = threading.Thread(target=listen, name="amends-signals", daemon=True)
    listener.start()
    before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGTERM, signal.SIGINT)}
    woken_before = signal.set_wakeup_fd(mouth.fileno(), warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(woken_before)
        for number, handler in before.items():
            signal.signal(number, handler)
        mouth.close()
        listener.join()
        ears.close()


def _let_go(store: Store, ledger: Ledger) -> None:
    """What an owner before this one held when it ended."""
    store.idempotency.release_dead()
    ledger.abandon_receiving()
    ledger.release_all()


def _first_start(tx: Transaction, store: Store, *, needs_key: bool) -> _FirstStart:
    """The default workspace, and on the first start that anybody could need it for, its owner with a key."""
    workspace = store.workspaces.ensure(tx, _DEFAULT_WORKSPACE)
    if not needs_key or store.keys.has_any(tx):
        return _FirstStart(workspace, None)
    user = store.accounts.ensure(tx, workspace.id, _FIRST_USER, "owner")
    return _FirstStart(workspace, store.keys.issue(tx, workspace.id, role="owner", user_id=user.id, name="first key"))
