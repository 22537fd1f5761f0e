"""Result streams and downloads that go on where a connection broke."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from typing import Any, Literal, Protocol

from amends.resilience import backoff

from ._context import LOGGER, Context, ReadOptions
from ._exceptions import NetworkError, RequestTimeoutError
from ._exchange import Call, exchange, malformed, wait_for_token, within
from ._flow import Answer, Close, Emit, Failure, Flow, Read, Sleep, Step, Stream
from ._json import decode_lines

Mark = Literal["custom_id", "cursor"]
"""The member of a line that says where to go on after it."""


class ResultStream:
    """Lines of a result stream as values.

    call_after: the call that answers with the lines after a mark, or from the start for None. watch: sees the raw bytes
    of complete lines before they are emitted, in order, each once.
    """

    def __init__(
        self,
        context: Context,
        call_after: Callable[[str | None], Call],
        options: ReadOptions,
        *,
        mark: Mark = "custom_id",
        after: str | None = None,
        watch: Callable[[bytes], object] | None = None,
    ) -> None:
        self._context = context
        self._call_after = call_after
        self._options = options
        self._mark = mark
        self._after = after
        self._watch = watch

    def lines(self) -> Stream[dict[str, Any]]:
        """Emit the lines a block at a time.

        Raises NetworkError once the connection broke more than ``max_retries`` times without a line in between, and
        ApiError for lines that are none.
        """
        broken, options = 0, within(self._context, self._options)
        while True:
            answer = yield from exchange(self._context, self._call_after(self._after), options())
            before = self._after
            failure = yield from self._read(answer)
            yield Close()
            has_progressed = self._after != before
            if failure is None and (answer.is_framed or not has_progressed):
                return
            broken = 1 if has_progressed else broken + 1
            if failure is not None:
                yield Sleep(pause_or_raise(self._context, answer, failure, broken))
                yield from wait_for_token(self._context, options)

    def _read(self, answer: Answer) -> Generator[Step | Emit[dict[str, Any]], Any, Failure | None]:
        """Emit what comes; return why it ended too soon, None for a right end."""
        parts: list[bytes] = []
        while True:
            piece = yield Read()
            if isinstance(piece, Failure):
                return piece
            if piece is None:
                break
            cut = piece.rfind(b"\n") + 1
            if cut:
                yield Emit(self._values(answer, b"".join([*parts, piece[:cut]])))
                parts = []
            if cut < len(piece):
                parts.append(piece[cut:])
        if not parts:
            return None
        # The start of an object is never an object: what can be read is a whole line without its line break.
        rest = b"".join(parts)
        try:
            decode_lines(rest)
        except ValueError as error:
            return Failure(error)
        yield Emit(self._values(answer, rest + b"\n"))
        return None

    def _values(self, answer: Answer, block: bytes) -> list[dict[str, Any]]:
        try:
            values = decode_lines(block)
        except ValueError as error:
            raise malformed(answer, f"a result line cannot be read: {error}") from error
        if values:
            mark = values[-1].get(self._mark)
            if not isinstance(mark, str):
                raise malformed(answer, f"a result line has no {self._mark}")
            self._after = mark
        if self._watch is not None:
            self._watch(block)
        return values


class Sink(Protocol):
    """Where a download goes: a binary file, open for writing."""

    def write(self, piece: bytes, /) -> object: ...

    def seek(self, place: int, /) -> object: ...

    def truncate(self, size: int, /) -> object: ...


def download(
    context: Context,
    path: str,
    sink: Sink,
    options: ReadOptions,
    *,
    query: Mapping[str, Any] | None = None,
    accept: str = "*/*",
) -> Flow[int]:
    """Write the content at ``path`` to ``sink``; return its size in bytes. Goes on by range where the bytes are the same.

    Raises NetworkError once the connection broke more than ``max_retries`` times without a byte in between.
    """
    done, furthest, broken, left = 0, 0, 0, within(context, options)
    etag: str | None = None
    while True:
        headers = {"Accept": accept, "Accept-Encoding": "identity"}
        if done and etag:
            headers.update({"Range": f"bytes={done}-", "If-Range": etag})
        call = Call("GET", path, query or {}, headers=headers, is_bulk=True, is_streamed=True)
        answer = yield from exchange(context, call, left())
        if answer.status != 206:
            done = 0
        elif not _is_the_rest(answer, done):
            raise malformed(answer, "the range is not the one asked for")
        etag = answer.headers.get("etag")
        done, failure = yield from _poured(sink, done)
        yield Close()
        if failure is None:
            return done
        # Where each try begins anew, getting as far as before is no progress.
        broken = 1 if done > furthest else broken + 1
        furthest = max(done, furthest)
        yield Sleep(pause_or_raise(context, answer, failure, broken))
        yield from wait_for_token(context, left)


def _poured(sink: Sink, start: int) -> Flow[tuple[int, Failure | None]]:
    """Write what comes from ``start`` on; return how far that went, and why it broke off, None where it came to its end."""
    sink.seek(start)
    sink.truncate(start)
    done = start
    while piece := (yield Read()):
        if isinstance(piece, Failure):
            return done, piece
        sink.write(piece)
        done += len(piece)
    return done, None


def _is_the_rest(answer: Answer, start: int) -> bool:
    """Whether a 206 holds everything from ``start`` on (RFC 9110, section 14.4)."""
    span, _, total = answer.headers.get("content-range", "").partition("/")
    return total.isdecimal() and len(total) < 20 and span == f"bytes {start}-{int(total) - 1}"


def pause_or_raise(context: Context, answer: Answer, failure: Failure, broken: int) -> float:
    """How long to wait before a stream is asked for again. broken: how often in a row it broke without anything new."""
    if broken > context.policy.max_retries:
        kind = RequestTimeoutError if failure.is_timeout else NetworkError
        raise kind(f"The answer broke off: {failure.error!r}.", answer.attempts) from failure.error
    LOGGER.info("stream_broke_off", extra={"error": repr(failure.error), "broken": broken})
    return backoff(broken, base_seconds=1.0, cap_seconds=30.0, draw=context.draw, jitter="proportional")
