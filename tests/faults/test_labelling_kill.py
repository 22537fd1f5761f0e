"""A server that is killed while a model answers an order: each task has the model's answer in the end, and has it once."""

from __future__ import annotations

import time
from pathlib import Path
from random import Random
from typing import Any

import httpx2

from amends.server.steward import Steward
from tests.orders import dataset_on, texts
from tests.servers import RunningServer, ServerProcess, running_server, server_process

TASKS = 600
KILLS = 2
OPTIONS = ["refund", "bug report"]


def client_of(server: ServerProcess | RunningServer, key: str) -> httpx2.Client:
    return httpx2.Client(
        base_url=server.base_url, headers={"authorization": f"Bearer {key}"}, timeout=30, trust_env=False
    )


def begin(client: httpx2.Client) -> str:
    dataset = client.post("/v1/datasets", json={"name": "mail"}).json()["id"]
    given = [{"data_type": "text", "assets": [{"text": f"I want my money back, case {n}"}]} for n in range(TASKS)]
    client.post(f"/v1/datasets/{dataset}/datapoints", json=given).raise_for_status()
    body = {"kind": "classification", "name": "n", "instruction": "?", "dataset_id": dataset, "answer_options": OPTIONS}
    definition = client.post("/v1/job-definitions", json={**body, "settings": {"responses_per_datapoint": 1}}).json()
    order = client.post("/v1/orders", json={"job_definition_id": definition["id"], "run": True}).json()["id"]
    client.post(f"/v1/orders/{order}/annotators", json={"model": "local/classify"}).raise_for_status()
    return str(order)


def test_a_killed_server_loses_no_models_answer_and_counts_none_twice(tmp_path: Path) -> None:
    draw, key, order_id = Random(4), "", ""
    for _ in range(KILLS):
        with server_process(tmp_path / "data") as server:
            key = key or server.key
            with client_of(server, key) as client:
                order_id = order_id or begin(client)
                before = _counts(client, order_id)["responses"]
                end = time.monotonic() + 30
                while (
                    _counts(client, order_id)["responses"] in (before, 0) and before < TASKS and time.monotonic() < end
                ):
                    time.sleep(0.01)
                time.sleep(draw.random() * 0.1)
            server.kill()
    with server_process(tmp_path / "data") as server, client_of(server, key) as client:
        end = time.monotonic() + 90
        while client.get(f"/v1/orders/{order_id}").json()["status"] != "completed" and time.monotonic() < end:
            time.sleep(0.05)
        results = client.get(f"/v1/orders/{order_id}/results").json()
    assert (results["status"], results["responses"], results["tasks_done"]) == ("completed", TASKS, TASKS)
    assert [len(line["responses"]) for line in results["data"]] == [1] * TASKS
    assert results["annotators"][0]["responses"] == TASKS


def test_outcomes_that_are_taken_again_from_an_old_cursor_change_nothing(tmp_path: Path) -> None:
    """As the next owner does where the last one died after its outcomes and before the cursor."""
    with running_server(tmp_path / "data") as server, server.client() as client:
        dataset_id, _ = dataset_on(server, *texts("I want my money back", "The app crashes"))
        body = {
            "kind": "classification",
            "name": "n",
            "instruction": "?",
            "dataset_id": dataset_id,
            "answer_options": OPTIONS,
        }
        definition = client.post("/v1/job-definitions", json=body).json()["id"]
        order_id = client.post("/v1/orders", json={"job_definition_id": definition, "run": True}).json()["id"]
        client.post(f"/v1/orders/{order_id}/annotators", json={"model": "local/classify"})
        store = server.owner.services.store
        end = time.monotonic() + 60
        while store.annotators.of_order(order_id)[0].run_state != "taken" and time.monotonic() < end:
            time.sleep(0.05)
        (annotator,) = store.annotators.of_order(order_id)
        assert (annotator.run_state, annotator.run_cursor >= 0) == ("taken", True)
        before = client.get(f"/v1/orders/{order_id}/results").json()
        stale: Any = server.owner.services.database.write(
            lambda tx: store.annotators.move_cursor(tx, annotator.id, -1) or annotator.id
        )
        again = store.annotators.get(stale)
        assert again is not None
        Steward(server.owner.services).take(again)
        assert client.get(f"/v1/orders/{order_id}/results").json() == before
        found = store.annotators.get(stale)
        assert found is not None
        assert found.run_cursor == annotator.run_cursor


def _counts(client: httpx2.Client, order_id: str) -> Any:
    return client.get(f"/v1/orders/{order_id}").json()["counts"]
