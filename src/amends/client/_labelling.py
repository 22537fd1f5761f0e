"""Job definitions and orders: what is known of them, and what is said of those that are to be made."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal, TypedDict

from pydantic import Field, PrivateAttr

from ._bound import Bound
from ._context import ReadOptions
from ._datapoints import Datapoint, paths_of
from ._failed_uploads import FailedUpload
from ._models import Record, Resource
from ._operations import given

JobKind = Literal["classification", "compare", "free_text", "locate"]
OrderStatus = Literal["created", "running", "paused", "completed", "failed", "cancelled"]
Method = Literal["majority", "weighted", "dawid_skene"]
Shown = Iterable[str | list[str] | Datapoint]
"""What is to be labelled: paths, URLs, file ids or texts (see ``data_type``), lists of them that are shown together, or Datapoints."""

_ENDED: Final = frozenset({"completed", "failed", "cancelled"})
_SETTINGS: Final = (
    "responses_per_datapoint", "confidence_threshold", "shuffle_answers", "time_limit_seconds", "gold_every",
)  # fmt: skip


class JobSettings(TypedDict, total=False):
    """How orders are worked on; what is not given is the server's default.

    responses_per_datapoint: answers that each needs. confidence_threshold: fewer are enough once the likeliest answer is so
    probable (classification, compare). shuffle_answers: in another order for each annotator. time_limit_seconds: how long a task
    is an annotator's. gold_every: each of so many tasks is one whose answer is known, where there are such.
    """

    responses_per_datapoint: int | None
    confidence_threshold: float | None
    shuffle_answers: bool | None
    time_limit_seconds: float | None
    gold_every: int | None


class JobOptions(JobSettings, ReadOptions, total=False):
    """JobSettings, what is said of the datapoints, and the options of a call.

    contexts, media_contexts, private_metadata: one for each datapoint, in their order; None where there is none. data_type: "text"
    where datapoints are texts. failure_tolerance: the fraction of datapoints that may fail; beyond it FailedUploadException is
    raised, with what was made of the others. quiet: show no progress. at_once: requests under way.
    """

    contexts: Sequence[str | None] | None
    media_contexts: Sequence[str | list[str] | None] | None
    private_metadata: Sequence[Mapping[str, Any] | None] | None
    data_type: Literal["media", "text"]
    failure_tolerance: float
    quiet: bool
    at_once: int


class OrderCounts(Record):
    """How much of an order is done, gold tasks left out. responses_needed: at most."""

    tasks: int | None = None
    tasks_done: int | None = None
    gold_tasks: int | None = None
    responses: int | None = None
    responses_needed: int | None = None


class Made(Bound):
    """What was made of datapoints."""

    _failures: list[FailedUpload] = PrivateAttr(default_factory=list)

    @property
    def detailed_failures(self) -> list[FailedUpload]:
        """Those of the datapoints that failed when it was made, each with its reason; no more than ``failure_tolerance`` let."""
        return self._failures

    @property
    def failed_uploads(self) -> list[Datapoint]:
        """The same, as they were given."""
        return [failure.item for failure in self._failures]


class JobDefinitionBase(Made):
    """What is known of a job definition, which never changes."""

    name: str | None = None
    kind: str | None = None
    instruction: str | None = None
    dataset_id: str | None = None
    answer_options: list[str] | None = None
    settings: dict[str, Any] | None = None
    created_by: str | None = None
    created_at: datetime | None = None


class OrderBase(Made):
    """What is known of an order, as it stood when it was asked for. is_filled: whether all its tasks are made."""

    name: str | None = None
    kind: str | None = None
    status: str | None = None
    job_definition_id: str | None = None
    dataset_id: str | None = None
    settings: dict[str, Any] | None = None
    counts: OrderCounts | None = None
    is_filled: bool | None = None
    error: str | None = None
    created_by: str | None = None
    created_at: datetime | None = None
    running_at: datetime | None = None
    paused_at: datetime | None = None
    completed_at: datetime | None = None
    failed_at: datetime | None = None
    cancelled_at: datetime | None = None

    @property
    def is_ended(self) -> bool:
        """Whether nothing will change about it any more."""
        return self.status in _ENDED

    def _take(self, other: OrderBase) -> None:
        """Become what it is now."""
        for name in type(self).model_fields:
            setattr(self, name, getattr(other, name))


class Annotator(Resource):
    """Who answers: a person, or a model with the run that asks it. run_state: ``taken`` once all it said are responses."""

    order_id: str | None = None
    name: str | None = None
    kind: str | None = None
    responses: int | None = None
    gold_asked: int | None = None
    gold_right: int | None = None
    model: str | None = None
    run_id: str | None = None
    run_state: str | None = None
    created_at: datetime | None = None


class Annotators(Record):
    """All annotators of an order."""

    data: list[Annotator] = Field(default_factory=list)


class Invitation(Record):
    """A link to the page of an order; the one before leads nowhere any more."""

    order_id: str | None = None
    token: str | None = Field(default=None, repr=False)
    url: str | None = Field(default=None, repr=False)


def datapoints_of(shown: Shown, options: JobOptions) -> list[Datapoint]:
    """The datapoints with what is said of each. ValueError for none, or what is of another number; TypeError for a single string."""
    if isinstance(shown, str):
        raise TypeError("datapoints is an iterable of strings, lists of strings or Datapoints, not one string")
    listed = list(shown)
    if not listed:
        raise ValueError("datapoints is empty: there is nothing to ask about")
    beside: dict[str, Sequence[Any]] = {}
    for name, member in (("contexts", "context"), ("media_contexts", "media_context"), ("private_metadata",) * 2):
        values: Any = options.get(name)
        if values is None:
            continue
        if len(values) != len(listed):
            raise ValueError(f"{name} has {len(values)} entries for {len(listed)} datapoints")
        beside[member] = values
    return [
        _datapoint(one, {name: values[place] for name, values in beside.items()}, options)
        for place, one in enumerate(listed)
    ]


def _datapoint(one: str | list[str] | Datapoint, beside: Mapping[str, Any], options: JobOptions) -> Datapoint:
    said = {name: value for name, value in beside.items() if value is not None}
    if not isinstance(one, Datapoint):
        return Datapoint(one, data_type=options.get("data_type", "media"), **said)
    for name, value in said.items():
        if getattr(one, name) is not None:
            raise ValueError(f"a Datapoint has its own {name}, and one is given beside it")
        setattr(one, name, value)
    return one


def dataset_name(name: str, datapoints: Sequence[Datapoint]) -> str:
    """The name of the dataset of a job: the same when the same script is run again, and of nothing else.

    A script that was killed thus goes on in the dataset that it had begun, and a file that has changed begins another.
    """
    digest = hashlib.sha256()
    for datapoint in datapoints:
        shown = {field: getattr(datapoint, field) for field in Datapoint.__slots__}
        digest.update(json.dumps(shown, sort_keys=True, default=str).encode())
        for path in paths_of(datapoint):
            digest.update(_state(path).encode())
    return f"{name[:200]} {digest.hexdigest()[:16]}"


def _state(path: str) -> str:
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return "none"
    return f"{found.st_size} {found.st_mtime_ns}"


def settings_of(options: Mapping[str, Any], gold: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The settings as the server takes them."""
    known = [{"datapoint_id": key, "answer": answer} for key, answer in (gold or {}).items()]
    return given(**{name: options.get(name) for name in _SETTINGS}, gold=known or None)


def call_options(options: Mapping[str, Any]) -> ReadOptions:
    """Of all that was given, the options of a call."""
    found: ReadOptions = {}
    if "timeout" in options:
        found["timeout"] = options["timeout"]
    if "deadline" in options:
        found["deadline"] = options["deadline"]
    return found
