"""``/v1/users``: who belongs to the workspace, and as what."""

from __future__ import annotations

import asyncio
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path, Request
from pydantic import BaseModel, ConfigDict
from starlette.responses import JSONResponse, Response

from amends.database import Transaction
from amends.problems import Problem, ProblemError, duplicate, invalid_state, not_found
from amends.server.accounts import UserRecord, shown
from amends.server.auth import Caller
from amends.server.finding import existing
from amends.server.idempotency import body_digest, idempotent
from amends.server.keys import Name
from amends.server.pagination import After, Limit, Page, page
from amends.server.routing import Route
from amends.server.services import Services, hub, who
from amends.store import Key, LastOwner, NameTaken, Role, User

router = APIRouter(prefix="/v1/users", tags=["users"], route_class=Route)

Hub = Annotated[Services, Depends(hub)]
Who = Annotated[Caller, Depends(who)]
UserId = Annotated[str, Path(max_length=128, description="The user's id.")]


class UserChange(BaseModel):
    """What is to change; what is not given stays."""

    model_config = ConfigDict(extra="forbid")

    role: Role | None = None
    name: Name | None = None


class DeletedUser(BaseModel):
    id: str
    object: Literal["user"] = "user"
    deleted: Literal[True] = True


@router.get("", summary="List the users, newest first")
def list_users(hub: Hub, who: Who, limit: Limit = 20, after: After = None) -> Page[UserRecord]:
    who.authorize("list", "user", role="admin")
    found = hub.store.accounts.find(who.workspace_id, limit=limit + 1, after=after)
    return page(found, limit, shown)


@router.get("/{user_id}", summary="One user")
def get_user(hub: Hub, who: Who, user_id: UserId) -> UserRecord:
    who.authorize("read", "user", role="admin")
    return shown(_found(hub, who, user_id))


@router.patch("/{user_id}", summary="Give a user another role or name", response_model=UserRecord)
async def change_user(request: Request, hub: Hub, who: Who, user_id: UserId, change: UserChange) -> Response:
    """Whoever has another role logs in again. API keys keep the role they were made with."""
    who.authorize("change", "user", role="admin")
    async with idempotent(request, await body_digest(request)) as guard:
        if guard.replay:
            return guard.replay
        user = await asyncio.to_thread(_found, hub, who, user_id)
        who.authorize("change", "user", role=_least(user.role, change.role))

        def write(tx: Transaction) -> UserRecord | None:
            changed = hub.store.accounts.change(tx, user, role=change.role, name=change.name)
            if changed is None:
                return None
            if changed.role != user.role:
                hub.store.sessions.close_of_user(tx, user.id)
            guard.store(tx, 200, shown(changed).model_dump())
            return shown(changed)

        try:
            told = await asyncio.wrap_future(hub.database.submit(write))
        except LastOwner as error:
            raise ProblemError(_last_owner(user)) from error
        except NameTaken as error:
            raise ProblemError(duplicate("user", change.name or "")) from error
    if told is None:
        raise ProblemError(not_found("user", user_id))
    return JSONResponse(told.model_dump())


@router.delete("/{user_id}", summary="Remove a user", response_model=DeletedUser)
async def delete_user(request: Request, hub: Hub, who: Who, user_id: UserId) -> Response:
    """Revokes the user's keys and logs them out. What they made stays."""
    who.authorize("delete", "user", role="admin")
    async with idempotent(request, await body_digest(request)) as guard:
        if guard.replay:
            return guard.replay
        user = await asyncio.to_thread(_found, hub, who, user_id)
        who.authorize("delete", "user", role=_least(user.role))
        answer = DeletedUser(id=user.id).model_dump()

        def write(tx: Transaction) -> list[Key] | None:
            if not hub.store.accounts.delete(tx, user):
                return None
            hub.store.sessions.close_of_user(tx, user.id)
            hub.store.idempotency.forget_resource(tx, user.id)
            guard.store(tx, 200, answer)
            return [hub.store.keys.revoke(tx, key) for key in hub.store.keys.of_user(user.id)]

        try:
            revoked = await asyncio.wrap_future(hub.database.submit(write))
        except LastOwner as error:
            raise ProblemError(_last_owner(user)) from error
    if revoked is None:
        raise ProblemError(not_found("user", user_id))
    for key in revoked:
        hub.store.keys.dismiss(key)
    return JSONResponse(answer)


def _least(*roles: Role | None) -> Role:
    """What the caller must be: an owner where an owner is made or unmade, else an admin."""
    return "owner" if "owner" in roles else "admin"


def _last_owner(user: User) -> Problem:
    return invalid_state("A workspace has an owner: make somebody else one first", user_id=user.id)


def _found(hub: Services, who: Caller, user_id: str) -> User:
    return existing(hub.store.accounts.get(who.workspace_id, user_id), "user", user_id)
