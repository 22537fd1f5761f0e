"""Making job definitions and orders, from what is to be labelled or from what stands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar, cast

from ._bodies import JsonBody
from ._bound import bound
from ._context import ReadOptions, WriteOptions
from ._datapoints import Datapoint
from ._datasets import DatasetBase, add, check_tolerance, get_dataset, is_tolerated, new_dataset
from ._exceptions import ConflictError
from ._failed_uploads import FailedUpload, FailedUploadException
from ._flow import Flow
from ._labelling import (
    JobDefinitionBase,
    JobKind,
    JobOptions,
    Made,
    OrderBase,
    Shown,
    call_options,
    datapoints_of,
    dataset_name,
    settings_of,
)
from ._operations import fetch_once, given
from ._twins import Methods

DEFINITIONS: Final = "/v1/job-definitions"
ORDERS: Final = "/v1/orders"
_AT_ONCE: Final = 4

ADefinition = TypeVar("ADefinition", bound=JobDefinitionBase)
AnOrder = TypeVar("AnOrder", bound=OrderBase)


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked about each datapoint."""

    kind: JobKind
    name: str
    instruction: str
    answer_options: Sequence[str] | None = None

    def about(self, dataset_id: str, settings: Mapping[str, Any]) -> dict[str, Any]:
        """A job definition, as it is sent."""
        return given(
            kind=self.kind,
            name=self.name,
            instruction=self.instruction,
            dataset_id=dataset_id,
            answer_options=None if self.answer_options is None else list(self.answer_options),
            settings=dict(settings),
        )


def new_definition(
    methods: Methods, model: type[ADefinition], body: Mapping[str, Any], options: ReadOptions
) -> Flow[ADefinition]:
    writing = cast("WriteOptions", options)
    return bound(methods, fetch_once(methods._context, model, writing, "POST", DEFINITIONS, body=JsonBody(body)))


def new_order(
    methods: Methods, model: type[AnOrder], definition_id: str, run: bool, options: WriteOptions
) -> Flow[AnOrder]:
    body = JsonBody({"job_definition_id": definition_id, "run": run})
    return bound(methods, fetch_once(methods._context, model, options, "POST", ORDERS, body=body))


class Making:
    """A call that uploads what is asked about, and makes a job definition of it; and an order, where that has a model here."""

    def __init__(
        self,
        methods: Methods,
        dataset: type[DatasetBase],
        definition: type[JobDefinitionBase],
        order: type[OrderBase] | None,
        asked: Asked,
        options: JobOptions,
    ) -> None:
        self._methods = methods
        self._models = dataset, definition, order
        self._asked = asked
        self._options = options
        self._tolerance = options.get("failure_tolerance", 0.0)
        self._definition: JobDefinitionBase | None = None
        self._order: OrderBase | None = None

    def run(self, shown: Shown) -> Flow[Made]:
        """Return what is made; raise FailedUploadException with what came of those that stand."""
        check_tolerance(self._tolerance)
        datapoints = datapoints_of(shown, self._options)
        self._dataset = yield from self._filled(dataset_name(self._asked.name, datapoints))
        self._settings = settings_of(self._options)
        return (yield from self._add(datapoints, False))

    def _filled(self, name: str) -> Flow[DatasetBase]:
        options = call_options(self._options)
        try:
            return (yield from new_dataset(self._methods, self._models[0], name, cast("WriteOptions", options)))
        except ConflictError as error:
            if error.error_code != "DUPLICATE_DATASET":
                raise
        return (yield from get_dataset(self._methods, self._models[0], name, options))

    def _add(self, some: Iterable[Datapoint | FailedUpload], others_stand: bool) -> Flow[Made]:
        quiet, at_once = self._options.get("quiet", False), self._options.get("at_once", _AT_ONCE)
        outcome = add(self._methods, self._dataset, some, None, quiet, at_once, call_options(self._options))
        succeeded, failed = yield from outcome
        stand = others_stand or bool(succeeded)
        if stand and self._definition is None:
            yield from self._define()
        made = self._definition if self._models[2] is None else self._order
        total = len(succeeded) + len(failed)
        if made is None or not is_tolerated(len(failed), total, self._tolerance):
            raise FailedUploadException(
                failed,
                total,
                dataset=self._dataset,
                job_definition=self._definition,
                order=self._order,
                retry=lambda: self._methods._loop.run(self._add(failed, stand)),
            )
        made._failures = failed
        return made

    def _define(self) -> Flow[None]:
        _, definition, order = self._models
        body = self._asked.about(self._dataset.id, self._settings)
        self._definition = yield from new_definition(self._methods, definition, body, call_options(self._options))
        if order is not None:
            self._order = yield from new_order(self._methods, order, self._definition.id, False, {})
