"""``client.job``: job definitions, made of what is to be labelled and what is asked about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Unpack

from ._context import Context, ReadOptions, WriteOptions
from ._datasets import AsyncDataset, AsyncDatasets, Dataset, Datasets, check_tolerance, is_tolerated
from ._exceptions import ConflictError
from ._failed_uploads import FailedUpload, FailedUploadException
from ._labelling import (
    JobDefinitionBase,
    JobKind,
    JobOptions,
    JobSettings,
    Shown,
    call_options,
    datapoints_of,
    dataset_name,
    define,
    find_definitions,
    get_definition,
    settings_of,
)
from ._loops import AsyncLoop, SyncLoop
from ._operations import given
from ._pages import AsyncPage, Page

if TYPE_CHECKING:
    from ._orders import AsyncOrder, AsyncOrders, Order, Orders

_AT_ONCE: Final = 4


class FromDatasetOptions(JobSettings, ReadOptions, total=False):
    """JobSettings and the options of a call."""


class JobDefinition(JobDefinitionBase):
    """A job definition, as the client that it came from knows it."""

    def run(self, **options: Unpack[WriteOptions]) -> Order:
        """Make an order of it, and start that."""
        methods: Jobs = self._bound()
        return methods._orders().create_from_job_definition(self, run=True, **options)


class AsyncJobDefinition(JobDefinitionBase):
    """A job definition, as the client that it came from knows it."""

    async def run(self, **options: Unpack[WriteOptions]) -> AsyncOrder:
        """Make an order of it, and start that."""
        methods: AsyncJobs = self._bound()
        return await methods._orders().create_from_job_definition(self, run=True, **options)


class Jobs:
    """Job definitions. The ``create_…`` methods upload what is to be labelled into a dataset of their own, named after the job and
    what it shows: the same script run again goes on in the same one, and adds nothing twice."""

    def __init__(self, loop: SyncLoop, context: Context, datasets: Datasets) -> None:
        self._loop = loop
        self._context = context
        self._datasets = datasets

    def create_classification_job_definition(
        self,
        name: str,
        instruction: str,
        answer_options: Sequence[str] | None,
        datapoints: Shown,
        **options: Unpack[JobOptions],
    ) -> JobDefinition:
        """Ask which of ``answer_options`` fits; None where every Datapoint has its own.

        datapoints: local paths, URLs, file ids, texts (``data_type="text"``), lists of them that are shown together, or
        ``Datapoint``s. Raises FailedUploadException where more of them failed than ``failure_tolerance``; ``failed_uploads``
        of what is returned tells of those within it.
        """
        return self._define("classification", name, instruction, answer_options, datapoints, options)

    def create_compare_job_definition(
        self, name: str, instruction: str, datapoints: Shown, **options: Unpack[JobOptions]
    ) -> JobDefinition:
        """Ask which asset of each datapoint, a list of two or more, is the better one; see ``create_classification_job_definition``."""
        return self._define("compare", name, instruction, None, datapoints, options)

    def create_free_text_job_definition(
        self, name: str, instruction: str, datapoints: Shown, **options: Unpack[JobOptions]
    ) -> JobDefinition:
        """Ask for a text about each datapoint; see ``create_classification_job_definition``."""
        return self._define("free_text", name, instruction, None, datapoints, options)

    def create_locate_job_definition(
        self, name: str, instruction: str, datapoints: Shown, **options: Unpack[JobOptions]
    ) -> JobDefinition:
        """Ask for points in each datapoint; see ``create_classification_job_definition``."""
        return self._define("locate", name, instruction, None, datapoints, options)

    def create_from_dataset(
        self,
        kind: JobKind,
        name: str,
        instruction: str,
        dataset: Dataset | str,
        *,
        answer_options: Sequence[str] | None = None,
        gold: Mapping[str, Any] | None = None,
        **options: Unpack[FromDatasetOptions],
    ) -> JobDefinition:
        """Ask about a dataset that stands, or the one of that id. gold: datapoint's id → the answer that is known to be right."""
        dataset_id = dataset if isinstance(dataset, str) else dataset.id
        body = _body(kind, name, instruction, dataset_id, answer_options, settings_of(options, gold))
        flow = define(self._context, JobDefinition, body, call_options(options))
        return self._with_client(self._loop.run(flow))

    def get_job_definition_by_id(self, id: str, **options: Unpack[ReadOptions]) -> JobDefinition:
        """Return a job definition, whoever made it."""
        return self._with_client(self._loop.run(get_definition(self._context, JobDefinition, id, options)))

    def find_job_definitions(
        self,
        *,
        name: str | None = None,
        limit: int | None = None,
        after: str | None = None,
        **options: Unpack[ReadOptions],
    ) -> Page[JobDefinition]:
        """Return a page of job definitions, newest first; iterating it walks all pages. name: what their name holds, in any case."""
        query = given(name=name, limit=limit, after=after)
        page = Page(*self._loop.run(find_definitions(self._context, JobDefinition, query, options)))
        page._fetch = lambda cursor: self.find_job_definitions(name=name, limit=limit, after=cursor, **options)
        for definition in page.data:
            self._with_client(definition)
        return page

    def _define(
        self,
        kind: JobKind,
        name: str,
        instruction: str,
        answer_options: Sequence[str] | None,
        datapoints: Shown,
        options: JobOptions,
    ) -> JobDefinition:
        made = self._make(kind, name, instruction, answer_options, datapoints, options, None)
        assert isinstance(made, JobDefinition)
        return made

    def _make(
        self,
        kind: JobKind,
        name: str,
        instruction: str,
        answer_options: Sequence[str] | None,
        shown: Shown,
        options: JobOptions,
        orders: Orders | None,
    ) -> JobDefinition | Order:
        """Upload, define, and with ``orders`` make an order; raise FailedUploadException with what came of those that stand."""
        tolerance = options.get("failure_tolerance", 0.0)
        check_tolerance(tolerance)
        datapoints = datapoints_of(shown, options)
        dataset = self._dataset(dataset_name(name, datapoints), options)
        settings = settings_of(options)
        made: dict[str, Any] = {"job_definition": None, "order": None}

        def conclude(failed: list[FailedUpload], total: int, stand: bool) -> JobDefinition | Order:
            if stand and made["job_definition"] is None:
                body = _body(kind, name, instruction, dataset.id, answer_options, settings)
                flow = define(self._context, JobDefinition, body, call_options(options))
                definition: JobDefinition = self._with_client(self._loop.run(flow))
                made["job_definition"] = definition
                made["order"] = None if orders is None else orders.create_from_job_definition(definition)
            if not is_tolerated(len(failed), total, tolerance) or not stand:
                again = lambda: add(failed, stand)  # noqa: E731
                raise FailedUploadException(failed, total, dataset=dataset, retry=again, **made)
            finished: JobDefinition | Order = made["job_definition"] if orders is None else made["order"]
            finished._failures = failed
            return finished

        def add(some: Any, others_stand: bool) -> JobDefinition | Order:
            succeeded, failed = dataset.add_datapoints(
                some,
                quiet=options.get("quiet", False),
                at_once=options.get("at_once", _AT_ONCE),
                **call_options(options),
            )
            return conclude(failed, len(succeeded) + len(failed), others_stand or bool(succeeded))

        return add(datapoints, False)

    def _dataset(self, name: str, options: JobOptions) -> Dataset:
        try:
            return self._datasets.create(name, **call_options(options))
        except ConflictError as error:
            if error.error_code != "DUPLICATE_DATASET":
                raise
            return self._datasets.get(name, **call_options(options))

    def _orders(self) -> Orders:
        from ._orders import Orders

        return Orders(self._loop, self._context, self)

    def _with_client(self, definition: JobDefinition) -> JobDefinition:
        definition._methods = self
        return definition


class AsyncJobs:
    """Job definitions. The ``create_…`` methods upload what is to be labelled into a dataset of their own, named after the job and
    what it shows: the same script run again goes on in the same one, and adds nothing twice."""

    def __init__(self, loop: AsyncLoop, context: Context, datasets: AsyncDatasets) -> None:
        self._loop = loop
        self._context = context
        self._datasets = datasets

    async def create_classification_job_definition(
        self,
        name: str,
        instruction: str,
        answer_options: Sequence[str] | None,
        datapoints: Shown,
        **options: Unpack[JobOptions],
    ) -> AsyncJobDefinition:
        """Ask which of ``answer_options`` fits; None where every Datapoint has its own.

        datapoints: local paths, URLs, file ids, texts (``data_type="text"``), lists of them that are shown together, or
        ``Datapoint``s. Raises FailedUploadException where more of them failed than ``failure_tolerance``; ``failed_uploads``
        of what is returned tells of those within it.
        """
        return await self._define("classification", name, instruction, answer_options, datapoints, options)

    async def create_compare_job_definition(
        self, name: str, instruction: str, datapoints: Shown, **options: Unpack[JobOptions]
    ) -> AsyncJobDefinition:
        """Ask which asset of each datapoint, a list of two or more, is the better one; see ``create_classification_job_definition``."""
        return await self._define("compare", name, instruction, None, datapoints, options)

    async def create_free_text_job_definition(
        self, name: str, instruction: str, datapoints: Shown, **options: Unpack[JobOptions]
    ) -> AsyncJobDefinition:
        """Ask for a text about each datapoint; see ``create_classification_job_definition``."""
        return await self._define("free_text", name, instruction, None, datapoints, options)

    async def create_locate_job_definition(
        self, name: str, instruction: str, datapoints: Shown, **options: Unpack[JobOptions]
    ) -> AsyncJobDefinition:
        """Ask for points in each datapoint; see ``create_classification_job_definition``."""
        return await self._define("locate", name, instruction, None, datapoints, options)

    async def create_from_dataset(
        self,
        kind: JobKind,
        name: str,
        instruction: str,
        dataset: AsyncDataset | str,
        *,
        answer_options: Sequence[str] | None = None,
        gold: Mapping[str, Any] | None = None,
        **options: Unpack[FromDatasetOptions],
    ) -> AsyncJobDefinition:
        """Ask about a dataset that stands, or the one of that id. gold: datapoint's id → the answer that is known to be right."""
        dataset_id = dataset if isinstance(dataset, str) else dataset.id
        body = _body(kind, name, instruction, dataset_id, answer_options, settings_of(options, gold))
        flow = define(self._context, AsyncJobDefinition, body, call_options(options))
        return self._with_client(await self._loop.run(flow))

    async def get_job_definition_by_id(self, id: str, **options: Unpack[ReadOptions]) -> AsyncJobDefinition:
        """Return a job definition, whoever made it."""
        flow = get_definition(self._context, AsyncJobDefinition, id, options)
        return self._with_client(await self._loop.run(flow))

    async def find_job_definitions(
        self,
        *,
        name: str | None = None,
        limit: int | None = None,
        after: str | None = None,
        **options: Unpack[ReadOptions],
    ) -> AsyncPage[AsyncJobDefinition]:
        """Return a page of job definitions, newest first; iterating it walks all pages. name: what their name holds, in any case."""
        query = given(name=name, limit=limit, after=after)
        page = AsyncPage(*await self._loop.run(find_definitions(self._context, AsyncJobDefinition, query, options)))
        page._fetch = lambda cursor: self.find_job_definitions(name=name, limit=limit, after=cursor, **options)
        for definition in page.data:
            self._with_client(definition)
        return page

    async def _define(
        self,
        kind: JobKind,
        name: str,
        instruction: str,
        answer_options: Sequence[str] | None,
        datapoints: Shown,
        options: JobOptions,
    ) -> AsyncJobDefinition:
        made = await self._make(kind, name, instruction, answer_options, datapoints, options, None)
        assert isinstance(made, AsyncJobDefinition)
        return made

    async def _make(
        self,
        kind: JobKind,
        name: str,
        instruction: str,
        answer_options: Sequence[str] | None,
        shown: Shown,
        options: JobOptions,
        orders: AsyncOrders | None,
    ) -> AsyncJobDefinition | AsyncOrder:
        """Upload, define, and with ``orders`` make an order; raise FailedUploadException with what came of those that stand."""
        tolerance = options.get("failure_tolerance", 0.0)
        check_tolerance(tolerance)
        datapoints = datapoints_of(shown, options)
        dataset = await self._dataset(dataset_name(name, datapoints), options)
        settings = settings_of(options)
        made: dict[str, Any] = {"job_definition": None, "order": None}

        async def conclude(failed: list[FailedUpload], total: int, stand: bool) -> AsyncJobDefinition | AsyncOrder:
            if stand and made["job_definition"] is None:
                body = _body(kind, name, instruction, dataset.id, answer_options, settings)
                flow = define(self._context, AsyncJobDefinition, body, call_options(options))
                definition: AsyncJobDefinition = self._with_client(await self._loop.run(flow))
                made["job_definition"] = definition
                made["order"] = None if orders is None else await orders.create_from_job_definition(definition)
            if not is_tolerated(len(failed), total, tolerance) or not stand:
                again = lambda: add(failed, stand)  # noqa: E731
                raise FailedUploadException(failed, total, dataset=dataset, retry=again, **made)
            finished: AsyncJobDefinition | AsyncOrder = made["job_definition"] if orders is None else made["order"]
            finished._failures = failed
            return finished

        async def add(some: Any, others_stand: bool) -> AsyncJobDefinition | AsyncOrder:
            succeeded, failed = await dataset.add_datapoints(
                some,
                quiet=options.get("quiet", False),
                at_once=options.get("at_once", _AT_ONCE),
                **call_options(options),
            )
            return await conclude(failed, len(succeeded) + len(failed), others_stand or bool(succeeded))

        return await add(datapoints, False)

    async def _dataset(self, name: str, options: JobOptions) -> AsyncDataset:
        try:
            return await self._datasets.create(name, **call_options(options))
        except ConflictError as error:
            if error.error_code != "DUPLICATE_DATASET":
                raise
            return await self._datasets.get(name, **call_options(options))

    def _orders(self) -> AsyncOrders:
        from ._orders import AsyncOrders

        return AsyncOrders(self._loop, self._context, self)

    def _with_client(self, definition: AsyncJobDefinition) -> AsyncJobDefinition:
        definition._methods = self
        return definition


def _body(
    kind: JobKind,
    name: str,
    instruction: str,
    dataset_id: str,
    answer_options: Sequence[str] | None,
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    return {
        "kind": kind,
        "name": name,
        "instruction": instruction,
        "dataset_id": dataset_id,
        "answer_options": None if answer_options is None else list(answer_options),
        "settings": dict(settings),
    }
