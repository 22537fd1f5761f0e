"""A run's event stream: reading Server-Sent Events, and going on where a connection broke."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

from ._context import Context, ReadOptions
from ._exchange import Call, exchange, malformed, within
from ._flow import Answer, Close, Emit, Failure, Read, Sleep, Step, Stream
from ._models import Run
from ._streams import pause_or_raise

EventType = Literal["run", "failure", "end"]
_TYPES: Final = frozenset({"run", "failure", "end"})
_FIRST_RETRY_SECONDS: Final = 1.0
_MAX_RETRY_SECONDS: Final = 30.0
_MAX_EVENT_CHARS: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class RunEvent:
    """Something that happened to a run.

    type: "run", its state or counts changed; "failure", an item errored; "end", it has ended. run: as it stands then, None for a
    failure. line: the failed item's result line, None otherwise. id: what ``after`` takes to go on from here.
    """

    type: EventType
    run: Run | None = None
    line: dict[str, Any] | None = None
    id: str | None = None


@dataclass(frozen=True, slots=True)
class SentEvent:
    """An event as it came. id: the last one named so far."""

    type: str
    data: str
    id: str | None


class EventParser:
    """Server-Sent Events out of pieces of any size (WHATWG HTML, section 9.2.6). retry_seconds: as the server asked."""

    def __init__(self, last_id: str | None = None) -> None:
        self.last_id = last_id
        self.retry_seconds = _FIRST_RETRY_SECONDS
        self._rest = b""
        self._type = ""
        self._data: list[str] = []

    def feed(self, piece: bytes) -> Iterator[SentEvent]:
        """The events that ``piece`` completes. ValueError: it goes on without end, or is no UTF-8."""
        *lines, self._rest = (self._rest + piece).split(b"\n")
        if len(self._rest) + sum(map(len, self._data)) > _MAX_EVENT_CHARS:
            raise ValueError("an event is longer than 4 MiB")
        for line in lines:
            if found := self._read(line.removesuffix(b"\r").decode()):
                yield found

    def _read(self, line: str) -> SentEvent | None:
        if not line:
            return self._dispatched()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "event":
                self._type = value
            case "data":
                self._data.append(value)
            case "id" if "\0" not in value:
                self.last_id = value or None
            case "retry" if value.isascii() and value.isdigit() and len(value) < 10:
                self.retry_seconds = min(int(value) / 1000, _MAX_RETRY_SECONDS)
            case _:
                pass  # a comment, which begins with the colon, or what a later server says
        return None

    def _dispatched(self) -> SentEvent | None:
        kind, data, self._type, self._data = self._type, self._data, "", []
        return SentEvent(kind or "message", "\n".join(data), self.last_id) if data else None


def watch(context: Context, path: str, after: str | None, options: ReadOptions) -> Stream[RunEvent]:
    """Emit what happens to the run at ``path`` until its end.

    Raises NetworkError once the connection broke more than ``max_retries`` times without an event in between, and ApiError for
    events that are none.
    """
    broken, left, parser = 0, within(context, options), EventParser(after)
    while True:
        headers = {"Accept": "text/event-stream", **({"Last-Event-ID": parser.last_id} if parser.last_id else {})}
        call = Call("GET", f"{path}/events", headers=headers, is_bulk=True, is_streamed=True)
        answer = yield from exchange(context, call, left())
        if answer.status == 204:
            yield Close()
            return
        parser = EventParser(parser.last_id)
        end = yield from _read(answer, parser)
        yield Close()
        if end.is_over:
            return
        if end.failure is None:
            broken = 0
            yield Sleep(parser.retry_seconds)
            continue
        broken = 1 if end.has_progressed else broken + 1
        yield Sleep(pause_or_raise(context, answer, end.failure, broken))


@dataclass(frozen=True, slots=True)
class _End:
    """How one connection ended. failure: why too soon, None for a right end. is_over: the run has ended."""

    failure: Failure | None = None
    has_progressed: bool = False
    is_over: bool = False


def _read(answer: Answer, parser: EventParser) -> Generator[Step | Emit[RunEvent], Any, _End]:
    has_progressed = False
    while True:
        piece = yield Read()
        if isinstance(piece, Failure):
            return _End(piece, has_progressed)
        if piece is None:
            return _End(None, has_progressed)
        try:
            values = [_value(sent) for sent in parser.feed(piece) if sent.type in _TYPES]
        except ValueError as error:
            raise malformed(answer, f"an event cannot be read: {error}") from error
        ends = next((place for place, value in enumerate(values) if value.type == "end"), None)
        if values:
            has_progressed = True
            yield Emit(values if ends is None else values[: ends + 1])
        if ends is not None:
            return _End(None, has_progressed, is_over=True)


def _value(sent: SentEvent) -> RunEvent:
    """ValueError where the data is not what an event of its type carries."""
    body = json.loads(sent.data)
    if not isinstance(body, dict):
        raise ValueError("an event's data is no object")
    kind = cast("EventType", sent.type)
    if kind == "failure":
        return RunEvent(kind, line=body, id=sent.id)
    return RunEvent(kind, run=Run.model_validate(body), id=sent.id)
