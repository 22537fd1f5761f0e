"""The supervisor's decisions, without processes, sockets or time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from amends.engine._supervisor import (
    ChildExited,
    Command,
    Event,
    Exit,
    Hand,
    KillChild,
    StartChild,
    Supervisor,
    Tell,
    Tick,
)
from amends.engine._wire import (
    NO_OUTCOMES,
    Begin,
    Chunk,
    Claim,
    Committed,
    Leased,
    Opened,
    Ready,
    Renew,
    Report,
    Results,
    Rules,
    StandingOf,
    Stop,
    raw,
)
from amends.ledger import LeasedItem, Outcome, line_members, pack_items

RULES = Rules(
    ttl_seconds=9.0,
    lease_seconds=1.5,
    max_lease_items=10_000,
    max_lease_bytes=1 << 22,
    chunk_seconds=0.15,
    flush_seconds=1.0,
    flush_items=1_000,
    flush_bytes=1 << 22,
    item_memory_bytes=1_000,
    grace_seconds=5.0,
)


class Bench:
    """A supervisor and the time; collects what it commands."""

    def __init__(self, **rules: Any) -> None:
        self.now = 100.0
        self.supervisor = Supervisor(msgspec.structs.replace(RULES, **rules), clock=lambda: 1_000.0)
        self.commands = self.supervisor.start(self.now)

    def feed(self, *events: Event, after: float = 0.0) -> list[Command]:
        self.now += after
        self.commands = [command for event in events for command in self.supervisor.handle(event, self.now)]
        return self.commands

    def told(self) -> list[Any]:
        return [command.message for command in self.commands if isinstance(command, Tell)]

    def chunks(self) -> list[list[int]]:
        """The seqs of each chunk just handed."""
        handed = [c.message for c in self.commands if isinstance(c, Hand) and isinstance(c.message, Chunk)]
        return [[int(line.split(b"\t")[0]) for line in chunk.packed.split(b"\n")] for chunk in handed]

    def chunk_numbers(self) -> list[int]:
        return [c.message.no for c in self.commands if isinstance(c, Hand) and isinstance(c.message, Chunk)]

    def has(self, kind: type) -> bool:
        return any(isinstance(command, kind) for command in self.commands)


def leased(
    seqs: Sequence[int], lease_id: str = "l1", *, deaths: int = 0, alone: bool = False, **changes: Any
) -> Leased:
    begin = Begin("bpred_1", "predict", "live", b"{}", "req_1", "http://x", changes.pop("batch_size", 1))
    packed = pack_items(LeasedItem(seq, f"c{seq}", b"{}", 0, deaths) for seq in seqs)
    return Leased(lease_id, begin, packed, 9.0, changes.pop("timeout", 300.0), alone)


def results(no: int, seqs: Sequence[int], *, is_last: bool = True, seconds: float = 0.1) -> Results:
    outcomes = [Outcome(seq, "succeeded", None, 1, 1, b"line") for seq in seqs]
    return Results(no, list(seqs), raw(outcomes), [], [], seconds, is_last)


def outcomes_of(report: Report) -> list[Outcome]:
    return [outcome for batch in report.batches for outcome in msgspec.msgpack.decode(batch, type=list[Outcome])]


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_it_starts_a_child_and_claims_one_item(bench: Bench) -> None:
    assert bench.has(StartChild)
    assert bench.told() == [Claim(1, RULES.max_lease_bytes)]


def test_items_wait_for_the_child_and_the_last_report_claims_the_next_lease(bench: Bench) -> None:
    bench.feed(leased([4]))
    assert bench.chunks() == []
    bench.feed(Ready())
    assert bench.chunks() == [[4]]
    bench.feed(Opened(), results(1, [4]))
    (report,) = bench.told()
    assert (report.lease_id, report.final, outcomes_of(report)[0].seq) == ("l1", True, 4)
    assert report.claim is not None


def work_off(bench: Bench, item_seconds: float) -> Report:
    """Answer every chunk in turn; the final report."""
    waiting = list(zip(bench.chunk_numbers(), bench.chunks(), strict=True))
    reports: list[Report] = []
    while waiting:
        no, seqs = waiting.pop(0)
        bench.feed(results(no, seqs, seconds=item_seconds * len(seqs)))
        waiting += zip(bench.chunk_numbers(), bench.chunks(), strict=True)
        for report in bench.told():
            reports.append(report)
            bench.feed(Committed(report.lease_id, True))
            reports += bench.told()
    return reports[-1]


def test_leases_grow_with_the_pace_and_not_faster_than_fourfold(bench: Bench) -> None:
    sizes = [1]
    bench.feed(Ready())
    for turn in range(7):
        bench.feed(leased(range(sizes[-1]), f"l{turn}"))
        report = work_off(bench, item_seconds=0.0001)
        assert report.final
        assert report.claim is not None
        sizes.append(report.claim.max_items)
    assert sizes == [1, 4, 16, 64, 256, 1_024, 4_096, 10_000]


def test_a_slow_run_keeps_getting_one_item(bench: Bench) -> None:
    bench.feed(Ready(), leased([0]))
    bench.feed(results(1, [0], seconds=10.0), after=10.0)
    assert bench.told()[-1].claim.max_items == 1


def test_a_lease_with_more_work_than_it_should_hold_is_returned_in_time(bench: Bench) -> None:
    bench.feed(Ready(), leased(range(100)))
    bench.feed(results(1, [0], seconds=2.0), after=2.0)
    bench.feed(results(2, [1], seconds=2.0), after=2.0)
    assert bench.chunks() == []
    bench.feed(results(3, [2], seconds=2.0), Committed("l1", True), after=2.0)
    (report,) = [m for m in bench.told() if isinstance(m, Report)]
    assert report.final


def test_outcomes_are_flushed_after_a_second_and_one_report_is_under_way(bench: Bench) -> None:
    bench.feed(Ready(), leased(range(10), batch_size=4))
    bench.feed(results(1, [0], is_last=False))
    assert bench.told() == []
    bench.feed(Tick(), after=1.0)
    assert [outcome.seq for outcome in outcomes_of(bench.told()[0])] == [0]
    bench.feed(results(1, [1], is_last=False))
    bench.feed(Tick(), after=2.0)
    assert not any(isinstance(message, Report) for message in bench.told())
    bench.feed(Committed("l1", True))
    assert [outcome.seq for outcome in outcomes_of(bench.told()[0])] == [1]


def test_many_outcomes_are_flushed_at_once() -> None:
    bench = Bench(flush_items=3)
    bench.feed(Ready(), leased(range(20), batch_size=5))
    bench.feed(results(1, [0, 1, 2], is_last=False))
    assert len(outcomes_of(bench.told()[0])) == 3


def test_the_lease_is_renewed_each_third_of_its_time(bench: Bench) -> None:
    bench.feed(Ready(), leased([0]))
    assert bench.supervisor.deadline(bench.now) == bench.now + 3.0
    bench.feed(Tick(), after=3.0)
    assert bench.told() == [Renew("l1")]
    bench.feed(Tick(), after=1.0)
    assert bench.told() == []


def test_only_what_was_begun_becomes_suspect_at_a_death(bench: Bench) -> None:
    bench.feed(Ready(), leased(range(10), batch_size=3))
    assert bench.chunks() == [[0, 1, 2], [3, 4, 5]]
    bench.feed(results(1, [0], is_last=False))
    bench.feed(ChildExited())
    (report,) = bench.told()
    assert report.deaths == [1, 2]
    assert [outcome.seq for outcome in outcomes_of(report)] == [0]
    assert report.attempts == []
    bench.feed(Ready())
    assert bench.chunks() == [], "suspects wait until their deaths are durable"
    bench.feed(Committed("l1", True))
    assert bench.chunks() == [[1], [2]]
    bench.feed(results(3, [1]), results(4, [2]))
    assert bench.chunks() == [[3, 4, 5], [6, 7, 8]]


def test_the_third_death_sets_an_item_aside_with_the_cause_of_the_last(bench: Bench) -> None:
    bench.feed(Ready(), leased([0], timeout=5.0))
    bench.feed(ChildExited())
    bench.feed(Ready(), Committed("l1", True))
    assert bench.chunks() == [[0]]
    bench.feed(ChildExited())
    assert bench.told()[0].attempts[0].number == 2
    bench.feed(Ready(), Committed("l1", True), Opened())
    bench.feed(Tick(), after=5.0)
    assert bench.has(KillChild)
    bench.feed(ChildExited())
    (report,) = bench.told()
    (outcome,) = outcomes_of(report)
    members = line_members(b"{" + outcome.line)
    assert (outcome.status, members["error"]["error_code"], members["attempts"]) == ("errored", "ITEM_TIMED_OUT", 3)
    assert report.final


def test_deaths_of_earlier_leases_count(bench: Bench) -> None:
    bench.feed(Ready(), leased([0, 1], deaths=2))
    assert bench.chunks() == [[0], [1]]
    bench.feed(ChildExited())
    (report,) = bench.told()
    assert [outcome.seq for outcome in outcomes_of(report)] == [0]
    assert report.deaths == [0]


def test_an_alone_lease_is_worked_on_singly(bench: Bench) -> None:
    bench.feed(Ready(), leased(range(3), alone=True, batch_size=3))
    assert bench.chunks() == [[0], [1]]


def test_a_child_that_eats_memory_is_killed(bench: Bench) -> None:
    bench.feed(Ready(), leased([0]))
    bench.feed(Tick(child_memory=1_000))
    assert not bench.has(KillChild)
    bench.feed(Tick(child_memory=1_001))
    assert bench.has(KillChild)
    bench.feed(ChildExited())
    assert b"ITEM_OUT_OF_MEMORY" in bench.told()[0].attempts[0].problem


def test_progress_gives_the_next_item_its_whole_time(bench: Bench) -> None:
    bench.feed(Ready(), leased(range(4), timeout=5.0, batch_size=4), Opened())
    bench.feed(results(1, [0], is_last=False), after=4.0)
    bench.feed(Tick(), after=4.0)
    assert not bench.has(KillChild)
    bench.feed(Tick(), after=1.0)
    assert bench.has(KillChild)


def test_opening_a_processor_has_a_time_of_its_own(bench: Bench) -> None:
    bench.feed(Ready(), leased([0], timeout=5.0))
    bench.feed(Tick(), after=100.0)
    assert not bench.has(KillChild)
    bench.feed(Opened())
    bench.feed(Tick(), after=5.0)
    assert bench.has(KillChild)


def test_a_stopping_run_is_stopped_and_its_lease_ended_without_a_death(bench: Bench) -> None:
    bench.feed(Ready(), leased([0, 1]))
    bench.feed(StandingOf("l1", "stopping"))
    assert bench.has(KillChild)
    (report,) = bench.told()
    assert (report.final, report.deaths, report.batches) == (True, [], [])
    bench.feed(ChildExited(), Committed("l1", True))
    assert bench.has(StartChild)


@pytest.mark.parametrize("news", [StandingOf("l1", "fenced"), Committed("l1", False)])
def test_fenced_work_is_thrown_away(bench: Bench, news: Event) -> None:
    bench.feed(Ready(), leased([0, 1]))
    bench.feed(news)
    assert bench.has(KillChild)
    assert [type(message) for message in bench.told()] == [Claim]
    bench.feed(results(1, [0]))
    assert bench.commands == []


def test_news_of_a_lease_long_gone_is_ignored(bench: Bench) -> None:
    bench.feed(Ready(), leased([0]))
    assert bench.feed(StandingOf("other", "fenced")) == []


def test_a_stop_lets_what_runs_finish_reports_it_and_exits(bench: Bench) -> None:
    bench.feed(Ready(), leased(range(9)))
    bench.feed(Stop(10.0))
    assert bench.chunks() == []
    bench.feed(results(1, [0]), results(2, [1]))
    (report,) = bench.told()
    assert (report.final, report.claim, len(outcomes_of(report))) == (True, None, 2)
    assert not bench.has(Exit)
    bench.feed(Committed("l1", True))
    assert bench.has(Exit)


def test_a_stop_ends_what_outlasts_the_grace(bench: Bench) -> None:
    bench.feed(Ready(), leased([0]))
    bench.feed(Stop(2.0))
    bench.feed(Tick(), after=2.0)
    assert bench.has(KillChild)
    assert bench.told()[0].deaths == []
    bench.feed(Committed("l1", True))
    assert bench.has(Exit)


def test_an_idle_worker_stops_at_once(bench: Bench) -> None:
    bench.feed(Stop(10.0))
    assert bench.has(Exit)


def test_children_that_keep_dying_are_started_ever_later(bench: Bench) -> None:
    waits = []
    for _ in range(9):
        bench.feed(ChildExited())
        due = bench.supervisor.deadline(bench.now) or bench.now
        waits.append(0.0 if bench.has(StartChild) else round(due - bench.now, 3))
        if waits[-1]:
            bench.feed(Tick(), after=waits[-1])
        assert bench.has(StartChild)
    assert waits[:3] == [0.0, 0.0, 0.0]
    assert waits[-1] > waits[-3] > 0


def test_too_much_that_is_unreported_stops_the_handing_out() -> None:
    bench = Bench(flush_seconds=1_000.0, flush_bytes=1 << 40)
    bench.feed(Ready(), leased(range(40), batch_size=4))
    big = Results(1, [0], raw([Outcome(0, "succeeded", None, 1, 1, b"x" * (17 << 20))]), [], [], 0.1, True)
    bench.feed(big)
    assert bench.chunks() == []


def test_results_without_outcomes_are_no_batch(bench: Bench) -> None:
    bench.feed(Ready(), leased([0, 1], batch_size=2))
    bench.feed(Results(1, [], NO_OUTCOMES, [], [], 0.0, False))
    bench.feed(results(1, [0, 1]))
    assert len(bench.told()[0].batches) == 1
