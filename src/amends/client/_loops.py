"""The two loops that do what flows ask for: the only place where the SDK touches the network or waits."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, TypeVar

import httpx2

from ._bodies import BodyFault, DeadlinePassed
from ._context import Clock
from ._flow import Answer, Do, Drive, Emit, Failure, Flow, Read, Request, Send, Sleep, Step, Stream
from ._pool import NETWORK_FAULTS, TIMEOUTS, AsyncPool, Opened, Pool

T = TypeVar("T")

# What is read of a failing answer: problems are small, and a gateway's page may be endless.
_MAX_ERROR_BYTES: Final = 1024 * 1024
_NETWORK_FAULTS: Final = (
    *NETWORK_FAULTS,
    httpx2.HTTPError,
    httpx2.StreamError,
    httpx2.InvalidURL,
    OSError,
    DeadlinePassed,
)


class SyncLoop:
    """Drives flows in the caller's thread. Holds nothing of a flow, so threads may share it."""

    def __init__(self, http: httpx2.Client | Pool, clock: Clock) -> None:
        self.http = http
        self._clock = clock

    def run(self, flow: Flow[T]) -> T:
        """Drive ``flow`` to its end and return its result."""
        held = _Held()
        result: Any = None
        try:
            while True:
                try:
                    step = flow.send(result)
                except StopIteration as stop:
                    value: T = stop.value
                    return value
                result = self._perform(step, held)
        finally:
            flow.close()
            held.close()

    def iterate(self, stream: Stream[T]) -> Iterator[T]:
        """Drive ``stream`` as far as it is iterated."""
        held = _Held()
        result: Any = None
        try:
            while True:
                try:
                    step = stream.send(result)
                except StopIteration:
                    return
                if isinstance(step, Emit):
                    result = None
                    yield from step.values
                else:
                    result = self._perform(step, held)
        finally:
            stream.close()
            held.close()

    def _perform(self, step: Step, held: _Held) -> Any:
        if isinstance(step, Send):
            held.close()
            return self._send(step.request, held)
        if isinstance(step, Sleep):
            return self._clock.sleep(step.seconds)
        if isinstance(step, Read):
            return self._read(held)
        if isinstance(step, Do):
            with _own_errors():
                return step.work()
        if isinstance(step, Drive):
            return step.work(self.run)
        return held.close()

    def _send(self, request: Request, held: _Held) -> Answer | Failure:
        held.begin(request, self._clock)
        try:
            body = {} if request.body is None else request.body.sync_arguments(held.check)
            response = self._open(self.http, request, body)
            held.response, held.blocks = response, response.iter_bytes()
            if request.is_streamed and response.is_success:
                return _answer(response)
            content = bytearray()
            for block in held.blocks:
                content += block
                held.check_try()
                if not response.is_success and len(content) > _MAX_ERROR_BYTES:
                    break
            held.close()
            return _answer(response, bytes(content))
        except BodyFault as fault:
            raise fault.error from None
        except _NETWORK_FAULTS as error:
            held.close()
            return _failure(error)

    def _open(self, http: httpx2.Client | Pool, request: Request, body: dict[str, Any]) -> httpx2.Response | Opened:
        if isinstance(http, Pool):
            return http.open(request, body)
        return http.send(http.build_request(request.method, request.url, **_arguments(request), **body), stream=True)

    def _read(self, held: _Held) -> bytes | Failure | None:
        assert held.blocks is not None
        try:
            held.check()
            block: bytes | None = next(held.blocks, None)
        except _NETWORK_FAULTS as error:
            held.close()
            return _failure(error)
        return block


class AsyncLoop:
    """Drives flows in the caller's task."""

    def __init__(self, http: httpx2.AsyncClient | AsyncPool, clock: Clock) -> None:
        self.http = http
        self._clock = clock

    async def run(self, flow: Flow[T]) -> T:
        """Drive ``flow`` to its end and return its result."""
        held = _Held()
        result: Any = None
        try:
            while True:
                try:
                    step = flow.send(result)
                except StopIteration as stop:
                    value: T = stop.value
                    return value
                result = await self._perform(step, held)
        finally:
            flow.close()
            await held.aclose()

    async def iterate(self, stream: Stream[T]) -> AsyncIterator[T]:
        """Drive ``stream`` as far as it is iterated."""
        held = _Held()
        result: Any = None
        try:
            while True:
                try:
                    step = stream.send(result)
                except StopIteration:
                    return
                if isinstance(step, Emit):
                    result = None
                    for value in step.values:
                        yield value
                else:
                    result = await self._perform(step, held)
        finally:
            stream.close()
            await held.aclose()

    async def _perform(self, step: Step, held: _Held) -> Any:
        if isinstance(step, Send):
            await held.aclose()
            return await self._send(step.request, held)
        if isinstance(step, Sleep):
            return await self._clock.asleep(step.seconds)
        if isinstance(step, Read):
            return await self._read(held)
        if isinstance(step, Do):
            with _own_errors():
                return await (step.awork() if step.awork else _in_thread(step.work))
        if isinstance(step, Drive):
            return await step.awork(self.run)
        return await held.aclose()

    async def _send(self, request: Request, held: _Held) -> Answer | Failure:
        held.begin(request, self._clock)
        try:
            body = {} if request.body is None else request.body.async_arguments(held.check)
            response = await self._open(self.http, request, body)
            held.response, held.ablocks = response, response.aiter_bytes()
            if request.is_streamed and response.is_success:
                return _answer(response)
            content = bytearray()
            async for block in held.ablocks:
                content += block
                held.check_try()
                if not response.is_success and len(content) > _MAX_ERROR_BYTES:
                    break
            await held.aclose()
            return _answer(response, bytes(content))
        except BodyFault as fault:
            raise fault.error from None
        except _NETWORK_FAULTS as error:
            await held.aclose()
            return _failure(error)

    async def _open(
        self, http: httpx2.AsyncClient | AsyncPool, request: Request, body: dict[str, Any]
    ) -> httpx2.Response | Opened:
        if isinstance(http, AsyncPool):
            return await http.open(request, body)
        message = http.build_request(request.method, request.url, **_arguments(request), **body)
        return await http.send(message, stream=True)

    async def _read(self, held: _Held) -> bytes | Failure | None:
        assert held.ablocks is not None
        try:
            held.check()
            block: bytes | None = await anext(held.ablocks, None)
        except _NETWORK_FAULTS as error:
            await held.aclose()
            return _failure(error)
        return block


class _Held:
    """The one response a flow has open, closed whatever happens to the flow."""

    def __init__(self) -> None:
        self.response: httpx2.Response | Opened | None = None
        self.blocks: Iterator[bytes] | None = None
        self.ablocks: AsyncIterator[bytes] | None = None

    def begin(self, request: Request, clock: Clock) -> None:
        self._clock = clock
        self._expires_at = request.expires_at
        has_end = request.timeout_seconds is not None and not request.is_bulk
        self._try_ends_at = clock.monotonic() + request.timeout_seconds if has_end and request.timeout_seconds else None

    def check(self) -> None:
        """Raise DeadlinePassed once the call's deadline is over."""
        if self._expires_at is not None and self._clock.monotonic() >= self._expires_at:
            raise DeadlinePassed

    def check_try(self) -> None:
        """The same for the time of one try: a server that sends a byte now and then never falls silent."""
        if self._try_ends_at is not None and self._clock.monotonic() >= self._try_ends_at:
            raise DeadlinePassed

    def close(self) -> None:
        response, self.response = self.response, None
        if response is not None:
            # Closing an answer that is not read to its end breaks its connection, which may complain.
            with suppress(httpx2.HTTPError, OSError, *NETWORK_FAULTS):
                response.close()

    async def aclose(self) -> None:
        response, self.response = self.response, None
        if response is not None:
            with suppress(httpx2.HTTPError, OSError, *NETWORK_FAULTS):
                await response.aclose()


@contextmanager
def _own_errors() -> Iterator[None]:
    """What the caller's own iterable or file raised is raised as it was."""
    try:
        yield
    except BodyFault as fault:
        raise fault.error from None


async def _in_thread(work: Callable[[], T]) -> T:
    import asyncio  # which a Client never needs

    return await asyncio.to_thread(work)


def _arguments(request: Request) -> dict[str, Any]:
    """timeout: httpx2 bounds each operation; the sum is checked between the pieces of the answer."""
    return {"headers": dict(request.headers), "timeout": httpx2.Timeout(request.timeout_seconds)}


def _answer(response: httpx2.Response | Opened, body: bytes = b"") -> Answer:
    # Without any of these only the closing of the connection ends the body, and a cut one looks whole (RFC 9112, 6.3).
    is_framed = (
        "content-length" in response.headers
        or "transfer-encoding" in response.headers
        or response.http_version == "HTTP/2"
    )
    return Answer(response.status_code, response.headers, body, is_framed)


def _failure(error: Exception) -> Failure:
    return Failure(error, isinstance(error, (httpx2.TimeoutException, DeadlinePassed, *TIMEOUTS)))
