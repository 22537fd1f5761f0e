"""``client.api_keys``: who may call."""

from __future__ import annotations

from typing import Final, Literal, Unpack

from ._bodies import JsonBody
from ._context import ReadOptions, WriteOptions
from ._flow import Flow
from ._models import ApiKeyRecord, Deleted
from ._operations import Rows, fetch, fetch_rows, given, segment
from ._twins import AsyncResource, Methods, SyncResource, method, paged

Role = Literal["viewer", "member", "admin", "owner"]
Mode = Literal["live", "test"]

_ROOT: Final = "/v1/api-keys"


class _ApiKeys(Methods):
    @method
    def create(
        self,
        *,
        role: Role = "member",
        name: str | None = None,
        user: str | None = None,
        workspace: str | None = None,
        mode: Mode | None = None,
        **options: Unpack[WriteOptions],
    ) -> Flow[ApiKeyRecord]:
        """Make a key; its ``key`` is the secret, shown only here.

        user: whose, None for a principal of its own. workspace: by name, made if new; over the owner's local socket only.
        """
        body = JsonBody(given(role=role, name=name, user=user, workspace=workspace, mode=mode))
        return fetch(self._context, ApiKeyRecord, options, "POST", _ROOT, body=body)

    @paged
    def list(
        self, *, limit: int | None = None, after: str | None = None, **options: Unpack[ReadOptions]
    ) -> Flow[Rows[ApiKeyRecord]]:
        """Return a page of keys, newest first, without their secrets; iterating it walks all pages."""
        return fetch_rows(self._context, ApiKeyRecord, options, _ROOT, given(limit=limit, after=after))

    @method
    def get(self, id: str, **options: Unpack[ReadOptions]) -> Flow[ApiKeyRecord]:
        """Return a key without its secret."""
        return fetch(self._context, ApiKeyRecord, options, "GET", f"{_ROOT}/{segment(id)}")

    @method
    def revoke(self, id: str, **options: Unpack[WriteOptions]) -> Flow[Deleted]:
        """End a key; within a second it opens nothing."""
        return fetch(self._context, Deleted, options, "DELETE", f"{_ROOT}/{segment(id)}")


class ApiKeys(_ApiKeys, SyncResource):
    """The workspace's API keys; for admins and owners."""


class AsyncApiKeys(_ApiKeys, AsyncResource):
    """The workspace's API keys; for admins and owners."""
