"""A run's event stream: Server-Sent Events (WHATWG HTML, section 9.2), made from the ledger and so the same after a restart.

    event: run        its object, whenever that has changed
    event: failure    the result line of an item that errored, in the order of completion
    event: end        its object, once it has ended; nothing follows

``id`` is the place in the order of completion up to which failures have been told: whoever comes again with it as
``Last-Event-ID`` misses none and hears of none twice. What was cancelled or expired shows in the counts.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Final

from starlette.responses import Response, StreamingResponse

from amends.ledger import Run
from amends.problems import FieldError, ProblemError, validation_failed
from amends.server.answers import encode
from amends.server.results import filled
from amends.server.services import Services
from amends.server.threads import in_thread

EVENT_STREAM: Final = "text/event-stream"
TICK_SECONDS: Final = 0.5
_BEAT_SECONDS: Final = 15.0
"""Proxies cut a connection that says nothing, usually after 30 or 60 seconds."""
_RETRY_MS: Final = 1_000
_MAX_PLACE: Final = 2**63 - 1
_ENDED: Final = "end"

ShowRun = Callable[[Run], dict[str, Any]]


def events(hub: Services, run: Run, show: ShowRun, after: str | None) -> Response:
    """The stream after the event of that id; 204 to who has heard of the end, which tells browsers to stop.

    ProblemError validation_failed for an id that is of no event.
    """
    place = place_of(after)
    if place is None:
        return Response(status_code=204)
    stream = RunEvents(hub, run.id, show, place).pieces()
    return StreamingResponse(stream, media_type=EVENT_STREAM, headers={"Cache-Control": "no-store"})


def place_of(event_id: str | None) -> int | None:
    """The ledger's cursor that an event id stands for, -1 for the beginning; None for the end."""
    if not event_id:
        return -1
    if event_id == _ENDED:
        return None
    if not (event_id.isascii() and event_id.isdigit() and int(event_id) <= _MAX_PLACE):
        fault = FieldError.at(("header", "Last-Event-ID"), "Last-Event-ID must be the id of an event of this stream")
        raise ProblemError(validation_failed([fault]))
    return int(event_id)


def event(kind: str, data: bytes, place: int | str) -> bytes:
    """One event. data: JSON without raw line breaks, which would end it; place -1: before any, so without an id."""
    name = b"" if place == -1 else f"id: {place}\n".encode()
    return b"event: %b\n%bdata: %b\n\n" % (kind.encode(), name, data)


class RunEvents:
    """One listener. place: the cursor of the last failure it has heard of."""

    def __init__(self, hub: Services, run_id: str, show: ShowRun, place: int) -> None:
        self._hub = hub
        self._run_id = run_id
        self._show = show
        self._place = place
        self._shown = b""
        self._lasts_until = time.monotonic() + hub.settings.limits.event_stream_seconds

    async def pieces(self) -> AsyncIterator[bytes]:
        """Until the run has ended, is gone, or the stream has lasted long enough: whoever listens comes again."""
        yield b"retry: %d\n\n" % _RETRY_MS
        spoke_at = time.monotonic()
        while (run := await in_thread(self._hub.ledger.get, self._run_id)) is not None:
            async for piece in self._news(run):
                yield piece
                spoke_at = time.monotonic()
            now = time.monotonic()
            if run.is_terminal or now >= self._lasts_until or self._hub.stopping.is_set():
                return
            if now >= spoke_at + _BEAT_SECONDS:
                yield b": still here\n\n"
                spoke_at = now
            await asyncio.sleep(TICK_SECONDS)

    async def _news(self, run: Run) -> AsyncIterator[bytes]:
        if run.lines_deleted_at is None:
            while piece := await in_thread(self._failures):
                yield piece
        # Everything that had ended when the run was read has been looked through.
        self._place = max(self._place, run.counts.ended - 1)
        data = encode(self._show(run))
        if run.is_terminal:
            yield event("end", data, _ENDED)
        elif data != self._shown:
            self._shown = data
            yield event("run", data, self._place)

    def _failures(self) -> bytes:
        chunk = self._hub.ledger.results_by_completion(self._run_id, after=self._place, status="errored", limit=500)
        if chunk.last is None:
            return b""
        first, self._place = self._place, chunk.last
        return b"".join(self._told(chunk.lines, first))

    def _told(self, lines: bytes, place: int) -> Iterator[bytes]:
        for piece in filled(lines, self._run_id, self._hub.blobs):
            for line in piece.splitlines():
                place = _cursor_of(line, place)
                yield event("failure", line, place)


def _cursor_of(line: bytes, otherwise: int) -> int:
    """The place that a line in the order of completion names."""
    before, mark, rest = line.partition(b'"cursor":"')
    return int(rest[: rest.index(b'"')]) if mark and before else otherwise
