"""The benchmarks of client and middleware still run, with few calls, and say what they are to say."""

from __future__ import annotations

import pytest

from benchmarks.client import run as client
from benchmarks.middleware import run as middleware
from benchmarks.retries import run as retries


@pytest.mark.parametrize("name", client.NAMES)
@pytest.mark.parametrize("concurrent", [0, 2])
def test_each_client_is_measured(name: str, concurrent: int) -> None:
    with client.stub() as url:
        found = client.measure(name, url, concurrent, 20)
    assert found["calls"] == 20
    assert found["cpu_microseconds"] > 0
    assert found["calls_a_second"] > 0


def test_the_ratios_are_those_of_the_best_rounds() -> None:
    runs = {
        "amends": [{"cpu_microseconds": 4.0, "calls_a_second": 9.0}, {"cpu_microseconds": 2.0, "calls_a_second": 5.0}],
        "httpx2": [{"cpu_microseconds": 4.0, "calls_a_second": 7.0}],
        "openai": [{"cpu_microseconds": 8.0, "calls_a_second": 3.0}],
    }
    assert client.compared({1: runs}) == {1: {"cpu_of_httpx2": 0.5, "cpu_of_openai": 0.25, "calls_of_openai": 3.0}}


def test_the_sdk_hardly_multiplies_an_outage_and_is_well_again_at_once() -> None:
    """The promise of the retry budget, with a tenth of the crowd: the clock is virtual, so this never depends on speed."""
    outage = retries.measure("simulate", "Amends", "full outage", 1, "20")
    assert outage["requests_a_call_while_failing"] < 1.3
    assert outage["requests_a_call_once_spent"] <= 1.1
    recovery = retries.measure("simulate", "Amends", "recovery", 1, "20")
    assert recovery["seconds_to_95"] == 0
    healthy = retries.measure("simulate", "Amends", "healthy", 1, "20")
    assert (healthy["requests"], healthy["answered_promptly"]) == (healthy["calls"], 1.0)


def test_the_real_server_goes_out_and_comes_back() -> None:
    with retries.serving() as url:
        found = retries.measure("real", "Amends", "brief", 1, url)
    assert found["calls"] == 300
    assert found["answered"] > 0.5
    assert found["requests"] >= found["calls"]


@pytest.mark.parametrize("answer", middleware.ANSWERS)
def test_a_route_is_measured_bare_and_behind_everything(answer: str) -> None:
    found = middleware.measure(answer, 32)
    assert list(found) == list(middleware.CANDIDATES)
    for run in found.values():
        assert run["requests"] == 32
        assert run["requests_a_second"] > 0
