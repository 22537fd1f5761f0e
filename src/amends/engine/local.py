"""The local executor: workers as subprocesses of the owner, on this machine."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping
from typing import Final
from uuid import uuid4

from amends.engine.executor import Slot, WorkerExit

_SOCKET_BYTES: Final = 1 << 20


# A worker never opens the database, and what it runs of others' code should not be able to.
_KEPT_BACK: Final = frozenset({"AMENDS_DATABASE"})


class LocalExecutor:
    """Starts ``python -m amends.engine.worker`` for each slot, with one end of a socket pair; ``channel`` is the other.

    A worker is killed by the system when the thread that started it ends (Linux), so ``start`` belongs into a thread
    that lives as long as the executor.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._channels: dict[str, socket.socket] = {}

    def start(self, slot: Slot) -> str:
        worker_id = f"worker_{uuid4().hex}"
        ours, theirs = socket.socketpair()
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BYTES)
        try:
            with theirs:
                process = subprocess.Popen(
                    [sys.executable, "-m", "amends.engine.worker", str(theirs.fileno()), str(os.getpid())],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    env={name: value for name, value in os.environ.items() if name not in _KEPT_BACK},
                )
        except OSError:
            ours.close()
            raise
        with self._lock:
            self._processes[worker_id] = process
            self._channels[worker_id] = ours
        return worker_id

    def channel(self, worker_id: str) -> socket.socket:
        """The owner's end of the worker's socket, once; whoever takes it closes it."""
        with self._lock:
            return self._channels.pop(worker_id)

    def pid(self, worker_id: str) -> int | None:
        """The worker's process id; None when it is gone."""
        with self._lock:
            process = self._processes.get(worker_id)
        return None if process is None else process.pid

    def poll(self) -> Iterable[WorkerExit]:
        with self._lock:
            gone = [(name, process.poll()) for name, process in self._processes.items() if process.poll() is not None]
            for name, _ in gone:
                del self._processes[name]
                if (unclaimed := self._channels.pop(name, None)) is not None:
                    unclaimed.close()
        return [WorkerExit(name, _reason(code), code) for name, code in gone]

    def stop(self, worker_id: str, grace_seconds: float) -> None:
        with self._lock:
            process = self._processes.get(worker_id)
        if process is None:
            return
        if grace_seconds <= 0:
            process.kill()
            return
        process.terminate()
        try:
            process.wait(grace_seconds)
        except subprocess.TimeoutExpired:
            process.kill()

    def capacity(self) -> Mapping[str, float]:
        with self._lock:
            return {"cpus": float(os.cpu_count() or 1), "gpus": 0.0, "workers": float(len(self._processes))}

    def close(self) -> None:
        with self._lock:
            processes, self._processes = list(self._processes.values()), {}
            channels, self._channels = list(self._channels.values()), {}
        for channel in channels:
            channel.close()
        for process in processes:
            process.kill()
            process.wait()


def _reason(code: int | None) -> str:
    if code is None or code >= 0:
        return "exited"
    return f"killed by signal {-code}"
