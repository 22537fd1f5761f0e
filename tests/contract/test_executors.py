"""What every executor does: places worker processes and says when they are gone."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress

import psutil
import pytest

from amends.engine import LocalExecutor, Slot, WorkerExit
from tests.engines import until


@pytest.fixture(params=["local"])
def executor(request: pytest.FixtureRequest) -> Iterator[LocalExecutor]:
    executor = LocalExecutor()
    yield executor
    executor.close()
    assert executor.capacity()["workers"] == 0
    assert not _workers()


def _workers() -> list[int]:
    """The worker processes below this one. The database of other tests may run there, too."""
    found = []
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if any("amends.engine" in word for word in child.cmdline()):
                found.append(child.pid)
    return found


def exits(executor: LocalExecutor) -> list[WorkerExit]:
    return until(lambda: list(executor.poll()), 20)


def test_each_worker_has_an_id_of_its_own_and_takes_a_place(executor: LocalExecutor) -> None:
    first, second = executor.start(Slot()), executor.start(Slot())
    assert first != second
    assert executor.capacity()["workers"] == 2
    assert list(executor.poll()) == []


def test_a_worker_that_was_killed_is_told_once_with_the_reason(executor: LocalExecutor) -> None:
    worker_id = executor.start(Slot())
    pid = executor.pid(worker_id)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert exits(executor) == [WorkerExit(worker_id, "killed by signal 9", -9)]
    assert list(executor.poll()) == []
    assert executor.pid(worker_id) is None


def test_a_worker_whose_owner_hangs_up_ends_by_itself(executor: LocalExecutor) -> None:
    worker_id = executor.start(Slot())
    executor.channel(worker_id).close()
    assert exits(executor) == [WorkerExit(worker_id, "exited", 0)]


@pytest.mark.parametrize("grace_seconds", [0.0, 5.0])
def test_a_worker_that_is_stopped_ends(executor: LocalExecutor, grace_seconds: float) -> None:
    worker_id = executor.start(Slot())
    with executor.channel(worker_id):
        executor.stop(worker_id, grace_seconds)
        assert [gone.worker_id for gone in exits(executor)] == [worker_id]


def test_an_unknown_worker_is_nobodys_business(executor: LocalExecutor) -> None:
    executor.stop("worker_unknown", 0.0)
    assert executor.pid("worker_unknown") is None
