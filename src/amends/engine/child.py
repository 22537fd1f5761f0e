"""The child's process, ``python -m amends.engine.child``: runs processors on the items its supervisor hands it.

Whatever happens here, the supervisor outlives it: an item that crashes, hangs or eats the memory ends this process alone.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, cast

from amends.blobs import LocalBlobs
from amends.engine._composer import AnotherTry, Composer, no_processor, unexpected
from amends.engine._loading import Processors, UnknownKind
from amends.engine._process import die_with_parent
from amends.engine._simulation import SimulatedItems
from amends.engine._wire import Begin, Chunk, Drop, Incoming, Opened, Prepare, Ready, Results, frame, raw, to_child
from amends.engine.processor import CallSession, Failed, Job, Result, Session, Surroundings, WorkItem
from amends.ledger import LeasedItem, Outcome, ResultLines, unpack_items
from amends.problems import Problem, ProblemError

log = logging.getLogger("amends.engine.child")

FLUSH_SECONDS: Final = 0.05
"""A finished item waits at most so long for the slow one beside it."""

_IDLE_ROUNDS: Final = 20


class Outbox:
    """Collects what becomes of items and sends it on: each 50 ms, and when a chunk is done.

    A thread sends while the processor is busy, as far as the processor leaves the interpreter to it. It goes on for a
    while after the last chunk: to be woken for each would cost more than the work on a small one.
    """

    def __init__(self, send: Callable[[Results], None], monotonic: Callable[[], float] = time.monotonic) -> None:
        self._send = send
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._chunk_no = 0
        self._seqs: list[int] = []
        self._outcomes: list[Outcome] = []
        self._tries: list[AnotherTry] = []
        self._sent_at = 0.0
        self._is_busy = False
        self._is_awake = threading.Event()
        threading.Thread(target=self._send_regularly, name="outbox", daemon=True).start()

    def begin(self, chunk_no: int) -> None:
        with self._lock:
            self._chunk_no = chunk_no
            self._sent_at = self._monotonic()
            self._is_busy = True
            if not self._is_awake.is_set():
                self._is_awake.set()

    def add(self, seq: int, outcome: Outcome | AnotherTry) -> None:
        with self._lock:
            self._seqs.append(seq)
            if type(outcome) is Outcome:
                self._outcomes.append(outcome)
            elif isinstance(outcome, AnotherTry):
                self._tries.append(outcome)

    def finish(self) -> None:
        """The chunk is done."""
        with self._lock:
            self._is_busy = False
            self._flush(is_last=True)

    def _send_regularly(self) -> None:
        idle = 0
        while True:
            self._is_awake.wait()
            time.sleep(FLUSH_SECONDS)
            with self._lock:
                idle = 0 if self._is_busy else idle + 1
                if self._is_busy and self._seqs:
                    self._flush(is_last=False)
                if idle > _IDLE_ROUNDS:
                    self._is_awake.clear()

    def _flush(self, *, is_last: bool) -> None:
        now = self._monotonic()
        deferred = [another.deferral for another in self._tries]
        attempts = [another.attempt for another in self._tries]
        self._send(
            Results(self._chunk_no, self._seqs, raw(self._outcomes), deferred, attempts, now - self._sent_at, is_last)
        )
        self._seqs, self._outcomes, self._tries = [], [], []
        self._sent_at = now


class DirectOutbox:
    """Sends what becomes of the calls of one chunk as soon as it is known, until they are stopped."""

    def __init__(self, send: Callable[[Results], None], chunk_no: int) -> None:
        self._send = send
        self._chunk_no = chunk_no
        self.is_stopped = False

    def add(self, seq: int, outcome: Outcome | AnotherTry) -> None:
        if isinstance(outcome, AnotherTry):
            self._tell([seq], [], [outcome])
        else:
            self._tell([seq], [outcome], [])

    def finish(self) -> None:
        """The chunk is done."""
        self._tell([], [], [], is_last=True)

    def _tell(
        self, seqs: list[int], outcomes: list[Outcome], tries: list[AnotherTry], *, is_last: bool = False
    ) -> None:
        if not self.is_stopped:
            deferred, attempts = [one.deferral for one in tries], [one.attempt for one in tries]
            self._send(Results(self._chunk_no, seqs, raw(outcomes), deferred, attempts, 0.0, is_last))


class Opener:
    """Opens each processor once, so that its models are loaded once a child."""

    def __init__(self, processors: Processors, surroundings: Surroundings) -> None:
        self.processors = processors
        self._surroundings = surroundings
        self._sessions: dict[str, Session] = {}

    def session(self, kind: str) -> Session | Problem:
        """The open session; the problem of every item where it cannot be opened."""
        try:
            if kind not in self._sessions:
                self._sessions[kind] = self.processors[kind].open(self._surroundings)
        except UnknownKind:
            log.error("processor_not_installed", extra={"subject": kind})
            return no_processor(kind)
        except Exception as error:
            return _problem_of(error, "processor_not_opened", kind)
        return self._sessions[kind]

    def close(self) -> None:
        for session in self._sessions.values():
            session.close()


class Assignment:
    """The run that the chunks belong to. blobs: where long payloads come from and long lines go."""

    def __init__(
        self,
        begin: Begin,
        session: Session | Problem,
        blobs: LocalBlobs,
        max_attempts: int,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self._session = session
        self._blobs = blobs
        self._batch_size = begin.batch_size
        params = json.loads(begin.params or b"{}")
        self._simulated = SimulatedItems(params) if begin.mode == "test" else None
        params = self._simulated.params if self._simulated else params
        self._job = Job(begin.run_id, begin.mode, params, settings or {}, begin.deadline, begin.upstream)
        self._composer = Composer(
            ResultLines(begin.run_id, begin.request_id, begin.public_url),
            max_attempts=sys.maxsize if begin.is_probe else max_attempts,
            draw=random.random,
            clock=time.time,
            keep=lambda line: blobs.put(line).sha256,
            credits_per_cost=(settings or {}).get("credits_per_cost", 0.0),
        )

    def work_on(self, packed: bytes, outbox: Outbox | DirectOutbox) -> None:
        """Give every item of the chunk its outcome or another try."""
        items = list(unpack_items(packed))
        size = len(items) if self._job.upstream else self._batch_size
        for start in range(0, len(items), size):
            self._batch(items[start : start + size], outbox)

    def stop(self, packed: bytes) -> None:
        """Stop the calls of a chunk."""
        if not isinstance(self._session, Problem):
            keys = [f"{self._job.run_id}:{item.seq}" for item in unpack_items(packed)]
            cast("CallSession", self._session).stop(keys)

    def _batch(self, items: Sequence[LeasedItem], outbox: Outbox | DirectOutbox) -> None:
        unanswered = {item.seq: item for item in items}
        started = time.perf_counter()
        problem = None
        try:
            for result in self._results(items):
                item = unanswered.pop(result.seq, None)
                now = time.perf_counter()
                if item is None:
                    log.error("result_of_no_item", extra={"run_id": self._job.run_id, "seq": result.seq})
                else:
                    outbox.add(item.seq, self._composed(item, result, int((now - started) * 1000)))
                if not self._job.upstream:  # calls began together, others one after the other
                    started = now
        except Exception as error:
            problem = _problem_of(error, "item_failed_unexpectedly", self._job.run_id, alone=len(items) == 1)
        if not unanswered or (isinstance(outbox, DirectOutbox) and outbox.is_stopped):
            return
        if len(items) > 1:
            for item in unanswered.values():  # nobody knows which of them it was: each by itself
                self._batch([item], outbox)
            return
        elapsed_ms = int((time.perf_counter() - started) * 1000)
        failed = Failed(items[0].seq, problem or unexpected())
        outbox.add(items[0].seq, self._composed(items[0], failed, elapsed_ms))

    def _results(self, items: Sequence[LeasedItem]) -> Iterator[Result]:
        if isinstance(self._session, Problem):
            return iter([Failed(item.seq, self._session) for item in items])
        work = self._work_items(items)
        if self._simulated is None:
            return self._session.process(self._job, work)
        return self._in_test_mode(self._session, self._simulated, list(zip(items, work, strict=True)))

    def _in_test_mode(
        self, session: Session, simulated: SimulatedItems, items: Sequence[tuple[LeasedItem, WorkItem]]
    ) -> Iterator[Result]:
        """Items that ask for nothing first and together, the others one by one: each may wait for minutes."""
        read = [(leased, *simulated.read(item)) for leased, item in items]
        if plain := [item for _, asked, item in read if asked is None]:
            yield from session.process(self._job, plain)
        for leased, asked, item in read:
            if asked is not None and (failure := simulated.failure(asked, leased)) is not None:
                yield Failed(item.seq, failure)
            elif asked is not None:
                yield from session.process(self._job, [item])

    def _work_items(self, items: Sequence[LeasedItem]) -> list[WorkItem]:
        run_id = self._job.run_id
        return [
            WorkItem(item.seq, f"{run_id}:{item.seq}", self._payload(item.payload), item.attempts + item.deaths)
            for item in items
        ]

    def _payload(self, payload: bytes) -> bytes:
        return self._blobs.get(payload[1:].decode()) if payload[:1] == b"@" else payload

    def _composed(self, item: LeasedItem, result: Result, elapsed_ms: int) -> Outcome | AnotherTry:
        try:
            return self._composer.compose(item, result, elapsed_ms)
        except Exception as error:  # a result that cannot be kept must not take its neighbours along
            problem = _problem_of(error, "result_not_kept", self._job.run_id)
            return self._composer.compose(item, Failed(item.seq, problem), elapsed_ms)


def _problem_of(error: Exception, event: str, subject: str, *, alone: bool = True) -> Problem:
    if isinstance(error, ProblemError):
        if error.log_detail:
            log.error(event, extra={"subject": subject, "detail": error.log_detail})
        return error.problem
    if alone:
        log.error(event, exc_info=error, extra={"subject": subject})
    return unexpected()


class Child:
    """Answers the supervisor's messages, one after the other."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._sending = threading.Lock()
        self._outbox = Outbox(self._send)
        self._calls: dict[int, tuple[Assignment, Chunk, DirectOutbox]] = {}

    def run(self) -> None:
        """Until the supervisor's socket ends."""
        messages = iter(Incoming(self._connection).receive, None)
        prepare = to_child.decode(next(messages))
        assert isinstance(prepare, Prepare)
        settings = json.loads(prepare.settings)
        surroundings = Surroundings(Path(prepare.blobs), Path(prepare.cache), prepare.threads, settings)
        opener = Opener(Processors(prepare.processors), surroundings)
        blobs = LocalBlobs(prepare.blobs)
        self._send(Ready())
        assignment: Assignment | None = None
        makes_calls = False
        for data in messages:
            message = to_child.decode(data)
            if isinstance(message, Begin):
                makes_calls = bool(message.upstream)
                assignment = Assignment(message, opener.session(message.kind), blobs, prepare.max_attempts, settings)
                self._send(Opened())
            elif isinstance(message, Chunk):
                assert assignment is not None, "a chunk follows the beginning of its run"
                if makes_calls:
                    self._call(assignment, message)
                    continue
                self._outbox.begin(message.no)
                assignment.work_on(message.packed, self._outbox)
                self._outbox.finish()
            elif isinstance(message, Drop):
                self._drop(message.chunk_no)
        opener.close()

    def _call(self, assignment: Assignment, chunk: Chunk) -> None:
        """Work on a chunk of calls beside all others."""
        outbox = DirectOutbox(self._send, chunk.no)
        self._calls[chunk.no] = (assignment, chunk, outbox)

        def work() -> None:
            assignment.work_on(chunk.packed, outbox)
            self._calls.pop(chunk.no, None)
            outbox.finish()

        threading.Thread(target=work, name=f"calls-{chunk.no}", daemon=True).start()

    def _drop(self, chunk_no: int) -> None:
        call = self._calls.pop(chunk_no, None)
        if call is not None:
            assignment, chunk, outbox = call
            outbox.is_stopped = True
            assignment.stop(chunk.packed)

    def _send(self, message: Any) -> None:
        with self._sending:
            self._connection.sendall(frame(message))


def main(arguments: Iterable[str] | None = None) -> None:
    """Run a child on the socket whose descriptor is given, for the supervisor whose process id is given."""
    parser = argparse.ArgumentParser(prog="python -m amends.engine.child")
    parser.add_argument("descriptor", type=int)
    parser.add_argument("supervisor_pid", type=int)
    options = parser.parse_args(None if arguments is None else list(arguments))
    die_with_parent(options.supervisor_pid)
    for number in (signal.SIGINT, signal.SIGTERM):  # the supervisor decides when this process ends
        signal.signal(number, signal.SIG_IGN)
    logging.basicConfig(level=logging.WARNING)
    Child(socket.socket(fileno=options.descriptor)).run()


if __name__ == "__main__":
    main()
