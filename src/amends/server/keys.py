"""``/v1/api-keys`` and ``/v1/me``: who may come in, and as what."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse, Response

from amends.database import Transaction, rfc3339
from amends.problems import ProblemError, idempotency_conflict, no_permission
from amends.server.auth import Caller
from amends.server.finding import existing
from amends.server.idempotency import Guard, body_digest, idempotent
from amends.server.once import NONCE, new_nonce, source_of
from amends.server.pagination import After, Limit, Page, page
from amends.server.routing import Route
from amends.server.services import Services, hub, who
from amends.store import IssuedKey, Key, Mode, Role, make_secret

router = APIRouter(prefix="/v1", tags=["keys"], route_class=Route)

Hub = Annotated[Services, Depends(hub)]
Who = Annotated[Caller, Depends(who)]
KeyId = Annotated[str, Path(max_length=128, description="The key's id.")]
Name = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f]+$")]


class Me(BaseModel):
    """Who the caller is."""

    user_id: Annotated[str | None, Field(description="Null where the key is a principal of its own.")]
    role: Role
    workspace_id: str
    mode: Mode


class NewKey(BaseModel):
    """A key to be made. ``user``: by name, made if new. ``workspace``: likewise, through the local socket only."""

    model_config = ConfigDict(extra="forbid")

    role: Role
    mode: Mode = "live"
    name: Name | None = None
    user: Name | None = None
    workspace: Name | None = None


class ApiKey(BaseModel):
    """A key, without its secret."""

    id: str
    object: Literal["api_key"] = "api_key"
    name: str | None
    prefix: Annotated[str, Field(description="The first characters of the secret.")]
    role: Role
    mode: Mode
    user_id: str | None
    workspace_id: str
    created_at: str
    revoked_at: str | None


class ApiKeyWithSecret(ApiKey):
    key: Annotated[str, Field(description="The secret. Shown now and never again.")]


class RevokedKey(BaseModel):
    id: str
    object: Literal["api_key"] = "api_key"
    deleted: Literal[True] = True


@router.get("/me", summary="Who the caller is")
async def me(who: Who) -> Me:
    return Me(user_id=who.user_id, role=who.role, workspace_id=who.workspace_id, mode=who.mode)


@router.post("/api-keys", summary="Make a key", status_code=201, response_model=ApiKeyWithSecret,
             responses={201: {"headers": {"Location": {"schema": {"type": "string"}}}}})  # fmt: skip
async def create_key(request: Request, hub: Hub, who: Who, new: NewKey) -> Response:
    who.authorize("create", "api_key", role="admin")
    if not who.has_role(new.role):
        raise ProblemError(no_permission("create", "api_key"))
    if new.workspace is not None and not who.is_local:
        raise ProblemError(no_permission("choose", "workspace"))
    async with idempotent(request, await body_digest(request)) as guard:
        if guard.replay:
            return _again(hub, who, guard, guard.replay)
        nonce = new_nonce()
        issued = await asyncio.wrap_future(hub.database.submit(lambda tx: _issue(tx, hub, who, new, guard, nonce)))
    hub.store.keys.admit(issued.key)
    return JSONResponse({**_wire(issued.key).model_dump(), "key": issued.secret}, 201, _location(issued.key.id))


@router.get("/api-keys", summary="List the keys, newest first")
def list_keys(hub: Hub, who: Who, limit: Limit = 20, after: After = None) -> Page[ApiKey]:
    who.authorize("list", "api_key", role="admin")
    found = hub.store.keys.find(who.workspace_id, limit=limit + 1, after=after)
    return page(found, limit, _wire)


@router.get("/api-keys/{key_id}", summary="One key")
def get_key(hub: Hub, who: Who, key_id: KeyId) -> ApiKey:
    who.authorize("read", "api_key", role="admin")
    return _wire(_found(hub, who, key_id))


@router.delete("/api-keys/{key_id}", summary="Revoke a key", response_model=RevokedKey)
async def revoke_key(request: Request, hub: Hub, who: Who, key_id: KeyId) -> Response:
    who.authorize("revoke", "api_key", role="admin")
    async with idempotent(request, await body_digest(request)) as guard:
        if guard.replay:
            return guard.replay
        key = await asyncio.to_thread(_found, hub, who, key_id)
        who.authorize("revoke", "api_key", role=key.role)
        answer = RevokedKey(id=key.id).model_dump()

        def write(tx: Transaction) -> Key:
            guard.store(tx, 200, answer)
            hub.store.sessions.close_of_key(tx, key.id)
            return hub.store.keys.revoke(tx, key)

        hub.store.keys.dismiss(await asyncio.wrap_future(hub.database.submit(write)))
    return JSONResponse(answer)


def _issue(tx: Transaction, hub: Services, who: Caller, new: NewKey, guard: Guard, nonce: str) -> IssuedKey:
    workspace_id = hub.store.workspaces.ensure(tx, new.workspace).id if new.workspace else who.workspace_id
    user_id = hub.store.accounts.ensure(tx, workspace_id, new.user, new.role).id if new.user else None
    issued = hub.store.keys.issue(
        tx,
        workspace_id,
        role=new.role,
        mode=new.mode,
        user_id=user_id,
        name=new.name,
        created_by=who.key_id,
        secret=make_secret(new.mode, derived_from=source_of(who, guard, nonce)),
    )
    stored = {**_wire(issued.key).model_dump(), NONCE: nonce}
    guard.store(tx, 201, stored, headers=_location(issued.key.id), resource_id=issued.key.id)
    return issued


def _again(hub: Services, who: Caller, guard: Guard, replay: Response) -> Response:
    stored: dict[str, Any] = json.loads(bytes(replay.body))
    secret = make_secret(stored["mode"], derived_from=source_of(who, guard, stored.pop(NONCE)))
    known = hub.store.keys.authenticate(secret)
    if known is None or known.id != stored["id"]:
        # Revoked since, or asked for with another credential than the first time.
        raise ProblemError(idempotency_conflict())
    return JSONResponse({**stored, "key": secret}, 201, {**_location(stored["id"]), "Idempotency-Replayed": "true"})


def _found(hub: Services, who: Caller, key_id: str) -> Key:
    return existing(hub.store.keys.get(who.workspace_id, key_id), "api_key", key_id)


def _location(key_id: str) -> dict[str, str]:
    return {"Location": f"/v1/api-keys/{key_id}"}


def _wire(key: Key) -> ApiKey:
    return ApiKey(
        id=key.id,
        name=key.name,
        prefix=key.hint,
        role=key.role,
        mode=key.mode,
        user_id=key.user_id,
        workspace_id=key.workspace_id,
        created_at=rfc3339(key.created_at),
        revoked_at=None if key.revoked_at is None else rfc3339(key.revoked_at),
    )
