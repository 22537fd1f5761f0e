"""Where a new batch comes from: one JSON object, or NDJSON that is read a piece at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from typing import Any, Protocol

import msgspec

from amends.problems import FieldError, ProblemError, duplicate_custom_id, empty_items, problem, validation_failed
from amends.server.arrays import PIECE_BYTES, array_pieces
from amends.server.items import Faults, ItemLine, read_array, read_lines
from amends.server.limits import too_large


class Source(Protocol):
    """Where a new batch comes from: its parameters first, then its items, a piece at a time."""

    async def parameters(self) -> Mapping[str, Any]: ...

    def items(self, faults: Faults) -> AsyncIterator[list[ItemLine]]: ...


class ObjectSource:
    """A batch sent as one JSON object, which the limits have let pass."""

    def __init__(self, body: bytes, nesting: int) -> None:
        self._members = _members_of(body)
        self._nesting = nesting
        self._items = self._members.pop("items", None)

    async def parameters(self) -> Mapping[str, Any]:
        return _decoded(self._members)

    async def items(self, faults: Faults) -> AsyncIterator[list[ItemLine]]:
        place = ("body", "items")
        if self._items is None:
            faults.add([FieldError.at(place, "Field required", "missing")])
            return
        if bytes(memoryview(self._items)[:1]) != b"[":
            faults.add([FieldError.at(place, "Input should be a valid list", "list_type")])
            return
        is_empty = True
        for start, piece in array_pieces(self._items):
            is_empty = False
            await asyncio.sleep(0)  # the body is all here, so nothing else would let other requests in between
            yield read_array(piece, start, faults, nesting=self._nesting)
        if is_empty:
            faults.add([empty_items()])
        if faults:  # else the ledger finds them, without holding all names in memory
            faults.add(duplicates_among(_names_in(self._items)))


def _members_of(body: bytes) -> dict[str, msgspec.Raw]:
    try:
        return msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except msgspec.ValidationError:
        fault = FieldError.at(("body",), "Input should be a valid dictionary", "dict_type")
        raise ProblemError(validation_failed([fault])) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProblemError(problem("malformed_request", f"The body is not JSON: {error}")) from error


def _decoded(members: Mapping[str, msgspec.Raw]) -> Mapping[str, Any]:
    try:
        return {name: msgspec.json.decode(raw) for name, raw in members.items()}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProblemError(problem("malformed_request", f"The body is not JSON: {error}")) from error


def _names_in(array: msgspec.Raw) -> Iterator[str | None]:
    """The custom_ids of a JSON array's elements, good or bad; None where there is none."""
    for _, piece in array_pieces(array):
        try:
            values = msgspec.json.decode(piece)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            values = [None] * len(msgspec.json.decode(piece, type=list[msgspec.Raw]))
        for value in values:
            name = value.get("custom_id") if isinstance(value, dict) else None
            yield name if isinstance(name, str) else None


def duplicates_among(names: Iterable[str | None]) -> Iterator[FieldError]:
    """A fault for each name that stood earlier."""
    seen: set[str] = set()
    for index, name in enumerate(names):
        if name is None:
            continue
        if name in seen:
            yield duplicate_custom_id(name, index)
        seen.add(name)


class LineSource:
    """A batch sent as NDJSON: parameters on the first line, an item on each of the others.

    Duplicates are found by the ledger alone, when all lines are good: names of any number of items do not fit in memory.
    """

    def __init__(self, stream: AsyncIterator[bytes], line_bytes: int, nesting: int) -> None:
        self._pieces = whole_lines(stream, line_bytes)
        self._nesting = nesting
        self._rest: bytes | None = None

    async def parameters(self) -> Mapping[str, Any]:
        piece = await anext(self._pieces, b"")
        line, newline, rest = piece.partition(b"\n")
        self._rest = rest if newline else None
        return _decoded(_members_of(line))

    async def items(self, faults: Faults) -> AsyncIterator[list[ItemLine]]:
        start = 0
        piece = self._rest if self._rest is not None else await anext(self._pieces, None)
        if piece is None:
            faults.add([empty_items()])
        while piece is not None:
            yield read_lines(piece, start, faults, nesting=self._nesting)
            start += piece.count(b"\n") + 1
            piece = await anext(self._pieces, None)


async def whole_lines(stream: AsyncIterator[bytes], line_bytes: int) -> AsyncIterator[bytes]:
    """The stream in pieces of some whole lines, the last newline of each left out.

    ProblemError payload_too_large as soon as a line exceeds ``line_bytes``.
    """
    parts: list[bytes] = []
    size = 0
    has_newline = False
    async for chunk in stream:
        parts.append(chunk)
        size += len(chunk)
        has_newline = has_newline or b"\n" in chunk
        if has_newline and size >= PIECE_BYTES:
            piece, _, rest = b"".join(parts).rpartition(b"\n")
            yield _checked(piece, line_bytes)
            parts, size, has_newline = [rest], len(rest), False
        if not has_newline and size > line_bytes:
            raise too_large(line_bytes, "line")
    last = b"".join(parts)
    if last:
        yield _checked(last.removesuffix(b"\n"), line_bytes)


def _checked(piece: bytes, line_bytes: int) -> bytes:
    if len(piece) > line_bytes and max(map(len, piece.split(b"\n"))) > line_bytes:
        raise too_large(line_bytes, "line")
    return piece
