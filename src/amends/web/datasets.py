"""``/ui/datasets``: what there is to be labelled, as pictures."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Path, Query
from starlette.responses import Response

from amends.problems import ProblemError, not_found
from amends.server.threads import in_thread
from amends.store import DatapointRecord, DatasetRecord
from amends.web.media import asset_of, shown_thumbnail, thumb
from amends.web.visits import Looking, PageRoute

router = APIRouter(route_class=PageRoute, include_in_schema=False)

THUMBNAILS: Final = "/ui/thumbnails"
_PAGE: Final = 50
_SHOWN: Final = 48

After = Annotated[str | None, Query(max_length=128)]


@router.get("/ui/datasets")
async def datasets_page(look: Looking, after: After = None) -> Response:
    found = await in_thread(look.hub.store.datasets.find, look.who.workspace_id, limit=_PAGE + 1, after=after)
    older = found[_PAGE - 1].id if len(found) > _PAGE else None
    return look.page("datasets.html", datasets=found[:_PAGE], older=older)


@router.get("/ui/datasets/{dataset_id}")
async def dataset_page(
    look: Looking, dataset_id: Annotated[str, Path(max_length=128)], after: Annotated[int, Query(ge=0, le=2**53)] = 0
) -> Response:
    dataset: DatasetRecord | None = await in_thread(look.hub.store.datasets.get, look.who.workspace_id, dataset_id)
    if dataset is None:
        raise ProblemError(not_found("dataset", dataset_id))
    found = await in_thread(look.hub.store.datasets.datapoints, dataset.id, after, _SHOWN)
    shown = [{"record": one, "thumb": thumb(one, THUMBNAILS), "words": _words(one)} for one in found]
    older = found[-1].seq if len(found) == _SHOWN and found[-1].seq < dataset.datapoints else None
    return look.page("dataset.html", dataset=dataset, datapoints=shown, older=older)


@router.get(THUMBNAILS + "/{datapoint_id}/{number}")
async def get_thumbnail(
    look: Looking,
    datapoint_id: Annotated[str, Path(max_length=128)],
    number: Annotated[int, Path(ge=0, le=1_000)],
) -> Response:
    datapoint = await in_thread(look.hub.store.datasets.datapoint, look.who.workspace_id, datapoint_id)
    if datapoint is None:
        raise ProblemError(not_found("datapoint", datapoint_id))
    return await shown_thumbnail(look.hub, asset_of(datapoint, number))


def _words(datapoint: DatapointRecord) -> str:
    first = datapoint.assets[0]
    name = first.filename or first.url or ""
    return f"{name} and {len(datapoint.assets) - 1} more" if len(datapoint.assets) > 1 else name
