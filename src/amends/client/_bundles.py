"""Datapoints on their way to the server: their lines, and the small files that go along."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from secrets import token_hex
from typing import Any, Final

from ._bodies import BLOCK_BYTES, Guard, guarded, in_tasks

_LINES: Final = "application/x-ndjson"


class LinesBody:
    """Datapoints whose contents the server has."""

    headers: Mapping[str, str] = {"Content-Type": _LINES}

    def __init__(self, lines: bytes) -> None:
        self._lines = lines

    def sync_arguments(self, guard: Guard) -> dict[str, Any]:
        guard()
        return {"content": self._lines}

    async_arguments = sync_arguments

    def close(self) -> None:
        """Nothing is held open."""


class BundleBody:
    """A form of datapoints and of files, each a part named by its SHA-256."""

    def __init__(self, lines: bytes, files: Mapping[str, bytes]) -> None:
        self._boundary = token_hex(16).encode()
        self._lines = lines
        self._files = files
        size = sum(len(piece) for piece in self._pieces())
        self.headers: Mapping[str, str] = {
            "Content-Type": f"multipart/form-data; boundary={self._boundary.decode()}",
            "Content-Length": str(size),
        }

    def sync_arguments(self, guard: Guard) -> dict[str, Any]:
        return {"content": guarded(self._blocks(), guard)}

    def async_arguments(self, guard: Guard) -> dict[str, Any]:
        return {"content": in_tasks(guarded(self._blocks(), guard))}

    def _blocks(self) -> Iterator[bytes]:
        """Neither a write a small file nor a copy of all of them."""
        held: list[bytes] = []
        size = 0
        for piece in self._pieces():
            held.append(piece)
            size += len(piece)
            if size >= BLOCK_BYTES:
                yield b"".join(held)
                held, size = [], 0
        yield b"".join(held)

    def _pieces(self) -> Iterator[bytes]:
        head = b'--%b\r\nContent-Disposition: form-data; name="%b"\r\n'
        yield head % (self._boundary, b"datapoints") + b"Content-Type: %b\r\n\r\n" % _LINES.encode()
        yield self._lines
        for sha256, content in self._files.items():
            yield b"\r\n" + head % (self._boundary, sha256.encode()) + b"\r\n"
            yield content
        yield b"\r\n--%b--\r\n" % self._boundary

    def close(self) -> None:
        """Nothing is held open."""
