"""``/ui/webhooks``: who is told what happens, and what became of the messages."""

from __future__ import annotations

import json
from typing import Annotated, Final

from fastapi import APIRouter, Path, Query
from starlette.responses import Response

from amends.problems import ProblemError, not_found
from amends.server import webhooks as api
from amends.server.threads import in_thread
from amends.store import EVENTS
from amends.web.visits import Looking, PageRoute, Visit, parsed, see_other

router = APIRouter(prefix="/ui/webhooks", route_class=PageRoute, include_in_schema=False)

WebhookId = Annotated[str, Path(max_length=128)]
DeliveryId = Annotated[str, Path(max_length=128)]
After = Annotated[str | None, Query(max_length=128)]

_PAGE: Final = 50


@router.get("")
async def webhooks_page(look: Looking, after: After = None) -> Response:
    return await _page(look, after)


@router.post("")
async def make_webhook(look: Looking) -> Response:
    """The one page that shows a webhook's secret."""
    fields = await look.form()
    chosen = [str(name) for name in EVENTS if fields.get(f"event {name}")] or ["*"]
    given: dict[str, object] = {"url": fields.get("url", "").strip(), "events": chosen}
    if fields.get("description"):
        given["description"] = fields["description"]
    request = look.as_api(given, once=fields.get("once"))
    answer = await api.create_webhook(request, look.hub, look.who, parsed(api.NewWebhook, given))
    return await _page(look, None, made=json.loads(bytes(answer.body)))


@router.get("/{webhook_id}")
async def webhook_page(look: Looking, webhook_id: WebhookId, after: After = None) -> Response:
    look.who.authorize("read", "webhook", role="admin")
    webhook = await in_thread(look.hub.store.webhooks.get, look.who.workspace_id, webhook_id)
    if webhook is None:
        raise ProblemError(not_found("webhook", webhook_id))
    found = await in_thread(look.hub.store.webhooks.deliveries, webhook.id, limit=_PAGE + 1, after=after)
    older = found[_PAGE - 1].id if len(found) > _PAGE else None
    return look.page("webhook.html", webhook=webhook, deliveries=found[:_PAGE], older=older)


@router.post("/{webhook_id}/test")
async def test_webhook(look: Looking, webhook_id: WebhookId) -> Response:
    await api.test_webhook(look.as_api(), look.hub, look.who, webhook_id)
    return see_other(f"/ui/webhooks/{webhook_id}")


@router.post("/{webhook_id}/enabled")
async def enable_webhook(look: Looking, webhook_id: WebhookId) -> Response:
    is_enabled = (await look.form()).get("enabled") == "yes"
    change = api.WebhookChange(enabled=is_enabled)
    await api.change_webhook(look.as_api(), look.hub, look.who, webhook_id, change)
    return see_other(f"/ui/webhooks/{webhook_id}")


@router.post("/{webhook_id}/delete")
async def delete_webhook(look: Looking, webhook_id: WebhookId) -> Response:
    await api.delete_webhook(look.as_api(), look.hub, look.who, webhook_id)
    return see_other("/ui/webhooks")


@router.post("/{webhook_id}/deliveries/{delivery_id}")
async def redeliver(look: Looking, webhook_id: WebhookId, delivery_id: DeliveryId) -> Response:
    await api.redeliver(look.as_api(), look.hub, look.who, webhook_id, delivery_id)
    return see_other(f"/ui/webhooks/{webhook_id}")


async def _page(look: Visit, after: str | None, made: dict[str, str] | None = None) -> Response:
    look.who.authorize("list", "webhook", role="admin")
    found = await in_thread(look.hub.store.webhooks.find, look.who.workspace_id, limit=_PAGE + 1, after=after)
    return look.page(
        "webhooks.html",
        webhooks=found[:_PAGE],
        older=found[_PAGE - 1].id if len(found) > _PAGE else None,
        events=EVENTS,
        made=made,
    )
