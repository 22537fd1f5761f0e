"""What a call through the SDK costs, beside bare httpx2 and the openai client: processor time and calls a second.

    python -m benchmarks.client.run [--calls 2000] [--rounds 5]

Each measurement in a fresh process, the clients in turn; the best round counts. All three ask the same stub for the same
record, with authorization, and read one member of it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks._machine import machine, own_versions

HERE = Path(__file__).parent
NAMES = ("httpx2", "amends", "openai")
CONCURRENT = (0, 1, 20, 200)
"""Tasks that call at once; 0 is the client without asyncio."""

Rounds = dict[int, dict[str, list[dict[str, float]]]]


@contextmanager
def stub() -> Iterator[str]:
    with subprocess.Popen(
        [sys.executable, str(HERE / "stub.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.stdin.close()


def measure(name: str, url: str, concurrent: int, calls: int) -> dict[str, float]:
    command = [sys.executable, str(HERE / "candidate.py"), name, url, str(concurrent), str(calls)]
    found = json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)
    return {
        "calls": found["calls"],
        "cpu_microseconds": round(found["cpu_seconds"] / found["calls"] * 1e6, 1),
        "calls_a_second": round(found["calls"] / found["seconds"], 1),
    }


def measured(calls: int, rounds: int) -> Rounds:
    found: Rounds = {concurrent: {name: [] for name in NAMES} for concurrent in CONCURRENT}
    with stub() as url:
        for _ in range(rounds):
            for concurrent, by_name in found.items():
                for name, runs in by_name.items():
                    runs.append(measure(name, url, concurrent, calls))
    return found


def compared(found: Rounds) -> dict[int, dict[str, float]]:
    """concurrent → ours by the others: processor time (best rounds), calls a second (best rounds)."""
    ratios = {}
    for concurrent, by_name in found.items():
        cpu = {name: min(run["cpu_microseconds"] for run in runs) for name, runs in by_name.items()}
        rate = {name: max(run["calls_a_second"] for run in runs) for name, runs in by_name.items()}
        ratios[concurrent] = {
            "cpu_of_httpx2": round(cpu["amends"] / cpu["httpx2"], 2),
            "cpu_of_openai": round(cpu["amends"] / cpu["openai"], 2),
            "calls_of_openai": round(rate["amends"] / rate["openai"], 2),
        }
    return ratios


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", default=2_000, type=int)
    parser.add_argument("--rounds", default=5, type=int)
    given = parser.parse_args()
    found = measured(given.calls, given.rounds)
    record: dict[str, Any] = {
        "machine": machine(Path(tempfile.gettempdir())),
        "versions": own_versions("amends", "httpx2", "httpcore2", "openai", "pydantic"),
        "ratios": compared(found),
        "rounds": found,
    }
    target = HERE / "results" / "calls.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(record, indent=1) + "\n")
    for concurrent, ratios in record["ratios"].items():
        print(concurrent or "without asyncio", ratios)


if __name__ == "__main__":
    main()
