"""``/v1/runs``: any run, whatever its kind; and what its routes share with those of batch predictions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.responses import Response

from amends.ledger import Also, FailureGroup, InvalidTransition, Run, RunState, line_members
from amends.problems import (
    CATALOGUE,
    FieldError,
    Problem,
    ProblemError,
    not_found,
    results_gone,
    validation_failed,
)
from amends.server.answers import BodyOf, change, json_response
from amends.server.auth import Caller
from amends.server.openapi import Responses, problems
from amends.server.pagination import After, Limit
from amends.server.results import whole_line
from amends.server.retries import retry
from amends.server.services import Services, caller, services
from amends.server.threads import in_thread
from amends.server.wire import (
    STATES,
    ConservationObject,
    Failures,
    RetryBody,
    RunList,
    RunObject,
    run_body,
)

router = APIRouter(prefix="/v1/runs", tags=["runs"])

Hub = Annotated[Services, Depends(services)]
Who = Annotated[Caller, Depends(caller)]
RunId = Annotated[str, Path(max_length=128, description="The run's id.")]
Status = Annotated[
    Literal["validating", "in_progress", "finalizing", "completed", "failed", "expired", "cancelling", "cancelled"]
    | None,
    Query(description="Only those that stand so."),
]
Lineage = Annotated[bool, Query(description="Each item's newest outcome among the run and its retries.")]
EXAMPLES = 3


def answer(model: Any, description: str) -> Responses:
    """``responses`` of a route that answers 200 with ``model``."""
    return {200: {"model": model, "description": description}}


async def find_run(hub: Services, who: Caller, run_id: str, kind: str = "run") -> Run:
    """The run, if it is of the caller's workspace; what is not is answered like what never was."""
    run = await in_thread(hub.ledger.get, run_id)
    if run is None or run.workspace_id != who.workspace_id:
        raise ProblemError(not_found(kind, run_id))
    return run


async def list_runs(
    hub: Services, who: Caller, body_of: BodyOf, *, kind: str | None, status: str | None, limit: int, after: str | None
) -> Response:
    """One page, newest first."""
    if after is not None:
        await _check_cursor(hub, who, after)
    state: RunState | None = STATES[status] if status else None
    found = await in_thread(hub.ledger.find, who.workspace_id, kind=kind, state=state, limit=limit + 1, after=after)
    return page_of(found, limit, body_of)


async def _check_cursor(hub: Services, who: Caller, after: str) -> None:
    run = await in_thread(hub.ledger.get, after)
    if run is None or run.workspace_id != who.workspace_id:
        raise ProblemError(
            validation_failed([FieldError.at(("query", "after"), "after must be the id of a row of this list")])
        )


def page_of(found: Sequence[Run], limit: int, body_of: BodyOf) -> Response:
    """A page out of up to ``limit + 1`` runs, of which the last only tells that there are more."""
    rows = found[:limit]
    has_more = len(found) > limit
    return json_response(
        {
            "object": "list",
            "data": [body_of(run) for run in rows],
            "has_more": has_more,
            "next_cursor": rows[-1].id if has_more else None,
        }
    )


async def failures_of(hub: Services, run: Run, *, lineage: bool) -> dict[str, Any]:
    """The items that did not succeed, grouped by type."""
    if run.lines_deleted_at is not None:
        raise ProblemError(results_gone(run.id))
    groups = await in_thread(hub.ledger.failures, run.id, examples=EXAMPLES, lineage=lineage)
    return {
        "object": "batch_prediction.failures",
        "batch_id": run.id,
        "total": sum(group.count for group in groups),
        "data": [_group_body(group, run, hub) for group in groups],
    }


def _group_body(group: FailureGroup, run: Run, hub: Services) -> dict[str, Any]:
    lines = [line_members(whole_line(line, run.id, hub.blobs)) for line in group.examples]
    examples = [
        {
            "custom_id": line["custom_id"],
            "status": line["status"],
            "detail": line["error"]["detail"],
            "error_code": line["error"]["error_code"],
        }
        for line in lines
    ]
    row = CATALOGUE.get(group.problem)
    first: Problem | None = Problem.from_body(lines[0]["error"]) if lines else None
    remedy = first.remedy.to_dict() if first else row.remedy.to_dict() if row else {}
    return {
        "type": f"{hub.public_url}/errors/{group.problem}",
        "slug": group.problem,
        "title": row.title if row else group.problem,
        "count": group.count,
        "remedy": remedy,
        "examples": examples,
    }


async def cancel_run(request: Request, hub: Services, who: Caller, run: Run, kind: str, body_of: BodyOf) -> Response:
    """Cancel; a cancelling or cancelled run is answered unchanged."""
    who.authorize("cancel", kind, made_by=run.created_by)

    def cancel(also: Also) -> Run:
        return hub.ledger.cancel(run.id, also=also)

    return await change(request, run, kind, body_of, cancel)


async def extend_run(request: Request, hub: Services, who: Caller, run: Run, kind: str, body_of: BodyOf) -> Response:
    """Go on with the items that a limit or a sample holds back."""
    who.authorize("extend", kind, made_by=run.created_by)

    def extend(also: Also) -> Run:
        current = hub.ledger.get(run.id)
        if current is not None and not current.is_terminal and current.held == 0:
            raise InvalidTransition(current.state, "extended: it holds no items back")
        return hub.ledger.extend(run.id, also=also)

    return await change(request, run, kind, body_of, extend)


async def retry_run(
    request: Request, who: Caller, run: Run, body: RetryBody | None, kind: str, body_of: BodyOf
) -> Response:
    """Retry what failed in a child run."""
    who.authorize("retry", kind, made_by=run.created_by)
    return await retry(request, run, body or RetryBody(), body_of, kind)


async def expire_run(request: Request, hub: Services, who: Caller, run: Run, kind: str, body_of: BodyOf) -> Response:
    """Close the completion window now; an expired run is answered unchanged."""
    who.authorize("expire", kind, role="admin")

    def expire(also: Also) -> Run:
        current = hub.ledger.get(run.id)
        if current is None or current.ending != "expired":
            hub.ledger.end(run.id, "expired")
        return _answered(hub, run, also)

    return await change(request, run, kind, body_of, expire)


async def purge_run(request: Request, hub: Services, who: Caller, run: Run, kind: str, body_of: BodyOf) -> Response:
    """Delete the result lines now; a run without them is answered unchanged."""
    who.authorize("purge", kind, role="admin")

    def purge(also: Also) -> Run:
        current = hub.ledger.get(run.id)
        if current is None or current.lines_deleted_at is None:
            hub.ledger.delete_lines(run.id)
        return _answered(hub, run, also)

    return await change(request, run, kind, body_of, purge)


def _answered(hub: Services, run: Run, also: Also) -> Run:
    """Store the answer to a change that is its own replay: dying before this leaves the key free, and a repeated request
    finds the change made and is answered the same."""
    hub.database.write(also)
    changed = hub.ledger.get(run.id)
    assert changed is not None
    return changed


def _body_of(hub: Services) -> BodyOf:
    return lambda run: run_body(run, hub.public_url)


RUN_OBJECT = answer(RunObject, "The run.")


@router.get("", responses=answer(RunList, "Newest first."), response_class=Response)
async def list_all(hub: Hub, who: Who, status: Status = None, limit: Limit = 20, after: After = None) -> Response:
    """List the workspace's runs of all kinds."""
    return await list_runs(hub, who, _body_of(hub), kind=None, status=status, limit=limit, after=after)


@router.get("/{run_id}", responses=RUN_OBJECT, response_class=Response)
async def get_run(run_id: RunId, hub: Hub, who: Who) -> Response:
    """Get a run."""
    return json_response(run_body(await find_run(hub, who, run_id), hub.public_url))


@router.get(
    "/{run_id}/failures",
    responses=answer(Failures, "Groups.") | problems("results_gone"),
    response_class=Response,
)
async def get_failures(run_id: RunId, hub: Hub, who: Who, lineage: Lineage = False) -> Response:
    """Get what did not succeed, grouped by type."""
    return json_response(await failures_of(hub, await find_run(hub, who, run_id), lineage=lineage))


@router.get(
    "/{run_id}/conservation",
    responses=answer(ConservationObject, "The sums."),
    response_class=Response,
)
async def get_conservation(run_id: RunId, hub: Hub, who: Who) -> Response:
    """Count where the run's items are."""
    run = await find_run(hub, who, run_id)
    found = await in_thread(hub.ledger.conservation, run.id)
    return json_response(
        {"object": "run.conservation", "run_id": run.id, "holds": found.holds}
        | {name: getattr(found, name) for name in ("total", "outcomes", "deferred", "pending", "leased")}
    )


@router.post("/{run_id}/cancel", responses=RUN_OBJECT, response_class=Response)
async def cancel(request: Request, run_id: RunId, hub: Hub, who: Who) -> Response:
    """Cancel a run."""
    return await cancel_run(request, hub, who, await find_run(hub, who, run_id), "run", _body_of(hub))


@router.post("/{run_id}/extend", responses=RUN_OBJECT, response_class=Response)
async def extend(request: Request, run_id: RunId, hub: Hub, who: Who) -> Response:
    """Go on with what a limit or a sample holds back."""
    return await extend_run(request, hub, who, await find_run(hub, who, run_id), "run", _body_of(hub))


@router.post("/{run_id}/retry", responses=RUN_OBJECT, response_class=Response)
async def retry_failed(request: Request, run_id: RunId, hub: Hub, who: Who, body: RetryBody | None = None) -> Response:
    """Retry the failed items in a child run."""
    return await retry_run(request, who, await find_run(hub, who, run_id), body, "run", _body_of(hub))


@router.post("/{run_id}/expire", responses=RUN_OBJECT, response_class=Response)
async def expire(request: Request, run_id: RunId, hub: Hub, who: Who) -> Response:
    """Close the completion window now: what has no outcome expires."""
    return await expire_run(request, hub, who, await find_run(hub, who, run_id), "run", _body_of(hub))


@router.post("/{run_id}/purge", responses=RUN_OBJECT, response_class=Response)
async def purge(request: Request, run_id: RunId, hub: Hub, who: Who) -> Response:
    """Delete the result lines now, and only these."""
    return await purge_run(request, hub, who, await find_run(hub, who, run_id), "run", _body_of(hub))
