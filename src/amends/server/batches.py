"""``/v1/batch-predictions``."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.responses import Response

from amends.database import rfc3339
from amends.ledger import ItemRecord, ItemStatus, Manifest, Run, line_members
from amends.problems import ProblemError, invalid_state, not_found
from amends.server.actions import Actions
from amends.server.answers import json_response
from amends.server.ingest import create
from amends.server.openapi import Responses, inlined, problems
from amends.server.pagination import After, Limit
from amends.server.results import NDJSON, Order, Wanted, results, whole_line
from amends.server.routing import Route
from amends.server.runs import Lineage, Status, answer
from amends.server.services import Services
from amends.server.threads import in_thread
from amends.server.wire import (
    KIND,
    BatchPrediction,
    BatchPredictionList,
    CreateBody,
    DryRun,
    ExtendBody,
    Failures,
    ItemObject,
    ManifestObject,
    RetryBody,
    batch_body,
    counts_body,
)

router = APIRouter(
    prefix="/v1/batch-predictions", tags=["batch predictions"], default_response_class=Response, route_class=Route
)

BatchId = Annotated[str, Path(max_length=128, description="The batch's id.")]
CustomIdPath = Annotated[str, Path(max_length=1_024, description="The item's custom_id, percent-encoded.")]
_SECTION_LINES: Final = 10_000


async def _actions(request: Request) -> Actions:
    return Actions(request, "batch_prediction", batch_body)


Act = Annotated[Actions, Depends(_actions)]


_BATCH: Final = answer(BatchPrediction, "The batch.")
_CREATE_BODY: Final = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": inlined(CreateBody.model_json_schema())},
            NDJSON: {
                "schema": {"type": "string", "description": "The parameters on the first line, an item on each other."}
            },
        },
    }
}
_STREAM: Final[Responses] = {
    200: {
        "description": "One line an item.",
        "content": {
            NDJSON: {"schema": {"type": "string"}},
            "text/csv": {"schema": {"type": "string"}},
            "application/vnd.apache.parquet": {"schema": {"type": "string", "format": "binary"}},
        },
    },
    304: {"description": "If-None-Match names this stream."},
}


@router.post(
    "",
    openapi_extra=_CREATE_BODY,
    responses=answer(BatchPrediction | DryRun, "The batch, or what a dry run found.") | problems("credit_exceeded"),
    summary="Create a batch",
)
async def create_batch(request: Request) -> Response:
    """From one JSON object, or from NDJSON of any length: the parameters on the first line, an item on each other."""
    return await create(request)


@router.get("", responses=answer(BatchPredictionList, "Newest first."), summary="List the workspace's batches")
async def list_batches(
    act: Act,
    status: Status = None,
    limit: Limit = 20,
    after: After = None,
    idempotency_key: Annotated[
        str | None, Query(max_length=255, description="Only the batch created under this key.")
    ] = None,
) -> Response:
    if idempotency_key is None:
        return await act.list(of_kind=KIND, status=status, limit=limit, after=after)
    run_id = await in_thread(act.hub.store.idempotency.find_resource, act.who.workspace_id, idempotency_key)
    run = None if run_id is None else await in_thread(act.hub.ledger.get, run_id)
    is_wanted = run is not None and run.workspace_id == act.who.workspace_id and status in (None, run.state)
    return act.page([run] if run is not None and is_wanted else [], limit)


@router.get("/{batch_id}", responses=_BATCH, summary="Get a batch")
async def get_batch(act: Act, batch_id: BatchId) -> Response:
    return await act.get(batch_id)


@router.post("/{batch_id}/cancel", responses=_BATCH, summary="Cancel a batch")
async def cancel_batch(act: Act, batch_id: BatchId) -> Response:
    """One that is cancelling or cancelled is answered unchanged."""
    return await act.cancel(batch_id)


@router.post("/{batch_id}/extend", responses=_BATCH, summary="Go on with the items of a batch held back")
async def extend_batch(act: Act, batch_id: BatchId, body: ExtendBody | None = None) -> Response:
    """Those are held back that ``limit_items`` or ``sample`` left for later, or for which ``max_cost`` does not suffice."""
    return await act.extend(batch_id, body)


@router.post(
    "/{batch_id}/retry", responses=_BATCH | problems("credit_exceeded"), summary="Retry the failed items of a batch"
)
async def retry_batch(act: Act, batch_id: BatchId, body: RetryBody | None = None) -> Response:
    """They become a child batch, whose items keep their places in the root."""
    return await act.retry(batch_id, body)


@router.post("/{batch_id}/expire", responses=_BATCH, summary="Close a batch's completion window now")
async def expire_batch(act: Act, batch_id: BatchId) -> Response:
    """What has no outcome yet expires."""
    return await act.expire(batch_id)


@router.post("/{batch_id}/purge", responses=_BATCH, summary="Delete a batch's result lines now")
async def purge_batch(act: Act, batch_id: BatchId) -> Response:
    """Only these: the batch and its counts stay."""
    return await act.purge(batch_id)


@router.get(
    "/{batch_id}/results",
    responses=_STREAM | problems("conflict", "results_gone", "not_acceptable"),
    summary="Stream the results of a batch",
)
async def get_batch_results(
    request: Request,
    act: Act,
    batch_id: BatchId,
    partial: Annotated[bool, Query(description="Up to the first item without an outcome.")] = False,
    order: Annotated[
        Order, Query(description="As submitted, or as outcomes were committed, each line with a cursor.")
    ] = "submission",
    after: Annotated[str | None, Query(max_length=1_024, description="A custom_id; by completion a cursor.")] = None,
    status: Annotated[ItemStatus | None, Query(description="Only lines of this status.")] = None,
    lineage: Lineage = False,
) -> Response:
    """Complete and unfiltered, the stream carries the digest that the manifest names."""
    return await results(request, await act.find(batch_id), Wanted(partial, order, after, status, lineage))


@router.get(
    "/{batch_id}/manifest",
    responses=answer(ManifestObject, "The sums.") | problems("conflict"),
    summary="Get the sums that a batch's results can be checked against",
)
async def get_batch_manifest(act: Act, batch_id: BatchId) -> Response:
    run = await act.find(batch_id)
    manifest = await in_thread(act.hub.ledger.manifest, run.id)
    if manifest is None:
        detail = f"The batch is {run.state}: its manifest is there when it has ended"
        raise ProblemError(invalid_state(detail, batch_prediction_id=run.id, state=run.state))
    return json_response(_manifest_body(run, manifest))


def _manifest_body(run: Run, manifest: Manifest) -> dict[str, Any]:
    return {
        "object": "batch_prediction.manifest",
        "batch_id": run.id,
        "request_counts": counts_body(manifest.counts),
        "lines": manifest.lines,
        "sha256": manifest.sha256,
        "section_lines": _SECTION_LINES,
        "sections": list(manifest.sections),
    }


@router.get(
    "/{batch_id}/failures",
    responses=answer(Failures, "The largest group first.") | problems("results_gone"),
    summary="Get what of a batch did not succeed, grouped by type",
)
async def get_batch_failures(act: Act, batch_id: BatchId, lineage: Lineage = False) -> Response:
    return await act.failures(batch_id, lineage=lineage)


@router.get(
    "/{batch_id}/items/{custom_id:path}", responses=answer(ItemObject, "The record."), summary="Get an item's record"
)
async def get_batch_item(
    act: Act,
    batch_id: BatchId,
    custom_id: CustomIdPath,
    download: Annotated[bool, Query(description="As a file to keep.")] = False,
) -> Response:
    """What was sent, every failed attempt, where the item is, and its outcome: what support needs to see."""
    run = await act.find(batch_id)
    record = await in_thread(act.hub.ledger.item, run.id, custom_id)
    if record is None:
        raise ProblemError(not_found("item", custom_id))
    response = json_response(await in_thread(item_body, act.hub, run, record))
    if download:
        response.headers["Content-Disposition"] = f'attachment; filename="{run.id}-{record.seq}.json"'
    return response


def item_body(hub: Services, run: Run, record: ItemRecord) -> dict[str, Any]:
    """The item's whole record. Blocks."""
    payload = record.payload
    if payload.startswith(b"@"):
        payload = hub.blobs.get(payload[1:].decode())
    outcome = None if record.line is None else line_members(whole_line(record.line, run.id, hub.blobs))
    return {
        "object": "batch_prediction.item",
        "batch_id": run.id,
        "custom_id": record.custom_id,
        "index": record.seq,
        "root_index": record.seq if record.origin is None else record.origin,
        "status": outcome["status"] if outcome else record.place,
        "item": msgspec.json.decode(payload),
        "input_hash": record.input_hash.hex(),
        "attempts": [
            {"number": attempt.number, "at": rfc3339(attempt.at), "error": msgspec.json.decode(attempt.problem)}
            for attempt in record.attempts
        ],
        "deaths": record.deaths,
        "outcome": outcome,
        "ended_at": None if record.ended_at is None else rfc3339(record.ended_at),
    }
