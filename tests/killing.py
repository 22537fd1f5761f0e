"""What the tests share that kill processes: who the victims are, and what was seen of a run before they died."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import psutil

from amends.server.owner import find_owner

T = TypeVar("T")

SCHEMA = json.dumps({"type": "object", "properties": {"number": {"type": "string"}}, "required": ["number"]})
EXTRACT = {"model": "local/extract", "output_schema": json.loads(SCHEMA)}
"""Work that takes each item about a millisecond, so that a kill lands in the middle of it."""

SUPERVISOR = "amends.engine.worker"
CHILD = "amends.engine.child"


def note(number: int, lines: int = 20) -> str:
    """The text of an item, long enough to take about a millisecond."""
    return "\n".join(
        [f"Line {n} of this note says nothing of interest" for n in range(lines)] + [f"Number: N-{number}"]
    )


def until(claim: Callable[[], T], seconds: float = 60.0) -> T:
    """Wait for something true of other processes, and return it."""
    end = time.monotonic() + seconds
    while not (value := claim()):
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.005)
    return value


def free_port() -> int:
    """A port that nobody has now, for a server that comes back at the same address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def processes_of(owner_pid: int, module: str) -> list[psutil.Process]:
    """The supervisors or children that an owner has now, oldest first."""
    found = []
    for process in psutil.Process(owner_pid).children(recursive=True):
        try:
            if module in process.cmdline():
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return sorted(found, key=lambda process: process.create_time())


def kill(process: psutil.Process) -> None:
    """Kill with -9 and see it gone."""
    os.kill(process.pid, signal.SIGKILL)
    until(lambda: _is_gone(process))


def all_gone(processes: list[psutil.Process]) -> bool:
    return all(_is_gone(process) for process in processes)


def _is_gone(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@contextmanager
def local_client(data: Path) -> Iterator[httpx2.Client]:
    """Plain HTTP to whoever owns the directory, as soon as it answers."""
    owner = until(lambda: find_owner(data))
    with httpx2.Client(
        base_url="http://local", transport=httpx2.HTTPTransport(uds=str(owner.socket)), timeout=30
    ) as client:
        yield client


class Witness:
    """Reads a run's lines as they are committed, and holds what it once saw against what is told later.

    Each look goes on where the last one ended, so what was seen is one stream; it must be the beginning, byte for byte, of the
    stream that is told in the end.
    """

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self.by_completion = b""
        self.by_submission = b""

    @property
    def count(self) -> int:
        return self.by_completion.count(b"\n")

    def look(self, client: httpx2.Client) -> int:
        """See what was committed since; the number of lines seen in all."""
        after = {"after": self._cursor()} if self.by_completion else {}
        self.by_completion += self._read(client, order="completion", **after)
        return self.count

    def look_at_all(self, client: httpx2.Client) -> dict[str, int]:
        """See both orders, and that every item is in one place; the counts of conservation."""
        self.look(client)
        seen = self._read(client, partial="true")
        assert seen.startswith(self.by_submission), "a line changed"
        self.by_submission = seen
        counts: dict[str, int] = client.get(f"/v1/runs/{self.run_id}/conservation").raise_for_status().json()
        assert counts["total"] == sum(counts[name] for name in ("outcomes", "deferred", "pending", "leased"))
        assert counts["outcomes"] >= self.count
        return counts

    def check_end(self, client: httpx2.Client, total: int) -> list[dict[str, Any]]:
        """The run has ended with exactly one outcome an item, and nothing seen before has changed; its lines."""
        whole = self._read(client, order="completion")
        assert whole.startswith(self.by_completion), "a line that was seen is gone or has changed"
        lines = self._read(client)
        assert lines.startswith(self.by_submission)
        values = [json.loads(line) for line in lines.splitlines()]
        names = [value["custom_id"] for value in values]
        assert len(names) == len(set(names)) == total
        told = sorted(json.loads(line)["custom_id"] for line in whole.splitlines())
        assert told == sorted(names)
        counts = client.get(f"/v1/runs/{self.run_id}/conservation").raise_for_status().json()
        assert (counts["outcomes"], counts["deferred"], counts["pending"], counts["leased"]) == (total, 0, 0, 0)
        return values

    def _cursor(self) -> str:
        return str(json.loads(self.by_completion.splitlines()[-1])["cursor"])

    def _read(self, client: httpx2.Client, **query: str) -> bytes:
        return client.get(f"/v1/batch-predictions/{self.run_id}/results", params=query).raise_for_status().content
