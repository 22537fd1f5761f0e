"""Reading a form of datapoints and the many files that they speak of, in bounded memory.

The part ``datapoints`` holds the datapoints, as NDJSON or a JSON array; each other part is a file. What has come of files is
written now and then by a thread, whole megabytes at a time: to hand over each small file by itself would take longer than writing it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

from fastapi import Request

from amends.blobs import BlobWriter, LocalBlobs
from amends.problems import ProblemError, problem
from amends.server.limits import Held, Hold, too_large
from amends.server.multipart import FormParser, Part, invalid_part
from amends.server.settings import LimitSettings

DATAPOINTS: Final = "datapoints"
MAX_FILES: Final = 10_000
_JSON: Final = "application/json"


@dataclass(slots=True)
class BundledFile:
    """A file of the form, written beside its place; who keeps it makes it a blob. size: bytes that came so far."""

    name: str
    filename: str | None
    size: int = 0
    writer: BlobWriter | None = None

    @property
    def written(self) -> BlobWriter:
        """Its writer, once the form is read."""
        assert self.writer is not None
        return self.writer


@dataclass(frozen=True, slots=True)
class Bundle:
    """A form as it was sent. datapoints: empty where there is no such part."""

    datapoints: bytes
    is_ndjson: bool
    files: Sequence[BundledFile]


class BundleReader(FormParser):
    """Reads one form; used as a context manager, whose end removes what was not made a blob."""

    def __init__(self, blobs: LocalBlobs, limits: LimitSettings, held: Held) -> None:
        super().__init__(limits)
        self._blobs = blobs
        self._stack = ExitStack()
        self._hold = Hold(held)
        self._files: dict[str, BundledFile] = {}
        self._file: BundledFile | None = None
        self._datapoints: Part | None = None
        self._steps: list[BundledFile | bytes | None] = []

    async def __aenter__(self) -> BundleReader:
        return self

    async def __aexit__(self, *error: object) -> None:
        self._hold.release()
        await asyncio.to_thread(self._stack.close)

    async def read(self, request: Request) -> Bundle:
        """Read the body to its end. Raises ProblemError for what is no such form or exceeds a limit."""
        await self._parse(request)
        part = self._datapoints or Part()
        is_ndjson = not (part.media_type or "").lower().startswith(_JSON)
        return Bundle(bytes(part.value), is_ndjson, list(self._files.values()))

    async def read_lines(self, request: Request) -> Bundle:
        """The same for a body that is NDJSON and no form."""
        limit, lines = self._limits.json_body_bytes, bytearray()
        async for piece in request.stream():
            if len(lines) + len(piece) > limit:
                raise too_large(limit, "NDJSON body")
            self._hold.add(len(piece))
            lines += piece
        return Bundle(bytes(lines), True, ())

    def _open_part(self, part: Part) -> None:
        if part.name == DATAPOINTS:
            if self._datapoints is not None:
                raise invalid_part(DATAPOINTS, "The field datapoints stands twice", "value_error")
            self._datapoints, self._file = part, None
            return
        if part.name in self._files:
            raise invalid_part(part.name[:80], "Two parts have this name", "value_error")
        if len(self._files) >= MAX_FILES:
            raise ProblemError(problem("malformed_request", f"The form has more than {MAX_FILES} files."))
        self._file = self._files[part.name] = BundledFile(part.name, part.filename)
        self._steps.append(self._file)

    def _take(self, data: bytes) -> None:
        if self._file is None:
            self._part.value += data
            if len(self._part.value) > self._limits.json_body_bytes:
                raise too_large(self._limits.json_body_bytes, f"field {DATAPOINTS}")
            self._hold.add(len(data))
            return
        self._file.size += len(data)
        if self._file.size > self._limits.file_bytes:
            raise too_large(self._limits.file_bytes, "file")
        self._steps.append(data)
        self._pending_bytes += len(data)

    def _close_part(self) -> None:
        if self._file is not None:
            self._steps.append(None)

    async def _write(self) -> None:
        steps, self._steps = self._steps, []
        if steps:
            await asyncio.to_thread(self._perform, steps)

    def _perform(self, steps: Sequence[BundledFile | bytes | None]) -> None:
        """A file begins, more of it comes, it ends. The last one may go on with the next steps."""
        for step in steps:
            if isinstance(step, BundledFile):
                self._writer = step.writer = self._stack.enter_context(self._blobs.writer())
            elif step is None:
                self._writer.close()
            else:
                self._writer.write(step)
