"""``/v1/batch-predictions``."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from amends.database import rfc3339
from amends.ledger import ItemRecord, ItemStatus, Manifest, Run, line_members
from amends.problems import ProblemError, invalid_state, not_found
from amends.server import runs
from amends.server.answers import BodyOf, json_response
from amends.server.ingest import create
from amends.server.openapi import Responses, problems
from amends.server.pagination import After, Limit
from amends.server.results import NDJSON, Order, Wanted, results, whole_line
from amends.server.runs import Hub, Lineage, Status, Who, answer, find_run
from amends.server.services import Services
from amends.server.threads import in_thread
from amends.server.wire import (
    KIND,
    BatchPrediction,
    BatchPredictionList,
    CreateBody,
    DryRun,
    Failures,
    ItemObject,
    ManifestObject,
    RetryBody,
    batch_body,
    counts_body,
)

router = APIRouter(prefix="/v1/batch-predictions", tags=["batch predictions"])

BatchId = Annotated[str, Path(max_length=128, description="The batch's id.")]
CustomIdPath = Annotated[str, Path(max_length=1_024, description="The item's custom_id, percent-encoded.")]
_KIND: Final = "batch_prediction"
_SECTION_LINES: Final = 10_000


def _body_of(hub: Services) -> BodyOf:
    return lambda run: batch_body(run, hub.public_url)


def _inlined(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema without ``$defs``: within an OpenAPI document its references would lead elsewhere."""
    definitions = schema.pop("$defs", {})

    def put_in(value: Any) -> Any:
        if isinstance(value, list):
            return [put_in(each) for each in value]
        if not isinstance(value, dict):
            return value
        reference = value.get("$ref")
        if isinstance(reference, str):
            return put_in(definitions[reference.rpartition("/")[2]])
        return {name: put_in(each) for name, each in value.items()}

    inlined: dict[str, Any] = put_in(schema)
    return inlined


_BATCH: Final = answer(BatchPrediction, "The batch.")
_CREATE_BODY: Final = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": _inlined(CreateBody.model_json_schema())},
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
    response_class=Response,
    openapi_extra=_CREATE_BODY,
    responses=answer(BatchPrediction | DryRun, "The batch, or what a dry run found."),
)
async def create_batch(request: Request) -> Response:
    """Create a batch from one JSON object, or from NDJSON of any length."""
    return await create(request)


@router.get("", response_class=Response, responses=answer(BatchPredictionList, "Newest first."))
async def list_batches(
    hub: Hub,
    who: Who,
    status: Status = None,
    limit: Limit = 20,
    after: After = None,
    idempotency_key: Annotated[
        str | None, Query(max_length=255, description="Only the batch created under this key.")
    ] = None,
) -> Response:
    """List the workspace's batches."""
    if idempotency_key is None:
        return await runs.list_runs(hub, who, _body_of(hub), kind=KIND, status=status, limit=limit, after=after)
    run_id = await in_thread(hub.store.idempotency.find_resource, who.workspace_id, idempotency_key)
    run = None if run_id is None else await in_thread(hub.ledger.get, run_id)
    is_wanted = run is not None and run.workspace_id == who.workspace_id and status in (None, run.state)
    return runs.page_of([run] if run is not None and is_wanted else [], limit, _body_of(hub))


@router.get("/{batch_id}", response_class=Response, responses=_BATCH)
async def get_batch(batch_id: BatchId, hub: Hub, who: Who) -> Response:
    """Get a batch."""
    return json_response(batch_body(await find_run(hub, who, batch_id, _KIND), hub.public_url))


@router.post("/{batch_id}/cancel", response_class=Response, responses=_BATCH)
async def cancel_batch(request: Request, batch_id: BatchId, hub: Hub, who: Who) -> Response:
    """Cancel a batch; one that is cancelling or cancelled is answered unchanged."""
    return await runs.cancel_run(request, hub, who, await find_run(hub, who, batch_id, _KIND), _KIND, _body_of(hub))


@router.post("/{batch_id}/extend", response_class=Response, responses=_BATCH)
async def extend_batch(request: Request, batch_id: BatchId, hub: Hub, who: Who) -> Response:
    """Go on with the items that ``limit_items`` or ``sample`` holds back."""
    return await runs.extend_run(request, hub, who, await find_run(hub, who, batch_id, _KIND), _KIND, _body_of(hub))


@router.post("/{batch_id}/retry", response_class=Response, responses=_BATCH)
async def retry_batch(
    request: Request, batch_id: BatchId, hub: Hub, who: Who, body: RetryBody | None = None
) -> Response:
    """Retry the failed items in a child batch."""
    return await runs.retry_run(request, who, await find_run(hub, who, batch_id, _KIND), body, _KIND, _body_of(hub))


@router.post("/{batch_id}/expire", response_class=Response, responses=_BATCH)
async def expire_batch(request: Request, batch_id: BatchId, hub: Hub, who: Who) -> Response:
    """Close the completion window now: what has no outcome expires."""
    return await runs.expire_run(request, hub, who, await find_run(hub, who, batch_id, _KIND), _KIND, _body_of(hub))


@router.post("/{batch_id}/purge", response_class=Response, responses=_BATCH)
async def purge_batch(request: Request, batch_id: BatchId, hub: Hub, who: Who) -> Response:
    """Delete the result lines now, and only these."""
    return await runs.purge_run(request, hub, who, await find_run(hub, who, batch_id, _KIND), _KIND, _body_of(hub))


@router.get(
    "/{batch_id}/results",
    response_class=Response,
    responses=_STREAM | problems("conflict", "results_gone", "not_acceptable"),
)
async def get_results(
    request: Request,
    batch_id: BatchId,
    hub: Hub,
    who: Who,
    partial: Annotated[bool, Query(description="Up to the first item without an outcome.")] = False,
    order: Annotated[
        Order, Query(description="As submitted, or as outcomes were committed, each line with a cursor.")
    ] = "submission",
    after: Annotated[str | None, Query(max_length=1_024, description="A custom_id; by completion a cursor.")] = None,
    status: Annotated[ItemStatus | None, Query(description="Only lines of this status.")] = None,
    lineage: Lineage = False,
) -> Response:
    """Stream the results."""
    run = await find_run(hub, who, batch_id, _KIND)
    return await results(request, run, Wanted(partial, order, after, status, lineage))


@router.get(
    "/{batch_id}/manifest",
    response_class=Response,
    responses=answer(ManifestObject, "The sums.") | problems("conflict"),
)
async def get_manifest(batch_id: BatchId, hub: Hub, who: Who) -> Response:
    """Get the sums that a complete result stream can be checked against."""
    run = await find_run(hub, who, batch_id, _KIND)
    manifest = await in_thread(hub.ledger.manifest, run.id)
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
    response_class=Response,
    responses=answer(Failures, "The largest group first.") | problems("results_gone"),
)
async def get_failures(batch_id: BatchId, hub: Hub, who: Who, lineage: Lineage = False) -> Response:
    """Get what did not succeed, grouped by type."""
    run = await find_run(hub, who, batch_id, _KIND)
    return json_response(await runs.failures_of(hub, run, lineage=lineage))


@router.get(
    "/{batch_id}/items/{custom_id:path}",
    response_class=Response,
    responses=answer(ItemObject, "The record."),
)
async def get_item(batch_id: BatchId, custom_id: CustomIdPath, hub: Hub, who: Who) -> Response:
    """Get the whole record of an item."""
    run = await find_run(hub, who, batch_id, _KIND)
    record = await in_thread(hub.ledger.item, run.id, custom_id)
    if record is None:
        raise ProblemError(not_found("item", custom_id))
    return json_response(await in_thread(_item_body, hub, run, record))


def _item_body(hub: Services, run: Run, record: ItemRecord) -> dict[str, Any]:
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
