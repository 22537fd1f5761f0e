"""The owner's side of the workers: their desks, and the one thread that serves them all."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from amends.engine._calls import Calls
from amends.engine._desk import Desk, NeedsOfRuns
from amends.engine._gate import Gate
from amends.engine._loading import Processors
from amends.engine._signal import WorkSignal
from amends.engine._switchboard import Switchboard
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
    Stop,
    ToOwner,
    frame,
    raw,
    to_supervisor,
)
from amends.ledger import Answer, Commit, Deferral, Ledger, MemoryLedger, NewItem, Outcome, Step
from tests.ledgers import new_run

CONFIGURE = Configure("w1", Rules(*[1] * len(Rules.__struct_fields__)), Prepare({}, "", "", 1, 1))
CLAIM = Claim(1, 1_000)


def submit(ledger: MemoryLedger, items: int = 1) -> str:
    run = new_run()
    ledger.open_run(run)
    ledger.append(run.id, [NewItem(f"c{n}", b"{}", b"") for n in range(items)])
    ledger.seal(run.id, validate=False)
    return run.id


def desk_of(signal: WorkSignal, name: str = "w1", **changes: Any) -> Desk:
    needs = NeedsOfRuns(Processors({}))
    return Desk(name, needs, signal, ttl_seconds=10.0, longest_item_seconds=60.0, **changes)


def outcome(seq: int) -> Outcome:
    return Outcome(seq, "succeeded", None, 1, 1, b'"custom_id":"c"}')


def report_of(lease: Leased, seq: int, **changes: Any) -> Report:
    return Report(lease.lease_id, [raw([outcome(seq)])], **{"final": True, "claim": CLAIM, **changes})


def seq_of(lease: Leased) -> int:
    return int(lease.packed.split(b"\t")[0])


# The desk


def answer(desk: Desk, ledger: Ledger, *messages: ToOwner, **offer: bool) -> list[Any]:
    for message in messages:
        desk.hear(message)
    steps = desk.steps(**offer)
    return desk.answered(steps, ledger.perform(steps))


@pytest.fixture
def signal() -> WorkSignal:
    return WorkSignal(time.monotonic)


def test_a_claim_waits_for_work(signal: WorkSignal) -> None:
    ledger, desk = MemoryLedger(), desk_of(signal)
    assert answer(desk, ledger, Claim(5, 1_000)) == []
    assert desk.has_claims
    assert desk.steps() == [], "it is not tried again before there may be work"
    run_id = submit(ledger, 3)
    (lease,) = answer(desk, ledger, may_find_work=True)
    assert (lease.begin.run_id, lease.item_timeout_seconds, desk.has_claims) == (run_id, 60.0, False)
    assert desk.leases == {lease.lease_id: run_id}


def test_a_final_report_brings_the_next_lease_and_tells_when_a_run_may_be_done(signal: WorkSignal) -> None:
    ends: list[int] = []
    ledger, desk = MemoryLedger(), desk_of(signal, on_end=lambda: ends.append(1))
    submit(ledger, 3)
    first, second = answer(desk, ledger, CLAIM, CLAIM)
    assert [seq_of(first), seq_of(second)] == [0, 1]
    committed, third = answer(desk, ledger, report_of(first, 0))
    assert (committed, seq_of(third), ends) == (Committed(first.lease_id, True), 2, [])
    answer(desk, ledger, report_of(second, 1))
    assert ends == []
    answer(desk, ledger, report_of(third, 2))
    assert (ends, desk.leases, desk.has_claims) == ([1], {}, True)


def test_a_run_is_told_with_its_first_lease_only(signal: WorkSignal) -> None:
    ledger, desk = MemoryLedger(), desk_of(signal)
    submit(ledger, 2)
    first, second = answer(desk, ledger, CLAIM, CLAIM)
    assert (first.begin is None, second.begin) == (False, None)
    run_id = submit(ledger)
    (other,) = answer(desk, ledger, CLAIM)
    assert other.begin.run_id == run_id


def test_a_fenced_report_is_answered_so(signal: WorkSignal) -> None:
    ledger, desk = MemoryLedger(), desk_of(signal)
    submit(ledger)
    (lease,) = answer(desk, ledger, CLAIM)
    ledger.release_owner("w1")
    assert answer(desk, ledger, Renew(lease.lease_id)) == [StandingOf(lease.lease_id, "fenced")]
    assert answer(desk, ledger, report_of(lease, 0, claim=None)) == [Committed(lease.lease_id, False)]
    assert desk.leases == {}


def test_a_report_of_what_the_lease_does_not_hold_is_refused(
    signal: WorkSignal, caplog: pytest.LogCaptureFixture
) -> None:
    ledger, desk = MemoryLedger(), desk_of(signal)
    submit(ledger, 2)
    (lease,) = answer(desk, ledger, CLAIM)
    assert answer(desk, ledger, report_of(lease, 1, claim=None)) == [Committed(lease.lease_id, False)]
    assert "report_refused" in caplog.text


def test_a_deferred_item_wakes_idle_workers_when_it_is_due() -> None:
    now = [0.0]
    signal = WorkSignal(lambda: now[0])
    ledger, desk = MemoryLedger(), desk_of(signal)
    submit(ledger)
    (lease,) = answer(desk, ledger, CLAIM)
    answer(desk, ledger, Report(lease.lease_id, deferred=[Deferral(0, 1, 5.0)]))
    seen = signal.count
    assert signal.next_due() == 5.0
    now[0] = 5.0
    assert signal.count == seen + 1


# The switchboard


class FullDisk(MemoryLedger):
    """Refuses everything while ``is_full``; counts what it is asked."""

    is_full = False

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []
        self.before: Callable[[], object] = lambda: None

    def perform(self, steps: Sequence[Step]) -> Sequence[Answer]:
        self.before()
        if self.is_full:
            return [OSError(28, "No space left on device")] * len(steps)
        self.batches.append(len(steps))
        return super().perform(steps)

    def release_owner(self, owner: str, *, lapsed: bool = False) -> int:
        if self.is_full:
            raise OSError(28, "No space left on device")
        return super().release_owner(owner, lapsed=lapsed)


class Talk:
    """A worker's end of its socket."""

    def __init__(self, board: Switchboard, signal: WorkSignal, name: str = "w1") -> None:
        ours, self.worker = socket.socketpair()
        self.worker.settimeout(20)
        self._incoming = Incoming(self.worker)
        self.desk = desk_of(signal, name)
        board.connect(self.desk, ours, CONFIGURE)
        assert self.hear() == CONFIGURE

    def say(self, *messages: Any) -> None:
        self.worker.sendall(b"".join(map(frame, messages)))

    def hear(self) -> Any:
        data = self._incoming.receive()
        assert data is not None
        return to_supervisor.decode(data)

    def hears_the_end(self) -> bool:
        return self._incoming.receive() is None


class Exchange:
    """A switchboard on a ledger, and workers that call."""

    def __init__(self, patience_seconds: float = 30.0) -> None:
        self.ledger = FullDisk()
        self.signal = WorkSignal(time.monotonic)
        calls = Calls(Gate(), time.monotonic)
        self.board = Switchboard(self.ledger, self.signal, calls, patience_seconds=patience_seconds)
        self.board.start()
        self.talks: list[Talk] = []

    def call(self, name: str = "w1") -> Talk:
        self.talks.append(Talk(self.board, self.signal, name))
        return self.talks[-1]

    def close(self) -> None:
        self.ledger.is_full = False
        self.board.close(10.0)
        for talk in self.talks:
            talk.worker.close()


@pytest.fixture
def open_exchange() -> Iterator[Callable[..., Exchange]]:
    opened: list[Exchange] = []

    def open_one(**changes: Any) -> Exchange:
        opened.append(Exchange(**changes))
        return opened[-1]

    yield open_one
    for exchange in opened:
        exchange.close()
    assert not any(thread.name == "switchboard" for thread in threading.enumerate())


@pytest.fixture
def exchange(open_exchange: Callable[..., Exchange]) -> Exchange:
    return open_exchange()


def until(claim: Callable[[], Any]) -> None:
    end = time.monotonic() + 20.0
    while not claim():
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.005)


def test_a_waiting_worker_is_served_as_soon_as_there_is_work(exchange: Exchange) -> None:
    talk = exchange.call()
    talk.say(CLAIM)
    until(lambda: talk.desk.has_claims)
    submit(exchange.ledger)
    exchange.board.wake()
    assert isinstance(talk.hear(), Leased)


def test_idle_workers_share_what_comes(exchange: Exchange) -> None:
    talks = [exchange.call(f"w{n}") for n in range(3)]
    for talk in talks:
        talk.say(*[CLAIM] * 4)
    until(lambda: all(talk.desk.has_claims for talk in talks))
    submit(exchange.ledger, 6)
    exchange.board.wake()
    for talk in talks:
        assert [type(talk.hear()), type(talk.hear())] == [Leased, Leased]


def test_what_comes_in_together_is_performed_together(exchange: Exchange) -> None:
    run_id = submit(exchange.ledger, 8)
    first, second = exchange.call("w1"), exchange.call("w2")
    leases = []
    for talk in (first, second):
        talk.say(CLAIM, CLAIM)
        leases.append([talk.hear(), talk.hear()])
    is_performing, may_go_on = threading.Event(), threading.Event()

    def hold() -> None:
        is_performing.set()
        may_go_on.wait(20)

    exchange.ledger.before = hold
    first.say(report_of(leases[0][0], seq_of(leases[0][0])))
    assert is_performing.wait(20)
    first.say(report_of(leases[0][1], seq_of(leases[0][1])))
    second.say(*(report_of(lease, seq_of(lease)) for lease in leases[1]))
    may_go_on.set()
    for talk, reports in ((first, 2), (second, 2)):
        assert sorted(type(talk.hear()).__name__ for _ in range(2 * reports)) == ["Committed"] * 2 + ["Leased"] * 2
    assert exchange.ledger.batches[-2:] == [2, 6]
    assert exchange.ledger.conservation(run_id).outcomes == 4


def test_what_a_worker_held_goes_back_when_its_socket_ends(exchange: Exchange) -> None:
    run_id = submit(exchange.ledger, 3)
    talk = exchange.call()
    talk.say(CLAIM, CLAIM)
    lease = talk.hear()
    talk.hear()
    talk.say(report_of(lease, 0))
    talk.worker.close()
    until(lambda: not exchange.board.desks())
    place = exchange.ledger.conservation(run_id)
    assert (place.outcomes, place.pending, place.leased) == (1, 2, 0), "its last words count"


def test_a_worker_that_was_lost_lapses_and_one_that_was_asked_to_go_does_not(exchange: Exchange) -> None:
    lapses: list[tuple[str, bool]] = []
    release = exchange.ledger.release_owner

    def noted(owner: str, *, lapsed: bool = False) -> int:
        lapses.append((owner, lapsed))
        return release(owner, lapsed=lapsed)

    exchange.ledger.release_owner = noted  # type: ignore[method-assign]
    lost, asked = exchange.call("lost"), exchange.call("asked")
    lost.worker.close()
    until(lambda: lapses)
    exchange.board.drain(5.0)
    assert asked.hear() == Stop(5.0)
    asked.worker.close()
    until(lambda: len(lapses) == 2)
    assert lapses == [("lost", True), ("asked", False)]


def test_a_ledger_that_comes_back_gets_the_report(exchange: Exchange, caplog: pytest.LogCaptureFixture) -> None:
    run_id = submit(exchange.ledger)
    talk = exchange.call()
    talk.say(CLAIM)
    lease = talk.hear()
    exchange.ledger.is_full = True
    talk.say(report_of(lease, 0))
    threading.Timer(0.3, lambda: setattr(exchange.ledger, "is_full", False)).start()
    assert talk.hear() == Committed(lease.lease_id, True)
    assert exchange.ledger.conservation(run_id).outcomes == 1
    assert "ledger_unavailable" in caplog.text


def test_the_last_words_of_a_worker_and_its_leases_wait_for_a_ledger_that_comes_back(exchange: Exchange) -> None:
    run_id = submit(exchange.ledger, 2)
    talk = exchange.call()
    talk.say(CLAIM, CLAIM)
    lease = talk.hear()
    talk.hear()
    exchange.ledger.is_full = True
    talk.say(report_of(lease, 0))
    talk.worker.close()
    until(lambda: not talk.desk.has_claims and talk.desk.has_news)
    exchange.ledger.is_full = False
    until(lambda: not exchange.board.desks())
    place = exchange.ledger.conservation(run_id)
    assert (place.outcomes, place.pending) == (1, 1)


def test_a_report_that_cannot_be_recorded_loses_the_work_and_not_the_items(
    open_exchange: Callable[..., Exchange], caplog: pytest.LogCaptureFixture
) -> None:
    exchange = open_exchange(patience_seconds=0.0)
    run_id = submit(exchange.ledger)
    talk = exchange.call()
    talk.say(CLAIM)
    lease = talk.hear()
    exchange.ledger.is_full = True
    talk.say(report_of(lease, 0))
    assert talk.hear() == Committed(lease.lease_id, False)
    exchange.ledger.is_full = False
    exchange.ledger.release_owner("w1")
    exchange.board.wake()
    assert isinstance(talk.hear(), Leased), "the claim still waits"
    assert exchange.ledger.conservation(run_id).holds
    assert "ledger_unavailable" in caplog.text


def test_one_report_that_fails_keeps_no_other_waiting(exchange: Exchange) -> None:
    run_id = submit(exchange.ledger, 2)
    talks = [exchange.call("w1"), exchange.call("w2")]
    for talk in talks:
        talk.say(CLAIM)
    broken, sound = (talk.hear() for talk in talks)
    commit = exchange.ledger.commit

    def failing(report: Commit) -> bool:
        if report.lease_id == broken.lease_id:
            raise OSError(5, "Input/output error")
        return commit(report)

    exchange.ledger.commit = failing  # type: ignore[method-assign]
    talks[0].say(report_of(broken, seq_of(broken)))
    until(lambda: talks[0].desk.has_claims)
    talks[1].say(report_of(sound, seq_of(sound)))
    assert talks[1].hear() == Committed(sound.lease_id, True)
    exchange.ledger.commit = commit  # type: ignore[method-assign]
    assert talks[0].hear() == Committed(broken.lease_id, True)
    assert exchange.ledger.conservation(run_id).outcomes == 2


def test_a_stopping_run_is_told_to_the_worker_that_has_it(exchange: Exchange) -> None:
    run_id = submit(exchange.ledger, 2)
    talk = exchange.call()
    talk.say(CLAIM, CLAIM)
    leases = [talk.hear(), talk.hear()]
    exchange.board.stop_run("bpred_other")
    exchange.board.stop_run(run_id)
    assert [talk.hear(), talk.hear()] == [StandingOf(lease.lease_id, "stopping") for lease in leases]


def test_a_worker_that_speaks_nonsense_is_hung_up_on_and_harms_no_other(
    exchange: Exchange, caplog: pytest.LogCaptureFixture
) -> None:
    run_id = submit(exchange.ledger, 2)
    fool, other = exchange.call("fool"), exchange.call("other")
    fool.say(CLAIM)
    fool.hear()
    fool.worker.sendall(frame(["nonsense", 1]))
    assert fool.hears_the_end()
    until(lambda: exchange.ledger.conservation(run_id).leased == 0)
    other.say(CLAIM)
    assert isinstance(other.hear(), Leased)
    assert "connection_failed" in caplog.text


def test_a_worker_that_does_not_read_its_answers_keeps_nobody_waiting(exchange: Exchange) -> None:
    deaf, other = exchange.call("deaf"), exchange.call("other")
    renewals = b"".join([bytes(frame(Renew("x" * 10_000)))] * 10_000)
    deaf.worker.settimeout(0.2)
    with pytest.raises(TimeoutError):
        deaf.worker.sendall(renewals)
    submit(exchange.ledger)
    other.say(CLAIM)
    assert isinstance(other.hear(), Leased)


def test_a_closed_switchboard_ends_every_line(exchange: Exchange) -> None:
    run_id = submit(exchange.ledger)
    talk = exchange.call()
    talk.say(CLAIM)
    talk.hear()
    exchange.board.close(10.0)
    assert talk.hears_the_end()
    assert exchange.ledger.conservation(run_id).pending == 1
