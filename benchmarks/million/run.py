"""A million items of 200 bytes, NDJSON in and NDJSON out: how much memory do server, client and workers take, and does it grow?

    python -m benchmarks.million.run [--items 1000000]

Resident memory is sampled each 200 ms, the server's, the client's and each worker's apart. Fails where the server passes 250 MB or the
client 80 MB, or where a result is missing, doubled or another item's.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from benchmarks._machine import ROOT, machine, own_versions
from benchmarks._serving import Server, serving

RESULTS = Path(__file__).with_name("results")
SERVER_BYTES = 250_000_000
CLIENT_BYTES = 80_000_000
PERIOD_SECONDS = 0.2
FLAT = 1.15
"""Flat: the second half's peak is at most this times the first half's."""


@dataclass
class Memory:
    """Resident bytes over time of some processes, those of one name added up."""

    samples: dict[str, list[int]] = field(default_factory=dict)

    def note(self, sizes: dict[str, int]) -> None:
        for name, size in sizes.items():
            self.samples.setdefault(name, []).append(size)

    def peak(self, name: str) -> int:
        return max(self.samples[name])

    def growth(self, name: str) -> float:
        """The second half's peak by the first half's."""
        sizes = self.samples[name]
        half = len(sizes) // 2
        return max(sizes[half:]) / max(sizes[: half or 1])

    def described(self) -> dict[str, dict[str, Any]]:
        return {
            name: {
                "peak_mb": round(self.peak(name) / 1e6, 1),
                "growth": round(self.growth(name), 3),
                "flat": self.growth(name) <= FLAT,
                "mb_over_time": [round(size / 1e6) for size in sizes[:: max(1, len(sizes) // 40)]],
            }
            for name, sizes in self.samples.items()
        }


class Sampler:
    """Looks at the processes until it is left."""

    def __init__(self, sizes: Callable[[], dict[str, int]]) -> None:
        self.memory = Memory()
        self._sizes = sizes
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Sampler:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(PERIOD_SECONDS):
            self.memory.note(self._sizes())


def sizes_of(server_pid: int, client_pid: int) -> dict[str, int]:
    """Resident bytes now. A worker is a supervisor and its child: both are named."""
    sizes: dict[str, int] = {}
    own = {server_pid: "server", client_pid: "client"}
    processes = [psutil.Process(pid) for pid in own if psutil.pid_exists(pid)]
    for process in processes + (processes[0].children(recursive=True) if processes else []):
        try:
            name = own.get(process.pid) or _worker_name(process)
            sizes[name] = sizes.get(name, 0) + process.memory_info().rss
        except psutil.Error:  # gone meanwhile
            continue
    return sizes


def _worker_name(process: psutil.Process) -> str:
    line = " ".join(process.cmdline())
    if "amends.engine.child" in line:
        return "workers' children together"
    return "workers' supervisors together" if "amends.engine.worker" in line else "other children of the server"


def measure(count: int, scratch: Path, *, workers: int | None = None) -> dict[str, Any]:
    """Run it once. The answer holds ``memory`` by process, ``phases`` in seconds and ``read`` result lines."""
    settings = {} if workers is None else {"AMENDS_ENGINE_WORKERS": str(workers)}
    with serving(scratch / "amends", settings) as server:
        started = time.perf_counter()
        client = _client(server, count)
        with Sampler(lambda: sizes_of(server.pid, client.pid)) as sampler:
            printed, _ = client.communicate()
        seconds = time.perf_counter() - started
        if client.returncode:
            raise RuntimeError(f"the client ended with {client.returncode}")
    told = json.loads(printed)
    return {
        "items": count,
        "seconds": round(seconds, 2),
        "items_a_second": round(count / sum(told["phases"].values())),
        **told,
        "memory": sampler.memory.described(),
    }


def _client(server: Server, count: int) -> subprocess.Popen[bytes]:
    command = [
        sys.executable, "-m", "benchmarks.million.client",
        "--url", server.url, "--items", str(count), "--seed", str(secrets.randbits(64)),
    ]  # fmt: skip
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, env=os.environ | {"BENCH_KEY": server.key})


def faults(measured: dict[str, Any]) -> list[str]:
    """What was promised and not kept, as sentences."""
    found = []
    if measured["read"] != measured["items"]:
        found.append(f"{measured['read']} results of {measured['items']} items")
    for name, limit in (("server", SERVER_BYTES), ("client", CLIENT_BYTES)):
        peak = measured["memory"][name]["peak_mb"] * 1e6
        if peak > limit:
            found.append(f"the {name} took {peak / 1e6:.0f} MB, more than {limit / 1e6:.0f} MB")
    return found


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.million.run", description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--scratch", type=Path, help="where the data directory goes; a real disk")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="amends-bench-", dir=options.scratch) as scratch:
        where = machine(Path(scratch))
        measured = measure(options.items, Path(scratch), workers=options.workers)
    for name, one in measured["memory"].items():
        print(
            f"{name:32}{one['peak_mb']:>8.1f} MB at its peak, {'flat' if one['flat'] else 'growing'} ({one['growth']:.2f})"
        )
    print(f"{measured['items_a_second']:,} items/s, seconds: {measured['phases']}")
    result = {
        "question": __doc__.splitlines()[0],
        "machine": where,
        "versions": own_versions("amends", "apsw"),
        **measured,
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"items-{options.items}.json").write_text(json.dumps(result, indent=1) + "\n")
    found = faults(measured)
    for fault in found:
        print(f"FAILED: {fault}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
