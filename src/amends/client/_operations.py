"""What each method of a resource asks for, as flows: the part that ``Client`` and ``AsyncClient`` share."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypedDict, TypeVar
from urllib.parse import quote

from ._bodies import Body, NdjsonBody
from ._context import Context, ReadOptions, WriteOptions
from ._exchange import Call, exchange
from ._flow import Flow, Stream
from ._journaling import exchange_once, sent_ids
from ._models import Record, read
from ._pages import read_rows
from ._reconciling import Reconciliation, reconcile
from ._streams import ResultStream

M = TypeVar("M", bound=Record)

Rows = tuple[list[M], bool, str | None]
Items = Iterable[Mapping[str, Any]]


class Sample(TypedDict, total=False):
    """A part to try first: ``n`` items drawn with ``seed``."""

    n: int
    seed: int


class ResultLine(TypedDict, total=False):
    """One line of a result stream. output: None unless it succeeded; error: the item's problem, None if it did.

    evidence: JSON pointer into the output → where in the document the value stands. cursor: under order="completion".
    """

    object: str
    batch_id: str
    custom_id: str
    status: Literal["succeeded", "errored", "canceled", "expired"]
    output: dict[str, Any] | None
    error: dict[str, Any] | None
    evidence: dict[str, Any]
    usage: dict[str, Any] | None
    attempts: int
    elapsed_ms: int
    cursor: str


def segment(text: str) -> str:
    """Return text as one segment of a path. Dots alone would be taken for steps up."""
    if not text:
        raise ValueError("an id is not empty")
    try:
        escaped = quote(text, safe="")
    except UnicodeEncodeError as error:
        raise ValueError(f"an id is text that UTF-8 can hold, not {text!r}") from error
    return escaped.replace(".", "%2E") if not text.strip(".") else escaped


def given(**members: Any) -> dict[str, Any]:
    """Return the members that are not None."""
    return {name: value for name, value in members.items() if value is not None}


def fetch(
    context: Context,
    model: type[M],
    options: ReadOptions | WriteOptions,
    method: str,
    path: str,
    *,
    query: Mapping[str, Any] | None = None,
    body: Body | None = None,
    is_bulk: bool = False,
) -> Flow[M]:
    """One call whose answer is one ``model``."""
    call = Call(method, path, query or {}, body, is_bulk=is_bulk)
    return read(model, (yield from exchange(context, call, options)))


def fetch_once(
    context: Context,
    model: type[M],
    options: WriteOptions,
    method: str,
    path: str,
    *,
    body: Body | None = None,
    is_bulk: bool = False,
) -> Flow[M]:
    """``fetch`` for a call that changes something, which a journal keeps from being sent again by the program's next run."""
    call = Call(method, path, {}, body, is_bulk=is_bulk)
    return read(model, (yield from exchange_once(context, call, options)))


def fetch_rows(
    context: Context, model: type[M], options: ReadOptions, path: str, query: Mapping[str, Any]
) -> Flow[Rows[M]]:
    """One call whose answer is a page of a list."""
    return read_rows(model, (yield from exchange(context, Call("GET", path, query), options)))


class BatchParameters(TypedDict, total=False):
    """What a new batch may say besides its items, model, prompt and schema; what is not given is the server's default.

    completion_window: "15m" to "7d". metadata: at most 16 entries. validation: "strict" fails the whole batch for one bad
    item. failure_tolerance: the fraction of errored items beyond which it stops. limit_items, sample: run a part first,
    then hold until ``extend``. priority: -10 to 10. on_credit_exhausted: "pause" until there is credit again, or "fail".
    max_cost: credits it may cost; there it holds until ``extend``.
    """

    completion_window: str | None
    metadata: Mapping[str, str] | None
    validation: Literal["per_item", "strict"] | None
    failure_tolerance: float | None
    limit_items: int | None
    sample: Sample | None
    priority: int | None
    on_credit_exhausted: Literal["pause", "fail"] | None
    max_cost: float | None


class CreateOptions(BatchParameters, WriteOptions, total=False):
    """BatchParameters, and the options of a call."""


PARAMETERS = frozenset(BatchParameters.__annotations__)


def create(
    context: Context,
    model: type[M],
    items: Items | AsyncIterable[Mapping[str, Any]],
    parameters: Mapping[str, Any],
    options: CreateOptions,
) -> Flow[M]:
    """Stream a new batch. Its size decides how long that takes."""
    if isinstance(items, Mapping | str | bytes):
        raise TypeError("items is an iterable of mappings, each with a custom_id")
    chosen: dict[str, Any] = {name: value for name, value in options.items() if name in PARAMETERS}
    body = NdjsonBody(given(**parameters, **chosen), items, keep=context.policy.max_retries > 0)
    send = fetch if parameters.get("dry_run") else fetch_once
    return send(context, model, options, "POST", "/v1/batch-predictions", body=body, is_bulk=True)


@dataclass(frozen=True, slots=True)
class ResultQuery:
    """Which lines of a batch's results; see ``BatchPredictions.results``."""

    partial: bool = False
    order: Literal["submission", "completion"] = "submission"
    status: str | None = None
    lineage: bool = False

    def call(self, path: str, after: str | None = None) -> Call:
        query = given(
            partial=self.partial or None,
            order=self.order if self.order == "completion" else None,
            status=self.status,
            lineage=self.lineage or None,
            after=after,
        )
        headers = {"Accept": "application/x-ndjson", "Accept-Encoding": "identity"}
        return Call("GET", f"{path}/results", query, None, headers, is_bulk=True, is_streamed=True)


def results(
    context: Context, path: str, query: ResultQuery, after: str | None, options: ReadOptions
) -> Stream[dict[str, Any]]:
    """The lines of a result stream, going on where it breaks."""
    mark: Literal["cursor", "custom_id"] = "cursor" if query.order == "completion" else "custom_id"
    stream = ResultStream(context, lambda at: query.call(path, at), options, mark=mark, after=after)
    return stream.lines()


def reconciliation(
    context: Context, run_id: str, path: str, custom_ids: Iterable[str] | None, lineage: bool, options: ReadOptions
) -> Flow[Reconciliation]:
    """Compare results with what was to come: what is given, else what the journal knows to have been sent."""
    wanted = custom_ids if custom_ids is not None else (yield from sent_ids(context, run_id))
    return (yield from reconcile(context, path, ResultQuery(lineage=lineage).call(path), wanted, options))
