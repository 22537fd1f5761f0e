"""``/ui/upstreams`` and ``/ui/limits``: how the providers and workers stand, and what binds a request."""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter
from starlette.responses import Response

from amends.server.services import Services
from amends.server.threads import in_thread
from amends.web.visits import Looking, PageRoute

router = APIRouter(route_class=PageRoute, include_in_schema=False)

_BINDING: Final = ("limits.", "retention.", "engine.", "fetch.")


@router.get("/ui/upstreams")
async def upstreams_page(look: Looking) -> Response:
    return look.page("upstreams.html", **await in_thread(_standing, look.hub))


@router.get("/ui/limits")
async def limits_page(look: Looking) -> Response:
    """The settings that bind, each with what it means, and how far the workspace is from the bound on its runs."""
    described = [one for one in look.hub.settings.described() if one.name.startswith(_BINDING)]
    unfinished = await in_thread(look.hub.ledger.unfinished)
    return look.page(
        "limits.html",
        groups={prefix: [one for one in described if one.name.startswith(prefix)] for prefix in _BINDING},
        running=sum(run.workspace_id == look.who.workspace_id for run in unfinished),
        most_running=look.hub.settings.limits.running_batches,
    )


def _standing(hub: Services) -> dict[str, Any]:
    standings = {one.upstream: one for one in hub.engine.standings()} if hub.engine else {}
    cool_downs = hub.ledger.cool_downs()
    return {
        "standings": sorted(standings.values(), key=lambda one: one.upstream),
        # Those that nobody called since the start, but that are still not to be called.
        "calm": {name: seconds for name, seconds in cool_downs.items() if name not in standings},
        "providers": hub.settings.server.providers,
        "workers": hub.engine.workers() if hub.engine else (),
    }
