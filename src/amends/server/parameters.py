"""The parameters of a new run: checked beyond their form, and put as the ledger keeps them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import jsonschema_rs
import msgspec
from pydantic import ValidationError

from amends import models
from amends.database import new_id
from amends.ledger import NewRun, Sample
from amends.models.providers import find_provider
from amends.problems import FieldError
from amends.server.auth import Caller
from amends.server.prices import millionths, price_of
from amends.server.settings import Settings
from amends.server.wire import DEFAULT_WINDOW, KIND, Parameters, field_error, window_seconds

_ROOT_KEYWORDS: Final = frozenset({"properties", "$ref", "anyOf", "oneOf", "allOf", "$dynamicRef"})
_BODY: Final = ("body",)

encode = msgspec.json.Encoder().encode


def read_parameters(given: Mapping[str, Any], settings: Settings) -> tuple[Parameters | None, list[FieldError]]:
    """The parameters, None if their form is wrong, and everything that is wrong with them."""
    try:
        parameters = Parameters.model_validate(given)
    except ValidationError as error:
        return None, faults_of_body(error)
    schema = parameters.output_schema
    faults = check_model(parameters.model, settings, has_schema=schema is not None)
    return parameters, faults + ([] if schema is None else _check_schema(schema))


def check_model(name: str, settings: Settings, *, has_schema: bool) -> list[FieldError]:
    """What is wrong with a model's name, and with what the model needs."""
    resolved = resolved_model(name, settings)
    if find_provider(resolved, settings.server.providers):
        return []
    if not models.known(resolved):
        message = f"Model '{name}' is not known here; `amends models list` names those that are"
        return [FieldError.at(("body", "model"), message, code="unknown_model")]
    if models.describe(resolved).needs_schema and not has_schema:
        return [FieldError.at(("body", "output_schema"), f"output_schema is required for {name}", "missing")]
    return []


def resolved_model(name: str, settings: Settings) -> str:
    """The model behind a name, aliases followed once."""
    return settings.models.aliases.get(name, name)


def _check_schema(schema: Mapping[str, Any]) -> list[FieldError]:
    place = ("body", "output_schema")
    root_type = schema.get("type")
    if root_type != "object" and (root_type is not None or not _ROOT_KEYWORDS & schema.keys()):
        return [FieldError.at(place, "output_schema must describe an object at its root", code="invalid_schema")]
    try:
        # offline: a $ref to an address must never make this server fetch it.
        jsonschema_rs.Draft202012Validator(dict(schema), offline=True)
    except jsonschema_rs.ValidationError as error:
        where = (*place, *error.instance_path)
        return [FieldError.at(where, f"output_schema is no valid JSON Schema: {error.message}", code="invalid_schema")]
    except (jsonschema_rs.ReferencingError, ValueError, RecursionError) as error:
        return [FieldError.at(place, f"output_schema is no valid JSON Schema: {error}", code="invalid_schema")]
    return []


def new_run(
    parameters: Parameters, *, caller: Caller, request_id: str, public_url: str, settings: Settings, now: float
) -> NewRun:
    """The run that the parameters ask for. A window that is not given is the default one."""
    job = job_params(resolved_model(parameters.model, settings), parameters.prompt, parameters.output_schema)
    sample = parameters.sample
    return NewRun(
        id=new_id("bpred_", now=now),
        workspace_id=caller.workspace_id,
        kind=KIND,
        model=parameters.model,
        params=job,
        created_at=now,
        mode=caller.mode,
        metadata=parameters.metadata or {},
        request_id=request_id,
        public_url=public_url,
        validation=parameters.validation,
        failure_tolerance=parameters.failure_tolerance,
        priority=parameters.priority,
        completion_window=parameters.completion_window or DEFAULT_WINDOW,
        deadline=now + window_seconds(parameters.completion_window or DEFAULT_WINDOW),
        limit_items=parameters.limit_items,
        sample=None if sample is None else Sample(sample.n, sample.seed),
        created_by=caller.principal,
        price=price_of(settings, parameters.model),
        max_cost=None if parameters.max_cost is None else millionths(parameters.max_cost),
        on_credit_exhausted=parameters.on_credit_exhausted or "pause",
    )


def job_params(model: str, prompt: str | None, output_schema: Mapping[str, Any] | None) -> bytes:
    """What the processor is handed with every item."""
    return encode({"model": model, "prompt": prompt, "output_schema": output_schema})


def faults_of_body(error: ValidationError, place: Sequence[str | int] = _BODY) -> list[FieldError]:
    """Pydantic's verdict on a body, as ours."""
    return [field_error(fault, tuple(place)) for fault in error.errors(include_url=False, include_input=False)]
