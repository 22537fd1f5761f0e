"""The next task, its lease, its answer: what the labelling page does, for programs."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Path, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from amends.database import Transaction, rfc3339
from amends.problems import ProblemError, invalid_state, not_found
from amends.server.auth import Caller
from amends.server.changes import Work, changed
from amends.server.labelling import (
    check_answer,
    choices_of,
    definition_of,
    find_order,
    take_answer,
    take_back,
)
from amends.server.orders import OrderId
from amends.server.routing import Route
from amends.server.services import Services, hub, who
from amends.store import Annotator, DatapointRecord, JobDefinition, JobKind, Order, OrderStatus, TaskLease

router = APIRouter(prefix="/v1", tags=["tasks"], route_class=Route)

Hub = Annotated[Services, Depends(hub)]
Who = Annotated[Caller, Depends(who)]
LeaseId = Annotated[str, Path(max_length=128, description="The lease's id.")]
Seconds = Annotated[float, Field(ge=1, le=86_400)]

_KIND: Final = "task"
_LEASE: Final = "task_lease"


class AsAnnotator(BaseModel):
    """annotator: by name, made if new; by default whoever calls."""

    model_config = ConfigDict(extra="forbid", strict=True)

    annotator: Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f]+$")] | None = None


class WantedTask(AsAnnotator):
    """ttl_seconds: how long the task is the annotator's; by default the order's time limit."""

    ttl_seconds: Seconds | None = None


class GivenAnswer(BaseModel):
    """An option (classification), the place of an asset from 0 (compare), a text (free_text), or points (locate)."""

    model_config = ConfigDict(extra="forbid")

    answer: Any
    elapsed_ms: Annotated[int, Field(ge=0, le=2**40, strict=True)] | None = None


class RenewedTask(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    ttl_seconds: Seconds | None = None


class SkippedTask(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    reason: Annotated[str, Field(min_length=1, max_length=1_024, pattern=r"^[^\x00]*$")] | None = None


class TaskAsset(BaseModel):
    """content: the path that its bytes are read from, null of a text."""

    kind: Literal["file", "url", "text"]
    text: str | None
    content: str | None
    media_type: str | None
    width: int | None
    height: int | None


class TaskDatapoint(BaseModel):
    """What the annotator is shown of a datapoint: nothing private, and no known answer."""

    id: str
    data_type: Literal["media", "text"]
    assets: list[TaskAsset]
    context: str | None
    media_context: list[TaskAsset]
    sentence: str | None


class TaskObject(BaseModel):
    """A task under a lease. choices: the answers to choose among, in the order in which they are to be shown."""

    lease_id: str
    object: Literal["task"] = "task"
    order_id: str
    annotator_id: str
    expires_at: str
    kind: JobKind
    instruction: str
    choices: list[str | int] | None
    datapoint: TaskDatapoint


class NextTask(BaseModel):
    """task: null where the order has none for this annotator now; order_status says whether there may be one later."""

    object: Literal["next_task"] = "next_task"
    order_id: str
    order_status: OrderStatus
    annotator_id: str
    task: TaskObject | None


class TaskResponse(BaseModel):
    """An answer that counts."""

    object: Literal["task_response"] = "task_response"
    order_id: str
    datapoint_id: str
    annotator_id: str
    answer: Any
    task_done: bool
    order_completed: bool


class UndoneResponse(BaseModel):
    """An answer that was taken back, and its task, which is the annotator's again."""

    object: Literal["undone_response"] = "undone_response"
    answer: Any
    task: TaskObject


class LeaseObject(BaseModel):
    id: str
    object: Literal["task_lease"] = "task_lease"
    order_id: str
    datapoint_id: str
    annotator_id: str
    expires_at: str


class SkippedObject(BaseModel):
    object: Literal["task_skip"] = "task_skip"
    order_id: str
    datapoint_id: str
    annotator_id: str
    reason: str | None


@router.post("/orders/{order_id}/tasks/next", summary="Take the next task of an order", response_model=NextTask)
async def take_next_task(
    request: Request, hub: Hub, who: Who, order_id: OrderId, body: WantedTask | None = None
) -> Response:
    """Those nearest to their end come first; none comes that the annotator has answered, skipped or under way."""
    who.authorize("answer", _KIND)
    wanted = body or WantedTask()

    def plan() -> Work:
        order = find_order(hub, who.workspace_id, order_id)
        definition = definition_of(hub, order)
        return lambda tx: _next(hub, tx, who, order, definition, wanted)

    return await changed(request, plan)


def _next(
    hub: Services, tx: Transaction, who: Caller, order: Order, definition: JobDefinition, wanted: WantedTask
) -> dict[str, Any]:
    annotator = _annotator(hub, tx, who, order, wanted)
    lease = hub.store.tasks.next_task(tx, order.id, annotator.id, wanted.ttl_seconds)
    current = hub.store.orders.lock(tx, order.id) or order
    return {
        "object": "next_task",
        "order_id": order.id,
        "order_status": current.status,
        "annotator_id": annotator.id,
        "task": None if lease is None else task_body(hub, definition, lease),
    }


@router.post("/orders/{order_id}/tasks/undo", summary="Take back the last answer", response_model=UndoneResponse)
async def undo_answer(
    request: Request, hub: Hub, who: Who, order_id: OrderId, body: AsAnnotator | None = None
) -> Response:
    """While the order runs. Its task is the annotator's again; again and again, it goes back further."""
    who.authorize("answer", _KIND)

    def plan() -> Work:
        order = find_order(hub, who.workspace_id, order_id)
        definition = definition_of(hub, order)

        def undo(tx: Transaction) -> dict[str, Any]:
            undone = take_back(hub, tx, order, _annotator(hub, tx, who, order, body or AsAnnotator()).id)
            task = task_body(hub, definition, undone.lease)
            return {"object": "undone_response", "answer": undone.answer, "task": task}

        return undo

    return await changed(request, plan)


@router.post("/task-leases/{lease_id}/respond", summary="Answer a task", response_model=TaskResponse)
async def respond(request: Request, hub: Hub, who: Who, lease_id: LeaseId, body: GivenAnswer) -> Response:
    """Under a lease that has lapsed, too, as long as the task needs an answer and the annotator has given none."""
    who.authorize("answer", _KIND)

    def plan() -> Work:
        lease, order = _found(hub, who, lease_id)
        answer = check_answer(definition_of(hub, order), _datapoint(hub, order, lease), body.answer)

        def take(tx: Transaction) -> dict[str, Any]:
            responded = take_answer(hub, tx, lease, answer, body.elapsed_ms)
            return {
                **_named(lease),
                "object": "task_response",
                "answer": answer,
                "task_done": responded.is_task_done,
                "order_completed": responded.is_order_completed,
            }

        return take

    return await changed(request, plan)


@router.post("/task-leases/{lease_id}/renew", summary="Hold a task longer", response_model=LeaseObject)
async def renew(request: Request, hub: Hub, who: Who, lease_id: LeaseId, body: RenewedTask | None = None) -> Response:
    who.authorize("answer", _KIND)
    ttl_seconds = None if body is None else body.ttl_seconds

    def plan() -> Work:
        lease, order = _found(hub, who, lease_id)

        def extend(tx: Transaction) -> dict[str, Any]:
            renewed = hub.store.tasks.renew(tx, lease.id, ttl_seconds)
            if renewed is None:
                what = (
                    "The lease on the task has lapsed" if order.status == "running" else f"The order is {order.status}"
                )
                raise ProblemError(invalid_state(what, task_lease_id=lease.id, order_id=order.id))
            return {**_named(renewed), "id": renewed.id, "object": _LEASE, "expires_at": rfc3339(renewed.expires_at)}

        return extend

    return await changed(request, plan)


@router.post("/task-leases/{lease_id}/skip", summary="Skip a task", response_model=SkippedObject)
async def skip(request: Request, hub: Hub, who: Who, lease_id: LeaseId, body: SkippedTask | None = None) -> Response:
    """It goes to others, and never comes back to this annotator."""
    who.authorize("answer", _KIND)
    reason = None if body is None else body.reason

    def plan() -> Work:
        lease, _ = _found(hub, who, lease_id)

        def give_back(tx: Transaction) -> dict[str, Any]:
            if not hub.store.tasks.skip(tx, lease.id, reason):
                raise ProblemError(not_found(_LEASE, lease.id))
            return {**_named(lease), "object": "task_skip", "reason": reason}

        return give_back

    return await changed(request, plan)


def _named(lease: TaskLease) -> dict[str, Any]:
    return {name: getattr(lease, name) for name in ("order_id", "datapoint_id", "annotator_id")}


def task_body(hub: Services, definition: JobDefinition, lease: TaskLease) -> dict[str, Any]:
    """A task as its annotator is shown it."""
    datapoint = hub.store.datasets.datapoint(definition.workspace_id, lease.datapoint_id)
    if datapoint is None:
        raise ProblemError(not_found("datapoint", lease.datapoint_id))
    return {
        "lease_id": lease.id,
        "object": "task",
        "order_id": lease.order_id,
        "annotator_id": lease.annotator_id,
        "expires_at": rfc3339(lease.expires_at),
        "kind": definition.kind,
        "instruction": definition.instruction,
        "choices": choices_of(definition, datapoint, lease),
        "datapoint": {
            "id": datapoint.id,
            "data_type": datapoint.data_type,
            "assets": asset_bodies(datapoint),
            "context": datapoint.context,
            "media_context": asset_bodies(datapoint, is_context=True),
            "sentence": datapoint.sentence,
        },
    }


def asset_bodies(datapoint: DatapointRecord, *, is_context: bool = False) -> list[dict[str, Any]]:
    """A datapoint's assets as they are shown, or its media context."""
    shown, part = (datapoint.media_context, "media-context") if is_context else (datapoint.assets, "assets")
    return [
        {
            "kind": asset.kind,
            "text": asset.text,
            "content": None if asset.kind == "text" else f"/v1/datapoints/{datapoint.id}/{part}/{number}",
            "media_type": asset.media_type,
            "width": asset.width,
            "height": asset.height,
        }
        for number, asset in enumerate(shown)
    ]


def _annotator(hub: Services, tx: Transaction, who: Caller, order: Order, body: AsAnnotator) -> Annotator:
    """Who answers. What another one's program or somebody at the page answers by is theirs: only admins act for others."""
    annotators, maker = hub.store.annotators, who.principal
    if body.annotator is None and who.user_id is not None:
        return annotators.ensure(tx, order.id, maker, user_id=who.user_id, created_by=maker)
    found = annotators.ensure(tx, order.id, body.annotator or maker, created_by=maker)
    who.authorize("answer as", "annotator", made_by=found.created_by or "")
    return found


def _found(hub: Services, who: Caller, lease_id: str) -> tuple[TaskLease, Order]:
    """A lease of the caller's workspace, and its order."""
    lease = hub.store.tasks.find_lease(lease_id)
    order = None if lease is None else hub.store.orders.get(lease.order_id)
    if lease is None or order is None or order.workspace_id != who.workspace_id:
        raise ProblemError(not_found(_LEASE, lease_id))
    return lease, order


def _datapoint(hub: Services, order: Order, lease: TaskLease) -> DatapointRecord:
    datapoint = hub.store.datasets.datapoint(order.workspace_id, lease.datapoint_id)
    if datapoint is None:
        raise ProblemError(not_found("datapoint", lease.datapoint_id))
    return datapoint
