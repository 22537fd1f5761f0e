"""Whole installations on a simulated clock. ``AMENDS_SOAK=n`` tries n seeds more, from a random one on."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from amends.database import Database
from amends.ledger import Commit, Lease, Ledger, MemoryLedger, PostgresLedger, SqliteLedger
from amends.ledger._memory_run import RunRecord
from amends.testing import PromiseBroken, simulate
from tests.postgres import postgres_url

SEEDS = range(50)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_promise_holds_whatever_dies(seed: int) -> None:
    report = simulate(seed)
    assert set(report.states.values()) <= {"completed", "failed", "cancelled", "expired"}


@pytest.mark.parametrize("seed", range(100, 106))
def test_the_promises_hold_on_sqlite_too(seed: int, tmp_path: Path) -> None:
    database = Database.open(tmp_path / "amends.db")
    try:
        simulate(
            seed, ledger=lambda clock, now, random: SqliteLedger(database, clock=clock, monotonic=now, draw=random)
        )
    finally:
        database.close()


@pytest.mark.parametrize("seed", range(200, 203))
def test_the_promises_hold_on_postgres_too(seed: int) -> None:
    with postgres_url() as url:
        database = Database.open(url)
        try:
            simulate(
                seed,
                ledger=lambda clock, now, random: PostgresLedger(database, clock=clock, monotonic=now, draw=random),
            )
        finally:
            database.close()


def test_the_same_seed_replays_the_same_simulation() -> None:
    assert simulate(7) == simulate(7)


def test_the_seeds_of_this_suite_meet_every_fault_and_every_end() -> None:
    reports = [simulate(seed) for seed in SEEDS]
    faults = {fault for report in reports for fault in report.faults}
    assert faults >= {
        "crash",
        "freeze",
        "delay",
        "owner_restart",
        "child_death",
        "clock_jump",
        "cancel",
        "pause",
        "top_up",
    }
    assert {state for report in reports for state in report.states.values()} == {
        "completed",
        "failed",
        "cancelled",
        "expired",
    }


class UnfencedLedger(MemoryLedger):
    """Lets a worker write whose lease is gone, as a commit would that does not match its lease first."""

    def __init__(self, clock: Callable[[], float], monotonic: Callable[[], float], random: Random) -> None:
        super().__init__(clock=clock, monotonic=monotonic, draw=random)
        self._granted: dict[str, RunRecord] = {}

    def _lease(self, *arguments: object, **options: object) -> Lease:
        lease = super()._lease(*arguments, **options)  # type: ignore[arg-type]
        self._granted[lease.id] = self._by_lease[lease.id]
        return lease

    def commit(self, commit: Commit) -> bool:
        run = self._granted.get(commit.lease_id)
        if commit.lease_id in self._by_lease or run is None:
            return super().commit(commit)
        run.record(commit.outcomes, self._clock())
        return True


def test_without_the_fence_some_seed_breaks_a_promise() -> None:
    def unfenced(clock: Callable[[], float], monotonic: Callable[[], float], random: Random) -> Ledger:
        return UnfencedLedger(clock, monotonic, random)

    broken = []
    for seed in SEEDS:
        try:
            simulate(seed, ledger=unfenced)
        except PromiseBroken as error:
            broken.append(error)
    assert broken
    assert all(f"seed {error.seed}" in str(error) for error in broken)


def test_a_run_that_never_ends_is_reported_with_its_seed() -> None:
    with pytest.raises(PromiseBroken, match="seed 3, step 49: not every run ended"):
        simulate(3, steps=50)


@pytest.mark.timeout(0)
def test_seeds_that_were_never_tried_hold() -> None:
    """A few each time, as many as AMENDS_SOAK says in a soak; the failing one is named."""
    first = Random().randrange(1_000, 1_000_000_000)
    for seed in range(first, first + int(os.environ.get("AMENDS_SOAK", "3"))):
        simulate(seed)
