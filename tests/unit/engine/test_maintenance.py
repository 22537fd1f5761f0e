"""What moves runs without workers, on the in-memory ledger and a clock moved by hand."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

import pytest

from amends.engine import EngineSettings
from amends.engine._loading import Processors
from amends.engine._maintenance import Maintenance
from amends.engine.processor import Job, Needs, Session, Surroundings
from amends.ledger import ClaimRequest, Commit, MemoryLedger, NewItem, Outcome, Run, unpack_items
from amends.problems import Problem, problem
from tests.ledgers import HandClock, new_run

SETTINGS = EngineSettings(ttl_seconds=10.0, tick_seconds=0.25, fence_grace_seconds=2.0)


class Picky:
    """Refuses items whose payload says so."""

    kind = "predict"

    def validate(self, job: Job, payload: Mapping[str, Any]) -> Problem | None:
        return problem("unsupported_file_format", "Not for me") if payload.get("bad") else None

    def needs(self, job: Job) -> Needs:
        return Needs()

    def open(self, surroundings: Surroundings) -> Session:
        raise NotImplementedError("nothing is processed here")


class House:
    """The ledger, the maintenance and what it told of."""

    def __init__(self, settings: EngineSettings = SETTINGS) -> None:
        self.clock = HandClock()
        self.ledger = MemoryLedger(clock=self.clock.wall, monotonic=self.clock.monotonic, draw=Random(1))
        self.stopped: list[str] = []
        self.lapsed: list[str] = []
        self.blobs: dict[str, bytes] = {}
        self.settings = settings
        self.maintenance = self.open()

    def open(self) -> Maintenance:
        return Maintenance(
            self.ledger,
            Processors({"predict": f"{__name__}:Picky", "broken": "no_such_module:Factory"}),
            self.settings,
            read_blob=self.blobs.__getitem__,
            monotonic=self.clock.monotonic,
            clock=self.clock.wall,
            on_stop=self.stopped.append,
            on_lapse=self.lapsed.extend,
        )

    def tick(self, after: float = 0.25) -> None:
        """Tick until nothing is left to do now."""
        self.clock.advance(after)
        while self.maintenance.tick():
            pass

    def submit(self, payloads: Sequence[bytes], *, validate: bool = False, **changes: Any) -> str:
        run = new_run(**changes)
        self.ledger.open_run(run)
        self.ledger.append(run.id, [NewItem(f"c{n}", payload, b"") for n, payload in enumerate(payloads)])
        self.ledger.seal(run.id, validate=validate)
        return run.id

    def work(self, items: int = 100, *, status: Any = "succeeded", final: bool = True) -> str | None:
        """Claim and end so many items; the lease."""
        lease = self.ledger.claim(ClaimRequest("worker", items))
        if lease is None:
            return None
        slug = None if status == "succeeded" else "prediction_failed"
        outcomes = [
            Outcome(item.seq, status, slug, 1, 1, b'"custom_id":"%b","n":1}' % item.custom_id.encode())
            for item in unpack_items(lease.packed)
        ]
        self.ledger.commit(Commit(lease.id, outcomes, final=final))
        return lease.id

    def run(self, run_id: str) -> Run:
        run = self.ledger.get(run_id)
        assert run is not None
        return run


@pytest.fixture
def house() -> House:
    return House()


def test_a_run_whose_items_are_done_gets_its_manifest_and_completes(house: House) -> None:
    run_id = house.submit([b"{}"] * 3)
    house.work(2)
    house.tick()
    assert house.run(run_id).state == "in_progress"
    house.work(1)
    house.tick()
    assert house.run(run_id).state == "completed"
    manifest = house.ledger.manifest(run_id)
    assert manifest is not None
    assert manifest.sha256 == hashlib.sha256(house.ledger.results(run_id).lines).hexdigest()
    assert manifest.counts == house.run(run_id).counts


def test_the_manifest_has_a_digest_for_each_ten_thousand_lines(house: House) -> None:
    run_id = house.submit([b"{}"] * 10_000)
    house.work(10_000)
    house.tick()
    manifest = house.ledger.manifest(run_id)
    assert manifest is not None
    assert (manifest.lines, manifest.sections) == (10_000, (manifest.sha256,))


def test_a_manifest_counts_lines_as_they_are_streamed_blobs_included(house: House) -> None:
    run_id = house.submit([b"{}"])
    lease = house.ledger.claim(ClaimRequest("worker", 1))
    assert lease is not None
    sha256 = hashlib.sha256(b"long").hexdigest()
    house.blobs[sha256] = b'"custom_id":"c0"}'
    house.ledger.commit(Commit(lease.id, [Outcome(0, "succeeded", None, 1, 1, b"@" + sha256.encode())]))
    house.tick()
    manifest = house.ledger.manifest(run_id)
    assert manifest is not None
    line = b'{"object":"batch_prediction.result","batch_id":"%b","custom_id":"c0"}\n' % run_id.encode()
    assert manifest.sha256 == hashlib.sha256(line).hexdigest()


def test_validation_ends_bad_items_and_lets_the_others_run(house: House) -> None:
    run_id = house.submit([b"{}", b'{"bad":1}', b"{}"], validate=True)
    house.tick()
    run = house.run(run_id)
    assert (run.state, run.counts.errored, run.counts.processing) == ("in_progress", 1, 2)


def test_strict_validation_fails_the_run_and_names_the_bad_items(house: House) -> None:
    run_id = house.submit([b"{}", b'{"bad":1}', b'{"bad":1}'], validate=True, validation="strict")
    house.tick()
    run = house.run(run_id)
    assert (run.state, run.counts.errored) == ("failed", 3)
    assert run.error is not None
    assert (run.error.slug, [fault.custom_id for fault in run.error.errors]) == ("validation_failed", ["c1", "c2"])
    groups = {group.problem: group.count for group in house.ledger.failures(run_id)}
    assert groups == {"unsupported_file_format": 2, "batch_validation_failed": 1}


def test_a_validation_goes_on_where_the_owner_before_stopped(house: House) -> None:
    payloads = [b'{"bad":1}' if n % 100 == 7 else b"{}" for n in range(1_200)]
    run_id = house.submit(payloads, validate=True)
    house.maintenance.tick()
    assert 0 < house.run(run_id).counts.errored < 12
    house.maintenance = house.open()
    house.tick()
    run = house.run(run_id)
    assert (run.state, run.counts.errored) == ("in_progress", 12)


def test_the_deadline_expires_what_has_no_outcome(house: House) -> None:
    run_id = house.submit([b"{}"] * 5, deadline=house.clock.wall() + 60)
    house.work(2)
    house.tick(59)
    assert house.run(run_id).state == "in_progress"
    house.tick(1)
    run = house.run(run_id)
    assert (run.state, run.counts.succeeded, run.counts.expired) == ("expired", 2, 3)


def test_a_run_that_is_still_validated_can_expire(house: House) -> None:
    run_id = house.submit([b"{}"] * 5, validate=True, deadline=house.clock.wall() - 1)
    house.tick()
    assert house.run(run_id).state == "expired"


def test_more_failures_than_tolerated_stop_the_run(house: House) -> None:
    run_id = house.submit([b"{}"] * 10, failure_tolerance=0.2)
    house.work(2, status="errored")
    house.tick()
    assert house.run(run_id).state == "in_progress"
    house.work(1, status="errored")
    house.tick()
    run = house.run(run_id)
    assert (run.state, run.counts.errored, run.counts.canceled) == ("failed", 3, 7)
    assert run.error is not None
    assert "failure_tolerance 0.2" in run.error.detail


def test_cancelling_ends_what_waits_at_once_and_what_runs_after_the_grace(house: House) -> None:
    run_id = house.submit([b"{}"] * 5)
    lease = house.ledger.claim(ClaimRequest("worker", 2))
    assert lease is not None
    house.ledger.cancel(run_id)
    house.tick()
    assert house.stopped == [run_id]
    run = house.run(run_id)
    assert (run.state, run.counts.canceled) == ("cancelling", 3)
    house.tick(1.0)
    assert house.run(run_id).counts.canceled == 3
    assert house.ledger.renew(lease.id, 10) == "stopping"
    house.tick(1.0)
    run = house.run(run_id)
    assert (run.state, run.counts.canceled) == ("cancelled", 5)
    assert house.ledger.renew(lease.id, 10) == "fenced"
    assert house.stopped == [run_id]


def test_a_part_that_is_done_pauses_the_run_until_it_is_extended(house: House) -> None:
    run_id = house.submit([b"{}"] * 5, limit_items=2)
    house.work()
    house.tick()
    assert house.run(run_id).paused_reason == "limit"
    house.ledger.extend(run_id)
    house.work()
    house.tick()
    assert house.run(run_id).state == "completed"


def test_expired_leases_are_reaped(house: House) -> None:
    house.submit([b"{}"])
    lease = house.ledger.claim(ClaimRequest("worker", 1))
    assert lease is not None
    for _ in range(40):
        house.tick()
    assert house.lapsed == [lease.id]


def test_after_a_late_tick_leases_have_a_time_to_live_to_be_renewed(house: House) -> None:
    house.submit([b"{}"])
    house.ledger.claim(ClaimRequest("worker", 1))
    house.tick(100.0)
    for _ in range(39):
        house.tick()
    assert house.lapsed == []
    house.tick()
    assert len(house.lapsed) == 1


def test_lines_and_runs_are_deleted_when_their_time_is_up() -> None:
    day = 24 * 3600.0
    house = House()
    old, retried = house.submit([b"{}"]), house.submit([b"{}"])
    house.work()
    house.work()
    house.tick()
    house.tick(60 * day)
    assert house.run(old).lines_deleted_at is not None
    assert house.ledger.results(old).count == 0
    child = house.submit([b"{}"], parent_id=retried)
    house.work()
    house.tick()
    house.tick(40 * day)
    assert house.ledger.get(old) is None
    assert house.ledger.get(retried) is not None, "a lineage is kept until its newest run goes"
    assert house.run(child).lines_deleted_at is not None
    house.tick(60 * day)
    assert house.ledger.get(retried) is house.ledger.get(child) is None


@pytest.mark.parametrize("kind", ["nobody serves this", "broken"])
def test_a_run_whose_processor_is_not_to_be_had_goes_on_to_the_workers_who_say_so(house: House, kind: str) -> None:
    run_id = house.submit([b"{}"], validate=True, kind=kind)
    house.tick()
    assert house.run(run_id).state == "in_progress"


def test_a_run_that_cannot_be_moved_does_not_keep_the_others(house: House, caplog: pytest.LogCaptureFixture) -> None:
    stuck = house.submit([b"{}"], validate=True, params=b"no JSON")
    fine = house.submit([b"{}"], validate=True)
    house.tick()
    assert (house.run(stuck).state, house.run(fine).state) == ("validating", "in_progress")
    house.tick()
    assert caplog.text.count("run_not_moved") == 1
    house.tick(6.0)
    assert caplog.text.count("run_not_moved") == 2
    house.ledger.cancel(stuck)
    house.tick(6.0)
    assert house.run(stuck).state == "cancelled"
