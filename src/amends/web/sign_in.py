"""``/ui/sign-in``: from a key to a session, whose secret is in a cookie that scripts cannot read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated, Final

from fastapi import APIRouter, Query
from starlette.responses import Response

from amends.database import Transaction
from amends.server.auth import COOKIE
from amends.store import Session
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
    key = look.hub.store.keys.authenticate(fields.get("key", "").strip())
    if key is None:
        return _page(look, target, "That is no key of this server, or it was revoked.")

    def begin(tx: Transaction) -> tuple[Session, str]:
        return look.hub.store.sessions.open(tx, key.workspace_id, key.user_id, key.id, key.role, key.mode, _SECONDS)

    return await _signed_in(look, target, begin)


@router.post("/sign-out")
async def sign_out(look: Looking) -> Response:
    session_id = look.who.session_id
    if session_id is not None:
        await asyncio.wrap_future(look.hub.database.submit(lambda tx: look.hub.store.sessions.close(tx, session_id)))
    gone = see_other(SIGN_IN)
    gone.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict", secure=_is_secure(look))
    return gone


async def _signed_in(look: Visit, target: str, begin: Callable[[Transaction], tuple[Session, str]]) -> Response:
    _, secret = await asyncio.wrap_future(look.hub.database.submit(begin))
    answer = see_other(target)
    answer.set_cookie(
        COOKIE, secret, max_age=int(_SECONDS), path="/", httponly=True, samesite="strict", secure=_is_secure(look)
    )
    return answer


def _is_secure(look: Visit) -> bool:
    return look.request.url.scheme == "https"


def _page(look: Visit, target: str, wrong: str = "") -> Response:
    return look.page("sign_in.html", code=401 if wrong else 200, next=own_path(target), wrong=wrong)
