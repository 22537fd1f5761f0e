"""``client.api_keys``: who may call."""

from __future__ import annotations

from typing import Literal, Unpack

from ._bodies import JsonBody
from ._context import Context, ReadOptions, WriteOptions
from ._flow import Flow
from ._loops import AsyncLoop, SyncLoop
from ._models import ApiKeyRecord, Deleted
from ._operations import Rows, fetch, fetch_rows, given, segment
from ._pages import AsyncPage, Page

Role = Literal["viewer", "member", "admin", "owner"]
Mode = Literal["live", "test"]

_ROOT = "/v1/api-keys"


def _create(
    context: Context,
    role: Role,
    name: str | None,
    user: str | None,
    workspace: str | None,
    mode: Mode | None,
    options: WriteOptions,
) -> Flow[ApiKeyRecord]:
    body = JsonBody(given(role=role, name=name, user=user, workspace=workspace, mode=mode))
    return fetch(context, ApiKeyRecord, options, "POST", _ROOT, body=body)


def _list(context: Context, limit: int | None, after: str | None, options: ReadOptions) -> Flow[Rows[ApiKeyRecord]]:
    return fetch_rows(context, ApiKeyRecord, options, _ROOT, given(limit=limit, after=after))


class ApiKeys:
    """The workspace's API keys; for admins and owners."""

    def __init__(self, loop: SyncLoop, context: Context) -> None:
        self._loop = loop
        self._context = context

    def create(
        self,
        *,
        role: Role = "member",
        name: str | None = None,
        user: str | None = None,
        workspace: str | None = None,
        mode: Mode | None = None,
        **options: Unpack[WriteOptions],
    ) -> ApiKeyRecord:
        """Make a key; its ``key`` is the secret, shown only here.

        user: whose, None for a principal of its own. workspace: by name, made if new; over the owner's local socket only.
        """
        return self._loop.run(_create(self._context, role, name, user, workspace, mode, options))

    def list(
        self, *, limit: int | None = None, after: str | None = None, **options: Unpack[ReadOptions]
    ) -> Page[ApiKeyRecord]:
        """Return a page of keys, newest first, without their secrets; iterating it walks all pages."""
        page = Page(*self._loop.run(_list(self._context, limit, after, options)))
        page._fetch = lambda cursor: self.list(limit=limit, after=cursor, **options)
        return page

    def get(self, id: str, **options: Unpack[ReadOptions]) -> ApiKeyRecord:
        """Return a key without its secret."""
        return self._loop.run(fetch(self._context, ApiKeyRecord, options, "GET", f"{_ROOT}/{segment(id)}"))

    def revoke(self, id: str, **options: Unpack[WriteOptions]) -> Deleted:
        """End a key; within a second it opens nothing."""
        return self._loop.run(fetch(self._context, Deleted, options, "DELETE", f"{_ROOT}/{segment(id)}"))


class AsyncApiKeys:
    """The workspace's API keys; for admins and owners."""

    def __init__(self, loop: AsyncLoop, context: Context) -> None:
        self._loop = loop
        self._context = context

    async def create(
        self,
        *,
        role: Role = "member",
        name: str | None = None,
        user: str | None = None,
        workspace: str | None = None,
        mode: Mode | None = None,
        **options: Unpack[WriteOptions],
    ) -> ApiKeyRecord:
        """Make a key; its ``key`` is the secret, shown only here.

        user: whose, None for a principal of its own. workspace: by name, made if new; over the owner's local socket only.
        """
        return await self._loop.run(_create(self._context, role, name, user, workspace, mode, options))

    async def list(
        self, *, limit: int | None = None, after: str | None = None, **options: Unpack[ReadOptions]
    ) -> AsyncPage[ApiKeyRecord]:
        """Return a page of keys, newest first, without their secrets; iterating it walks all pages."""
        page = AsyncPage(*await self._loop.run(_list(self._context, limit, after, options)))
        page._fetch = lambda cursor: self.list(limit=limit, after=cursor, **options)
        return page

    async def get(self, id: str, **options: Unpack[ReadOptions]) -> ApiKeyRecord:
        """Return a key without its secret."""
        return await self._loop.run(fetch(self._context, ApiKeyRecord, options, "GET", f"{_ROOT}/{segment(id)}"))

    async def revoke(self, id: str, **options: Unpack[WriteOptions]) -> Deleted:
        """End a key; within a second it opens nothing."""
        return await self._loop.run(fetch(self._context, Deleted, options, "DELETE", f"{_ROOT}/{segment(id)}"))
