"""A processor whose items do what their payload says: ``{"input": {"behaves": …}}``. Workers load it as ``tests.hostile:Hostile``."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from amends.engine.processor import Failed, Job, Needs, Result, Succeeded, Surroundings, WorkItem
from amends.problems import Problem, ProblemError, problem

PROCESSORS = {"hostile": "tests.hostile:Hostile"}


class Hostile:
    kind = "hostile"

    def validate(self, job: Job, payload: Mapping[str, Any]) -> Problem | None:
        behaves = payload["input"].get("behaves")
        if behaves == "breaks validation":
            raise RuntimeError("validate is not supposed to do this")
        return problem("unsupported_file_format", "Not for me") if behaves == "bad" else None

    def needs(self, job: Job) -> Needs:
        return Needs(batch_size=job.params.get("batch_size", 1), item_timeout_seconds=job.params.get("timeout", 300.0))

    def open(self, surroundings: Surroundings) -> HostileSession:
        return HostileSession(surroundings)


class HostileSession:
    def __init__(self, surroundings: Surroundings) -> None:
        self._surroundings = surroundings
        self._tries: dict[str, int] = {}

    def process(self, job: Job, items: Sequence[WorkItem]) -> Iterator[Result]:
        if job.params.get("opened_file"):
            with open(job.params["opened_file"], "a") as file:
                file.write(f"{os.getpid()}\n")
        for item in items:
            said = json.loads(item.payload)["input"]
            result = getattr(self, f"_{said.get('behaves', 'fine')}")(item, said)
            if result is not None:
                yield result

    def close(self) -> None: ...

    def _fine(self, item: WorkItem, said: Any) -> Result:
        return Succeeded(item.seq, json.dumps({"key": item.key, "pid": os.getpid()}).encode())

    def _slow(self, item: WorkItem, said: Any) -> Result:
        time.sleep(said["seconds"])
        return self._fine(item, said)

    def _exits(self, item: WorkItem, said: Any) -> Result:
        os._exit(7)

    def _segfaults(self, item: WorkItem, said: Any) -> Result:
        ctypes.string_at(0)
        return self._fine(item, said)

    def _eats(self, item: WorkItem, said: Any) -> Result:
        eaten = []
        while True:
            eaten.append(bytearray(os.urandom(1 << 16) * 128))

    def _hangs(self, item: WorkItem, said: Any) -> Result:
        while True:
            time.sleep(1_000)

    def _spawns(self, item: WorkItem, said: Any) -> Result:
        helper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
        Path(said["pid_file"]).write_text(str(helper.pid))
        return self._hangs(item, said)

    def _prints(self, item: WorkItem, said: Any) -> Result:
        print("noise on standard output", flush=True)
        print("noise on standard error", file=sys.stderr, flush=True)
        return self._fine(item, said)

    def _raises(self, item: WorkItem, said: Any) -> Result:
        raise KeyError("an unexpected secret")

    def _refuses(self, item: WorkItem, said: Any) -> Result:
        raise ProblemError(problem("unprocessable_content", "It is torn", error_code="DOCUMENT_CORRUPTED"))

    def _says_nothing(self, item: WorkItem, said: Any) -> None:
        return None

    def _flaky(self, item: WorkItem, said: Any) -> Result:
        marker = Path(said["marker"])
        if not marker.exists():
            marker.write_text("tried")
            return Failed(item.seq, problem("upstream_failed", provider="test"))
        return self._fine(item, said)

    def _long(self, item: WorkItem, said: Any) -> Result:
        return Succeeded(item.seq, json.dumps({"text": "x" * said["bytes"]}).encode())

    def _echoes(self, item: WorkItem, said: Any) -> Result:
        return Succeeded(item.seq, item.payload)
