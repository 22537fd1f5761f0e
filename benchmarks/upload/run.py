"""How long 10,000 small pictures take from a folder into a dataset: the SDK's way, one POST a file and one a datapoint, and a plain copy.

    python -m benchmarks.upload.run [--files 10000] [--rounds 3]

Each round is a fresh server, a fresh client process and a fresh dataset. One picture in a hundred is broken, missing or behind a URL that
leads nowhere good, for ours and the plain client alike (``--faults 0`` for none).
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from PIL import Image

from benchmarks._machine import machine, own_versions
from benchmarks._serving import Server, serving
from benchmarks.upload.host import Host, running_host

HERE = Path(__file__).parent
CANDIDATES = ("amends", "one_by_one", "copy")
LEAST = 8.0
TOTAL_SECONDS = "2"
"""What a fetch may take on the server that is measured, so that those that hang do not decide."""


def make_pictures(folder: Path, count: int, faults: int) -> dict[str, str]:
    """Pictures of 2 to 10 KB in the folder. Every ``faults``-th is none; returns kind by name of those, none for 0."""
    folder.mkdir(parents=True)
    kinds = ("missing", "corrupt", "forbidden", "slow", "private", "html")
    bad: dict[str, str] = {}
    for number in range(count):
        name = f"{number:06}.{'jpg' if number % 2 else 'png'}"
        if faults and number % faults == faults - 1:
            bad[name] = kinds[len(bad) % len(kinds)]
        data = _picture(number)
        if bad.get(name) == "corrupt":
            data = data[: len(data) // 2]
        if bad.get(name) in (None, "corrupt"):
            (folder / name).write_bytes(data)
    return bad


def _picture(number: int) -> bytes:
    drawn = random.Random(number)
    side = drawn.randrange(80, 160)
    small = Image.frombytes("RGB", (24, 24), drawn.randbytes(24 * 24 * 3))
    made = io.BytesIO()
    if number % 2:
        small.resize((side, side)).save(made, "JPEG", quality=90)
    else:
        small.resize((side // 2, side // 2)).quantize(64).save(made, "PNG")
    return made.getvalue()


def assets(folder: Path, count: int, bad: dict[str, str], host: Host) -> list[str]:
    """What is to be added, in order: paths, and URLs for some of those that fail."""
    found = []
    for number in range(count):
        name = f"{number:06}.{'jpg' if number % 2 else 'png'}"
        kind = bad.get(name)
        found.append(str(folder / name) if kind in (None, "missing", "corrupt") else host.url(f"/{kind}/{name}"))
    return found


@contextmanager
def scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="amends-bench-") as place:
        yield Path(place)


def measure(candidate: str, folder: Path, wanted: list[str], place: Path) -> dict[str, Any]:
    """One round. failed: by stage, of ours; seconds: by the clock, from the first read to the last outcome."""
    if candidate == "copy":
        started = time.perf_counter()
        shutil.copytree(folder, place / "copy")
        copied = time.perf_counter() - started
        _sync(place)
        return {"seconds": round(time.perf_counter() - started, 3), "seconds_before_sync": round(copied, 3)}
    settings = {"AMENDS_FETCH_TOTAL_SECONDS": TOTAL_SECONDS, "AMENDS_FETCH_ALLOW": "127.0.0.1"}
    (place / "assets.json").write_text(json.dumps(wanted))
    with serving(place / "data", settings) as server:
        before = _processor_seconds(server)
        code = ["-m", f"benchmarks.upload.{candidate}", str(place / "assets.json"), server.url, server.key]
        printed = subprocess.run([sys.executable, *code], capture_output=True, text=True)
        if printed.returncode:
            raise RuntimeError(printed.stderr[-3_000:])
        found: dict[str, Any] = json.loads(printed.stdout)
        found["server_processor_seconds"] = round(_processor_seconds(server) - before, 2)
        found["server_peak_mib"] = _peak_mib(server)
        return found


def _sync(place: Path) -> None:
    """Every file of the copy on the disk, as what the server acknowledged is."""
    for path in place.rglob("*"):
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)


def _processor_seconds(server: Server) -> float:
    """Of the server and its children, those that have ended not counted."""
    owner = psutil.Process(server.pid)
    times = [process.cpu_times() for process in (owner, *owner.children(recursive=True))]
    return sum(one.user + one.system for one in times)


def _peak_mib(server: Server) -> int | None:
    """Of the server's own process, where the system tells."""
    status = Path(f"/proc/{server.pid}/status")
    lines = status.read_text().splitlines() if status.exists() else []
    peaks = [int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM:")]
    return peaks[0] if peaks else None


def compared(rounds: dict[str, list[dict[str, Any]]]) -> dict[str, float]:
    """The others by ours, best rounds: by the clock, and by the processor time of client and server together."""
    found: dict[str, float] = {}
    for how, cost in (("by_the_clock", _seconds), ("by_processor_time", _processor)):
        best = {name: min(map(cost, runs)) for name, runs in rounds.items() if runs}
        found |= {
            f"{name}_{how}": round(best[name] / best["amends"], 3)
            for name in best
            if name != "amends" and best[name] and best.get("amends")
        }
    return found


def _seconds(run: dict[str, Any]) -> float:
    return float(run["seconds"])


def _processor(run: dict[str, Any]) -> float:
    return float(run.get("client_processor_seconds", 0.0) + run.get("server_processor_seconds", 0.0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", default=10_000, type=int)
    parser.add_argument("--rounds", default=3, type=int)
    parser.add_argument("--faults", default=0, type=int, help="every how manieth fails; 0 for none")
    parser.add_argument("--only", default=",".join(CANDIDATES))
    parser.add_argument("--dry", action="store_true", help="print only")
    given = parser.parse_args()
    chosen = given.only.split(",")
    rounds: dict[str, list[dict[str, Any]]] = {name: [] for name in chosen}
    with scratch() as place, running_host() as host:
        bad = make_pictures(place / "pictures", given.files, given.faults)
        wanted = assets(place / "pictures", given.files, bad, host)
        total = sum(path.stat().st_size for path in (place / "pictures").iterdir())
        record: dict[str, Any] = {
            "machine": machine(place),
            "versions": own_versions("amends", "httpx2", "pillow"),
            "files": given.files,
            "bytes": total,
            "faults": {kind: list(bad.values()).count(kind) for kind in sorted(set(bad.values()))},
            "least": LEAST,
        }
        for number in range(given.rounds):
            for name in chosen:
                (place / f"{number}-{name}").mkdir()
                rounds[name].append(measure(name, place / "pictures", wanted, place / f"{number}-{name}"))
                shutil.rmtree(place / f"{number}-{name}")
                print(name, rounds[name][-1], flush=True)
    record |= {"ratios": compared(rounds), "rounds": rounds}
    print(record["ratios"])
    if not given.dry:
        target = HERE / "results" / (f"files-{given.files}" + ("-faults" if given.faults else "") + ".json")
        target.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
