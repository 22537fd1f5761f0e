"""What a file is: decided by its content, in a child process with limits."""

from __future__ import annotations

import asyncio
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import structlog

from amends.models import Content, Looked
from amends.problems import Problem, asset_failed

log = structlog.get_logger("amends.server")

_ASKED_AT_ONCE = 32
_PIPE_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Inspection(Content):
    """What the content says. pages: None where there are none to count or they cannot be counted."""

    pages: int | None = None


class Inspector:
    """Asks one child at a time. A file that stalls it, or kills two in a row, is of unknown type; the next gets a fresh child.

    A type that was settled once stays, so the death of a child, which a signal or the system's want of memory may have brought
    about, alone says nothing of the file. The child is started when the first file comes, since it loads a model.
    """

    def __init__(self, *, timeout_seconds: float = 20.0, start_seconds: float = 60.0) -> None:
        self._timeout_seconds = timeout_seconds
        self._start_seconds = start_seconds
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="amends-inspector")
        self._child: subprocess.Popen[bytes] | None = None

    async def inspect(self, path: Path) -> Inspection:
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._inspect, path)

    async def look_at(self, paths: Sequence[Path]) -> list[Looked | Problem]:
        """What each of some files is that is to be an asset, or why it cannot be one. As many as a request brings are one question."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._look_at, list(paths))

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._end()

    def _inspect(self, path: Path) -> Inspection:
        known: dict[str, Any] = {}
        for is_last in (False, True):
            try:
                return Inspection(**self._ask(path, known))
            except (BrokenPipeError, EOFError, TimeoutError) as error:
                self._end()
                blob, reason = path.parent.name + path.name, type(error).__name__
                log.warning("inspection_failed", blob=blob, known=known, reason=reason, is_last=is_last)
                if isinstance(error, TimeoutError):
                    break
        return Inspection(**known)

    def _look_at(self, paths: list[Path]) -> list[Looked | Problem]:
        """The file at which a child dies is looked at once more by itself; if that kills another, the file is at fault."""
        found: list[Looked | Problem] = []
        suspect: int | None = None
        while len(found) < len(paths):
            at = len(found)
            asked = paths[at : at + 1] if at == suspect else paths[at:]
            try:
                self._ask_about(asked, found)
            except (BrokenPipeError, EOFError, TimeoutError) as error:
                self._end()
                at, reason = len(found), type(error).__name__
                is_last = at == suspect or isinstance(error, TimeoutError)
                log.warning("asset_not_looked_at", path=paths[at].name, reason=reason, is_last=is_last)
                if is_last:
                    found.append(
                        asset_failed("decode", "The file cannot be decoded within the bounds that it has here")
                    )
                suspect = at
        return found

    def _ask_about(self, paths: list[Path], found: list[Looked | Problem]) -> None:
        """Add what the child says of the files to ``found``, as it says it."""
        seconds = self._timeout_seconds if self._child else self._start_seconds
        child = self._child = self._child or self._start()
        stdin, stdout = cast("IO[bytes]", child.stdin), cast("IO[bytes]", child.stdout)
        # Asked in small groups: a child that is written to while it writes would wait for its reader, who waits for it.
        for at in range(0, len(paths), _ASKED_AT_ONCE):
            some = paths[at : at + _ASKED_AT_ONCE]
            stdin.write(json.dumps({"assets": [str(path) for path in some]}).encode() + b"\n")
            rest = b""
            for _ in some:
                line, rest = _next_line(stdout, rest, time.monotonic() + seconds)
                said = json.loads(line)
                found.append(Looked(*said["looked"]) if "looked" in said else Problem.from_body(said["problem"]))
                seconds = self._timeout_seconds

    def _ask(self, path: Path, known: dict[str, Any]) -> dict[str, Any]:
        """``known`` with what the child says; it keeps what was said before the child failed."""
        end = time.monotonic() + (self._timeout_seconds if self._child else self._start_seconds)
        child = self._child = self._child or self._start()
        stdin, stdout = cast("IO[bytes]", child.stdin), cast("IO[bytes]", child.stdout)
        stdin.write(json.dumps({"path": str(path)}).encode() + b"\n")
        while "pages" not in known:
            known |= json.loads(_read_line(stdout, end))
        return known

    def _start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "amends.server._inspection"]
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            process_group=0,  # Ctrl-C is for its owner, who still has files to be looked at
        )

    def _end(self) -> None:
        if self._child:
            self._child.kill()
            self._child.communicate()
            self._child = None


def _read_line(pipe: IO[bytes], end: float) -> bytes:
    """One line of an unbuffered pipe, by the monotonic time ``end``; EOFError, TimeoutError."""
    line = b""
    while not line.endswith(b"\n"):
        if not select.select([pipe], [], [], max(0.0, end - time.monotonic()))[0]:
            raise TimeoutError
        piece = os.read(pipe.fileno(), 1)  # a line is short, and what follows it belongs to the next
        if not piece:
            raise EOFError
        line += piece
    return line


def _next_line(pipe: IO[bytes], rest: bytes, end: float) -> tuple[bytes, bytes]:
    """A line and what came behind it, ``rest`` being what came before; EOFError, TimeoutError."""
    while b"\n" not in rest:
        if not select.select([pipe], [], [], max(0.0, end - time.monotonic()))[0]:
            raise TimeoutError
        piece = os.read(pipe.fileno(), _PIPE_BYTES)
        if not piece:
            raise EOFError
        rest += piece
    line, _, rest = rest.partition(b"\n")
    return line, rest
