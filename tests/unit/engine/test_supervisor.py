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
        self.commands = [command for event in events for command in self.supervisor.handle([event], self.now)]
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


# Several leases at once, where each holds but a moment's work


def more(*seqs: int) -> Leased:
    """A lease of the run that the one before told of, named after its first item."""
    return msgspec.structs.replace(leased(seqs, f"l{seqs[0]}"), begin=None)


@pytest.fixture
def quick() -> Bench:
    """One item a lease, and items known to take a hundredth of a moment."""
    bench = Bench(max_lease_items=1)
    bench.feed(Ready(), leased([0], "l0"), Opened(), results(1, [0], seconds=0.0005))
    return bench


def claims(bench: Bench) -> int:
    return sum(1 for message in bench.told() if isinstance(message, Claim) or getattr(message, "claim", None))


def test_leases_that_hold_a_moment_are_held_ahead(quick: Bench) -> None:
    assert claims(quick) == 16
    quick.feed(Committed("l0", True))
    assert claims(quick) == 0, "claims that wait count"
    quick.feed(more(1), more(2))
    assert quick.chunks() == [[1], [2]]
    quick.feed(results(2, [1], seconds=0.0005))
    (report,) = quick.told()
    assert (report.lease_id, report.final, report.claim is not None) == ("l1", True, True)


def test_large_leases_and_slow_items_are_held_one_at_a_time() -> None:
    large = Bench()
    large.feed(Ready(), leased([0]), results(1, [0], seconds=0.0005))
    assert claims(large) == 1
    slow = Bench(max_lease_items=1)
    slow.feed(Ready(), leased([0]), results(1, [0], seconds=0.04))
    assert claims(slow) == 1


def test_fewer_leases_are_held_when_items_become_slow(quick: Bench) -> None:
    quick.feed(*(more(seq) for seq in range(1, 17)))
    quick.feed(results(2, [1], seconds=1.0), after=1.0)
    (report,) = quick.told()
    assert report.claim is None


def test_a_death_is_that_of_the_lease_in_flight_and_the_others_wait_again(quick: Bench) -> None:
    quick.feed(more(1), more(2), more(3))
    quick.feed(results(2, [1], seconds=0.0005))
    quick.feed(ChildExited())
    deaths = {message.lease_id: message.deaths for message in quick.told() if isinstance(message, Report)}
    assert deaths == {"l2": [2]}
    quick.feed(Ready())
    assert quick.chunks() == [], "the suspect runs first, once its death is durable"
    quick.feed(Committed("l2", True))
    assert quick.chunks() == [[2], [3]]


def reports_of(bench: Bench) -> list[Report]:
    return [message for message in bench.told() if isinstance(message, Report)]


def test_leases_that_wait_too_long_for_a_slow_item_go_back_untouched(quick: Bench) -> None:
    quick.feed(more(1), more(*range(2, 200)), more(200))
    assert [len(chunk) for chunk in quick.chunks()] == [1, 16, 64], "nothing of a lease before all of the one before"
    quick.feed(Tick(), after=3.0)
    (untouched,) = reports_of(quick)
    assert (untouched.lease_id, untouched.final, untouched.batches, untouched.claim) == ("l200", True, [], None)
    quick.feed(results(2, [1], seconds=3.0))
    assert quick.chunks() == []


def test_a_drained_worker_returns_what_it_has_not_begun(quick: Bench) -> None:
    quick.feed(more(1), more(*range(2, 200)), more(200), Stop(10.0))
    assert [(report.lease_id, report.final, report.deaths) for report in reports_of(quick)] == [("l200", True, [])]
    quick.feed(results(2, [1]), results(3, range(2, 18)), results(4, range(18, 82)))
    assert [(report.lease_id, report.final, report.claim) for report in reports_of(quick)] == [
        ("l1", True, None),
        ("l2", True, None),
    ]
    quick.feed(*(Committed(lease, True) for lease in ("l0", "l200", "l1")))
    assert not quick.has(Exit)
    quick.feed(Committed("l2", True))
    assert quick.has(Exit)


def test_a_fenced_lease_stops_the_child_and_costs_the_others_nothing(quick: Bench) -> None:
    quick.feed(more(1), more(2))
    quick.feed(StandingOf("l1", "fenced"))
    assert quick.has(KillChild)
    quick.feed(ChildExited(), Ready())
    assert quick.chunks() == [[2]]
    assert not any(isinstance(message, Report) and message.deaths for message in quick.told())


def test_another_run_waits_until_nothing_of_the_first_is_in_the_childs_hands(quick: Bench) -> None:
    other = leased([7], "l7")
    assert other.begin is not None
    other = msgspec.structs.replace(other, begin=msgspec.structs.replace(other.begin, run_id="bpred_2"))
    quick.feed(more(1), other)
    assert quick.chunks() == [[1]]
    quick.feed(results(2, [1], seconds=0.0005))
    assert [type(c.message) for c in quick.commands if isinstance(c, Hand)] == [Begin, Chunk]


def test_what_comes_in_together_is_reported_together(quick: Bench) -> None:
    quick.feed(*(more(seq) for seq in range(1, 5)))
    commands = quick.supervisor.handle([results(seq + 1, [seq]) for seq in range(1, 5)], quick.now)
    reports = [c.message for c in commands if isinstance(c, Tell) and isinstance(c.message, Report)]
    assert [(report.lease_id, [o.seq for o in outcomes_of(report)]) for report in reports] == [
        (f"l{seq}", [seq]) for seq in range(1, 5)
    ]


def test_every_lease_is_renewed(quick: Bench) -> None:
    quick.feed(more(1), more(*range(2, 30)))
    quick.feed(Tick(), after=3.0)
    assert [message for message in quick.told() if isinstance(message, Renew)] == [Renew("l1"), Renew("l2")]
