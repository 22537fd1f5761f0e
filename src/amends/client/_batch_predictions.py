"""``client.batch_predictions``: a model asked about each of any number of items."""

from __future__ import annotations

import os
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Literal, Unpack, cast

from ._context import Context, ReadOptions
from ._files import replacing
from ._flow import Flow
from ._loops import AsyncLoop, SyncLoop
from ._models import BatchPrediction, DryRun, ItemRecord, Manifest
from ._operations import (
    CreateOptions,
    Items,
    ResultLine,
    ResultQuery,
    RunOperations,
    create,
    reconciliation,
    results,
    segment,
)
from ._reconciling import Reconciliation
from ._runs import AsyncRunMethods, RunMethods
from ._streams import download

Status = Literal["succeeded", "errored", "canceled", "expired"]
Order = Literal["submission", "completion"]
Format = Literal["jsonl", "csv", "parquet"]

_MEDIA_TYPES: Final[Mapping[Format, str]] = {
    "jsonl": "application/x-ndjson",
    "csv": "text/csv",
    "parquet": "application/vnd.apache.parquet",
}


def _download(
    context: Context, path: str, query: ResultQuery, to: str | os.PathLike[str], kind: Format, options: ReadOptions
) -> Flow[Path]:
    call = query.call(path)
    target = Path(to)
    with replacing(target) as file:
        yield from download(context, call.path, file, options, query=call.query, accept=_MEDIA_TYPES[kind])
    return target


class BatchPredictions(RunMethods[BatchPrediction]):
    """Batch predictions."""

    def __init__(self, loop: SyncLoop, context: Context) -> None:
        super().__init__(loop, RunOperations(context, "/v1/batch-predictions", BatchPrediction))

    def create(
        self,
        items: Items,
        *,
        model: str,
        prompt: str | None = None,
        output_schema: Mapping[str, Any] | None = None,
        **options: Unpack[CreateOptions],
    ) -> BatchPrediction:
        """Start a batch; return it as accepted.

        items: any iterable of mappings ``{"custom_id": …, "file_id", "url" or "input": …, "page"?, "prompt"?}`` of plain JSON
        values, gone through once and sent as it goes, whatever their number. What was sent is kept in a temporary file
        until the answer is here, so that a retry sends the same bytes; a list or tuple is gone through again instead and
        must not change meanwhile. ``timeout`` bounds each silence, ``deadline`` the whole.

        Raises ValidationError, with every fault in ``errors``; what the iterable raises passes through.
        """
        parameters = {"model": model, "prompt": prompt, "output_schema": output_schema}
        return self._loop.run(create(self._runs.context, BatchPrediction, items, parameters, options))

    def dry_run(
        self,
        items: Items,
        *,
        model: str,
        prompt: str | None = None,
        output_schema: Mapping[str, Any] | None = None,
        **options: Unpack[CreateOptions],
    ) -> DryRun:
        """Check and price a batch as ``create`` would, and run nothing."""
        parameters = {"model": model, "prompt": prompt, "output_schema": output_schema, "dry_run": True}
        return self._loop.run(create(self._runs.context, DryRun, items, parameters, options))

    def results(
        self,
        id: str,
        *,
        partial: bool = False,
        order: Order = "submission",
        status: Status | None = None,
        lineage: bool = False,
        after: str | None = None,
        **options: Unpack[ReadOptions],
    ) -> Iterator[ResultLine]:
        """Iterate over result lines, in order of submission; goes on where a connection breaks.

        partial: before the end, too, up to the first unfinished item. order="completion": outcomes as they commit, each
        line with a ``cursor``. status: only these. lineage: with retries merged in, the newest outcome of each item.
        after: the custom_id (the cursor, in order of completion) to go on after. Holds a block at a time, never all.

        The first request goes out with the first line asked for. Raises ConflictError before the end unless partial or in
        order of completion, GoneError after retention. Left early, ``close()`` it to have the connection back at once.
        """
        query = ResultQuery(partial, order, status, lineage)
        stream = results(self._runs.context, self._runs.path(id), query, after, options)
        return cast("Iterator[ResultLine]", self._loop.iterate(stream))

    def download(
        self,
        id: str,
        to: str | os.PathLike[str],
        *,
        format: Format = "jsonl",
        partial: bool = False,
        status: Status | None = None,
        lineage: bool = False,
        **options: Unpack[ReadOptions],
    ) -> Path:
        """Write the result lines to a file as the server sends them; return its path. It appears only once it is whole.

        format: of the file, whatever its name. The rest as in ``results``.
        """
        query = ResultQuery(partial, "submission", status, lineage)
        flow = _download(self._runs.context, self._runs.path(id), query, to, format, options)
        return self._loop.run(flow)

    def item(self, id: str, custom_id: str, **options: Unpack[ReadOptions]) -> ItemRecord:
        """Return the whole record of one item: input hash, failed attempts, outcome."""
        return self._loop.run(self._runs.read(ItemRecord, id, f"items/{segment(custom_id)}", options))

    def manifest(self, id: str, **options: Unpack[ReadOptions]) -> Manifest:
        """Return the sum of a finished batch: counts, and the SHA-256 of its lines."""
        return self._loop.run(self._runs.read(Manifest, id, "manifest", options))

    def reconcile(
        self,
        id: str,
        custom_ids: Iterable[str] | None = None,
        *,
        lineage: bool = False,
        **options: Unpack[ReadOptions],
    ) -> Reconciliation:
        """Read all results of a finished batch and name every id that is missing, doubled or unexpected.

        custom_ids: what was to come; None takes what the client's journal knows to have been sent, and without one compares
        with the batch's own count. The lines are checked against the manifest,
        unless ``lineage`` merges in those of retries. Holds the ids in memory, not the lines.
        """
        flow = reconciliation(self._runs.context, id, self._runs.path(id), custom_ids, lineage, options)
        return self._loop.run(flow)


class AsyncBatchPredictions(AsyncRunMethods[BatchPrediction]):
    """Batch predictions."""

    def __init__(self, loop: AsyncLoop, context: Context) -> None:
        super().__init__(loop, RunOperations(context, "/v1/batch-predictions", BatchPrediction))

    async def create(
        self,
        items: Items | AsyncIterable[Mapping[str, Any]],
        *,
        model: str,
        prompt: str | None = None,
        output_schema: Mapping[str, Any] | None = None,
        **options: Unpack[CreateOptions],
    ) -> BatchPrediction:
        """Start a batch; return it as accepted.

        items: any iterable, asynchronous ones included, of mappings ``{"custom_id": …, "file_id", "url" or "input": …,
        "page"?, "prompt"?}`` of plain JSON values, gone through once and sent as it goes, whatever their number. What was sent is
        kept in a temporary file until the answer is here, so that a retry sends the same bytes; a list or tuple is gone
        through again instead and must not change meanwhile. ``timeout`` bounds each silence, ``deadline`` the whole.

        Raises ValidationError, with every fault in ``errors``; what the iterable raises passes through.
        """
        parameters = {"model": model, "prompt": prompt, "output_schema": output_schema}
        return await self._loop.run(create(self._runs.context, BatchPrediction, items, parameters, options))

    async def dry_run(
        self,
        items: Items | AsyncIterable[Mapping[str, Any]],
        *,
        model: str,
        prompt: str | None = None,
        output_schema: Mapping[str, Any] | None = None,
        **options: Unpack[CreateOptions],
    ) -> DryRun:
        """Check and price a batch as ``create`` would, and run nothing."""
        parameters = {"model": model, "prompt": prompt, "output_schema": output_schema, "dry_run": True}
        return await self._loop.run(create(self._runs.context, DryRun, items, parameters, options))

    def results(
        self,
        id: str,
        *,
        partial: bool = False,
        order: Order = "submission",
        status: Status | None = None,
        lineage: bool = False,
        after: str | None = None,
        **options: Unpack[ReadOptions],
    ) -> AsyncIterator[ResultLine]:
        """Iterate over result lines, in order of submission; goes on where a connection breaks. Not awaited itself.

        partial: before the end, too, up to the first unfinished item. order="completion": outcomes as they commit, each
        line with a ``cursor``. status: only these. lineage: with retries merged in, the newest outcome of each item.
        after: the custom_id (the cursor, in order of completion) to go on after. Holds a block at a time, never all.

        The first request goes out with the first line asked for. Raises ConflictError before the end unless partial or in
        order of completion, GoneError after retention. Left early, ``aclose()`` it to have the connection back at once.
        """
        query = ResultQuery(partial, order, status, lineage)
        stream = results(self._runs.context, self._runs.path(id), query, after, options)
        return cast("AsyncIterator[ResultLine]", self._loop.iterate(stream))

    async def download(
        self,
        id: str,
        to: str | os.PathLike[str],
        *,
        format: Format = "jsonl",
        partial: bool = False,
        status: Status | None = None,
        lineage: bool = False,
        **options: Unpack[ReadOptions],
    ) -> Path:
        """Write the result lines to a file as the server sends them; return its path. It appears only once it is whole.

        format: of the file, whatever its name. The rest as in ``results``.
        """
        query = ResultQuery(partial, "submission", status, lineage)
        flow = _download(self._runs.context, self._runs.path(id), query, to, format, options)
        return await self._loop.run(flow)

    async def item(self, id: str, custom_id: str, **options: Unpack[ReadOptions]) -> ItemRecord:
        """Return the whole record of one item: input hash, failed attempts, outcome."""
        return await self._loop.run(self._runs.read(ItemRecord, id, f"items/{segment(custom_id)}", options))

    async def manifest(self, id: str, **options: Unpack[ReadOptions]) -> Manifest:
        """Return the sum of a finished batch: counts, and the SHA-256 of its lines."""
        return await self._loop.run(self._runs.read(Manifest, id, "manifest", options))

    async def reconcile(
        self,
        id: str,
        custom_ids: Iterable[str] | None = None,
        *,
        lineage: bool = False,
        **options: Unpack[ReadOptions],
    ) -> Reconciliation:
        """Read all results of a finished batch and name every id that is missing, doubled or unexpected.

        custom_ids: what was to come; None takes what the client's journal knows to have been sent, and without one compares
        with the batch's own count. The lines are checked against the manifest,
        unless ``lineage`` merges in those of retries. Holds the ids in memory, not the lines.
        """
        flow = reconciliation(self._runs.context, id, self._runs.path(id), custom_ids, lineage, options)
        return await self._loop.run(flow)
