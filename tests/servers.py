"""Real servers for tests: uvicorn on a free port, in this process or in one of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from amends.ledger import Ledger
from amends.server.composition import make_engine
from amends.server.owner import EngineFactory, Owner
from amends.server.settings import Settings
from amends.store import Mode, Role
from amends.web import PAGES
from tests.postgres import own_database, stored_bytes

# Tests send more in a minute than a person's key may; those of the limits themselves set their own.
ROOMY = {
    "reads_per_minute": 1_000_000,
    "writes_per_minute": 1_000_000,
    "uploads_per_minute": 1_000_000,
    "running_batches": 10_000,
    "webhooks": 10_000,
}


@dataclass(frozen=True)
class RunningServer:
    """A server in this process. key: the owner's. local_url and socket: the way in that needs no key."""

    owner: Owner
    base_url: str
    key: str
    data: Path

    @property
    def ledger(self) -> Ledger:
        return self.owner.services.ledger

    def stored_bytes(self) -> bytes:
        """All that the database holds, as it is stored."""
        url = self.owner.services.settings.server.database
        return stored_bytes(url) if url else b"".join(path.read_bytes() for path in self.data.glob("amends.db*"))

    def client(self, key: str | None = None, **headers: str) -> httpx2.Client:
        """A plain HTTP client with the owner's key or another; "" sends none."""
        secret = self.key if key is None else key
        whole = {**({"Authorization": f"Bearer {secret}"} if secret else {}), **headers}
        # There is no TLS on loopback, and reading the certificates of the whole world takes 30 ms each time.
        return httpx2.Client(base_url=self.base_url, headers=whole, timeout=30, trust_env=False, verify=False)

    def local_client(self) -> httpx2.Client:
        """A client on the local socket."""
        transport = httpx2.HTTPTransport(uds=str(self.owner.socket), verify=False)
        return httpx2.Client(base_url="http://local", transport=transport, timeout=30)

    def new_key(
        self, role: Role = "owner", *, workspace: str | None = None, user: str | None = None, mode: Mode = "live"
    ) -> str:
        """The secret of a new key, of a workspace and user made if new."""
        body = {"role": role, "mode": mode, "workspace": workspace, "user": user}
        with self.local_client() as client:
            answer = client.post(
                "/v1/api-keys", json={name: value for name, value in body.items() if value is not None}
            )
        assert answer.status_code == 201, answer.text
        return str(answer.json()["key"])


@contextmanager
def running_server(
    data: Path, *, engine: EngineFactory | None = make_engine, key: str = "", **flags: Any
) -> Iterator[RunningServer]:
    """A server in this process. flags: settings by name, dots as double underscores. engine: None for tests that need no worker.

    key: of the owner, where the directory has one already.
    """
    roomy = {f"limits__{name}": value for name, value in ROOMY.items()}
    if "database" not in flags:
        flags["database"] = own_database(data)
    settings = Settings().with_flags(data=data, port=0, **{"engine__workers": 1, **roomy, **flags})
    with Owner(settings, command="serve", listen=True, engine=engine, pages=PAGES) as owner:
        assert owner.url
        yield RunningServer(owner, owner.url, owner.first_key.secret if owner.first_key else key, data)


@dataclass
class ServerProcess:
    """``amends serve`` as a process. key: printed at its first start, else empty."""

    process: subprocess.Popen[str]
    base_url: str
    key: str

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def serve_command(data: Path, *arguments: str, port: int = 0) -> list[str]:
    """``amends serve`` as it is typed. port: 0 takes any free one."""
    return [sys.executable, "-m", "amends.cli", "serve", "--port", str(port), "--data", str(data), *arguments]


@contextmanager
def server_process(data: Path, *arguments: str, port: int = 0, **environ: str) -> Iterator[ServerProcess]:
    """``amends serve`` in a process of its own, for tests that kill it, with one worker by default. port: 0 takes any free one."""
    roomy = {f"AMENDS_LIMITS_{name.upper()}": str(value) for name, value in ROOMY.items()}
    if "AMENDS_DATABASE" not in environ and (database := own_database(data)):
        roomy["AMENDS_DATABASE"] = database
    process = subprocess.Popen(
        serve_command(data, *arguments, port=port),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "AMENDS_ENGINE_WORKERS": "1", **roomy, **environ},
    )
    drain = None
    try:
        running = _answering(process)
        # A server that says much would wait for ever for somebody to read it.
        drain = threading.Thread(target=deque, args=(process.stderr, 0), daemon=True)
        drain.start()
        yield running
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
        if drain is not None:
            drain.join()
        process.communicate()


def _answering(process: subprocess.Popen[str]) -> ServerProcess:
    assert process.stderr
    assert process.stdout
    said = []
    for line in process.stderr:
        said.append(line)
        if found := re.search(r"Listening on (\S+),", line):
            has_key = any("key above" in earlier for earlier in said)
            return ServerProcess(process, found[1], process.stdout.readline().strip() if has_key else "")
    raise AssertionError(f"amends serve did not start: {''.join(said)}")
