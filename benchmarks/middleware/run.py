"""What everything around a route costs: requests a second and processor time, good and failing, beside a bare FastAPI route.

    python -m benchmarks.middleware.run [--requests 20000] [--rounds 5]

"Everything" is what every request to Amends passes: its id, metrics, the error handler, authentication, rate limits,
simulation, limits on size and nesting, unknown parameters refused. "With lines" writes one line a request to a file.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psutil
import uvloop

from benchmarks._machine import machine, own_versions

HERE = Path(__file__).parent
CONNECTIONS = 16
TURN = 1_000
CANDIDATES = {"bare": ("bare", "info"), "amends": ("amends", "info"), "amends, with lines": ("amends", "debug")}
ANSWERS = {"good": ("/v1/things/one", 200), "failing": ("/v1/things/missing", 404)}
LEAST = {"amends": 0.85, "amends, with lines": 0.75}

Run = dict[str, float]
Rounds = dict[str, dict[str, list[Run]]]


@contextmanager
def serving(kind: str, level: str) -> Iterator[dict[str, Any]]:
    with tempfile.TemporaryDirectory(prefix="amends-bench-") as scratch, (Path(scratch) / "log").open("wb") as log:
        command = [sys.executable, str(HERE / "serve.py"), kind, level, str(Path(scratch) / "data")]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                yield json.loads(process.stdout.readline())
            finally:
                process.stdin.close()
                process.wait(30)


class Asking(asyncio.Protocol):
    """One connection that asks again as soon as it is answered."""

    def __init__(self, request: bytes, status: int, times: int) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._request, self._left = request, times
        self._head = b"HTTP/1.1 %d" % status
        self._got = b""

    def connection_made(self, transport: Any) -> None:
        self._transport: asyncio.Transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._got += data
        head, end, body = self._got.partition(b"\r\n\r\n")
        if not end or len(body) < _length(head):
            return
        self._got = b""
        self._left -= 1
        if not head.startswith(self._head):
            self.done.set_exception(RuntimeError(f"answered {head!r} {body!r}"))
        elif self._left > 0:
            self._transport.write(self._request)
        else:
            self._transport.close()
            self.done.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(exc or ConnectionError("the server hung up"))


def _length(head: bytes) -> int:
    place = head.lower().index(b"content-length:") + 15
    return int(head[place:].split(b"\r\n", 1)[0])


async def ask(server: dict[str, Any], path: str, status: int, requests: int) -> None:
    head = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {server['key']}\r\nAccept: */*\r\n\r\n"
    loop = asyncio.get_running_loop()
    times = max(1, requests // CONNECTIONS)
    pairs = [
        await loop.create_connection(lambda: Asking(head.encode(), status, times), "127.0.0.1", server["port"])
        for _ in range(CONNECTIONS)
    ]
    await asyncio.gather(*(protocol.done for _, protocol in pairs))


def measure(answer: str, requests: int) -> dict[str, Run]:
    """One round: all candidates serve at once, and are asked by turns, so that a slow second of the machine is everybody's."""
    with ExitStack() as stack:
        servers = {name: stack.enter_context(serving(*given)) for name, given in CANDIDATES.items()}
        for server in servers.values():
            uvloop.run(ask(server, *ANSWERS[answer], min(requests, TURN)))
        used, took = dict.fromkeys(servers, 0.0), dict.fromkeys(servers, 0.0)
        turns = max(1, requests // TURN)
        for _ in range(turns):
            for name, server in servers.items():
                before, started = _seconds_used(server["pid"]), time.perf_counter()
                uvloop.run(ask(server, *ANSWERS[answer], min(requests, TURN)))
                took[name] += time.perf_counter() - started
                used[name] += _seconds_used(server["pid"]) - before
    total = turns * (min(requests, TURN) // CONNECTIONS) * CONNECTIONS
    return {
        name: {
            "requests": total,
            "requests_a_second": round(total / took[name], 1),
            "cpu_microseconds": round(used[name] / total * 1e6, 1),
        }
        for name in servers
    }


def _seconds_used(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def measured(requests: int, rounds: int) -> Rounds:
    found: Rounds = {answer: {name: [] for name in CANDIDATES} for answer in ANSWERS}
    for _ in range(rounds):
        for answer, by_name in found.items():
            for name, run in measure(answer, requests).items():
                by_name[name].append(run)
    return found


def compared(found: Rounds) -> dict[str, dict[str, dict[str, float]]]:
    """answer → ours by the bare route: requests a second of processor time, and by the clock; the median of the rounds.

    One lucky round of the bare route would decide a ratio of best rounds.
    """
    ratios: dict[str, dict[str, dict[str, float]]] = {}
    for answer, by_name in found.items():
        bare = by_name["bare"]
        ratios[answer] = {
            name: {
                "by_processor_time": _middle(
                    bare, runs, lambda base, own: base["cpu_microseconds"] / own["cpu_microseconds"]
                ),
                "by_the_clock": _middle(
                    bare, runs, lambda base, own: own["requests_a_second"] / base["requests_a_second"]
                ),
            }
            for name, runs in by_name.items()
            if name != "bare"
        }
    return ratios


def _middle(bare: list[Run], runs: list[Run], ratio: Callable[[Run, Run], float]) -> float:
    return round(statistics.median(ratio(base, own) for base, own in zip(bare, runs, strict=True)), 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", default=20_000, type=int)
    parser.add_argument("--rounds", default=5, type=int)
    given = parser.parse_args()
    found = measured(given.requests, given.rounds)
    record: dict[str, Any] = {
        "machine": machine(Path(tempfile.gettempdir())),
        "versions": own_versions("amends", "fastapi", "starlette", "uvicorn", "uvloop", "httptools"),
        "least": LEAST,
        "ratios": compared(found),
        "rounds": found,
    }
    target = HERE / "results" / "requests.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(record, indent=1) + "\n")
    for answer, ratios in record["ratios"].items():
        print(answer, ratios)


if __name__ == "__main__":
    main()
