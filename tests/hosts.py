"""Somebody else's web server, of the kinds there are: a scripted TCP server on loopback whose every answer is bytes."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

PNG = b"\x89PNG\r\n\x1a\n"

Script = Callable[[socket.socket, "threading.Event"], None]


def answer(body: bytes = b"", status: str = "200 OK", **headers: str) -> bytes:
    """A whole answer; header names with underscores for hyphens."""
    given = {"Content-Length": str(len(body)), **{name.replace("_", "-"): value for name, value in headers.items()}}
    head = "".join(f"{name}: {value}\r\n" for name, value in given.items() if value)
    return f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + body


@dataclass
class Host:
    """A running one. pages: path (with its query) → bytes to send, or a script. requests: the heads that came."""

    port: int
    pages: dict[str, bytes | Script] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    connections: int = 0

    def url(self, path: str, name: str = "127.0.0.1") -> str:
        return f"http://{name}:{self.port}{path}"

    def hits(self, path: str) -> int:
        return sum(request.startswith(f"GET {path} ") for request in self.requests)


@contextmanager
def running_host(pages: dict[str, bytes | Script] | None = None) -> Iterator[Host]:
    """A host that answers 404 to what it has no page for, and is gone with its threads at the end."""
    listener = socket.create_server(("127.0.0.1", 0))
    host = Host(listener.getsockname()[1], dict(pages or {}))
    closing = threading.Event()
    threads: list[threading.Thread] = []

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            host.connections += 1
            threads.append(threading.Thread(target=_serve, args=(host, connection, closing), daemon=True))
            threads[-1].start()

    acceptor = threading.Thread(target=accept, daemon=True)
    acceptor.start()
    try:
        yield host
    finally:
        closing.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        acceptor.join()
        for thread in threads:
            thread.join()


def _serve(host: Host, connection: socket.socket, closing: threading.Event) -> None:
    with connection:
        try:
            head = b""
            while b"\r\n\r\n" not in head:
                piece = connection.recv(65_536)
                if not piece:
                    return
                head += piece
            text = head.decode("latin-1")
            host.requests.append(text)
            page = host.pages.get(text.split(" ")[1], answer(b"no such page", "404 Not Found"))
            if callable(page):
                page(connection, closing)
            else:
                connection.sendall(page)
        except (OSError, threading.BrokenBarrierError):
            return  # the client went away, as some of the tests want


def endless(connection: socket.socket, closing: threading.Event) -> None:
    """A body without an end."""
    connection.sendall(answer(Content_Length="", Content_Type="text/plain"))
    while not closing.is_set():
        connection.sendall(b"x" * 65_536)


def dripping(connection: socket.socket, closing: threading.Event) -> None:
    """A body of one byte every few milliseconds, so that no single wait is long."""
    connection.sendall(answer(Content_Length="50000"))
    while not closing.wait(0.02):
        connection.sendall(b"x")


def dripping_head(connection: socket.socket, closing: threading.Event) -> None:
    """A head that never ends."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nX-Long: ")
    while not closing.wait(0.02):
        connection.sendall(b"x")


def silent(connection: socket.socket, closing: threading.Event) -> None:
    """No answer at all."""
    closing.wait(30)


def cut(connection: socket.socket, closing: threading.Event) -> None:
    """Half of what was promised."""
    connection.sendall(answer(b"half", Content_Length="8"))


def failing_first(times: int, then: bytes, failure: bytes) -> Script:
    """``failure`` so many times, then the real thing."""
    seen: list[float] = []

    def script(connection: socket.socket, closing: threading.Event) -> None:
        seen.append(time.monotonic())
        connection.sendall(failure if len(seen) <= times else then)

    return script


def together(count: int, then: bytes) -> Script:
    """``then`` to each of ``count`` requests as soon as all of them are there; nothing to fewer."""
    barrier = threading.Barrier(count)

    def script(connection: socket.socket, closing: threading.Event) -> None:
        barrier.wait(30)
        connection.sendall(then)

    return script


def names(**leads_to: Any) -> Callable[[str, int, float], list[str]]:
    """A resolver that knows these names (underscores for dots), each an address, a list, or a list of answers in turn."""
    turns = {name.replace("_", "."): value for name, value in leads_to.items()}

    def resolve(host: str, port: int, seconds: float) -> list[str]:
        found = turns.get(host)
        if isinstance(found, Exception):
            raise found
        if found is None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        if isinstance(found, Iterator):
            found = next(found)
        return [found] if isinstance(found, str) else list(found)

    return resolve
