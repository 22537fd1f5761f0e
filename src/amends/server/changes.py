"""Changes that are one transaction of the store, done under the request's key."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, TypeVar

from fastapi import Request
from starlette.responses import Response

from amends.database import Transaction
from amends.problems import ProblemError, idempotency_in_progress
from amends.server.answers import encode
from amends.server.idempotency import body_digest, idempotent
from amends.server.services import Services, services
from amends.server.threads import in_thread
from amends.store import Fenced

Work = Callable[[Transaction], dict[str, Any]]

T = TypeVar("T")

_RETRY_SECONDS: Final = 1.0


async def in_transaction(hub: Services, write: Callable[[Transaction], T]) -> T:
    """Do it, and wait until it is durable. ProblemError conflict: somebody else does the same under the same key."""
    try:
        return await asyncio.wrap_future(hub.database.submit(write))
    except Fenced as error:
        raise ProblemError(idempotency_in_progress(_RETRY_SECONDS)) from error


async def changed(
    request: Request, plan: Callable[[], Work], *, status: int = 200, names_resource: bool = False
) -> Response:
    """Do once under the request's key what ``plan`` looks up and returns; its answer is given again to who asks again.

    names_resource: whether the answer's ``id`` is of something made. ProblemError of either passes through, and the key stays free.
    """
    hub = services(request)
    async with idempotent(request, await body_digest(request)) as guard:
        if guard.replay is not None:
            return guard.replay
        work = await in_thread(plan)

        def write(tx: Transaction) -> bytes:
            made = work(tx)
            answer = encode(made)
            guard.store(tx, status, answer, resource_id=made["id"] if names_resource else None)
            return answer

        answer = await in_transaction(hub, write)
    return Response(answer, status, media_type="application/json")
