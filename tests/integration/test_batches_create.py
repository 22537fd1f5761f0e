"""Creating batch predictions over HTTP: what is accepted, what is refused, and that nothing is done twice."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from amends.server.wire import BatchPrediction
from tests.problem_shape import assert_problem
from tests.servers import RunningServer, running_server

PATH = "/v1/batch-predictions"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("server") / "data", engine=None) as running:
        yield running


def items(count: int) -> list[dict[str, Any]]:
    return [{"custom_id": f"c{n}", "input": {"n": n}} for n in range(count)]


def body(count: int = 2, **changes: Any) -> dict[str, Any]:
    return {"items": items(count), "model": "local/echo", **changes}


def ndjson(parameters: dict[str, Any], rows: list[Any]) -> dict[str, Any]:
    content = b"".join(
        (row if isinstance(row, bytes) else json.dumps(row).encode()) + b"\n" for row in (parameters, *rows)
    )
    return {"content": content, "headers": {"Content-Type": "application/x-ndjson"}}


def payloads(server: RunningServer, run_id: str) -> list[tuple[str, Any]]:
    rows = server.ledger.items(run_id)
    return [(custom_id, json.loads(payload)) for _, custom_id, payload in rows]


def test_batch_is_answered_with_exactly_the_promised_fields(server: RunningServer, client: httpx2.Client) -> None:
    answer = client.post(PATH, json=body(3, metadata={"k": "v"}))
    assert answer.status_code == 200
    batch = BatchPrediction.model_validate(answer.json(), strict=True)
    assert batch.status == "in_progress"
    assert batch.completion_window == "24h"
    assert batch.request_counts.model_dump() == {
        "total": 3, "processing": 3, "succeeded": 0, "errored": 0, "canceled": 0, "expired": 0,
    }  # fmt: skip
    assert (batch.results_url, batch.error, batch.parent_id, batch.root_id) == (None, None, None, batch.id)
    assert client.get(f"{PATH}/{batch.id}").json() == answer.json()
    assert payloads(server, batch.id) == [(f"c{n}", {"input": {"n": n}}) for n in range(3)]


def test_ndjson_makes_the_same_batch(server: RunningServer, client: httpx2.Client) -> None:
    answer = client.post(PATH, **ndjson({"model": "local/echo"}, items(25_000)))
    assert answer.json()["request_counts"]["total"] == 25_000
    found = payloads(server, answer.json()["id"])
    assert found[0] == ("c0", {"input": {"n": 0}})
    assert found[9_999] == ("c9999", {"input": {"n": 9_999}})


def test_batch_with_files_is_validated_first_and_unknown_ones_travel(
    server: RunningServer, client: httpx2.Client
) -> None:
    file = client.post("/v1/files", files={"file": ("a.txt", b"hello", "text/plain")}).json()
    rows = [
        {"custom_id": "a", "file_id": file["id"], "prompt": "p"},
        {"custom_id": "b", "file_id": "file_none", "page": 2},
    ]
    answer = client.post(PATH, json=body(items=rows)).json()
    assert answer["status"] == "validating"
    (_, first), (_, second) = payloads(server, answer["id"])
    assert first["file"] == {
        "id": file["id"], "sha256": file["sha256"], "media_type": "text/plain", "pages": None, "filename": "a.txt", "bytes": 5,
    }  # fmt: skip
    assert first["prompt"] == "p"
    assert second == {"file": {"id": "file_none", "sha256": None}, "page": 2}


def test_parameters_reach_the_ledger(server: RunningServer, client: httpx2.Client) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    changes = {
        "prompt": "Read it", "output_schema": schema, "completion_window": "90m", "validation": "strict", "priority": 3,
        "failure_tolerance": 0.5, "sample": {"n": 2, "seed": 9}, "on_credit_exhausted": "fail", "max_cost": 0,
    }  # fmt: skip
    answer = client.post(PATH, json=body(5, **changes)).json()
    run = server.ledger.get(answer["id"])
    assert run is not None
    assert json.loads(run.params) == {"model": "local/echo", "prompt": "Read it", "output_schema": schema}
    assert (run.validation, run.priority, run.failure_tolerance, run.state) == ("strict", 3, 0.5, "validating")
    assert (answer["completion_window"], run.deadline) == ("90m", pytest.approx(run.created_at + 5_400))
    assert run.held == 3
    assert run.request_id


def test_large_input_is_kept_as_a_blob(server: RunningServer, client: httpx2.Client) -> None:
    text = "x" * 100_000
    answer = client.post(PATH, json=body(items=[{"custom_id": "a", "input": text}])).json()
    payload = server.ledger.items(answer["id"])[0][2]
    assert payload.startswith(b"@")
    record = client.get(f"{PATH}/{answer['id']}/items/a").json()
    assert record["item"] == {"input": text}
    assert record["input_hash"] == payload[1:].decode()


def faults(answer: httpx2.Response) -> dict[str, str]:
    assert_problem(answer, "validation_failed", error_code="VALIDATION_ERROR")
    return {error["pointer"]: error["code"] for error in answer.json()["errors"]}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"items": []}, {"/items": "empty_items"}),
        ({"items": None}, {"/items": "list_type"}),
        ({"items": {"custom_id": "a"}}, {"/items": "list_type"}),
        ({"model": "local/none"}, {"/model": "unknown_model"}),
        ({"model": "gpt-4"}, {"/model": "unknown_model"}),
        ({"model": None}, {"/model": "string_type"}),
        ({"model": "local/extract"}, {"/output_schema": "missing"}),
        ({"output_schema": {"type": "array"}}, {"/output_schema": "invalid_schema"}),
        ({"output_schema": {}}, {"/output_schema": "invalid_schema"}),
        ({"output_schema": {"type": "object", "properties": {"a": {"type": "strin"}}}}, {"/output_schema/properties/a/type": "invalid_schema"}),
        ({"output_schema": {"type": "object", "properties": {"a": {"$ref": "http://127.0.0.1:9/x"}}}}, {"/output_schema": "invalid_schema"}),
        ({"output_schema": {"type": "object", "properties": {"a": {"$ref": "#/$defs/none"}}}}, {"/output_schema": "invalid_schema"}),
        ({"output_schema": "object"}, {"/output_schema": "dict_type"}),
        ({"completion_window": "14m"}, {"/completion_window": "completion_window"}),
        ({"completion_window": "8d"}, {"/completion_window": "completion_window"}),
        ({"completion_window": "soon"}, {"/completion_window": "completion_window"}),
        ({"metadata": {f"k{n}": "" for n in range(17)}}, {"/metadata": "too_long"}),
        ({"metadata": {"k" * 65: ""}}, {f"/metadata/{'k' * 65}": "string_too_long"}),
        ({"metadata": {"k": "v" * 513}}, {"/metadata/k": "string_too_long"}),
        ({"metadata": {"k": 1}}, {"/metadata/k": "string_type"}),
        ({"validation": "lax"}, {"/validation": "literal_error"}),
        ({"failure_tolerance": 1.1}, {"/failure_tolerance": "less_than_equal"}),
        ({"limit_items": 0}, {"/limit_items": "greater_than_equal"}),
        ({"limit_items": 1, "sample": {"n": 1}}, {"": "limit_and_sample"}),
        ({"sample": {"n": 1, "size": 2}}, {"/sample/size": "extra_forbidden"}),
        ({"priority": 1.5}, {"/priority": "int_type"}),
        ({"max_cost": -1}, {"/max_cost": "greater_than_equal"}),
        ({"on_credit_exhausted": "cry"}, {"/on_credit_exhausted": "literal_error"}),
        ({"colour": "red"}, {"/colour": "extra_forbidden"}),
        ({"dry_run": "yes"}, {"/dry_run": "bool_type"}),
        ({"items": [{"custom_id": "a", "url": "https://2130706433/x"}]}, {"/items/0/url": "invalid_url"}),
    ],
)  # fmt: skip
def test_what_cannot_be_honoured_is_refused(
    client: httpx2.Client, changes: dict[str, Any], expected: dict[str, str]
) -> None:
    assert faults(client.post(PATH, json=body(**changes))) == expected
    if isinstance(changes.get("items", []), list):
        parameters = {name: value for name, value in body(**changes).items() if name != "items"}
        assert faults(client.post(PATH, **ndjson(parameters, changes.get("items", items(1))))) == expected


def test_promised_sentences_stand_in_the_detail(client: httpx2.Client) -> None:
    empty = client.post(PATH, json=body(items=[]))
    assert empty.json()["detail"] == "items must contain at least one item"
    twice = client.post(PATH, json=body(items=[{"custom_id": "X", "input": 1}, {"custom_id": "X", "input": 2}]))
    assert twice.json()["detail"] == twice.json()["errors"][0]["message"] == "Duplicate custom_id 'X' in batch"


def test_all_faults_of_a_request_are_reported_at_once(client: httpx2.Client) -> None:
    rows = [{"custom_id": "a"}, {"custom_id": "a", "input": 1}, {"custom_id": "b", "input": 1, "page": 0}]
    answer = client.post(PATH, json={"items": rows, "priority": "high", "metadata": {"k": 1}})
    assert faults(answer) == {
        "/model": "missing", "/priority": "int_type", "/metadata/k": "string_type", "/items/0": "one_source",
        "/items/1/custom_id": "duplicate_custom_id", "/items/2/page": "greater_than_equal",
    }  # fmt: skip
    assert answer.json()["errors_total"] == 6


@pytest.mark.parametrize("is_streamed", [False, True])
def test_duplicates_are_named_with_their_place(client: httpx2.Client, is_streamed: bool) -> None:
    rows = [*items(12_000), {"custom_id": "c7", "input": 1}, {"custom_id": "c9", "input": 1}]
    answer = (
        client.post(PATH, **ndjson({"model": "local/echo"}, rows))
        if is_streamed
        else client.post(PATH, json=body(items=rows))
    )
    assert faults(answer) == {
        "/items/12000/custom_id": "duplicate_custom_id",
        "/items/12001/custom_id": "duplicate_custom_id",
    }
    assert [error["custom_id"] for error in answer.json()["errors"]] == ["c7", "c9"]


def test_bad_lines_are_named_to_the_thousandth(client: httpx2.Client) -> None:
    rows: list[Any] = [b"", *items(3), b"{oops", *[{"custom_id": ""}] * 2_000]
    answer = client.post(PATH, **ndjson({"model": "local/echo"}, rows))
    assert_problem(answer, "validation_failed")
    errors = answer.json()["errors"]
    assert (len(errors), answer.json()["errors_total"]) == (1_000, 2_002)
    assert [error["pointer"] for error in errors[:3]] == ["/items/0", "/items/4", "/items/5/custom_id"]


def test_nothing_is_left_of_a_refused_batch(server: RunningServer, client: httpx2.Client) -> None:
    before = client.get(PATH).json()["data"]
    client.post(PATH, **ndjson({"model": "local/echo"}, [*items(20_000), {"custom_id": "c1", "input": 1}]))
    assert client.get(PATH).json()["data"] == before
    assert server.ledger.abandon_receiving() == 0


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b'{"items": [NaN]}', b'{"model": "\\ud800"}'])
@pytest.mark.parametrize("media_type", ["application/json", "application/x-ndjson"])
def test_what_is_no_json_is_malformed(client: httpx2.Client, content: bytes, media_type: str) -> None:
    assert_problem(client.post(PATH, content=content, headers={"Content-Type": media_type}), "malformed_request")


def test_body_must_be_an_object(client: httpx2.Client) -> None:
    assert faults(client.post(PATH, json=[])) == {"": "dict_type"}


def test_other_media_types_are_refused(client: httpx2.Client) -> None:
    assert_problem(client.post(PATH, content=b"a,b", headers={"Content-Type": "text/csv"}), "unsupported_media_type")


def test_alias_is_echoed_as_it_was_given(tmp_path: Path) -> None:
    aliases = {"gpt-4o-mini": "local/echo", "lost": "local/none"}
    with running_server(tmp_path / "data", engine=None, models__aliases=aliases) as server, server.client() as client:
        batch = client.post(PATH, json=body(model="gpt-4o-mini")).json()
        assert batch["model"] == "gpt-4o-mini"
        run = server.ledger.get(batch["id"])
        assert run is not None
        assert json.loads(run.params)["model"] == "local/echo"
        assert faults(client.post(PATH, json=body(model="lost"))) == {"/model": "unknown_model"}


def test_line_above_the_limit_is_refused(tmp_path: Path) -> None:
    with (
        running_server(tmp_path / "data", engine=None, limits__ndjson_line_bytes=1_000) as server,
        server.client() as client,
    ):
        answer = client.post(PATH, **ndjson({"model": "local/echo"}, [{"custom_id": "a", "input": "x" * 1_001}]))
        assert_problem(answer, "payload_too_large")


def test_dry_run_says_what_would_fail_and_makes_nothing(server: RunningServer, client: httpx2.Client) -> None:
    before = client.get(PATH).json()["data"]
    file = client.post("/v1/files", files={"file": ("a.txt", b"hello", "text/plain")}).json()["id"]
    rows = [
        {"custom_id": "good", "file_id": file},
        {"custom_id": "none", "file_id": "file_none"},
        {"custom_id": "page", "file_id": file, "page": 3},
    ]
    for sent in ({"json": body(items=rows, dry_run=True)}, ndjson({"model": "local/echo", "dry_run": True}, rows)):
        sent["headers"] = {**sent.get("headers", {}), "Idempotency-Key": "dry"}
        answer = client.post(PATH, **sent)
        assert answer.status_code == 200, answer.text
        found = answer.json()
        assert set(found) == {"object", "request_counts", "cost", "errors"}
        assert (found["object"], found["cost"]) == ("batch_prediction.dry_run", 0)
        assert (found["request_counts"]["total"], found["request_counts"]["errored"]) == (3, 2)
        assert [(error["custom_id"], error["code"]) for error in found["errors"]] == [
            ("none", "file_not_found"),
            ("page", "unsupported_file_format"),
        ]
    twice = [{"custom_id": "a", "input": 1}] * 2
    assert_problem(client.post(PATH, **ndjson({"model": "local/echo", "dry_run": True}, twice)), "validation_failed")
    assert client.get(PATH).json()["data"] == before
    assert server.ledger.abandon_receiving() == 0


@pytest.mark.parametrize("is_streamed", [False, True])
def test_same_key_makes_one_batch(client: httpx2.Client, is_streamed: bool) -> None:
    key = {"Idempotency-Key": f"same-{is_streamed}"}

    def create(count: int) -> httpx2.Response:
        if is_streamed:
            sent = ndjson({"model": "local/echo"}, items(count))
            return client.post(PATH, content=sent["content"], headers={**sent["headers"], **key})
        return client.post(PATH, json=body(count), headers=key)

    first, second = create(3), create(3)
    assert first.content == second.content
    assert "idempotency-replayed" not in first.headers
    assert second.headers["idempotency-replayed"] == "true"
    assert_problem(create(4), "conflict", error_code="IDEMPOTENCY_CONFLICT")
    found = client.get(PATH, params={"idempotency_key": key["Idempotency-Key"]}).json()
    assert [batch["id"] for batch in found["data"]] == [first.json()["id"]]


def test_key_of_a_refused_batch_is_free_again(client: httpx2.Client) -> None:
    key = {"Idempotency-Key": "refused"}
    assert (
        client.post(
            PATH,
            **{**ndjson({"model": "local/echo"}, [b"{"]), "headers": {"Content-Type": "application/x-ndjson", **key}},
        ).status_code
        == 422
    )
    assert client.post(PATH, json=body(), headers=key).status_code == 200
    assert client.get(PATH, params={"idempotency_key": "unheard of"}).json()["data"] == []


def _open_create(server: RunningServer, key: str) -> socket.socket:
    """A connection on which a batch of 20,000 items is being sent, and stalls."""
    host, port = server.base_url.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)))
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server.key}\r\nIdempotency-Key: {key}\r\n"
    connection.sendall(f"{head}Content-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
    content = ndjson({"model": "local/echo"}, items(20_000))["content"]
    connection.sendall(b"%x\r\n%b\r\n" % (len(content), content))
    return connection


def _eventually(condition: Any) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_dropped_connection_leaves_no_run_and_a_free_key(server: RunningServer, client: httpx2.Client) -> None:
    before = client.get(PATH).json()["data"]
    key = {"Idempotency-Key": "dropped"}
    with _open_create(server, "dropped"):
        _eventually(lambda: client.post(PATH, json=body(), headers=key).status_code == 409)
        refused = client.post(PATH, json=body(), headers=key)
        assert_problem(refused, "conflict", error_code="IDEMPOTENCY_IN_PROGRESS")
        assert refused.headers["x-should-retry"] == "true"
    _eventually(lambda: server.ledger.abandon_receiving() == 0 and client.get(PATH).json()["data"] == before)
    _eventually(lambda: client.post(PATH, json=body(), headers=key).status_code == 200)


def test_viewer_may_read_and_not_create(server: RunningServer, client: httpx2.Client) -> None:
    batch = client.post(PATH, json=body()).json()
    with server.client(server.new_key("viewer")) as viewer:
        assert viewer.get(f"{PATH}/{batch['id']}").json() == batch
        refused = viewer.post(PATH, json=body())
        assert_problem(
            refused, "insufficient_permissions", detail="You do not have permission to create this batch prediction"
        )


def test_list_walks_all_batches_newest_first(server: RunningServer) -> None:
    with server.client(server.new_key(workspace="listed")) as client:
        made = [client.post(PATH, json=body()).json()["id"] for _ in range(5)]
        seen: list[str] = []
        page = client.get(PATH, params={"limit": 2}).json()
        while True:
            seen += [batch["id"] for batch in page["data"]]
            if not page["has_more"]:
                break
            assert page["next_cursor"] == seen[-1]
            page = client.get(PATH, params={"limit": 2, "after": page["next_cursor"]}).json()
        assert seen == made[::-1]
        assert page["next_cursor"] is None
        assert client.get(PATH, params={"after": made[3], "status": "in_progress"}).json()["data"][0]["id"] == made[2]
        assert client.get(PATH, params={"status": "completed"}).json()["data"] == []
        assert [run["object"] for run in client.get("/v1/runs", params={"limit": 1}).json()["data"]] == ["run"]


@pytest.mark.parametrize(
    "query", [{"limit": 0}, {"limit": 101}, {"limit": "x"}, {"after": "bpred_none"}, {"status": "receiving"}]
)
def test_bad_queries_are_refused(client: httpx2.Client, query: dict[str, Any]) -> None:
    assert_problem(client.get(PATH, params=query), "validation_failed")


def test_batch_of_another_workspace_is_as_unknown_as_a_made_up_one(
    server: RunningServer, client: httpx2.Client
) -> None:
    batch = client.post(PATH, json=body()).json()["id"]
    reads = ("", "/results", "/manifest", "/failures", "/items/c0")
    with server.client(server.new_key(workspace="elsewhere")) as stranger:
        for unknown in (batch, "bpred_none"):
            for path in reads:
                answer = stranger.get(f"{PATH}/{unknown}{path}")
                shown = assert_problem(answer, "resource_not_found", detail="Batch prediction not found")
                assert (shown["error_code"], shown["batch_prediction_id"]) == ("BATCH_PREDICTION_NOT_FOUND", unknown)
            for action in ("cancel", "extend", "retry", "expire", "purge"):
                assert_problem(stranger.post(f"{PATH}/{unknown}/{action}"), "resource_not_found")
                assert_problem(
                    stranger.post(f"/v1/runs/{unknown}/{action}"), "resource_not_found", detail="Run not found"
                )
            for path in ("", "/failures", "/conservation"):
                assert_problem(stranger.get(f"/v1/runs/{unknown}{path}"), "resource_not_found")
        assert_problem(stranger.get(PATH, params={"after": batch}), "validation_failed")
        file = client.post("/v1/files", files={"file": ("a.txt", b"hello", "text/plain")}).json()["id"]
        made = stranger.post(PATH, json=body(items=[{"custom_id": "a", "file_id": file}])).json()["id"]
        assert payloads(server, made)[0][1]["file"]["sha256"] is None


def test_items_are_hashed_as_they_are_processed(server: RunningServer, client: httpx2.Client) -> None:
    same = [client.post(PATH, json=body(items=[{"custom_id": name, "input": {"a": 1}}])).json()["id"] for name in "ab"]
    first, second = (server.ledger.item(run_id, name) for run_id, name in zip(same, "ab", strict=True))
    assert first is not None
    assert second is not None
    assert first.input_hash == second.input_hash
