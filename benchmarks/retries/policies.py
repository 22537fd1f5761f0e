"""The retry policies compared: each library's own code, told to send through ``send``.

Ours and the peers differ in what they decide, not in what they send: one client is one object here, and one call is
``await client.call()``, True where it ended well. Libraries are imported where they are used: ours lives in another
environment than the peers.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

Send = Callable[[], Awaitable[int | None]]
"""One request: its status, None where no answer came in time."""


class Client(Protocol):
    """What one of the 200 holds: its policy, and with it whatever budget that has."""

    async def call(self) -> bool: ...


class CallFailed(Exception):
    """What the libraries are shown for a request that failed. ``status``: redress reads it."""

    def __init__(self, status: int | None) -> None:
        super().__init__(status)
        self.status = status


async def checked(send: Send) -> None:
    status = await send()
    if status is None:
        raise TimeoutError
    if status != 200:
        raise CallFailed(status)


async def ended_well(call: Awaitable[Any]) -> bool:
    try:
        await call
    except Exception:
        return False
    return True


class NoRetries:
    """Gives up at once: what the load is that retries multiply."""

    def __init__(self, send: Send) -> None:
        self._send = send

    async def call(self) -> bool:
        return await self._send() == 200


class Ours:
    """The SDK's own flow, with all defaults: what ``AsyncClient`` does for a single call but for the wire."""

    def __init__(self, send: Send) -> None:
        from amends.client._context import Context

        self._send = send
        self._context = Context("http://server", None, clock=self)

    def monotonic(self) -> float:
        return time.monotonic()

    def time(self) -> float:
        return 1.8e9 + time.monotonic()

    async def call(self) -> bool:
        from amends.client._exchange import Call, exchange
        from amends.exceptions import AmendsError

        flow = exchange(self._context, Call("GET", "/v1/files/file_1"), {})
        result: Any = None
        try:
            while True:
                result = await self._perform(flow.send(result))
        except StopIteration:
            return True
        except AmendsError:
            return False

    async def _perform(self, step: Any) -> Any:
        import asyncio

        from amends.client._flow import Answer, Failure, Send

        if not isinstance(step, Send):
            return await asyncio.sleep(step.seconds)
        status = await self._send()
        return Failure(TimeoutError(), is_timeout=True) if status is None else Answer(status, {}, b"")

    sleep = asleep = None


class Tenacity:
    """As its documentation advises for a busy service: four tries, random exponential waits up to 60 s."""

    def __init__(self, send: Send) -> None:
        from tenacity import AsyncRetrying, stop_after_attempt, wait_random_exponential

        self._send = send
        self._retrying = AsyncRetrying(stop=stop_after_attempt(4), wait=wait_random_exponential(multiplier=1, max=60))

    async def call(self) -> bool:
        return await ended_well(self._retrying(checked, self._send))


class Stamina:
    """Its defaults: ten tries within 45 s, waits of 0.1 s × 2 ** n plus up to 1 s, at most 5 s."""

    def __init__(self, send: Send) -> None:
        from stamina import AsyncRetryingCaller
        from stamina.instrumentation import set_on_retry_hooks

        set_on_retry_hooks([])  # or it logs each of a quarter million retries
        self._send = send
        self._caller = AsyncRetryingCaller().on(Exception)

    async def call(self) -> bool:
        return await ended_well(self._caller(checked, self._send))


class Redress:
    """Its quick start: six tries within 60 s, decorrelated waits of up to 5 s."""

    def __init__(self, send: Send) -> None:
        from redress import AsyncPolicy, AsyncRetry, default_classifier
        from redress.strategies import decorrelated_jitter

        self._send = send
        retry = AsyncRetry(classifier=default_classifier, strategy=decorrelated_jitter(max_s=5.0))
        self._policy = AsyncPolicy(retry=retry)

    async def call(self) -> bool:
        return await ended_well(self._policy.call(lambda: checked(self._send)))


class RedressBudget:
    """Its quick start of budgets: 20 retries in 60 s, decorrelated waits of up to 2 s."""

    def __init__(self, send: Send) -> None:
        from redress import AsyncPolicy, AsyncRetry, Budget, default_classifier
        from redress.strategies import decorrelated_jitter

        self._send = send
        retry = AsyncRetry(
            classifier=default_classifier,
            strategy=decorrelated_jitter(max_s=2.0),
            budget=Budget(max_retries=20, window_s=60.0),
        )
        self._policy = AsyncPolicy(retry=retry)

    async def call(self) -> bool:
        return await ended_well(self._policy.call(lambda: checked(self._send)))


class OpenAI:
    """The two decisions of the ``openai`` client with its defaults: two retries after 0.5 and 1 s, less up to a quarter."""

    def __init__(self, send: Send) -> None:
        import httpx2
        from openai import OpenAI as Library
        from openai._models import FinalRequestOptions

        self._send = send
        self._library = Library(api_key="k", http_client=_shared_http())
        self._options = FinalRequestOptions(method="get", url="/files/file_1")
        self._response = lambda status: httpx2.Response(status)

    async def call(self) -> bool:
        import asyncio

        for remaining in range(self._library.max_retries, -1, -1):
            status = await self._send()
            if status == 200:
                return True
            # It retries what got no answer just as what got a bad one.
            if remaining == 0 or (status is not None and not self._library._should_retry(self._response(status))):
                break
            await asyncio.sleep(self._library._calculate_retry_timeout(remaining, self._options, None))
        return False


class AWS:
    """botocore's standard mode: three tries, its backoff and its retry quota, a quota a client."""

    def __init__(self, send: Send) -> None:
        from botocore.retries import quota, standard

        self._send = send
        self._standard = standard
        self._quota = standard.RetryQuotaChecker(quota.RetryQuota())
        self._backoff = standard.ExponentialBackoff()
        self._checkers = standard.MaxAttemptsChecker(standard.DEFAULT_MAX_ATTEMPTS)
        self._transient = standard.TransientRetryableChecker()

    async def call(self) -> bool:
        import asyncio

        request_context: dict[str, Any] = {}
        attempt = 0
        while True:
            status, attempt = await self._send(), attempt + 1
            context = self._context(status, attempt, request_context)
            if status == 200:
                self._quota.release_retry_quota(request_context, context.http_response)
                return True
            may = self._checkers.is_retryable(context) and self._transient.is_retryable(context)
            if not (may and self._quota.acquire_retry_quota(context)):
                return False
            await asyncio.sleep(self._backoff.delay_amount(context))

    def _context(self, status: int | None, attempt: int, request_context: dict[str, Any]) -> Any:
        from types import SimpleNamespace

        from botocore.exceptions import ReadTimeoutError

        response = None if status is None else SimpleNamespace(status_code=status, headers={})
        error = ReadTimeoutError(endpoint_url="http://server") if status is None else None
        return self._standard.RetryContext(
            attempt_number=attempt, http_response=response, caught_exception=error, request_context=request_context
        )


def _shared_http() -> Any:
    """One for all: making 200 takes longer than the simulation."""
    import httpx2

    global _http
    if _http is None:
        _http = httpx2.Client(verify=False, trust_env=False)
    return _http


_http: Any = None

POLICIES: dict[str, Callable[[Send], Client]] = {
    "Amends": Ours,
    "no retries": NoRetries,
    "tenacity": Tenacity,
    "stamina": Stamina,
    "redress": Redress,
    "redress, with its budget": RedressBudget,
    "openai client": OpenAI,
    "AWS standard mode": AWS,
}
OURS = ("Amends", "no retries")
"""Which run in the project's own environment; the others run in that of the peers."""
