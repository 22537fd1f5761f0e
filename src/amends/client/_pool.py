"""What a client sends with where it was handed no HTTP client: connections, and nothing an API has no use for.

``httpx2.Client`` gives redirects, cookies, authentication and hooks, which this SDK does not use and which take a third of
a call's processor time. So the client speaks to httpcore2, on which httpx2 stands, itself. It does so only where no
proxy is set in the environment: those are httpx2's to find.

Requests are spread over a few pools, the least busy first: a pool looks at all of its connections twice a request, which
for 200 at once costs more than the request.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, MutableSequence
from typing import Any, Final
from urllib.request import getproxies

import httpcore2
import httpx2

from ._flow import Request

NETWORK_FAULTS: Final = (
    httpcore2.NetworkError,
    httpcore2.TimeoutException,
    httpcore2.ProtocolError,
    httpcore2.ProxyError,
    httpcore2.UnsupportedProtocol,
)
TIMEOUTS: Final = (httpcore2.TimeoutException,)

_POOLS: Final = 8
_LIMITS: Final[Mapping[str, Any]] = {"max_connections": 125, "max_keepalive_connections": 25, "keepalive_expiry": 5.0}
_ACCEPT_ENCODING: Final = (b"Accept-Encoding", b"gzip, deflate")


class Opened:
    """An answer whose body is still to come; as much of ``httpx2.Response`` as the loops use. It is closed once."""

    def __init__(self, core: httpcore2.Response, busy: MutableSequence[int], place: int) -> None:
        self.status_code = core.status
        self.headers = httpx2.Headers(core.headers)
        self._core = core
        self._busy, self._place = busy, place
        self._is_closed = False

    @property
    def is_success(self) -> bool:
        return 200 <= self.status_code < 300

    @property
    def http_version(self) -> str:
        version: bytes = self._core.extensions.get("http_version", b"HTTP/1.1")
        return version.decode("ascii", "ignore")

    def iter_bytes(self) -> Iterator[bytes]:
        return self._decoder().iter_bytes() if "content-encoding" in self.headers else self._core.iter_stream()

    def aiter_bytes(self) -> AsyncIterator[bytes]:
        return self._decoder().aiter_bytes() if "content-encoding" in self.headers else self._core.aiter_stream()

    def close(self) -> None:
        self._free()
        self._core.close()

    async def aclose(self) -> None:
        self._free()
        await self._core.aclose()

    def _free(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._busy[self._place] -= 1

    def _decoder(self) -> httpx2.Response:
        return httpx2.Response(self.status_code, headers=self.headers, stream=_Stream(self._core))


class _Stream(httpx2.SyncByteStream, httpx2.AsyncByteStream):
    def __init__(self, core: httpcore2.Response) -> None:
        self._core = core

    def __iter__(self) -> Iterator[bytes]:
        return self._core.iter_stream()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._core.aiter_stream()


class _Wire:
    """How a request is written: what both kinds of pool share."""

    def __init__(self, base_url: str) -> None:
        url = httpx2.URL(base_url)
        self._base = base_url
        self._scheme, self._host, self._port = url.raw_scheme, url.raw_host, url.port
        self._prefix = url.raw_path.rstrip(b"/")
        self._netloc = url.netloc
        # Calls under way in each pool. Two threads may count wrongly against each other by one now and then: it says
        # where there is least to do, and nothing depends on it.
        self.busy = [0] * _POOLS
        self.is_closed = False

    def message(self, request: Request, body: Mapping[str, Any]) -> httpcore2.Request:
        url = request.url
        if not url.startswith(self._base):
            parsed = httpx2.URL(url)
            scheme, host, port, target = parsed.raw_scheme, parsed.raw_host, parsed.port, parsed.raw_path
            netloc = parsed.netloc
        else:
            scheme, host, port, netloc = self._scheme, self._host, self._port, self._netloc
            target = self._prefix + url[len(self._base) :].encode("ascii")
        headers, content = self._encoded(request, body) if body else (request.headers.items(), None)
        raw = [(b"Host", netloc), *((name.encode("ascii"), value.encode()) for name, value in headers)]
        if "Accept-Encoding" not in request.headers:
            raw.append(_ACCEPT_ENCODING)
        if content is None and request.method in ("POST", "PUT", "PATCH"):
            raw.append((b"Content-Length", b"0"))
        seconds = request.timeout_seconds
        timeout = {"connect": seconds, "read": seconds, "write": seconds, "pool": seconds}
        return httpcore2.Request(
            request.method,
            httpcore2.URL(scheme=scheme, host=host, port=port, target=target),
            headers=raw,
            content=content,
            extensions={"timeout": timeout},
        )

    def _encoded(self, request: Request, body: Mapping[str, Any]) -> tuple[Any, Any]:
        """Let httpx2 write the body; return all headers and the stream."""
        encoded = httpx2.Request(request.method, "http://unused/", headers=dict(request.headers), **body)
        return [pair for pair in encoded.headers.multi_items() if pair[0].lower() != "host"], encoded.stream

    def take(self) -> int:
        """Choose the least busy pool."""
        self._check_open()
        busy = self.busy
        place = 0 if not busy[0] else busy.index(min(busy))
        busy[place] += 1
        return place

    def _check_open(self) -> None:
        if self.is_closed:
            raise RuntimeError("The client is closed: make another one, or leave its with block later.")


class Pool(_Wire):
    """Connections for threads."""

    def __init__(self, base_url: str) -> None:
        super().__init__(base_url)
        context = httpx2.create_ssl_context()
        self._pools = [httpcore2.ConnectionPool(ssl_context=context, **_LIMITS) for _ in range(_POOLS)]

    def open(self, request: Request, body: Mapping[str, Any]) -> Opened:
        """Send a request; return the answer once its head is here. Raises NETWORK_FAULTS."""
        message = self.message(request, body)
        place = self.take()
        try:
            return Opened(self._pools[place].handle_request(message), self.busy, place)
        except BaseException:
            self.busy[place] -= 1
            raise

    def close(self) -> None:
        self.is_closed = True
        for pool in self._pools:
            pool.close()


class AsyncPool(_Wire):
    """Connections for tasks."""

    def __init__(self, base_url: str) -> None:
        super().__init__(base_url)
        context = httpx2.create_ssl_context()
        self._pools = [httpcore2.AsyncConnectionPool(ssl_context=context, **_LIMITS) for _ in range(_POOLS)]

    async def open(self, request: Request, body: Mapping[str, Any]) -> Opened:
        """Send a request; return the answer once its head is here. Raises NETWORK_FAULTS."""
        message = self.message(request, body)
        place = self.take()
        try:
            return Opened(await self._pools[place].handle_async_request(message), self.busy, place)
        except BaseException:
            self.busy[place] -= 1
            raise

    async def aclose(self) -> None:
        self.is_closed = True
        for pool in self._pools:
            await pool.aclose()


def connect(base_url: str) -> Pool | httpx2.Client:
    """Make what a ``Client`` sends with."""
    return Pool(base_url) if _is_direct(base_url) else httpx2.Client()


def aconnect(base_url: str) -> AsyncPool | httpx2.AsyncClient:
    """Make what an ``AsyncClient`` sends with."""
    return AsyncPool(base_url) if _is_direct(base_url) else httpx2.AsyncClient()


def _is_direct(base_url: str) -> bool:
    return not getproxies() and not httpx2.URL(base_url).userinfo
