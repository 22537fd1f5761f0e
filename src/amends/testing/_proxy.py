"""A proxy on loopback that loses, delays, refuses and cuts requests on their way to a real server."""

from __future__ import annotations

import selectors
import socket
import struct
import threading
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit

from ._faults import Fault, Schedule

_PIECE: Final = 65_536
_RESET: Final = struct.pack("ii", 1, 0)
_POLL_SECONDS: Final = 0.05


class FaultProxy:
    """Stands between a client and the server at ``upstream``, an ``http://host:port``; used as a context manager.

    faults: what happens to each request in turn, see ``draw_faults``; nothing when they are over. ``base_url``: where clients go.
    ``happened``: what happened to each request so far. A request begins when the client speaks first, or after an answer.
    """

    base_url: str

    def __init__(self, upstream: str, faults: Iterable[Fault | None] = ()) -> None:
        parts = urlsplit(upstream)
        if parts.scheme != "http" or not parts.hostname:
            raise ValueError(f"the proxy stands before an http://host:port, not {upstream!r}")
        self._upstream = (parts.hostname, parts.port or 80)
        self._faults = Schedule(faults)
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self.happened: list[Fault | None] = []

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(_POLL_SECONDS)
        self.base_url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._start(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        while self._threads:
            self._threads.pop().join()
        self._listener.close()

    def _start(self, work: Callable[..., None], *args: socket.socket) -> None:
        thread = threading.Thread(target=work, args=args, name="fault-proxy", daemon=True)
        thread.start()
        with self._lock:
            self._threads = [*(one for one in self._threads if one.is_alive()), thread]

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                client, _ = self._listener.accept()
            except TimeoutError:
                continue
            self._start(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        with client:
            try:
                with socket.create_connection(self._upstream, 10) as server:
                    _Passage(client, server, self._next, self._closing).run()
            except OSError:
                return  # either side went away: the other learns it as both sockets close

    def _next(self) -> Fault | None:
        fault: Fault | None = self._faults.next()
        with self._lock:
            self.happened.append(fault)
        return fault


class _Passage:
    """One connection: bytes go through as they come, but for what the fault of the present request does to them."""

    def __init__(
        self, client: socket.socket, server: socket.socket, draw: Callable[[], Fault | None], closing: threading.Event
    ) -> None:
        self._client = client
        self._server = server
        self._draw = draw
        self._closing = closing
        self._fault: Fault | None = None
        self._is_answered = True
        self._left: int | None = None

    def run(self) -> None:
        with selectors.DefaultSelector() as selector:
            for side in (self._client, self._server):
                side.settimeout(10)
                selector.register(side, selectors.EVENT_READ)
            while not self._closing.is_set():
                for key, _ in selector.select(_POLL_SECONDS):
                    from_client = key.fileobj is self._client
                    piece = (self._client if from_client else self._server).recv(_PIECE)
                    if not piece or not (self._forth(piece) if from_client else self._back(piece)):
                        return

    def _forth(self, piece: bytes) -> bool:
        """Pass on what the client says; False when the connection ends."""
        if self._is_answered:
            self._is_answered = False
            self._fault = fault = self._draw()
            self._left = fault.after_bytes if fault is not None and fault.kind == "cut" else None
            if fault is not None and not self._begin(fault):
                return False
        self._server.sendall(piece)
        return True

    def _begin(self, fault: Fault) -> bool:
        match fault.kind:
            case "drop":
                self._reset()
                return False
            case "delay":
                return not self._closing.wait(fault.seconds)
            case "error":
                self._refuse(fault.status)
                return False
        return True

    def _back(self, piece: bytes) -> bool:
        self._is_answered = True
        if self._left is None:
            self._client.sendall(piece)
            return True
        self._client.sendall(piece[: self._left])
        self._left -= len(piece)
        return self._left > 0

    def _reset(self) -> None:
        self._client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)

    def _refuse(self, status: int) -> None:
        body = b'{"detail": "refused by the proxy"}'
        head = (
            f"HTTP/1.1 {status} Refused\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
            "Connection: close\r\n\r\n"
        )
        self._client.sendall(head.encode() + body)
        self._client.shutdown(socket.SHUT_WR)
        # What is still under way is read, for an end while the client sends would hide the answer from it.
        self._client.settimeout(1.0)
        while not self._closing.is_set() and self._client.recv(_PIECE):
            pass
