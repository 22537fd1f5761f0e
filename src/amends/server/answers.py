"""Answers to changes of a run, kept with the change so that a repeated request gets the same again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec
from fastapi import Request
from starlette.responses import Response

from amends.ledger import Also, InvalidTransition, Run, RunNotFound
from amends.ledger.sql import run_in_transaction
from amends.problems import Problem, ProblemError, idempotency_in_progress, invalid_state, not_found
from amends.server.idempotency import Guard, body_digest, idempotent
from amends.server.services import services
from amends.server.threads import in_thread
from amends.server.tracing import link_to
from amends.store import Fenced

RETRY_SECONDS: Final = 1.0

encode = msgspec.json.Encoder().encode

BodyOf = Callable[[Run], dict[str, Any]]


def json_response(body: Any) -> Response:
    """200 with a JSON body."""
    return Response(encode(body), media_type="application/json")


class Answer:
    """The answer to one change. resource_id: what the change created, None if it created nothing."""

    def __init__(self, guard: Guard, run_id: str, body_of: BodyOf, *, resource_id: str | None = None) -> None:
        self._guard = guard
        self._run_id = run_id
        self._body_of = body_of
        self._resource_id = resource_id
        self._stored: bytes | None = None

    def store(self, tx: Any) -> None:
        """Store it under the request's key; to be called in the transaction of the change."""
        if tx is None:  # the in-memory ledger has no transactions, and so no keys
            return
        self._stored = encode(self._body_of(run_in_transaction(tx, self._run_id)))
        self._guard.store(tx, 200, self._stored, resource_id=self._resource_id)

    def response(self, run: Run) -> Response:
        """What was stored, so that a replay is the same to the byte."""
        if self._resource_id is not None:
            link_to(self._resource_id)
        return Response(self._stored or encode(self._body_of(run)), media_type="application/json")


async def change(request: Request, run: Run, kind: str, body_of: BodyOf, work: Callable[[Also], Run]) -> Response:
    """Change a run under the request's key. work: does it in one transaction together with what it is handed.

    ProblemError conflict where the run's state does not allow it.
    """
    async with idempotent(request, await body_digest(request)) as guard:
        if guard.replay is not None:
            return guard.replay
        answer = Answer(guard, run.id, body_of)
        try:
            changed = await in_thread(work, answer.store)
        except InvalidTransition as error:
            raise ProblemError(wrong_state(error.state, error.wanted, run.id, kind)) from error
        except RunNotFound as error:
            raise ProblemError(not_found(kind, run.id)) from error
        except Fenced as error:
            raise ProblemError(idempotency_in_progress(RETRY_SECONDS)) from error
        if (engine := services(request).engine) is not None:
            engine.wake()
        return answer.response(changed)


def wrong_state(state: str, wanted: str, run_id: str, kind: str) -> Problem:
    """The problem of a run that stands in ``state`` and cannot become ``wanted``."""
    return invalid_state(f"The run is {state} and cannot become {wanted}", state=state, **{f"{kind}_id": run_id})
