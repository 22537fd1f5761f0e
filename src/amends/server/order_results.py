"""An order's results as they are answered: what was said of each datapoint, and what is known of the whole.

The votes are read twice: once as numbers, of which the weights and the most probable answers follow (``Aggregated``), then task by task
for the lines, so that an order of a million tasks is streamed and not held. What nobody answered is read for the lines alone.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, Field
from starlette.responses import Response, StreamingResponse

from amends.database import rfc3339
from amends.problems import FieldError, ProblemError, problem, validation_failed
from amends.server.accept import preferred
from amends.server.aggregates import CHOSEN, Aggregated, Method, answered_tasks, responses_between
from amends.server.answers import encode
from amends.server.assets import asset_name
from amends.server.rankings import ranking
from amends.server.services import Services
from amends.server.verdicts import verdict
from amends.store import DatapointRecord, JobKind, Order, OrderStatus, Skip, Task
from amends.store import Response as Answered

ResultsFormat = Literal["json", "ndjson", "csv"]

MEDIA_TYPES: Final[Mapping[ResultsFormat, str]] = {
    "json": "application/json",
    "ndjson": "application/x-ndjson",
    "csv": "text/csv",
}
_PAGE: Final = 500
_BLOCK_BYTES: Final = 64 << 10
_COLUMNS: Final = (
    "datapoint_id", "state", "answer", "confidence", "agreement", "responses", "distribution", "group", "context", "private_metadata",
    "truth",
)  # fmt: skip


class Share(BaseModel):
    """One answer to a task. share: of the weight of those who answered; votes: how many said it."""

    answer: Any
    share: float
    votes: int


class ResponseObject(BaseModel):
    annotator_id: str
    answer: Any
    weight: Annotated[float, Field(description="Of its annotator, 0 to 1: how often that is right.")]
    elapsed_ms: int | None
    created_at: str


class SkipObject(BaseModel):
    annotator_id: str
    reason: str | None
    created_at: str


class ResultLine(BaseModel):
    """What was said of one datapoint.

    answer: null without responses. confidence: how probable it is (classification, compare), else the share of weight behind it.
    agreement: of all pairs of responses, the share that says the same. truth: of a gold task.
    """

    object: Literal["order.result"] = "order.result"
    datapoint_id: str
    state: Literal["open", "done"]
    answer: Any
    confidence: float | None
    agreement: float | None
    distribution: list[Share]
    responses: list[ResponseObject]
    skips: list[SkipObject]
    group: str | None
    context: str | None
    private_metadata: dict[str, Any] | None
    assets: list[str]
    gold: bool
    truth: Any


class AnnotatorWeight(BaseModel):
    """What an annotator is worth. weight: how often it is right, 0 to 1.

    confusion: by Dawid and Skene; of each true answer, in the order of ``labels``, how probably it says which.
    """

    id: str
    name: str
    kind: Literal["person", "model"]
    responses: int
    weight: float
    gold_asked: int
    gold_right: int
    confusion: list[list[float]] | None


class Ranked(BaseModel):
    """An asset that was compared. strength: by Bradley and Terry; all sum to 1. wins: how often it was chosen."""

    asset: str
    strength: float
    wins: int
    comparisons: int


class Agreement(BaseModel):
    """Over the whole order; null where no two answered the same task, or answers are of no fixed number."""

    percent: float | None
    krippendorff_alpha: float | None


class Results(BaseModel):
    """An order's results as they stand. labels: what ``confusion`` is about. ranking: of a compare order, the strongest first."""

    object: Literal["order.results"] = "order.results"
    order_id: str
    status: OrderStatus
    kind: JobKind
    method: Method
    tasks: int
    tasks_done: int
    responses: int
    agreement: Agreement
    labels: list[Any]
    annotators: list[AnnotatorWeight]
    ranking: list[Ranked]
    data: list[ResultLine]


def results_format(accept: str | None) -> ResultsFormat:
    """What ``Accept`` prefers; ProblemError not_acceptable if it names none of them."""
    names: dict[str, ResultsFormat] = {kind: name for name, kind in MEDIA_TYPES.items()}
    chosen = preferred(accept, [*names, "application/ndjson", "application/jsonl"])
    if chosen is None:
        raise ProblemError(problem("not_acceptable"))
    return names.get(chosen, "ndjson")


def stream(hub: Services, order: Order, method: Method | None, chosen: ResultsFormat) -> Response:
    """The results in the format. ProblemError validation_failed for a method that the kind does not have."""
    if method == "dawid_skene" and order.kind not in CHOSEN:
        message = f"dawid_skene is for answers that are chosen, and the order is of kind {order.kind}"
        raise ProblemError(validation_failed([FieldError.at(("query", "method"), message)]))
    aggregated = Aggregated.of(hub, order, method)
    pieces = {"json": _json, "ndjson": _ndjson, "csv": _csv}[chosen](hub, order, aggregated)
    return StreamingResponse(_in_blocks(pieces), headers={"Vary": "Accept"}, media_type=MEDIA_TYPES[chosen])


def lines(hub: Services, order: Order, aggregated: Aggregated) -> Iterator[dict[str, Any]]:
    """What was said of each datapoint, in the order in which they were added."""
    return (line for _, line in numbered_lines(hub, order, aggregated))


def numbered_lines(
    hub: Services, order: Order, aggregated: Aggregated, after_seq: int = -1, at_once: int = _PAGE
) -> Iterator[tuple[int, dict[str, Any]]]:
    """The same, each with its datapoint's seq, those behind ``after_seq``; so many are read at once."""
    for page, answered in _pages(hub, order, after_seq, at_once):
        first, last = page[0].seq - 1, page[-1].seq
        datapoints = {one.seq: one for one in hub.store.datasets.datapoints(order.dataset_id, first, len(page))}
        skipped: dict[int, list[Skip]] = {}
        for skip in hub.store.tasks.skips(order.id, first, last):
            skipped.setdefault(skip.seq, []).append(skip)
        for task in page:
            responses = answered.get(task.seq, [])
            yield (
                task.seq,
                {
                    "object": "order.result",
                    "datapoint_id": task.datapoint_id,
                    "state": task.state,
                    **verdict(aggregated, task.seq, responses),
                    "responses": [_response_body(one, aggregated.weights) for one in responses],
                    "skips": [_skip_body(one) for one in skipped.get(task.seq, ())],
                    **_datapoint_members(datapoints.get(task.seq)),
                    "gold": task.is_gold,
                    "truth": None if task.truth is None else _loads(task.truth),
                },
            )


def answers(hub: Services, order: Order, aggregated: Aggregated) -> Iterator[tuple[Any, list[Answered]]]:
    """What was said together of each datapoint that was answered, and the answers to it."""
    for answered in answered_tasks(hub, order):
        for seq, responses in answered.items():
            yield verdict(aggregated, seq, responses)["answer"], responses


def _response_body(one: Answered, weights: Mapping[str, float]) -> dict[str, Any]:
    return {
        "annotator_id": one.annotator_id,
        "answer": one.answer,
        "weight": weights.get(one.annotator_id, 1.0),
        "elapsed_ms": one.elapsed_ms,
        "created_at": rfc3339(one.created_at),
    }


def _skip_body(one: Skip) -> dict[str, Any]:
    return {"annotator_id": one.annotator_id, "reason": one.reason, "created_at": rfc3339(one.created_at)}


def _datapoint_members(datapoint: DatapointRecord | None) -> dict[str, Any]:
    if datapoint is None:  # deleted with its dataset
        return {"group": None, "context": None, "private_metadata": None, "assets": []}
    metadata = datapoint.private_metadata
    return {
        "group": datapoint.group,
        "context": datapoint.context,
        "private_metadata": None if metadata is None else dict(metadata),
        "assets": [asset_name(asset) for asset in datapoint.assets],
    }


def summary(hub: Services, order: Order, aggregated: Aggregated, *, has_ranking: bool = True) -> dict[str, Any]:
    """All of the results but the lines. has_ranking: False leaves that out, for which every answer is read."""
    percent, alpha = (None if one is None else round(one, 6) for one in aggregated.agreement)
    return {
        "object": "order.results",
        "order_id": order.id,
        "status": order.status,
        "kind": order.kind,
        "method": aggregated.method,
        "tasks": order.tasks,
        "tasks_done": order.tasks_done,
        "responses": order.responses,
        "agreement": {"percent": percent, "krippendorff_alpha": alpha},
        "labels": aggregated.labels if aggregated.confusion else [],
        "annotators": [
            {
                "id": one.id,
                "name": one.name,
                "kind": one.kind,
                "responses": aggregated.counts.get(one.id, 0),
                "weight": aggregated.weights[one.id],
                "gold_asked": one.gold_asked,
                "gold_right": one.gold_right,
                "confusion": aggregated.confusion.get(one.id),
            }
            for one in aggregated.annotators
        ],
        "ranking": ranking(hub, order, aggregated) if has_ranking else [],
    }


def _in_blocks(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The same bytes, many lines at a time: each piece is fetched from a thread and sent by itself."""
    held: list[bytes] = []
    size = 0
    for piece in pieces:
        held.append(piece)
        size += len(piece)
        if size >= _BLOCK_BYTES:
            yield b"".join(held)
            held, size = [], 0
    yield b"".join(held)


def _json(hub: Services, order: Order, aggregated: Aggregated) -> Iterator[bytes]:
    yield encode(summary(hub, order, aggregated))[:-1] + b',"data":['
    comma = b""
    for line in lines(hub, order, aggregated):
        yield comma + encode(line)
        comma = b","
    yield b"]}"


def _ndjson(hub: Services, order: Order, aggregated: Aggregated) -> Iterator[bytes]:
    for line in lines(hub, order, aggregated):
        yield encode(line) + b"\n"


def _csv(hub: Services, order: Order, aggregated: Aggregated) -> Iterator[bytes]:
    row = io.StringIO()
    writer = csv.writer(row)
    writer.writerow(_COLUMNS)
    for line in lines(hub, order, aggregated):
        writer.writerow([_cell(name, line[name]) for name in _COLUMNS])
        yield row.getvalue().encode()
        row.seek(0)
        row.truncate()
    yield row.getvalue().encode()


def _cell(name: str, value: Any) -> Any:
    if name == "responses":
        return len(value)
    return value if value is None or isinstance(value, str | int | float) else encode(value).decode()


def _pages(
    hub: Services, order: Order, after: int, at_once: int
) -> Iterator[tuple[list[Task], dict[int, list[Answered]]]]:
    """The tasks, a page at a time, with their responses by seq."""
    while page := hub.store.tasks.after(order.id, after, at_once):
        yield page, responses_between(hub, order, page[0].seq, page[-1].seq)
        after = page[-1].seq


def _loads(text: str | None) -> Any:
    import json

    return None if text is None else json.loads(text)
