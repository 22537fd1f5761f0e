"""``/v1/runs``: any run, whatever its kind."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Header, Path, Query, Request
from starlette.responses import Response

from amends.server.actions import Actions
from amends.server.events import EVENT_STREAM, events
from amends.server.openapi import Responses, problems
from amends.server.pagination import After, Limit
from amends.server.routing import Route
from amends.server.wire import ConservationObject, ExtendBody, Failures, RetryBody, RunList, RunObject, run_body

router = APIRouter(prefix="/v1/runs", tags=["runs"], default_response_class=Response, route_class=Route)

RunId = Annotated[str, Path(max_length=128, description="The run's id.")]
Status = Annotated[
    Literal["validating", "in_progress", "finalizing", "completed", "failed", "expired", "cancelling", "cancelled"]
    | None,
    Query(description="Only those that stand so."),
]
Lineage = Annotated[bool, Query(description="Each item's newest outcome among the run and its retries.")]


def answer(model: Any, description: str) -> Responses:
    """``responses`` of a route that answers 200 with ``model``."""
    return {200: {"model": model, "description": description}}


async def _actions(request: Request) -> Actions:
    return Actions(request, "run", run_body)


Act = Annotated[Actions, Depends(_actions)]
_RUN: Final = answer(RunObject, "The run.")


@router.get("", responses=answer(RunList, "Newest first."), summary="List the workspace's runs of all kinds")
async def list_runs(act: Act, status: Status = None, limit: Limit = 20, after: After = None) -> Response:
    return await act.list(of_kind=None, status=status, limit=limit, after=after)


@router.get("/{run_id}", responses=_RUN, summary="Get a run")
async def get_run(act: Act, run_id: RunId) -> Response:
    return await act.get(run_id)


@router.get(
    "/{run_id}/failures",
    responses=answer(Failures, "The largest group first.") | problems("results_gone"),
    summary="Get what did not succeed, grouped by type",
)
async def get_run_failures(act: Act, run_id: RunId, lineage: Lineage = False) -> Response:
    return await act.failures(run_id, lineage=lineage)


@router.get(
    "/{run_id}/conservation", responses=answer(ConservationObject, "The sums."), summary="Count where the items are"
)
async def get_run_conservation(act: Act, run_id: RunId) -> Response:
    return await act.conservation(run_id)


@router.get(
    "/{run_id}/events",
    responses={
        200: {"content": {EVENT_STREAM: {"schema": {"type": "string"}}}, "description": "Server-Sent Events."},
        204: {"description": "Last-Event-ID is the end's: nothing follows."},
    },
    summary="Watch a run",
)
async def get_run_events(
    act: Act,
    run_id: RunId,
    after: Annotated[
        str | None, Query(max_length=64, description="An event's id, for clients that cannot send Last-Event-ID.")
    ] = None,
    last_event_id: Annotated[str | None, Header(max_length=64, description="The id of the last event heard.")] = None,
) -> Response:
    """The run as it changes (`run`), each item that errored (`failure`), and its `end`; goes on after `Last-Event-ID`."""
    return events(act.hub, await act.find(run_id), act.show, last_event_id or after)


@router.post("/{run_id}/cancel", responses=_RUN, summary="Cancel a run")
async def cancel_run(act: Act, run_id: RunId) -> Response:
    """One that is cancelling or cancelled is answered unchanged."""
    return await act.cancel(run_id)


@router.post("/{run_id}/extend", responses=_RUN, summary="Go on with the items held back")
async def extend_run(act: Act, run_id: RunId, body: ExtendBody | None = None) -> Response:
    """Those are held back that ``limit_items`` or ``sample`` left for later, or for which ``max_cost`` does not suffice."""
    return await act.extend(run_id, body)


@router.post("/{run_id}/retry", responses=_RUN | problems("credit_exceeded"), summary="Retry the failed items")
async def retry_run(act: Act, run_id: RunId, body: RetryBody | None = None) -> Response:
    """They become a child run, whose items keep their places in the root."""
    return await act.retry(run_id, body)


@router.post("/{run_id}/expire", responses=_RUN, summary="Close the completion window now")
async def expire_run(act: Act, run_id: RunId) -> Response:
    """What has no outcome yet expires."""
    return await act.expire(run_id)


@router.post("/{run_id}/purge", responses=_RUN, summary="Delete the result lines now")
async def purge_run(act: Act, run_id: RunId) -> Response:
    """Only these: the run and its counts stay."""
    return await act.purge(run_id)
