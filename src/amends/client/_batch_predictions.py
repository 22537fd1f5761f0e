"""``client.batch_predictions``: a model asked about each of any number of items."""

from __future__ import annotations

import os
from collections.abc import AsyncIterable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, Generic, Literal, TypeVar, Unpack, cast

from ._context import ReadOptions
from ._files import replacing
from ._flow import Flow, Stream
from ._models import BatchPrediction, DryRun, ItemRecord, Manifest
from ._operations import (
    CreateOptions,
    Items,
    ResultLine,
    ResultQuery,
    create,
    reconciliation,
    results,
    segment,
)
from ._reconciling import Reconciliation
from ._runs import RunMethods
from ._streams import download
from ._twins import AsyncResource, SyncResource, method, streamed

Status = Literal["succeeded", "errored", "canceled", "expired"]
Order = Literal["submission", "completion"]
Format = Literal["jsonl", "csv", "parquet"]
SomeItems = TypeVar("SomeItems", bound=Items | AsyncIterable[Mapping[str, Any]])
"""What items may come as: only a client that is awaited can wait for them."""

_MEDIA_TYPES: Final[Mapping[Format, str]] = {
    "jsonl": "application/x-ndjson",
    "csv": "text/csv",
    "parquet": "application/vnd.apache.parquet",
}


class _BatchPredictions(RunMethods[BatchPrediction], Generic[SomeItems]):
    _root = "/v1/batch-predictions"
    _model = BatchPrediction

    @method
    def create(
        self,
        items: SomeItems,
        *,
        model: str,
        prompt: str | None = None,
        output_schema: Mapping[str, Any] | None = None,
        **options: Unpack[CreateOptions],
    ) -> Flow[BatchPrediction]:
        """Start a batch; return it as accepted.

        items: any iterable (of an ``AsyncClient``, asynchronous ones included) of mappings ``{"custom_id": …, "file_id", "url" or
        "input": …, "page"?, "prompt"?}`` of plain JSON values, gone through once and sent as it goes, whatever their number. What
        was sent is kept in a temporary file until the answer is here, so that a retry sends the same bytes; a list or tuple is gone
        through again instead and must not change meanwhile. ``timeout`` bounds each silence, ``deadline`` the whole.

        Raises ValidationError, with every fault in ``errors``; what the iterable raises passes through.
        """
        parameters = {"model": model, "prompt": prompt, "output_schema": output_schema}
        return create(self._context, BatchPrediction, items, parameters, options)

    @method
    def dry_run(
        self,
        items: SomeItems,
        *,
        model: str,
        prompt: str | None = None,
        output_schema: Mapping[str, Any] | None = None,
        **options: Unpack[CreateOptions],
    ) -> Flow[DryRun]:
        """Check and price a batch as ``create`` would, and run nothing."""
        parameters = {"model": model, "prompt": prompt, "output_schema": output_schema, "dry_run": True}
        return create(self._context, DryRun, items, parameters, options)

    @streamed
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
    ) -> Stream[ResultLine]:
        """Iterate over result lines, in order of submission; goes on where a connection breaks.

        partial: before the end, too, up to the first unfinished item. order="completion": outcomes as they commit, each
        line with a ``cursor``. status: only these. lineage: with retries merged in, the newest outcome of each item.
        after: the custom_id (the cursor, in order of completion) to go on after. Holds a block at a time, never all.

        The first request goes out with the first line asked for. Raises ConflictError before the end unless partial or in
        order of completion, GoneError after retention. Left early, ``close()`` it to have the connection back at once. Of an
        ``AsyncClient`` it is iterated with ``async for``, not awaited itself, and left with ``aclose()``.
        """
        query = ResultQuery(partial, order, status, lineage)
        return cast("Stream[ResultLine]", results(self._context, self._path(id), query, after, options))

    @method
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
    ) -> Flow[Path]:
        """Write the result lines to a file as the server sends them; return its path. It appears only once it is whole.

        format: of the file, whatever its name. The rest as in ``results``.
        """
        call = ResultQuery(partial, "submission", status, lineage).call(self._path(id))
        target = Path(to)
        with replacing(target) as file:
            yield from download(self._context, call.path, file, options, query=call.query, accept=_MEDIA_TYPES[format])
        return target

    @method
    def item(self, id: str, custom_id: str, **options: Unpack[ReadOptions]) -> Flow[ItemRecord]:
        """Return the whole record of one item: input hash, failed attempts, outcome."""
        return self._read(ItemRecord, id, f"items/{segment(custom_id)}", options)

    @method
    def manifest(self, id: str, **options: Unpack[ReadOptions]) -> Flow[Manifest]:
        """Return the sum of a finished batch: counts, and the SHA-256 of its lines."""
        return self._read(Manifest, id, "manifest", options)

    @method
    def reconcile(
        self,
        id: str,
        custom_ids: Iterable[str] | None = None,
        *,
        lineage: bool = False,
        **options: Unpack[ReadOptions],
    ) -> Flow[Reconciliation]:
        """Read all results of a finished batch and name every id that is missing, doubled or unexpected.

        custom_ids: what was to come; None takes what the client's journal knows to have been sent, and without one compares
        with the batch's own count. The lines are checked against the manifest,
        unless ``lineage`` merges in those of retries. Holds the ids in memory, not the lines.
        """
        return reconciliation(self._context, id, self._path(id), custom_ids, lineage, options)


class BatchPredictions(_BatchPredictions[Items], SyncResource):
    """Batch predictions."""


class AsyncBatchPredictions(_BatchPredictions[Items | AsyncIterable[Mapping[str, Any]]], AsyncResource):
    """Batch predictions."""
