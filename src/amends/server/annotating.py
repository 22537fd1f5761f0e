"""Models as annotators: which may answer what, and the items of the run that asks one."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from amends.ledger import NewItem, NewRun
from amends.problems import FieldError, ProblemError, validation_failed
from amends.processors.annotate import KIND, refusal
from amends.server.composition import processor_settings
from amends.server.labelling import options_of
from amends.server.parameters import check_model, resolved_model
from amends.server.prices import price_of
from amends.server.services import Services
from amends.store import Annotator, Asset, DatapointRecord, JobDefinition, Order

_PLACE: Final = ("body", "model")

_encode = msgspec.json.Encoder().encode


def check_annotator(
    hub: Services, order: Order, definition: JobDefinition, model: str, *, place: Sequence[str | int] = _PLACE
) -> None:
    """ProblemError validation_failed where there is no such model, or it cannot answer what the order asks."""
    faults = [
        FieldError.at(place, fault.message, code=fault.code)
        for fault in check_model(model, hub.settings, has_schema=True)
    ]
    if not faults:
        why = refusal(resolved_model(model, hub.settings), order.kind, processor_settings(hub.settings))
        if why is not None:
            faults.append(FieldError.at(place, why, code="unfit_model"))
    if faults:
        raise ProblemError(validation_failed(faults))


def new_run(hub: Services, order: Order, definition: JobDefinition, annotator: Annotator) -> NewRun:
    """The run that asks the annotator's model."""
    assert annotator.run_id is not None
    assert annotator.model is not None
    params = {
        "model": resolved_model(annotator.model, hub.settings),
        "prompt": annotator.prompt,
        "kind": order.kind,
        "instruction": definition.instruction,
        "order_id": order.id,
    }
    return NewRun(
        id=annotator.run_id,
        workspace_id=order.workspace_id,
        kind=KIND,
        model=annotator.model,
        params=_encode(params),
        created_at=hub.now(),
        mode=annotator.mode or "live",
        metadata={"order_id": order.id, "annotator_id": annotator.id},
        request_id=annotator.request_id or "",
        public_url=hub.public_url,
        created_by=annotator.created_by,
        price=price_of(hub.settings, annotator.model),
    )


def new_item(definition: JobDefinition, datapoint: DatapointRecord) -> NewItem:
    """A task as an item: all that a person would be shown."""
    whole: dict[str, Any] = {
        "assets": [_asset(asset) for asset in datapoint.assets],
        "media_context": [_asset(asset) for asset in datapoint.media_context],
        "context": datapoint.context,
        "sentence": datapoint.sentence,
        "options": list(options_of(definition, datapoint)),
    }
    payload = _encode(whole)
    return NewItem(datapoint.id, payload, hashlib.sha256(payload).digest())


def _asset(asset: Asset) -> dict[str, Any]:
    if asset.kind == "text":
        return {"text": asset.text}
    file = {
        "id": asset.filename or asset.url or str(asset.sha256),
        "sha256": asset.sha256,
        "media_type": asset.media_type,
    }
    return {"file": {**file, "bytes": asset.bytes}}
