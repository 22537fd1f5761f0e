"""``/openai/v1/batches``: files of requests, answered by runs of the engine."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Path, Request
from starlette.responses import JSONResponse, Response

from amends.database import Transaction, new_id
from amends.ledger import InvalidTransition, Run, RunNotFound
from amends.problems import FieldError, ProblemError, idempotency_in_progress, not_found, validation_failed
from amends.server.answers import wrong_state
from amends.server.auth import Caller
from amends.server.idempotency import Guard, body_digest, idempotent
from amends.server.openai.batch_object import BatchList, BatchObject, batch_object
from amends.server.openai.bodies import CreateBatch
from amends.server.pagination import After, Limit
from amends.server.routing import Route
from amends.server.services import Services, hub, who
from amends.server.threads import in_thread
from amends.store import Fenced, OpenAIBatch

router = APIRouter(prefix="/openai/v1/batches", tags=["openai batches"], route_class=Route)

Hub = Annotated[Services, Depends(hub)]
Who = Annotated[Caller, Depends(who)]
BatchId = Annotated[str, Path(max_length=128, description="The batch's id, which is its run's too.")]

_WINDOW_SECONDS: Final = 86_400
_RETRY_SECONDS: Final = 1.0
_KIND: Final = "batch"


@router.post("", summary="Create a batch", response_model=BatchObject)
async def create_batch(request: Request, hub: Hub, who: Who, body: CreateBatch) -> Response:
    """The input file is read after the answer, while the batch is ``validating``; a bad one lets it end ``failed``."""
    who.authorize("create", _KIND)
    async with idempotent(request, await body_digest(request)) as guard:
        if guard.replay is not None:
            return guard.replay
        await in_thread(_check_input, hub, who, body.input_file_id)
        batch = _new_batch(request, hub, who, body)
        answer = batch_object(batch, None).model_dump()

        def write(tx: Transaction) -> None:
            hub.store.openai_batches.add(tx, batch)
            guard.store(tx, 200, answer, resource_id=batch.id)

        await _in_transaction(hub, write)
    hub.new_openai_batch.set()
    return JSONResponse(answer)


@router.get("", summary="List the batches, newest first")
def list_batches(hub: Hub, who: Who, limit: Limit = 20, after: After = None) -> BatchList:
    found = hub.store.openai_batches.find(who.workspace_id, limit=limit + 1, after=after)
    rows = found[:limit]
    return BatchList(
        data=[_shown(hub, batch) for batch in rows],
        first_id=rows[0].id if rows else None,
        last_id=rows[-1].id if rows else None,
        has_more=len(found) > limit,
    )


@router.get("/{batch_id}", summary="Get a batch")
def get_batch(hub: Hub, who: Who, batch_id: BatchId) -> BatchObject:
    return _shown(hub, _found(hub, who, batch_id))


@router.post("/{batch_id}/cancel", summary="Cancel a batch", response_model=BatchObject)
async def cancel_batch(request: Request, hub: Hub, who: Who, batch_id: BatchId) -> Response:
    """What is done stays, in the output file; the rest is in the error file. One that is cancelled is answered unchanged."""
    batch = await in_thread(_found, hub, who, batch_id)
    who.authorize("cancel", _KIND, made_by=batch.created_by)
    async with idempotent(request, await body_digest(request)) as guard:
        if guard.replay is not None:
            return guard.replay
        answer = await in_thread(_cancel, hub, batch, guard)
    if hub.engine is not None:
        hub.engine.wake()
    return JSONResponse(answer)


def _cancel(hub: Services, batch: OpenAIBatch, guard: Guard) -> dict[str, Any]:
    """Cancel it, wherever it stands; the answer, which is stored under the request's key."""

    def ask(tx: Transaction) -> bool:
        return hub.store.openai_batches.ask_to_cancel(tx, batch.id)

    try:
        if not hub.database.write(ask):
            current = hub.store.openai_batches.get(batch.id)
            if current is not None and current.state == "failed":
                raise InvalidTransition("failed", "cancelling")
            if current is not None and current.state != "cancelled":
                hub.ledger.cancel(batch.id)
    except InvalidTransition as error:
        raise ProblemError(wrong_state(error.state, error.wanted, batch.id, _KIND)) from error
    except RunNotFound as error:
        raise ProblemError(not_found(_KIND, batch.id)) from error
    current = hub.store.openai_batches.get(batch.id)
    answer = _shown(hub, current or batch).model_dump()
    try:
        hub.database.write(lambda tx: guard.store(tx, 200, answer))
    except Fenced as error:
        raise ProblemError(idempotency_in_progress(_RETRY_SECONDS)) from error
    return answer


def _check_input(hub: Services, who: Caller, file_id: str) -> None:
    file = hub.store.files.get(who.workspace_id, file_id)
    if file is None:
        message, code = f"No such file: '{file_id}'", "file_not_found"
    elif file.purpose != "batch":
        message, code = (
            f"The file has the purpose '{file.purpose}', and a batch's input needs 'batch'",
            "invalid_purpose",
        )
    else:
        return
    raise ProblemError(validation_failed([FieldError.at(("body", "input_file_id"), message, code)]))


def _new_batch(request: Request, hub: Services, who: Caller, body: CreateBatch) -> OpenAIBatch:
    now = hub.now()
    return OpenAIBatch(
        id=new_id("batch_", now=now),
        workspace_id=who.workspace_id,
        endpoint=body.endpoint,
        input_file_id=body.input_file_id,
        metadata=body.metadata or {},
        mode=who.mode,
        request_id=request.state.request_id,
        created_by=who.principal,
        created_at=now,
        deadline=now + _WINDOW_SECONDS,
        output_seconds=body.output_expires_after.seconds if body.output_expires_after else None,
    )


def _found(hub: Services, who: Caller, batch_id: str) -> OpenAIBatch:
    batch = hub.store.openai_batches.get(batch_id)
    if batch is None or batch.workspace_id != who.workspace_id:
        raise ProblemError(not_found(_KIND, batch_id))
    return batch


def _shown(hub: Services, batch: OpenAIBatch) -> BatchObject:
    run: Run | None = hub.ledger.get(batch.id) if batch.state == "running" else None
    return batch_object(batch, run)


async def _in_transaction(hub: Services, write: Any) -> None:
    try:
        await asyncio.wrap_future(hub.database.submit(write))
    except Fenced as error:
        raise ProblemError(idempotency_in_progress(_RETRY_SECONDS)) from error
