"""``/v1/webhooks``: who is told what happens, and how that went."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query, Request
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse, Response

from amends.database import Transaction, new_id, rfc3339
from amends.fetching import MAX_URL_CHARS, BadUrl, read_url
from amends.problems import ProblemError, idempotency_conflict, invalid_state, not_found
from amends.server.auth import Caller
from amends.server.finding import existing
from amends.server.idempotency import Guard, body_digest, idempotent
from amends.server.once import NONCE, new_nonce, source_of
from amends.server.pagination import After, Limit, Page, page
from amends.server.routing import Route
from amends.server.sealing import CannotOpen
from amends.server.services import Services, hub, who
from amends.server.signing import opened_secret, sealed_secret, shown_secret
from amends.server.threads import in_thread
from amends.store import Attempt, Delivery, DeliveryState, EventType, Webhook, make_bits

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"], route_class=Route)

Hub = Annotated[Services, Depends(hub)]
Who = Annotated[Caller, Depends(who)]
WebhookId = Annotated[str, Path(max_length=128, description="The webhook's id.")]
DeliveryId = Annotated[str, Path(max_length=128, description="The delivery's id.")]


def _reachable(url: str) -> str:
    try:
        read_url(url)
    except BadUrl as error:
        raise ValueError(str(error)) from None
    return url


Url = Annotated[
    str,
    Field(min_length=1, max_length=MAX_URL_CHARS, description="Where it is sent to; https, or http."),
    AfterValidator(_reachable),
]
Events = Annotated[
    list[EventType | Literal["*"]],
    Field(min_length=1, max_length=50, description="What it is told; `*` is everything."),
]
Description = Annotated[str, Field(max_length=512)]


class NewWebhook(BaseModel):
    """Somebody to be told."""

    model_config = ConfigDict(extra="forbid")

    url: Url
    events: Events
    description: Description | None = None


class WebhookChange(BaseModel):
    """What is to change; what is not given stays. enabled: true tells a disabled one things again."""

    model_config = ConfigDict(extra="forbid")

    url: Url | None = None
    events: Events | None = None
    description: Description | None = None
    enabled: bool | None = None


class WebhookRecord(BaseModel):
    """A webhook, without its secret. disabled_reason: why it is told nothing any more, where nobody said so."""

    id: str
    object: Literal["webhook"] = "webhook"
    url: str
    events: list[str]
    description: str | None
    enabled: bool
    disabled_reason: str | None
    failing_since: Annotated[str | None, Field(description="Of a row of failures; null once something arrived.")]
    created_by: str | None
    created_at: str


class WebhookWithSecret(WebhookRecord):
    secret: Annotated[str, Field(description="What it signs with. Shown now and never again.")]


class DeletedWebhook(BaseModel):
    id: str
    object: Literal["webhook"] = "webhook"
    deleted: Literal[True] = True


class DeliveryRecord(BaseModel):
    """One message to one webhook. message_id: what the receiver sees as `webhook-id`, the same at each try."""

    id: str
    object: Literal["webhook_delivery"] = "webhook_delivery"
    webhook_id: str
    message_id: str
    type: str
    status: DeliveryState
    attempts: int
    next_attempt_at: str | None
    created_at: str
    ended_at: str | None


class AttemptRecord(BaseModel):
    """One try. status: what was answered, null where nothing was. answer: how that began."""

    number: int
    at: str
    elapsed_ms: int
    status: int | None
    error: str | None
    answer: str


class DeliveryWhole(DeliveryRecord):
    body: Annotated[dict[str, Any], Field(description="What is sent.")]
    tries: list[AttemptRecord]


_CREATED: dict[int | str, dict[str, Any]] = {201: {"headers": {"Location": {"schema": {"type": "string"}}}}}


@router.post("", summary="Make a webhook", status_code=201, response_model=WebhookWithSecret, responses=_CREATED)
async def create_webhook(request: Request, hub: Hub, who: Who, new: NewWebhook) -> Response:
    who.authorize("create", "webhook", role="admin")
    async with idempotent(request, await body_digest(request)) as guard:
        if guard.replay:
            return await _again(hub, who, guard, guard.replay)
        nonce = new_nonce()
        secret = _secret(who, guard, nonce)
        webhook = _new(hub, who, new, secret)

        def write(tx: Transaction) -> bool:
            if hub.store.webhooks.count(tx, who.workspace_id) >= most:
                return False
            hub.store.webhooks.add(tx, webhook)
            told = {**_wire(webhook), NONCE: nonce}
            guard.store(tx, 201, told, headers=_location(webhook.id), resource_id=webhook.id)
            return True

        most = hub.settings.limits.webhooks
        if not await asyncio.wrap_future(hub.database.submit(write)):
            raise ProblemError(invalid_state(f"A workspace has at most {most} webhooks", limit=most))
    return JSONResponse({**_wire(webhook), "secret": secret}, 201, _location(webhook.id))


@router.get("", summary="List the webhooks, newest first")
def list_webhooks(hub: Hub, who: Who, limit: Limit = 20, after: After = None) -> Page[WebhookRecord]:
    who.authorize("list", "webhook", role="admin")
    found = hub.store.webhooks.find(who.workspace_id, limit=limit + 1, after=after)
    return page(found, limit, lambda webhook: WebhookRecord(**_wire(webhook)))


@router.get("/{webhook_id}", summary="One webhook")
def get_webhook(hub: Hub, who: Who, webhook_id: WebhookId) -> WebhookRecord:
    who.authorize("read", "webhook", role="admin")
    return WebhookRecord(**_wire(_found(hub, who, webhook_id)))


@router.patch("/{webhook_id}", summary="Change a webhook", response_model=WebhookRecord)
async def change_webhook(
    request: Request, hub: Hub, who: Who, webhook_id: WebhookId, change: WebhookChange
) -> Response:
    """What was still to be told goes to the URL that it has when it is sent. A disabled one loses it."""
    who.authorize("change", "webhook", role="admin")

    def work(tx: Transaction, webhook: Webhook) -> dict[str, Any]:
        changed = _changed(webhook, change, hub.now())
        hub.store.webhooks.update(tx, changed)
        if changed.disabled_at is not None:
            hub.store.webhooks.drop_pending(tx, changed.id)
        return _wire(changed)

    return await _change(request, hub, who, webhook_id, work)


@router.delete("/{webhook_id}", summary="Delete a webhook", response_model=DeletedWebhook)
async def delete_webhook(request: Request, hub: Hub, who: Who, webhook_id: WebhookId) -> Response:
    who.authorize("delete", "webhook", role="admin")

    def work(tx: Transaction, webhook: Webhook) -> dict[str, Any]:
        hub.store.webhooks.delete(tx, who.workspace_id, webhook.id)
        hub.store.idempotency.forget_resource(tx, webhook.id)
        return DeletedWebhook(id=webhook.id).model_dump()

    return await _change(request, hub, who, webhook_id, work)


@router.post("/{webhook_id}/rotate", summary="Give a webhook another secret", response_model=WebhookWithSecret)
async def rotate_secret(request: Request, hub: Hub, who: Who, webhook_id: WebhookId) -> Response:
    """For a day messages are signed with both, so that the receiver can change it in its own time."""
    who.authorize("change", "webhook", role="admin")
    async with idempotent(request, await body_digest(request)) as guard:
        if guard.replay:
            return await _again(hub, who, guard, guard.replay)
        webhook = await in_thread(_found, hub, who, webhook_id)
        nonce = new_nonce()
        secret = _secret(who, guard, nonce)
        sealed = sealed_secret(hub.sealing, webhook.id, secret)
        until = hub.now() + hub.settings.webhooks.rotation_hours * 3_600

        def write(tx: Transaction) -> bool:
            is_rotated = hub.store.webhooks.rotate(tx, webhook, sealed, until)
            if is_rotated:
                guard.store(tx, 200, {**_wire(webhook), NONCE: nonce})
            return is_rotated

        if not await asyncio.wrap_future(hub.database.submit(write)):
            raise ProblemError(invalid_state("The webhook was changed meanwhile", webhook_id=webhook.id))
    return JSONResponse({**_wire(webhook), "secret": secret})


@router.post("/{webhook_id}/test", summary="Tell a webhook something", response_model=DeliveryRecord)
async def test_webhook(request: Request, hub: Hub, who: Who, webhook_id: WebhookId) -> Response:
    """Sends `webhook.test`, whatever it listens to; the delivery tells how that went."""
    who.authorize("test", "webhook", role="admin")

    def work(tx: Transaction, webhook: Webhook) -> dict[str, Any]:
        if webhook.disabled_at is not None:
            raise ProblemError(invalid_state("The webhook is disabled", webhook_id=webhook.id))
        return _delivery(hub.store.webhooks.test(tx, webhook))

    return await _change(request, hub, who, webhook_id, work)


@router.get("/{webhook_id}/deliveries", summary="List what a webhook was told, newest first")
def list_deliveries(
    hub: Hub,
    who: Who,
    webhook_id: WebhookId,
    limit: Limit = 20,
    after: After = None,
    status: Annotated[DeliveryState | None, Query(description="Only those that stand so.")] = None,
) -> Page[DeliveryRecord]:
    who.authorize("read", "webhook", role="admin")
    webhook = _found(hub, who, webhook_id)
    found = hub.store.webhooks.deliveries(webhook.id, limit=limit + 1, after=after, state=status)
    return page(found, limit, lambda each: DeliveryRecord(**_delivery(each)))


@router.get("/{webhook_id}/deliveries/{delivery_id}", summary="One message to a webhook, and every try")
def get_delivery(hub: Hub, who: Who, webhook_id: WebhookId, delivery_id: DeliveryId) -> DeliveryWhole:
    who.authorize("read", "webhook", role="admin")
    found = _found_delivery(hub, _found(hub, who, webhook_id), delivery_id)
    tries = [AttemptRecord(**_attempt(each)) for each in hub.store.webhooks.attempts(found.id)]
    return DeliveryWhole(**_delivery(found), body=json.loads(found.body), tries=tries)


@router.post("/{webhook_id}/deliveries/{delivery_id}/redeliver", summary="Send a message once more",
             response_model=DeliveryRecord)  # fmt: skip
async def redeliver(request: Request, hub: Hub, who: Who, webhook_id: WebhookId, delivery_id: DeliveryId) -> Response:
    """Under the same message id, whatever became of it; tried as often as a new one."""
    who.authorize("test", "webhook", role="admin")

    def work(tx: Transaction, webhook: Webhook) -> dict[str, Any]:
        if webhook.disabled_at is not None:
            raise ProblemError(invalid_state("The webhook is disabled", webhook_id=webhook.id))
        again = hub.store.webhooks.send_again(tx, webhook.id, delivery_id)
        if again is None:
            raise ProblemError(not_found("webhook_delivery", delivery_id))
        return _delivery(again)

    return await _change(request, hub, who, webhook_id, work)


async def _change(
    request: Request,
    hub: Services,
    who: Caller,
    webhook_id: str,
    work: Callable[[Transaction, Webhook], dict[str, Any]],
) -> Response:
    """Do something about a webhook under the request's key; work: returns what is answered."""
    async with idempotent(request, await body_digest(request)) as guard:
        if guard.replay:
            return guard.replay

        def write(tx: Transaction) -> dict[str, Any]:
            webhook = hub.store.webhooks.to_change(tx, who.workspace_id, webhook_id)
            if webhook is None:
                raise ProblemError(not_found("webhook", webhook_id))
            answer = work(tx, webhook)
            guard.store(tx, 200, answer)
            return answer

        return JSONResponse(await asyncio.wrap_future(hub.database.submit(write)))


async def _again(hub: Services, who: Caller, guard: Guard, replay: Response) -> Response:
    stored: dict[str, Any] = json.loads(bytes(replay.body))
    secret = _secret(who, guard, stored.pop(NONCE))
    known = await in_thread(hub.store.webhooks.get, who.workspace_id, stored["id"])
    if known is None or not _is_its_own(hub, known, secret):
        # Deleted or rotated since, or asked for with another credential than the first time.
        raise ProblemError(idempotency_conflict())
    headers = _location(known.id) if replay.status_code == 201 else {}
    return JSONResponse({**stored, "secret": secret}, replay.status_code, {**headers, "Idempotency-Replayed": "true"})


def _is_its_own(hub: Services, webhook: Webhook, secret: str) -> bool:
    try:
        return opened_secret(hub.sealing, webhook.id, webhook.secret) == secret
    except CannotOpen:
        return False


def _secret(who: Caller, guard: Guard, nonce: str) -> str:
    return shown_secret(make_bits(source_of(who, guard, nonce)))


def _new(hub: Services, who: Caller, new: NewWebhook, secret: str) -> Webhook:
    now = hub.now()
    webhook_id = new_id("wh_", now=now)
    return Webhook(
        id=webhook_id,
        workspace_id=who.workspace_id,
        url=new.url,
        description=new.description,
        events=list(dict.fromkeys(new.events)),
        secret=sealed_secret(hub.sealing, webhook_id, secret),
        former_secret=None,
        former_until=None,
        failing_since=None,
        disabled_at=None,
        disabled_reason=None,
        created_by=who.principal,
        created_at=now,
    )


def _changed(webhook: Webhook, change: WebhookChange, now: float) -> Webhook:
    """The webhook as it is to be. Whoever disables it says no reason; whoever enables it begins anew."""
    given = change.model_dump(exclude_unset=True)
    members = {name: given[name] for name in ("url", "events") if given.get(name) is not None}
    if "description" in given:
        members["description"] = given["description"]
    changed = replace(webhook, **members)
    if change.enabled is True:
        return replace(changed, disabled_at=None, disabled_reason=None, failing_since=None)
    if change.enabled is False:
        return replace(changed, disabled_at=webhook.disabled_at or now)
    return changed


def _found(hub: Services, who: Caller, webhook_id: str) -> Webhook:
    return existing(hub.store.webhooks.get(who.workspace_id, webhook_id), "webhook", webhook_id)


def _found_delivery(hub: Services, webhook: Webhook, delivery_id: str) -> Delivery:
    return existing(hub.store.webhooks.delivery(webhook.id, delivery_id), "webhook_delivery", delivery_id)


def _location(webhook_id: str) -> dict[str, str]:
    return {"Location": f"/v1/webhooks/{webhook_id}"}


def _time(at: float | None) -> str | None:
    return None if at is None else rfc3339(at)


def _wire(webhook: Webhook) -> dict[str, Any]:
    return {
        "id": webhook.id,
        "object": "webhook",
        "url": webhook.url,
        "events": list(webhook.events),
        "description": webhook.description,
        "enabled": webhook.disabled_at is None,
        "disabled_reason": webhook.disabled_reason,
        "failing_since": _time(webhook.failing_since),
        "created_by": webhook.created_by,
        "created_at": rfc3339(webhook.created_at),
    }


def _delivery(delivery: Delivery) -> dict[str, Any]:
    return {
        "id": delivery.id,
        "object": "webhook_delivery",
        "webhook_id": delivery.webhook_id,
        "message_id": delivery.message_id,
        "type": delivery.type,
        "status": delivery.state,
        "attempts": delivery.attempts,
        "next_attempt_at": _time(delivery.next_at),
        "created_at": rfc3339(delivery.created_at),
        "ended_at": _time(delivery.ended_at),
    }


def _attempt(attempt: Attempt) -> dict[str, Any]:
    return {
        "number": attempt.number,
        "at": rfc3339(attempt.at),
        "elapsed_ms": attempt.elapsed_ms,
        "status": attempt.status,
        "error": attempt.error,
        "answer": attempt.answer,
    }
