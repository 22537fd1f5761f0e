"""A run on its way into the ledger: items go in slices while the next are still read.

At most one slice is being written and one being filled, so whoever reads the request stops reading when the ledger is slower. A
run that is not sealed disappears, and its Idempotency-Key with it::

    open (key claimed) ─► add, add, … ─► seal (answer stored, run visible)
         └──────────────────┴──────────────► abandon
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any, Final

import anyio
from starlette.responses import Response

from amends.ledger import CreditExceeded, DuplicateCustomIds, NewItem, NewRun, Run, RunNotFound, TooManyRuns
from amends.problems import (
    ProblemError,
    duplicate_custom_id,
    idempotency_in_progress,
    problem,
    too_many_batches,
    validation_failed,
)
from amends.server.answers import RETRY_SECONDS, Answer, BodyOf
from amends.server.idempotency import Guard
from amends.server.items import MAX_INLINE_BYTES
from amends.server.prices import lacking
from amends.server.services import Services
from amends.server.threads import in_thread
from amends.store import Fenced

SLICE_ITEMS: Final = 10_000
SLICE_BYTES: Final = 4 * 1024 * 1024
_ADMISSION_SECONDS: Final = 10.0


class NotKept(Exception):
    """Raised in the last transaction of a dry run, so that nothing of it stays."""


class Receiving:
    """One run being received. run: as its creator states it. body_of: the answer to its creator, stored under the guard's key when the run is sealed."""

    def __init__(self, services: Services, run: NewRun, guard: Guard, body_of: BodyOf) -> None:
        self._services = services
        self.run = run
        self._guard = guard
        self._answer = Answer(guard, run.id, body_of, resource_id=run.id)
        self._rows: list[NewItem] = []
        self._bytes = 0
        self._pins = ExitStack()
        self._writing: asyncio.Task[None] | None = None

    async def open(self, *, most: int | None = None) -> None:
        """Begin. ProblemError: idempotency_in_progress if somebody else holds the key, rate_limit_exceeded where ``most`` runs
        of the workspace have not ended, credit_exceeded where there is none."""
        try:
            await in_thread(self._services.ledger.open_run, self.run, most=most, also=self._guard.claim)
        except Fenced as error:
            raise ProblemError(idempotency_in_progress(RETRY_SECONDS)) from error
        except TooManyRuns as error:
            what = too_many_batches(_ADMISSION_SECONDS, policy="running_batches", limit=most)
            raise ProblemError(what) from error
        except CreditExceeded as error:
            raise ProblemError(lacking(self._services, error.required, error.remaining)) from error

    async def add(self, rows: Sequence[NewItem]) -> None:
        """Take items; returns when at most one slice of earlier ones is still being written."""
        for row in rows:
            if len(self._rows) >= SLICE_ITEMS or self._bytes >= SLICE_BYTES:
                await self._flush()
            if len(row.payload) > MAX_INLINE_BYTES:
                row = await self._as_blob(row)
            self._rows.append(row)
            self._bytes += len(row.payload)

    async def _as_blob(self, row: NewItem) -> NewItem:
        """The row with its payload stored apart, and kept from the sweep until the ledger points to it."""
        self._pins.enter_context(self._services.pins.pinned(row.input_hash.hex()))
        blob = await in_thread(self._services.blobs.put, row.payload)
        return row._replace(payload=b"@" + blob.sha256.encode())

    async def seal(self, *, validate: bool, also: Callable[[Any], None] | None = None) -> Response:
        """Make the run visible and answer its creator. ProblemError for duplicate custom_ids.

        also: done in that transaction, where it is not the answer that is stored in it.
        """
        await self._finish_adding()
        run = await self._seal(validate, also or self._answer.store)
        if self._services.engine is not None:
            self._services.engine.wake()
        return self._answer.response(run)

    async def check(self) -> None:
        """Do all that sealing does, and undo it: for a dry run. The run is left receiving."""
        await self._finish_adding()

        def refuse(tx: Any) -> None:
            raise NotKept

        try:
            await self._seal(False, refuse)
        except NotKept:
            return

    async def abandon(self) -> None:
        """Drop what was received, also when the caller is being cancelled."""
        with anyio.CancelScope(shield=True):
            if self._writing is not None:
                await asyncio.gather(self._writing, return_exceptions=True)
            self._pins.close()
            await in_thread(self._services.ledger.abandon, self.run.id)

    async def _seal(self, validate: bool, also: Callable[[Any], None]) -> Run:
        try:
            return await in_thread(self._services.ledger.seal, self.run.id, validate=validate, also=also)
        except DuplicateCustomIds as error:
            faults = [duplicate_custom_id(custom_id, index) for index, custom_id in error.duplicates]
            raise ProblemError(validation_failed(faults, errors_total=error.total)) from error
        except CreditExceeded as error:
            raise ProblemError(lacking(self._services, error.required, error.remaining)) from error
        except RunNotFound as error:
            raise _abandoned() from error

    async def _finish_adding(self) -> None:
        await self._flush()
        await self._flush()

    async def _flush(self) -> None:
        """Wait for the slice before, then begin to write this one."""
        if self._writing is not None:
            writing, self._writing = self._writing, None
            await writing
        if self._rows:
            rows, self._rows, self._bytes = self._rows, [], 0
            self._writing = asyncio.create_task(self._append(rows, self._pins.pop_all()))

    async def _append(self, rows: Sequence[NewItem], pins: ExitStack) -> None:
        try:
            with pins:
                await in_thread(self._services.ledger.append, self.run.id, rows)
        except RunNotFound as error:
            raise _abandoned() from error


def _abandoned() -> ProblemError:
    return ProblemError(
        problem("service_unavailable", retry_after=RETRY_SECONDS), "the receiving run was abandoned meanwhile"
    )
