"""``/v1/orders``: job definitions on their way from tasks to answers, and who answers."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from base64 import urlsafe_b64encode
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse, Response

from amends.database import Duplicate, Transaction, new_id, rfc3339
from amends.problems import ProblemError, duplicate, idempotency_conflict, invalid_state
from amends.server.aggregates import Method
from amends.server.annotating import check_annotator
from amends.server.answers import json_response
from amends.server.auth import Caller
from amends.server.changes import Work, changed, in_transaction
from amends.server.idempotency import Guard, body_digest, idempotent
from amends.server.job_definitions import Named, SettingsObject, find_definition, settings_body
from amends.server.labelling import change_order, definition_of, find_order, look_over, run_order
from amends.server.openapi import Responses, problems
from amends.server.order_results import MEDIA_TYPES, Results, results_format, stream
from amends.server.pagination import After, Limit, Page, page
from amends.server.prices import credits, price_of
from amends.server.routing import Route
from amends.server.services import Services, hub, who
from amends.server.threads import in_thread
from amends.server.wire import ModelName
from amends.store import Annotator, AnnotatorKind, JobKind, Order, OrderStatus

router = APIRouter(prefix="/v1/orders", tags=["orders"], route_class=Route)

Hub = Annotated[Services, Depends(hub)]
Who = Annotated[Caller, Depends(who)]
OrderId = Annotated[str, Path(max_length=128, description="The order's id.")]

_KIND = "order"
_NONCE = "nonce"


class NewOrder(BaseModel):
    """An order to be made of a job definition. run: whether it starts at once."""

    model_config = ConfigDict(extra="forbid", strict=True)

    job_definition_id: Annotated[str, Field(min_length=1, max_length=128)]
    run: bool = False


class OrderCounts(BaseModel):
    """What of an order is done. Gold tasks are beside these."""

    tasks: int
    tasks_done: int
    gold_tasks: int
    responses: int
    responses_needed: Annotated[int, Field(description="At most; enough agreement ends a task earlier.")]


class OrderObject(BaseModel):
    """An order. is_filled: whether all its tasks are made; their number grows until then."""

    id: str
    object: Literal["order"] = "order"
    name: str
    kind: JobKind
    status: OrderStatus
    job_definition_id: str
    dataset_id: str
    settings: SettingsObject
    counts: OrderCounts
    is_filled: bool
    error: str | None
    created_by: str | None
    created_at: str
    running_at: str | None
    paused_at: str | None
    completed_at: str | None
    failed_at: str | None
    cancelled_at: str | None


class NewInvitation(BaseModel):
    """A link to the page of an order. It replaces the one before."""

    object: Literal["order.invitation"] = "order.invitation"
    order_id: str
    token: Annotated[str, Field(description="Shown now and never again.")]
    url: str


class NewAnnotator(BaseModel):
    """A model that is to answer every task of the order. prompt: said to it beside the instruction."""

    model_config = ConfigDict(extra="forbid", strict=True)

    model: ModelName
    prompt: Annotated[str, Field(min_length=1, max_length=100_000)] | None = None


class AnnotatorObject(BaseModel):
    """Somebody who answers, or a model. run_id: of the run that asks a model; run_state: taken once all its outcomes are responses."""

    id: str
    object: Literal["annotator"] = "annotator"
    order_id: str
    name: str
    kind: AnnotatorKind
    responses: int
    gold_asked: int
    gold_right: int
    model: str | None
    run_id: str | None
    run_state: Literal["waiting", "running", "taken"] | None
    created_at: str


class AnnotatorList(BaseModel):
    object: Literal["list"] = "list"
    data: list[AnnotatorObject]


class OrderEstimate(BaseModel):
    """What an order would cost. responses: that people give, at most, which cost nothing here. suffices: whether the balance covers it."""

    object: Literal["order.estimate"] = "order.estimate"
    order_id: str
    tasks: int
    responses: int
    model: str | None
    price: Annotated[float, Field(description="Of one answer of the model.")]
    cost: float
    unit: str
    balance: float
    suffices: bool


_RESULTS: Responses = {
    200: {
        "model": Results,
        "description": "One object, or one line a datapoint.",
        "content": {
            kind: {"schema": {"type": "string"}} for kind in MEDIA_TYPES.values() if kind != "application/json"
        },
    }
}


@router.post(
    "", summary="Make an order", response_model=OrderObject, status_code=201, responses=problems("resource_not_found")
)
async def create_order(request: Request, hub: Hub, who: Who, body: NewOrder) -> Response:
    """It waits to be run: from here, from the dashboard, or by another program that finds it by its id."""
    who.authorize("create", _KIND)

    def plan() -> Work:
        definition = find_definition(hub, who, body.job_definition_id)
        looked_at = look_over(hub, definition) if body.run else 0

        def make(tx: Transaction) -> dict[str, Any]:
            order_id = new_id("order_", now=hub.now())
            order = hub.store.orders.add(tx, order_id, definition, created_by=who.principal)
            return order_body(run_order(hub, tx, order, looked_at) if body.run else order)

        return make

    response = await changed(request, plan, status=201, names_resource=True)
    hub.labelling_work.set()
    return response


@router.get("", summary="List the orders, newest first", response_model=Page[OrderObject])
def list_orders(
    hub: Hub,
    who: Who,
    limit: Limit = 20,
    after: After = None,
    status: Annotated[OrderStatus | None, Query(description="Only those that stand so.")] = None,
    job_definition_id: Annotated[
        str | None, Query(max_length=128, description="Only those of this definition.")
    ] = None,
    name: Named = None,
) -> Response:
    found = hub.store.orders.find(
        who.workspace_id, limit=limit + 1, after=after, status=status, definition_id=job_definition_id, name=name
    )
    return json_response(page(found, limit, order_body).model_dump())


@router.get("/{order_id}", summary="Get an order", response_model=OrderObject)
def get_order(hub: Hub, who: Who, order_id: OrderId) -> Response:
    return json_response(order_body(find_order(hub, who.workspace_id, order_id)))


async def _change(request: Request, hub: Services, who: Caller, order_id: str, verb: str) -> Response:
    def plan() -> Work:
        order = find_order(hub, who.workspace_id, order_id)
        who.authorize(verb, _KIND, made_by=order.created_by)
        change = change_order(hub, order, verb)
        return lambda tx: order_body(change(tx))

    response = await changed(request, plan)
    hub.labelling_work.set()
    return response


@router.post("/{order_id}/run", summary="Run an order", response_model=OrderObject)
async def run(request: Request, hub: Hub, who: Who, order_id: OrderId) -> Response:
    """Or go on with a paused one. The datapoints that its dataset has now belong to it. A running one is answered unchanged."""
    return await _change(request, hub, who, order_id, "run")


@router.post("/{order_id}/pause", summary="Pause an order", response_model=OrderObject)
async def pause(request: Request, hub: Hub, who: Who, order_id: OrderId) -> Response:
    """No more tasks are handed out; answers under way are still taken. A paused one is answered unchanged."""
    return await _change(request, hub, who, order_id, "pause")


@router.post("/{order_id}/cancel", summary="Cancel an order", response_model=OrderObject)
async def cancel(request: Request, hub: Hub, who: Who, order_id: OrderId) -> Response:
    """What was answered stays. A cancelled one is answered unchanged."""
    return await _change(request, hub, who, order_id, "cancel")


@router.get("/{order_id}/estimate", summary="Estimate what an order costs", response_model=OrderEstimate)
def get_order_estimate(
    hub: Hub,
    who: Who,
    order_id: OrderId,
    model: Annotated[ModelName | None, Query(description="A model that would answer every task.")] = None,
) -> Response:
    order = find_order(hub, who.workspace_id, order_id)
    if model is not None:
        check_annotator(hub, order, definition_of(hub, order), model, place=("query", "model"))
    tasks = order.tasks + order.gold_tasks if order.is_filled else hub.store.datasets.count(order.dataset_id)
    price = 0 if model is None else price_of(hub.settings, model)
    balance = hub.ledger.credit(who.workspace_id).balance
    people = order.tasks if order.is_filled else tasks - len(order.settings.gold)
    return json_response(
        {
            "object": "order.estimate",
            "order_id": order.id,
            "tasks": tasks,
            "responses": people * order.settings.responses_per_datapoint,
            "model": model,
            "price": credits(price),
            "cost": credits(price * tasks),
            "unit": hub.settings.credits.unit,
            "balance": credits(balance),
            "suffices": price * tasks <= max(balance, 0),
        }
    )


@router.post(
    "/{order_id}/invitations", summary="Make a link to an order's page", response_model=NewInvitation, status_code=201
)
async def create_invitation(request: Request, hub: Hub, who: Who, order_id: OrderId) -> Response:
    """Whoever has it may answer without an account. It replaces the one before."""
    order = await in_thread(find_order, hub, who.workspace_id, order_id)
    who.authorize("invite people to", _KIND, made_by=order.created_by)
    async with idempotent(request, await body_digest(request)) as guard:
        if guard.replay is not None:
            return _invited_again(hub, who, order, guard, guard.replay)
        nonce = secrets.token_hex(16)
        token = _token(who, guard.key, nonce)
        answer = {"object": "order.invitation", "order_id": order.id}

        def write(tx: Transaction) -> None:
            hub.store.orders.invite(tx, order.id, token)
            guard.store(tx, 201, {**answer, _NONCE: nonce})

        await in_transaction(hub, write)
    return JSONResponse(_with_link(hub, answer, token), 201)


def _token(who: Caller, idempotency_key: str | None, nonce: str) -> str:
    """A token that the stored answer need not hold, see ``amends.server.keys``: it follows from what the caller brings again."""
    mac = hmac.new(f"{who.credential}\0{idempotency_key or secrets.token_hex(32)}".encode(), digestmod=hashlib.sha256)
    mac.update(b"order invitation " + nonce.encode())
    return urlsafe_b64encode(mac.digest()).decode().rstrip("=")


def _invited_again(hub: Services, who: Caller, order: Order, guard: Guard, replay: Response) -> Response:
    stored: dict[str, Any] = json.loads(bytes(replay.body))
    token = _token(who, guard.key, stored.pop(_NONCE))
    known = hub.store.orders.by_invitation(token)
    if known is None or known.id != order.id:
        raise ProblemError(idempotency_conflict())  # replaced since, or asked for with another credential
    return JSONResponse(_with_link(hub, stored, token), 201, {"Idempotency-Replayed": "true"})


def _with_link(hub: Services, answer: dict[str, Any], token: str) -> dict[str, Any]:
    link = f"{hub.public_url}/label/{answer['order_id']}?invitation={token}"
    return {**answer, "token": token, "url": link}


@router.post(
    "/{order_id}/annotators",
    summary="Let a model answer an order's tasks",
    response_model=AnnotatorObject,
    status_code=201,
    responses=problems("credit_exceeded"),
)
async def create_annotator(request: Request, hub: Hub, who: Who, order_id: OrderId, body: NewAnnotator) -> Response:
    """As an annotator of its own, beside the people. A run asks it once the order runs; each outcome becomes a response."""

    def plan() -> Work:
        order = find_order(hub, who.workspace_id, order_id)
        who.authorize("add annotators to", _KIND, made_by=order.created_by)
        check_annotator(hub, order, definition_of(hub, order), body.model)
        return lambda tx: _add_model(request, hub, who, tx, order, body)

    response = await changed(request, plan, status=201, names_resource=True)
    hub.labelling_work.set()
    return response


def _add_model(
    request: Request, hub: Services, who: Caller, tx: Transaction, order: Order, body: NewAnnotator
) -> dict[str, Any]:
    current = hub.store.orders.lock(tx, order.id) or order
    if current.status in ("cancelled", "failed"):
        raise ProblemError(invalid_state(f"The order is {current.status}", order_id=order.id))
    try:
        annotator = hub.store.annotators.add_model(
            tx,
            order.id,
            body.model,
            prompt=body.prompt,
            mode=who.mode,
            request_id=request.state.request_id,
            created_by=who.principal,
        )
    except Duplicate as error:
        raise ProblemError(duplicate("annotator", body.model)) from error
    return annotator_body(annotator, 0)


@router.get("/{order_id}/annotators", summary="List who answers an order's tasks", response_model=AnnotatorList)
def list_annotators(hub: Hub, who: Who, order_id: OrderId) -> Response:
    order = find_order(hub, who.workspace_id, order_id)
    counts = hub.store.annotators.counts(order.id)
    found = hub.store.annotators.of_order(order.id)
    return json_response({"object": "list", "data": [annotator_body(one, counts.get(one.id, 0)) for one in found]})


@router.get("/{order_id}/results", summary="Get an order's results", responses=_RESULTS | problems("not_acceptable"))
async def get_order_results(
    request: Request,
    hub: Hub,
    who: Who,
    order_id: OrderId,
    method: Annotated[
        Method | None, Query(description="How answers are put together; by default the one that suits the kind best.")
    ] = None,
) -> Response:
    """At any time: what is not done yet says so. `Accept` takes JSON, NDJSON (a line a datapoint) and CSV."""
    chosen = results_format(request.headers.get("accept"))
    order = await in_thread(find_order, hub, who.workspace_id, order_id)
    return await in_thread(stream, hub, order, method, chosen)


def order_body(order: Order) -> dict[str, Any]:
    """The order as it stands on the wire."""
    times = ("created_at", "running_at", "paused_at", "completed_at", "failed_at", "cancelled_at")
    return {
        "id": order.id,
        "object": "order",
        "name": order.name,
        "kind": order.kind,
        "status": order.status,
        "job_definition_id": order.definition_id,
        "dataset_id": order.dataset_id,
        "settings": settings_body(order.settings),
        "counts": {
            "tasks": order.tasks,
            "tasks_done": order.tasks_done,
            "gold_tasks": order.gold_tasks,
            "responses": order.responses,
            "responses_needed": order.tasks * order.settings.responses_per_datapoint,
        },
        "is_filled": order.is_filled,
        "error": order.error,
        "created_by": order.created_by,
        **{name: None if (at := getattr(order, name)) is None else rfc3339(at) for name in times},
    }


def annotator_body(annotator: Annotator, responses: int) -> dict[str, Any]:
    names = ("id", "order_id", "name", "kind", "gold_asked", "gold_right", "model", "run_id", "run_state")
    return {
        **{name: getattr(annotator, name) for name in names},
        "object": "annotator",
        "responses": responses,
        "created_at": rfc3339(annotator.created_at),
    }
