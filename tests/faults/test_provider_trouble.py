"""A provider in every kind of trouble, through a whole server: every item ends typed, and the provider is spared."""

from __future__ import annotations

import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2

from tests.batches import PATH
from tests.engines import until
from tests.providers import TEXT_SCHEMA, provided_server
from tests.servers import RunningServer, server_process
from tests.upstream import Call, Cut, Deed, Hang, Say, chat, echo, refusal, running_upstream


def create(client: httpx2.Client, texts: list[str]) -> str:
    items = [{"custom_id": f"c{number}", "input": text} for number, text in enumerate(texts)]
    answer = client.post(PATH, json={"items": items, "model": "acme/m", "output_schema": TEXT_SCHEMA})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


def batch(client: httpx2.Client, run_id: str) -> dict[str, Any]:
    found: dict[str, Any] = client.get(f"{PATH}/{run_id}").json()
    return found


def lines(client: httpx2.Client, run_id: str, seconds: float = 120.0) -> list[dict[str, Any]]:
    """The result lines in order, once the batch has ended."""
    until(lambda: batch(client, run_id)["status"] in ("completed", "cancelled", "expired", "failed"), seconds)
    found = [httpx2.Response(200, text=line).json() for line in client.get(f"{PATH}/{run_id}/results").iter_lines()]
    assert [line["custom_id"] for line in found] == [f"c{number}" for number in range(len(found))]
    return found


def tries_before(call: Call) -> int:
    return int(call.headers["amends-attempt"])


TROUBLES: dict[str, Callable[[Call], Deed]] = {
    "good": echo,
    "limited once": lambda call: echo(call) if tries_before(call) else refusal(429, retry_after=1),
    "broken once": lambda call: echo(call) if tries_before(call) else refusal(500),
    "cut once": lambda call: echo(call) if tries_before(call) else Cut(),
    "hangs once": lambda call: echo(call) if tries_before(call) else Hang(),
    "mangled once": lambda call: echo(call) if tries_before(call) else Say(b"<html>Bad gateway</html>"),
    "no json": lambda call: Say(chat("I would rather not")),
    "wrong json": lambda call: Say(chat({"words": 1})),
    "refused": lambda call: refusal(400),
    "too large": lambda call: refusal(413),
}
ENDS = {
    "no json": ("prediction_failed", "PREDICTION_FAILED"),
    "wrong json": ("prediction_failed", "PREDICTION_FAILED"),
    "refused": ("upstream_failed", "UPSTREAM_REFUSED"),
    "too large": ("upstream_failed", "UPSTREAM_REFUSED"),
}


def test_every_item_ends_typed_and_nothing_is_tried_that_cannot_succeed(tmp_path: Path) -> None:
    texts = [*TROUBLES, *["good"] * 190]
    with (
        running_upstream(lambda call: TROUBLES[call.text](call)) as upstream,
        provided_server(tmp_path / "data", upstream, timeout_seconds=5.0, flags={"engine__workers": 2}) as server,
        server.client() as client,
    ):
        run_id = create(client, texts)
        found = lines(client, run_id)
        calls = upstream.calls_by_key()
    for number, (text, line) in enumerate(zip(texts, found, strict=True)):
        expected = ENDS.get(text)
        if expected is None:
            assert (line["status"], line["output"]) == ("succeeded", {"text": text})
        else:
            assert (line["status"], line["error"]["error_code"]) == ("errored", expected[1])
            assert line["error"]["type"].endswith(expected[0])
            assert line["error"]["provider"] == "acme"
        assert calls[f"{run_id}:{number}"] == (2 if text.endswith("once") else 1) == line["attempts"]


def test_nobody_calls_before_a_cool_down_is_over(tmp_path: Path) -> None:
    refused_at: list[float] = []

    def answer(call: Call) -> Deed:
        if len(refused_at) < 1:
            refused_at.append(call.at)
            return refusal(429, retry_after=2)
        return Say(echo(call).body, after_seconds=0.05)  # type: ignore[union-attr]

    with (
        running_upstream(answer) as upstream,
        provided_server(tmp_path / "data", upstream, concurrency=2, flags={"engine__workers": 2}) as server,
        server.client() as client,
    ):
        found = lines(client, create(client, ["good"] * 100))
        at = [call.at - refused_at[0] for call in upstream.calls]
    assert {line["status"] for line in found} == {"succeeded"}
    # What had been called or leased when the 429 came: one call each for the two that may be under way, and what was reported late.
    assert len([moment for moment in at if moment < 1.9]) <= 6
    assert max(Counter(line["attempts"] for line in found)) <= 2


def test_an_outage_pauses_the_batch_and_costs_next_to_nothing(tmp_path: Path) -> None:
    """The breaker opens, a probe goes through now and then, it closes, and every item succeeds."""
    is_down = threading.Event()

    def answer(call: Call) -> Deed:
        return refusal(503) if is_down.is_set() else Say(echo(call).body, after_seconds=0.01)  # type: ignore[union-attr]

    with (
        running_upstream(answer) as upstream,
        provided_server(tmp_path / "data", upstream, flags={"engine__workers": 2}) as server,
        server.client() as client,
    ):
        is_down.set()
        run_id = create(client, [f"t{number}" for number in range(400)])
        until(lambda: batch(client, run_id)["paused_reason"] == "breaker")
        opened_with = len(upstream.calls)
        time.sleep(6.0)
        in_outage = len(upstream.calls) - opened_with
        assert batch(client, run_id)["request_counts"]["errored"] == 0
        is_down.clear()
        found = lines(client, run_id)
        calls = len(upstream.calls)
    assert opened_with <= 60
    assert in_outage <= 4
    assert {line["status"] for line in found} == {"succeeded"}
    assert calls <= 400 + opened_with + in_outage + 4


def test_a_brown_out_is_not_multiplied(tmp_path: Path) -> None:
    """One call in five fails for good: retries are paid from the budget, and amplification stays near one in ten."""
    with (
        running_upstream(
            lambda call: refusal(500) if zlib.crc32(call.key.encode()) % 5 == 0 else echo(call)
        ) as upstream,
        provided_server(tmp_path / "data", upstream, flags={"engine__workers": 2}) as server,
        server.client() as client,
    ):
        run_id = create(client, ["good"] * 1_000)
        until(lambda: len(upstream.calls) >= 1_000, 150.0)
        started = upstream.calls[0].at
        calls = [call for call in upstream.calls if call.at <= upstream.calls[999].at]
        retries = sum(tries_before(call) > 0 for call in calls)
        seconds = calls[-1].at - started
        client.post(f"{PATH}/{run_id}/cancel")
        lines(client, run_id)
    assert retries <= 20 + 0.1 * len(calls) + seconds / 0.5 + 16  # one lease may be under way when the budget ends


def test_a_second_endpoint_takes_over(tmp_path: Path) -> None:
    with (
        running_upstream(lambda call: refusal(503)) as down,
        running_upstream() as up,
        provided_server(tmp_path / "data", down, up) as server,
        server.client() as client,
    ):
        found = lines(client, create(client, ["good"] * 200))
        assert {line["status"] for line in found} == {"succeeded"}
        assert len(down.calls) <= 60
        assert len(up.calls) == 200


def test_one_hanging_call_holds_up_nobody(tmp_path: Path) -> None:
    with (
        running_upstream(lambda call: Hang() if call.text == "hang" else echo(call)) as upstream,
        provided_server(tmp_path / "data", upstream, timeout_seconds=170.0) as server,
        server.client() as client,
    ):
        run_id = create(client, ["hang", *["good"] * 300])
        until(lambda: batch(client, run_id)["request_counts"]["succeeded"] == 300, 150.0)
        assert len(upstream.calls) == 301
        client.post(f"{PATH}/{run_id}/cancel")
        assert [line["status"] for line in lines(client, run_id)] == ["canceled", *["succeeded"] * 300]
        until(lambda: upstream.calls[[call.text for call in upstream.calls].index("hang")].was_left)


def test_cancelling_closes_every_call_under_way_and_leaves_the_worker_whole(tmp_path: Path) -> None:
    def child(server: RunningServer) -> int | None:
        assert server.owner.services.engine is not None
        return server.owner.services.engine.workers()[0].child_pid

    with (
        running_upstream(lambda call: Hang()) as upstream,
        provided_server(tmp_path / "data", upstream, timeout_seconds=60.0) as server,
        server.client() as client,
    ):
        run_id = create(client, ["hang"] * 8)
        until(lambda: len(upstream.calls) == 8)
        before = child(server)
        client.post(f"{PATH}/{run_id}/cancel")
        assert {line["status"] for line in lines(client, run_id)} == {"canceled"}
        until(lambda: all(call.was_left for call in upstream.calls))
        assert child(server) == before


def test_kill_nine_in_the_middle_loses_nothing_and_repeats_little(tmp_path: Path) -> None:
    """Server, workers and calls are gone at once; what had no outcome yet is called again, under the same key."""
    data = tmp_path / "data"
    data.mkdir()

    def answer(call: Call) -> Deed:
        return Say(echo(call).body, after_seconds=0.02)  # type: ignore[union-attr]

    with running_upstream(answer) as upstream:
        (data / "amends.toml").write_text(f'[providers.acme]\nbase_url = "{upstream.base_url}"\nconcurrency = 8\n')
        with server_process(data) as server, _client(server.base_url, server.key) as client:
            key = server.key
            run_id = create(client, [f"t{number}" for number in range(600)])
            until(lambda: len(upstream.calls) > 200)
            server.kill()
        until(lambda: not upstream.under_way)
        with server_process(data) as server, _client(server.base_url, key) as client:
            found = lines(client, run_id)
        calls = upstream.calls_by_key()
    assert [line["output"]["text"] for line in found] == [f"t{number}" for number in range(600)]
    assert len(calls) == 600
    assert max(calls.values()) <= 2
    # Those under way, and those whose results were on their way to the ledger.
    assert sum(calls.values()) - 600 <= 40


def _client(base_url: str, key: str) -> httpx2.Client:
    return httpx2.Client(base_url=base_url, headers={"Authorization": f"Bearer {key}"}, timeout=30, trust_env=False)


def test_a_cool_down_outlasts_the_server(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    with running_upstream(lambda call: refusal(429, retry_after=20)) as upstream:
        (data / "amends.toml").write_text(f'[providers.acme]\nbase_url = "{upstream.base_url}"\nconcurrency = 2\n')
        with server_process(data) as server, _client(server.base_url, server.key) as client:
            create(client, ["good"] * 20)
            until(lambda: upstream.calls)
            time.sleep(0.5)
            server.kill()
        until(lambda: not upstream.under_way)
        before = len(upstream.calls)
        with server_process(data):
            time.sleep(4.0)
        assert len(upstream.calls) == before <= 4
