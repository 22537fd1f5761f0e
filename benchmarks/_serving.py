"""``amends serve`` in a process of its own, on any free port, for as long as a benchmark needs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_START_SECONDS = 60.0
# A benchmark's one key sends more than a person's may.
_ROOMY = {f"AMENDS_LIMITS_{kind}_PER_MINUTE": "100000000" for kind in ("READS", "WRITES", "UPLOADS")}


@dataclass(frozen=True, slots=True)
class Server:
    url: str
    key: str
    pid: int


@contextmanager
def serving(data: Path, settings: Mapping[str, str]) -> Iterator[Server]:
    """data: its directory, made if new. settings: ``AMENDS_…`` variables beside those of this process."""
    data.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "amends.cli", "serve", "--port", "0", "--data", str(data)]
    with (data / "serve.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=log,
            env=os.environ | {"AMENDS_LOG_LEVEL": "warning"} | _ROOMY | settings,
        )
    try:
        assert process.stdout is not None
        key = process.stdout.readline().decode().strip()
        if not key:
            raise RuntimeError(f"amends serve did not start: {(data / 'serve.log').read_text()[-2000:]}")
        yield Server(_url(data), key, process.pid)
    finally:
        process.terminate()
        try:
            process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def _url(data: Path) -> str:
    """The address it announces once it listens."""
    announced = data / "owner.json"
    until = time.monotonic() + _START_SECONDS
    while time.monotonic() < until:
        if announced.exists():
            return str(json.loads(announced.read_text())["url"])
        time.sleep(0.02)
    raise RuntimeError("amends serve announced no address")
