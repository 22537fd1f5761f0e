"""Batch predictions from creation to the last line, with real workers."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from tests.batches import PATH, names_of, read
from tests.servers import RunningServer, running_server

ENDED = ("completed", "failed", "cancelled", "expired")
SCHEMA = {"type": "object", "properties": {"invoice_number": {"type": "string"}}, "required": ["invoice_number"]}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("server") / "data") as running:
        yield running


def settled(client: httpx2.Client, run_id: str, *, paused: str | None = None) -> dict[str, Any]:
    """The batch when it has ended, or waits for ``paused``. The counts sum whenever it is looked at."""
    end = time.monotonic() + 60
    while True:
        batch: dict[str, Any] = client.get(f"{PATH}/{run_id}").json()
        counts = batch["request_counts"]
        assert counts["total"] == sum(number for name, number in counts.items() if name != "total")
        if batch["status"] in ENDED or (paused and batch["paused_reason"] == paused):
            return batch
        assert time.monotonic() < end, batch
        time.sleep(0.02)


def create(client: httpx2.Client, rows: list[dict[str, Any]], **parameters: Any) -> str:
    answer = client.post(PATH, json={"items": rows, "model": "local/echo", **parameters})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


def file_rows(client: httpx2.Client) -> list[dict[str, Any]]:
    content = b"Invoice number: X-17\nTotal: 12.50 EUR\n"
    file = client.post("/v1/files", files={"file": ("a.txt", content, "text/plain")}).json()["id"]
    return [
        {"custom_id": "file", "file_id": file},
        {"custom_id": "missing", "file_id": "file_none"},
        {"custom_id": "page", "file_id": file, "page": 7},
        {"custom_id": "text", "input": "Invoice number: 99"},
        {"custom_id": "absent", "input": "Nothing of the kind"},
    ]


def test_bad_items_fail_alone_and_the_others_succeed(client: httpx2.Client) -> None:
    run_id = create(client, file_rows(client), model="local/extract", output_schema=SCHEMA)
    assert settled(client, run_id)["request_counts"]["succeeded"] == 2
    lines = {line["custom_id"]: line for line in read(client, run_id)}
    assert lines["file"]["output"] == {"invoice_number": "X-17"}
    assert lines["file"]["evidence"] == {"/invoice_number": {"page": 1, "start": 16, "end": 20}}
    errors = {name: line["error"]["code"] for name, line in lines.items() if line["error"]}
    assert errors == {
        "missing": "file_not_found", "page": "unsupported_file_format", "absent": "prediction_failed",
    }  # fmt: skip
    sentence = "File 'file_none' does not exist or is not accessible from this workspace."
    assert lines["missing"]["error"]["detail"] == sentence


def test_failed_items_succeed_once_their_cause_is_mended(client: httpx2.Client) -> None:
    run_id = create(client, file_rows(client), model="local/extract", output_schema=SCHEMA)
    settled(client, run_id)
    replace = [
        {"custom_id": "missing", "input": "Invoice number: 1"},
        {"custom_id": "page", "page": None},
        {"custom_id": "absent", "input": "Invoice number: 2"},
    ]
    child = client.post(f"{PATH}/{run_id}/retry", json={"replace": replace}).json()["id"]
    assert settled(client, child)["request_counts"]["succeeded"] == 3
    merged = read(client, run_id, lineage=True)
    assert names_of(merged) == ["file", "missing", "page", "text", "absent"]
    assert {line["status"] for line in merged} == {"succeeded"}


def test_one_bad_item_fails_a_strict_batch(client: httpx2.Client) -> None:
    run_id = create(client, file_rows(client), model="local/extract", output_schema=SCHEMA, validation="strict")
    batch = settled(client, run_id)
    assert (batch["status"], batch["error"]["code"]) == ("failed", "validation_error")
    assert [error["custom_id"] for error in batch["error"]["errors"]] == ["missing", "page"]
    codes = [line["error"]["code"] for line in read(client, run_id)]
    assert codes == [
        "batch_validation_failed", "file_not_found", "unsupported_file_format", "batch_validation_failed",
        "batch_validation_failed",
    ]  # fmt: skip


def test_limited_batch_waits_and_goes_on(client: httpx2.Client) -> None:
    rows = [{"custom_id": str(number), "input": number} for number in range(50)]
    run_id = create(client, rows, limit_items=10)
    waiting = settled(client, run_id, paused="limit")
    assert (waiting["status"], waiting["request_counts"]["succeeded"]) == ("in_progress", 10)
    assert len(read(client, run_id)) == 10
    client.post(f"{PATH}/{run_id}/extend")
    assert settled(client, run_id)["request_counts"]["succeeded"] == 50


def test_stream_is_what_the_manifest_sums_up_large_lines_included(client: httpx2.Client) -> None:
    rows = [
        {"custom_id": f"n{number}", "input": "x" * 70_000 if number % 10 == 0 else {"n": number}}
        for number in range(500)
    ]
    run_id = create(client, rows)
    settled(client, run_id)
    answer = client.get(f"{PATH}/{run_id}/results")
    manifest = client.get(f"{PATH}/{run_id}/manifest").json()
    assert hashlib.sha256(answer.content).hexdigest() == manifest["sha256"]
    lines = read(client, run_id)
    assert [line["output"] for line in lines] == [
        {"text": row["input"]} if isinstance(row["input"], str) else row["input"] for row in rows
    ]
    by_completion = read(client, run_id, order="completion")
    assert sorted(names_of(by_completion)) == sorted(names_of(lines))


def test_streamed_batch_is_answered_whole(client: httpx2.Client) -> None:
    content = b'{"model":"local/echo"}\n' + b"".join(
        b'{"custom_id":"%d","input":{"n":%d}}\n' % (n, n) for n in range(20_000)
    )
    answer = client.post(PATH, content=content, headers={"Content-Type": "application/x-ndjson"})
    run_id = answer.json()["id"]
    assert settled(client, run_id)["request_counts"]["succeeded"] == 20_000
    lines = read(client, run_id)
    assert [line["output"]["n"] for line in lines] == list(range(20_000))
    assert client.get(f"/v1/runs/{run_id}/conservation").json()["holds"]


def test_cancelled_batch_ends_with_every_item_accounted_for(client: httpx2.Client) -> None:
    rows = [{"custom_id": str(number), "input": number} for number in range(20_000)]
    run_id = create(client, rows)
    client.post(f"{PATH}/{run_id}/cancel")
    batch = settled(client, run_id)
    assert batch["status"] == "cancelled"
    lines = read(client, run_id)
    assert len(lines) == 20_000
    assert {line["status"] for line in lines} <= {"succeeded", "canceled"}
