"""Connections to addresses that were looked at, each wait of theirs within what is left of the whole fetch."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import httpcore2

Resolve = Callable[[str, int, float], Sequence[str]]
"""From host, port and seconds to the addresses the host has. Raises socket.gaierror, TimeoutError."""

_MOST_ADDRESSES: Final = 4
_LEAST_SECONDS: Final = 0.001


class Budget:
    """What is left of a fetch's time."""

    def __init__(self, seconds: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._end = monotonic() + seconds

    def within(self, seconds: float | None) -> float:
        """At most so many seconds, and no more than are left. Raises TimeoutError when none are."""
        left = self._end - self._monotonic()
        if left <= 0:
            raise TimeoutError("the time for the whole fetch is used up")
        return max(_LEAST_SECONDS, left if seconds is None else min(seconds, left))


def system_resolve(host: str, port: int, seconds: float) -> Sequence[str]:
    """Ask the system, which knows no time limit of its own: hence in a thread, which is left behind when it takes too long."""
    answer: list[Any] = []

    def ask() -> None:
        try:
            answer.append(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except Exception as error:
            answer.append(error)

    thread = threading.Thread(target=ask, name="amends-resolve", daemon=True)
    thread.start()
    thread.join(seconds)
    if not answer:
        raise TimeoutError("the name was not resolved in time")
    if isinstance(answer[0], Exception):
        raise answer[0]
    return list(dict.fromkeys(str(found[4][0]) for found in answer[0]))


class CheckedBackend(httpcore2.NetworkBackend):
    """Connects to the addresses it was made with, whatever name it is asked for: nothing is resolved a second time."""

    def __init__(self, addresses: Sequence[str], budget: Budget, seconds: float) -> None:
        self._addresses = addresses[:_MOST_ADDRESSES]
        self._budget = budget
        self._seconds = seconds
        self._system = httpcore2.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        last: Exception = httpcore2.ConnectError("there is no address")
        for address in self._addresses:
            try:
                seconds = self._budget.within(self._seconds)
                return _Stream(
                    self._system.connect_tcp(address, port, seconds, local_address, socket_options), self._budget
                )
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                last = error
        raise last


class _Stream(httpcore2.NetworkStream):
    """A stream none of whose waits outlasts the budget, however little comes at a time."""

    def __init__(self, stream: httpcore2.NetworkStream, budget: Budget) -> None:
        self._stream = stream
        self._budget = budget

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._budget.within(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._budget.within(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, self._budget.within(timeout)), self._budget)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
