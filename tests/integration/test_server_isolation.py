"""A workspace sees its own only: every operation of the OpenAPI document that takes an id, tried with another workspace's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from tests.problem_shape import assert_enveloped, assert_problem
from tests.servers import RunningServer

TUS = {"tus-resumable": "1.0.0", "upload-offset": "0"}
BODIES: dict[str, Any] = {
    "/respond": {"answer": 1},
    "/annotators": {"model": "local/smollm2"},
    "/extend": {},
    "/retry": {},
    "/datapoints": [{"data_type": "text", "assets": [{"text": "theirs"}]}],
    "/assets/check": {"sha256": ["ab" * 32]},
}
CHANGES = {
    "/v1/files": {"filename": "stolen"},
    "/v1/users": {"name": "stolen"},
    "/v1/webhooks": {"description": "stolen"},
}


@pytest.fixture(scope="module")
def owned(server: RunningServer) -> dict[str, str]:
    """An id for each parameter of a path, all of the default workspace."""
    with server.client() as client:
        file = client.post("/v1/files", files={"file": ("a.txt", b"mine", "text/plain")}).json()["id"]
        items = [{"custom_id": "mine", "file_id": file}, {"custom_id": "c1", "input": {}}]
        batch = client.post("/v1/batch-predictions", json={"model": "local/echo", "items": items}).json()["id"]
        key = client.post("/v1/api-keys", json={"role": "viewer"}).json()["id"]
        user = client.post("/v1/api-keys", json={"role": "member", "user": "Ada"}).json()["user_id"]
        invitation = client.post("/v1/invitations", json={"role": "viewer"}).json()["id"]
        hook = {"url": "http://127.0.0.1:9/", "events": ["*"]}
        webhook = client.post("/v1/webhooks", json=hook).json()["id"]
        delivery = client.post(f"/v1/webhooks/{webhook}/test").json()["id"]
        upload = client.post("/v1/uploads", headers={**TUS, "upload-length": "3"}).json()["id"]
        data = {"purpose": "batch"}
        mine = client.post("/openai/v1/files", files={"file": ("a.jsonl", b"{}")}, data=data).json()["id"]
        whole = {"input_file_id": mine, "endpoint": "/v1/embeddings", "completion_window": "24h"}
        dataset = client.post("/v1/datasets", json={"name": "mine"}).json()["id"]
        mine_too = [{"data_type": "text", "assets": [{"text": "mine"}]}, {"assets": [{"file_id": file}]}]
        added = client.post(f"/v1/datasets/{dataset}/datapoints", json=mine_too).json()
        openai_batch = client.post("/openai/v1/batches", json=whole).json()["id"]
        labelling = labelled(client, dataset)
    ids = {
        "batch_id": batch,
        "run_id": batch,
        "key_id": key,
        "dataset_id": dataset,
        "datapoint_id": added["data"][0]["datapoint_id"],
        "number": "0",
        "custom_id": "mine",
        "upload_id": upload,
        "openai_batch": openai_batch,
        **labelling,
        "user_id": user,
        "invitation_id": invitation,
        "webhook_id": webhook,
        "delivery_id": delivery,
    }
    return {"file_id": file, **ids}


def labelled(client: httpx2.Client, dataset_id: str) -> dict[str, str]:
    """A job definition, its running order, and a lease on a task of it."""
    body = {"kind": "free_text", "name": "mine", "instruction": "What is it?", "dataset_id": dataset_id}
    definition = client.post("/v1/job-definitions", json=body).json()["id"]
    order = client.post("/v1/orders", json={"job_definition_id": definition, "run": True}).json()["id"]
    lease = client.post(f"/v1/orders/{order}/tasks/next").json()["task"]["lease_id"]
    return {"job_definition_id": definition, "order_id": order, "lease_id": lease}


@pytest.fixture(scope="module")
def stranger(server: RunningServer) -> Iterator[httpx2.Client]:
    with server.client(server.new_key("owner", workspace="strangers")) as client:
        yield client


def made_up_like(value: str) -> str:
    """An id that nobody has; a place in a list stays what it is."""
    return value if value.isdigit() else f"{value[:-4]}zzzz"


def operations(server: RunningServer) -> list[tuple[str, str]]:
    with server.client("") as client:
        paths = client.get("/openapi.json").json()["paths"]
    return [
        (method.upper(), path)
        for path, found in paths.items()
        for method in found
        if path.startswith(("/v1", "/openai")) and "{" in path and "{model}" not in path
    ]


def test_ids_of_another_workspace_answer_as_made_up_ones_do(
    server: RunningServer, owned: dict[str, str], stranger: httpx2.Client
) -> None:
    found = operations(server)
    assert len(found) > 20
    for method, path in found:
        ids_of = {**owned, "batch_id": owned["openai_batch"]} if path.startswith("/openai") else owned
        theirs = path.format(**ids_of)
        made_up = path.format(**{name: made_up_like(value) for name, value in ids_of.items()})
        answers = [_ask(stranger, method, each) for each in (theirs, made_up)]
        if method == "HEAD":  # an answer to it has no body
            assert [answer.status_code for answer in answers] == [404, 404]
            continue
        check = assert_enveloped if path.startswith("/openai") else assert_problem
        bodies = [check(answer, "resource_not_found") for answer in answers]
        ids = re.compile(
            "|".join(
                re.escape(value) for value in {*owned.values(), *map(made_up_like, owned.values())} if len(value) > 1
            )
        )
        same = [{**body, "request_id": "", "instance": ids.sub("", body["instance"])} for body in bodies]
        first, second = ({name: ids.sub("", str(value)) for name, value in body.items()} for body in same)
        assert first == second, (method, path)


def test_nothing_was_changed_by_the_attempts(server: RunningServer, owned: dict[str, str]) -> None:
    with server.client() as client:
        assert client.get(f"/v1/files/{owned['file_id']}").json()["filename"] == "a.txt"
        assert client.get(f"/v1/batch-predictions/{owned['batch_id']}").json()["status"] not in (
            "cancelling",
            "cancelled",
        )
        assert client.get(f"/v1/api-keys/{owned['key_id']}").json()["revoked_at"] is None
        dataset = client.get(f"/v1/datasets/{owned['dataset_id']}").json()
        assert (dataset["name"], dataset["datapoint_count"]) == ("mine", 1)  # of two: a text file is nothing to show
        assert client.get(f"/v1/uploads/{owned['upload_id']}").json()["received"] == 0
        order = client.get(f"/v1/orders/{owned['order_id']}").json()
        assert (order["status"], order["counts"]["responses"]) == ("running", 0)
        assert len(client.get(f"/v1/orders/{owned['order_id']}/annotators").json()["data"]) == 1
        assert client.get(f"/v1/users/{owned['user_id']}").json()["name"] == "Ada"
        assert client.get(f"/v1/invitations/{owned['invitation_id']}").status_code == 200
        webhook = client.get(f"/v1/webhooks/{owned['webhook_id']}").json()
        assert (webhook["description"], webhook["enabled"]) == (None, True)


def test_lists_hold_nothing_of_another_workspace(owned: dict[str, str], stranger: httpx2.Client) -> None:
    for path in ("/v1/files", "/v1/batch-predictions", "/v1/runs", "/v1/datasets", "/v1/orders", "/v1/job-definitions"):
        assert stranger.get(path).json()["data"] == []
        assert stranger.get(path, params={"after": owned["batch_id"]}).json().get("data", []) == []
    for path, name in (("/v1/api-keys", "key_id"), ("/v1/users", "user_id"), ("/v1/invitations", "invitation_id")):
        assert owned[name] not in stranger.get(path).text
    assert stranger.get("/v1/webhooks").json()["data"] == []


def test_a_file_of_another_workspace_is_not_found_by_an_item(owned: dict[str, str], stranger: httpx2.Client) -> None:
    items = [{"custom_id": "thief", "file_id": owned["file_id"]}]
    answer = stranger.post("/v1/batch-predictions", json={"model": "local/echo", "items": items, "dry_run": True})
    error = answer.json()["errors"][0]
    assert f"File '{owned['file_id']}' does not exist or is not accessible from this workspace." in str(error)


def _ask(client: httpx2.Client, method: str, path: str) -> httpx2.Response:
    if path.startswith("/v1/uploads"):
        return client.request(method, path, headers={**TUS, "content-type": "application/offset+octet-stream"})
    if method == "PATCH":
        body = next(value for root, value in CHANGES.items() if path.startswith(root))
    else:
        body = next((value for part, value in BODIES.items() if path.endswith(part)), None)
    return client.request(method, path, json=body)
