"""The benchmarks still run: each of our candidates with few items, as `benchmarks.engine.run` starts it."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.engine import run as engine

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
