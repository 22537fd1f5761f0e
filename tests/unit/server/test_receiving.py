"""Receiving a run: bounded work in progress, and nothing left of what was given up."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import pytest

from amends.blobs import LocalBlobs
from amends.ledger import Ledger, MemoryLedger, NewItem, RunNotFound
from amends.problems import ProblemError
from amends.server.idempotency import Guard
from amends.server.pins import Pins
from amends.server.receiving import SLICE_ITEMS, Receiving
from amends.server.services import Services
from amends.server.wire import batch_body
from tests.ledgers import HandClock, new_items, new_run


class SlowLedger(MemoryLedger):
    """Appends wait until they are let go."""

    def __init__(self) -> None:
        clock = HandClock()
        super().__init__(clock=clock.wall, monotonic=clock.monotonic)
        self.go = threading.Event()
        self.appended: list[int] = []

    def append(self, run_id: str, items: Sequence[NewItem]) -> None:
        self.go.wait(20)
        self.appended.append(len(items))
        super().append(run_id, items)


class FewServices:
    """What Receiving needs of the services."""

    def __init__(self, ledger: Ledger, blobs: LocalBlobs) -> None:
        self.ledger = ledger
        self.blobs = blobs
        self.pins = Pins()
        self.engine = None


@pytest.fixture
def ledger() -> SlowLedger:
    return SlowLedger()


@pytest.fixture
def receiving(ledger: SlowLedger, tmp_path: Path) -> Receiving:
    hub = cast("Services", FewServices(ledger, LocalBlobs(tmp_path / "blobs")))
    return Receiving(hub, new_run("bpred_1"), Guard(), lambda run: batch_body(run, "http://h"))


def test_no_more_is_taken_while_one_slice_is_written_and_one_is_full(receiving: Receiving, ledger: SlowLedger) -> None:
    async def scenario() -> None:
        await receiving.open()
        await asyncio.wait_for(receiving.add(new_items(2 * SLICE_ITEMS)), 10)
        more = asyncio.create_task(receiving.add(new_items(1, prefix="late-")))
        done, _ = await asyncio.wait([more], timeout=0.1)
        assert not done
        ledger.go.set()
        await asyncio.wait_for(more, 10)
        await receiving.seal(validate=False)

    asyncio.run(scenario())
    assert ledger.appended == [SLICE_ITEMS, SLICE_ITEMS, 1]
    run = ledger.get("bpred_1")
    assert run is not None
    assert run.counts.total == 2 * SLICE_ITEMS + 1


def test_slices_are_bounded_in_bytes(receiving: Receiving, ledger: SlowLedger) -> None:
    async def scenario() -> None:
        ledger.go.set()
        await receiving.open()
        await receiving.add(new_items(300, payload=b'{"input":"%b"}' % (b"x" * 60_000)))
        await receiving.seal(validate=False)

    asyncio.run(scenario())
    assert len(ledger.appended) > 3
    assert sum(ledger.appended) == 300


def test_repeated_names_are_refused_when_all_are_there(receiving: Receiving, ledger: SlowLedger) -> None:
    async def scenario() -> None:
        ledger.go.set()
        await receiving.open()
        await receiving.add(new_items(2) * 2)
        await receiving.seal(validate=False)

    with pytest.raises(ProblemError) as refused:
        asyncio.run(scenario())
    assert [fault.custom_id for fault in refused.value.problem.errors] == ["item-0", "item-1"]


def test_check_leaves_nothing_visible(receiving: Receiving, ledger: SlowLedger) -> None:
    async def scenario() -> None:
        ledger.go.set()
        await receiving.open()
        await receiving.add(new_items(2))
        await receiving.check()

    asyncio.run(scenario())
    assert ledger.get("bpred_1") is None
    assert ledger.abandon_receiving() == 1


def test_cancelled_request_waits_for_its_slice_and_abandons(receiving: Receiving, ledger: SlowLedger) -> None:
    async def request() -> None:
        try:
            await receiving.open()
            await receiving.add(new_items(3 * SLICE_ITEMS))
        except BaseException:
            await receiving.abandon()
            raise

    async def scenario() -> None:
        task = asyncio.create_task(request())
        await asyncio.wait([task], timeout=0.1)
        task.cancel()
        ledger.go.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(scenario())
    assert ledger.abandon_receiving() == 0


def test_abandoned_run_is_gone(receiving: Receiving, ledger: SlowLedger) -> None:
    async def scenario() -> None:
        ledger.go.set()
        await receiving.open()
        await receiving.add(new_items(3))
        await receiving.abandon()

    asyncio.run(scenario())
    with pytest.raises(RunNotFound):
        ledger.append("bpred_1", [])
