"""Calls to a provider over HTTP: one call, one answer or one problem. Nothing is tried again here."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Final, NamedTuple

import httpx2
import msgspec

from amends.problems import Problem, ProblemError, problem

from ._failures import cut_off, refusal_of, timed_out, unreadable
from ._provider import Endpoint, Provider

__all__ = ["CallFailed", "ProviderClient", "Reply"]

MAX_ANSWER_BYTES: Final = 64 << 20
_CONNECT_SECONDS: Final = 10.0


class Reply(NamedTuple):
    """An answer of status 2xx."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class CallFailed(ProblemError):
    """A call that came to nothing. status, body: of the answer, None and empty where there was none."""

    def __init__(self, problem: Problem, status: int | None = None, body: bytes = b"") -> None:
        super().__init__(problem)
        self.status = status
        self.body = body

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.problem, self.status, self.body)


class ProviderClient:
    """Speaks to the endpoints of one provider, on one event loop.

    environ: where the keys are, under the names that the configuration says. A call that is cancelled, times out or fails closes
    its connection. transport: for tests; the network otherwise.
    """

    def __init__(
        self,
        provider: Provider,
        environ: Mapping[str, str],
        *,
        transport: httpx2.AsyncBaseTransport | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.provider = provider
        self._environ = environ
        self._clock = clock
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=provider.concurrency)
        self._http = httpx2.AsyncClient(
            transport=transport,
            limits=limits,
            timeout=httpx2.Timeout(provider.timeout_seconds, connect=_CONNECT_SECONDS),
            follow_redirects=False,
        )

    async def __aenter__(self) -> ProviderClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        await self._http.aclose()

    async def call(
        self,
        path: str,
        body: Mapping[str, Any],
        *,
        key: str | None = None,
        attempt: int = 0,
        timeout_seconds: float | None = None,
        endpoint: int = 0,
    ) -> Reply:
        """POST ``body`` to ``{base_url}/{path}`` of one endpoint.

        key: goes upstream as the idempotency key. attempt: tries before this one; it goes upstream with what is left of the time.
        timeout_seconds: for the whole call, None takes the provider's. Raises CallFailed.
        """
        name = self.provider.name
        seconds = min(self.provider.timeout_seconds, timeout_seconds or self.provider.timeout_seconds)
        try:
            # httpx2's own timeouts begin anew with every byte, so a server that drips would never end.
            async with asyncio.timeout(seconds):
                return await self._send(self.provider.endpoints[endpoint], path, body, key, attempt, seconds)
        except (TimeoutError, httpx2.ReadTimeout, httpx2.WriteTimeout) as error:
            raise CallFailed(timed_out(name, seconds)) from error
        except httpx2.HTTPError as error:
            raise CallFailed(cut_off(name, type(error).__name__)) from error

    async def call_any(self, path: str, body: Mapping[str, Any], **options: Any) -> Reply:
        """``call`` the first endpoint, and the next ones where one is down or limited. For a caller who waits; see ``call``."""
        failure: CallFailed | None = None
        for number in range(len(self.provider.endpoints)):
            try:
                return await self.call(path, body, endpoint=number, **options)
            except CallFailed as error:
                failure = error
                if not error.problem.remedy.retryable or error.problem.error_code == "UPSTREAM_TIMEOUT":
                    break
        assert failure is not None, "a provider has an endpoint"
        raise failure

    async def _send(
        self, endpoint: Endpoint, path: str, body: Mapping[str, Any], key: str | None, attempt: int, seconds: float
    ) -> Reply:
        secret = self._secret(endpoint)
        headers = _headers(secret, key, attempt, seconds)
        request = self._http.build_request(
            "POST", f"{endpoint.base_url}/{path}", content=msgspec.json.encode(body), headers=headers
        )
        response = await self._http.send(request, stream=True)
        try:
            answer = await self._read(response)
        finally:
            await response.aclose()
        if response.is_success:
            return Reply(response.status_code, response.headers, answer)
        if secret is not None:  # some repeat the key that they do not take
            answer = answer.replace(secret.encode(), b"********")
        refusal = refusal_of(self.provider.name, response.status_code, response.headers, answer, self._clock())
        raise CallFailed(refusal, response.status_code, answer)

    async def _read(self, response: httpx2.Response) -> bytes:
        pieces = bytearray()
        async for piece in response.aiter_bytes():
            pieces += piece
            if len(pieces) > MAX_ANSWER_BYTES:
                what = f"more than {MAX_ANSWER_BYTES} bytes"
                raise CallFailed(unreadable(self.provider.name, response.status_code, what), response.status_code)
        return bytes(pieces)

    def _secret(self, endpoint: Endpoint) -> str | None:
        if endpoint.key_variable is None:
            return None
        secret = self._environ.get(endpoint.key_variable, "").strip()
        if not secret or not secret.isascii() or not secret.isprintable():
            raise CallFailed(_no_key(self.provider.name, endpoint.key_variable))
        return secret


def _headers(secret: str | None, key: str | None, attempt: int, seconds: float) -> dict[str, str]:
    headers = {
        "Content-Type": "application/json",
        "Amends-Attempt": str(attempt),
        "Amends-Timeout": f"{seconds:.3f}",
    }
    if key is not None:
        headers["Idempotency-Key"] = key
    if secret is not None:
        headers["Authorization"] = f"Bearer {secret}"
    return headers


def _no_key(provider: str, variable: str) -> Problem:
    return problem(
        "upstream_failed",
        f"There is no key for the provider '{provider}': the environment variable {variable} is not set, or holds no key",
        error_code="UPSTREAM_REFUSED",
        hint=f"Set {variable} where the server runs, start it again, and retry.",
        provider=provider,
        upstream_status=None,
    )
