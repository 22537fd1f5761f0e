"""The server of limited capacity over HTTP: GET is a request, PUT sets its level. Serves until standard input closes."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.retries.load import REAL
from benchmarks.retries.server import Server


class Connection(asyncio.Protocol):
    """HTTP/1.1 without pipelining: as much of it as the load speaks."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._got = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._got += data
        head, end, body = self._got.partition(b"\r\n\r\n")
        if not end or len(body) < length_of(head):
            return
        self._got = b""
        if head.startswith(b"PUT"):
            self._server.level = float(body)
            self._answer(200)
        else:
            self._server.submit().add_done_callback(lambda answer: self._answer(answer.result()))

    def _answer(self, status: int) -> None:
        self._transport.write(b"HTTP/1.1 %d Answer\r\nContent-Length: 2\r\n\r\n{}" % status)


def length_of(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    return 0


async def main() -> None:
    loop = asyncio.get_running_loop()
    limited = Server(REAL.capacity)
    listening = await loop.create_server(lambda: Connection(limited), "127.0.0.1", 0, backlog=1024)
    print(listening.sockets[0].getsockname()[1], flush=True)
    async with listening:
        await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
