"""A supervisor whose items are calls: many leases at a time, none held up by another."""

from __future__ import annotations

import json

import msgspec

from amends.engine._supervisor import CALLS_PER_CLAIM, ChildExited, Hand, KillChild, Tick
from amends.engine._wire import (
    Begin,
    Chunk,
    Claim,
    Committed,
    Drop,
    Leased,
    Opened,
    Ready,
    Renew,
    Report,
    StandingOf,
)
from tests.unit.engine.test_supervisor import Bench, leased, outcomes_of, results


def calls(seqs: list[int], lease_id: str, *, deaths: int = 0, timeout: float = 300.0) -> Leased:
    plain = leased(seqs, lease_id, deaths=deaths, timeout=timeout)
    return msgspec.structs.replace(plain, begin=msgspec.structs.replace(plain.begin, upstream="acme/chat/0"))


def working(seqs: list[int], lease_id: str = "l1", **changes: float) -> Bench:
    bench = Bench()
    bench.feed(Ready(), calls(seqs, lease_id, **changes))  # type: ignore[arg-type]
    return bench


def claims(bench: Bench) -> list[Claim]:
    return [message for message in bench.told() if isinstance(message, Claim)] + [
        message.claim for message in bench.told() if isinstance(message, Report) and message.claim is not None
    ]


def dropped(bench: Bench) -> list[int]:
    return [c.message.chunk_no for c in bench.commands if isinstance(c, Hand) and isinstance(c.message, Drop)]


def test_all_calls_of_a_lease_are_handed_at_once_and_another_lease_is_asked_for() -> None:
    bench = working([0, 1, 2])
    assert bench.chunks() == [[0, 1, 2]]
    (claim,) = claims(bench)
    assert claim.max_calls == CALLS_PER_CLAIM
    bench.feed(Opened(), calls([3], "l2"))
    assert bench.chunks() == [[3]]
    assert len(claims(bench)) == 1


def test_what_is_answered_is_reported_at_once() -> None:
    bench = working([0, 1])
    bench.feed(results(1, [1], is_last=False))
    (report,) = [message for message in bench.told() if isinstance(message, Report)]
    assert ([outcome.seq for outcome in outcomes_of(report)], report.final) == ([1], False)
    bench.feed(Committed("l1", True), results(1, [0]))
    (report,) = [message for message in bench.told() if isinstance(message, Report)]
    assert (report.final, report.claim) == (True, None), "a claim waits already"


def test_every_lease_is_renewed() -> None:
    bench = working([0])
    bench.feed(calls([1], "l2"))
    bench.feed(Tick(), after=bench.supervisor._rules.ttl_seconds / 2)
    assert {message.lease_id for message in bench.told() if isinstance(message, Renew)} == {"l1", "l2"}


def test_a_run_that_ends_has_its_calls_dropped_and_nobody_elses() -> None:
    bench = working([0, 1])
    bench.feed(calls([2], "l2"))
    bench.feed(StandingOf("l1", "stopping"))
    assert dropped(bench) == [1]
    assert not bench.has(KillChild)
    (report,) = [message for message in bench.told() if isinstance(message, Report)]
    assert (report.lease_id, report.final) == ("l1", True)
    said = [
        (attempt.seq, attempt.number, json.loads(attempt.problem)["possibly_billed"]) for attempt in report.attempts
    ]
    assert said == [(0, 1, True), (1, 1, True)], "what a provider may bill is on record"
    bench.feed(Committed("l1", True), results(2, [2]))
    assert [message.lease_id for message in bench.told() if isinstance(message, Report)] == ["l2"]


def test_a_fenced_lease_is_thrown_away_alone() -> None:
    bench = working([0])
    bench.feed(calls([1], "l2"))
    bench.feed(StandingOf("l1", "fenced"))
    assert dropped(bench) == [1]
    bench.feed(results(1, [0]))
    assert not [message for message in bench.told() if isinstance(message, Report)]
    bench.feed(results(2, [1]))
    assert [message.lease_id for message in bench.told() if isinstance(message, Report)] == ["l2"]


def test_a_death_makes_suspects_of_all_calls_under_way_and_they_run_one_by_one() -> None:
    bench = working([0, 1])
    bench.feed(calls([2], "l2"))
    bench.feed(ChildExited())
    reports = [message for message in bench.told() if isinstance(message, Report)]
    assert [(report.lease_id, report.deaths) for report in reports] == [("l1", [0, 1]), ("l2", [2])]
    bench.feed(Ready(), Committed("l2", True), Committed("l1", True))
    assert bench.chunks() == [[0]]
    bench.feed(results(bench.chunk_numbers()[0], [0]))
    assert len(bench.chunks()) == 1


def test_a_call_that_outlasts_its_time_has_its_child_killed_whatever_others_do() -> None:
    bench = working([0], timeout=10.0)
    bench.feed(Opened(), calls([1], "l2", timeout=10.0))
    bench.feed(Opened())
    bench.feed(results(2, [1]), after=9.0)
    assert not bench.has(KillChild)
    bench.feed(Tick(), after=1.5)
    assert bench.has(KillChild)


def test_calls_and_items_in_turn_share_a_child() -> None:
    bench = working([0])
    bench.feed(Opened(), leased([5], "l2"))
    assert [type(c.message) for c in bench.commands if isinstance(c, Hand)] == [Begin, Chunk]
    assert not claims(bench)
    bench.feed(Opened(), results(2, [5]))
    (report,) = [message for message in bench.told() if isinstance(message, Report)]
    assert (report.lease_id, report.final) == ("l2", True)
    assert report.claim is not None


def test_calls_wait_again_when_the_child_goes_for_another_runs_sake() -> None:
    bench = working([0])
    bench.feed(Opened(), leased([5], "l2"))
    bench.feed(StandingOf("l2", "stopping"))
    assert bench.has(KillChild)
    bench.feed(ChildExited())
    assert not any(message.deaths for message in bench.told() if isinstance(message, Report))
    bench.feed(Ready())
    assert bench.chunks() == [[0]]
