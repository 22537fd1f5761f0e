"""``client.datasets``: what is to be labelled, from local files, URLs, stored files and texts."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from typing import ClassVar, Final, Generic, TypeVar, Unpack

from amends.problems import not_found

from ._adding import Adding
from ._bodies import JsonBody
from ._bound import Bound, bound, bound_rows
from ._context import Context, ReadOptions, WriteOptions
from ._datapoints import Datapoint
from ._exceptions import error_from
from ._failed_uploads import FailedUpload, FailedUploadException
from ._flow import Flow
from ._models import Deleted, StoredDatapoint
from ._operations import Rows, fetch, fetch_once, fetch_rows, given, segment
from ._progress import progress
from ._together import together
from ._twins import AsyncResource, Awaited, Called, Methods, SyncResource, method, paged

_ROOT: Final = "/v1/datasets"
_ID: Final = re.compile(r"ds_[0-9a-hjkmnp-tv-z]{26}")

Given = Iterable[Datapoint | FailedUpload]
Outcome = tuple[list[Datapoint], list[FailedUpload]]


class DatasetBase(Bound):
    """What is known of a dataset. datapoint_count: how many it had when it was asked for."""

    name: str | None = None
    datapoint_count: int | None = None
    created_by: str | None = None
    created_at: datetime | None = None
    _again: ClassVar[str] = "call client.datasets.get({!r})"

    @paged
    def datapoints(
        self, *, limit: int | None = None, after: str | None = None, **options: Unpack[ReadOptions]
    ) -> Flow[Rows[StoredDatapoint]]:
        """Return a page of its datapoints, newest first, ``limit`` (1 to 100) at most; iterating it walks all pages."""
        return _datapoints(self._context, self.id, limit, after, options)

    @method
    def add_datapoints(
        self,
        datapoints: Given,
        *,
        failure_tolerance: float | None = None,
        quiet: bool = False,
        at_once: int = 4,
        **options: Unpack[ReadOptions],
    ) -> Flow[Outcome]:
        """Add datapoints; return those that stand then, and those that failed, each with its reason.

        datapoints: ``Datapoint``s, or ``FailedUpload``s of an earlier call. One that stands already is not added again, and no
        content is sent twice, whoever sent it first. at_once: requests under way. quiet: show no progress. URLs are fetched by
        the server, and waited for. ``timeout`` bounds each silence, ``deadline`` the whole.

        failure_tolerance: raises FailedUploadException where a larger fraction failed; None never does. What would fail all of
        them (no network, no permission) is raised once what is under way has ended; calling again then goes on.
        """
        return add(self._bound(), self, datapoints, failure_tolerance, quiet, at_once, options)


class Dataset(DatasetBase, Called):
    """A dataset, as the client that it came from knows it."""


class AsyncDataset(DatasetBase, Awaited):
    """A dataset, as the client that it came from knows it."""


ADataset = TypeVar("ADataset", bound=DatasetBase)


def is_tolerated(failed: int, total: int, tolerance: float | None) -> bool:
    """Whether so many failures are within the fraction that may fail; None lets all of them."""
    if tolerance is None or not failed:
        return True
    return failed <= tolerance * total


def check_tolerance(tolerance: float | None) -> None:
    """ValueError for what is no fraction."""
    if tolerance is not None and not 0.0 <= tolerance <= 1.0:
        raise ValueError(f"failure_tolerance is a fraction from 0 to 1, not {tolerance!r}")


def new_dataset(methods: Methods, model: type[ADataset], name: str, options: WriteOptions) -> Flow[ADataset]:
    body = JsonBody({"name": name})
    return bound(methods, fetch_once(methods._context, model, options, "POST", _ROOT, body=body))


def get_dataset(methods: Methods, model: type[ADataset], name_or_id: str, options: ReadOptions) -> Flow[ADataset]:
    if _ID.fullmatch(name_or_id):
        return (yield from bound(methods, fetch(methods._context, model, options, "GET", f"{_ROOT}/{name_or_id}")))
    found = fetch_rows(methods._context, model, options, _ROOT, {"name": name_or_id})
    rows, *_ = yield from bound_rows(methods, found)
    if not rows:
        raise error_from(not_found("dataset", name_or_id), 404)
    return rows[0]


def add(
    methods: Methods,
    dataset: DatasetBase,
    datapoints: Given,
    tolerance: float | None,
    quiet: bool,
    at_once: int,
    options: ReadOptions,
) -> Flow[Outcome]:
    """Add datapoints to a dataset; see ``Dataset.add_datapoints``."""
    check_tolerance(tolerance)
    adding = Adding(methods._context, dataset.id, datapoints, options, methods._loop.run)
    total = len(adding.datapoints)
    with progress("Adding datapoints", quiet=quiet) as show:
        adding.on_added = lambda done, failed: show(done, failed, total)
        for flows in adding.rounds():
            yield together(flows, at_once)

    def again() -> Flow[DatasetBase]:
        yield from add(methods, dataset, adding.failed, tolerance, quiet, at_once, options)
        return dataset

    if not is_tolerated(len(adding.failed), total, tolerance):
        retry = lambda: methods._loop.run(again())  # noqa: E731
        raise FailedUploadException(adding.failed, total, dataset=dataset, retry=retry)
    return adding.succeeded, adding.failed


def _datapoints(
    context: Context, id: str, limit: int | None, after: str | None, options: ReadOptions
) -> Flow[Rows[StoredDatapoint]]:
    query = given(limit=limit, after=after)
    return fetch_rows(context, StoredDatapoint, options, f"{_ROOT}/{segment(id)}/datapoints", query)


class _Datasets(Methods, Generic[ADataset]):
    _model: type[ADataset]

    @method
    def create(self, name: str, **options: Unpack[WriteOptions]) -> Flow[ADataset]:
        """Make a dataset. ConflictError where the workspace has one of that name."""
        return new_dataset(self, self._model, name, options)

    @method
    def get(self, name_or_id: str, **options: Unpack[ReadOptions]) -> Flow[ADataset]:
        """Return a dataset, by its id or its name."""
        return get_dataset(self, self._model, name_or_id, options)

    @paged
    def list(
        self, *, limit: int | None = None, after: str | None = None, **options: Unpack[ReadOptions]
    ) -> Flow[Rows[ADataset]]:
        """Return a page of datasets, newest first, ``limit`` (1 to 100) at most; iterating it walks all pages."""
        query = given(limit=limit, after=after)
        return bound_rows(self, fetch_rows(self._context, self._model, options, _ROOT, query))

    @method
    def delete(self, id: str, **options: Unpack[WriteOptions]) -> Flow[Deleted]:
        """Delete a dataset with its datapoints."""
        return fetch_once(self._context, Deleted, options, "DELETE", f"{_ROOT}/{segment(id)}")

    @paged
    def datapoints(
        self, id: str, *, limit: int | None = None, after: str | None = None, **options: Unpack[ReadOptions]
    ) -> Flow[Rows[StoredDatapoint]]:
        """Return a page of a dataset's datapoints; see ``Dataset.datapoints``."""
        return _datapoints(self._context, id, limit, after, options)

    @method
    def add(
        self,
        dataset: ADataset,
        datapoints: Given,
        failure_tolerance: float | None,
        quiet: bool,
        at_once: int,
        options: ReadOptions,
    ) -> Flow[Outcome]:
        """Add datapoints to a dataset; see ``Dataset.add_datapoints``."""
        return add(self, dataset, datapoints, failure_tolerance, quiet, at_once, options)


class Datasets(_Datasets[Dataset], SyncResource):
    """Datasets."""

    _model = Dataset


class AsyncDatasets(_Datasets[AsyncDataset], AsyncResource):
    """Datasets."""

    _model = AsyncDataset
