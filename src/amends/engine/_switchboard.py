"""One thread for all workers: what came in together is performed together, and nobody waits for another's socket.

::

    sockets ──read──► desks ──steps──► ledger.perform ──answers──► desks ──replies──► sockets

While the ledger performs, the sockets fill; so the busier the workers are, the more of their steps share a transaction and
a change of threads.
"""

from __future__ import annotations

import logging
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Final, cast

from amends._trouble import Trouble
from amends.engine._calls import Calls
from amends.engine._channel import Channel
from amends.engine._desk import Desk
from amends.engine._signal import WorkSignal
from amends.engine._wire import Configure, Leased, StandingOf, Stop, ToSupervisor, to_owner
from amends.ledger import Answer, Ledger, Step

log = logging.getLogger("amends.engine")

LONGEST_WAIT_SECONDS: Final = 1.0
"""An idle worker's claim is tried again after so long even if nobody told of work."""
_ORDERS_NOTED: Final = 4096
_RETRY_SECONDS: Final = 0.2
_MAX_RETRY_SECONDS: Final = 2.0


@dataclass(eq=False, slots=True)
class _Line:
    """A worker and its socket. is_wanted: nobody asked it to go. failing_since: since when the ledger refuses its news."""

    desk: Desk
    channel: Channel
    is_wanted: bool = True
    is_clogged: bool = False
    failing_since: float | None = None
    retry_at: float = 0.0
    pause: float = _RETRY_SECONDS

    def say(self, messages: Iterable[ToSupervisor]) -> None:
        for message in messages:
            self.channel.say(message)


class Switchboard:
    """Serves every worker until its socket ends; then what it held goes back at once.

    patience_seconds: how long a report is offered to a ledger that refuses everything (a full disk); that its worker waits.
    on_end: told when a worker gave back what it held. Its methods may be called from any thread.
    """

    def __init__(
        self,
        ledger: Ledger,
        signal: WorkSignal,
        calls: Calls,
        *,
        patience_seconds: float,
        monotonic: Callable[[], float] = time.monotonic,
        on_end: Callable[[], None] = lambda: None,
        trouble: Trouble | None = None,
    ) -> None:
        self._ledger = ledger
        self._signal = signal
        self._calls = calls
        self._patience_seconds = patience_seconds
        self._monotonic = monotonic
        self._on_end = on_end
        self._trouble = trouble or Trouble(log)
        self._lines: dict[str, _Line] = {}
        self._orders: deque[Callable[[], None]] = deque()
        self._waking: socket.socket | None = None
        self._woken: socket.socket | None = None
        self._selector = selectors.DefaultSelector()
        self._seen_work = -1
        self._offer_at = 0.0
        self._is_closing = False
        self._thread = threading.Thread(target=self._run, name="switchboard", daemon=True)

    def start(self) -> None:
        self._waking, self._woken = ends = socket.socketpair()
        for end in ends:
            end.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._thread.start()

    def desks(self) -> Sequence[Desk]:
        """Those of the workers that are connected."""
        return [line.desk for line in list(self._lines.values())]

    def connect(self, desk: Desk, connection: socket.socket, configure: Configure) -> None:
        """Serve a worker; the socket is the switchboard's from now on."""
        line = _Line(desk, Channel(connection))

        def take() -> None:
            self._lines[desk.worker_id] = line
            self._selector.register(connection, selectors.EVENT_READ, line)
            line.channel.say(configure)

        self._order(take)

    def wake(self) -> None:
        """There may be something to claim."""
        self._order(self._signal.wake)

    def stop_run(self, run_id: str) -> None:
        """The run is ending: have the workers stop what they run of it."""

        def stop() -> None:
            for line in self._lines.values():
                line.say(StandingOf(lease, "stopping") for lease, run in line.desk.leases.items() if run == run_id)

        self._order(stop)

    def drain(self, grace_seconds: float) -> None:
        """Have the workers finish and exit."""

        def drain() -> None:
            for line in self._lines.values():
                line.is_wanted = False
                line.channel.say(Stop(grace_seconds))

        self._order(drain)

    def cut(self, worker_id: str) -> None:
        """The worker is gone: end its line if that has not ended by itself."""

        def cut() -> None:
            line = self._lines.get(worker_id)
            if line is not None and line.channel.is_open:
                line.channel.connection.shutdown(socket.SHUT_RDWR)

        self._order(cut)

    def close(self, timeout_seconds: float) -> None:
        """End every line, whatever the workers have in hand, and the thread."""

        def close() -> None:
            self._is_closing = True
            for line in self._lines.values():
                line.is_wanted = False
                self._hang_up(line)

        if self._thread.ident is None:
            self._selector.close()
            return
        self._order(close)
        self._thread.join(timeout_seconds)

    def _order(self, call: Callable[[], None]) -> None:
        """Have the thread do it."""
        self._orders.append(call)
        if self._waking is not None:
            with suppress(OSError):  # it is full, and will be looked at; or everything is over
                self._waking.send(b"\0")

    # The thread

    def _run(self) -> None:
        while not self._is_closing or self._lines:
            try:
                self._turn()
            except Exception as error:
                self._trouble.note("switchboard_failed", error)
                time.sleep(_RETRY_SECONDS)
        for end in (self._selector, self._waking, self._woken):
            assert end is not None
            end.close()

    def _turn(self) -> None:
        for key, events in self._selector.select(self._wait_seconds()):
            line: _Line | None = key.data
            if line is None:
                cast("socket.socket", key.fileobj).recv(_ORDERS_NOTED)
            elif events & selectors.EVENT_READ:
                self._listen(line)
        while self._orders:
            self._orders.popleft()()
        self._serve()
        for line in self._lines.values():
            self._send(line)
        for line in [line for line in self._lines.values() if not line.channel.is_open]:
            self._release(line)

    def _wait_seconds(self) -> float | None:
        """None: until somebody says something."""
        lines = self._lines.values()
        times = [line.retry_at for line in lines if line.desk.has_news or not line.channel.is_open]
        if any(line.desk.has_claims for line in lines):
            if self._signal.count != self._seen_work:
                return 0.0
            times += [self._offer_at, self._signal.next_due()]
        return max(0.0, min(times) - self._monotonic()) if times else None

    def _listen(self, line: _Line) -> None:
        try:
            for data in line.channel.read():
                line.desk.hear(to_owner.decode(data))
        except Exception:
            log.exception("connection_failed", extra={"worker_id": line.desk.worker_id})
            self._hang_up(line)
        if not line.channel.is_open:
            self._hang_up(line)

    def _serve(self) -> None:
        """Perform what the workers ask for; claims that wait are tried one a worker, as long as that finds something."""
        now, seen = self._monotonic(), self._signal.count
        may_find_work = seen != self._seen_work or now >= self._offer_at
        if may_find_work:
            self._seen_work, self._offer_at = seen, now + LONGEST_WAIT_SECONDS
        while self._round(now, may_find_work=may_find_work):
            pass

    def _round(self, now: float, *, may_find_work: bool) -> bool:
        """Whether another one may find more. While calls are made, worker by worker: each takes of what the others leave."""
        lines = [line for line in self._lines.values() if now >= line.retry_at]
        groups = [[line] for line in lines] if self._calls.are_made else [lines]
        return sum(self._perform(group, now, may_find_work=may_find_work) for group in groups) > 0

    def _perform(self, lines: Sequence[_Line], now: float, *, may_find_work: bool) -> bool:
        batch = [(line, steps) for line in lines if (steps := line.desk.steps(may_find_work=may_find_work))]
        if not batch:
            return False
        answers = iter(self._ask([step for _, steps in batch for step in steps]))
        has_leased = False
        for line, steps in batch:
            replies = line.desk.answered(steps, list(islice(answers, len(steps))))
            if line.desk.has_news and self._is_out_of_patience(line, now):
                replies += line.desk.give_up()
            if not line.desk.has_news:
                line.failing_since, line.retry_at = None, 0.0
            line.say(replies)
            has_leased = has_leased or any(isinstance(reply, Leased) for reply in replies)
        return (may_find_work and has_leased) or any(line.desk.has_new_claims for line in lines)

    def _ask(self, steps: Sequence[Step]) -> Sequence[Answer]:
        try:
            return self._ledger.perform(steps)
        except Exception as error:  # none of them was even tried
            return [error] * len(steps)

    def _is_out_of_patience(self, line: _Line, now: float) -> bool:
        """The ledger refused; else it is asked again later."""
        if line.failing_since is None:
            line.failing_since, line.pause = now, _RETRY_SECONDS
        line.retry_at, line.pause = now + line.pause, min(2 * line.pause, _MAX_RETRY_SECONDS)
        return self._is_closing or now - line.failing_since >= self._patience_seconds

    def _send(self, line: _Line) -> None:
        """Who does not read the answers is not listened to."""
        if not line.channel.is_open:
            return
        line.channel.flush()
        if line.channel.has_unsent != line.is_clogged:
            line.is_clogged = line.channel.has_unsent
            event = selectors.EVENT_WRITE if line.is_clogged else selectors.EVENT_READ
            self._selector.modify(line.channel.connection, event, line)

    def _hang_up(self, line: _Line) -> None:
        if line.channel.connection.fileno() >= 0:
            self._selector.unregister(line.channel.connection)
            line.channel.close()
            line.desk.leave()

    def _release(self, line: _Line) -> None:
        """What the worker held goes back, once its last report is recorded. A lapse, unless somebody had asked it to go."""
        now, worker_id = self._monotonic(), line.desk.worker_id
        if line.desk.has_news or now < line.retry_at:
            return
        released = 0
        try:
            released = self._ledger.release_owner(worker_id, lapsed=line.is_wanted)
        except Exception as error:
            self._trouble.note("ledger_unavailable", error, worker_id=worker_id)
            if not self._is_out_of_patience(line, now):
                return
        del self._lines[worker_id]
        if released:
            self._signal.wake()
            self._on_end()
