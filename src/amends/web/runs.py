"""``/`` and ``/ui/runs``: what is under way, how it goes, and what can be done about what failed."""

from __future__ import annotations

import json
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Path, Query
from starlette.responses import Response

from amends.ledger import Run, line_members
from amends.problems import ProblemError, not_found
from amends.server.actions import Actions, is_held_back
from amends.server.batches import item_body
from amends.server.results import Wanted, results, whole_line
from amends.server.services import Services
from amends.server.threads import in_thread
from amends.server.wire import KIND, STATES, ExtendBody, RetryBody, run_body
from amends.web.credits import amount
from amends.web.visits import Looking, PageRoute, Visit, parsed, see_other

router = APIRouter(route_class=PageRoute, include_in_schema=False)

RunId = Annotated[str, Path(max_length=128)]
After = Annotated[str | None, Query(max_length=128)]
Status = Annotated[str | None, Query(max_length=32)]

_PAGE: Final = 25
_SAMPLE: Final = 20
_FORMATS: Final = {"jsonl": "application/x-ndjson", "csv": "text/csv", "parquet": "application/vnd.apache.parquet"}


@router.get("/")
async def dashboard(look: Looking, status: Status = None, after: After = None) -> Response:
    chosen = STATES.get(status or "")
    found = await in_thread(
        look.hub.ledger.find, look.who.workspace_id, state=chosen, limit=_PAGE + 1, after=after
    )  # fmt: skip
    return look.page(
        "runs.html",
        runs=found[:_PAGE],
        older=found[_PAGE - 1].id if len(found) > _PAGE else None,
        status=status if chosen else None,
        is_first_page=after is None,
        states=STATES,
        **await in_thread(_overview, look.hub, look.who.workspace_id),
    )


@router.get("/ui/runs/{run_id}")
async def run_page(look: Looking, run_id: RunId, lines: Literal["all", "failed"] = "all") -> Response:
    run = await _actions(look).find(run_id)
    return look.page("run.html", lines=lines, **await in_thread(_details, look, run, lines))


@router.get("/ui/runs/{run_id}/progress")
async def run_progress(look: Looking, run_id: RunId) -> Response:
    """The part of a run's page that moves; once the run has ended, the whole page is to be loaded anew."""
    run = await _actions(look).find(run_id)
    part = look.page("run_progress.html", run=run)
    if run.is_terminal:
        part.headers["HX-Refresh"] = "true"
    return part


@router.post("/ui/runs/{run_id}/cancel")
async def cancel_run(look: Looking, run_id: RunId) -> Response:
    await _actions(look).cancel(run_id)
    return see_other(f"/ui/runs/{run_id}")


@router.post("/ui/runs/{run_id}/extend")
async def extend_run(look: Looking, run_id: RunId) -> Response:
    fields = await look.form()
    given = {"max_cost": amount(fields["max_cost"])} if fields.get("max_cost") else {}
    await _actions(look, given, fields.get("once")).extend(run_id, parsed(ExtendBody, given))
    return see_other(f"/ui/runs/{run_id}")


@router.post("/ui/runs/{run_id}/retry")
async def retry_run(look: Looking, run_id: RunId) -> Response:
    """Retry all that failed, or one type of it; then the retry's own page."""
    fields = await look.form()
    given: dict[str, Any] = {"types": [fields["type"]]} if fields.get("type") else {}
    made = await _actions(look, given, fields.get("once")).retry(run_id, parsed(RetryBody, given))
    return see_other(f"/ui/runs/{json.loads(bytes(made.body))['id']}")


@router.get("/ui/runs/{run_id}/results.{form}")
async def download_results(look: Looking, run_id: RunId, form: Literal["jsonl", "csv", "parquet"]) -> Response:
    """The result stream as a file to keep: of a retried run's whole lineage, and before the end of what there is."""
    run = await _actions(look).find(run_id)
    wanted = Wanted(partial=not run.is_terminal, lineage=run.parent_id is not None)
    answer = await results(look.as_api(accept=_FORMATS[form]), run, wanted)
    answer.headers["Content-Disposition"] = f'attachment; filename="{run.id}.{form}"'
    return answer


@router.get("/ui/runs/{run_id}/item")
async def item_page(look: Looking, run_id: RunId, custom_id: Annotated[str, Query(max_length=1_024)]) -> Response:
    run = await _actions(look).find(run_id)
    record = await in_thread(look.hub.ledger.item, run.id, custom_id)
    if record is None:
        raise ProblemError(not_found("item", custom_id))
    return look.page("item.html", run=run, item=await in_thread(item_body, look.hub, run, record))


def _actions(look: Visit, body: Any = None, once: str | None = None) -> Actions:
    return Actions(look.as_api(body, once=once), "run", run_body)


def _overview(hub: Services, workspace_id: str) -> dict[str, Any]:
    unfinished = [run for run in hub.ledger.unfinished() if run.workspace_id == workspace_id]
    standings = hub.engine.standings() if hub.engine else ()
    return {
        "unfinished": len(unfinished),
        "waiting": sum(run.counts.processing for run in unfinished),
        "paused": sum(run.paused_reason is not None for run in unfinished),
        "upstreams": len(standings),
        "open_breakers": sum(standing.breaker != "closed" for standing in standings),
        "credit": hub.ledger.credit(workspace_id),
        "has_prices": _has_prices(hub),
    }


def _has_prices(hub: Services) -> bool:
    settings = hub.settings.credits
    return bool(settings.price or settings.per_cost or any(settings.prices.values()))


def _details(look: Visit, run: Run, lines: str) -> dict[str, Any]:
    ledger = look.hub.ledger
    has_lines = run.lines_deleted_at is None
    is_mine = look.who.has_role("admin") or run.created_by == look.who.principal
    may_change = look.who.has_role("member") and is_mine
    return {
        "run": run,
        "groups": _actions(look).failure_groups(run) if has_lines else [],
        "sample": _sample(look.hub, run, lines) if has_lines else [],
        "lineage": [one for one in (ledger.get(run.root_id), *ledger.children(run.id)) if one and one.id != run.id],
        "can_cancel": may_change and not run.is_terminal and run.state != "cancelling",
        "can_extend": may_change and not run.is_terminal and is_held_back(run, None),
        "can_retry": may_change and run.kind == KIND and run.is_terminal and has_lines and not _is_whole(run),
    }


def _is_whole(run: Run) -> bool:
    """Whether nothing of it failed."""
    return run.counts.succeeded == run.counts.total


def _sample(hub: Services, run: Run, lines: str) -> list[dict[str, Any]]:
    """The first lines that there are: as submitted once the run has ended, before as they come."""
    status: Literal["errored"] | None = "errored" if lines == "failed" else None
    if run.is_terminal:
        chunk = hub.ledger.results(run.id, status=status, limit=_SAMPLE)
    else:
        chunk = hub.ledger.results_by_completion(run.id, status=status, limit=_SAMPLE)
    return [line_members(whole_line(line, run.id, hub.blobs)) for line in chunk.lines.splitlines()[:_SAMPLE]]
