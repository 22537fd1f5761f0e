"""Memory does not grow with the number of items: `benchmarks/million` with fewer of them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.million import run as million

ITEMS = 100_000


@pytest.mark.skipif(sys.platform == "win32", reason="the server runs on Linux and macOS")
def test_server_and_client_stay_small_while_a_hundred_thousand_items_pass(tmp_path: Path) -> None:
    measured = million.measure(ITEMS, tmp_path, workers=1)

    assert measured["read"] == ITEMS
    assert million.faults(measured) == []
    assert {"server", "client", "workers' supervisors together", "workers' children together"} <= measured[
        "memory"
    ].keys()


def test_a_missing_result_and_a_large_server_are_faults() -> None:
    measured = {
        "items": 2,
        "read": 1,
        "memory": {"server": {"peak_mb": 251.0}, "client": {"peak_mb": 79.0}},
    }

    assert million.faults(measured) == [
        "1 results of 2 items",
        "the server took 251 MB, more than 250 MB",
    ]


def test_growth_compares_the_halves_of_a_measurement() -> None:
    memory = million.Memory()
    for size in (100, 200, 100, 300):
        memory.note({"server": size})

    assert memory.growth("server") == 1.5
    assert memory.peak("server") == 300
