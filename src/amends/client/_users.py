"""``client.users`` and ``client.invitations``: who belongs to the workspace, and who may come in."""

from __future__ import annotations

from typing import Final, Unpack

from ._api_keys import Role
from ._bodies import JsonBody
from ._context import ReadOptions, WriteOptions
from ._flow import Flow
from ._models import Deleted, InvitationRecord, UserRecord
from ._operations import Rows, fetch, fetch_rows, given, segment
from ._twins import AsyncResource, Methods, SyncResource, method, paged

_USERS: Final = "/v1/users"
_INVITATIONS: Final = "/v1/invitations"


class _Users(Methods):
    @paged
    def list(
        self, *, limit: int | None = None, after: str | None = None, **options: Unpack[ReadOptions]
    ) -> Flow[Rows[UserRecord]]:
        """Return a page of users, newest first; iterating it walks all pages."""
        return fetch_rows(self._context, UserRecord, options, _USERS, given(limit=limit, after=after))

    @method
    def get(self, id: str, **options: Unpack[ReadOptions]) -> Flow[UserRecord]:
        """Return a user."""
        return fetch(self._context, UserRecord, options, "GET", f"{_USERS}/{segment(id)}")

    @method
    def update(
        self, id: str, *, role: Role | None = None, name: str | None = None, **options: Unpack[WriteOptions]
    ) -> Flow[UserRecord]:
        """Give a user another role, who logs in again then, or another name."""
        body = JsonBody(given(role=role, name=name))
        return fetch(self._context, UserRecord, options, "PATCH", f"{_USERS}/{segment(id)}", body=body)

    @method
    def delete(self, id: str, **options: Unpack[WriteOptions]) -> Flow[Deleted]:
        """Remove a user and revoke their keys. What they made stays."""
        return fetch(self._context, Deleted, options, "DELETE", f"{_USERS}/{segment(id)}")


class _Invitations(Methods):
    @method
    def create(
        self,
        *,
        role: Role = "member",
        email: str | None = None,
        expires_after: int | None = None,
        **options: Unpack[WriteOptions],
    ) -> Flow[InvitationRecord]:
        """Invite somebody; the ``token`` they register with is shown only here.

        email: who alone may use it, None for whoever brings it. expires_after: seconds.
        """
        body = JsonBody(given(role=role, email=email, expires_after=expires_after))
        return fetch(self._context, InvitationRecord, options, "POST", _INVITATIONS, body=body)

    @paged
    def list(
        self, *, limit: int | None = None, after: str | None = None, **options: Unpack[ReadOptions]
    ) -> Flow[Rows[InvitationRecord]]:
        """Return a page of invitations, newest first; iterating it walks all pages."""
        return fetch_rows(self._context, InvitationRecord, options, _INVITATIONS, given(limit=limit, after=after))

    @method
    def get(self, id: str, **options: Unpack[ReadOptions]) -> Flow[InvitationRecord]:
        """Return an invitation without its token."""
        return fetch(self._context, InvitationRecord, options, "GET", f"{_INVITATIONS}/{segment(id)}")

    @method
    def delete(self, id: str, **options: Unpack[WriteOptions]) -> Flow[Deleted]:
        """Withdraw an invitation. Who came by it stays."""
        return fetch(self._context, Deleted, options, "DELETE", f"{_INVITATIONS}/{segment(id)}")


class Users(_Users, SyncResource):
    """The people of the workspace; for admins and owners."""


class AsyncUsers(_Users, AsyncResource):
    """The people of the workspace; for admins and owners."""


class Invitations(_Invitations, SyncResource):
    """Whom to let into the workspace; for admins and owners."""


class AsyncInvitations(_Invitations, AsyncResource):
    """Whom to let into the workspace; for admins and owners."""
