"""What happens to batches beside requests: input files are read, and output files made of what has ended.

A batch is seen to by one thread and then the other, one batch after another; both find their work in the store, so that dying at
any moment loses nothing: a half-read file is read again, a half-made one is a blob that nobody points to.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Final

from amends.blobs import BlobWriter
from amends.database import Transaction, new_id
from amends.ledger import Run, filled_lines
from amends.server.keeping import drop_unused
from amends.server.openai.batch_object import counts_of, status_of, times_of
from amends.server.openai.intake import Intake, Stopped
from amends.server.openai.outputs import file_line
from amends.server.rounds import LATE_SECONDS, Rounds
from amends.server.services import Services
from amends.store import BatchState, FileRecord, OpenAIBatch, Written

_LOOK_SECONDS: Final = 0.1
"""How late the end of a run is noticed."""
_AGAIN_SECONDS: Final = 0.5
"""How late a batch is looked at again whose input was not read to its end."""
_MEDIA_TYPE: Final = "application/x-ndjson"
_DAY_SECONDS: Final = 86_400.0


class Clerk:
    """Two threads from ``start`` to ``close``."""

    def __init__(self, hub: Services) -> None:
        self._hub = hub
        self._is_running = threading.Event()
        self._reading = Rounds(
            "openai-intake",
            self._read,
            event="openai_batch_not_seen_to",
            told=hub.new_openai_batch,
            soon_seconds=_AGAIN_SECONDS,
            late_seconds=LATE_SECONDS,
        )
        self._writing = Rounds(
            "openai-outputs",
            self._write,
            event="openai_batch_not_seen_to",
            told=self._is_running,
            soon_seconds=_LOOK_SECONDS,
            late_seconds=LATE_SECONDS,
        )

    def start(self) -> None:
        self._reading.start()
        self._writing.start()

    def close(self) -> None:
        """Returns within a slice of lines; what was under way is begun anew by the next owner."""
        self._reading.stop()
        self._writing.close()
        self._reading.close()

    def take_in(self, batch: OpenAIBatch) -> None:
        """Read a new batch's input file into its run."""
        try:
            Intake(self._hub, batch, self._reading.stopping.is_set).take()
        except Stopped:
            return

    def write_out(self, batch: OpenAIBatch) -> None:
        """Make the files of a batch whose run has ended."""
        run = self._hub.ledger.get(batch.id)
        if run is None or run.is_terminal:
            Output(self._hub, batch, run, self._writing.stopping.is_set).write()

    def _read(self) -> bool:
        has_some = self._see_to("reading", self.take_in, self._reading)
        if has_some:
            self._is_running.set()
        return has_some

    def _write(self) -> bool:
        return self._see_to("running", self.write_out, self._writing)

    def _see_to(self, state: BatchState, work: Callable[[OpenAIBatch], None], rounds: Rounds) -> bool:
        """Do the work for every batch in that state; whether there were any."""
        waiting = [batch for batch in self._hub.store.openai_batches.unfinished() if batch.state == state]
        for batch in waiting:
            if rounds.stopping.is_set():
                break
            try:
                work(batch)
            except Exception as error:
                rounds.rest(error, batch_id=batch.id, state=batch.state)
        return bool(waiting)


class Output:
    """Writes the files of one batch. run: None where retention has overtaken it."""

    def __init__(self, hub: Services, batch: OpenAIBatch, run: Run | None, is_stopping: Callable[[], bool]) -> None:
        self._hub = hub
        self._batch = batch
        self._run = run
        self._is_stopping = is_stopping

    def write(self) -> None:
        """Make both files durable together with the batch's end; nothing is left of them otherwise."""
        with ExitStack() as stack:
            writers = {
                "output": stack.enter_context(self._hub.blobs.writer()),
                "error": stack.enter_context(self._hub.blobs.writer()),
            }
            for line in self._lines():
                if self._is_stopping():
                    return
                made = file_line(self._batch.id, line, self._hub.public_url)
                writers["output" if made.is_output else "error"].write(made.data)
            self._keep({name: writer for name, writer in writers.items() if writer.size})

    def _lines(self) -> Iterator[bytes]:
        after = -1
        while self._run is not None and self._run.lines_deleted_at is None:
            chunk = self._hub.ledger.results(self._batch.id, after=after)
            if chunk.last is None:
                return
            for piece in filled_lines(chunk.lines, self._hub.blobs.get):
                yield from piece.splitlines()
            after = chunk.last

    def _keep(self, writers: dict[str, BlobWriter]) -> None:
        is_kept = False
        digests = [writer.sha256 for writer in writers.values()]
        try:
            with ExitStack() as pins:
                for digest in digests:
                    pins.enter_context(self._hub.pins.pinned(digest))
                files = {name: self._record(name, writer) for name, writer in writers.items()}
                is_kept = self._hub.database.write(lambda tx: self._write_down(tx, files))
        finally:
            if not is_kept:
                for digest in digests:
                    drop_unused(self._hub, digest)

    def _write_down(self, tx: Transaction, files: dict[str, FileRecord]) -> bool:
        written = Written(
            status_of(self._batch, self._run, is_written=True),
            counts_of(self._run),
            times_of(self._run),
            *(files[name].id if name in files else None for name in ("output", "error")),
        )
        if not self._hub.store.openai_batches.set_written(tx, self._batch.id, written):
            return False
        for file in files.values():
            self._hub.store.files.add(tx, file)
        return True

    def _record(self, name: str, writer: BlobWriter) -> FileRecord:
        blob = writer.commit()
        now = self._hub.now()
        seconds = self._batch.output_seconds or self._hub.settings.retention.result_days * _DAY_SECONDS
        return FileRecord(
            id=new_id("file_", now=now),
            workspace_id=self._batch.workspace_id,
            filename=f"{self._batch.id}_{name}.jsonl",
            media_type=_MEDIA_TYPE,
            bytes=blob.size,
            sha256=blob.sha256,
            pages=None,
            purpose="batch_output",
            created_by=self._batch.created_by,
            created_at=now,
            expires_at=now + seconds,
        )
