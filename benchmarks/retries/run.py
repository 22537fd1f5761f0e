"""What retrying does to a server in trouble, and when the crowd is well again: ours beside the peers.

    python -m benchmarks.retries.run [--only NAME,…] [--real] [--seeds 1]

Without --real on a virtual clock, all four scenarios; with it over HTTP, one outage and its recovery, which takes 40 s a
policy. Writes results/*.json and, from the simulation, docs/images/retries.svg.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks._machine import ROOT, machine, own_versions, versions
from benchmarks.retries.load import REAL, SIMULATED
from benchmarks.retries.plot import drawn
from benchmarks.retries.policies import OURS, POLICIES

HERE = Path(__file__).parent
PEERS = ROOT / ".venv-bench" / "bin" / "python"
PEER_NAMES = ("tenacity", "stamina", "redress", "openai", "botocore")


def measure(mode: str, policy: str, scenario: str, seed: int, *rest: str) -> dict[str, Any]:
    """One policy through one scenario, in a process of its own."""
    python = sys.executable if policy in OURS else str(PEERS)
    command = [python, str(HERE / "load.py"), mode, policy, scenario, str(seed), *rest]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, check=True, env=os.environ | {"PYTHONHASHSEED": "0"}
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@contextmanager
def serving() -> Iterator[str]:
    """The server of limited capacity, in a process of its own; yields its address."""
    command = [sys.executable, str(HERE / "serve.py")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/"
        finally:
            process.stdin.close()


def simulated(names: list[str], seeds: int) -> dict[str, Any]:
    """Scenario → policy → one description a seed."""
    found: dict[str, Any] = {}
    for scenario in SIMULATED.scenarios:
        for name in names:
            runs = [measure("simulate", name, scenario, seed) for seed in range(1, seeds + 1)]
            found.setdefault(scenario, {})[name] = runs
            print(scenario, "|", said(name, runs[0]), flush=True)
    return found


def real(names: list[str]) -> dict[str, Any]:
    """The same over HTTP, one scenario, a new server for each policy."""
    scenario, found = next(iter(REAL.scenarios)), dict[str, Any]()
    for name in names:
        with serving() as url:
            found[name] = [measure("real", name, scenario, 1, url)]
        print(scenario, "|", said(name, found[name][0]), flush=True)
    return {scenario: found}


def said(name: str, run: dict[str, Any]) -> str:
    return (
        f"{name}: {run['requests_a_call_while_failing']} requests a call while failing, "
        f"{run['requests_a_call_once_spent']} later on, {run['answered']:.1%} answered, "
        f"{run['answered_promptly']:.1%} promptly, back to 95 % after {run['seconds_to_95']} s"
    )


def laid_out(record: dict[str, Any]) -> str:
    """JSON in which each series of numbers is one line."""
    text = json.dumps(record, indent=1)
    return re.sub(r"\[\s+([\d\s,]+?)\s+\]", lambda found: f"[{' '.join(found[1].split())}]", text) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default=",".join(POLICIES), type=lambda text: text.split(","))
    parser.add_argument("--real", action="store_true")
    parser.add_argument("--seeds", default=1, type=int)
    given = parser.parse_args()
    # A name of its own may hold a comma.
    names = [name for name in POLICIES if name.partition(",")[0] in given.only or name in given.only]
    found = real(names) if given.real else simulated(names, given.seeds)
    record = {
        "machine": machine(Path(tempfile.gettempdir())),
        "versions": own_versions("amends", "httpx2") | versions(PEERS, PEER_NAMES),
        "setting": repr(REAL if given.real else SIMULATED),
        "scenarios": found,
    }
    target = HERE / "results" / ("real.json" if given.real else "simulation.json")
    target.parent.mkdir(exist_ok=True)
    target.write_text(laid_out(record))
    if not given.real:
        picture = ROOT / "docs" / "images" / "retries.svg"
        picture.parent.mkdir(exist_ok=True)
        picture.write_text(drawn({name: runs[0] for name, runs in found["recovery"].items()}))


if __name__ == "__main__":
    main()
