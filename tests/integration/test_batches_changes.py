"""Changing batch predictions over HTTP: cancel, expire, retry with replacements, and who may."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import httpx2
import pytest

from amends.problems import problem
from tests.batches import PATH, create, ended, finish, names_of, read, run_of, work
from tests.problem_shape import assert_problem
from tests.servers import RunningServer, running_server

NAMES = ["a", "b", "c", "d", "e"]
FAILING = {"b": "prediction_failed", "d": "file_not_found"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("server") / "data", engine=None) as running:
        yield running


@pytest.fixture
def batch(server: RunningServer, client: httpx2.Client) -> str:
    return ended(server, client, NAMES, FAILING)


def retry(client: httpx2.Client, run_id: str, **body: Any) -> httpx2.Response:
    return client.post(f"{PATH}/{run_id}/retry", json=body)


def child_of(client: httpx2.Client, run_id: str, **body: Any) -> str:
    answer = retry(client, run_id, **body)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


def payloads(server: RunningServer, run_id: str) -> dict[str, Any]:
    return {custom_id: json.loads(payload) for _, custom_id, payload in server.ledger.items(run_id)}


def stop(server: RunningServer, run_id: str) -> None:
    """What the engine does for a run that is cancelling or expired."""
    status, slug = (
        ("expired", "batch_expired") if run_of(server, run_id).ending == "expired" else ("canceled", "batch_cancelled")
    )
    while server.ledger.sweep(run_id, status, problem(slug)):  # type: ignore[arg-type]
        pass
    finish(server, run_id)


def test_cancelling_twice_is_answered_unchanged(server: RunningServer, client: httpx2.Client) -> None:
    run_id = create(client, NAMES)
    first = client.post(f"{PATH}/{run_id}/cancel")
    assert (first.status_code, first.json()["status"]) == (200, "cancelling")
    assert client.post(f"{PATH}/{run_id}/cancel").json() == first.json()
    stop(server, run_id)
    last = client.post(f"/v1/runs/{run_id}/cancel").json()
    assert (last["object"], last["status"], last["request_counts"]["canceled"]) == ("run", "cancelled", 5)
    assert {line["error"]["code"] for line in read(client, run_id)} == {"batch_cancelled"}


def test_ended_batch_cannot_be_cancelled_extended_or_expired(client: httpx2.Client, batch: str) -> None:
    for action in ("cancel", "extend", "expire"):
        refused = client.post(f"{PATH}/{batch}/{action}")
        shown = assert_problem(refused, "conflict", error_code="INVALID_STATE")
        assert (shown["batch_prediction_id"], shown["state"]) == (batch, "completed")


def test_expiring_closes_the_window_at_once(server: RunningServer, client: httpx2.Client) -> None:
    run_id = create(client, NAMES)
    assert client.post(f"/v1/runs/{run_id}/expire").json()["status"] == "finalizing"
    assert client.post(f"/v1/runs/{run_id}/expire").status_code == 200
    stop(server, run_id)
    assert client.get(f"{PATH}/{run_id}").json()["status"] == "expired"
    assert_problem(client.post(f"{PATH}/{run_id}/cancel"), "conflict", error_code="INVALID_STATE")
    assert client.post(f"{PATH}/{run_id}/expire").json()["status"] == "expired"


def test_replayed_change_gives_the_same_answer(server: RunningServer, client: httpx2.Client) -> None:
    run_id = create(client, NAMES)
    key = {"Idempotency-Key": f"cancel-{run_id}"}
    first = client.post(f"{PATH}/{run_id}/cancel", headers=key)
    stop(server, run_id)
    again = client.post(f"{PATH}/{run_id}/cancel", headers=key)
    assert again.content == first.content
    assert again.headers["idempotency-replayed"] == "true"


def test_retry_holds_what_failed_and_merges_into_the_lineage(
    server: RunningServer, client: httpx2.Client, batch: str
) -> None:
    answer = retry(client, batch).json()
    child = answer["id"]
    assert (answer["parent_id"], answer["root_id"], answer["request_counts"]["total"]) == (batch, batch, 2)
    assert list(payloads(server, child)) == ["b", "d"]
    work(server, child, {"d": "prediction_failed"})
    finish(server, child)
    assert names_of(read(client, child)) == ["b", "d"]
    merged = read(client, batch, lineage=True)
    assert names_of(merged) == NAMES
    assert [line["status"] for line in merged] == ["succeeded", "succeeded", "succeeded", "errored", "succeeded"]
    assert [line["batch_id"] for line in merged] == [batch, child, batch, child, batch]
    groups = client.get(f"{PATH}/{batch}/failures", params={"lineage": True}).json()["data"]
    assert [(group["slug"], group["count"]) for group in groups] == [("prediction_failed", 1)]
    grandchild = retry(client, child).json()
    assert (grandchild["parent_id"], grandchild["root_id"]) == (child, batch)
    assert client.get(f"{PATH}/{grandchild['id']}/items/d").json()["root_index"] == 3
    work(server, grandchild["id"])
    finish(server, grandchild["id"])
    assert {line["status"] for line in read(client, batch, lineage=True)} == {"succeeded"}
    assert_problem(retry(client, batch), "conflict", error_code="INVALID_STATE")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, ["b", "d"]),
        ({"types": ["file_not_found"]}, ["d"]),
        ({"types": ["http://127.0.0.1:8080/errors/prediction_failed"]}, ["b"]),
        ({"custom_ids": ["b"]}, ["b"]),
        ({"types": ["file_not_found", "prediction_failed"], "custom_ids": ["d"]}, ["d"]),
    ],
)
def test_retry_takes_what_is_named(
    server: RunningServer, client: httpx2.Client, batch: str, body: dict[str, Any], expected: list[str]
) -> None:
    child = child_of(client, batch, **body)
    assert list(payloads(server, child)) == expected
    work(server, child)


def test_retry_looks_files_up_again_and_takes_replacements(server: RunningServer, client: httpx2.Client) -> None:
    def upload(name: str) -> str:
        return str(client.post("/v1/files", files={"file": (name, name.encode() * 9, "text/plain")}).json()["id"])

    rows = [
        {"custom_id": "file", "file_id": "file_none", "page": 3},
        {"custom_id": "page", "file_id": upload("a.txt"), "page": 2, "prompt": "old"},
        {"custom_id": "text", "input": "old", "prompt": "own"},
        {"custom_id": "turned", "input": {"k": 1}},
        {"custom_id": "same", "input": "x" * 100_000},
    ]
    batch = ended_with(server, client, rows)
    other = upload("b.txt")
    replace = [
        {"custom_id": "file", "file_id": other},
        {"custom_id": "page", "page": None, "prompt": None},
        {"custom_id": "text", "input": {"new": [1]}},
        {"custom_id": "turned", "file_id": other, "page": 1},
    ]
    answer = retry(client, batch, replace=replace, model="local/extract", prompt="again")
    assert_problem(answer, "validation_failed")
    answer = retry(client, batch, replace=replace, model="local/echo", prompt="again")
    assert answer.status_code == 200, answer.text
    child = answer.json()["id"]
    assert answer.json()["status"] == "validating"
    items = server.ledger.items(child)
    found = {name: json.loads(payload) for _, name, payload in items if not payload.startswith(b"@")}
    assert (found["file"]["file"]["filename"], found["file"]["page"]) == ("b.txt", 3)
    assert (found["page"]["file"]["filename"], found["page"]["page"], "prompt" in found["page"]) == (
        "a.txt",
        None,
        False,
    )
    assert found["text"] == {"input": {"new": [1]}, "prompt": "own"}
    assert (found["turned"]["file"]["id"], found["turned"]["page"]) == (other, 1)
    assert items[4] == server.ledger.items(batch)[4]
    assert json.loads(run_of(server, child).params)["prompt"] == "again"
    client.post(f"{PATH}/{child}/cancel")


def ended_with(server: RunningServer, client: httpx2.Client, rows: Sequence[dict[str, Any]]) -> str:
    """A batch of these items, all of which failed."""
    run_id = client.post(PATH, json={"items": rows, "model": "local/echo"}).json()["id"]
    if run_of(server, run_id).state == "validating":
        server.ledger.start(run_id)
    work(server, run_id, {row["custom_id"]: "prediction_failed" for row in rows})
    finish(server, run_id)
    return str(run_id)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"types": ["no_such_type"]}, "/types/0"),
        ({"custom_ids": ["b", "a"]}, "/custom_ids/1"),
        ({"custom_ids": ["nobody"]}, "/custom_ids/0"),
        ({"replace": [{"custom_id": "a", "input": 1}]}, "/replace/0/custom_id"),
        ({"replace": [{"custom_id": "b", "input": 1}, {"custom_id": "b", "input": 2}]}, "/replace/1/custom_id"),
        ({"replace": [{"custom_id": "b", "page": 1}]}, "/replace/0/page"),
        ({"replace": [{"custom_id": "b"}]}, "/replace/0"),
        ({"replace": [{"custom_id": "b", "url": "file:///etc/passwd"}]}, "/replace/0/url"),
        ({"replace": [{"custom_id": "b", "input": 1, "file_id": "f"}]}, "/replace/0"),
        ({"model": "local/none"}, "/model"),
        ({"colour": "red"}, "/colour"),
    ],
)
def test_bad_retries_are_refused_and_leave_nothing(
    server: RunningServer, client: httpx2.Client, batch: str, body: dict[str, Any], pointer: str
) -> None:
    answer = retry(client, batch, **body)
    assert_problem(answer, "validation_failed")
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
    assert server.ledger.children(batch) == []
    assert server.ledger.abandon_receiving() == 0


@pytest.mark.parametrize(
    "body",
    [
        b'{"custom_ids": ["\\ud800"]}',
        b'{"types": ["\\udfff"]}',
        b'{"prompt": "\\ud800"}',
        b'{"replace": [{"custom_id": "b", "input": {"\\ud800": 1}}]}',
        b'{"replace": [{"custom_id": "b", "input": NaN}]}',
    ],
)
def test_retry_with_what_is_no_json_is_malformed(client: httpx2.Client, batch: str, body: bytes) -> None:
    answer = client.post(f"{PATH}/{batch}/retry", content=body, headers={"content-type": "application/json"})
    assert_problem(answer, "malformed_request")


def test_retrying_what_an_unfinished_child_holds_is_refused(
    server: RunningServer, client: httpx2.Client, batch: str
) -> None:
    child = child_of(client, batch, custom_ids=["b"])
    refused = assert_problem(retry(client, batch), "conflict", error_code="INVALID_STATE")
    assert refused["custom_ids"] == ["b"]
    assert_problem(retry(client, child), "conflict", error_code="INVALID_STATE")
    other = child_of(client, batch, custom_ids=["d"])
    for run_id in (child, other):
        client.post(f"{PATH}/{run_id}/cancel")
        stop(server, run_id)
    both = child_of(client, batch)
    assert list(payloads(server, both)) == ["b", "d"]
    client.post(f"{PATH}/{both}/cancel")


def test_two_retries_at_once_make_one_child(server: RunningServer, client: httpx2.Client, batch: str) -> None:
    answers: list[int] = []

    def send() -> None:
        with server.client() as own:
            answers.append(retry(own, batch).status_code)

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [200, 409, 409, 409]
    assert len(server.ledger.children(batch)) == 1
    client.post(f"{PATH}/{server.ledger.children(batch)[0].id}/cancel")


def test_retry_under_a_key_makes_one_child(server: RunningServer, client: httpx2.Client, batch: str) -> None:
    key = {"Idempotency-Key": f"retry-{batch}"}
    first = client.post(f"{PATH}/{batch}/retry", json={}, headers=key)
    again = client.post(f"{PATH}/{batch}/retry", json={}, headers=key)
    assert (first.content, again.headers["idempotency-replayed"]) == (again.content, "true")
    other = client.post(f"{PATH}/{batch}/retry", json={"types": ["file_not_found"]}, headers=key)
    assert_problem(other, "conflict", error_code="IDEMPOTENCY_CONFLICT")
    client.post(f"{PATH}/{first.json()['id']}/cancel")


def test_retry_without_a_body_takes_everything_that_failed(
    server: RunningServer, client: httpx2.Client, batch: str
) -> None:
    answer = client.post(f"/v1/runs/{batch}/retry")
    assert (answer.status_code, answer.json()["object"]) == (200, "run")
    assert answer.json()["request_counts"]["total"] == 2
    client.post(f"{PATH}/{answer.json()['id']}/cancel")


def test_child_keeps_the_mode_and_settings_of_its_parent(server: RunningServer, client: httpx2.Client) -> None:
    with server.client(server.new_key(mode="test", workspace=None)) as tester:
        options = {"metadata": {"k": "v"}, "completion_window": "2h", "failure_tolerance": 0.9, "priority": 2}
        batch = ended(server, tester, NAMES, FAILING, **options)
    child = run_of(server, child_of(client, batch))
    assert (child.mode, child.metadata, child.completion_window) == ("test", {"k": "v"}, "2h")
    assert (child.failure_tolerance, child.priority, child.model) == (0.9, 2, "local/echo")
    client.post(f"{PATH}/{child.id}/cancel")


def test_member_changes_its_own_and_admin_that_of_others(server: RunningServer, client: httpx2.Client) -> None:
    with server.client(server.new_key("member")) as member, server.client(server.new_key("admin")) as admin:
        mine, others = create(member, NAMES), create(client, NAMES)
        refused = member.post(f"{PATH}/{others}/cancel")
        assert_problem(
            refused, "insufficient_permissions", detail="You do not have permission to cancel this batch prediction"
        )
        assert member.post(f"{PATH}/{mine}/cancel").status_code == 200
        assert_problem(member.post(f"{PATH}/{mine}/expire"), "insufficient_permissions")
        assert_problem(member.post(f"/v1/runs/{mine}/purge"), "insufficient_permissions")
        assert admin.post(f"{PATH}/{others}/cancel").status_code == 200
        stop(server, mine)
        stop(server, others)
        assert admin.post(f"/v1/runs/{mine}/purge").status_code == 200
