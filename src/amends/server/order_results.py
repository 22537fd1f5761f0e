"""What an order's answers say together, per datapoint, and what its annotators are worth.

The votes are read twice: once as numbers, of which the weights and the most probable answers follow, then task by task for the lines,
so that an order of a million tasks is streamed and not held. What nobody answered is read for the lines alone.
"""

from __future__ import annotations

import csv
import io
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import BaseModel, Field
from starlette.responses import Response, StreamingResponse

from amends.database import rfc3339
from amends.labelling import accuracy
from amends.problems import FieldError, ProblemError, problem, validation_failed
from amends.server.accept import preferred
from amends.server.answers import encode
from amends.server.services import Services
from amends.store import Annotator, DatapointRecord, JobKind, Order, OrderStatus, Skip, Task
from amends.store import Response as Answered

if TYPE_CHECKING:
    from amends.labelling import Votes

Method = Literal["majority", "weighted", "dawid_skene"]
ResultsFormat = Literal["json", "ndjson", "csv"]

MEDIA_TYPES: Final[Mapping[ResultsFormat, str]] = {
    "json": "application/json",
    "ndjson": "application/x-ndjson",
    "csv": "text/csv",
}
_PAGE: Final = 500
_BLOCK_BYTES: Final = 64 << 10
_MOST_LABELS: Final = 50
"""Beyond so many different answers a matrix of who confuses what with what means nothing."""
_MOST_CELLS: Final = 4_000_000
"""Of a matrix of tasks and answers, which is held a few times; each takes eight bytes."""
_CHOSEN: Final = ("classification", "compare")
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
    if method == "dawid_skene" and order.kind not in _CHOSEN:
        message = f"dawid_skene is for answers that are chosen, and the order is of kind {order.kind}"
        raise ProblemError(validation_failed([FieldError.at(("query", "method"), message)]))
    aggregated = Aggregated.of(hub, order, method)
    pieces = {"json": _json, "ndjson": _ndjson, "csv": _csv}[chosen](hub, order, aggregated)
    return StreamingResponse(_in_blocks(pieces), headers={"Vary": "Accept"}, media_type=MEDIA_TYPES[chosen])


@dataclass
class Aggregated:
    """What was found out about an order as a whole.

    weights: by annotator's id. labels: the answers that there are, in the order of the columns of ``posterior``, whose rows are those tasks
    that have votes or a known truth; ``row_of`` has the row of each gold one by its seq, ``seqs`` the others' behind them. posterior: None
    where an answer weighs what those do who gave it.
    """

    order: Order
    method: Method
    annotators: Sequence[Annotator]
    counts: Mapping[str, int]
    weights: dict[str, float]
    labels: list[Any] = field(default_factory=list)
    posterior: Any = None
    row_of: dict[int, int] = field(default_factory=dict)
    seqs: array[int] = field(default_factory=lambda: array("q"))
    confusion: dict[str, list[list[float]]] = field(default_factory=dict)
    agreement: tuple[float | None, float | None] = (None, None)

    @classmethod
    def of(cls, hub: Services, order: Order, method: Method | None) -> Aggregated:
        default: Method = "dawid_skene" if order.kind in _CHOSEN else "weighted"
        found = cls._unread(hub, order, method or default)
        if order.kind in _CHOSEN:
            found._choose(hub)
        elif found.method == "majority":
            found.weights = dict.fromkeys(found.weights, 1.0)
        return found

    @classmethod
    def roughly(cls, hub: Services, order: Order) -> Aggregated:
        """What is known without reading every vote: how annotators fared where the truth is known."""
        return cls._unread(hub, order, "weighted")

    @classmethod
    def _unread(cls, hub: Services, order: Order, method: Method) -> Aggregated:
        annotators = hub.store.annotators.of_order(order.id)
        weights = {one.id: accuracy(one.gold_right, one.gold_asked) for one in annotators}
        return cls(order, method, annotators, hub.store.annotators.counts(order.id), weights)

    def _choose(self, hub: Services) -> None:
        from amends.labelling import dawid_skene, krippendorff_alpha, percent_agreement

        votes, truth = self._votes(hub)
        self.agreement = percent_agreement(votes), krippendorff_alpha(votes)
        is_large = votes.labels > _MOST_LABELS or votes.labels * votes.tasks > _MOST_CELLS
        if self.method == "dawid_skene" and is_large:
            self.method = "weighted"
        if self.method == "majority":
            self.weights = dict.fromkeys(self.weights, 1.0)
        if self.method != "dawid_skene":
            return
        estimate = dawid_skene(votes, truth=truth)
        self.posterior = estimate.posterior
        for place, one in enumerate(self.annotators):
            if self.counts.get(one.id):
                self.weights[one.id] = round(float(estimate.skill[place]), 6)
                self.confusion[one.id] = estimate.confusion[place].round(4).tolist()

    def _votes(self, hub: Services) -> tuple[Votes, dict[int, int]]:
        """Every vote by numbers, and the gold tasks' truth."""
        import numpy as np

        from amends.labelling import Votes

        who = {one.id: place for place, one in enumerate(self.annotators)}
        number: dict[Any, int] = {}
        truth: dict[int, int] = {}
        for seq, right in hub.store.tasks.truths(self.order.id).items():
            self.row_of[seq] = len(truth)
            truth[len(truth)] = number.setdefault(right, len(number))
        table = array("q")
        for answered in _answered(hub, self.order):
            for seq, responses in answered.items():
                row = self.row_of.get(seq)
                if row is None:
                    row = len(truth) + len(self.seqs)
                    self.seqs.append(seq)
                for one in responses:
                    if one.annotator_id in who:  # not one that came since they were counted
                        table.extend((row, who[one.annotator_id], number.setdefault(one.answer, len(number))))
        self.labels = list(number)
        rows = np.frombuffer(table, dtype=np.int64).reshape(-1, 3) if table else np.zeros((0, 3), np.int64)
        size = {"tasks": len(truth) + len(self.seqs), "annotators": len(who), "labels": max(len(number), 1)}
        return Votes(rows[:, 0], rows[:, 1], rows[:, 2], **size), truth

    def shares(self, seq: int, responses: Sequence[Answered]) -> dict[Any, float]:
        """What speaks for each answer to a task that has responses; empty where that is not known yet."""
        if self.posterior is None:
            found: dict[Any, float] = {}
            for one in responses:
                found[one.answer] = found.get(one.answer, 0.0) + self.weights.get(one.annotator_id, 1.0)
            return found
        row = self.row_of.get(seq)
        if row is None:
            place = bisect_left(self.seqs, seq)
            if place == len(self.seqs) or self.seqs[place] != seq:
                return {}  # answered while the stream was under way
            row = len(self.row_of) + place
        said = {one.answer for one in responses}
        shares = zip(self.labels, self.posterior[row].tolist(), strict=False)
        return {label: share for label, share in shares if label in said or share > 0.0005}


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
                    **_verdict(aggregated, task.seq, responses),
                    "responses": [_response_body(one, aggregated.weights) for one in responses],
                    "skips": [_skip_body(one) for one in skipped.get(task.seq, ())],
                    **_datapoint_members(datapoints.get(task.seq)),
                    "gold": task.is_gold,
                    "truth": None if task.truth is None else _loads(task.truth),
                },
            )


def answers(hub: Services, order: Order, aggregated: Aggregated) -> Iterator[tuple[Any, list[Answered]]]:
    """What was said together of each datapoint that was answered, and the answers to it."""
    for answered in _answered(hub, order):
        for seq, responses in answered.items():
            yield _verdict(aggregated, seq, responses)["answer"], responses


def _verdict(aggregated: Aggregated, seq: int, responses: Sequence[Answered]) -> dict[str, Any]:
    """answer, confidence, agreement and distribution of one task."""
    if not responses:
        return {"answer": None, "confidence": None, "agreement": None, "distribution": []}
    match aggregated.order.kind:
        case "free_text":
            return _text_verdict(aggregated, responses)
        case "locate":
            return _point_verdict(aggregated, responses)
    votes: dict[Any, int] = {}
    for one in responses:
        votes[one.answer] = votes.get(one.answer, 0) + 1
    shares = aggregated.shares(seq, responses)
    whole = sum(shares.values())
    if not whole:
        shares, whole = {label: float(count) for label, count in votes.items()}, float(len(responses))
    ranked = sorted(shares.items(), key=lambda pair: -pair[1])
    return {
        "answer": ranked[0][0],
        "confidence": round(ranked[0][1] / whole, 6),
        "agreement": _pairs_alike(list(votes.values())),
        "distribution": [
            {"answer": label, "share": round(share / whole, 6), "votes": votes.get(label, 0)} for label, share in ranked
        ],
    }


def _text_verdict(aggregated: Aggregated, responses: Sequence[Answered]) -> dict[str, Any]:
    from amends.labelling import group_texts, medoid

    groups = group_texts(
        [one.answer for one in responses], [aggregated.weights.get(one.annotator_id, 1.0) for one in responses]
    )
    whole = sum(group.weight for group in groups) or 1.0
    chosen = medoid(groups)
    return {
        "answer": chosen.text,
        "confidence": round(chosen.weight / whole, 6),
        "agreement": _pairs_alike([len(group.members) for group in groups]),
        "distribution": [
            {"answer": group.text, "share": round(group.weight / whole, 6), "votes": len(group.members)}
            for group in groups
        ],
    }


def _point_verdict(aggregated: Aggregated, responses: Sequence[Answered]) -> dict[str, Any]:
    """The places that more than half of the weight points to, or else the one that most does."""
    from amends.labelling import cluster_points

    points = [(who, point["x"], point["y"]) for who, one in enumerate(responses) for point in one.answer]
    places = cluster_points(points, [aggregated.weights.get(one.annotator_id, 1.0) for one in responses])
    shown = [place for place in places if place.support > 0.5] or places[:1]
    return {
        "answer": [_rounded(place.centre) for place in shown],
        "confidence": round(min(place.support for place in shown), 6),
        "agreement": None,
        "distribution": [
            {"answer": _rounded(place.centre), "share": round(place.support, 6), "votes": place.points}
            for place in places
        ],
    }


def _rounded(point: tuple[float, float]) -> dict[str, float]:
    return {"x": round(point[0], 6), "y": round(point[1], 6)}


def _pairs_alike(counts: Sequence[int]) -> float | None:
    whole = sum(counts)
    return None if whole < 2 else round(sum(each * (each - 1) for each in counts) / (whole * (whole - 1)), 6)


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
        "assets": [_named(datapoint, place) for place in range(len(datapoint.assets))],
    }


def _named(datapoint: DatapointRecord, place: int) -> str:
    """What an asset is called: its text, URL or file name, else its content's hash."""
    asset = datapoint.assets[place]
    return asset.text or asset.url or asset.filename or str(asset.sha256)


def ranking(hub: Services, order: Order, aggregated: Aggregated) -> list[dict[str, Any]]:
    """The assets that were compared, the strongest first; each comparison weighs what its annotator does."""
    if order.kind != "compare":
        return []
    import numpy as np

    from amends.labelling import bradley_terry

    number: dict[str, int] = {}
    names: list[str] = []
    pairs, weights = array("q"), array("d")
    golden = hub.store.tasks.truths(order.id)
    for answered in _answered(hub, order):
        for datapoint in hub.store.datasets.datapoints_at(order.dataset_id, answered):
            if datapoint.seq in golden:
                continue
            places = []
            for place, asset in enumerate(datapoint.assets):
                if asset.identity not in number:
                    number[asset.identity] = len(names)
                    names.append(_named(datapoint, place))
                places.append(number[asset.identity])
            for one in answered[datapoint.seq]:
                chosen = places[one.answer]
                for other in places:
                    if other != chosen:
                        pairs.extend((chosen, other))
                        weights.append(aggregated.weights.get(one.annotator_id, 1.0))
    table = np.frombuffer(pairs, np.int64).reshape(-1, 2) if pairs else np.zeros((0, 2), np.int64)
    strength = bradley_terry(table[:, 0], table[:, 1], len(names), weights=np.array(weights))
    wins, losses = (np.bincount(table[:, side], minlength=len(names)) for side in (0, 1))
    return [
        {
            "asset": names[place],
            "strength": round(float(strength[place]), 6),
            "wins": int(wins[place]),
            "comparisons": int(wins[place] + losses[place]),
        }
        for place in np.argsort(-strength, kind="stable")
    ]


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
        yield page, _responses(hub, order, page[0].seq, page[-1].seq)
        after = page[-1].seq


def _answered(hub: Services, order: Order) -> Iterator[dict[int, list[Answered]]]:
    """The responses by seq, those of some tasks at a time."""
    after = -1
    while seqs := hub.store.tasks.answered(order.id, after, _PAGE):
        yield _responses(hub, order, seqs[0], seqs[-1])
        after = seqs[-1]


def _responses(hub: Services, order: Order, first: int, last: int) -> dict[int, list[Answered]]:
    found: dict[int, list[Answered]] = {}
    for one in hub.store.tasks.responses(order.id, first - 1, last):
        found.setdefault(one.seq, []).append(one)
    return found


def _loads(text: str | None) -> Any:
    import json

    return None if text is None else json.loads(text)
