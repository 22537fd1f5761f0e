"""``client.datasets``: what is to be labelled, from local files, URLs, stored files and texts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final, Unpack

from pydantic import PrivateAttr

from amends.problems import not_found

from ._adding import Adding
from ._bodies import JsonBody
from ._context import Context, ReadOptions, WriteOptions
from ._datapoints import Datapoint
from ._exceptions import ConfigurationError, Resume, error_from
from ._failed_uploads import FailedUpload, FailedUploadException
from ._flow import Flow
from ._loops import AsyncLoop, SyncLoop
from ._models import Deleted, Resource, StoredDatapoint
from ._operations import Rows, fetch, fetch_once, fetch_rows, given, segment
from ._pages import AsyncPage, Page
from ._progress import progress
from ._runs import AsyncRuns, Runs
from ._together import arun_together, run_together

_ROOT: Final = "/v1/datasets"
_ID: Final = re.compile(r"ds_[0-9a-hjkmnp-tv-z]{26}")

Given = Iterable[Datapoint | FailedUpload]
Outcome = tuple[list[Datapoint], list[FailedUpload]]


class _DatasetBase(Resource):
    """What is known of a dataset. datapoint_count: how many it had when it was asked for."""

    name: str | None = None
    datapoint_count: int | None = None
    created_by: str | None = None
    created_at: datetime | None = None
    _methods: Any = PrivateAttr(default=None)

    def _bound(self) -> Any:
        if self._methods is None:
            raise ConfigurationError(f"This dataset holds no client: call client.datasets.get({self.id!r})")
        return self._methods

    def __getstate__(self) -> dict[Any, Any]:
        # A client, with its open connections, stays in the process it belongs to.
        return {**super().__getstate__(), "__pydantic_private__": {"_methods": None}}


class Dataset(_DatasetBase):
    """A dataset, as the client that it came from knows it."""

    def datapoints(
        self, *, limit: int | None = None, after: str | None = None, **options: Unpack[ReadOptions]
    ) -> Page[StoredDatapoint]:
        """Return a page of its datapoints, newest first, ``limit`` (1 to 100) at most; iterating it walks all pages."""
        methods: Datasets = self._bound()
        return methods.datapoints(self.id, limit=limit, after=after, **options)

    def add_datapoints(
        self,
        datapoints: Given,
        *,
        failure_tolerance: float | None = None,
        quiet: bool = False,
        at_once: int = 4,
        **options: Unpack[ReadOptions],
    ) -> Outcome:
        """Add datapoints; return those that stand then, and those that failed, each with its reason.

        datapoints: ``Datapoint``s, or ``FailedUpload``s of an earlier call. One that stands already is not added again, and no
        content is sent twice, whoever sent it first. at_once: requests under way. quiet: show no progress. URLs are fetched by
        the server, and waited for. ``timeout`` bounds each silence, ``deadline`` the whole.

        failure_tolerance: raises FailedUploadException where a larger fraction failed; None never does. What would fail all of
        them (no network, no permission) is raised once what is under way has ended; calling again then goes on.
        """
        methods: Datasets = self._bound()
        return methods.add(self, datapoints, failure_tolerance, quiet, at_once, options)


class AsyncDataset(_DatasetBase):
    """A dataset, as the client that it came from knows it."""

    async def datapoints(
        self, *, limit: int | None = None, after: str | None = None, **options: Unpack[ReadOptions]
    ) -> AsyncPage[StoredDatapoint]:
        """Return a page of its datapoints, newest first, ``limit`` (1 to 100) at most; iterating it walks all pages."""
        methods: AsyncDatasets = self._bound()
        return await methods.datapoints(self.id, limit=limit, after=after, **options)

    async def add_datapoints(
        self,
        datapoints: Given,
        *,
        failure_tolerance: float | None = None,
        quiet: bool = False,
        at_once: int = 4,
        **options: Unpack[ReadOptions],
    ) -> Outcome:
        """Add datapoints; return those that stand then, and those that failed, each with its reason.

        datapoints: ``Datapoint``s, or ``FailedUpload``s of an earlier call. One that stands already is not added again, and no
        content is sent twice, whoever sent it first. at_once: requests under way. quiet: show no progress. URLs are fetched by
        the server, and waited for. ``timeout`` bounds each silence, ``deadline`` the whole.

        failure_tolerance: raises FailedUploadException where a larger fraction failed; None never does. What would fail all of
        them (no network, no permission) is raised once what is under way has ended; calling again then goes on.
        """
        methods: AsyncDatasets = self._bound()
        return await methods.add(self, datapoints, failure_tolerance, quiet, at_once, options)


def is_tolerated(failed: int, total: int, tolerance: float | None) -> bool:
    """Whether so many failures are within the fraction that may fail; None lets all of them."""
    if tolerance is None or not failed:
        return True
    return failed <= tolerance * total


def check_tolerance(tolerance: float | None) -> None:
    """ValueError for what is no fraction."""
    if tolerance is not None and not 0.0 <= tolerance <= 1.0:
        raise ValueError(f"failure_tolerance is a fraction from 0 to 1, not {tolerance!r}")


def _get(context: Context, model: type[Any], name_or_id: str, options: ReadOptions) -> Flow[Any]:
    if _ID.fullmatch(name_or_id):
        return (yield from fetch(context, model, options, "GET", f"{_ROOT}/{name_or_id}"))
    rows: Rows[Any] = yield from fetch_rows(context, model, options, _ROOT, {"name": name_or_id})
    if not rows[0]:
        raise error_from(not_found("dataset", name_or_id), 404)
    return rows[0][0]


def _create(context: Context, model: type[Any], name: str, options: WriteOptions) -> Flow[Any]:
    return fetch_once(context, model, options, "POST", _ROOT, body=JsonBody({"name": name}))


def _delete(context: Context, id: str, options: WriteOptions) -> Flow[Deleted]:
    return fetch_once(context, Deleted, options, "DELETE", f"{_ROOT}/{segment(id)}")


def _datapoints(
    context: Context, id: str, limit: int | None, after: str | None, options: ReadOptions
) -> Flow[Rows[StoredDatapoint]]:
    query = given(limit=limit, after=after)
    return fetch_rows(context, StoredDatapoint, options, f"{_ROOT}/{segment(id)}/datapoints", query)


@contextmanager
def _adding(
    context: Context, id: str, datapoints: Given, quiet: bool, options: ReadOptions, resume: Callable[[str], Resume]
) -> Iterator[Adding]:
    adding = Adding(context, id, datapoints, options, resume)
    total = len(adding.datapoints)
    with progress("Adding datapoints", quiet=quiet) as show:
        adding.on_added = lambda done, failed: show(done, failed, total)
        yield adding


def _concluded(dataset: Any, adding: Adding, tolerance: float | None, again: Callable[[], Any]) -> Outcome:
    failed, total = adding.failed, len(adding.datapoints)
    if not is_tolerated(len(failed), total, tolerance):
        raise FailedUploadException(failed, total, dataset=dataset, retry=again)
    return adding.succeeded, failed


class Datasets:
    """Datasets."""

    def __init__(self, loop: SyncLoop, context: Context) -> None:
        self._loop = loop
        self._context = context

    def create(self, name: str, **options: Unpack[WriteOptions]) -> Dataset:
        """Make a dataset. ConflictError where the workspace has one of that name."""
        return self._with_client(self._loop.run(_create(self._context, Dataset, name, options)))

    def get(self, name_or_id: str, **options: Unpack[ReadOptions]) -> Dataset:
        """Return a dataset, by its id or its name."""
        return self._with_client(self._loop.run(_get(self._context, Dataset, name_or_id, options)))

    def list(
        self, *, limit: int | None = None, after: str | None = None, **options: Unpack[ReadOptions]
    ) -> Page[Dataset]:
        """Return a page of datasets, newest first, ``limit`` (1 to 100) at most; iterating it walks all pages."""
        query = given(limit=limit, after=after)
        page = Page(*self._loop.run(fetch_rows(self._context, Dataset, options, _ROOT, query)))
        page._fetch = lambda cursor: self.list(limit=limit, after=cursor, **options)
        for dataset in page.data:
            self._with_client(dataset)
        return page

    def delete(self, id: str, **options: Unpack[WriteOptions]) -> Deleted:
        """Delete a dataset with its datapoints."""
        return self._loop.run(_delete(self._context, id, options))

    def datapoints(
        self, id: str, *, limit: int | None = None, after: str | None = None, **options: Unpack[ReadOptions]
    ) -> Page[StoredDatapoint]:
        """Return a page of a dataset's datapoints; see ``Dataset.datapoints``."""
        page = Page(*self._loop.run(_datapoints(self._context, id, limit, after, options)))
        page._fetch = lambda cursor: self.datapoints(id, limit=limit, after=cursor, **options)
        return page

    def add(
        self,
        dataset: Dataset,
        datapoints: Given,
        failure_tolerance: float | None,
        quiet: bool,
        at_once: int,
        options: ReadOptions,
    ) -> Outcome:
        """Add datapoints to a dataset; see ``Dataset.add_datapoints``."""
        check_tolerance(failure_tolerance)
        with _adding(self._context, dataset.id, datapoints, quiet, options, self._resume) as adding:
            for flows in adding.rounds():
                run_together(self._loop, flows, at_once)

        def again() -> Dataset:
            self.add(dataset, adding.failed, failure_tolerance, quiet, at_once, options)
            return dataset

        return _concluded(dataset, adding, failure_tolerance, again)

    def _resume(self, run_id: str) -> Resume:
        runs = Runs(self._loop, self._context)
        return lambda timeout=None: runs.wait(run_id, timeout=timeout)

    def _with_client(self, dataset: Dataset) -> Dataset:
        dataset._methods = self
        return dataset


class AsyncDatasets:
    """Datasets."""

    def __init__(self, loop: AsyncLoop, context: Context) -> None:
        self._loop = loop
        self._context = context

    async def create(self, name: str, **options: Unpack[WriteOptions]) -> AsyncDataset:
        """Make a dataset. ConflictError where the workspace has one of that name."""
        return self._with_client(await self._loop.run(_create(self._context, AsyncDataset, name, options)))

    async def get(self, name_or_id: str, **options: Unpack[ReadOptions]) -> AsyncDataset:
        """Return a dataset, by its id or its name."""
        return self._with_client(await self._loop.run(_get(self._context, AsyncDataset, name_or_id, options)))

    async def list(
        self, *, limit: int | None = None, after: str | None = None, **options: Unpack[ReadOptions]
    ) -> AsyncPage[AsyncDataset]:
        """Return a page of datasets, newest first, ``limit`` (1 to 100) at most; iterating it walks all pages."""
        query = given(limit=limit, after=after)
        page = AsyncPage(*await self._loop.run(fetch_rows(self._context, AsyncDataset, options, _ROOT, query)))
        page._fetch = lambda cursor: self.list(limit=limit, after=cursor, **options)
        for dataset in page.data:
            self._with_client(dataset)
        return page

    async def delete(self, id: str, **options: Unpack[WriteOptions]) -> Deleted:
        """Delete a dataset with its datapoints."""
        return await self._loop.run(_delete(self._context, id, options))

    async def datapoints(
        self, id: str, *, limit: int | None = None, after: str | None = None, **options: Unpack[ReadOptions]
    ) -> AsyncPage[StoredDatapoint]:
        """Return a page of a dataset's datapoints; see ``Dataset.datapoints``."""
        page = AsyncPage(*await self._loop.run(_datapoints(self._context, id, limit, after, options)))
        page._fetch = lambda cursor: self.datapoints(id, limit=limit, after=cursor, **options)
        return page

    async def add(
        self,
        dataset: AsyncDataset,
        datapoints: Given,
        failure_tolerance: float | None,
        quiet: bool,
        at_once: int,
        options: ReadOptions,
    ) -> Outcome:
        """Add datapoints to a dataset; see ``Dataset.add_datapoints``."""
        check_tolerance(failure_tolerance)
        with _adding(self._context, dataset.id, datapoints, quiet, options, self._resume) as adding:
            for flows in adding.rounds():
                await arun_together(self._loop, flows, at_once)

        async def again() -> AsyncDataset:
            await self.add(dataset, adding.failed, failure_tolerance, quiet, at_once, options)
            return dataset

        return _concluded(dataset, adding, failure_tolerance, again)

    def _resume(self, run_id: str) -> Resume:
        runs = AsyncRuns(self._loop, self._context)
        return lambda timeout=None: runs.wait(run_id, timeout=timeout)

    def _with_client(self, dataset: AsyncDataset) -> AsyncDataset:
        dataset._methods = self
        return dataset
