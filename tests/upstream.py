"""A model provider for tests: a real HTTP server on loopback whose every answer the test decides, and which counts what reaches it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass(eq=False)
class Call:
    """One request as it came. number: from 0, in order of arrival. headers: names in lower case. at: monotonic seconds.

    was_left: the client closed the connection before it had its answer.
    """

    number: int
    path: str
    headers: Mapping[str, str]
    body: Any
    at: float
    was_left: bool = False

    @property
    def key(self) -> str:
        """The idempotency key, ``{run}:{seq}`` of an item."""
        return self.headers.get("idempotency-key", "")

    @property
    def text(self) -> str:
        """All text of the last message, or the text to embed."""
        if "messages" not in self.body:
            return str(self.body.get("input"))
        if not self.body["messages"]:
            return ""
        content = self.body["messages"][-1]["content"]
        if isinstance(content, str):
            return content
        return "\n\n".join(part["text"] for part in content if part["type"] == "text")


@dataclass(frozen=True)
class Say:
    """Answer so, after a while. body: a value of JSON, or the bytes themselves."""

    body: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    after_seconds: float = 0.0


@dataclass(frozen=True)
class Hang:
    """Never answer."""


@dataclass(frozen=True)
class Cut:
    """Close the connection in the middle of the answer, or before it."""

    is_begun: bool = True


Deed = Say | Hang | Cut


def chat(content: Any, *, prompt_tokens: int = 10, completion_tokens: int = 5, **message: Any) -> dict[str, Any]:
    """A chat completion that says ``content``, text or a value put as JSON."""
    said = content if isinstance(content, str) else json.dumps(content)
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [
            {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": said, **message}}
        ],
        "usage": {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": completion_tokens,
            "total_tokens": prompt_tokens + completion_tokens,
        },
    }


def embedding(vector: Sequence[float]) -> dict[str, Any]:
    """An answer to a request for one embedding."""
    return {
        "object": "list",
        "model": "m",
        "data": [{"object": "embedding", "index": 0, "embedding": list(vector)}],
        "usage": {"prompt_tokens": 3, "total_tokens": 3},
    }


def refusal(status: int, message: str = "no", *, retry_after: float | None = None, code: str | None = None) -> Say:
    """A failure as OpenAI-compatible providers say it."""
    headers = {} if retry_after is None else {"Retry-After": f"{retry_after:g}"}
    return Say({"error": {"message": message, "type": "error", "param": None, "code": code}}, status, headers)


def echo(call: Call) -> Deed:
    """Answer the text that was sent, as ``{"text": …}`` where a schema was given."""
    if call.path.endswith("/embeddings"):
        return Say(embedding([1.0, 0.5]))
    return Say(chat({"text": call.text} if "response_format" in call.body else call.text))


class Upstream:
    """The running server. calls: all so far. under_way: those that have no answer yet."""

    def __init__(self, answer: Callable[[Call], Deed]) -> None:
        self.answer = answer
        self.calls: list[Call] = []
        self.under_way = 0
        self.most_under_way = 0
        self.base_url = ""
        self._lock = threading.Lock()
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="upstream")

    def start(self) -> None:
        self._thread.start()
        self._ready.wait()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()
        self._loop.close()

    def calls_by_key(self) -> Counter[str]:
        """How many requests reached it for each item."""
        return Counter(call.key for call in list(self.calls))

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        self._connections: set[asyncio.Task[None]] = set()
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0, limit=1 << 24, backlog=2_048)
        self.base_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        self._ready.set()
        await self._stopping.wait()
        server.close()
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while (call := await self._read(reader)) is not None:
                if not await self._respond(call, reader, writer):
                    break
        writer.close()
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            await writer.wait_closed()

    async def _read(self, reader: asyncio.StreamReader) -> Call | None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return None
        line, *rest = head.decode("latin-1").split("\r\n")
        headers = {
            name.lower(): value.strip() for name, _, value in (header.partition(":") for header in rest if header)
        }
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        with self._lock:
            call = Call(len(self.calls), line.split(" ")[1], headers, json.loads(body or b"null"), time.monotonic())
            self.calls.append(call)
            self.under_way += 1
            self.most_under_way = max(self.most_under_way, self.under_way)
        return call

    async def _respond(self, call: Call, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Whether the connection stays."""
        try:
            deed = self.answer(call)
            if isinstance(deed, Say) and await self._is_left(call, reader, deed.after_seconds):
                return False
            if isinstance(deed, Hang):
                await self._is_left(call, reader, None)
                return False
            return await _carry_out(deed, writer)
        finally:
            with self._lock:
                self.under_way -= 1

    async def _is_left(self, call: Call, reader: asyncio.StreamReader, seconds: float | None) -> bool:
        """Wait so long, None for ever, unless the client goes away first: nothing else can come before the answer."""
        if seconds is not None and seconds <= 0:
            return False
        try:
            async with asyncio.timeout(seconds):
                await reader.read(1)
        except TimeoutError:
            return False
        except ConnectionError:
            pass
        call.was_left = True
        return True


async def _carry_out(deed: Say | Cut, writer: asyncio.StreamWriter) -> bool:
    if isinstance(deed, Cut):
        if deed.is_begun:
            writer.write(
                b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"choices":'
            )
            await writer.drain()
        writer.transport.abort()
        return False
    body = deed.body if isinstance(deed.body, bytes) else json.dumps(deed.body).encode()
    headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), **deed.headers}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    writer.write(f"HTTP/1.1 {deed.status} Status\r\n{lines}\r\n".encode() + body)
    await writer.drain()
    return True


@contextmanager
def running_upstream(answer: Callable[[Call], Deed] = echo) -> Iterator[Upstream]:
    """A provider on a free port; ``answer`` may be changed while it runs."""
    upstream = Upstream(answer)
    upstream.start()
    try:
        yield upstream
    finally:
        upstream.close()
