"""What the server answers, as values.

Only ``id`` is required, so that an older or newer server never breaks a client: members that are missing are None,
unknown ones are kept and reachable as attributes. Times are aware datetimes in UTC.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ConfigDict, Field
from pydantic import ValidationError as _Invalid

from ._exchange import malformed
from ._flow import Answer
from ._json import decode

_ENDED: Final = frozenset({"completed", "failed", "cancelled", "expired"})


class Record(BaseModel):
    """Any answer. Unknown members are kept."""

    model_config = ConfigDict(extra="allow", protected_namespaces=(), hide_input_in_errors=True, defer_build=True)

    object: str | None = None


M = TypeVar("M", bound=Record)


class Resource(Record):
    """An answer with an id."""

    id: str


class RequestCounts(Record):
    """How many items stand where. total is the sum of the others."""

    total: int | None = None
    processing: int | None = None
    succeeded: int | None = None
    errored: int | None = None
    canceled: int | None = None
    expired: int | None = None


class Run(Resource):
    """A durable piece of bulk work, whatever its kind.

    error: the problem a failed run ended with. parent_id: the run this one retries; root_id: the first of that line.
    paused_reason: why it does not go on by itself, None where it does.
    """

    status: str | None = None
    kind: str | None = None
    model: str | None = None
    completion_window: str | None = None
    metadata: dict[str, Any] | None = None
    request_counts: RequestCounts | None = None
    created_at: datetime | None = None
    in_progress_at: datetime | None = None
    finalizing_at: datetime | None = None
    completed_at: datetime | None = None
    failed_at: datetime | None = None
    cancelling_at: datetime | None = None
    cancelled_at: datetime | None = None
    expires_at: datetime | None = None
    expired_at: datetime | None = None
    results_url: str | None = None
    error: dict[str, Any] | None = None
    parent_id: str | None = None
    root_id: str | None = None
    paused_reason: str | None = None

    @property
    def is_ended(self) -> bool:
        """Whether every item has its outcome and the run its end."""
        return self.status in _ENDED

    @property
    def is_complete(self) -> bool:
        """Whether it is completed and every item succeeded."""
        counts = self.request_counts
        return self.status == "completed" and counts is not None and counts.total == counts.succeeded


class BatchPrediction(Run):
    """A batch prediction: a run that asks a model about each item."""


class DryRun(Record):
    """What a batch would meet. errors: the first 1,000 problems of items; request_counts.errored counts them all."""

    request_counts: RequestCounts | None = None
    cost: float | None = None
    errors: list[dict[str, Any]] | None = None


class FailureExample(Record):
    """One item that did not succeed."""

    custom_id: str | None = None
    status: str | None = None
    detail: str | None = None
    error_code: str | None = None


class FailureGroup(Record):
    """The failures of one type. slug: what ``types`` of a retry takes. remedy: what to do about them."""

    type: str | None = None
    slug: str | None = None
    title: str | None = None
    count: int | None = None
    remedy: dict[str, Any] | None = None
    examples: list[FailureExample] = Field(default_factory=list)


class Failures(Record):
    """Items that did not succeed, by type, the largest group first."""

    total: int | None = None
    data: list[FailureGroup] = Field(default_factory=list)


class ItemAttempt(Record):
    """One failed try at an item; error: its problem."""

    number: int | None = None
    at: datetime | None = None
    error: dict[str, Any] | None = None


class ItemRecord(Record):
    """The whole record of one item. outcome: its result line, None before the end. index: its place in the batch."""

    custom_id: str | None = None
    batch_id: str | None = None
    index: int | None = None
    root_index: int | None = None
    status: str | None = None
    item: dict[str, Any] | None = None
    input_hash: str | None = None
    attempts: list[ItemAttempt] = Field(default_factory=list)
    deaths: int | None = None
    outcome: dict[str, Any] | None = None
    ended_at: datetime | None = None


class Manifest(Record):
    """The sum of a finished batch.

    sha256: over its result lines with their line breaks; sections: the same for each ``section_lines`` of them.
    """

    batch_id: str | None = None
    request_counts: RequestCounts | None = None
    lines: int | None = None
    sha256: str | None = None
    section_lines: int | None = None
    sections: list[str] | None = None


class Conservation(Record):
    """Where a run's items are: each without an outcome is in exactly one place."""

    run_id: str | None = None
    total: int | None = None
    outcomes: int | None = None
    deferred: int | None = None
    pending: int | None = None
    leased: int | None = None
    holds: bool | None = None


class Credits(Record):
    """What a workspace has. balance: free for new work; held: set aside for work under way; charged: by runs that have not
    ended. upgrade_url: where to top up, None where the operator names no place.
    """

    unit: str | None = None
    balance: float | None = None
    held: float | None = None
    charged: float | None = None
    upgrade_url: str | None = None


class CreditEntry(Resource):
    """A line of the history. kind: ``top_up``, or ``charge``, which is negative and names its run."""

    kind: str | None = None
    amount: float | None = None
    run_id: str | None = None
    note: str | None = None
    created_by: str | None = None
    created_at: datetime | None = None


class CreditEstimate(Record):
    """What items would cost at most. price: of one. suffices: whether the balance covers it now."""

    model: str | None = None
    items: int | None = None
    price: float | None = None
    cost: float | None = None
    unit: str | None = None
    balance: float | None = None
    suffices: bool | None = None


class CreditConservation(Record):
    """Where a workspace's credit is: balance, held and charged add up to what the history records."""

    balance: float | None = None
    held: float | None = None
    charged: float | None = None
    recorded: float | None = None
    holds: bool | None = None


class File(Resource):
    """A stored file. media_type is decided by content; pages: None where the kind has none."""

    filename: str | None = None
    media_type: str | None = None
    bytes: int | None = None
    sha256: str | None = None
    pages: int | None = None
    purpose: str | None = None
    status: str | None = None
    created_at: datetime | None = None
    expires_at: datetime | None = None


class DatapointAsset(Record):
    """One thing that a datapoint shows. kind: ``file``, ``url`` or ``text``. content: the path of its bytes, None of a text."""

    kind: str | None = None
    text: str | None = None
    url: str | None = None
    sha256: str | None = None
    media_type: str | None = None
    bytes: int | None = None
    filename: str | None = None
    width: int | None = None
    height: int | None = None
    content: str | None = None


class StoredDatapoint(Resource):
    """A datapoint as it stands in its dataset. seq: its place there, from 1."""

    dataset_id: str | None = None
    seq: int | None = None
    data_type: str | None = None
    assets: list[DatapointAsset] = Field(default_factory=list)
    context: str | None = None
    media_context: list[DatapointAsset] = Field(default_factory=list)
    sentence: str | None = None
    private_metadata: dict[str, Any] | None = None
    group: str | None = None
    answer_options: list[str] | None = None
    created_at: datetime | None = None


class DatapointOutcome(Record):
    """What became of one datapoint of a call."""

    index: int
    status: str
    datapoint_id: str | None = None
    problem: dict[str, Any] | None = None
    pointer: str | None = None


class DatapointOutcomes(Record):
    """What became of the datapoints of a call. run_id: what fetches for those that are pending."""

    dataset_id: str | None = None
    run_id: str | None = None
    data: list[DatapointOutcome]


class KnownAssets(Record):
    """Contents that need not be sent."""

    known: list[str]


class Deleted(Resource):
    """What is left of something deleted."""

    deleted: bool | None = None


class ApiKeyRecord(Resource):
    """An API key. prefix: the secret's first characters.

    key: the secret itself, in the answer that made it and never again; kept out of ``repr``.
    """

    name: str | None = None
    role: str | None = None
    mode: str | None = None
    prefix: str | None = None
    user_id: str | None = None
    workspace_id: str | None = None
    created_at: datetime | None = None
    revoked_at: datetime | None = None
    key: str | None = Field(default=None, repr=False)


class UserRecord(Resource):
    """A person of the workspace. email: None for one who comes by keys only."""

    name: str | None = None
    email: str | None = None
    role: str | None = None
    workspace_id: str | None = None
    created_at: datetime | None = None


class InvitationRecord(Resource):
    """An invitation. used_by: the user who came by it.

    token: what the invited register with, in the answer that made it and never again; kept out of ``repr``.
    """

    role: str | None = None
    email: str | None = None
    workspace_id: str | None = None
    created_by: str | None = None
    created_at: datetime | None = None
    expires_at: datetime | None = None
    used_at: datetime | None = None
    used_by: str | None = None
    token: str | None = Field(default=None, repr=False)


class WebhookRecord(Resource):
    """A webhook. disabled_reason: why it is told nothing any more, where nobody said so. failing_since: of a row of failures.

    secret: what signs its messages, in the answer that made or rotated it and never again; kept out of ``repr``.
    """

    url: str | None = None
    events: list[str] | None = None
    description: str | None = None
    enabled: bool | None = None
    disabled_reason: str | None = None
    failing_since: datetime | None = None
    created_by: str | None = None
    created_at: datetime | None = None
    secret: str | None = Field(default=None, repr=False)


class WebhookTry(Record):
    """One try at a delivery. status: what was answered, None where nothing was. answer: how that began."""

    number: int | None = None
    at: datetime | None = None
    elapsed_ms: int | None = None
    status: int | None = None
    error: str | None = None
    answer: str | None = None


class WebhookDelivery(Resource):
    """One message to one webhook. message_id: what the receiver sees as ``webhook-id``, the same at each try.

    status: pending, delivered, dead. body, tries: where one delivery is asked for.
    """

    webhook_id: str | None = None
    message_id: str | None = None
    type: str | None = None
    status: str | None = None
    attempts: int | None = None
    next_attempt_at: datetime | None = None
    created_at: datetime | None = None
    ended_at: datetime | None = None
    body: dict[str, Any] | None = None
    tries: list[WebhookTry] | None = None


class Me(Record):
    """Who the credential is."""

    user_id: str | None = None
    role: str | None = None
    workspace_id: str | None = None
    mode: str | None = None


def read(model: type[M], answer: Answer) -> M:
    """Return a good answer as ``model``; ApiError where its body is not one, whatever it is."""
    try:
        value = decode(answer.body)
    except ValueError as error:
        raise malformed(answer, f"not JSON: {error}") from error
    return read_value(model, value, answer)


def read_value(model: type[M], value: object, answer: Answer) -> M:
    """Return a value out of ``answer`` as ``model``; ApiError where it is none."""
    try:
        return model.model_validate(value)
    except _Invalid as error:
        fault = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = "/".join(str(part) for part in fault["loc"])
        raise malformed(answer, f"{place or 'the body'}: {fault['msg']}") from error
