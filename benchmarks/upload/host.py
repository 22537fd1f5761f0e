"""Somebody's host whose answers are of no use: forbidden, none in time, a redirect inside, a page of HTML."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True, slots=True)
class Host:
    port: int

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        kind = self.path.split("/")[1]
        if kind == "slow":
            time.sleep(10)
            return
        status, headers, body = {
            "private": (302, {"Location": "http://10.0.0.1/inside.jpg"}, b""),
            "html": (200, {"Content-Type": "text/html"}, b"<html><body>Please log in</body></html>"),
        }.get(kind, (403, {}, b"no"))
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(body))}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@contextmanager
def running_host() -> Iterator[Host]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield Host(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
