"""Models of a provider through a whole server: real workers, a real endpoint."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import httpx2

from amends import Client
from amends.problems import CATALOGUE
from tests.batches import PATH
from tests.providers import TEXT_SCHEMA, provided_server
from tests.upstream import Call, Deed, Hang, Say, chat, echo, refusal, running_upstream


def create(client: httpx2.Client, texts: list[str], **parameters: Any) -> str:
    items = [{"custom_id": f"c{number}", "input": text} for number, text in enumerate(texts)]
    answer = client.post(PATH, json={"items": items, "model": "acme/m", "output_schema": TEXT_SCHEMA, **parameters})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


def ended(client: httpx2.Client, run_id: str) -> dict[str, dict[str, Any]]:
    """Result lines by custom_id, once the batch has ended."""
    end = time.monotonic() + 60
    while client.get(f"{PATH}/{run_id}").json()["status"] not in ("completed", "failed", "cancelled", "expired"):
        assert time.monotonic() < end, client.get(f"{PATH}/{run_id}").text
        time.sleep(0.02)
    lines = client.get(f"{PATH}/{run_id}/results").iter_lines()
    found = [httpx2.Response(200, text=line).json() for line in lines]
    return {line["custom_id"]: line for line in found}


def test_a_batch_is_answered_by_a_provider_with_tokens_and_cost(tmp_path):
    with (
        running_upstream() as upstream,
        provided_server(tmp_path / "data", upstream, price={"input": 1, "output": 2}) as server,
        server.client() as client,
    ):
        run_id = create(client, [f"text {number}" for number in range(20)])
        lines = ended(client, run_id)
        assert {line["output"]["text"] for line in lines.values()} == {f"text {number}" for number in range(20)}
        assert lines["c0"]["usage"] == {"input_tokens": 10, "output_tokens": 5, "cost": 0.00002}
        assert upstream.calls_by_key() == {f"{run_id}:{number}": 1 for number in range(20)}
        told = client.get("/metrics").text
        assert re.search(r'amends_upstream_breaker\{state="closed",upstream="[^"]+"\} 1\.0', told)
        assert re.search(r'amends_upstream_limit\{upstream="[^"]+"\} [1-9]', told)
        unknown = client.post(PATH, json={"items": [{"custom_id": "a", "input": "x"}], "model": "acne/m"})
        assert unknown.json()["errors"][0]["code"] == "unknown_model"


def test_what_a_providers_answer_cost_is_charged(tmp_path):
    flags = {"credits__prices": {"acme/m": 0.01}, "credits__per_cost": 100.0}
    with (
        running_upstream() as upstream,
        provided_server(tmp_path / "data", upstream, flags=flags, price={"input": 1, "output": 2}) as server,
        server.client() as client,
    ):
        client.post("/v1/credits/top-ups", json={"amount": 1}).raise_for_status()
        run_id = create(client, [f"text {number}" for number in range(20)])
        lines = ended(client, run_id)
        assert {line["usage"]["cost"] for line in lines.values()} == {0.00002}
        charge = client.get("/v1/credits/history").json()["data"][0]
        assert (charge["kind"], charge["amount"], charge["run_id"]) == ("charge", -0.04, run_id)
        assert client.get("/v1/credits").json()["balance"] == 0.96
        assert client.get("/v1/credits/conservation").json()["holds"]


def test_failures_of_a_provider_are_typed_with_every_try_on_record(tmp_path):
    def answer(call: Call) -> Deed:
        if call.text == "flaky" and call.headers["amends-attempt"] == "0":
            return refusal(500, "once")
        if call.text == "bad":
            return refusal(400, "not that")
        return Say(chat("no json")) if call.text == "mute" else echo(call)

    with (
        running_upstream(answer) as upstream,
        provided_server(tmp_path / "data", upstream) as server,
        server.client() as client,
    ):
        run_id = create(client, ["good", "flaky", "bad", "mute"])
        lines = ended(client, run_id)
        record = client.get(f"{PATH}/{run_id}/items/c1").json()
    assert [lines[f"c{number}"]["status"] for number in range(4)] == ["succeeded", "succeeded", "errored", "errored"]
    assert lines["c1"]["attempts"] == 2
    (failed,) = record["attempts"]
    assert (failed["error"]["provider"], failed["error"]["upstream_status"]) == ("acme", 500)
    refused = lines["c2"]["error"]
    assert (refused["error_code"], refused["upstream_status"], refused["attempts"]) == ("UPSTREAM_REFUSED", 400, 1)
    assert refused["remedy"] == {**refused["remedy"], "action": "fix_input", "retryable": False}
    assert refused["title"] == CATALOGUE["upstream_failed"].title
    assert lines["c3"]["error"]["error_code"] == "PREDICTION_FAILED"
    assert upstream.calls_by_key() == {f"{run_id}:0": 1, f"{run_id}:1": 2, f"{run_id}:2": 1, f"{run_id}:3": 1}


def test_cancelling_closes_what_is_running(tmp_path):
    with (
        running_upstream(lambda call: Hang()) as upstream,
        provided_server(tmp_path / "data", upstream, timeout_seconds=60.0) as server,
        server.client() as client,
    ):
        run_id = create(client, ["a", "b", "c"])
        while not upstream.calls:
            time.sleep(0.01)
        client.post(f"{PATH}/{run_id}/cancel")
        lines = ended(client, run_id)
        assert {line["status"] for line in lines.values()} == {"canceled"}
        while not all(call.was_left for call in upstream.calls):
            time.sleep(0.01)


def test_what_test_mode_simulates_opens_its_own_breaker_and_shuts_no_live_run_out(tmp_path):
    with (
        running_upstream() as upstream,
        provided_server(tmp_path / "data", upstream) as server,
        server.client() as live,
        server.client(server.new_key(mode="test")) as tester,
    ):
        failing = [f"text {number} [[simulate: upstream_failed; error_code=UPSTREAM_ERROR]]" for number in range(40)]
        simulated = create(tester, failing)
        end = time.monotonic() + 60
        while tester.get(f"{PATH}/{simulated}").json()["paused_reason"] != "breaker":
            assert time.monotonic() < end, tester.get(f"{PATH}/{simulated}").text
            time.sleep(0.02)

        lines = ended(live, create(live, ["a", "b", "c"]))
        assert {line["status"] for line in lines.values()} == {"succeeded"}
        assert tester.get(f"{PATH}/{simulated}").json()["paused_reason"] == "breaker"
        assert len(upstream.calls) == 3, "what is simulated calls nobody"
        tester.post(f"{PATH}/{simulated}/cancel")


def test_the_far_end_sees_each_try_once_whatever_lies_between(tmp_path: Path) -> None:
    """SDK, server and worker each know how to retry; of one item's failure only the engine makes another try."""
    with (
        running_upstream(lambda call: refusal(500)) as upstream,
        provided_server(tmp_path / "data", upstream) as server,
        Client(api_key=server.key, base_url=server.base_url, max_retries=3) as client,
    ):
        batch = client.batch_predictions.create(items=[{"custom_id": "a", "input": "x"}], model="acme/m")
        client.batch_predictions.wait(batch.id, timeout=120)
        (line,) = client.batch_predictions.results(batch.id)
        tries = [call.headers["amends-attempt"] for call in upstream.calls]
        keys = {call.key for call in upstream.calls}
    error = line["error"]
    assert (error["error_code"], error["upstream_status"], error["attempts"]) == ("UPSTREAM_ERROR", 500, 5)
    assert error["remedy"]["retryable"]
    assert tries == ["0", "1", "2", "3", "4"]
    assert keys == {f"{batch.id}:0"}
