"""Reading a batch's input file into a run, in bounded memory; or finding out all that is wrong with it.

Dying at any moment leaves the batch ``reading``: the next owner reads it from the beginning, into a run of the same id::

    open_run ─► append, append, … ─► seal, set_running (in one transaction)
        └──────────┴──── bad input, or cancelled: abandon, fail or end_cancelled
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any, Final

import msgspec

from amends.blobs import BlobNotFound
from amends.ledger import CreditExceeded, NewItem, NewRun, TooManyRuns
from amends.problems import MAX_ERRORS
from amends.server.items import MAX_INLINE_BYTES
from amends.server.openai.endpoints import KIND, unfit
from amends.server.openai.lines import (
    Expected,
    Fault,
    Names,
    Numbered,
    Refused,
    Request,
    first_model,
    numbered_lines,
    read_line,
    sliced,
)
from amends.server.parameters import resolved_model
from amends.server.prices import lacking, price_of
from amends.server.services import Services
from amends.store import FileRecord, OpenAIBatch

PER_ITEM: Final = "per_item"

_encode = msgspec.json.Encoder().encode


class Stopped(Exception):
    """The server is going down; the next one reads the file again."""


class Cancelled(Exception):
    """Somebody asked to cancel the batch while its input was read."""


class Intake:
    """Takes in one batch. is_stopping: asked after each slice of lines."""

    def __init__(self, hub: Services, batch: OpenAIBatch, is_stopping: Callable[[], bool]) -> None:
        self._hub = hub
        self._batch = batch
        self._is_stopping = is_stopping
        self._is_per_item = batch.metadata.get("validation") == PER_ITEM
        self._faults: list[Fault] = []
        self._faulty = 0
        self._good = 0

    def take(self) -> None:
        """Bring the batch from ``reading`` to its run, or to its end. Raises Stopped."""
        while self._hub.ledger.clean():
            pass  # a run of this id that another process was receiving when it died
        file = self._hub.store.files.get(self._batch.workspace_id, self._batch.input_file_id)
        try:
            if file is None:
                raise BlobNotFound(self._batch.input_file_id)
            with self._hub.pins.pinned(file.sha256):
                self._take(file)
        except BlobNotFound:
            self._fail(
                [Fault("file_not_found", "The input file was deleted before it was read", param="input_file_id")]
            )
        except CreditExceeded as error:
            what = lacking(self._hub, error.required, error.remaining)
            self._fail([Fault(what.code, what.detail)])
        except TooManyRuns:
            return  # it waits until another of the workspace's has ended
        except Cancelled:
            self._hub.database.write(lambda tx: self._hub.store.openai_batches.end_cancelled(tx, self._batch.id))

    def _take(self, file: FileRecord) -> None:
        model = first_model(self._lines(file))
        expected = self._expected(model or "")
        if model is None or expected.unfit is not None:
            self._only_read(file, expected)
            return
        most = self._hub.settings.limits.running_batches
        self._hub.ledger.open_run(self._new_run(model), most=most)
        try:
            self._read(file, expected, keep=True)
            if self._is_bad():
                self._fail(self._faults)
            else:
                self._seal(model)
        finally:
            self._hub.ledger.abandon(self._batch.id)  # no effect on a sealed one

    def _only_read(self, file: FileRecord, expected: Expected) -> None:
        """For the faults: no line can be good."""
        self._read(file, expected, keep=False)
        self._fail(self._faults or [Fault("empty_file", "The input file is empty")])

    def _read(self, file: FileRecord, expected: Expected, *, keep: bool) -> None:
        names = Names()
        try:
            for some in sliced(self._lines(file)):
                read = _without_repeated([read_line(line, expected) for line in some], names)
                self._note(read)
                if keep and not self._is_bad():
                    self._append(read)
                self._look_up()
        finally:
            names.close()

    def _lines(self, file: FileRecord) -> Iterator[Numbered]:
        return numbered_lines(self._hub.blobs.read(file.sha256), self._hub.settings.limits.ndjson_line_bytes)

    def _expected(self, model: str) -> Expected:
        what = unfit(model, self._batch.endpoint, self._hub.settings) if model else None
        refuse = None if what is None else lambda number: Fault(what.code, what.message, number, "body.model")
        return Expected(self._batch.endpoint, model, refuse, self._hub.settings.limits.nesting)

    def _note(self, read: Sequence[Request | Refused]) -> None:
        for line in read:
            if isinstance(line, Refused):
                self._faulty += 1
                if len(self._faults) < MAX_ERRORS:
                    self._faults.append(line.fault)
            else:
                self._good += 1

    def _is_bad(self) -> bool:
        """Whether what was read so far is refused as a whole."""
        return self._faulty > 0 and not self._is_per_item

    def _append(self, read: Sequence[Request | Refused]) -> None:
        with ExitStack() as pins:
            rows = [self._row(line, pins) for line in read]
            self._hub.ledger.append(self._batch.id, rows)

    def _row(self, line: Request | Refused, pins: ExitStack) -> NewItem:
        if isinstance(line, Request):
            name, payload = line.custom_id, b'{"input":%b}' % line.body
        else:
            name, payload = self._name_of(line), _encode({"fault": line.fault.to_dict(), "custom_id": line.custom_id})
        digest = hashlib.sha256(payload)
        if len(payload) > MAX_INLINE_BYTES:
            pins.enter_context(self._hub.pins.pinned(digest.hexdigest()))
            payload = b"@" + self._hub.blobs.put(payload).sha256.encode()
        return NewItem(name, payload, digest.digest())

    def _name_of(self, line: Refused) -> str:
        """A bad line's own name may be missing, or another line's."""
        return f"{self._batch.id}:line:{line.number}"

    def _look_up(self) -> None:
        if self._is_stopping():
            raise Stopped
        current = self._hub.store.openai_batches.get(self._batch.id)
        if current is None or current.cancelling_at is not None:
            raise Cancelled

    def _seal(self, model: str) -> None:
        if not self._good:
            self._fail(self._faults or [Fault("empty_file", "The input file is empty")])
            return

        def set_running(tx: Any) -> None:
            if not self._hub.store.openai_batches.set_running(tx, self._batch.id, model):
                raise Cancelled

        self._hub.ledger.seal(self._batch.id, validate=self._faulty > 0, also=set_running)
        if self._hub.engine is not None:
            self._hub.engine.wake()

    def _fail(self, faults: Sequence[Fault]) -> None:
        errors = [fault.to_dict() for fault in faults]
        self._hub.database.write(lambda tx: self._hub.store.openai_batches.fail(tx, self._batch.id, errors))

    def _new_run(self, model: str) -> NewRun:
        batch = self._batch
        return NewRun(
            id=batch.id,
            workspace_id=batch.workspace_id,
            kind=KIND,
            model=model,
            params=_encode({"model": resolved_model(model, self._hub.settings), "endpoint": batch.endpoint}),
            created_at=batch.created_at,
            mode=batch.mode,
            metadata=batch.metadata,
            request_id=batch.request_id,
            public_url=self._hub.public_url,
            completion_window="24h",
            deadline=batch.deadline,
            created_by=batch.created_by,
            price=price_of(self._hub.settings, model),
        )


def _without_repeated(read: Sequence[Request | Refused], names: Names) -> list[Request | Refused]:
    """The lines with those refused whose custom_id stands on an earlier one."""
    repeated = names.repeated(read)
    return [
        line
        if line.number not in repeated or isinstance(line, Refused)
        else Refused(line.number, line.custom_id, _repeated(line, repeated[line.number]))
        for line in read
    ]


def _repeated(line: Request, first: int) -> Fault:
    message = f"The custom_id '{line.custom_id}' of this line is already that of line {first}"
    return Fault("duplicate_custom_id", message, line.number, "custom_id")
