"""Request bodies that can be sent again, byte for byte."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from typing import IO, Any, Final, Protocol

from ._json import encode, encode_item

BLOCK_BYTES: Final = 64 * 1024


class BodyFault(Exception):
    """The caller's own iterable or file raised ``error``: no network failure, so it is raised as it was."""

    def __init__(self, error: Exception) -> None:
        super().__init__(repr(error))
        self.error = error


class DeadlinePassed(Exception):
    """The call's deadline passed while its body was being sent."""


Guard = Callable[[], None]
"""Called before each piece of a body; raises DeadlinePassed."""


Watch = Callable[[str], object]
"""Told the custom_id of each item that is sent."""


class Body(Protocol):
    """What a request carries. ``headers`` go with it."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Content-Type and the like; the length is the transport's affair."""

    def sync_arguments(self, guard: Guard) -> dict[str, Any]:
        """Return the arguments of ``httpx2.Client.build_request`` that carry it, from its first byte on."""

    def async_arguments(self, guard: Guard) -> dict[str, Any]:
        """Return the same for ``httpx2.AsyncClient``."""

    def close(self) -> None:
        """Let go of files and the like."""


class JsonBody:
    """A JSON value, small enough to be held."""

    headers: Mapping[str, str] = {"Content-Type": "application/json"}

    def __init__(self, value: Any) -> None:
        self._content = encode(value)

    def sync_arguments(self, guard: Guard) -> dict[str, Any]:
        guard()
        return {"content": self._content}

    async_arguments = sync_arguments

    def digest(self) -> str:
        """SHA-256 in hex."""
        return hashlib.sha256(self._content).hexdigest()

    def close(self) -> None:
        pass


class NdjsonBody:
    """A line of parameters, then one item a line, encoded as they are sent.

    Items of a list or tuple are simply gone through again on a retry. Any other iterable may give its items only once,
    or others the next time: what was sent is kept in a temporary file, which a retry reads before it goes on with the
    rest. ``keep``: False where there will be no retry. The caller's iterable may be asynchronous in an AsyncClient.
    """

    headers: Mapping[str, str] = {"Content-Type": "application/x-ndjson"}

    def __init__(
        self,
        first: Mapping[str, Any],
        items: Iterable[Mapping[str, Any]] | AsyncIterable[Mapping[str, Any]],
        keep: bool,
    ) -> None:
        self._first = encode(first) + b"\n"
        self._items = items
        self._spool: IO[bytes] | None = None
        self._source: Iterator[bytes] | None = None
        self._asource: AsyncIterator[bytes] | None = None
        self._keep = keep

    def sync_arguments(self, guard: Guard) -> dict[str, Any]:
        if not isinstance(self._items, Iterable):
            raise TypeError("items is asynchronous, which only an AsyncClient can go through")
        if isinstance(self._items, Sequence):
            return {"content": guarded(_encoded(self._first, self._items), guard)}
        if self._source is None:
            self._source = _encoded(self._first, self._items)
        return {"content": guarded(self._spooled(self._source), guard)}

    def async_arguments(self, guard: Guard) -> dict[str, Any]:
        if isinstance(self._items, Iterable):
            return {"content": in_tasks(self.sync_arguments(guard)["content"])}
        if self._asource is None:
            self._asource = _aencoded(self._first, self._items)
        return {"content": self._aspooled(self._asource, guard)}

    def digest(self, watch: Watch | None = None) -> str:
        """SHA-256 in hex, of all items before any is sent; what can be had only once is kept, and sent from there."""
        if not isinstance(self._items, Iterable):
            raise TypeError("items is asynchronous, which only an AsyncClient can go through")
        digest = hashlib.sha256()
        for block in self._first_pass(watch):
            digest.update(block)
        return digest.hexdigest()

    async def adigest(self, watch: Watch | None = None) -> str:
        """The same where the items may be asynchronous."""
        digest = hashlib.sha256()
        if isinstance(self._items, Iterable):
            async for block in in_tasks(self._first_pass(watch)):
                digest.update(block)
            return digest.hexdigest()
        self._keep, self._asource = True, _aencoded(self._first, self._items, watch)
        async for block in self._asource:
            self._remember(block)
            digest.update(block)
        return digest.hexdigest()

    def _first_pass(self, watch: Watch | None) -> Iterator[bytes]:
        assert isinstance(self._items, Iterable)
        source = _encoded(self._first, self._items, watch)
        if isinstance(self._items, Sequence):
            yield from source
            return
        self._keep, self._source = True, source
        for block in source:
            self._remember(block)
            yield block

    def _spooled(self, source: Iterator[bytes]) -> Iterator[bytes]:
        yield from self._kept()
        for block in source:
            self._remember(block)
            yield block

    async def _aspooled(self, source: AsyncIterator[bytes], guard: Guard) -> AsyncIterator[bytes]:
        for block in self._kept():
            guard()
            yield block
        async for block in source:
            guard()
            self._remember(block)
            yield block

    def _kept(self) -> Iterator[bytes]:
        """What earlier tries sent. Read by position, since writing moves the file's own."""
        if self._spool is None:
            return
        end, place = self._spool.seek(0, os.SEEK_END), 0
        while place < end:
            self._spool.seek(place)
            block = self._spool.read(BLOCK_BYTES)
            place += len(block)
            yield block

    def _remember(self, block: bytes) -> None:
        """Before it is sent, so that a try that fails while sending it has it all the same."""
        if not self._keep:
            return
        if self._spool is None:
            self._spool = tempfile.TemporaryFile(prefix="amends-items-")  # noqa: SIM115 - open until close()
        self._spool.seek(0, os.SEEK_END)
        self._spool.write(block)

    def close(self) -> None:
        if self._spool is not None:
            self._spool.close()
            self._spool = None


def guarded(blocks: Iterator[bytes], guard: Guard) -> Iterator[bytes]:
    for block in blocks:
        guard()
        yield block


async def in_tasks(blocks: Iterator[bytes]) -> AsyncIterator[bytes]:
    for block in blocks:
        yield block


def _encoded(first: bytes, items: Iterable[Mapping[str, Any]], watch: Watch | None = None) -> Iterator[bytes]:
    """Blocks of about 64 KiB, so that neither a million small items nor one large one is held at once."""
    packer = _Packer(first, watch)
    try:
        for item in items:
            if block := packer.add(item):
                yield block
    except Exception as error:
        raise BodyFault(error) from error
    yield packer.rest()


async def _aencoded(
    first: bytes, items: AsyncIterable[Mapping[str, Any]], watch: Watch | None = None
) -> AsyncIterator[bytes]:
    packer = _Packer(first, watch)
    try:
        async for item in items:
            if block := packer.add(item):
                yield block
    except Exception as error:
        raise BodyFault(error) from error
    yield packer.rest()


class _Packer:
    def __init__(self, first: bytes, watch: Watch | None) -> None:
        self._watch = watch
        self._lines = [first]
        self._bytes = len(first)
        self._count = 0

    def add(self, item: Mapping[str, Any]) -> bytes | None:
        """Take an item; return a block once there is enough for one."""
        line = encode_item(item, self._count)
        self._count += 1
        if self._watch is not None:
            self._watch(str(item.get("custom_id")))
        self._lines += (line, b"\n")
        self._bytes += len(line) + 1
        return self.rest() if self._bytes >= BLOCK_BYTES else None

    def rest(self) -> bytes:
        """Return what no block has been made of yet."""
        block = b"".join(self._lines)
        self._lines, self._bytes = [], 0
        return block
