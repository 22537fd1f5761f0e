"""``/ui/sign-in``: from a key or an account to a session, whose secret is in a cookie that scripts cannot read."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Query
from starlette.responses import Response

from amends.problems import ProblemError
from amends.server.accounts import address_of
from amends.server.auth import COOKIE
from amends.server.changes import in_transaction
from amends.web.visits import SIGN_IN, Anybody, Looking, PageRoute, Visit, own_path, see_other

router = APIRouter(prefix="/ui", route_class=PageRoute, include_in_schema=False)

_SECONDS: Final = 12 * 3_600.0

Next = Annotated[str, Query(alias="next", max_length=2_048)]


@router.get("/sign-in")
async def sign_in_page(look: Anybody, target: Next = "/") -> Response:
    return see_other(own_path(target)) if look.is_signed_in else _page(look, target)


@router.get("/session")
async def is_signed_in(look: Anybody) -> Response:
    """204 for whoever is signed in, 200 for who is not: neither is an error."""
    return Response(status_code=204 if look.is_signed_in else 200, headers={"Cache-Control": "no-store"})


@router.post("/sign-in")
async def sign_in(look: Anybody) -> Response:
    fields = await look.form()
    target = own_path(fields.get("next"))
    if "email" in fields:
        return await _with_account(look, fields, target)
    key = look.hub.store.keys.authenticate(fields.get("key", "").strip())
    if key is None:
        return _page(look, target, "That is no key of this server, or it was revoked.")
    _, secret = await in_transaction(
        look.hub,
        lambda tx: look.hub.store.sessions.open(
            tx, key.workspace_id, key.user_id, key.id, key.role, key.mode, _SECONDS
        ),
    )
    return _signed_in(look, target, secret)


async def _with_account(look: Visit, fields: dict[str, str], target: str) -> Response:
    email = fields["email"]
    try:
        account = await look.hub.logins.check(email, fields.get("password", ""), address_of(look.request))
    except ProblemError as error:
        if error.problem.slug == "no_authentication":
            return _page(look, target, "There is no account with this e-mail address and password.", email)
        return _page(look, target, f"Too many wrong passwords. {error.problem.detail}", email, error.problem.status)
    _, secret = await look.hub.logins.sign_in(account, _SECONDS)
    return _signed_in(look, target, secret)


@router.post("/sign-out")
async def sign_out(look: Looking) -> Response:
    session_id = look.who.session_id
    if session_id is not None:
        await in_transaction(look.hub, lambda tx: look.hub.store.sessions.close(tx, session_id))
    gone = see_other(SIGN_IN)
    gone.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict", secure=_is_secure(look))
    return gone


def _signed_in(look: Visit, target: str, secret: str) -> Response:
    answer = see_other(target)
    answer.set_cookie(
        COOKIE, secret, max_age=int(_SECONDS), path="/", httponly=True, samesite="strict", secure=_is_secure(look)
    )
    return answer


def _is_secure(look: Visit) -> bool:
    return look.request.url.scheme == "https"


def _page(look: Visit, target: str, wrong: str = "", email: str = "", code: int = 401) -> Response:
    return look.page("sign_in.html", code=code if wrong else 200, next=own_path(target), wrong=wrong, email=email)
