"""The batch surface as it stands on the wire: bodies taken, objects answered.

The models here say what is accepted and are what the OpenAPI document shows; ``ingest`` has a quicker path for good items, which
takes nothing that these models would refuse.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, field_validator, model_validator
from pydantic_core import PydanticCustomError

from amends.database import rfc3339
from amends.fetching import MAX_URL_CHARS, BadUrl, read_url
from amends.ledger import Counts, Run, RunState
from amends.problems import FieldError, Problem
from amends.server.prices import MOST_CREDITS

KIND: Final = "predict"
"""The kind of run that a batch prediction is."""

FETCH: Final = "fetch"
"""The kind of run that fetches the URLs of datapoints."""

DEFAULT_WINDOW: Final = "24h"
MAX_CUSTOM_ID: Final = 256
MAX_PAGE: Final = 2**53 - 1

_UNIT_SECONDS: Final = {"m": 60, "h": 3_600, "d": 86_400}
_SHORTEST_WINDOW_SECONDS: Final = 15 * 60
_LONGEST_WINDOW_SECONDS: Final = 7 * 86_400


def _fault(code: str, message: str) -> PydanticCustomError:
    """A fault with a code of ours, where Pydantic has no word for it."""
    return PydanticCustomError("value_error", message, {"code": code})


class _Strict(BaseModel):
    """Nothing unknown is taken, and nothing is turned into another type."""

    model_config = ConfigDict(extra="forbid", strict=True)


def _printable(text: str) -> str:
    if not text.isprintable():
        raise _fault("not_printable", "custom_id must consist of printable characters")
    return text


def _window(text: str) -> str:
    window_seconds(text)
    return text


def window_seconds(window: str) -> int:
    """The length of a completion window such as ``90m``, ``24h`` or ``7d``; PydanticCustomError if it is none."""
    match = re.fullmatch(r"([1-9][0-9]{0,5})([mhd])", window)
    seconds = int(match[1]) * _UNIT_SECONDS[match[2]] if match else 0
    if not _SHORTEST_WINDOW_SECONDS <= seconds <= _LONGEST_WINDOW_SECONDS:
        raise _fault("completion_window", "completion_window must lie between 15m and 7d")
    return seconds


CustomId = Annotated[str, Field(min_length=1, max_length=MAX_CUSTOM_ID), AfterValidator(_printable)]
FileId = Annotated[str, Field(min_length=1, max_length=4_096)]
Page = Annotated[int, Field(ge=1, le=MAX_PAGE, description="Counts from 1; null is the whole file.")]
ModelName = Annotated[str, Field(min_length=1, max_length=256)]
MetadataKey = Annotated[str, Field(min_length=1, max_length=64)]
MetadataValue = Annotated[str, Field(max_length=512)]


MaxCost = Annotated[float, Field(ge=0, le=MOST_CREDITS, allow_inf_nan=False)]


class _Source(_Strict):
    """What an item is made from."""

    file_id: FileId | None = None
    input: JsonValue = Field(default=None, description="Text or JSON, instead of a file. null counts as not given.")
    url: Annotated[str, Field(min_length=1, max_length=MAX_URL_CHARS)] | None = Field(
        default=None, description="Fetched by a worker, instead of a file."
    )
    page: Page | None = None
    prompt: str | None = Field(default=None, description="Takes the place of the batch's prompt.")

    @field_validator("url")
    @classmethod
    def _fetchable(cls, url: str | None) -> str | None:
        if url is not None:
            try:
                read_url(url)
            except BadUrl as error:
                raise PydanticCustomError("value_error", "{why}", {"code": "invalid_url", "why": str(error)}) from error
        return url

    @property
    def sources(self) -> int:
        """How many of ``file_id``, ``input`` and ``url`` are given."""
        return sum(given is not None for given in (self.file_id, self.input, self.url))


class ItemBody(_Source):
    """One item of a batch: exactly one of ``file_id``, ``input`` and ``url``."""

    custom_id: CustomId

    @model_validator(mode="after")
    def _one_source(self) -> ItemBody:
        if self.sources != 1:
            raise _fault("one_source", "An item must have exactly one of file_id, input and url")
        if self.page is not None and self.input is not None:
            raise _fault("page_without_file", "page belongs to a file_id or url")
        return self


class SampleBody(_Strict):
    """``n`` items drawn with ``seed``."""

    n: int = Field(ge=1, le=2**31)
    seed: int = Field(default=0, ge=-(2**63), le=2**63 - 1)


class Parameters(_Strict):
    """Everything of a new batch but its items; the first line of an NDJSON body."""

    model: ModelName
    prompt: str | None = None
    output_schema: dict[str, JsonValue] | None = Field(
        default=None, description="JSON Schema 2020-12 whose root describes an object."
    )
    completion_window: Annotated[str, AfterValidator(_window)] | None = Field(default=None, description="15m to 7d.")
    metadata: Annotated[dict[MetadataKey, MetadataValue], Field(max_length=16)] | None = None
    validation: Literal["per_item", "strict"] = "per_item"
    failure_tolerance: float = Field(default=1.0, ge=0.0, le=1.0, allow_inf_nan=False)
    limit_items: Annotated[int, Field(ge=1, le=2**53)] | None = None
    sample: SampleBody | None = None
    priority: int = Field(default=0, ge=-10, le=10, description="A run of priority p is served 2^p times as often.")
    dry_run: bool = False
    on_credit_exhausted: Literal["pause", "fail"] | None = Field(
        default=None,
        description="Without credit the batch pauses until there is some, by default, or fails; then it needs all it may cost to start.",
    )
    max_cost: MaxCost | None = Field(
        default=None, description="Credits that the batch may cost; there it pauses, and can be extended."
    )

    @model_validator(mode="after")
    def _one_part(self) -> Parameters:
        if self.limit_items is not None and self.sample is not None:
            raise _fault("limit_and_sample", "Either limit_items or sample may be given, not both")
        return self


class CreateBody(Parameters):
    """A new batch as one JSON object."""

    items: list[ItemBody] = Field(min_length=1)


class ReplacementBody(_Source):
    """What an item is retried with: what is not given stays as it was; ``page: null`` is the whole file."""

    custom_id: CustomId

    @model_validator(mode="after")
    def _something(self) -> ReplacementBody:
        if self.sources > 1:
            raise _fault("one_source", "A replacement has at most one of file_id, input and url")
        if self.page is not None and self.input is not None:
            raise _fault("page_without_file", "page belongs to a file_id or url")
        if not self.model_fields_set - {"custom_id"}:
            raise _fault("nothing_replaced", "A replacement must have file_id, input, url, page or prompt")
        return self


class RetryBody(_Strict):
    """Which failed items to retry, all by default, and with what."""

    types: list[str] | None = Field(default=None, description="Slugs of problem types, or their addresses.")
    custom_ids: list[str] | None = None
    replace: list[ReplacementBody] | None = None
    model: ModelName | None = None
    prompt: str | None = None


class ExtendBody(_Strict):
    """How far a batch goes on."""

    max_cost: MaxCost | None = Field(
        default=None,
        description="Credits that it may cost from now on; a batch that reached its bound loses it without.",
    )


class RequestCounts(BaseModel):
    """Always sums: total is the sum of the others."""

    model_config = ConfigDict(extra="forbid")

    total: int
    processing: int
    succeeded: int
    errored: int
    canceled: int
    expired: int


Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]


class _RunMembers(BaseModel):
    model_config = ConfigDict(extra="forbid")

    id: str
    status: Literal[
        "validating", "in_progress", "finalizing", "completed", "failed", "expired", "cancelling", "cancelled"
    ]
    model: str
    completion_window: str
    metadata: dict[str, str]
    request_counts: RequestCounts
    created_at: Time
    in_progress_at: Time | None
    finalizing_at: Time | None
    completed_at: Time | None
    failed_at: Time | None
    cancelling_at: Time | None
    cancelled_at: Time | None
    expires_at: Time | None
    expired_at: Time | None
    results_url: str | None
    error: dict[str, Any] | None
    parent_id: str | None
    root_id: str
    paused_reason: str | None


class BatchPrediction(_RunMembers):
    """A batch prediction."""

    object: Literal["batch_prediction"]


class RunObject(_RunMembers):
    """Any run, whatever its kind."""

    object: Literal["run"]
    kind: str


class _ListMembers(BaseModel):
    object: Literal["list"]
    has_more: bool
    next_cursor: str | None


class BatchPredictionList(_ListMembers):
    data: list[BatchPrediction]


class RunList(_ListMembers):
    data: list[RunObject]


class DryRun(BaseModel):
    """What a batch would meet. errors: the first 1,000; ``request_counts.errored`` counts them all.

    cost: credits at most, as what fails costs nothing.
    """

    object: Literal["batch_prediction.dry_run"]
    request_counts: RequestCounts
    cost: float
    errors: list[dict[str, Any]]


class ManifestObject(BaseModel):
    """The sum of a finished batch. sha256: over its lines with their newlines; sections: the same for each ``section_lines``."""

    object: Literal["batch_prediction.manifest"]
    batch_id: str
    request_counts: RequestCounts
    lines: int
    sha256: str
    section_lines: int
    sections: list[str]


class FailureExample(BaseModel):
    custom_id: str
    status: str
    detail: str
    error_code: str


class FailureGroupObject(BaseModel):
    """Failures of one type. slug: what ``types`` of a retry takes."""

    type: str
    slug: str
    title: str
    count: int
    remedy: dict[str, Any]
    examples: list[FailureExample]


class Failures(BaseModel):
    """Items that did not succeed, by type, the largest group first."""

    object: Literal["batch_prediction.failures"]
    batch_id: str
    total: int
    data: list[FailureGroupObject]


class AttemptObject(BaseModel):
    number: int
    at: Time
    error: dict[str, Any]


class ItemObject(BaseModel):
    """The whole record of one item. outcome: its result line, null while it has none and when it was deleted (``ended``)."""

    object: Literal["batch_prediction.item"]
    batch_id: str
    custom_id: str
    index: int
    root_index: int
    status: Literal["pending", "leased", "deferred", "ended", "succeeded", "errored", "canceled", "expired"]
    item: dict[str, Any]
    input_hash: str
    attempts: list[AttemptObject]
    deaths: int
    outcome: dict[str, Any] | None
    ended_at: Time | None


class ConservationObject(BaseModel):
    """Every item without an outcome is in exactly one place."""

    object: Literal["run.conservation"]
    run_id: str
    total: int
    outcomes: int
    deferred: int
    pending: int
    leased: int
    holds: bool


def counts_body(counts: Counts) -> dict[str, int]:
    """The ``request_counts`` member."""
    return {
        "total": counts.total,
        "processing": counts.processing,
        "succeeded": counts.succeeded,
        "errored": counts.errored,
        "canceled": counts.canceled,
        "expired": counts.expired,
    }


def batch_body(run: Run, public_url: str) -> dict[str, Any]:
    """The batch prediction object of a run."""
    return {"id": run.id, "object": "batch_prediction"} | _members(run, public_url)


def run_body(run: Run, public_url: str) -> dict[str, Any]:
    """The run object of a run."""
    return {"id": run.id, "object": "run", "kind": run.kind} | _members(run, public_url)


def _members(run: Run, public_url: str) -> dict[str, Any]:
    path = f"/v1/batch-predictions/{run.id}"
    ended = run.is_terminal
    error = _error(run, path) if ended else None
    return {
        "status": run.state,
        "model": run.model,
        "completion_window": run.completion_window or DEFAULT_WINDOW,
        "metadata": dict(run.metadata),
        "request_counts": counts_body(run.counts),
        "created_at": rfc3339(run.created_at),
        "in_progress_at": _time(run.in_progress_at),
        "finalizing_at": _time(run.finalizing_at),
        "completed_at": _time(run.completed_at),
        "failed_at": _time(run.failed_at),
        "cancelling_at": _time(run.cancelling_at),
        "cancelled_at": _time(run.cancelled_at),
        "expires_at": _time(run.deadline),
        "expired_at": _time(run.expired_at),
        "results_url": f"{public_url}{path}/results" if ended else None,
        "error": error.to_body(public_url) if error else None,
        "parent_id": run.parent_id,
        "root_id": run.root_id,
        "paused_reason": run.paused_reason,
    }


def _error(run: Run, path: str) -> Problem | None:
    """What a run ended with. Whether it was billed shows only at its end: what still ran may have succeeded."""
    if run.error is None:
        return None
    billed = run.price > 0 and run.counts.succeeded > 0
    remedy = replace(run.error.remedy, billed=billed)
    return run.error.replace(instance=path, request_id=run.request_id, remedy=remedy)


def _time(at: float | None) -> str | None:
    return None if at is None else rfc3339(at)


STATES: Final[Mapping[str, RunState]] = {
    "validating": "validating",
    "in_progress": "in_progress",
    "finalizing": "finalizing",
    "completed": "completed",
    "failed": "failed",
    "expired": "expired",
    "cancelling": "cancelling",
    "cancelled": "cancelled",
}
"""What ``?status=`` takes."""


def field_error(error: Mapping[str, Any], place: tuple[str | int, ...], custom_id: str | None = None) -> FieldError:
    """One of Pydantic's errors as ours. place: where the validated value stands, "body" first."""
    path = (
        step for step in error["loc"] if step != "[key]"
    )  # Pydantic's mark of a fault in a key, which is named before
    code = (error.get("ctx") or {}).get("code")
    # Pydantic's own sentence for this one names a class of ours.
    message = "Input should be an object" if error["type"] == "model_type" else str(error["msg"])
    return FieldError.at((*place, *path), message, str(error["type"]), code=code, custom_id=custom_id)
