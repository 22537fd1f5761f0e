"""One thread a worker: reads its messages, lets the desk answer them, holds a claim back until there is work."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable
from typing import Final, TypeVar

from amends.engine._desk import Desk
from amends.engine._signal import WorkSignal
from amends.engine._wire import Configure, Incoming, Report, StandingOf, Stop, ToOwner, ToSupervisor, frame, to_owner

R = TypeVar("R")

log = logging.getLogger("amends.engine")

LONGEST_WAIT_SECONDS: Final = 1.0
"""An idle worker's claim is tried again after so long even if nobody told of work."""
_RETRY_SECONDS: Final = 0.2
_MAX_RETRY_SECONDS: Final = 2.0


class Connection:
    """Serves one worker until its socket ends; then what it held goes back at once."""

    def __init__(
        self,
        desk: Desk,
        channel: socket.socket,
        configure: Configure,
        signal: WorkSignal,
        *,
        patience_seconds: float,
    ) -> None:
        self.desk = desk
        self._channel = channel
        self._configure = configure
        self._signal = signal
        self._patience_seconds = patience_seconds
        self._is_wanted = True
        self._sending = threading.Lock()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._serve, name=f"connection-{desk.worker_id}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop_run(self, run_id: str) -> None:
        """The run is ending: have the worker stop what it runs of it."""
        for lease_id, of_run in list(self.desk.leases.items()):
            if of_run == run_id:
                self._send(StandingOf(lease_id, "stopping"))

    def drain(self, grace_seconds: float) -> None:
        """Have the worker finish and exit."""
        self._is_wanted = False
        self._send(Stop(grace_seconds))

    def close(self) -> None:
        """End the connection, whatever the worker has in hand."""
        self._is_wanted = False
        self.cut()

    def cut(self) -> None:
        """The worker is gone: end the connection if it has not ended by itself."""
        self._closing.set()
        try:
            self._channel.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the other side was quicker
        self._signal.wake()

    def join(self, timeout_seconds: float) -> None:
        self._thread.join(timeout_seconds)

    def _serve(self) -> None:
        try:
            self._send(self._configure)
            incoming = Incoming(self._channel)
            while not self._closing.is_set() and (data := incoming.receive()) is not None:
                self._answer(to_owner.decode(data))
        except OSError:
            pass  # a socket that breaks has ended
        except Exception:
            log.exception("connection_failed", extra={"worker_id": self.desk.worker_id})
        finally:
            self._closing.set()
            self._channel.close()
            self._persist(lambda: self.desk.release(lapsed=self._is_wanted))

    def _answer(self, message: ToOwner) -> None:
        replies = self._persist(lambda: self.desk.answer(message))
        if replies is None and isinstance(message, Report):
            replies = self.desk.give_up(message)
        self._send_all(replies or [])
        seen = self._signal.count
        while self.desk.pending is not None and not self._closing.is_set():
            self._send_all(self._persist(self.desk.claimed) or [])
            if self.desk.pending is not None:
                seen = self._signal.wait(seen, LONGEST_WAIT_SECONDS)

    def _persist(self, call: Callable[[], R]) -> R | None:
        """Make the call again while the ledger refuses (a full disk), for as long as a lease lasts; None: it was in vain."""
        waited, pause = 0.0, _RETRY_SECONDS
        while True:
            try:
                return call()
            except ValueError:
                log.exception("report_refused", extra={"worker_id": self.desk.worker_id})
                return None
            except Exception:
                log.exception("ledger_unavailable", extra={"worker_id": self.desk.worker_id})
                if waited >= self._patience_seconds or self._closing.wait(pause):
                    return None
                waited, pause = waited + pause, min(2 * pause, _MAX_RETRY_SECONDS)

    def _send_all(self, messages: list[ToSupervisor]) -> None:
        if messages:
            self._send(*messages)

    def _send(self, *messages: ToSupervisor | Configure) -> None:
        data = b"".join(map(frame, messages)) if len(messages) > 1 else frame(messages[0])
        with self._sending:
            try:
                self._channel.sendall(data)
            except OSError:
                pass  # the worker is gone: reading will say so
