"""Failures on demand, for whoever tests a client: the header on endpoints and what items ask for, in test mode alone."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from amends.server.auth import Caller
from amends.server.simulation import Tallies
from tests.batches import PATH, read
from tests.problem_shape import assert_problem
from tests.servers import RunningServer, running_server


@pytest.fixture(scope="module")
def key(server: RunningServer) -> str:
    return server.new_key(mode="test")


@pytest.fixture
def client(server: RunningServer, key: str) -> Iterator[httpx2.Client]:
    with server.client(key) as client:
        yield client


def simulate(client: httpx2.Client, what: str, path: str = "/v1/me", method: str = "GET") -> httpx2.Response:
    return client.request(method, path, headers={"Amends-Simulate": what})


# Endpoints


def test_a_live_key_is_forbidden_whatever_it_asks_for(server: RunningServer) -> None:
    with server.client() as live, server.client("") as nobody:
        assert_problem(simulate(live, "conflict"), "insufficient_permissions")
        assert_problem(simulate(live, "no_such_thing"), "insufficient_permissions")
        assert_problem(simulate(nobody, "conflict"), "no_authentication")
        assert live.get("/v1/me").status_code == 200


def test_what_cannot_be_simulated_is_named(client: httpx2.Client) -> None:
    for what, named in (
        ("no_such_thing", "no_such_thing"),
        ("upstream_failed", "no endpoint"),
        ("conflict; after=x", "after"),
        ("", "''"),
    ):
        assert named in assert_problem(simulate(client, what), "malformed_request")["detail"]
    twice = client.get("/v1/me", headers=[("Amends-Simulate", "conflict"), ("Amends-Simulate", "drop")])
    assert "once" in assert_problem(twice, "malformed_request")["detail"]


def test_good_answers_come_first_counted_by_key_method_and_path(server: RunningServer, key: str) -> None:
    what = "rate_limit_exceeded; after=2; retry_after=3"
    with server.client(server.new_key(mode="test")) as client, server.client(server.new_key(mode="test")) as other:
        assert [simulate(client, what).status_code for _ in range(4)] == [200, 200, 429, 429]
        assert simulate(client, what, "/v1/runs").status_code == 200
        assert [simulate(client, what, "/v1/runs/none").status_code for _ in range(3)] == [404, 404, 404]
        assert simulate(other, what).status_code == 200
        answer = simulate(client, what)
        assert answer.headers["retry-after"] == "3"
        assert client.get("/v1/me").status_code == 200


def test_a_seed_draws_the_same_answers_for_every_key(server: RunningServer) -> None:
    def statuses() -> list[int]:
        with server.client(server.new_key(mode="test")) as client:
            return [simulate(client, "service_unavailable; p=0.5; seed=7").status_code for _ in range(20)]

    first = statuses()
    assert first == statuses()
    assert set(first) == {200, 503}


def test_any_endpoint_can_be_made_to_fail_before_it_does_anything(client: httpx2.Client) -> None:
    before = client.get("/v1/files").json()["data"]
    upload = client.post(
        "/v1/files", files={"file": ("a.txt", b"a", "text/plain")}, headers={"Amends-Simulate": "insufficient_storage"}
    )
    assert_problem(upload, "insufficient_storage")
    assert client.get("/v1/files").json()["data"] == before
    for path in ("/health/live", "/errors", "/openapi.json", "/no/such/path"):
        assert_problem(simulate(client, "internal_server_error", path), "internal_server_error")


def test_a_dropped_connection_gives_no_answer_at_all(client: httpx2.Client) -> None:
    with pytest.raises(httpx2.TransportError):
        simulate(client, "drop")
    with pytest.raises(httpx2.TransportError):
        client.post(PATH, json={"items": [], "model": "local/echo"}, headers={"Amends-Simulate": "drop"})
    assert client.get("/v1/me").status_code == 200


def test_an_answer_can_be_delayed(client: httpx2.Client) -> None:
    started = time.monotonic()
    assert simulate(client, "ok; delay=0.3").status_code == 200
    assert_problem(simulate(client, "conflict; delay=0.3"), "conflict")
    assert time.monotonic() - started >= 0.6


def test_counts_of_the_longest_unused_paths_are_forgotten() -> None:
    tallies, caller = Tallies(remembered=3), Caller("ws", "owner", "test", "key_1")
    tallies.of(caller, "GET", "/0").good = 7
    for number in range(1, 4):
        tallies.of(caller, "GET", f"/{number}")
    assert tallies.of(caller, "GET", "/0").good == 0


# Items


def run(client: httpx2.Client, items: list[dict[str, Any]], **changes: Any) -> dict[str, dict[str, Any]]:
    """The result lines of such a batch by custom_id."""
    answer = client.post(PATH, json={"items": items, "model": "local/echo", **changes})
    assert answer.status_code == 200, answer.text
    return lines(client, answer.json()["id"])


def lines(client: httpx2.Client, run_id: str) -> dict[str, dict[str, Any]]:
    end = time.monotonic() + 60
    while client.get(f"{PATH}/{run_id}").json()["status"] != "completed":
        assert time.monotonic() < end
        time.sleep(0.02)
    return {line["custom_id"]: line for line in read(client, run_id)}


def test_items_end_as_they_ask_to_and_the_others_are_not_touched(client: httpx2.Client) -> None:
    items = [
        {"custom_id": "object", "input": {"simulate": "file_not_found", "file_id": "x", "text": "t"}},
        {"custom_id": "text", "input": "Some text [[simulate: asset_upload_failed; stage=resolve]]"},
        {"custom_id": "prompt", "input": "text", "prompt": "Read. [[simulate: prediction_failed]]"},
        {"custom_id": "nonsense", "input": "[[simulate: nonsense]]"},
        {"custom_id": "cancelled", "input": "[[simulate: batch_cancelled]]"},
        {"custom_id": "expired", "input": "[[simulate: batch_expired]]"},
        {"custom_id": "slow", "input": {"simulate": "ok", "delay": 0.2, "text": "kept"}},
        {"custom_id": "good", "input": "simulate nothing"},
    ]
    found = run(client, items)
    assert {name: (line["error"] or {}).get("type", "").rsplit("/", 1)[-1] for name, line in found.items()} == {
        "object": "file_not_found",
        "text": "asset_upload_failed",
        "prompt": "prediction_failed",
        "nonsense": "unprocessable_content",
        "cancelled": "batch_cancelled",
        "expired": "batch_expired",
        "slow": "",
        "good": "",
    }
    assert found["text"]["error"]["stage"] == "resolve"
    assert "nonsense" in found["nonsense"]["error"]["detail"]
    assert found["nonsense"]["error"]["error_code"] == "SIMULATION_UNREADABLE"
    assert [found[name]["status"] for name in ("object", "cancelled", "expired")] == ["errored", "canceled", "expired"]
    assert found["slow"]["output"] == {"text": "kept"}
    assert found["slow"]["elapsed_ms"] >= 200
    assert found["good"]["output"] == {"text": "simulate nothing"}


def test_the_prompt_of_a_batch_counts_for_every_item_that_asks_for_nothing_itself(client: httpx2.Client) -> None:
    items = [{"custom_id": "a", "input": "a"}, {"custom_id": "b", "input": "b [[simulate: ok]]"}]
    found = run(client, items, prompt="Go [[simulate: prediction_failed]]")
    assert found["a"]["error"]["code"] == "prediction_failed"
    assert found["b"]["output"] == {"text": "b"}


def test_what_may_pass_is_tried_again_as_for_real(client: httpx2.Client) -> None:
    # With this seed the first try of the first item fails and the second does not.
    item = {"custom_id": "a", "input": "a [[simulate: upstream_failed; error_code=UPSTREAM_TIMEOUT; p=0.5; seed=0]]"}
    answer = client.post(PATH, json={"items": [item], "model": "local/echo"})
    line = lines(client, answer.json()["id"])["a"]
    assert (line["status"], line["attempts"]) == ("succeeded", 2)
    record = client.get(f"{PATH}/{answer.json()['id']}/items/a").json()
    assert [attempt["error"]["error_code"] for attempt in record["attempts"]] == ["UPSTREAM_TIMEOUT"]


def test_to_a_live_run_a_marker_is_ordinary_text(server: RunningServer, client: httpx2.Client) -> None:
    with server.client() as live:
        found = run(
            live,
            [
                {"custom_id": "text", "input": "a [[simulate: prediction_failed]]"},
                {"custom_id": "object", "input": {"simulate": "file_not_found"}},
            ],
            prompt="[[simulate: prediction_failed]]",
        )
    assert found["text"]["output"] == {"text": "a [[simulate: prediction_failed]]"}
    assert found["object"]["output"] == {"simulate": "file_not_found"}


def test_a_retry_keeps_the_mode_of_what_it_retries_whoever_asks_for_it(
    server: RunningServer, client: httpx2.Client
) -> None:
    with server.client() as live:
        answer = client.post(
            PATH,
            json={
                "items": [{"custom_id": "a", "input": "[[simulate: file_not_found]]"}],
                "model": "local/echo",
            },
        )
        run_id = answer.json()["id"]
        assert lines(client, run_id)["a"]["status"] == "errored"
        again = live.post(f"{PATH}/{run_id}/retry").json()["id"]
        assert lines(live, again)["a"]["error"]["code"] == "file_not_found"


def test_what_comes_without_a_key_is_live_unless_the_server_is_told_otherwise(tmp_path: Path) -> None:
    with running_server(tmp_path / "live", engine=None) as live, live.local_client() as client:
        assert_problem(simulate(client, "conflict"), "insufficient_permissions")
    with running_server(tmp_path / "test", engine=None, test=True) as test, test.local_client() as client:
        assert_problem(simulate(client, "conflict"), "conflict")
