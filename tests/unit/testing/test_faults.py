"""Faults by schedule, and what stands between a caller and what it calls."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from collections import Counter
from contextlib import suppress
from itertools import islice
from pathlib import Path

import pytest

import amends.testing
from amends.ledger import MemoryLedger, RunNotFound
from amends.testing import FakeClock, Fault, Lost, Troubled, draw_faults
from tests.ledgers import HandClock, new_items, new_run

ROOT = Path(__file__).parents[3]


def test_a_seed_draws_the_same_faults_about_as_often_as_asked() -> None:
    drawn = list(islice(draw_faults(7, drop=0.1, delay=0.2, error=0.1, cut=0.1, seconds=2.0), 2_000))
    assert drawn == list(islice(draw_faults(7, drop=0.1, delay=0.2, error=0.1, cut=0.1, seconds=2.0), 2_000))
    assert drawn != list(islice(draw_faults(8, drop=0.1, delay=0.2, error=0.1, cut=0.1, seconds=2.0), 2_000))
    counts = Counter("none" if fault is None else fault.kind for fault in drawn)
    assert 140 < counts["drop"] < 260
    assert 320 < counts["delay"] < 480
    assert 900 < counts["none"] < 1_100
    assert all(0 <= fault.seconds <= 2 and fault.status in (500, 502, 503) for fault in drawn if fault)


def test_another_likelihood_changes_no_fault_of_another_kind() -> None:
    few = list(islice(draw_faults(7, drop=0.1), 500))
    more = list(islice(draw_faults(7, drop=0.1, error=0.3), 500))
    assert [fault for fault in few if fault] == [fault for fault in more if fault and fault.kind == "drop"]


@pytest.mark.parametrize("likely", [{"drop": 0.6, "cut": 0.6}, {"delay": -0.1}])
def test_likelihoods_that_are_none_are_refused(likely: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="likelihoods"):
        draw_faults(1, **likely)


def test_calls_wait_fail_and_lose_their_answers_by_schedule() -> None:
    hands, clock = HandClock(), FakeClock()
    ledger = MemoryLedger(clock=hands.wall, monotonic=hands.monotonic)
    schedule = [2.5, OSError("gone before"), Lost(OSError("gone after"))]
    troubled = Troubled(ledger, schedule, only={"open_run"}, sleep=clock.sleep)

    troubled.open_run(new_run("bpred_1"))
    assert clock.slept == [2.5]
    with pytest.raises(OSError, match="before"):
        troubled.open_run(new_run("bpred_2"))
    with pytest.raises(OSError, match="after"):
        troubled.open_run(new_run("bpred_3"))
    troubled.open_run(new_run("bpred_4"))

    known = []
    for name in ("bpred_1", "bpred_2", "bpred_3", "bpred_4"):
        with suppress(RunNotFound):
            troubled.append(name, new_items(1))
            known.append(name)
    assert troubled.calls == ["open_run"] * 4
    assert known == ["bpred_1", "bpred_3", "bpred_4"], "what was lost was done"


def test_the_plugin_is_found_by_pytest_and_loads_nothing_until_a_fixture_is_used() -> None:
    entries = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["entry-points"]["pytest11"]
    assert entries == {"amends": "amends.testing.plugin"}
    code = (
        "import pytest, sys; before = set(sys.modules); import amends.testing.plugin; "
        "print(sorted(name for name in set(sys.modules) - before if name.split('.')[0] != 'amends'), "
        "sorted(name for name in sys.modules if name.startswith('amends')))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "[] ['amends', 'amends._lazy', 'amends.testing', 'amends.testing.plugin']"


def test_every_public_name_is_there() -> None:
    assert {name for name in amends.testing.__all__ if getattr(amends.testing, name) is None} == set()
    assert Fault("drop") == Fault("drop", 0.0, 503, 0)
