"""Limits on a request, kept before it is parsed: headers, size and nesting of a JSON body.

Where files and many items are sent, NDJSON and multipart bodies pass as streams; their readers keep their own limits (a line, a file,
a field). Everywhere else a body is held to the limit of JSON, whatever it says that it is: the framework reads it whole before it looks.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from itertools import chain
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from amends.problems import ProblemError, problem
from amends.server.settings import LimitSettings

_NOT_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))
_SQUARED: Final = bytes.maketrans(b"{}", b"[]")
STRANGERS_BYTES: Final = 256 << 10
"""Largest body of somebody who is not known: a login, a form, an answer. Parsed, a body may be thirty times as large."""
_STRANGERS_SECONDS: Final = 30.0
_INLINE_BYTES: Final = 64 << 10
_PIECE_BYTES: Final = 256 << 10
_BUSY_SECONDS: Final = 1.0
_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_FRAMING: Final = frozenset({b"content-length", b"transfer-encoding"})
_STREAMED: Final = (
    "multipart/",
    "application/x-ndjson",
    "application/jsonl",
    "application/octet-stream",
    "application/offset+octet-stream",
)
_STREAMING: Final = re.compile(
    r"/v1/(?:files|uploads(?:/[^/]+)?|batch-predictions|datasets/[^/]+/datapoints)|/openai/v1/files"
)
"""The paths whose handlers read the body by themselves, as it comes."""


class Held:
    """What is held in memory of the bodies of all requests together, for the event loop alone. most: bytes; beyond it whoever sends
    more is asked to come again, unless nobody else holds any."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.size = 0


class Hold:
    """What is held of one body, until its ``release``. size: bytes."""

    def __init__(self, held: Held) -> None:
        self.size = 0
        self._held = held

    def add(self, size: int) -> None:
        """ProblemError service_unavailable where it is too much with what others hold."""
        self.size += size
        self._held.size += size
        if self._held.size > self._held.most and self._held.size > self.size:
            raise ProblemError(problem("service_unavailable", retry_after=_BUSY_SECONDS))

    def release(self) -> None:
        self._held.size -= self.size
        self.size = 0


class Limits:
    """ASGI middleware. A JSON body is read whole here, looked at, and handed on in one piece.

    What is held of all bodies together is bounded too: beyond that a request is asked to come again.
    """

    def __init__(self, app: ASGIApp, limits: LimitSettings, held: Held) -> None:
        self.app = app
        self.limits = limits
        self._held = held
        # Of their own: who is not known and sends slowly is not to keep out who is.
        self._strangers = Held(min(held.most, 64 * STRANGERS_BYTES))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._check_headers(scope)
        _check_coding(scope)
        if not _has_body(scope) or _is_streamed(scope):
            await self.app(scope, receive, send)
            return
        is_known = scope.get("state", {}).get("caller") is not None
        limit = self.limits.json_body_bytes
        hold = Hold(self._held if is_known else self._strangers)
        try:
            if is_known:
                receive = await self._read(scope, receive, hold, limit)
            else:
                receive = await self._read_strangers(scope, receive, hold, min(limit, STRANGERS_BYTES))
            await self.app(scope, receive, send)
        finally:
            hold.release()

    def _check_headers(self, scope: Scope) -> None:
        size = len(scope.get("raw_path") or b"") + len(scope["query_string"])
        size += sum(map(len, chain.from_iterable(scope["headers"])))
        if size > self.limits.header_bytes:
            raise ProblemError(
                problem(
                    "malformed_request", f"Path, query and headers together exceed {self.limits.header_bytes} bytes."
                )
            )

    async def _read_strangers(self, scope: Scope, receive: Receive, hold: Hold, limit: int) -> Receive:
        """Within some time: some dozens who never come to an end would otherwise keep out everybody else who is to log in."""
        try:
            async with asyncio.timeout(_STRANGERS_SECONDS):
                return await self._read(scope, receive, hold, limit)
        except TimeoutError as error:
            detail = f"The body did not come within {_STRANGERS_SECONDS:g} seconds."
            raise ProblemError(problem("malformed_request", detail)) from error

    async def _read(self, scope: Scope, receive: Receive, hold: Hold, limit: int) -> Receive:
        declared = _header(scope, b"content-length")
        if declared.isdigit() and int(declared) > limit:
            raise too_large(limit, "JSON body")
        pieces = []
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return _then(message, receive)
            pieces.append(message.get("body", b""))
            if hold.size + len(pieces[-1]) > limit:
                raise too_large(limit, "JSON body")
            hold.add(len(pieces[-1]))
            if not message.get("more_body"):
                break
        body = b"".join(pieces)
        await self._check_nesting(body)
        return _then({"type": "http.request", "body": body, "more_body": False}, receive)

    async def _check_nesting(self, body: bytes) -> None:
        if body.count(b"[") + body.count(b"{") <= self.limits.nesting:
            return
        inline = len(body) <= _INLINE_BYTES
        deep = (
            is_deeper(body, self.limits.nesting)
            if inline
            else await asyncio.to_thread(is_deeper, body, self.limits.nesting)
        )
        if deep:
            raise ProblemError(
                problem("malformed_request", f"The body is nested deeper than {self.limits.nesting} levels.")
            )


def _has_body(scope: Scope) -> bool:
    """Whether a body comes with the request (RFC 9112, section 6.3); of what speaks another HTTP nothing is presumed."""
    return scope.get("http_version") != "1.1" or any(name in _FRAMING for name, _ in scope["headers"])


def _is_streamed(scope: Scope) -> bool:
    is_stream = _header(scope, b"content-type").lower().startswith(_STREAMED)
    return is_stream and _STREAMING.fullmatch(scope["path"]) is not None


def _check_coding(scope: Scope) -> None:
    """Refuse a compressed body: taken as it stands it would be garbage, and taken apart it could be a bomb."""
    if scope["method"] not in _WITH_BODY:
        return
    coding = _header(scope, b"content-encoding").strip().lower()
    if coding not in ("", "identity"):
        raise ProblemError(
            problem("unsupported_media_type", f"A body is taken as it is, without Content-Encoding, not as {coding}")
        )


def too_large(limit: int, what: str) -> ProblemError:
    """The refusal of what is larger than ``limit`` bytes."""
    return ProblemError(problem("payload_too_large", f"The {what} exceeds the limit of {limit} bytes.", limit=limit))


def _brackets(body: bytes) -> Iterator[bytes]:
    """The brackets outside strings. A piece at a time, since all strings at once would be millions of slices.

    With the escapes gone every quote begins or ends a string.
    """
    text = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    is_inside = 0
    for place in range(0, len(text), _PIECE_BYTES):
        segments = text[place : place + _PIECE_BYTES].split(b'"')
        yield b"".join(segments[is_inside::2]).translate(_SQUARED, _NOT_BRACKETS)
        is_inside = (is_inside + len(segments) - 1) % 2


def is_deeper(body: bytes, levels: int) -> bool:
    """Whether JSON is nested deeper than ``levels``, without parsing it.

    Strings are cut out, then everything but brackets, curly ones taken for square ones; then each pass takes the innermost
    pairs away. What is left after ``levels`` passes was deeper. What is no JSON may get either answer: its parser refuses it.
    All of it runs at the speed of C.
    """
    brackets = b"".join(_brackets(body))
    if b"[" * (levels + 1) in brackets:
        return True
    for _ in range(levels):
        shorter = brackets.replace(b"[]", b"")
        if len(shorter) == len(brackets):
            return len(brackets) > levels
        brackets = shorter
    return bool(brackets)


def _header(scope: Scope, wanted: bytes) -> str:
    return next((value.decode("latin-1") for name, value in scope["headers"] if name == wanted), "")


def _then(first: Message, receive: Receive) -> Receive:
    """A receive that gives ``first`` and then goes on with the original."""
    pending = [first]

    async def replay() -> Message:
        return pending.pop() if pending else await receive()

    return replay
