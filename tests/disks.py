"""Disks that can be filled: by a quota, and for real."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

DISK_BYTES = 48 << 20


class Disk(Protocol):
    data: Path

    def fill(self, server_pid: int) -> None: ...

    def free(self, server_pid: int) -> None: ...


class Quota:
    """No file of the server may grow past a bound (EFBIG): needs no rights, works everywhere."""

    def __init__(self, place: Path) -> None:
        self.data = place / "data"
        self._before = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)

    def fill(self, server_pid: int) -> None:
        self._before = resource.prlimit(server_pid, resource.RLIMIT_FSIZE)
        resource.prlimit(server_pid, resource.RLIMIT_FSIZE, (4_096, self._before[1]))

    def free(self, server_pid: int) -> None:
        resource.prlimit(server_pid, resource.RLIMIT_FSIZE, self._before)

    def close(self) -> None: ...


class SmallDisk:
    """A file system of its own that is filled to the last byte (ENOSPC)."""

    def __init__(self, place: Path) -> None:
        self.data = place / "disk"
        self.data.mkdir()
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "amends-test", str(self.data)],
            check=True,
            capture_output=True,
        )

    def fill(self, server_pid: int) -> None:
        with (self.data / "filler").open("wb", buffering=0) as filler:
            try:
                while True:
                    filler.write(bytes(4_096))
            except OSError:
                pass  # full is what it was to become

    def free(self, server_pid: int) -> None:
        (self.data / "filler").unlink()

    def close(self) -> None:
        subprocess.run(["umount", "--lazy", str(self.data)], check=True)


@pytest.fixture(params=[Quota, SmallDisk])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Disk]:
    try:
        disk = request.param(tmp_path)
    except (subprocess.CalledProcessError, FileNotFoundError) as error:
        if "CI" in os.environ:
            raise
        # mounting takes a right that a developer's account may lack; the quota half of these tests needs none
        pytest.skip(f"no file system can be mounted here ({error}); the quota stands in for it")
    yield disk
    disk.close()
