"""``/ui/keys``: who may come in by key."""

from __future__ import annotations

import json
from typing import Annotated, Final, get_args

from fastapi import APIRouter, Path, Query
from starlette.responses import Response

from amends.server.keys import NewKey, create_key, revoke_key
from amends.server.threads import in_thread
from amends.store import Role
from amends.web.visits import Looking, PageRoute, Visit, parsed, see_other

router = APIRouter(prefix="/ui/keys", route_class=PageRoute, include_in_schema=False)

_PAGE: Final = 50


@router.get("")
async def keys_page(look: Looking, after: Annotated[str | None, Query(max_length=128)] = None) -> Response:
    return await _page(look, after)


@router.post("")
async def make_key(look: Looking) -> Response:
    """The one page that shows a key's secret. It is no redirect, since the secret is in no address and kept nowhere."""
    fields = await look.form()
    given = {name: fields[name] for name in ("role", "mode", "name", "user") if fields.get(name)}
    request = look.as_api(given, once=fields.get("once"))
    made = json.loads(bytes((await create_key(request, look.hub, look.who, parsed(NewKey, given))).body))
    return await _page(look, None, made=made)


@router.post("/{key_id}/revoke")
async def revoke(look: Looking, key_id: Annotated[str, Path(max_length=128)]) -> Response:
    await revoke_key(look.as_api(), look.hub, look.who, key_id)
    return see_other("/ui/keys")


async def _page(look: Visit, after: str | None, made: dict[str, str] | None = None) -> Response:
    look.who.authorize("list", "api_key", role="admin")
    found = await in_thread(look.hub.store.keys.find, look.who.workspace_id, limit=_PAGE + 1, after=after)
    return look.page(
        "keys.html",
        keys=found[:_PAGE],
        older=found[_PAGE - 1].id if len(found) > _PAGE else None,
        roles=[role for role in get_args(Role) if look.who.has_role(role)],
        made=made,
    )
