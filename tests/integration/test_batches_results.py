"""Results of batch predictions over HTTP: streams, their filters and formats, manifest, failures and records."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pyarrow.parquet as pq
import pytest

from amends.ledger import Commit, FailedAttempt, Outcome
from amends.server.wire import Failures, ItemObject, ManifestObject
from tests.batches import PATH, create, ended, finish, names_of, read, run_of, work
from tests.ledgers import claim, leased, success
from tests.problem_shape import assert_problem
from tests.servers import RunningServer, running_server

NAMES = ["a", "b", "c", "d", "e"]
FAILING = {"b": "prediction_failed", "d": "file_not_found"}
SCHEMA = {"type": "object", "properties": {"input": {"type": "object"}}}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("server") / "data", engine=None) as running:
        yield running


@pytest.fixture(scope="module")
def batch(server: RunningServer, client: httpx2.Client) -> str:
    return ended(server, client, NAMES, FAILING, output_schema=SCHEMA)


@pytest.fixture
def running(server: RunningServer, client: httpx2.Client) -> Iterator[str]:
    """A batch of which a, b and d have ended."""
    run_id = create(client, NAMES)
    lease = claim(server.ledger)
    by_name = {item.custom_id: item for item in leased(lease)}
    server.ledger.commit(Commit(lease.id, [success(run_id, by_name[name]) for name in ("d", "a", "b")]))
    yield run_id
    server.ledger.commit(Commit(lease.id, final=True))
    work(server, run_id)
    finish(server, run_id)


def test_lines_come_in_order_of_submission_with_the_promised_members(client: httpx2.Client, batch: str) -> None:
    lines = read(client, batch)
    assert names_of(lines) == NAMES
    assert [line["status"] for line in lines] == ["succeeded", "errored", "succeeded", "errored", "succeeded"]
    first, second = lines[:2]
    assert list(first)[:6] == ["object", "batch_id", "custom_id", "status", "output", "error"]
    assert (first["object"], first["batch_id"], first["error"]) == ("batch_prediction.result", batch, None)
    assert first["output"] == {"input": {"text": "a"}}
    assert second["output"] is None
    assert second["error"]["instance"] == f"{PATH}/{batch}/items/b"


def test_complete_stream_carries_its_digest(client: httpx2.Client, batch: str) -> None:
    answer = client.get(f"{PATH}/{batch}/results")
    digest = hashlib.sha256(answer.content)
    assert answer.headers["repr-digest"] == f"sha-256=:{base64.b64encode(digest.digest()).decode()}:"
    assert answer.headers["etag"] == f'"{digest.hexdigest()}"'
    manifest = ManifestObject.model_validate(client.get(f"{PATH}/{batch}/manifest").json())
    assert (manifest.lines, manifest.sha256) == (5, digest.hexdigest())
    assert manifest.sections == [digest.hexdigest()]
    assert (manifest.request_counts.succeeded, manifest.request_counts.errored) == (3, 2)
    known = client.get(f"{PATH}/{batch}/results", headers={"If-None-Match": f'"x", W/"{digest.hexdigest()}"'})
    assert (known.status_code, known.content) == (304, b"")
    assert known.headers["vary"] == "Accept"


@pytest.mark.parametrize("query", [{"status": "errored"}, {"after": "a"}, {"order": "completion"}, {"lineage": True}])
def test_part_of_a_stream_carries_no_digest(client: httpx2.Client, batch: str, query: dict[str, Any]) -> None:
    answer = client.get(f"{PATH}/{batch}/results", params=query)
    assert answer.status_code == 200
    assert not {"etag", "repr-digest"} & set(answer.headers)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"after": "b"}, "cde"),
        ({"after": "e"}, ""),
        ({"status": "errored"}, "bd"),
        ({"status": "errored", "after": "a"}, "bd"),
        ({"status": "errored", "after": "b"}, "d"),
        ({"status": "succeeded", "after": "b"}, "ce"),
        ({"status": "canceled"}, ""),
        ({"lineage": True, "after": "c"}, "de"),
        ({"order": "completion", "after": "2"}, "de"),
        ({"partial": True}, "abcde"),
    ],
)
def test_after_is_right_under_every_filter(
    client: httpx2.Client, batch: str, query: dict[str, Any], expected: str
) -> None:
    assert names_of(read(client, batch, **query)) == list(expected)


@pytest.mark.parametrize(
    "query",
    [
        {"after": "nobody"},
        {"order": "completion", "after": "a"},
        {"order": "completion", "after": "9" * 30},
        {"order": "completion", "lineage": True},
        {"order": "random"},
        {"status": "processing"},
        {"partial": "perhaps"},
    ],
)
def test_bad_queries_are_refused(client: httpx2.Client, batch: str, query: dict[str, Any]) -> None:
    assert_problem(client.get(f"{PATH}/{batch}/results", params=query), "validation_failed")


def test_results_before_the_end_are_refused_unless_a_part_is_asked_for(client: httpx2.Client, running: str) -> None:
    assert_problem(client.get(f"{PATH}/{running}/results"), "conflict", error_code="INVALID_STATE")
    assert_problem(client.get(f"{PATH}/{running}/manifest"), "conflict", error_code="INVALID_STATE")
    assert names_of(read(client, running, partial=True)) == ["a", "b"]
    assert names_of(read(client, running, partial=True, status="errored")) == []


def test_cursor_of_a_line_leads_on_in_the_order_of_completion(
    server: RunningServer, client: httpx2.Client, running: str
) -> None:
    lines = read(client, running, order="completion")
    assert sorted(names_of(lines)) == ["a", "b", "d"]
    assert names_of(read(client, running, order="completion", after=lines[1]["cursor"])) == names_of(lines)[2:]
    assert read(client, running, order="completion", after=lines[2]["cursor"]) == []


def test_part_of_a_limited_batch_is_readable_while_it_waits(server: RunningServer, client: httpx2.Client) -> None:
    run_id = create(client, NAMES, limit_items=2)
    work(server, run_id)
    assert not server.ledger.finalize(run_id)
    waiting = client.get(f"{PATH}/{run_id}").json()
    assert (waiting["status"], waiting["paused_reason"]) == ("in_progress", "limit")
    assert waiting["request_counts"]["processing"] == 3
    assert names_of(read(client, run_id)) == ["a", "b"]
    extended = client.post(f"{PATH}/{run_id}/extend")
    assert (extended.status_code, extended.json()["paused_reason"]) == (200, None)
    assert_problem(client.post(f"{PATH}/{run_id}/extend"), "conflict", error_code="INVALID_STATE")
    work(server, run_id)
    finish(server, run_id)
    assert names_of(read(client, run_id)) == NAMES


def test_sampled_lines_are_readable_wherever_they_stand(server: RunningServer, client: httpx2.Client) -> None:
    names = [f"n{number:02}" for number in range(40)]
    run_id = create(client, names, sample={"n": 5, "seed": 3})
    work(server, run_id)
    server.ledger.finalize(run_id)
    drawn = names_of(read(client, run_id))
    assert len(drawn) == 5
    assert drawn == sorted(drawn) != names[:5]
    cancelled = client.post(f"{PATH}/{run_id}/cancel").json()
    assert cancelled["status"] == "cancelling"


def test_csv_and_parquet_hold_the_same_rows(client: httpx2.Client, batch: str) -> None:
    answer = client.get(f"{PATH}/{batch}/results", headers={"Accept": "text/csv"})
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.text, newline="")))
    parquet = client.get(f"{PATH}/{batch}/results", headers={"Accept": "application/vnd.apache.parquet"})
    assert parquet.headers["content-type"] == "application/vnd.apache.parquet"
    table = pq.read_table(io.BytesIO(parquet.content)).to_pylist()
    assert [{name: value or "" for name, value in row.items()} for row in table] == rows
    assert list(rows[0]) == ["custom_id", "status", "input", "error_type", "error_detail"]
    assert rows[0]["input"] == '{"text":"a"}'
    assert (rows[1]["error_type"], rows[1]["error_detail"]) == ("prediction_failed", "b did not work")


def test_other_formats_are_not_acceptable(client: httpx2.Client, batch: str) -> None:
    assert_problem(client.get(f"{PATH}/{batch}/results", headers={"Accept": "image/png"}), "not_acceptable")
    assert client.get(f"{PATH}/{batch}", headers={"Accept": "image/png"}).status_code == 200


def test_line_kept_as_a_blob_is_filled_in(server: RunningServer, client: httpx2.Client) -> None:
    run_id = create(client, ["a", "big", "c"])
    lease = claim(server.ledger)
    outcomes = []
    for item in leased(lease):
        outcome = success(run_id, item, b'{"text":"%b"}' % (b"x" * (100_000 if item.custom_id == "big" else 1)))
        if item.custom_id == "big":
            blob = server.owner.services.blobs.put(outcome.line)
            outcome = Outcome(outcome.seq, "succeeded", None, 1, 5, b"@" + blob.sha256.encode())
        outcomes.append(outcome)
    server.ledger.commit(Commit(lease.id, outcomes))
    finish(server, run_id)
    lines = read(client, run_id)
    assert [len(line["output"]["text"]) for line in lines] == [1, 100_000, 1]
    answer = client.get(f"{PATH}/{run_id}/results")
    assert answer.headers["etag"] == f'"{hashlib.sha256(answer.content).hexdigest()}"'
    assert names_of(read(client, run_id, order="completion")) == ["a", "big", "c"]
    rows = client.get(f"{PATH}/{run_id}/results", headers={"Accept": "text/csv"}).text.splitlines()
    assert len(rows) == 4
    assert client.get(f"{PATH}/{run_id}/items/big").json()["outcome"] == lines[1]


def test_long_stream_is_complete(server: RunningServer, client: httpx2.Client) -> None:
    names = [f"item-{number}" for number in range(30_000)]
    run_id = ended(server, client, names)
    with client.stream("GET", f"{PATH}/{run_id}/results") as answer:
        digest, lines = hashlib.sha256(), 0
        for piece in answer.iter_bytes():
            digest.update(piece)
            lines += piece.count(b"\n")
    manifest = client.get(f"{PATH}/{run_id}/manifest").json()
    assert (lines, digest.hexdigest(), len(manifest["sections"])) == (30_000, manifest["sha256"], 3)
    assert len(read(client, run_id, after="item-29990")) == 9


def test_failures_are_grouped_with_what_to_do(server: RunningServer, client: httpx2.Client, batch: str) -> None:
    failing = {f"n{number}": "file_not_found" for number in range(6)} | {"x": "prediction_failed"}
    run_id = ended(server, client, [*failing, "good"], failing)
    for path in (PATH, "/v1/runs"):
        answer = client.get(f"{path}/{run_id}/failures").json()
        found = Failures.model_validate(answer)
        assert [(group.slug, group.count) for group in found.data] == [("file_not_found", 6), ("prediction_failed", 1)]
        assert found.total == 7
        assert found.data[0].type == f"{server.base_url}/errors/file_not_found"
        assert found.data[0].remedy["hint"]
        assert [example.custom_id for example in found.data[0].examples] == ["n0", "n1", "n2"]
        assert found.data[1].examples[0].detail == "x did not work"


def test_record_of_an_item_holds_everything(server: RunningServer, client: httpx2.Client) -> None:
    name = "folder/ä b%2F.pdf"
    run_id = create(client, [name])
    path = f"{PATH}/{run_id}/items/folder%2F%C3%A4%20b%252F.pdf"
    assert client.get(path).json()["status"] == "pending"
    lease = claim(server.ledger)
    attempt = FailedAttempt(0, 1, 1_700_000_000.0, b'{"detail":"busy"}')
    server.ledger.commit(Commit(lease.id, attempts=[attempt]))
    assert client.get(path).json()["status"] == "leased"
    server.ledger.commit(Commit(lease.id, [success(run_id, item) for item in leased(lease)]))
    finish(server, run_id)
    record = client.get(path).json()
    item = ItemObject.model_validate(record)
    assert (item.custom_id, item.index, item.status, item.item) == (name, 0, "succeeded", {"input": {"text": name}})
    assert [(one.number, one.at, one.error) for one in item.attempts] == [
        (1, "2023-11-14T22:13:20.000Z", {"detail": "busy"})
    ]
    assert record["outcome"] == read(client, run_id)[0]
    assert_problem(client.get(f"{PATH}/{run_id}/items/none"), "resource_not_found", detail="Item not found")


def test_purged_results_are_gone_and_the_batch_remains(server: RunningServer, client: httpx2.Client) -> None:
    run_id = ended(server, client, NAMES, FAILING)
    running = create(client, ["z"])
    assert_problem(client.post(f"/v1/runs/{running}/purge"), "conflict", error_code="INVALID_STATE")
    work(server, running)
    finish(server, running)
    purged = client.post(f"/v1/runs/{run_id}/purge")
    assert purged.json()["status"] == "completed"
    assert client.post(f"{PATH}/{run_id}/purge").status_code == 200
    sentence = "Batch prediction results are no longer available because they were deleted after the retention period."
    for path in ("results", "failures"):
        assert_problem(client.get(f"{PATH}/{run_id}/{path}"), "results_gone", detail=sentence)
    assert client.get(f"{PATH}/{run_id}").json()["request_counts"]["succeeded"] == 3
    assert client.get(f"{PATH}/{run_id}/manifest").json()["lines"] == 5
    assert client.get(f"{PATH}/{run_id}/items/a").json()["outcome"] is None
    assert run_of(server, run_id).lines_deleted_at is not None


@pytest.mark.parametrize("purged", ["root", "retry"])
def test_merged_stream_that_would_lack_lines_is_gone(server: RunningServer, client: httpx2.Client, purged: str) -> None:
    runs = {"root": ended(server, client, NAMES, FAILING)}
    runs["retry"] = client.post(f"{PATH}/{runs['root']}/retry", json={"custom_ids": ["b"]}).json()["id"]
    work(server, runs["retry"])
    finish(server, runs["retry"])
    assert client.post(f"{PATH}/{runs.pop(purged)}/purge").status_code == 200
    (other,) = runs.values()
    assert_problem(client.get(f"{PATH}/{other}/results?lineage=true"), "results_gone")
    assert read(client, other)


def test_stream_whose_lines_are_deleted_meanwhile_breaks_off(server: RunningServer, client: httpx2.Client) -> None:
    names = [f"{index:06}" for index in range(60_000)]
    run_id = ended(server, client, names)
    with server.client() as other, client.stream("GET", f"{PATH}/{run_id}/results") as answer:
        assert answer.status_code == 200
        assert other.post(f"{PATH}/{run_id}/purge").status_code == 200
        with pytest.raises(httpx2.RemoteProtocolError):
            answer.read()


def test_conservation_can_be_asked_for(client: httpx2.Client, running: str) -> None:
    assert client.get(f"/v1/runs/{running}/conservation").json() == {
        "object": "run.conservation", "run_id": running, "holds": True,
        "total": 5, "outcomes": 3, "deferred": 0, "pending": 0, "leased": 2,
    }  # fmt: skip


def test_run_object_says_its_kind(client: httpx2.Client, batch: str) -> None:
    run = client.get(f"/v1/runs/{batch}").json()
    whole = client.get(f"{PATH}/{batch}").json()
    assert run == {**whole, "object": "run", "kind": "predict"}
    assert whole["results_url"].endswith(f"{PATH}/{batch}/results")
    assert (
        json.loads(httpx2.get(whole["results_url"], headers=dict(client.headers)).text.split("\n")[0])["custom_id"]
        == "a"
    )
