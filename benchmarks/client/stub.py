"""A server that answers every request with the same file's record, as cheaply as Python can: what it costs is not measured.

Announces its port on standard output and serves until its standard input closes.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import uvloop

RECORD = {
    "id": "file_01J0000000000000000000000",
    "object": "file",
    "bytes": 120_000,
    "size": 120_000,
    "created_at": 1_800_000_000,
    "expires_at": None,
    "filename": "invoice.pdf",
    "media_type": "application/pdf",
    "purpose": "batch",
    "status": "processed",
    "sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
}
BODY = json.dumps(RECORD).encode()
HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-request-id: req_0123456789abcdef\r\n"
    b"date: Fri, 15 Jan 2027 08:00:00 GMT\r\nserver: stub\r\ncontent-length: %d\r\n\r\n" % len(BODY)
)
ANSWER = HEAD + BODY


class Stub(asyncio.Protocol):
    """Counts the ends of request heads, which is enough for requests without a body."""

    def __init__(self) -> None:
        self._rest = b""

    def connection_made(self, transport: Any) -> None:
        self._transport: asyncio.Transport = transport

    def data_received(self, data: bytes) -> None:
        heads = (self._rest + data).split(b"\r\n\r\n")
        self._rest = heads.pop()
        if heads:
            self._transport.write(ANSWER * len(heads))


async def main() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Stub, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    uvloop.run(main())
