"""Items a second from create to the last result read, ``local/echo``: ours beside other engines and the bare statements.

    python -m benchmarks.engine.run                   # 100,000 items, three rounds, peers with fewer items
    python -m benchmarks.engine.run --items 1000000   # ours and the statements at a million
    python -m benchmarks.engine.run --lease 1         # one item a lease, 10,000 items

Each candidate runs in a fresh process and in turn, so that a busy minute of the machine hits all of them; warm-up (processes
started, a first item done) is outside the clock for all alike. The best of the rounds counts, for both sides; all are kept.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks._machine import ROOT, machine, own_versions, versions
from benchmarks.engine import services

RESULTS = Path(__file__).with_name("results")
PEERS = ROOT / ".venv-bench" / "bin" / "python"
TEXT_BYTES = 140
_LIMIT_SECONDS = 900
_CALM = 0.1


@dataclass(frozen=True)
class Candidate:
    """needs: the service it runs on. is_peer: measured with fewer items, in the peers' environment.

    takes_lease: whether the size of a lease can be set; peers hand out one item at a time anyway.
    """

    name: str
    module: str
    variant: str = ""
    is_peer: bool = False
    needs: str | None = None
    takes_lease: bool = True


CANDIDATES = (
    Candidate("Amends, engine embedded", "amends_embedded"),
    Candidate("Amends, over HTTP", "amends_http", takes_lease=False),
    Candidate("bare SQL statements", "bare_statements"),
    Candidate("DBOS on SQLite", "dbos_queue", "sqlite", is_peer=True),
    Candidate("DBOS on PostgreSQL", "dbos_queue", "postgresql", is_peer=True, needs="postgresql"),
    Candidate("Celery + Redis", "celery_redis", is_peer=True, needs="redis"),
)


def main(argv: Sequence[str] | None = None) -> int:
    options = _options(argv)
    chosen = [one for one in CANDIDATES if _is_wanted(one, options) and _is_possible(one)]
    rounds: dict[str, list[dict[str, Any]]] = {one.name: [] for one in chosen}
    with tempfile.TemporaryDirectory(prefix="amends-bench-", dir=options.scratch) as scratch:
        where = machine(Path(scratch))
        for number in range(options.rounds):
            for one in chosen:
                items = options.peer_items if one.is_peer else options.items
                busy = wait_for_calm(options.calm)
                measured = measure(one, items, scratch=Path(scratch), workers=options.workers, lease=options.lease)
                rounds[one.name].append(measured | {"busy_before": busy})
                _say(f"round {number + 1}: {one.name}: {rounds[one.name][-1]['items_a_second']:,.0f} items/s")
    result = {
        "question": __doc__.splitlines()[0],
        "command": {key: getattr(options, key) for key in ("items", "peer_items", "lease", "workers", "rounds")},
        "machine": where,
        "versions": _versions(chosen),
        "ratios": ratios_of(rounds),
        "rounds": rounds,
    }
    _print(result)
    _keep(result, options)
    return 0


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.engine.run", description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, help="items for ours and the statements (100,000; 10,000 with --lease)")
    parser.add_argument("--peer-items", type=int, default=5_000)
    parser.add_argument("--lease", type=int, help="at most so many items a lease")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--calm", type=float, default=0, help="wait so many seconds at most for others to let the machine be"
    )
    parser.add_argument("--only", help="substrings of candidates' names, commas between")
    parser.add_argument("--scratch", type=Path, help="where data directories go; a real disk")
    parser.add_argument("--name", help="the result's file name; none is written for '-'")
    options = parser.parse_args(argv)
    options.items = options.items or (10_000 if options.lease else 100_000)
    return options


def wait_for_calm(longest_seconds: float) -> float:
    """Wait until other processes leave nine tenths of the processors alone; the fraction they took in the last second."""
    until = time.monotonic() + longest_seconds
    while (busy := psutil.cpu_percent(interval=1.0) / 100) > _CALM and time.monotonic() < until:
        pass
    return round(busy, 2)


def _is_wanted(one: Candidate, options: argparse.Namespace) -> bool:
    if options.lease is not None and not one.takes_lease:
        return False
    if options.only is None:
        return True
    return any(part.lower() in one.name.lower() for part in options.only.split(","))


def _is_possible(one: Candidate) -> bool:
    """What is missing is said, and left out."""
    missing = None
    if one.is_peer and not PEERS.exists():
        missing = "benchmarks/requirements.txt is not installed in .venv-bench"
    elif one.needs == "redis" and services.redis_server() is None:
        missing = "no redis-server"
    elif one.needs == "postgresql" and services.postgresql_bin() is None:
        missing = "no PostgreSQL"
    if missing:
        _say(f"left out: {one.name}: {missing}")
    return missing is None


def measure(one: Candidate, items: int, *, scratch: Path, workers: int = 2, lease: int | None = None) -> dict[str, Any]:
    """Run a candidate once in a fresh process: ``items``, ``seconds``, ``items_a_second`` and ``phases``."""
    with _data_directory(scratch) as data, ExitStack() as stack:
        lines = write_lines(data / "items.ndjson", items)
        environment = dict(os.environ)
        if one.needs == "redis":
            environment["BENCH_REDIS"] = stack.enter_context(services.redis(_sub(data, "redis")))
        if one.needs == "postgresql":
            environment["BENCH_POSTGRESQL"] = stack.enter_context(services.postgresql(_sub(data, "postgresql")))
        command = [
            str(PEERS) if one.is_peer else sys.executable, "-m", f"benchmarks.engine.candidates.{one.module}",
            "--lines", str(lines), "--items", str(items), "--data", str(_sub(data, "data")),
            "--workers", str(workers), "--variant", one.variant, *(["--lease", str(lease)] if lease else []),
        ]  # fmt: skip
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=_LIMIT_SECONDS
        )
        if done.returncode:
            raise RuntimeError(f"{one.name} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
        measured: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
        return measured


@contextmanager
def _data_directory(scratch: Path) -> Iterator[Path]:
    data = Path(tempfile.mkdtemp(dir=scratch))
    data.chmod(0o711)
    data.parent.chmod(0o711)
    try:
        yield data
    finally:
        shutil.rmtree(data, ignore_errors=True)


def _sub(directory: Path, name: str) -> Path:
    made = directory / name
    made.mkdir()
    return made


def write_lines(path: Path, items: int) -> Path:
    """Items of about 200 bytes with random custom_ids, one a line."""
    with path.open("wb") as file:
        for _ in range(items):
            text = secrets.token_hex(TEXT_BYTES // 2).encode()
            file.write(b'{"custom_id":"%b","input":{"text":"%b"}}\n' % (secrets.token_hex(12).encode(), text))
    return path


def ratios_of(rounds: Mapping[str, list[dict[str, Any]]]) -> dict[str, dict[str, float]]:
    """How many times as many items a second ours do as each of the others, by the best round of either."""
    best = {name: best_of(measured)["items_a_second"] for name, measured in rounds.items()}
    ours = [name for name in best if name.startswith("Amends")]
    return {name: {other: round(best[name] / best[other], 2) for other in best if other not in ours} for name in ours}


def best_of(measured: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return max(measured, key=lambda each: each["items_a_second"])


def _print(result: Mapping[str, Any]) -> None:
    print()
    for name, ratios in result["ratios"].items():
        print(f"{name}: " + ", ".join(f"{ratio:g} × {other}" for other, ratio in ratios.items()))
    print()
    print(f"{'':28}{'best items/s':>14}{'worst':>12}   seconds by phase of the best")
    for name, measured in result["rounds"].items():
        best = best_of(measured)
        worst = min(each["items_a_second"] for each in measured)
        phases = ", ".join(f"{phase} {seconds:.2f}" for phase, seconds in best["phases"].items())
        print(f"{name:28}{best['items_a_second']:>14,.0f}{worst:>12,.0f}   {phases}")


def _keep(result: Mapping[str, Any], options: argparse.Namespace) -> None:
    name = options.name or f"items-{options.items}" + (f"-lease-{options.lease}" if options.lease else "")
    if name == "-":
        return
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    _say(f"kept as {path.relative_to(ROOT)}")


def _versions(chosen: Sequence[Candidate]) -> dict[str, str]:
    known = own_versions("amends", "apsw")
    if any(one.is_peer for one in chosen):
        known |= versions(PEERS, ("dbos", "celery", "redis"))
    if any(one.needs == "redis" for one in chosen):
        known["redis-server"] = _first_line([services.redis_server() or "", "--version"])
    if any(one.needs == "postgresql" for one in chosen):
        known["postgresql"] = _first_line([f"{services.postgresql_bin()}/postgres", "--version"])
    return known


def _first_line(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True).stdout.partition("\n")[0]


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
