"""``/api/auth``: registering, logging in and out, other passwords."""

from __future__ import annotations

import asyncio
from ipaddress import ip_address
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Request
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse, Response

from amends.database import Transaction, rfc3339
from amends.problems import (
    FieldError,
    ProblemError,
    duplicate,
    invalid_credentials,
    invalid_state,
    no_permission,
    not_found,
    problem,
    validation_failed,
)
from amends.server.auth import Caller
from amends.server.guesses import Name as GuessName
from amends.server.guesses import network_of
from amends.server.idempotency import Guard, idempotent
from amends.server.keys import Name
from amends.server.openapi import problems
from amends.server.passwords import MOST_LETTERS, check_password
from amends.server.routing import Route
from amends.server.services import Services, hub, who
from amends.server.settings import Registration as Allowed
from amends.server.threads import in_thread
from amends.store import Account, EmailTaken, Invitation, NameTaken, Role, Session, User, comparable

router = APIRouter(prefix="/api/auth", tags=["accounts"], route_class=Route)

Hub = Annotated[Services, Depends(hub)]
Who = Annotated[Caller, Depends(who)]

_DAY_SECONDS: Final = 86_400.0
_UNKEPT: Final = {"Cache-Control": "no-store"}
_LONGEST_PASSWORD: Final = 4 * MOST_LETTERS


def _email(given: str) -> str:
    local, at, domain = given.rpartition("@")
    if (
        not (local and at and domain)
        or "@" in local
        or any(not letter.isprintable() or letter == " " for letter in given)
    ):
        raise ValueError("An email is written name@domain")
    return given


Email = Annotated[str, Field(min_length=3, max_length=254), AfterValidator(_email)]
Password = Annotated[str, Field(min_length=1, max_length=_LONGEST_PASSWORD)]


class Registration(BaseModel):
    """Somebody new. name: by default the email. invitation: its token; without one they get a workspace of their own."""

    model_config = ConfigDict(extra="forbid")

    email: Email
    password: Password
    name: Name | None = None
    invitation: Annotated[str, Field(min_length=1, max_length=256)] | None = None


class UserRecord(BaseModel):
    """A user. email: null for one who comes by keys only."""

    id: str
    object: Literal["user"] = "user"
    name: str
    email: str | None
    role: Role
    workspace_id: str
    created_at: str


class Login(BaseModel):
    """Who logs in."""

    model_config = ConfigDict(extra="forbid")

    email: Annotated[str, Field(min_length=1, max_length=254)]
    password: Password


class LoggedIn(BaseModel):
    """The tokens of who logged in. access_token: sent as `Authorization: Bearer`. refresh_token: good once, for the next two."""

    access_token: str
    refresh_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105 the kind of token, no secret
    expires_in: Annotated[int, Field(description="Seconds that the access token is good for.")]


class Refresh(BaseModel):
    model_config = ConfigDict(extra="forbid")

    refresh_token: Annotated[str, Field(min_length=1, max_length=2_048)]


class NewPassword(BaseModel):
    model_config = ConfigDict(extra="forbid")

    current_password: Password
    new_password: Password


@router.post("/register", summary="Make an account", status_code=201, response_model=UserRecord,
             responses=problems("insufficient_permissions", "resource_not_found", "conflict", "rate_limit_exceeded"))  # fmt: skip
async def register(request: Request, hub: Hub, new: Registration) -> Response:
    """With an invitation its workspace and role, without one a workspace of one's own."""
    check_registration(hub, request, has_invitation=new.invitation is not None)
    name = new.name or new.email
    check_password(new.password, email=new.email, name=name)
    # Nobody is known yet, so the key is the installation's; and the digest is one that nobody can try passwords against.
    digest = hub.sealing.digest("idempotency", new.model_dump_json().encode())
    async with idempotent(request, digest, workspace_id="") as guard:
        if guard.replay:
            return guard.replay
        if (address := address_of(request)) is not None:
            hub.logins.hold_back([GuessName("registration", network_of(address))])
        invitation = await _invitation(hub, new)
        password = await hub.logins.passwords.hash(new.password)

        def write(tx: Transaction) -> UserRecord:
            user = _add(tx, hub, new, name, password, invitation)
            guard.store(tx, 201, shown(user).model_dump(), resource_id=user.id)
            return shown(user)

        try:
            made = await asyncio.wrap_future(hub.database.submit(write))
        except EmailTaken as error:
            taken = problem("conflict", "An account with this email exists already", error_code="DUPLICATE_ACCOUNT")
            raise ProblemError(taken) from error
        except NameTaken as error:
            raise ProblemError(duplicate("user", name)) from error
    return JSONResponse(made.model_dump(), 201)


# Logging in and refreshing take no Idempotency-Key: their answers are secrets, which are kept nowhere. Who repeats a login gets
# another session; a refresh token is good once, so who lost the answer logs in again.


@router.post("/login", summary="Log in", response_model=LoggedIn,
             responses=problems("no_authentication", "rate_limit_exceeded", "service_unavailable"))  # fmt: skip
async def login(request: Request, hub: Hub, given: Login) -> Response:
    account = await hub.logins.check(given.email, given.password, address_of(request))
    session, _ = await hub.logins.sign_in(account, hub.settings.auth.refresh_days * _DAY_SECONDS)
    return _logged_in(hub, session)


@router.post("/refresh", summary="New tokens for a refresh token", response_model=LoggedIn,
             responses=problems("no_authentication"))  # fmt: skip
async def refresh(hub: Hub, given: Refresh) -> Response:
    """An old refresh token shows that somebody else has it: everybody who has tokens of the session is logged out."""
    session_id, generation = hub.tokens.read_refresh(given.refresh_token)
    seconds = hub.settings.auth.refresh_days * _DAY_SECONDS
    write = hub.database.submit(lambda tx: hub.store.sessions.renew(tx, session_id, generation, seconds))
    session = await asyncio.wrap_future(write)
    if session is None:
        raise ProblemError(invalid_credentials())
    return _logged_in(hub, session)


# Nor does logging out: what would say whose key it is has ended then.
@router.post("/logout", summary="Log out", status_code=204, response_class=Response, responses=problems("conflict"))
async def logout(hub: Hub, who: Who) -> Response:
    """Ends the session: its access token and its refresh token open nothing from now on, on any server."""
    session_id = who.session_id
    if session_id is None:
        raise ProblemError(invalid_state("Nobody is logged in: this is a key, which is revoked instead"))
    await asyncio.wrap_future(hub.database.submit(lambda tx: hub.store.sessions.close(tx, session_id)))
    return Response(status_code=204)


@router.post("/password", summary="Take another password", status_code=204, response_class=Response,
             responses=problems("conflict", "rate_limit_exceeded"))  # fmt: skip
async def set_password(request: Request, hub: Hub, who: Who, given: NewPassword) -> Response:
    """Ends the other sessions of the account."""
    digest = hub.sealing.digest("idempotency", given.model_dump_json().encode())
    async with idempotent(request, digest) as guard:
        if guard.replay:
            return guard.replay
        await change_password(hub, who, given.current_password, given.new_password, address_of(request), guard)
    return Response(status_code=204)


async def change_password(
    hub: Services, who: Caller, current: str, new: str, address: str | None, guard: Guard | None = None
) -> None:
    """Give the caller's account another password, and end its other sessions. ProblemError says what is wrong with either."""
    known = None if who.user_id is None else await in_thread(hub.store.accounts.of_user, who.user_id)
    if known is None:
        raise ProblemError(no_permission("change", "password"))
    user = known.user
    email = user.email or ""
    try:
        account = await hub.logins.check(email, current, address)
    except ProblemError as error:
        if error.problem.slug != "no_authentication":
            raise
        wrong = FieldError.at(
            ("body", "current_password"), "This is not the password", "value_error", code="wrong_password"
        )
        raise ProblemError(validation_failed([wrong])) from error
    check_password(new, email=email, name=user.name, field="new_password")
    stored = await hub.logins.passwords.hash(new)
    if not await asyncio.wrap_future(hub.database.submit(lambda tx: _change(tx, hub, account, stored, who, guard))):
        raise ProblemError(invalid_state("The password was changed meanwhile"))


def _change(tx: Transaction, hub: Services, account: Account, stored: str, who: Caller, guard: Guard | None) -> bool:
    if not hub.store.accounts.set_password(tx, account, stored):
        return False
    hub.store.sessions.close_of_user(tx, account.user.id, but=who.session_id)
    if guard is not None:
        guard.store(tx, 204, b"")
    return True


def check_registration(hub: Services, request: Request, *, has_invitation: bool) -> None:
    """ProblemError insufficient_permissions for somebody who may not register."""
    allowed = registration(hub, request)
    if allowed == "closed":
        raise ProblemError(no_permission("create", "account"))
    if allowed == "invite" and not has_invitation:
        detail = "An account is made with an invitation here"
        hint = "Ask an admin of the workspace for an invitation."
        raise ProblemError(problem("insufficient_permissions", detail, hint=hint))


def registration(hub: Services, request: Request) -> Allowed:
    """Who may register. By default everybody on this machine, where it is listened to alone."""
    chosen = hub.settings.auth.registration
    if chosen is not None:
        return chosen
    server = hub.settings.server
    # A proxy in front of it is on this machine, too, and those behind it are not.
    is_alone = server.public_url is None and _is_loopback(server.host)
    return "open" if is_alone and _is_loopback(address_of(request) or "127.0.0.1") else "invite"


def address_of(request: Request) -> str | None:
    """Where the request came from; None for the local socket."""
    return request.client.host if request.client is not None and request.client.host else None


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


async def _invitation(hub: Services, new: Registration) -> Invitation | None:
    """The invitation that somebody brings; ProblemError resource_not_found for one that is not theirs to use."""
    if new.invitation is None:
        return None
    found = await in_thread(hub.store.invitations.by_token, new.invitation)
    if found is None or found.email not in (None, comparable(new.email)):
        raise ProblemError(not_found("invitation"))
    return found


def _add(
    tx: Transaction, hub: Services, new: Registration, name: str, password: str, invitation: Invitation | None
) -> User:
    email = comparable(new.email)
    workspace_id = invitation.workspace_id if invitation else hub.store.workspaces.found(tx, email).id
    role: Role = invitation.role if invitation else "owner"
    user = hub.store.accounts.add(tx, workspace_id, name=name, email=email, password=password, role=role)
    if invitation is not None and not hub.store.invitations.use(tx, invitation, user.id):
        raise ProblemError(not_found("invitation"))
    return user


def _logged_in(hub: Services, session: Session) -> Response:
    seconds = hub.settings.auth.token_seconds
    tokens = LoggedIn(
        access_token=hub.tokens.access(session, seconds), refresh_token=hub.tokens.refresh(session), expires_in=seconds
    )
    return JSONResponse(tokens.model_dump(), headers=_UNKEPT)


def shown(user: User) -> UserRecord:
    """The user as it is told."""
    told: dict[str, Any] = {name: getattr(user, name) for name in User.__slots__}
    return UserRecord(**{**told, "created_at": rfc3339(user.created_at)})
