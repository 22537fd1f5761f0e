"""Single items answered at once, for callers who wait: in children of their own, outside of every run.

A child is the same process that works on runs, so what is promised of items holds here too: one that crashes, hangs or eats the
memory ends its child alone. Nothing is durable, nothing is tried again; a caller who goes takes the work along.
"""

from __future__ import annotations

import json
import select
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from queue import Empty, Full, Queue
from typing import Any, Final

import msgspec

from amends.engine._loading import installed_processors
from amends.engine._process import resident_bytes
from amends.engine._wire import Begin, Chunk, Opened, Prepare, Ready, Results, from_child
from amends.engine.worker import Child
from amends.ledger import LeasedItem, Outcome, pack_items
from amends.problems import Problem, problem

__all__ = ["Answering", "Asked", "Busy"]

_LOOK_SECONDS: Final = 0.05
_IDLE_SECONDS: Final = 60.0
"""A child that nobody asks for so long is ended, and its models with it."""
_PIECE: Final = 1 << 18
_WAITING: Final = 64

_CAUSES: Final = {
    "WORKER_CRASHED": "The process that worked on it died",
    "ITEM_TIMED_OUT": "It was stopped because it did not end in time",
    "ITEM_OUT_OF_MEMORY": "It was stopped because it needed more memory than allowed",
}

_outcomes = msgspec.msgpack.Decoder(list[Outcome])


class Busy(Exception):
    """More callers wait than are let in."""


class _Gone(Exception):
    """Nobody waits for the answer any more."""


class Asked:
    """One item on its way. ``answer``: its result line, decoded, without ``object`` and ``batch_id``."""

    def __init__(self, kind: str, mode: str, params: bytes, payload: bytes, until: float) -> None:
        self.kind = kind
        self.mode = mode
        self.params = params
        self.payload = payload
        self.until = until
        self.answer: Future[dict[str, Any]] = Future()
        self.is_wanted = True

    def drop(self) -> None:
        """Nobody waits for it any more: what is running is stopped."""
        self.is_wanted = False


class Answering:
    """Children that answer single items. A child is started when somebody asks, and loads what it is asked for.

    children: at most, each in a thread of its own. blobs, cache, threads: what children are told, as in ``Engine``.
    memory_bytes: resident memory at which a child is killed.
    """

    def __init__(
        self,
        *,
        blobs: Path,
        cache: Path,
        children: int = 1,
        threads: int = 1,
        memory_bytes: int,
        processors: Mapping[str, str] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._blobs = blobs
        self._cache = cache
        self._children = children
        self._threads = threads
        self._memory_bytes = memory_bytes
        self._processors = dict(installed_processors() if processors is None else processors)
        self._monotonic = monotonic
        self._waiting: Queue[Asked | None] = Queue(_WAITING)
        self._lock = threading.Lock()
        self._places: list[threading.Thread] = []
        self._pids: set[int] = set()
        self._is_closed = False

    def ask(self, kind: str, params: Mapping[str, Any], payload: bytes, *, seconds: float, mode: str = "live") -> Asked:
        """Have the item answered within so many seconds. Raises Busy."""
        asked = Asked(kind, mode, json.dumps(dict(params)).encode(), payload, self._monotonic() + seconds)
        with self._lock:
            if self._is_closed:
                raise Busy
            try:
                self._waiting.put_nowait(asked)
            except Full:
                raise Busy from None
            if len(self._places) < self._children:
                # The system kills a child when the thread that started it ends, so each has one that stays.
                place = threading.Thread(target=self._serve, name="amends-answering", daemon=True)
                self._places.append(place)
                place.start()
        return asked

    def pids(self) -> list[int]:
        """The process ids of the children there are."""
        return sorted(self._pids)

    def close(self) -> None:
        """End the children; whoever still waits is told nothing more."""
        with self._lock:
            self._is_closed = True
            places = list(self._places)
        for place in places:
            place.join()

    def _serve(self) -> None:
        child: _AnsweringChild | None = None
        idle_since = self._monotonic()
        try:
            while not self._is_closed:
                try:
                    asked = self._waiting.get(timeout=_LOOK_SECONDS)
                except Empty:
                    if child is not None and self._monotonic() >= idle_since + _IDLE_SECONDS:
                        self._end(child)
                        child = None
                    continue
                if asked is None or not asked.is_wanted:
                    continue
                child = self._answer(child, asked)
                idle_since = self._monotonic()
        finally:
            if child is not None:
                self._end(child)

    def _answer(self, child: _AnsweringChild | None, asked: Asked) -> _AnsweringChild | None:
        """Answer with the child there is or a new one; the child to go on with, None where it had to be ended."""
        try:
            child = child or self._start()
            asked.answer.set_result(child.answer(asked, self._must_end))
            return child
        except _Gone:
            asked.answer.cancel()
        except _Died as error:
            asked.answer.set_result({"status": "errored", "output": None, "error": error.problem.to_body("")})
        except Exception as error:
            asked.answer.set_exception(error)
        if child is not None:
            self._end(child)
        return None

    def _start(self) -> _AnsweringChild:
        prepare = Prepare(self._processors, str(self._blobs), str(self._cache), self._threads, max_attempts=1)
        child = _AnsweringChild(prepare)
        self._pids.add(child.pid)
        return child

    def _end(self, child: _AnsweringChild) -> None:
        child.close()
        self._pids.discard(child.pid)

    def _must_end(self, asked: Asked, pid: int) -> None:
        """Looked at while a child works. Raises _Gone, _Died."""
        if self._is_closed or not asked.is_wanted:
            raise _Gone
        if self._monotonic() >= asked.until:
            raise _Died("ITEM_TIMED_OUT")
        if (resident_bytes(pid) or 0) > self._memory_bytes:
            raise _Died("ITEM_OUT_OF_MEMORY")


class _Died(Exception):
    def __init__(self, error_code: str) -> None:
        super().__init__(error_code)
        self.problem: Problem = problem("batch_item_processing_failed", _CAUSES[error_code], error_code=error_code)


class _AnsweringChild:
    """A child, and the conversation with it."""

    def __init__(self, prepare: Prepare) -> None:
        self._child = Child()
        self._prepare = prepare
        self._chunk_no = 0
        self._child.channel.send(prepare)

    @property
    def pid(self) -> int:
        return self._child.process.pid

    def answer(self, asked: Asked, look: Callable[[Asked, int], None]) -> dict[str, Any]:
        """The item's result line. Raises what ``look`` raises, and _Died where the child does."""
        self._chunk_no += 1
        run_id = f"answer_{self._chunk_no}"
        begin = Begin(run_id, asked.kind, asked.mode, asked.params, "", "", 1)
        self._child.channel.send(begin)
        self._child.channel.send(Chunk(self._chunk_no, pack_items([LeasedItem(0, "item", asked.payload)])))
        while True:
            self._wait()
            look(asked, self.pid)
            for message in self._messages():
                if isinstance(message, Results) and message.chunk_no == self._chunk_no:
                    for outcome in _outcomes.decode(message.outcomes):
                        return _line(outcome, self._prepare.blobs)
            if not self._child.channel.is_open or self._child.process.poll() is not None:
                raise _Died("WORKER_CRASHED")

    def close(self) -> None:
        self._child.close()

    def _wait(self) -> None:
        poll = select.poll()  # not select, which knows the first 1,024 descriptors only
        events = select.POLLIN | (select.POLLOUT if self._child.channel.has_unsent else 0)
        poll.register(self._child.channel.connection, events)
        poll.poll(_LOOK_SECONDS * 1000)
        self._child.channel.flush()

    def _messages(self) -> list[Ready | Opened | Results]:
        return [from_child.decode(data) for data in self._child.channel.read()]


def _line(outcome: Outcome, blobs: str) -> dict[str, Any]:
    from amends.blobs import LocalBlobs

    line = outcome.line
    if line[:1] == b"@":
        line = LocalBlobs(blobs).get(line[1:].decode())
    members: dict[str, Any] = msgspec.json.decode(b"{" + line)
    return members
