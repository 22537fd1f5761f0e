"""The engine: keeps workers running, serves them, and moves runs through their life."""

from __future__ import annotations

import json
import logging
import os
import random
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from amends._trouble import Trouble
from amends.blobs import LocalBlobs
from amends.engine._calls import Calls
from amends.engine._desk import Desk, NeedsOfRuns
from amends.engine._gate import Gate, Standing
from amends.engine._loading import Processors, installed_processors
from amends.engine._maintenance import Maintenance
from amends.engine._settings import EngineSettings
from amends.engine._signal import WorkSignal
from amends.engine._switchboard import Switchboard
from amends.engine._wire import Configure, Prepare, Rules
from amends.engine.executor import Executor, Slot
from amends.engine.local import LocalExecutor
from amends.ledger import Ledger
from amends.resilience import Closed, Opened, backoff

log = logging.getLogger("amends.engine")

_STEADY_SECONDS: Final = 10.0
"""A worker that lived so long is restarted at once."""
_RESTART_SECONDS: Final = 0.2
_MAX_RESTART_SECONDS: Final = 30.0
_FAILURE_PAUSE_SECONDS: Final = 1.0
_STOP_MARGIN_SECONDS: Final = 2.0
_POLL_SECONDS: Final = 0.01


class OwnersExecutor(Executor, Protocol):
    """An executor whose workers speak to the owner through a socket."""

    def channel(self, worker_id: str) -> socket.socket: ...

    def pid(self, worker_id: str) -> int | None: ...


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """A running worker. pid, child_pid: None where there is no such process (any more). run_id: what it works on."""

    worker_id: str
    pid: int | None
    child_pid: int | None
    run_id: str | None


@dataclass(slots=True)
class _Place:
    """A slot and the worker in it."""

    slot: Slot
    worker_id: str | None = None
    started_at: float = 0.0
    quick_ends: int = 0
    start_at: float = 0.0


class Engine:
    """Runs a number of workers on a ledger, in the process that owns it.

    blobs: the folder of ``LocalBlobs``. cache: where processors may keep caches; None takes a folder beside the blobs.
    processors: kind → ``module:factory``; None takes the installed ones. processor_settings: what they find in ``Job.settings``,
    values of JSON. executor: None takes subprocesses.
    Not to be started twice. Threads: one to maintain, and one that serves the workers.
    """

    def __init__(
        self,
        ledger: Ledger,
        executor: OwnersExecutor | None = None,
        *,
        blobs: Path,
        cache: Path | None = None,
        processors: Mapping[str, str] | None = None,
        processor_settings: Mapping[str, Any] | None = None,
        settings: EngineSettings | None = None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ledger = ledger
        self._executor: OwnersExecutor = executor or LocalExecutor()
        self._settings = settings or EngineSettings()
        self._monotonic = monotonic
        self._trouble = Trouble(log, monotonic=monotonic)
        factories = installed_processors() if processors is None else processors
        self._processors = Processors(factories, processor_settings)
        self._blobs = blobs
        self._cache = cache or blobs.parent / "cache"
        self._signal = WorkSignal(monotonic)
        self._needs = NeedsOfRuns(self._processors)
        self._calls = Calls(Gate(), monotonic, keep_calm=ledger.calm)
        self._places = [_Place(Slot()) for _ in range(self._worker_count())]
        self._poked = threading.Event()
        self._closing = threading.Event()
        self._switchboard = self._new_switchboard()
        self._maintenance = self._new_maintenance(clock)
        self._thread = threading.Thread(target=self._maintain, name="engine", daemon=True)

    def _new_switchboard(self) -> Switchboard:
        return Switchboard(
            self._ledger,
            self._signal,
            self._calls,
            patience_seconds=self._settings.ttl_seconds,
            monotonic=self._monotonic,
            on_end=self._poked.set,
            trouble=self._trouble,
        )

    def _new_maintenance(self, clock: Callable[[], float]) -> Maintenance:
        return Maintenance(
            self._ledger,
            self._processors,
            self._settings,
            read_blob=LocalBlobs(self._blobs).get,
            monotonic=self._monotonic,
            clock=clock,
            on_stop=self._switchboard.stop_run,
            on_lapse=self._kill_lapsed,
            on_work=self._switchboard.wake,
            calls=self._calls,
            needs=self._needs,
            trouble=self._trouble,
        )

    def start(self) -> None:
        """Start workers and maintenance; returns at once."""
        self._calls.remember(self._ledger.cool_downs())
        self._switchboard.start()
        self._thread.start()

    def listen(self, on_breaker: Callable[[str, Opened | Closed], None]) -> None:
        """Tell of every upstream whose breaker opens or closes; who is told may not block. To be called before ``start``."""
        self._calls.on_breaker = on_breaker

    def standings(self) -> Sequence[Standing]:
        """How every upstream stands that was called since the start."""
        return self._calls.standings()

    def wake(self) -> None:
        """Something changed that workers or maintenance may wait for: a run sealed, extended, retried, resumed, cancelled."""
        self._switchboard.wake()
        self._poked.set()

    def workers(self) -> Sequence[WorkerStatus]:
        """The workers that run now."""
        return [
            WorkerStatus(desk.worker_id, self._executor.pid(desk.worker_id), desk.child_pid, desk.run_id)
            for desk in self._switchboard.desks()
        ]

    def pids(self) -> Sequence[int]:
        """The process ids of all workers: supervisors and children."""
        return [pid for worker in self.workers() for pid in (worker.pid, worker.child_pid) if pid is not None]

    def close(self, grace_seconds: float | None = None) -> None:
        """Stop: workers finish what is running within the grace, the rest goes back to be claimed. Idempotent.

        grace_seconds: None takes the setting; 0 kills at once.
        """
        if self._closing.is_set():
            return
        grace = self._settings.grace_seconds if grace_seconds is None else grace_seconds
        self._closing.set()
        self._poked.set()
        if self._thread.ident is not None:
            self._switchboard.drain(grace)
            self._await_exits(grace)
        self._executor.close()
        while self._thread.is_alive():
            # It may have been starting a worker, which was not there to be told or ended above.
            self._thread.join(_POLL_SECONDS)
            self._executor.close()
        self._switchboard.close(_STOP_MARGIN_SECONDS)

    # The thread that maintains

    def _maintain(self) -> None:
        """It also starts the workers, which live no longer than the thread that started them (see ``LocalExecutor``)."""
        while not self._closing.is_set():
            self._poked.clear()
            try:
                self._keep_places()
                has_more = self._maintenance.tick()
            except Exception as error:
                self._trouble.note("maintenance_failed", error)
                self._closing.wait(_FAILURE_PAUSE_SECONDS)
                continue
            if not has_more:
                self._poked.wait(self._settings.tick_seconds)
        self._closed_workers()

    def _closed_workers(self) -> None:
        """Stay until the workers are gone, for the same reason."""
        while self._executor.capacity()["workers"]:
            for worker_exit in self._executor.poll():
                self._switchboard.cut(worker_exit.worker_id)
            time.sleep(_POLL_SECONDS)

    def _keep_places(self) -> None:
        for worker_exit in self._executor.poll():
            log.warning("worker_exited", extra={"worker_id": worker_exit.worker_id, "reason": worker_exit.reason})
            self._switchboard.cut(worker_exit.worker_id)
            self._vacate(worker_exit.worker_id)
        now = self._monotonic()
        for place in self._places:
            if place.worker_id is None and now >= place.start_at and not self._closing.is_set():
                self._fill(place, now)

    def _vacate(self, worker_id: str) -> None:
        now = self._monotonic()
        for place in self._places:
            if place.worker_id == worker_id:
                place.worker_id = None
                self._postpone(place, now, is_quick=now - place.started_at < _STEADY_SECONDS)

    def _postpone(self, place: _Place, now: float, *, is_quick: bool) -> None:
        place.quick_ends = place.quick_ends + 1 if is_quick else 0
        pause = 0.0
        if place.quick_ends > 1:
            pause = backoff(
                place.quick_ends - 1,
                base_seconds=_RESTART_SECONDS,
                cap_seconds=_MAX_RESTART_SECONDS,
                draw=random.random,
                jitter="equal",
            )
        place.start_at = now + pause

    def _fill(self, place: _Place, now: float) -> None:
        try:
            worker_id = self._executor.start(place.slot)
        except OSError:
            log.exception("worker_not_started")
            self._postpone(place, now, is_quick=True)
            return
        place.worker_id, place.started_at = worker_id, now
        self._connect(worker_id, place.slot)

    def _connect(self, worker_id: str, slot: Slot) -> None:
        desk = Desk(
            worker_id,
            self._needs,
            self._signal,
            ttl_seconds=self._settings.ttl_seconds,
            longest_item_seconds=self._settings.item_timeout_seconds,
            kinds=slot.kinds,
            calls=self._calls,
            on_end=self._poked.set,
            trouble=self._trouble,
        )
        self._switchboard.connect(desk, self._executor.channel(worker_id), self._configure(worker_id))

    def _await_exits(self, grace_seconds: float) -> None:
        until = time.monotonic() + grace_seconds + _STOP_MARGIN_SECONDS
        while grace_seconds > 0 and self._executor.capacity()["workers"] and time.monotonic() < until:
            time.sleep(_POLL_SECONDS)

    def _kill_lapsed(self, lease_ids: Sequence[str]) -> None:
        """A worker whose lease lapsed is frozen or worse: another takes its place."""
        lapsed = set(lease_ids)
        for desk in self._switchboard.desks():
            if not lapsed.isdisjoint(list(desk.leases)):
                self._executor.stop(desk.worker_id, 0.0)

    def _worker_count(self) -> int:
        return self._settings.workers or os.cpu_count() or 1

    def _configure(self, worker_id: str) -> Configure:
        chosen = {name: getattr(self._settings, name) for name in Rules.__struct_fields__}
        threads = self._settings.model_threads or max(1, (os.cpu_count() or 1) // len(self._places))
        prepare = Prepare(
            self._processors.factories,
            str(self._blobs),
            str(self._cache),
            threads,
            self._settings.max_attempts,
            json.dumps(self._processors.settings).encode(),
        )
        return Configure(worker_id, Rules(**chosen), prepare)
