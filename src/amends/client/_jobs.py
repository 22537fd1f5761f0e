"""``client.job``: job definitions, made of what is to be labelled and what is asked about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, Unpack

from ._bound import bound, bound_rows
from ._context import ReadOptions, WriteOptions
from ._datasets import ADataset, AsyncDataset, Dataset
from ._flow import Flow
from ._labelling import JobDefinitionBase, JobKind, JobOptions, JobSettings, Shown, call_options, settings_of
from ._making import DEFINITIONS, ADefinition, Asked, Making, new_definition, new_order
from ._operations import Rows, fetch, fetch_rows, given, segment
from ._twins import AsyncResource, Awaited, Called, Methods, SyncResource, method, paged

if TYPE_CHECKING:
    from ._orders import AsyncOrder, Order


class FromDatasetOptions(JobSettings, ReadOptions, total=False):
    """JobSettings and the options of a call."""


class JobDefinition(JobDefinitionBase, Called):
    """A job definition, as the client that it came from knows it."""

    @method
    def run(self, **options: Unpack[WriteOptions]) -> Flow[Order]:
        """Make an order of it, and start that."""
        from ._orders import Order

        return new_order(self._bound(), Order, self.id, True, options)


class AsyncJobDefinition(JobDefinitionBase, Awaited):
    """A job definition, as the client that it came from knows it."""

    @method
    def run(self, **options: Unpack[WriteOptions]) -> Flow[AsyncOrder]:
        """Make an order of it, and start that."""
        from ._orders import AsyncOrder

        return new_order(self._bound(), AsyncOrder, self.id, True, options)


class _Jobs(Methods, Generic[ADefinition, ADataset]):
    _model: type[ADefinition]
    _dataset: type[ADataset]

    @method
    def create_classification_job_definition(
        self,
        name: str,
        instruction: str,
        answer_options: Sequence[str] | None,
        datapoints: Shown,
        **options: Unpack[JobOptions],
    ) -> Flow[ADefinition]:
        """Ask which of ``answer_options`` fits; None where every Datapoint has its own.

        datapoints: local paths, URLs, file ids, texts (``data_type="text"``), lists of them that are shown together, or
        ``Datapoint``s. Raises FailedUploadException where more of them failed than ``failure_tolerance``; ``failed_uploads``
        of what is returned tells of those within it.
        """
        return self._make(Asked("classification", name, instruction, answer_options), datapoints, options)

    @method
    def create_compare_job_definition(
        self, name: str, instruction: str, datapoints: Shown, **options: Unpack[JobOptions]
    ) -> Flow[ADefinition]:
        """Ask which asset of each datapoint, a list of two or more, is the better one; see ``create_classification_job_definition``."""
        return self._make(Asked("compare", name, instruction), datapoints, options)

    @method
    def create_free_text_job_definition(
        self, name: str, instruction: str, datapoints: Shown, **options: Unpack[JobOptions]
    ) -> Flow[ADefinition]:
        """Ask for a text about each datapoint; see ``create_classification_job_definition``."""
        return self._make(Asked("free_text", name, instruction), datapoints, options)

    @method
    def create_locate_job_definition(
        self, name: str, instruction: str, datapoints: Shown, **options: Unpack[JobOptions]
    ) -> Flow[ADefinition]:
        """Ask for points in each datapoint; see ``create_classification_job_definition``."""
        return self._make(Asked("locate", name, instruction), datapoints, options)

    @method
    def create_from_dataset(
        self,
        kind: JobKind,
        name: str,
        instruction: str,
        dataset: ADataset | str,
        *,
        answer_options: Sequence[str] | None = None,
        gold: Mapping[str, Any] | None = None,
        **options: Unpack[FromDatasetOptions],
    ) -> Flow[ADefinition]:
        """Ask about a dataset that stands, or the one of that id. gold: datapoint's id → the answer that is known to be right."""
        dataset_id = dataset if isinstance(dataset, str) else dataset.id
        body = Asked(kind, name, instruction, answer_options).about(dataset_id, settings_of(options, gold))
        return new_definition(self, self._model, body, call_options(options))

    @method
    def get_job_definition_by_id(self, id: str, **options: Unpack[ReadOptions]) -> Flow[ADefinition]:
        """Return a job definition, whoever made it."""
        return bound(self, fetch(self._context, self._model, options, "GET", f"{DEFINITIONS}/{segment(id)}"))

    @paged
    def find_job_definitions(
        self,
        *,
        name: str | None = None,
        limit: int | None = None,
        after: str | None = None,
        **options: Unpack[ReadOptions],
    ) -> Flow[Rows[ADefinition]]:
        """Return a page of job definitions, newest first; iterating it walks all pages. name: what their name holds, in any case."""
        query = given(name=name, limit=limit, after=after)
        return bound_rows(self, fetch_rows(self._context, self._model, options, DEFINITIONS, query))

    def _make(self, asked: Asked, shown: Shown, options: JobOptions) -> Flow[ADefinition]:
        made = yield from Making(self, self._dataset, self._model, None, asked, options).run(shown)
        assert isinstance(made, self._model)
        return made


class Jobs(_Jobs[JobDefinition, Dataset], SyncResource):
    """Job definitions. The ``create_…`` methods upload what is to be labelled into a dataset of their own, named after the job and
    what it shows: the same script run again goes on in the same one, and adds nothing twice."""

    _model = JobDefinition
    _dataset = Dataset


class AsyncJobs(_Jobs[AsyncJobDefinition, AsyncDataset], AsyncResource):
    """Job definitions. The ``create_…`` methods upload what is to be labelled into a dataset of their own, named after the job and
    what it shows: the same script run again goes on in the same one, and adds nothing twice."""

    _model = AsyncJobDefinition
    _dataset = AsyncDataset
