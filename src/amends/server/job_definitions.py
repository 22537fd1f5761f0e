"""``/v1/job-definitions``: what annotators are asked about the datapoints of a dataset."""

from __future__ import annotations

import json
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from amends.database import Transaction, new_id, rfc3339
from amends.problems import FieldError, ProblemError, validation_failed
from amends.server.answers import json_response
from amends.server.auth import Caller
from amends.server.changes import Work, changed
from amends.server.finding import existing
from amends.server.labelling import MAX_TEXT, check_answer
from amends.server.pagination import After, Limit, Page, page
from amends.server.routing import Route
from amends.server.services import Services, hub, who
from amends.store import JobDefinition, JobKind, LabellingSettings

router = APIRouter(prefix="/v1/job-definitions", tags=["job definitions"], route_class=Route)

Hub = Annotated[Services, Depends(hub)]
Who = Annotated[Caller, Depends(who)]
DefinitionId = Annotated[str, Path(max_length=128, description="The job definition's id.")]
Named = Annotated[str | None, Query(max_length=256, description="Only those whose name holds this, in any case.")]
Line = Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f\x7f]*\S[^\x00-\x1f\x7f]*$")]

MAX_GOLD: Final = 1_000
MAX_GOLD_BYTES: Final = 256 << 10
"""Of all known answers together: they are read with the order at each answer."""
_PLACE: Final = ("body",)


class Gold(BaseModel):
    """A datapoint whose answer is known: those who get it wrong weigh less."""

    model_config = ConfigDict(extra="forbid", strict=True)

    datapoint_id: Annotated[str, Field(min_length=1, max_length=128)]
    answer: Annotated[Any, Field(description="As an annotator would answer.")]


class SettingsBody(BaseModel):
    """How orders of the definition are worked on."""

    model_config = ConfigDict(extra="forbid")

    responses_per_datapoint: Annotated[int, Field(ge=1, le=100, strict=True)] = 3
    confidence_threshold: Annotated[
        float | None,
        Field(
            gt=0,
            lt=1,
            description="A task is done earlier once its likeliest answer is so probable; with two answers at least.",
        ),
    ] = None
    shuffle_answers: Annotated[bool, Field(description="Show the answers in another order to each annotator.")] = False
    time_limit_seconds: Annotated[
        float | None, Field(ge=1, le=86_400, description="How long a task is an annotator's; 600 where null.")
    ] = None
    gold: Annotated[list[Gold], Field(max_length=MAX_GOLD)] = Field(default_factory=list)
    gold_every: Annotated[
        int, Field(ge=1, le=1_000, strict=True, description="Each of so many tasks is a gold one.")
    ] = 10


class NewJobDefinition(BaseModel):
    """A job definition to be made. answer_options: for a classification, unless each datapoint has its own."""

    model_config = ConfigDict(extra="forbid")

    kind: JobKind
    name: Line
    instruction: Annotated[str, Field(min_length=1, max_length=MAX_TEXT, pattern=r"^[^\x00]*$")]
    dataset_id: Annotated[str, Field(min_length=1, max_length=128)]
    answer_options: Annotated[list[Line], Field(min_length=2, max_length=100)] | None = None
    settings: SettingsBody = Field(default_factory=SettingsBody)


class SettingsObject(BaseModel):
    responses_per_datapoint: int
    confidence_threshold: float | None
    shuffle_answers: bool
    time_limit_seconds: float | None
    gold: Annotated[int, Field(description="How many datapoints have a known answer.")]
    gold_every: int


class JobDefinitionObject(BaseModel):
    """A job definition. It never changes; datapoints added to its dataset before an order runs belong to that order."""

    id: str
    object: Literal["job_definition"] = "job_definition"
    kind: JobKind
    name: str
    instruction: str
    dataset_id: str
    answer_options: list[str] | None
    settings: SettingsObject
    created_by: str | None
    created_at: str


@router.post("", summary="Make a job definition", response_model=JobDefinitionObject, status_code=201)
async def create_job_definition(request: Request, hub: Hub, who: Who, body: NewJobDefinition) -> Response:
    who.authorize("create", "job_definition")

    def plan() -> Work:
        definition = _checked(hub, who, body)

        def add(tx: Transaction) -> dict[str, Any]:
            hub.store.job_definitions.add(tx, definition)
            return definition_body(definition)

        return add

    return await changed(request, plan, status=201, names_resource=True)


@router.get("", summary="List the job definitions, newest first", response_model=Page[JobDefinitionObject])
def list_job_definitions(hub: Hub, who: Who, limit: Limit = 20, after: After = None, name: Named = None) -> Response:
    found = hub.store.job_definitions.find(who.workspace_id, limit=limit + 1, after=after, name=name)
    return json_response(page(found, limit, definition_body).model_dump())


@router.get("/{job_definition_id}", summary="Get a job definition", response_model=JobDefinitionObject)
def get_job_definition(hub: Hub, who: Who, job_definition_id: DefinitionId) -> Response:
    return json_response(definition_body(find_definition(hub, who, job_definition_id)))


def find_definition(hub: Services, who: Caller, definition_id: str) -> JobDefinition:
    """The definition, if it is of the caller's workspace."""
    return existing(hub.store.job_definitions.get(who.workspace_id, definition_id), "job_definition", definition_id)


def definition_body(definition: JobDefinition) -> dict[str, Any]:
    """The definition as it stands on the wire; the answers that are known are no part of it."""
    options = definition.answer_options
    return {
        "id": definition.id,
        "object": "job_definition",
        "kind": definition.kind,
        "name": definition.name,
        "instruction": definition.instruction,
        "dataset_id": definition.dataset_id,
        "answer_options": None if options is None else list(options),
        "settings": settings_body(definition.settings),
        "created_by": definition.created_by,
        "created_at": rfc3339(definition.created_at),
    }


def settings_body(settings: LabellingSettings) -> dict[str, Any]:
    return {**settings.to_dict(), "gold": len(settings.gold)}


def _checked(hub: Services, who: Caller, body: NewJobDefinition) -> JobDefinition:
    """The definition, if all of it fits together; ProblemError naming all that does not."""
    faults = list(_faults(body))
    if hub.store.datasets.get(who.workspace_id, body.dataset_id) is None:
        message = f"There is no dataset '{body.dataset_id}' in this workspace"
        faults.append(FieldError.at((*_PLACE, "dataset_id"), message, code="dataset_not_found"))
    if faults:
        raise ProblemError(validation_failed(faults))
    definition = _definition(hub, who, body)
    if faults := _gold_faults(hub, definition, body):
        raise ProblemError(validation_failed(faults))
    return definition


def _definition(hub: Services, who: Caller, body: NewJobDefinition) -> JobDefinition:
    now = hub.now()
    settings = body.settings.model_dump(exclude={"gold"})
    return JobDefinition(
        id=new_id("jobdef_", now=now),
        workspace_id=who.workspace_id,
        dataset_id=body.dataset_id,
        kind=body.kind,
        name=body.name,
        instruction=body.instruction,
        answer_options=None if body.answer_options is None else tuple(body.answer_options),
        settings=LabellingSettings(**settings, gold={gold.datapoint_id: gold.answer for gold in body.settings.gold}),
        created_by=who.principal,
        created_at=now,
    )


def _faults(body: NewJobDefinition) -> list[FieldError]:
    faults = []
    options = body.answer_options
    if options is not None and body.kind != "classification":
        faults.append(_fault("answer_options", "Only a classification has answer_options"))
    if options is not None and len(set(options)) < len(options):
        faults.append(_fault("answer_options", "Each of the answer_options stands once"))
    if body.settings.confidence_threshold is not None and body.kind not in ("classification", "compare"):
        message = "Only where there are answers to choose among, in classification and compare, is one sure"
        faults.append(_fault("settings", message, "confidence_threshold"))
    if body.settings.gold and body.kind == "locate":
        faults.append(_fault("settings", "Points are never quite the same, so locate has no gold", "gold"))
    if len(json.dumps([gold.answer for gold in body.settings.gold])) > MAX_GOLD_BYTES:
        faults.append(_fault("settings", f"The known answers have at most {MAX_GOLD_BYTES} bytes as JSON", "gold"))
    return faults


def _gold_faults(hub: Services, definition: JobDefinition, body: NewJobDefinition) -> list[FieldError]:
    faults = []
    for place, gold in enumerate(body.settings.gold):
        datapoint = hub.store.datasets.datapoint(definition.workspace_id, gold.datapoint_id)
        if datapoint is None or datapoint.dataset_id != definition.dataset_id:
            message = f"The dataset has no datapoint '{gold.datapoint_id}'"
            faults.append(_fault("settings", message, "gold", place, "datapoint_id"))
            continue
        try:
            check_answer(definition, datapoint, gold.answer)
        except ProblemError as error:
            faults.append(_fault("settings", error.problem.errors[0].message, "gold", place, "answer"))
    return faults


def _fault(member: str, message: str, *path: str | int) -> FieldError:
    return FieldError.at((*_PLACE, member, *path), message, code="unfit_definition")
