"""Result streams: lines as the ledger has them, or tables made of them on the way.

Lines pass through in chunks of megabytes without being looked at, except those that were kept as blobs, which end in
``@sha256`` and are filled in.
"""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Final, Literal

import msgspec
from fastapi import Request
from starlette.responses import Response, StreamingResponse

from amends.blobs import BlobNotFound, LocalBlobs
from amends.ledger import ItemStatus, ResultChunk, Run, filled_lines
from amends.problems import FieldError, ProblemError, invalid_state, results_gone, validation_failed
from amends.server.accept import ResultFormat, result_format
from amends.server.services import Services, services
from amends.server.tables import CsvTable, ParquetTable, Table, columns_of
from amends.server.threads import in_thread

Order = Literal["submission", "completion"]

NDJSON: Final = "application/x-ndjson"
_MAX_CURSOR: Final = 2**63 - 1
_PART_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which lines are asked for. after: a custom_id, in the order of completion a cursor."""

    partial: bool = False
    order: Order = "submission"
    after: str | None = None
    status: ItemStatus | None = None
    lineage: bool = False

    @property
    def is_plain(self) -> bool:
        """Whether these are the lines that the manifest sums up."""
        return self.order == "submission" and self.after is None and self.status is None and not self.lineage


async def results(request: Request, run: Run, wanted: Wanted) -> Response:
    """The result stream of a run.

    ProblemError: conflict before the end, results_gone after retention, not_acceptable, validation_failed.
    """
    chosen = result_format(request.headers.get("accept"))
    _check_readable(run, wanted)
    hub = services(request)
    await in_thread(_check_lines, hub, run, wanted)
    lines = Lines(hub, run, wanted, await _start(hub, run, wanted))
    headers = {"Vary": "Accept"}
    if chosen == "ndjson" and wanted.is_plain and run.is_terminal:
        headers |= await _digests(hub, run)
    if "ETag" in headers and _is_known(request, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    first = await lines.next()  # whatever is wrong shows here, while a problem can still be the answer
    media_type, body = _body(chosen, run, lines, first)
    return StreamingResponse(body, headers=headers, media_type=media_type)


def _check_readable(run: Run, wanted: Wanted) -> None:
    if wanted.lineage and wanted.order == "completion":
        _refuse("lineage", "lineage has no order of completion")
    is_part = run.paused_reason in ("limit", "cost_cap")
    if not (run.is_terminal or wanted.partial or wanted.order == "completion" or is_part):
        detail = f"The batch is {run.state}: results can be read when it has ended, or now with partial=true"
        raise ProblemError(invalid_state(detail, batch_prediction_id=run.id, state=run.state))


def _check_lines(hub: Services, run: Run, wanted: Wanted) -> None:
    """Refuse what would lack lines that were deleted: a merged stream without those of one run would show older outcomes."""
    ledger = hub.ledger
    shown = [ledger.get(run.root_id), *ledger.children(run.root_id)] if wanted.lineage else [ledger.get(run.id)]
    if any(each is None or each.lines_deleted_at is not None for each in shown):
        raise ProblemError(results_gone(run.id))


def _refuse(parameter: str, message: str) -> None:
    raise ProblemError(validation_failed([FieldError.at(("query", parameter), message)]))


async def _start(hub: Services, run: Run, wanted: Wanted) -> int:
    """The ledger's cursor after which the stream begins."""
    after = wanted.after
    if after is None:
        return -1
    if wanted.order == "completion":
        if not (after.isascii() and after.isdigit() and int(after) <= _MAX_CURSOR):
            _refuse("after", "after must be the cursor of a line of this stream")
        return int(after)
    record = await in_thread(hub.ledger.item, run.root_id if wanted.lineage else run.id, after)
    if record is None:
        _refuse("after", f"The batch has no item '{after}'")
        raise AssertionError  # _refuse raises
    return record.seq


async def _digests(hub: Services, run: Run) -> dict[str, str]:
    """Headers that name the whole stream by its content."""
    manifest = await in_thread(hub.ledger.manifest, run.id)
    if manifest is None:
        return {}
    digest = base64.b64encode(bytes.fromhex(manifest.sha256)).decode()
    return {"ETag": f'"{manifest.sha256}"', "Repr-Digest": f"sha-256=:{digest}:"}  # RFC 9530, section 3


def _is_known(request: Request, etag: str) -> bool:
    """If-None-Match (RFC 9110, section 13.1.2), compared weakly as it must be."""
    given = request.headers.get("if-none-match", "")
    return given.strip() == "*" or etag in (tag.strip().removeprefix("W/") for tag in given.split(","))


class Lines:
    """The chunks of one stream."""

    def __init__(self, hub: Services, run: Run, wanted: Wanted, start: int) -> None:
        self._hub = hub
        self._run = run
        self._wanted = wanted
        self._after = start

    async def next(self) -> bytes:
        """The next whole lines; empty at the end. Blob lines are still to be filled in."""
        chunk = await in_thread(self._read)
        if chunk.last is None:
            # Deleted meanwhile, the lines that are missing must not look like the end.
            await in_thread(_check_lines, self._hub, self._run, self._wanted)
            return b""
        self._after = chunk.last
        return chunk.lines

    def _read(self) -> ResultChunk:
        ledger, wanted = self._hub.ledger, self._wanted
        if wanted.order == "completion":
            return ledger.results_by_completion(self._run.id, after=self._after, status=wanted.status)
        return ledger.results(
            self._run.id,
            after=self._after,
            status=wanted.status,
            partial=wanted.partial,
            lineage=wanted.lineage,
        )

    async def pieces(self, first: bytes) -> AsyncIterator[bytes]:
        """All of the stream from ``first`` on, each piece some whole lines."""
        lines = first
        while lines:
            filling = filled(lines, self._run.id, self._hub.blobs)
            while piece := await in_thread(next, filling, b""):
                yield piece
            lines = await self.next()


def filled(lines: bytes, run_id: str, blobs: LocalBlobs) -> Iterator[bytes]:
    """The lines with those that are blobs filled in, in pieces of whole lines; results_gone if one is no more."""
    try:
        yield from filled_lines(lines, blobs.get)
    except BlobNotFound as error:
        raise ProblemError(results_gone(run_id)) from error


def whole_line(line: bytes, run_id: str, blobs: LocalBlobs) -> bytes:
    """One line, filled in if it is a blob, without its newline."""
    return b"".join(filled(line.removesuffix(b"\n") + b"\n", run_id, blobs)).removesuffix(b"\n")


def _body(chosen: ResultFormat, run: Run, lines: Lines, first: bytes) -> tuple[str, AsyncIterator[bytes | memoryview]]:
    if chosen == "ndjson":
        return NDJSON, _in_parts(lines.pieces(first))
    columns = columns_of(msgspec.json.decode(run.params).get("output_schema"))
    table: CsvTable | ParquetTable = CsvTable(columns) if chosen == "csv" else ParquetTable(columns)
    return table.media_type, _table(table, lines, first)


async def _in_parts(pieces: AsyncIterator[bytes]) -> AsyncIterator[memoryview]:
    """The same in parts small enough to be copied: what a slow reader has not taken is held once, not several times."""
    async for piece in pieces:
        view = memoryview(piece)
        for start in range(0, len(view), _PART_BYTES):
            yield view[start : start + _PART_BYTES]


async def _table(table: Table, lines: Lines, first: bytes) -> AsyncIterator[bytes]:
    async for piece in lines.pieces(first):
        if converted := await in_thread(table.feed, piece):
            yield converted
    if end := await in_thread(table.finish):
        yield end
