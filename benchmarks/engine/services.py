"""What the peers need beside them: Redis and PostgreSQL, started in a temporary directory on a Unix socket, and stopped."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_START_SECONDS = 30.0


def redis_server() -> str | None:
    return shutil.which("redis-server")


def postgresql_bin() -> Path | None:
    """The directory of ``initdb`` and ``postgres``; Debian keeps them off the PATH."""
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    candidates = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return candidates[-1].parent if candidates else None


@contextmanager
def redis(directory: Path) -> Iterator[str]:
    """Redis with its append-only log on, synced each second; its URL for Celery."""
    server = redis_server()
    assert server is not None
    socket = directory / "redis.sock"
    process = subprocess.Popen(
        [server, "--port", "0", "--unixsocket", str(socket), "--dir", str(directory), "--appendonly", "yes",
         "--appendfsync", "everysec", "--save", ""],
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        _wait_for(socket.exists, process)
        yield f"redis+socket://{socket}"
    finally:
        _stop(process)


@contextmanager
def postgresql(directory: Path) -> Iterator[str]:
    """PostgreSQL with its default settings (``fsync`` and ``synchronous_commit`` on); its URL."""
    binaries = postgresql_bin()
    assert binaries is not None
    # it refuses to run as root
    user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    if os.geteuid() == 0:
        directory.chmod(0o711)
        shutil.chown(directory, user)
    data = directory / "cluster"
    subprocess.run(
        [binaries / "initdb", "-D", data, "-U", "bench", "-A", "trust", "-E", "UTF8"],
        check=True, stdout=subprocess.DEVNULL, user=user if os.geteuid() == 0 else None, cwd=directory,
    )  # fmt: skip
    with (directory / "postgresql.log").open("wb") as log:
        process = subprocess.Popen(
            [binaries / "postgres", "-D", data, "-k", str(directory), "-c", "listen_addresses="],
            stdout=log, stderr=log, user=user if os.geteuid() == 0 else None, cwd=directory,
        )  # fmt: skip
    try:
        ready = [binaries / "pg_isready", "-q", "-h", str(directory)]
        _wait_for(lambda: subprocess.run(ready).returncode == 0, process)
        yield f"postgresql://bench@/bench?host={directory}"
    finally:
        _stop(process)


def _wait_for(is_up: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + _START_SECONDS
    while not is_up():
        if process.poll() is not None or time.monotonic() > until:
            raise RuntimeError(f"{process.args!r} did not start")
        time.sleep(0.05)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
