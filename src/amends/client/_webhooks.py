"""``client.webhooks``: who is told what happens, and how that went."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, Unpack

from ._bodies import JsonBody
from ._context import ReadOptions, WriteOptions
from ._flow import Flow
from ._models import Deleted, WebhookDelivery, WebhookRecord
from ._operations import Rows, fetch, fetch_rows, given, segment
from ._twins import AsyncResource, Methods, SyncResource, method, paged

DeliveryStatus = Literal["pending", "delivered", "dead"]

_ROOT: Final = "/v1/webhooks"


def _path(*ids: str) -> str:
    return "/".join((_ROOT, *map(segment, ids)))


def _types(events: Sequence[str]) -> list[str]:
    if isinstance(events, str):
        raise TypeError(f"events is a list of types, such as [{events!r}]")
    return list(events)


class _Webhooks(Methods):
    @method
    def create(
        self, *, url: str, events: Sequence[str], description: str | None = None, **options: Unpack[WriteOptions]
    ) -> Flow[WebhookRecord]:
        """Make a webhook; its ``secret``, which signs what is sent, is shown only here. events: ``["*"]`` for all."""
        body = JsonBody(given(url=url, events=_types(events), description=description))
        return fetch(self._context, WebhookRecord, options, "POST", _ROOT, body=body)

    @paged
    def list(
        self, *, limit: int | None = None, after: str | None = None, **options: Unpack[ReadOptions]
    ) -> Flow[Rows[WebhookRecord]]:
        """Return a page of webhooks, newest first; iterating it walks all pages."""
        return fetch_rows(self._context, WebhookRecord, options, _ROOT, given(limit=limit, after=after))

    @method
    def get(self, id: str, **options: Unpack[ReadOptions]) -> Flow[WebhookRecord]:
        """Return a webhook without its secret."""
        return fetch(self._context, WebhookRecord, options, "GET", _path(id))

    @method
    def update(
        self,
        id: str,
        *,
        url: str | None = None,
        events: Sequence[str] | None = None,
        description: str | None = None,
        enabled: bool | None = None,
        **options: Unpack[WriteOptions],
    ) -> Flow[WebhookRecord]:
        """Change what is given. enabled: True tells one things again that was disabled, False tells it nothing more."""
        types = None if events is None else _types(events)
        body = JsonBody(given(url=url, events=types, description=description, enabled=enabled))
        return fetch(self._context, WebhookRecord, options, "PATCH", _path(id), body=body)

    @method
    def delete(self, id: str, **options: Unpack[WriteOptions]) -> Flow[Deleted]:
        """Delete a webhook, with what it was still to be told."""
        return fetch(self._context, Deleted, options, "DELETE", _path(id))

    @method
    def rotate(self, id: str, **options: Unpack[WriteOptions]) -> Flow[WebhookRecord]:
        """Give a webhook another ``secret``, shown only here; for a day both sign."""
        return fetch(self._context, WebhookRecord, options, "POST", _path(id, "rotate"))

    @method
    def test(self, id: str, **options: Unpack[WriteOptions]) -> Flow[WebhookDelivery]:
        """Send a webhook ``webhook.test``; ``delivery`` tells how that went."""
        return fetch(self._context, WebhookDelivery, options, "POST", _path(id, "test"))

    @paged
    def deliveries(
        self,
        id: str,
        *,
        status: DeliveryStatus | None = None,
        limit: int | None = None,
        after: str | None = None,
        **options: Unpack[ReadOptions],
    ) -> Flow[Rows[WebhookDelivery]]:
        """Return a page of what a webhook was told, newest first; iterating it walks all pages."""
        query = given(status=status, limit=limit, after=after)
        return fetch_rows(self._context, WebhookDelivery, options, _path(id, "deliveries"), query)

    @method
    def delivery(self, id: str, delivery_id: str, **options: Unpack[ReadOptions]) -> Flow[WebhookDelivery]:
        """Return one message to a webhook, with its ``body`` and its ``tries``."""
        return fetch(self._context, WebhookDelivery, options, "GET", _path(id, "deliveries", delivery_id))

    @method
    def redeliver(self, id: str, delivery_id: str, **options: Unpack[WriteOptions]) -> Flow[WebhookDelivery]:
        """Send a message once more under the same message id, whatever became of it."""
        path = _path(id, "deliveries", delivery_id, "redeliver")
        return fetch(self._context, WebhookDelivery, options, "POST", path)


class Webhooks(_Webhooks, SyncResource):
    """Whom the workspace tells what happens; for admins and owners."""


class AsyncWebhooks(_Webhooks, AsyncResource):
    """Whom the workspace tells what happens; for admins and owners."""
