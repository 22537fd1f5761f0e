"""``/v1/datasets`` and ``/v1/datapoints``: what is shown to people who label it."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse, Response

from amends.database import Transaction, new_id, rfc3339
from amends.problems import ProblemError, duplicate, not_found
from amends.server.adding import add, answer_body
from amends.server.answers import json_response
from amends.server.assets import asset_response
from amends.server.auth import Caller
from amends.server.bundles import DATAPOINTS
from amends.server.datapoints import MAX_DATAPOINTS, DatapointBody
from amends.server.files import CONTENT
from amends.server.finding import existing
from amends.server.idempotency import body_digest, idempotent
from amends.server.openapi import inlined, problems
from amends.server.pagination import After, Limit, Page, page
from amends.server.routing import Route
from amends.server.services import Services, hub, who
from amends.server.wire import Time
from amends.store import Asset, DatapointRecord, DatasetRecord, WaitingOutcome

router = APIRouter(prefix="/v1", tags=["datasets"], route_class=Route)

Hub = Annotated[Services, Depends(hub)]
Who = Annotated[Caller, Depends(who)]
DatasetId = Annotated[str, Path(max_length=128, description="The dataset's id.")]
DatapointId = Annotated[str, Path(max_length=128, description="The datapoint's id.")]
Place = Annotated[int, Path(ge=0, le=1_000, description="Its place in the datapoint, from 0.")]
Name = Annotated[
    str, Field(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f\x7f]*[^\x00-\x20\x7f][^\x00-\x1f\x7f]*$")
]


class DatasetObject(BaseModel):
    """A dataset. datapoint_count: how many it has."""

    id: str
    object: Literal["dataset"] = "dataset"
    name: str
    datapoint_count: int
    created_by: str | None
    created_at: Time


class NewDataset(BaseModel):
    """What a new dataset is called; no other one of the workspace is."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: Name


class DeletedDataset(BaseModel):
    id: str
    object: Literal["dataset"] = "dataset"
    deleted: Literal[True] = True


class AssetObject(BaseModel):
    """An asset. url: where it was fetched; content: where its bytes are, null of a text. width, height: of a picture, in pixels."""

    kind: Literal["file", "url", "text"]
    text: str | None
    url: str | None
    sha256: str | None
    media_type: str | None
    bytes: int | None
    filename: str | None
    width: int | None
    height: int | None
    content: str | None


class DatapointObject(BaseModel):
    """A datapoint as it stands. seq: its place among those of its dataset, from 1."""

    id: str
    object: Literal["datapoint"] = "datapoint"
    dataset_id: str
    seq: int
    data_type: Literal["media", "text"]
    assets: list[AssetObject]
    context: str | None
    media_context: list[AssetObject]
    sentence: str | None
    private_metadata: dict[str, Any] | None
    group: str | None
    answer_options: list[str] | None
    created_at: Time


class OutcomeObject(BaseModel):
    """What became of one datapoint of a call. existing: it stood already. pending: URLs of it are being fetched.

    pointer: which of its assets the problem is about, null where it is the datapoint itself.
    """

    index: int
    status: Literal["created", "existing", "failed", "pending"]
    datapoint_id: str | None
    problem: dict[str, Any] | None
    pointer: str | None


class OutcomeCounts(BaseModel):
    created: int
    existing: int
    failed: int
    pending: int


class Outcomes(BaseModel):
    """What became of the datapoints of a call, in order. run_id: what fetches the URLs of those that are pending, else null."""

    object: Literal["dataset.outcomes"] = "dataset.outcomes"
    dataset_id: str
    run_id: str | None
    counts: OutcomeCounts
    data: list[OutcomeObject]


class Digests(BaseModel):
    """Contents, by SHA-256 in hex."""

    model_config = ConfigDict(extra="forbid", strict=True)

    sha256: list[Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]] = Field(min_length=1, max_length=MAX_DATAPOINTS)


class KnownDigests(BaseModel):
    """Those of the contents that need not be sent."""

    object: Literal["dataset.known_assets"] = "dataset.known_assets"
    known: list[str]


_ADD: Final = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "array",
                    "minItems": 1,
                    "maxItems": MAX_DATAPOINTS,
                    "items": inlined(DatapointBody.model_json_schema()),
                }
            },
            "application/x-ndjson": {"schema": {"type": "string", "description": "A datapoint on each line."}},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": [DATAPOINTS],
                    "properties": {
                        DATAPOINTS: {"type": "string", "description": "The datapoints, as NDJSON or a JSON array."}
                    },
                    "additionalProperties": {"type": "string", "contentMediaType": "application/octet-stream"},
                    "description": "Each part but `datapoints` is a file: an asset's `sha256` or `part` names it.",
                }
            },
        },
    }
}
_OUTCOMES: Final[dict[int | str, dict[str, Any]]] = {200: {"model": Outcomes, "description": "The outcome of each."}}


@router.post("/datasets", status_code=201, summary="Make a dataset", response_model=DatasetObject,
             responses=problems("unsupported_media_type"))  # fmt: skip
async def create_dataset(request: Request, hub: Hub, who: Who, new: NewDataset) -> Response:
    who.authorize("create", "dataset")
    async with idempotent(request, await body_digest(request)) as guard:
        if guard.replay:
            return guard.replay
        now = hub.now()
        record = DatasetRecord(new_id("ds_", now=now), who.workspace_id, new.name, who.principal, now)
        answer = dataset_object(record).model_dump()
        headers = {"Location": f"/v1/datasets/{record.id}"}

        def write(tx: Transaction) -> None:
            if not hub.store.datasets.add(tx, record):
                raise ProblemError(duplicate("dataset", new.name))
            guard.store(tx, 201, answer, headers=headers, resource_id=record.id)

        await asyncio.wrap_future(hub.database.submit(write))
    return JSONResponse(answer, 201, headers)


@router.get("/datasets", summary="List the datasets, newest first")
def list_datasets(
    hub: Hub,
    who: Who,
    limit: Limit = 20,
    after: After = None,
    name: Annotated[str | None, Query(max_length=256, description="Only the dataset of this name.")] = None,
) -> Page[DatasetObject]:
    if name is not None:
        named = hub.store.datasets.named(who.workspace_id, name)
        return page([named] if named else [], limit, dataset_object)
    found = hub.store.datasets.find(who.workspace_id, limit=limit + 1, after=after)
    return page(found, limit, dataset_object)


@router.get("/datasets/{dataset_id}", summary="One dataset")
def get_dataset(hub: Hub, who: Who, dataset_id: DatasetId) -> DatasetObject:
    return dataset_object(_found(hub, who, dataset_id))


@router.delete("/datasets/{dataset_id}", summary="Delete a dataset with its datapoints", response_model=DeletedDataset)
async def delete_dataset(request: Request, hub: Hub, who: Who, dataset_id: DatasetId) -> Response:
    async with idempotent(request, await body_digest(request)) as guard:
        if guard.replay:
            return guard.replay
        dataset = await asyncio.to_thread(_found, hub, who, dataset_id)
        who.authorize("delete", "dataset", made_by=dataset.created_by)
        answer = DeletedDataset(id=dataset.id).model_dump()

        def write(tx: Transaction) -> None:
            if not hub.store.datasets.delete(tx, who.workspace_id, dataset.id):
                raise ProblemError(not_found("dataset", dataset.id))
            hub.store.idempotency.forget_resource(tx, dataset.id)
            guard.store(tx, 200, answer)

        await asyncio.wrap_future(hub.database.submit(write))
    return JSONResponse(answer)


@router.get("/datasets/{dataset_id}/datapoints", summary="List the datapoints, newest first")
def list_datapoints(
    hub: Hub, who: Who, dataset_id: DatasetId, limit: Limit = 20, after: After = None
) -> Page[DatapointObject]:
    dataset = _found(hub, who, dataset_id)
    found = hub.store.datasets.newest_datapoints(dataset.id, limit=limit + 1, after=after)
    return page(found, limit, datapoint_object)


@router.post("/datasets/{dataset_id}/datapoints", summary="Add datapoints", openapi_extra=_ADD, response_class=Response,
             responses=_OUTCOMES | problems("rate_limit_exceeded"))  # fmt: skip
async def add_datapoints(request: Request, hub: Hub, who: Who, dataset_id: DatasetId) -> Response:
    """Up to 10,000 of them, as a JSON array, as NDJSON, or in a form together with files. Each stands, waits for its URLs or fails alone.

    One that is the same as one of the dataset's by type, contents or URLs, context, media context, sentence and group is that one.
    """
    dataset = await asyncio.to_thread(_found, hub, who, dataset_id)
    who.authorize("change", "dataset")
    return await add(request, dataset)


@router.get("/datasets/{dataset_id}/fetches/{run_id}", summary="Ask what became of datapoints that were pending",
            response_class=Response, responses=_OUTCOMES)  # fmt: skip
def get_fetch(
    hub: Hub, who: Who, dataset_id: DatasetId, run_id: Annotated[str, Path(max_length=128, description="The run's id.")]
) -> Response:
    """Only those of them: their index is that in their call."""
    dataset = _found(hub, who, dataset_id)
    fetch = hub.store.fetches.get(who.workspace_id, run_id)
    if fetch is None or fetch.dataset_id != dataset.id:
        raise ProblemError(not_found("run", run_id))
    return json_response(answer_body(dataset.id, run_id, [_outcome(one) for one in hub.store.fetches.outcomes(run_id)]))


@router.post(
    "/datasets/{dataset_id}/assets/check", summary="Ask which contents need not be sent", response_model=KnownDigests
)
async def check_assets(request: Request, hub: Hub, who: Who, dataset_id: DatasetId, digests: Digests) -> Response:
    """Those that a dataset or a file of the workspace has."""
    who.authorize("change", "dataset")
    dataset = await asyncio.to_thread(_found, hub, who, dataset_id)
    async with idempotent(request, await body_digest(request)) as guard:
        if guard.replay:
            return guard.replay
        stored: set[str] = set()
        for look_up in (hub.store.datasets.contents, hub.store.files.with_contents):
            stored |= (await asyncio.to_thread(look_up, dataset.workspace_id, digests.sha256)).keys()
        answer = KnownDigests(known=[sha256 for sha256 in digests.sha256 if sha256 in stored]).model_dump()
        if guard.key is not None:
            await asyncio.wrap_future(hub.database.submit(lambda tx: guard.store(tx, 200, answer)))
    return JSONResponse(answer)


@router.get("/datapoints/{datapoint_id}", summary="One datapoint")
def get_datapoint(hub: Hub, who: Who, datapoint_id: DatapointId) -> DatapointObject:
    return datapoint_object(_datapoint(hub, who, datapoint_id))


@router.get("/datapoints/{datapoint_id}/assets/{number}", summary="The bytes of an asset, or a range of them",
            response_class=Response, responses=CONTENT | problems("range_not_satisfiable"))  # fmt: skip
def get_asset(request: Request, hub: Hub, who: Who, datapoint_id: DatapointId, number: Place) -> Response:
    return _shown(request, hub, _datapoint(hub, who, datapoint_id).assets, number)


@router.get("/datapoints/{datapoint_id}/media-context/{number}", summary="The bytes of a media context, or a range of them",
            response_class=Response, responses=CONTENT | problems("range_not_satisfiable"))  # fmt: skip
def get_media_context(request: Request, hub: Hub, who: Who, datapoint_id: DatapointId, number: Place) -> Response:
    return _shown(request, hub, _datapoint(hub, who, datapoint_id).media_context, number)


def _outcome(one: WaitingOutcome) -> dict[str, Any]:
    return {
        "index": one.place,
        "status": one.status or "pending",
        "datapoint_id": one.datapoint_id,
        "problem": one.problem,
        "pointer": one.pointer,
    }


def _shown(request: Request, hub: Services, assets: tuple[Asset, ...], number: int) -> Response:
    if number >= len(assets):
        raise ProblemError(not_found("asset", str(number)))
    return asset_response(request, hub, assets[number])


def _found(hub: Services, who: Caller, dataset_id: str) -> DatasetRecord:
    return existing(hub.store.datasets.get(who.workspace_id, dataset_id), "dataset", dataset_id)


def _datapoint(hub: Services, who: Caller, datapoint_id: str) -> DatapointRecord:
    return existing(hub.store.datasets.datapoint(who.workspace_id, datapoint_id), "datapoint", datapoint_id)


def dataset_object(dataset: DatasetRecord) -> DatasetObject:
    """The dataset as it is answered."""
    return DatasetObject(
        id=dataset.id,
        name=dataset.name,
        datapoint_count=dataset.datapoints,
        created_by=dataset.created_by,
        created_at=rfc3339(dataset.created_at),
    )


def datapoint_object(datapoint: DatapointRecord) -> DatapointObject:
    """The datapoint as it is answered."""
    path = f"/v1/datapoints/{datapoint.id}"
    options, metadata = datapoint.answer_options, datapoint.private_metadata
    return DatapointObject(
        id=datapoint.id,
        dataset_id=datapoint.dataset_id,
        seq=datapoint.seq,
        data_type=datapoint.data_type,
        assets=[_asset_object(asset, f"{path}/assets/{n}") for n, asset in enumerate(datapoint.assets)],
        context=datapoint.context,
        media_context=[
            _asset_object(one, f"{path}/media-context/{n}") for n, one in enumerate(datapoint.media_context)
        ],
        sentence=datapoint.sentence,
        private_metadata=None if metadata is None else dict(metadata),
        group=datapoint.group,
        answer_options=None if options is None else list(options),
        created_at=rfc3339(datapoint.created_at),
    )


def _asset_object(asset: Asset, content: str) -> AssetObject:
    names = ("kind", "text", "url", "sha256", "media_type", "bytes", "filename", "width", "height")
    members = {name: getattr(asset, name) for name in names}
    return AssetObject(**members, content=None if asset.kind == "text" else content)
