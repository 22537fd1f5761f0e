"""``client.webhooks``: who is told what happens, and how that went."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Unpack

from ._bodies import JsonBody
from ._context import Context, ReadOptions, WriteOptions
from ._flow import Flow
from ._loops import AsyncLoop, SyncLoop
from ._models import Deleted, WebhookDelivery, WebhookRecord
from ._operations import Rows, fetch, fetch_rows, given, segment
from ._pages import AsyncPage, Page

DeliveryStatus = Literal["pending", "delivered", "dead"]

_ROOT = "/v1/webhooks"


def _path(*ids: str) -> str:
    return "/".join((_ROOT, *map(segment, ids)))


def _types(events: Sequence[str]) -> list[str]:
    if isinstance(events, str):
        raise TypeError(f"events is a list of types, such as [{events!r}]")
    return list(events)


def _create(
    context: Context, url: str, events: Sequence[str], description: str | None, options: WriteOptions
) -> Flow[WebhookRecord]:
    body = JsonBody(given(url=url, events=_types(events), description=description))
    return fetch(context, WebhookRecord, options, "POST", _ROOT, body=body)


def _list(context: Context, limit: int | None, after: str | None, options: ReadOptions) -> Flow[Rows[WebhookRecord]]:
    return fetch_rows(context, WebhookRecord, options, _ROOT, given(limit=limit, after=after))


def _update(
    context: Context,
    id: str,
    url: str | None,
    events: Sequence[str] | None,
    description: str | None,
    enabled: bool | None,
    options: WriteOptions,
) -> Flow[WebhookRecord]:
    changes = given(
        url=url, events=None if events is None else _types(events), description=description, enabled=enabled
    )
    return fetch(context, WebhookRecord, options, "PATCH", _path(id), body=JsonBody(changes))


def _deliveries(
    context: Context,
    id: str,
    status: DeliveryStatus | None,
    limit: int | None,
    after: str | None,
    options: ReadOptions,
) -> Flow[Rows[WebhookDelivery]]:
    query = given(status=status, limit=limit, after=after)
    return fetch_rows(context, WebhookDelivery, options, _path(id, "deliveries"), query)


class Webhooks:
    """Whom the workspace tells what happens; for admins and owners."""

    def __init__(self, loop: SyncLoop, context: Context) -> None:
        self._loop = loop
        self._context = context

    def create(
        self, *, url: str, events: Sequence[str], description: str | None = None, **options: Unpack[WriteOptions]
    ) -> WebhookRecord:
        """Make a webhook; its ``secret``, which signs what is sent, is shown only here. events: ``["*"]`` for all."""
        return self._loop.run(_create(self._context, url, events, description, options))

    def list(
        self, *, limit: int | None = None, after: str | None = None, **options: Unpack[ReadOptions]
    ) -> Page[WebhookRecord]:
        """Return a page of webhooks, newest first; iterating it walks all pages."""
        page = Page(*self._loop.run(_list(self._context, limit, after, options)))
        page._fetch = lambda cursor: self.list(limit=limit, after=cursor, **options)
        return page

    def get(self, id: str, **options: Unpack[ReadOptions]) -> WebhookRecord:
        """Return a webhook without its secret."""
        return self._loop.run(fetch(self._context, WebhookRecord, options, "GET", _path(id)))

    def update(
        self,
        id: str,
        *,
        url: str | None = None,
        events: Sequence[str] | None = None,
        description: str | None = None,
        enabled: bool | None = None,
        **options: Unpack[WriteOptions],
    ) -> WebhookRecord:
        """Change what is given. enabled: True tells one things again that was disabled, False tells it nothing more."""
        return self._loop.run(_update(self._context, id, url, events, description, enabled, options))

    def delete(self, id: str, **options: Unpack[WriteOptions]) -> Deleted:
        """Delete a webhook, with what it was still to be told."""
        return self._loop.run(fetch(self._context, Deleted, options, "DELETE", _path(id)))

    def rotate(self, id: str, **options: Unpack[WriteOptions]) -> WebhookRecord:
        """Give a webhook another ``secret``, shown only here; for a day both sign."""
        return self._loop.run(fetch(self._context, WebhookRecord, options, "POST", _path(id, "rotate")))

    def test(self, id: str, **options: Unpack[WriteOptions]) -> WebhookDelivery:
        """Send a webhook ``webhook.test``; ``delivery`` tells how that went."""
        return self._loop.run(fetch(self._context, WebhookDelivery, options, "POST", _path(id, "test")))

    def deliveries(
        self,
        id: str,
        *,
        status: DeliveryStatus | None = None,
        limit: int | None = None,
        after: str | None = None,
        **options: Unpack[ReadOptions],
    ) -> Page[WebhookDelivery]:
        """Return a page of what a webhook was told, newest first; iterating it walks all pages."""
        page = Page(*self._loop.run(_deliveries(self._context, id, status, limit, after, options)))
        page._fetch = lambda cursor: self.deliveries(id, status=status, limit=limit, after=cursor, **options)
        return page

    def delivery(self, id: str, delivery_id: str, **options: Unpack[ReadOptions]) -> WebhookDelivery:
        """Return one message to a webhook, with its ``body`` and its ``tries``."""
        path = _path(id, "deliveries", delivery_id)
        return self._loop.run(fetch(self._context, WebhookDelivery, options, "GET", path))

    def redeliver(self, id: str, delivery_id: str, **options: Unpack[WriteOptions]) -> WebhookDelivery:
        """Send a message once more under the same message id, whatever became of it."""
        path = _path(id, "deliveries", delivery_id, "redeliver")
        return self._loop.run(fetch(self._context, WebhookDelivery, options, "POST", path))


class AsyncWebhooks:
    """Whom the workspace tells what happens; for admins and owners."""

    def __init__(self, loop: AsyncLoop, context: Context) -> None:
        self._loop = loop
        self._context = context

    async def create(
        self, *, url: str, events: Sequence[str], description: str | None = None, **options: Unpack[WriteOptions]
    ) -> WebhookRecord:
        """Make a webhook; its ``secret``, which signs what is sent, is shown only here. events: ``["*"]`` for all."""
        return await self._loop.run(_create(self._context, url, events, description, options))

    async def list(
        self, *, limit: int | None = None, after: str | None = None, **options: Unpack[ReadOptions]
    ) -> AsyncPage[WebhookRecord]:
        """Return a page of webhooks, newest first; iterating it walks all pages."""
        page = AsyncPage(*await self._loop.run(_list(self._context, limit, after, options)))
        page._fetch = lambda cursor: self.list(limit=limit, after=cursor, **options)
        return page

    async def get(self, id: str, **options: Unpack[ReadOptions]) -> WebhookRecord:
        """Return a webhook without its secret."""
        return await self._loop.run(fetch(self._context, WebhookRecord, options, "GET", _path(id)))

    async def update(
        self,
        id: str,
        *,
        url: str | None = None,
        events: Sequence[str] | None = None,
        description: str | None = None,
        enabled: bool | None = None,
        **options: Unpack[WriteOptions],
    ) -> WebhookRecord:
        """Change what is given. enabled: True tells one things again that was disabled, False tells it nothing more."""
        return await self._loop.run(_update(self._context, id, url, events, description, enabled, options))

    async def delete(self, id: str, **options: Unpack[WriteOptions]) -> Deleted:
        """Delete a webhook, with what it was still to be told."""
        return await self._loop.run(fetch(self._context, Deleted, options, "DELETE", _path(id)))

    async def rotate(self, id: str, **options: Unpack[WriteOptions]) -> WebhookRecord:
        """Give a webhook another ``secret``, shown only here; for a day both sign."""
        return await self._loop.run(fetch(self._context, WebhookRecord, options, "POST", _path(id, "rotate")))

    async def test(self, id: str, **options: Unpack[WriteOptions]) -> WebhookDelivery:
        """Send a webhook ``webhook.test``; ``delivery`` tells how that went."""
        return await self._loop.run(fetch(self._context, WebhookDelivery, options, "POST", _path(id, "test")))

    async def deliveries(
        self,
        id: str,
        *,
        status: DeliveryStatus | None = None,
        limit: int | None = None,
        after: str | None = None,
        **options: Unpack[ReadOptions],
    ) -> AsyncPage[WebhookDelivery]:
        """Return a page of what a webhook was told, newest first; iterating it walks all pages."""
        page = AsyncPage(*await self._loop.run(_deliveries(self._context, id, status, limit, after, options)))
        page._fetch = lambda cursor: self.deliveries(id, status=status, limit=limit, after=cursor, **options)
        return page

    async def delivery(self, id: str, delivery_id: str, **options: Unpack[ReadOptions]) -> WebhookDelivery:
        """Return one message to a webhook, with its ``body`` and its ``tries``."""
        path = _path(id, "deliveries", delivery_id)
        return await self._loop.run(fetch(self._context, WebhookDelivery, options, "GET", path))

    async def redeliver(self, id: str, delivery_id: str, **options: Unpack[WriteOptions]) -> WebhookDelivery:
        """Send a message once more under the same message id, whatever became of it."""
        path = _path(id, "deliveries", delivery_id, "redeliver")
        return await self._loop.run(fetch(self._context, WebhookDelivery, options, "POST", path))
