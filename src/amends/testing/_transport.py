"""A server that says what it is told to say: for tests of code that uses the SDK.

def test_my_job_survives_a_busy_server():
    clock = FakeClock()
    transport = FakeTransport(Reply(503, headers={"Retry-After": "7"}), Reply(json={"id": "bpred_1"}), clock=clock)
    client = Client("ak_test_x", http_client=transport.http_client(), clock=clock)
    my_job(client)
    assert clock.slept[0] >= 7
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote

import httpx2

from ._clock import FakeClock


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer.

    json: sent as the body, unless ``body`` is given. problem bodies are plain JSON here, too. drop_after: bytes of the
    body after which the connection breaks, None for never. piece_bytes: how much of the body comes at a time.
    takes_seconds: how far the clock moves before the answer comes.
    """

    status: int = 200
    json: Any = None
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    drop_after: int | None = None
    piece_bytes: int = 65_536
    takes_seconds: float = 0.0

    def content(self) -> bytes:
        """The whole body."""
        if self.body is not None:
            return self.body
        return b"" if self.json is None else json.dumps(self.json).encode()


@dataclass(frozen=True, slots=True)
class RecordedRequest:
    """A request as it came.

    path: decoded, without the query; raw_path: as on the wire, with it cut off. headers: names in lower case.
    timeout_seconds: how long the sender would wait for each step of the answer, None for ever.
    """

    method: str
    path: str
    raw_path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    timeout_seconds: float | None = None

    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.body)


Answerer = Callable[[RecordedRequest], "Reply | Exception"]
Line = Reply | Exception | Answerer


class FakeTransport(httpx2.BaseTransport, httpx2.AsyncBaseTransport):
    """Answers requests from a script, in order, and keeps them in ``requests``.

    A line of the script is a Reply, an exception to raise (``httpx2.ConnectError("refused")``), or a callable that is
    given the request and returns either. A callable that comes last answers all that follow; otherwise a request beyond
    the script is an AssertionError. clock: moved by ``takes_seconds``.
    """

    def __init__(self, *script: Line, clock: FakeClock | None = None) -> None:
        self.requests: list[RecordedRequest] = []
        self._script = list(script)
        self._clock = clock

    def http_client(self) -> httpx2.Client:
        """Return what ``Client(http_client=…)`` takes."""
        return httpx2.Client(transport=self)

    def async_http_client(self) -> httpx2.AsyncClient:
        """Return what ``AsyncClient(http_client=…)`` takes."""
        return httpx2.AsyncClient(transport=self)

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        return self._answer(request, request.read())

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        return self._answer(request, await request.aread())

    def _answer(self, request: httpx2.Request, body: bytes) -> httpx2.Response:
        raw_path, _, query = request.url.raw_path.decode("ascii").partition("?")
        recorded = RecordedRequest(
            method=request.method,
            path=unquote(raw_path),
            raw_path=raw_path,
            query=dict(parse_qsl(query, keep_blank_values=True)),
            headers={name.lower(): value for name, value in request.headers.items()},
            body=body,
            timeout_seconds=request.extensions.get("timeout", {}).get("read"),
        )
        self.requests.append(recorded)
        line = self._next(recorded)
        reply = line if isinstance(line, Reply | Exception) else line(recorded)
        if isinstance(reply, Exception):
            raise reply
        if self._clock is not None:
            self._clock.advance(reply.takes_seconds)
        return _response(reply, request)

    def _next(self, recorded: RecordedRequest) -> Line:
        if not self._script:
            raise AssertionError(f"the script has no answer for {recorded.method} {recorded.raw_path}")
        if len(self._script) == 1 and not isinstance(self._script[0], Reply | Exception):
            return self._script[0]
        return self._script.pop(0)


def _response(reply: Reply, request: httpx2.Request) -> httpx2.Response:
    content = reply.content()
    kind = "application/json" if reply.body is None else "application/octet-stream"
    headers = {"Content-Length": str(len(content)), "Content-Type": kind, **reply.headers}
    return httpx2.Response(reply.status, headers=headers, stream=_Pieces(reply, content), request=request)


class _Pieces(httpx2.SyncByteStream, httpx2.AsyncByteStream):
    def __init__(self, reply: Reply, content: bytes) -> None:
        self._reply = reply
        self._content = content

    def __iter__(self) -> Iterator[bytes]:
        end = len(self._content) if self._reply.drop_after is None else self._reply.drop_after
        for place in range(0, end, self._reply.piece_bytes):
            yield self._content[place : min(end, place + self._reply.piece_bytes)]
        if self._reply.drop_after is not None:
            raise httpx2.ReadError("the connection broke, as the script says")

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self:
            yield piece
