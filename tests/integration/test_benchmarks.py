"""The benchmarks still run: each of our candidates with few items, as `benchmarks.engine.run` starts it."""

from __future__ import annotations

from pathlib import Path

import pytest

from amends.models import load_chat
from benchmarks.engine import run as engine
from benchmarks.extract import run as extract
from benchmarks.extract.documents import DEVELOPED_ON
from benchmarks.provider import run as provider
from benchmarks.recovery import run as recovery

EMBEDDED, OVER_HTTP, STATEMENTS = (one for one in engine.CANDIDATES if not one.is_peer)


@pytest.mark.parametrize(
    ("candidate", "lease"),
    [(EMBEDDED, None), (EMBEDDED, 1), (OVER_HTTP, None), (STATEMENTS, 1)],
    ids=["embedded", "embedded, one item a lease", "over HTTP", "statements"],
)
def test_a_candidate_takes_every_item_through_and_says_how_long_it_took(
    candidate: engine.Candidate, lease: int | None, tmp_path: Path
) -> None:
    measured = engine.measure(candidate, 200, scratch=tmp_path, workers=1, lease=lease)

    assert measured["items"] == 200
    assert measured["items_a_second"] > 0
    assert set(measured["phases"]) == {"create", "last outcome", "last result read"}
    assert list(tmp_path.iterdir()) == [], "its data directory is left behind"


def test_the_ratio_is_that_of_the_best_rounds() -> None:
    rounds = {
        "Amends, engine embedded": [{"items_a_second": 300.0}, {"items_a_second": 400.0}],
        "Celery + Redis": [{"items_a_second": 4.0}, {"items_a_second": 8.0}],
    }

    assert engine.ratios_of(rounds) == {"Amends, engine embedded": {"Celery + Redis": 50.0}}


def test_the_items_of_a_killed_worker_run_again_and_the_wait_is_told(tmp_path: Path) -> None:
    measured = recovery.measure("killed", 2, scratch=tmp_path, workers=2)

    assert (measured["losses"], len(measured["seconds"]["last_item"])) == (2, 2)
    assert 0 < measured["first_item"]["p50"] <= measured["last_item"]["longest"]
    assert measured["items_held"] >= 2


def test_percentiles_are_by_rank() -> None:
    assert recovery.summary([float(number) for number in range(1, 51)]) == {"p50": 25.5, "p99": 50.0, "longest": 50.0}


@pytest.mark.parametrize("candidate", [one for one in provider.CANDIDATES if not one.is_peer], ids=lambda one: one.name)
def test_every_prompt_gets_its_answer_from_a_provider_that_fails_now_and_then(
    candidate: provider.Candidate, tmp_path: Path
) -> None:
    options = provider.read_options(["--prompts", "60"])
    measured = provider.measure(candidate, options, tmp_path)

    assert (measured["results"], measured["completeness"]) == (60, 1.0)
    assert measured["calls"] == measured["calls_answered"] + measured["calls_limited"] + measured["calls_failed"]
    assert measured["calls_answered"] == 60
    assert list(tmp_path.iterdir()) == [], "its data directory is left behind"


def test_filling_gaps_finds_more_than_rules_and_nothing_that_is_wrong() -> None:
    chat = load_chat(threads=1)
    by_rules, filled = (extract.measure(one, DEVELOPED_ON[1:3], chat) for one in (extract.rules, extract.filled))

    assert by_rules["right"] < filled["right"]
    assert filled["wrong"] == 0
    assert filled["faults"], "what is missing is told"


def test_a_value_that_the_document_does_not_have_is_wrong() -> None:
    assert [extract.verdict_on(*one) for one in ((None, None), (None, 5), (5, 5), (5, None))] == [
        "absent",
        "missing",
        "right",
        "wrong",
    ]
