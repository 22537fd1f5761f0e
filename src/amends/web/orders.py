"""``/ui/orders``: what people and models are asked, how far they are, and what they say together."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Annotated, Any, Final, Literal, cast, get_args

from fastapi import APIRouter, Path, Query
from markupsafe import Markup
from starlette.responses import Response

from amends.models import MODELS
from amends.problems import ProblemError
from amends.server import orders as api
from amends.server.aggregates import Aggregated
from amends.server.annotating import check_annotator
from amends.server.labelling import definition_of, find_order
from amends.server.order_results import answers, numbered_lines, summary
from amends.server.services import Services
from amends.server.threads import in_thread
from amends.store import JobDefinition, Order, OrderStatus
from amends.web.datasets import THUMBNAILS
from amends.web.media import thumb
from amends.web.summing import MOST_BARS, POINTS, Summing, answers_plot, progress_plot, words_of
from amends.web.visits import Looking, PageRoute, Visit, parsed, see_other

router = APIRouter(prefix="/ui/orders", route_class=PageRoute, include_in_schema=False)

OrderId = Annotated[str, Path(max_length=128)]
After = Annotated[str | None, Query(max_length=128)]

_PAGE: Final = 25
_SHOWN: Final = 50
_MOST_SUMMED: Final = 20_000
"""Answers beyond which a page does not put them all together while somebody waits; the download does."""
_CHOSEN: Final = ("classification", "compare")
_FORMATS: Final = {"json": "application/json", "jsonl": "application/x-ndjson", "csv": "text/csv"}
_CHANGES: Final = {"run": api.run, "pause": api.pause, "cancel": api.cancel}


@router.get("")
async def orders_page(
    look: Looking, status: Annotated[str | None, Query(max_length=32)] = None, after: After = None
) -> Response:
    chosen = cast("OrderStatus", status) if status in get_args(OrderStatus) else None
    found = await in_thread(
        look.hub.store.orders.find, look.who.workspace_id, limit=_PAGE + 1, after=after, status=chosen
    )
    return look.page(
        "orders.html",
        orders=found[:_PAGE],
        older=found[_PAGE - 1].id if len(found) > _PAGE else None,
        status=chosen,
        states=get_args(OrderStatus),
        is_first_page=after is None,
        is_moving=any(order.status == "running" for order in found),
    )


@router.get("/{order_id}")
async def order_page(look: Looking, order_id: OrderId, after: Annotated[int, Query(ge=-1, le=2**53)] = -1) -> Response:
    return await _page(look, order_id, after)


@router.get("/{order_id}/progress")
async def order_progress(look: Looking, order_id: OrderId) -> Response:
    """The part of an order's page that moves; once the order has ended, the whole page is to be loaded anew."""
    order = await in_thread(find_order, look.hub, look.who.workspace_id, order_id)
    part = look.page("order_progress.html", order=order)
    if order.is_ended:
        part.headers["HX-Refresh"] = "true"
    return part


@router.post("/{order_id}/invitations")
async def invite(look: Looking, order_id: OrderId) -> Response:
    """The one page that shows an invitation's link. It is no redirect, since only the token's hash is kept."""
    fields = await look.form()
    made = await api.create_invitation(look.as_api(once=fields.get("once")), look.hub, look.who, order_id)
    return await _page(look, order_id, -1, link=json.loads(bytes(made.body))["url"])


@router.post("/{order_id}/annotators")
async def add_model(look: Looking, order_id: OrderId) -> Response:
    fields = await look.form()
    given = {name: fields[name] for name in ("model", "prompt") if fields.get(name)}
    body = parsed(api.NewAnnotator, given)
    await api.create_annotator(look.as_api(given, once=fields.get("once")), look.hub, look.who, order_id, body)
    return see_other(f"/ui/orders/{order_id}")


@router.get("/{order_id}/results.{form}")
async def download_results(look: Looking, order_id: OrderId, form: Literal["json", "jsonl", "csv"]) -> Response:
    answer = await api.get_order_results(look.as_api(accept=_FORMATS[form]), look.hub, look.who, order_id)
    answer.headers["Content-Disposition"] = f'attachment; filename="{order_id}.{form}"'
    return answer


@router.post("/{order_id}/{change}")
async def change_order(look: Looking, order_id: OrderId, change: Literal["run", "pause", "cancel"]) -> Response:
    await _CHANGES[change](look.as_api(), look.hub, look.who, order_id)
    return see_other(f"/ui/orders/{order_id}")


async def _page(look: Visit, order_id: str, after: int, link: str | None = None) -> Response:
    order = await in_thread(find_order, look.hub, look.who.workspace_id, order_id)
    return look.page("order.html", order=order, link=link, **await in_thread(_details, look, order, after))


def _details(look: Visit, order: Order, after: int) -> dict[str, Any]:
    hub = look.hub
    definition = definition_of(hub, order)
    is_mine = look.who.has_role("admin") or order.created_by == look.who.principal
    may_change = look.who.has_role("member") and is_mine
    annotators = hub.store.annotators.of_order(order.id)
    return {
        "definition": definition,
        "runs": {one.id: one for one in annotators},
        "models": _models(hub, order, definition) if may_change else [],
        "can_run": may_change and order.status in ("created", "paused"),
        "can_pause": may_change and order.status == "running",
        "can_cancel": may_change and not order.is_ended,
        "may_change": may_change,
        "may_label": look.who.has_role("member") and not order.is_ended,
        **_results(hub, order, after),
    }


def _results(hub: Services, order: Order, after: int) -> dict[str, Any]:
    """The results in sums and plots, and the lines behind the datapoint ``after``."""
    is_rough = order.responses > _MOST_SUMMED
    aggregated = Aggregated.roughly(hub, order) if is_rough else Aggregated.of(hub, order, None)
    sums = summary(hub, order, aggregated, has_ranking=not is_rough)
    page = list(islice(numbered_lines(hub, order, aggregated, after, _SHOWN + 1), _SHOWN + 1))
    rows = [{**line, "words": words_of(line["answer"])} for _, line in page[:_SHOWN]]
    for row in rows:
        datapoint = hub.store.datasets.datapoint(order.workspace_id, row["datapoint_id"])
        row["thumb"] = None if datapoint is None else thumb(datapoint, THUMBNAILS)
    drawn, matrix = _rough_plots(hub, order) if is_rough else _plots(hub, order, aggregated, sums["annotators"])
    return {
        "sums": sums,
        "is_rough": is_rough,
        "rows": rows,
        "further": page[_SHOWN - 1][0] if len(page) > _SHOWN else None,
        "plots": drawn,
        "matrix": matrix,
        "names": {one["id"]: one["name"] for one in sums["annotators"]},
    }


def _plots(
    hub: Services, order: Order, aggregated: Aggregated, annotators: Sequence[Mapping[str, Any]]
) -> tuple[list[Markup], Markup | None]:
    """The plots, and who agrees with whom."""
    summing = Summing({one["id"]: one["name"] for one in annotators if one["responses"]})
    for answer, responses in answers(hub, order, aggregated):
        summing.add(answer, responses)
    drawn = [summing.progress_plot(_needed(order))] if order.responses else []
    if order.responses and order.kind in _CHOSEN:
        drawn.insert(0, summing.answers_plot())
    return drawn, summing.agreement_plot() if summing.pairs else None


def _rough_plots(hub: Services, order: Order) -> tuple[list[Markup], None]:
    """Those that the database counts by itself."""
    drawn = [progress_plot(hub.store.tasks.over_time(order.id, POINTS), _needed(order))]
    if order.kind in _CHOSEN:
        given = [(words_of(answer), count) for answer, count in hub.store.tasks.most_given(order.id, MOST_BARS)]
        drawn.insert(0, answers_plot(given, order.responses, "Answers given"))
    return drawn, None


def _needed(order: Order) -> int:
    return order.tasks * order.settings.responses_per_datapoint


def _models(hub: Services, order: Order, definition: JobDefinition) -> list[str]:
    """The embedded models that can answer what the order asks."""
    found = []
    for name in MODELS:
        try:
            check_annotator(hub, order, definition, name)
        except ProblemError:
            continue
        found.append(name)
    return found
