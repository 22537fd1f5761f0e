"""``/ui/credits``: what a workspace has, what it spent, and adding to it."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Query
from starlette.responses import Response

from amends.problems import ProblemError, problem
from amends.server.credits import TopUp, top_up
from amends.server.threads import in_thread
from amends.web.visits import Looking, PageRoute, parsed, see_other

router = APIRouter(prefix="/ui/credits", route_class=PageRoute, include_in_schema=False)

_PAGE: Final = 50


@router.get("")
async def credits_page(look: Looking, after: Annotated[str | None, Query(max_length=128)] = None) -> Response:
    ledger, workspace_id = look.hub.ledger, look.who.workspace_id
    found = await in_thread(ledger.credit_entries, workspace_id, limit=_PAGE + 1, after=after)
    return look.page(
        "credits.html",
        standing=await in_thread(ledger.credit, workspace_id),
        entries=found[:_PAGE],
        older=found[_PAGE - 1].id if len(found) > _PAGE else None,
        prices=look.hub.settings.credits,
    )


@router.post("/top-ups")
async def add_credits(look: Looking) -> Response:
    fields = await look.form()
    given: dict[str, str | float] = {"amount": amount(fields.get("amount", ""))}
    if fields.get("note"):
        given["note"] = fields["note"]
    await top_up(look.as_api(given, once=fields.get("once")), look.hub, look.who, parsed(TopUp, given))
    return see_other("/ui/credits")


def amount(text: str) -> float:
    """A number that somebody typed; ProblemError for what is none."""
    try:
        return float(text)
    except ValueError as error:
        raise ProblemError(problem("malformed_request", f"{text[:40]!r} is no number")) from error
