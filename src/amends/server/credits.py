"""``/v1/credits``: what a workspace has, what it spent, what work would cost."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from amends.database import new_id, rfc3339
from amends.ledger import CreditEntry
from amends.problems import FieldError, ProblemError, validation_failed
from amends.server.answers import encode, json_response
from amends.server.auth import Caller
from amends.server.idempotency import Guard, body_digest, idempotent
from amends.server.openapi import problems
from amends.server.pagination import After, Limit, Page, page
from amends.server.parameters import check_model
from amends.server.prices import MOST_CREDITS, credits, millionths, price_of
from amends.server.routing import Route
from amends.server.services import Services, hub, who
from amends.server.threads import in_thread
from amends.server.wire import ModelName

router = APIRouter(prefix="/v1/credits", tags=["credits"], route_class=Route)

Hub = Annotated[Services, Depends(hub)]
Who = Annotated[Caller, Depends(who)]
_LEAST: Final = 0.000_001


class Credits(BaseModel):
    """What the workspace has. balance: free for new work; below 0 where work cost more than was estimated.

    held: set aside for work under way. charged: by runs that have not ended, and so not in the history yet.
    """

    object: Literal["credits"] = "credits"
    unit: str
    balance: float
    held: float
    charged: float
    upgrade_url: str | None


class Entry(BaseModel):
    """A line of the history: a top-up, or what a run cost, written at its end and negative."""

    id: str
    object: Literal["credit_entry"] = "credit_entry"
    kind: Literal["top_up", "charge"]
    amount: float
    run_id: str | None
    note: str | None
    created_by: str | None
    created_at: str


class TopUp(BaseModel):
    """Credits to add."""

    model_config = ConfigDict(extra="forbid", strict=True)

    amount: Annotated[float, Field(ge=_LEAST, le=MOST_CREDITS, allow_inf_nan=False)]
    note: Annotated[str, Field(max_length=512)] | None = None


class Estimate(BaseModel):
    """What so many items would cost at most, since what fails costs nothing. suffices: whether the balance covers it now."""

    object: Literal["credits.estimate"] = "credits.estimate"
    model: str
    items: int
    price: Annotated[float, Field(description="Of one item.")]
    cost: float
    unit: str
    balance: float
    suffices: bool


class CreditConservation(BaseModel):
    """Credit is neither lost nor made: balance, held and charged add up to what the history records."""

    object: Literal["credits.conservation"] = "credits.conservation"
    balance: float
    held: float
    charged: float
    recorded: float
    holds: bool


@router.get("", summary="What the workspace has")
def get_credits(hub: Hub, who: Who) -> Credits:
    found, settings = hub.ledger.credit(who.workspace_id), hub.settings.credits
    return Credits(
        unit=settings.unit,
        balance=credits(found.balance),
        held=credits(found.held),
        charged=credits(found.charged),
        upgrade_url=settings.upgrade_url,
    )


@router.get("/history", summary="Top-ups and charges, newest first")
def list_entries(hub: Hub, who: Who, limit: Limit = 20, after: After = None) -> Page[Entry]:
    found = hub.ledger.credit_entries(who.workspace_id, limit=limit + 1, after=after)
    return page(found, limit, lambda entry: Entry(**_wire(entry)))


@router.get("/estimate", summary="What items would cost")
def get_estimate(
    hub: Hub,
    who: Who,
    model: Annotated[ModelName, Query(description="The model that would be asked.")],
    items: Annotated[int, Query(ge=1, le=2**31, description="How many.")],
) -> Estimate:
    if check_model(model, hub.settings, has_schema=True):
        fault = FieldError.at(("query", "model"), f"Model '{model}' is not known here", code="unknown_model")
        raise ProblemError(validation_failed([fault]))
    price, balance = price_of(hub.settings, model), hub.ledger.credit(who.workspace_id).balance
    return Estimate(
        model=model,
        items=items,
        price=credits(price),
        cost=credits(price * items),
        unit=hub.settings.credits.unit,
        balance=credits(balance),
        suffices=price * items <= max(balance, 0),
    )


@router.get("/conservation", summary="Count where the credit is")
def get_credit_conservation(hub: Hub, who: Who) -> CreditConservation:
    found = hub.ledger.credit(who.workspace_id)
    return CreditConservation(
        balance=credits(found.balance),
        held=credits(found.held),
        charged=credits(found.charged),
        recorded=credits(found.recorded),
        holds=found.holds,
    )


@router.post("/top-ups", summary="Add credits", response_model=Entry, responses=problems("insufficient_permissions"))
async def top_up(request: Request, hub: Hub, who: Who, wanted: TopUp) -> Response:
    """For owners. Runs that paused for want of credit go on by themselves."""
    who.authorize("top up", "workspace", role="owner")
    async with idempotent(request, await body_digest(request)) as guard:
        if guard.replay is not None:
            return guard.replay
        entry = _entry(hub, who, wanted)
        answer = _wire(entry)
        await in_thread(hub.ledger.top_up, entry, also=lambda tx: _store(guard, tx, answer))
    if hub.engine is not None:
        hub.engine.wake()
    return json_response(answer)


def _store(guard: Guard, tx: Any, answer: dict[str, Any]) -> None:
    guard.store(tx, 200, encode(answer), resource_id=answer["id"])


def _entry(hub: Services, who: Caller, wanted: TopUp) -> CreditEntry:
    now = hub.now()
    return CreditEntry(
        id=new_id("topup_", now=now),
        workspace_id=who.workspace_id,
        kind="top_up",
        amount=millionths(wanted.amount),
        run_id=None,
        note=wanted.note,
        created_by=who.principal,
        created_at=now,
    )


def _wire(entry: CreditEntry) -> dict[str, Any]:
    return {
        "id": entry.id,
        "object": "credit_entry",
        "kind": entry.kind,
        "amount": credits(entry.amount),
        "run_id": entry.run_id,
        "note": entry.note,
        "created_by": entry.created_by,
        "created_at": rfc3339(entry.created_at),
    }
