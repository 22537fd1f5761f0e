"""The owner's side of a worker: the desk, and its thread on a socket."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from amends.engine._connections import Connection
from amends.engine._desk import Desk, NeedsOfRuns
from amends.engine._loading import Processors
from amends.engine._signal import WorkSignal
from amends.engine._wire import (
    Claim,
    Committed,
    Configure,
    Incoming,
    Leased,
    Prepare,
    Renew,
    Report,
    Rules,
    StandingOf,
    frame,
    raw,
    to_supervisor,
)
from amends.ledger import Answer, Deferral, MemoryLedger, NewItem, Outcome, Step
from tests.ledgers import new_run

CONFIGURE = Configure("w1", Rules(*[1] * len(Rules.__struct_fields__)), Prepare({}, "", "", 1, 1))


def submit(ledger: MemoryLedger, items: int = 1) -> str:
    run = new_run()
    ledger.open_run(run)
    ledger.append(run.id, [NewItem(f"c{n}", b"{}", b"") for n in range(items)])
    ledger.seal(run.id, validate=False)
    return run.id


def desk_of(ledger: MemoryLedger, signal: WorkSignal, **changes: Any) -> Desk:
    needs = NeedsOfRuns(Processors({}))
    return Desk("w1", ledger, needs, signal, ttl_seconds=10.0, longest_item_seconds=60.0, **changes)


def outcome(seq: int) -> Outcome:
    return Outcome(seq, "succeeded", None, 1, 1, b'"custom_id":"c"}')


def test_a_claim_waits_for_work() -> None:
    ledger = MemoryLedger()
    desk = desk_of(ledger, WorkSignal(time.monotonic))
    assert desk.answer(Claim(5, 1_000)) == []
    assert desk.pending is not None
    run_id = submit(ledger, 3)
    (lease,) = desk.claimed()
    assert isinstance(lease, Leased)
    assert (lease.begin.run_id, lease.item_timeout_seconds, desk.pending) == (run_id, 60.0, None)


def test_a_final_report_brings_the_next_lease_and_tells_when_a_run_may_be_done() -> None:
    ends: list[int] = []
    ledger = MemoryLedger()
    desk = desk_of(ledger, WorkSignal(time.monotonic), on_end=lambda: ends.append(1))
    submit(ledger, 2)
    (lease,) = desk.answer(Claim(1, 1_000))
    assert isinstance(lease, Leased)
    committed, following = desk.answer(Report(lease.lease_id, [raw([outcome(0)])], final=True, claim=Claim(1, 1_000)))
    assert committed == Committed(lease.lease_id, True)
    assert isinstance(following, Leased)
    assert ends == []
    (committed,) = desk.answer(Report(following.lease_id, [raw([outcome(1)])], final=True, claim=Claim(1, 1_000)))
    assert (ends, desk.pending is None) == ([1], False)


def test_a_fenced_report_is_answered_so() -> None:
    ledger = MemoryLedger()
    desk = desk_of(ledger, WorkSignal(time.monotonic))
    submit(ledger)
    (lease,) = desk.answer(Claim(1, 1_000))
    assert isinstance(lease, Leased)
    ledger.release_owner("w1")
    assert desk.answer(Report(lease.lease_id, [raw([outcome(0)])])) == [Committed(lease.lease_id, False)]
    assert desk.answer(Renew(lease.lease_id)) == [StandingOf(lease.lease_id, "fenced")]


def test_a_deferred_item_wakes_idle_workers_when_it_is_due() -> None:
    now = [0.0]
    signal = WorkSignal(lambda: now[0])
    ledger = MemoryLedger()
    desk = desk_of(ledger, signal)
    submit(ledger)
    (lease,) = desk.answer(Claim(1, 1_000))
    assert isinstance(lease, Leased)
    desk.answer(Report(lease.lease_id, deferred=[Deferral(0, 1, 5.0)]))
    seen = signal.count
    assert signal.wait(seen, 0.0) == seen
    now[0] = 5.0
    assert signal.wait(seen, 1.0) == seen + 1


class FullDisk(MemoryLedger):
    """Refuses everything while ``is_full``."""

    is_full = False

    def perform(self, steps: Sequence[Step]) -> Sequence[Answer]:
        if self.is_full:
            return [OSError(28, "No space left on device")] * len(steps)
        return super().perform(steps)


class Talk:
    """A connection and the worker's end of its socket."""

    def __init__(self, ledger: MemoryLedger, patience_seconds: float = 30.0) -> None:
        ours, self.worker = socket.socketpair()
        self.worker.settimeout(20)
        self._incoming = Incoming(self.worker)
        self.signal = WorkSignal(time.monotonic)
        self.connection = Connection(
            desk_of(ledger, self.signal), ours, CONFIGURE, self.signal, patience_seconds=patience_seconds
        )
        self.connection.start()
        assert self.hear() == CONFIGURE

    def say(self, message: Any) -> None:
        self.worker.sendall(frame(message))

    def hear(self) -> Any:
        data = self._incoming.receive()
        assert data is not None
        return to_supervisor.decode(data)


@pytest.fixture
def talks() -> Iterator[list[Talk]]:
    talks: list[Talk] = []
    yield talks
    for talk in talks:
        talk.worker.close()
        talk.connection.close()
        talk.connection.join(10)
    assert not any(thread.name.startswith("connection-") for thread in threading.enumerate())


def test_a_waiting_worker_is_served_as_soon_as_there_is_work(talks: list[Talk]) -> None:
    ledger = MemoryLedger()
    talks.append(talk := Talk(ledger))
    talk.say(Claim(1, 1_000))
    submit(ledger)
    talk.signal.wake()
    assert isinstance(talk.hear(), Leased)


def test_what_a_worker_held_goes_back_when_its_socket_ends(talks: list[Talk]) -> None:
    ledger = MemoryLedger()
    run_id = submit(ledger)
    talks.append(talk := Talk(ledger))
    talk.say(Claim(1, 1_000))
    talk.hear()
    assert ledger.conservation(run_id).leased == 1
    talk.worker.close()
    talk.connection.join(10)
    assert ledger.conservation(run_id).pending == 1


def test_a_ledger_that_comes_back_gets_the_report(talks: list[Talk], caplog: pytest.LogCaptureFixture) -> None:
    ledger = FullDisk()
    run_id = submit(ledger)
    talks.append(talk := Talk(ledger))
    talk.say(Claim(1, 1_000))
    lease = talk.hear()
    ledger.is_full = True
    talk.say(Report(lease.lease_id, [raw([outcome(0)])], final=True, claim=Claim(1, 1_000)))
    threading.Timer(0.3, lambda: setattr(ledger, "is_full", False)).start()
    assert talk.hear() == Committed(lease.lease_id, True)
    assert ledger.conservation(run_id).outcomes == 1
    assert "ledger_unavailable" in caplog.text


def test_a_report_that_cannot_be_recorded_loses_the_work_and_not_the_items(
    talks: list[Talk], caplog: pytest.LogCaptureFixture
) -> None:
    ledger = FullDisk()
    run_id = submit(ledger)
    talks.append(talk := Talk(ledger, patience_seconds=0.0))
    talk.say(Claim(1, 1_000))
    lease = talk.hear()
    ledger.is_full = True
    talk.say(Report(lease.lease_id, [raw([outcome(0)])], final=True, claim=Claim(1, 1_000)))
    assert talk.hear() == Committed(lease.lease_id, False)
    ledger.is_full = False
    ledger.release_owner("w1")
    talk.signal.wake()
    assert isinstance(talk.hear(), Leased), "the claim still waits"
    assert ledger.conservation(run_id).holds
    assert "ledger_unavailable" in caplog.text


def test_a_stopping_run_is_told_to_the_worker_that_has_it(talks: list[Talk]) -> None:
    ledger = MemoryLedger()
    run_id = submit(ledger)
    talks.append(talk := Talk(ledger))
    talk.say(Claim(1, 1_000))
    lease = talk.hear()
    talk.connection.stop_run("bpred_other")
    talk.connection.stop_run(run_id)
    assert talk.hear() == StandingOf(lease.lease_id, "stopping")
