"""``client.users`` and ``client.invitations``: who belongs to the workspace, and who may come in."""

from __future__ import annotations

from typing import Unpack

from ._api_keys import Role
from ._bodies import JsonBody
from ._context import Context, ReadOptions, WriteOptions
from ._flow import Flow
from ._loops import AsyncLoop, SyncLoop
from ._models import Deleted, InvitationRecord, UserRecord
from ._operations import Rows, fetch, fetch_rows, given, segment
from ._pages import AsyncPage, Page

_USERS = "/v1/users"
_INVITATIONS = "/v1/invitations"


def _list(context: Context, limit: int | None, after: str | None, options: ReadOptions) -> Flow[Rows[UserRecord]]:
    return fetch_rows(context, UserRecord, options, _USERS, given(limit=limit, after=after))


def _update(context: Context, id: str, role: Role | None, name: str | None, options: WriteOptions) -> Flow[UserRecord]:
    body = JsonBody(given(role=role, name=name))
    return fetch(context, UserRecord, options, "PATCH", f"{_USERS}/{segment(id)}", body=body)


def _invite(
    context: Context, role: Role, email: str | None, expires_after: int | None, options: WriteOptions
) -> Flow[InvitationRecord]:
    body = JsonBody(given(role=role, email=email, expires_after=expires_after))
    return fetch(context, InvitationRecord, options, "POST", _INVITATIONS, body=body)


def _list_invitations(
    context: Context, limit: int | None, after: str | None, options: ReadOptions
) -> Flow[Rows[InvitationRecord]]:
    return fetch_rows(context, InvitationRecord, options, _INVITATIONS, given(limit=limit, after=after))


class Users:
    """The people of the workspace; for admins and owners."""

    def __init__(self, loop: SyncLoop, context: Context) -> None:
        self._loop = loop
        self._context = context

    def list(
        self, *, limit: int | None = None, after: str | None = None, **options: Unpack[ReadOptions]
    ) -> Page[UserRecord]:
        """Return a page of users, newest first; iterating it walks all pages."""
        page = Page(*self._loop.run(_list(self._context, limit, after, options)))
        page._fetch = lambda cursor: self.list(limit=limit, after=cursor, **options)
        return page

    def get(self, id: str, **options: Unpack[ReadOptions]) -> UserRecord:
        """Return a user."""
        return self._loop.run(fetch(self._context, UserRecord, options, "GET", f"{_USERS}/{segment(id)}"))

    def update(
        self, id: str, *, role: Role | None = None, name: str | None = None, **options: Unpack[WriteOptions]
    ) -> UserRecord:
        """Give a user another role, who logs in again then, or another name."""
        return self._loop.run(_update(self._context, id, role, name, options))

    def delete(self, id: str, **options: Unpack[WriteOptions]) -> Deleted:
        """Remove a user and revoke their keys. What they made stays."""
        return self._loop.run(fetch(self._context, Deleted, options, "DELETE", f"{_USERS}/{segment(id)}"))


class Invitations:
    """Whom to let into the workspace; for admins and owners."""

    def __init__(self, loop: SyncLoop, context: Context) -> None:
        self._loop = loop
        self._context = context

    def create(
        self,
        *,
        role: Role = "member",
        email: str | None = None,
        expires_after: int | None = None,
        **options: Unpack[WriteOptions],
    ) -> InvitationRecord:
        """Invite somebody; the ``token`` they register with is shown only here.

        email: who alone may use it, None for whoever brings it. expires_after: seconds.
        """
        return self._loop.run(_invite(self._context, role, email, expires_after, options))

    def list(
        self, *, limit: int | None = None, after: str | None = None, **options: Unpack[ReadOptions]
    ) -> Page[InvitationRecord]:
        """Return a page of invitations, newest first; iterating it walks all pages."""
        page = Page(*self._loop.run(_list_invitations(self._context, limit, after, options)))
        page._fetch = lambda cursor: self.list(limit=limit, after=cursor, **options)
        return page

    def get(self, id: str, **options: Unpack[ReadOptions]) -> InvitationRecord:
        """Return an invitation without its token."""
        path = f"{_INVITATIONS}/{segment(id)}"
        return self._loop.run(fetch(self._context, InvitationRecord, options, "GET", path))

    def delete(self, id: str, **options: Unpack[WriteOptions]) -> Deleted:
        """Withdraw an invitation. Who came by it stays."""
        return self._loop.run(fetch(self._context, Deleted, options, "DELETE", f"{_INVITATIONS}/{segment(id)}"))


class AsyncUsers:
    """The people of the workspace; for admins and owners."""

    def __init__(self, loop: AsyncLoop, context: Context) -> None:
        self._loop = loop
        self._context = context

    async def list(
        self, *, limit: int | None = None, after: str | None = None, **options: Unpack[ReadOptions]
    ) -> AsyncPage[UserRecord]:
        """Return a page of users, newest first; iterating it walks all pages."""
        page = AsyncPage(*await self._loop.run(_list(self._context, limit, after, options)))
        page._fetch = lambda cursor: self.list(limit=limit, after=cursor, **options)
        return page

    async def get(self, id: str, **options: Unpack[ReadOptions]) -> UserRecord:
        """Return a user."""
        return await self._loop.run(fetch(self._context, UserRecord, options, "GET", f"{_USERS}/{segment(id)}"))

    async def update(
        self, id: str, *, role: Role | None = None, name: str | None = None, **options: Unpack[WriteOptions]
    ) -> UserRecord:
        """Give a user another role, who logs in again then, or another name."""
        return await self._loop.run(_update(self._context, id, role, name, options))

    async def delete(self, id: str, **options: Unpack[WriteOptions]) -> Deleted:
        """Remove a user and revoke their keys. What they made stays."""
        return await self._loop.run(fetch(self._context, Deleted, options, "DELETE", f"{_USERS}/{segment(id)}"))


class AsyncInvitations:
    """Whom to let into the workspace; for admins and owners."""

    def __init__(self, loop: AsyncLoop, context: Context) -> None:
        self._loop = loop
        self._context = context

    async def create(
        self,
        *,
        role: Role = "member",
        email: str | None = None,
        expires_after: int | None = None,
        **options: Unpack[WriteOptions],
    ) -> InvitationRecord:
        """Invite somebody; the ``token`` they register with is shown only here.

        email: who alone may use it, None for whoever brings it. expires_after: seconds.
        """
        return await self._loop.run(_invite(self._context, role, email, expires_after, options))

    async def list(
        self, *, limit: int | None = None, after: str | None = None, **options: Unpack[ReadOptions]
    ) -> AsyncPage[InvitationRecord]:
        """Return a page of invitations, newest first; iterating it walks all pages."""
        page = AsyncPage(*await self._loop.run(_list_invitations(self._context, limit, after, options)))
        page._fetch = lambda cursor: self.list(limit=limit, after=cursor, **options)
        return page

    async def get(self, id: str, **options: Unpack[ReadOptions]) -> InvitationRecord:
        """Return an invitation without its token."""
        path = f"{_INVITATIONS}/{segment(id)}"
        return await self._loop.run(fetch(self._context, InvitationRecord, options, "GET", path))

    async def delete(self, id: str, **options: Unpack[WriteOptions]) -> Deleted:
        """Withdraw an invitation. Who came by it stays."""
        return await self._loop.run(fetch(self._context, Deleted, options, "DELETE", f"{_INVITATIONS}/{segment(id)}"))
