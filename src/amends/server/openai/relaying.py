"""Requests of callers who wait, passed on to a provider: asked once at each endpoint at most, and not at all once the caller is gone."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from typing import Any, Final, TypeVar

import msgspec
from fastapi import Request

from amends.models.providers import CallFailed, Provider, ProviderClient, Reply
from amends.problems import Problem, ProblemError, problem

T = TypeVar("T")

_LOOK_SECONDS: Final = 0.1
_BUSY_SECONDS: Final = 2.0


async def relayed(
    request: Request, provider: Provider, model: str, endpoint: str, body: Mapping[str, Any], *, seconds: float
) -> dict[str, Any]:
    """The provider's answer. Raises ProblemError: what it refuses as 400 or 429, what fails there as 503 with ``provider``."""
    asked = {name: value for name, value in body.items() if name not in ("stream", "stream_options")} | {"model": model}
    async with ProviderClient(provider, os.environ) as client:
        call = asyncio.ensure_future(
            client.call_any(endpoint.removeprefix("/v1/"), asked, attempt=_attempt(request), timeout_seconds=seconds)
        )
        try:
            reply = await while_wanted(request, call)
        except CallFailed as error:
            raise ProblemError(_refusal(error.problem)) from error
    return _decoded(reply, provider)


async def while_wanted(request: Request, work: asyncio.Future[T]) -> T:
    """The result of the work, which is cancelled when the caller goes."""
    try:
        while not (await asyncio.wait({work}, timeout=_LOOK_SECONDS))[0]:
            if await request.is_disconnected():
                work.cancel()
        return work.result()
    except asyncio.CancelledError:
        # Nobody is there to be told, unless it is the server that goes down.
        raise ProblemError(problem("service_unavailable", retry_after=_BUSY_SECONDS)) from None
    finally:
        work.cancel()


def _decoded(reply: Reply, provider: Provider) -> dict[str, Any]:
    try:
        return msgspec.json.decode(reply.body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        detail = f"The provider '{provider.name}' answered with a body that is no JSON object"
        raise ProblemError(problem("service_unavailable", detail, retry_after=_BUSY_SECONDS)) from error


def _attempt(request: Request) -> int:
    given = request.headers.get("amends-attempt", "")
    return int(given) if given.isascii() and given.isdigit() and len(given) < 6 else 0


def _refusal(what: Problem) -> Problem:
    """A failed call as the answer of an endpoint: what the caller can mend is the caller's, all else a service that is not there."""
    status = what.extensions.get("upstream_status")
    members = {name: what.extensions[name] for name in ("provider", "upstream_status") if name in what.extensions}
    if status == 429 and what.remedy.retryable:
        return problem("rate_limit_exceeded", what.detail, retry_after=what.retry_after, **members)
    if status in (400, 404, 409, 413, 415, 422):
        return problem("malformed_request", what.detail, **members)
    return problem("service_unavailable", what.detail, retry_after=what.retry_after or _BUSY_SECONDS, **members)
