"""The ``amends`` command as a process of its own, for tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.postgres import own_database

COMMAND = (sys.executable, "-m", "amends.cli")


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """What ``--json`` answered."""
        return json.loads(self.out)


@dataclass(frozen=True, slots=True)
class Commands:
    """Runs commands in ``place``, where nothing of this machine's settings can be felt."""

    place: Path
    environ: dict[str, str] = field(default_factory=dict)

    def __call__(self, *arguments: str, **environ: str) -> Ended:
        found = subprocess.run(
            (*COMMAND, *arguments),
            cwd=self.place,
            env=self._environ(environ),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        return Ended(found.returncode, found.stdout, found.stderr)

    def start(self, *arguments: str, **environ: str) -> subprocess.Popen[str]:
        """Begin a command and leave it running, in a process group of its own."""
        return subprocess.Popen(
            (*COMMAND, *arguments),
            cwd=self.place,
            env=self._environ(environ),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def _environ(self, environ: dict[str, str]) -> dict[str, str]:
        plain = {name: value for name, value in os.environ.items() if not name.startswith("AMENDS_")}
        if database := own_database(self.place):
            plain["AMENDS_DATABASE"] = database
        return {
            **plain,
            "HOME": str(self.place),
            "AMENDS_ENGINE_WORKERS": "1",
            "AMENDS_ENGINE_GRACE_SECONDS": "1",
            **self.environ,
            **environ,
        }


def lines_of(path: Path) -> dict[str, Any]:
    """Result lines by custom_id; fails for a doubled one."""
    found: dict[str, Any] = {}
    for line in path.read_text("utf-8").splitlines():
        value = json.loads(line)
        assert value["custom_id"] not in found, f"{value['custom_id']} stands twice"
        found[value["custom_id"]] = value
    return found
