"""Somebody who receives webhooks: a real HTTP server on loopback that keeps what came and answers as the test says."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook


@dataclass(frozen=True)
class Received:
    """One request as it came. headers: names in lower case. at: monotonic seconds."""

    path: str
    headers: Mapping[str, str]
    body: bytes
    at: float

    @property
    def message_id(self) -> str:
        return self.headers["webhook-id"]

    def verified(self, secret: str) -> dict[str, Any]:
        """What it says, as a receiver that verifies it reads it; raises for a signature that is not right."""
        said: dict[str, Any] = Webhook(secret).verify(self.body, dict(self.headers))
        return said


@dataclass
class Receiver:
    """status: what is answered; None: nothing, until the test is over. headers, text: with it. by_path: other statuses."""

    url: str
    received: list[Received] = field(default_factory=list)
    status: int | None = 204
    headers: dict[str, str] = field(default_factory=dict)
    text: bytes = b""
    by_path: dict[str, int | None] = field(default_factory=dict)

    def of(self, path: str) -> list[Received]:
        return [each for each in self.received if each.path == path]

    def wait_for(self, count: int, path: str | None = None, seconds: float = 60.0) -> list[Received]:
        """What came, once there is so much of it."""
        end = time.monotonic() + seconds
        while len(found := self.received if path is None else self.of(path)) < count:
            assert time.monotonic() < end, f"{len(found)} came"
            time.sleep(0.01)
        return list(found)


@contextmanager
def running_receiver() -> Iterator[Receiver]:
    """A receiver on a free port, gone with its threads at the end."""
    closing = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            receiver.received.append(Received(self.path, headers, body, time.monotonic()))
            status = receiver.by_path.get(self.path, receiver.status)
            if status is None:
                closing.wait(60)
                self.close_connection = True
                return
            self.send_response(status)
            for name, value in receiver.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(receiver.text)

        def log_message(self, *_: Any) -> None:
            """Nobody reads it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver = Receiver(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        closing.set()
        server.shutdown()
        thread.join()
        server.server_close()
