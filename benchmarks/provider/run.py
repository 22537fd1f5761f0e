"""Prompts through a rate-limited endpoint that fails one call in twenty: time to the last result, wasted calls, completeness.

    python -m benchmarks.provider.run                     # 3,000 prompts, 100 calls a second
    python -m benchmarks.provider.run --prompts 10000

Each candidate runs in a fresh process against a fresh endpoint, in turn. A call is wasted when no result came of it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks._machine import ROOT, machine, own_versions, versions
from benchmarks.provider.endpoint import running_endpoint

RESULTS = Path(__file__).with_name("results")
PEERS = ROOT / ".venv-bench" / "bin" / "python"
_LIMIT_SECONDS = 900
_PEERS_NAMED = ("openai", "litellm", "bespokelabs-curator")


@dataclass(frozen=True)
class Candidate:
    """is_peer: runs in the peers' environment."""

    name: str
    module: str
    variant: str = ""
    is_peer: bool = False


CANDIDATES = (
    Candidate("Amends, told the limit", "amends_batch", "told"),
    Candidate("Amends, finding it out", "amends_batch"),
    Candidate("openai behind a semaphore", "openai_semaphore", is_peer=True),
    Candidate("litellm router, told the limit", "litellm_router", is_peer=True),
    Candidate("bespokelabs-curator, told the limit", "curator_llm", is_peer=True),
)


def main(argv: Sequence[str] | None = None) -> int:
    options = read_options(argv)
    chosen = [one for one in CANDIDATES if _is_wanted(one, options) and (not one.is_peer or PEERS.exists())]
    rounds: dict[str, list[dict[str, Any]]] = {one.name: [] for one in chosen}
    with tempfile.TemporaryDirectory(prefix="amends-bench-") as scratch:
        where = machine(Path(scratch))
        for _ in range(options.rounds):
            for one in chosen:
                measured = measure(one, options, Path(scratch))
                rounds[one.name].append(measured)
                _say(f"{one.name}: {json.dumps(measured)}")
    known = own_versions("amends", "httpx2")
    if any(one.is_peer for one in chosen):
        known |= versions(PEERS, _PEERS_NAMED)
    command = {name: getattr(options, name) for name in ("prompts", "limit", "failing", "concurrency", "rounds")}
    result = {
        "question": (__doc__ or "").splitlines()[0],
        "command": command,
        "machine": where,
        "versions": known,
        "rounds": rounds,
    }
    if options.name != "-":
        RESULTS.mkdir(exist_ok=True)
        path = RESULTS / f"{options.name or f'prompts-{options.prompts}'}.json"
        path.write_text(json.dumps(result, indent=1) + "\n")
        _say(f"kept as {path.relative_to(ROOT)}")
    return 0


def measure(one: Candidate, options: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """Run a candidate once: seconds, results, and what the endpoint counted."""
    data = Path(tempfile.mkdtemp(dir=scratch))
    with running_endpoint(options.limit, options.failing) as endpoint:
        command = [
            str(PEERS) if one.is_peer else sys.executable, "-m", f"benchmarks.provider.candidates.{one.module}",
            "--base-url", endpoint.base_url, "--prompts", str(options.prompts), "--limit", str(options.limit),
            "--concurrency", str(options.concurrency), "--variant", one.variant, "--data", str(data / "data"),
        ]  # fmt: skip
        done = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True, timeout=_LIMIT_SECONDS)
    shutil.rmtree(data, ignore_errors=True)
    if done.returncode:
        raise RuntimeError(f"{one.name} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    measured: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    calls = sum(endpoint.calls.values())
    return {
        **measured,
        "completeness": round(measured["results"] / options.prompts, 5),
        "calls": calls,
        "wasted": calls - measured["results"],
        **{f"calls_{what}": endpoint.calls[what] for what in ("answered", "limited", "failed")},
    }


def read_options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.provider.run")
    parser.add_argument("--prompts", type=int, default=3_000)
    parser.add_argument("--limit", type=float, default=100.0, help="calls a second that the endpoint takes")
    parser.add_argument("--failing", type=float, default=0.05)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--only", help="substrings of candidates' names, commas between")
    parser.add_argument("--name", help="the result's file name; none is written for '-'")
    return parser.parse_args(argv)


def _is_wanted(one: Candidate, options: argparse.Namespace) -> bool:
    return options.only is None or any(part.lower() in one.name.lower() for part in options.only.split(","))


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
