"""``/v1/invitations``: letting somebody into the workspace."""

from __future__ import annotations

import asyncio
import json
from base64 import urlsafe_b64encode
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Path, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse, Response

from amends.database import Transaction, rfc3339
from amends.problems import ProblemError, idempotency_conflict, no_permission, not_found
from amends.server.accounts import Email
from amends.server.auth import Caller
from amends.server.finding import existing
from amends.server.idempotency import Guard, body_digest, idempotent
from amends.server.once import NONCE, new_nonce, source_of
from amends.server.pagination import After, Limit, Page, page
from amends.server.routing import Route
from amends.server.services import Services, hub, who
from amends.store import Invitation, Role, comparable, digest_of, make_bits

router = APIRouter(prefix="/v1/invitations", tags=["users"], route_class=Route)

Hub = Annotated[Services, Depends(hub)]
Who = Annotated[Caller, Depends(who)]
InvitationId = Annotated[str, Path(max_length=128, description="The invitation's id.")]

_HOUR_SECONDS: Final = 3_600
_YEAR_SECONDS: Final = 31_536_000


class NewInvitation(BaseModel):
    """An invitation to be made. role: at most the inviter's. email: whom it is for; without one it is for whoever brings it."""

    model_config = ConfigDict(extra="forbid")

    role: Role
    email: Email | None = None
    expires_after: Annotated[int, Field(ge=60, le=_YEAR_SECONDS, description="Seconds.")] | None = None


class InvitationRecord(BaseModel):
    """An invitation, without its token."""

    id: str
    object: Literal["invitation"] = "invitation"
    role: Role
    email: str | None
    workspace_id: str
    created_by: str | None
    created_at: str
    expires_at: str
    used_at: str | None
    used_by: Annotated[str | None, Field(description="The user who came by it.")]


class InvitationWithToken(InvitationRecord):
    token: Annotated[str, Field(description="What the invited register with. Shown now and never again.")]


class WithdrawnInvitation(BaseModel):
    id: str
    object: Literal["invitation"] = "invitation"
    deleted: Literal[True] = True


@router.post("", summary="Invite somebody", status_code=201, response_model=InvitationWithToken,
             responses={201: {"headers": {"Location": {"schema": {"type": "string"}}}}})  # fmt: skip
async def create_invitation(request: Request, hub: Hub, who: Who, new: NewInvitation) -> Response:
    who.authorize("create", "invitation", role="admin")
    if not who.has_role(new.role):
        raise ProblemError(no_permission("create", "invitation"))
    async with idempotent(request, await body_digest(request)) as guard:
        if guard.replay:
            return await _again(hub, who, guard, guard.replay)
        nonce = new_nonce()
        token = _token(who, guard, nonce)

        def write(tx: Transaction) -> dict[str, Any]:
            made = hub.store.invitations.add(
                tx,
                who.workspace_id,
                role=new.role,
                token=token,
                seconds=new.expires_after or hub.settings.auth.invitation_hours * _HOUR_SECONDS,
                email=None if new.email is None else comparable(new.email),
                created_by=who.principal,
            )
            told = _wire(made).model_dump()
            guard.store(tx, 201, {**told, NONCE: nonce}, headers=_location(made.id), resource_id=made.id)
            return told

        told = await asyncio.wrap_future(hub.database.submit(write))
    return JSONResponse({**told, "token": token}, 201, _location(told["id"]))


@router.get("", summary="List the invitations, newest first")
def list_invitations(hub: Hub, who: Who, limit: Limit = 20, after: After = None) -> Page[InvitationRecord]:
    who.authorize("list", "invitation", role="admin")
    found = hub.store.invitations.find(who.workspace_id, limit=limit + 1, after=after)
    return page(found, limit, _wire)


@router.get("/{invitation_id}", summary="One invitation")
def get_invitation(hub: Hub, who: Who, invitation_id: InvitationId) -> InvitationRecord:
    who.authorize("read", "invitation", role="admin")
    return _wire(existing(hub.store.invitations.get(who.workspace_id, invitation_id), "invitation", invitation_id))


@router.delete("/{invitation_id}", summary="Withdraw an invitation", response_model=WithdrawnInvitation)
async def delete_invitation(request: Request, hub: Hub, who: Who, invitation_id: InvitationId) -> Response:
    """Who came by it stays."""
    who.authorize("delete", "invitation", role="admin")
    async with idempotent(request, await body_digest(request)) as guard:
        if guard.replay:
            return guard.replay
        answer = WithdrawnInvitation(id=invitation_id).model_dump()

        def write(tx: Transaction) -> bool:
            is_there = hub.store.invitations.delete(tx, who.workspace_id, invitation_id)
            if is_there:
                hub.store.idempotency.forget_resource(tx, invitation_id)
                guard.store(tx, 200, answer)
            return is_there

        if not await asyncio.wrap_future(hub.database.submit(write)):
            raise ProblemError(not_found("invitation", invitation_id))
    return JSONResponse(answer)


async def _again(hub: Services, who: Caller, guard: Guard, replay: Response) -> Response:
    stored: dict[str, Any] = json.loads(bytes(replay.body))
    token = _token(who, guard, stored.pop(NONCE))
    known = await asyncio.to_thread(hub.store.invitations.get, who.workspace_id, stored["id"])
    if known is None or known.digest != digest_of(token):
        # Withdrawn since, or asked for with another credential than the first time.
        raise ProblemError(idempotency_conflict())
    return JSONResponse({**stored, "token": token}, 201, {**_location(known.id), "Idempotency-Replayed": "true"})


def _token(who: Caller, guard: Guard, nonce: str) -> str:
    return "it_" + urlsafe_b64encode(make_bits(source_of(who, guard, nonce))).decode().rstrip("=")


def _location(invitation_id: str) -> dict[str, str]:
    return {"Location": f"/v1/invitations/{invitation_id}"}


def _wire(invitation: Invitation) -> InvitationRecord:
    return InvitationRecord(
        id=invitation.id,
        role=invitation.role,
        email=invitation.email,
        workspace_id=invitation.workspace_id,
        created_by=invitation.created_by,
        created_at=rfc3339(invitation.created_at),
        expires_at=rfc3339(invitation.expires_at),
        used_at=None if invitation.used_at is None else rfc3339(invitation.used_at),
        used_by=invitation.used_by,
    )
