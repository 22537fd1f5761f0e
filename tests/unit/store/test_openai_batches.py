"""Batches of OpenAI's surface in the store, on SQLite and on PostgreSQL."""

from __future__ import annotations

from typing import Any

from amends.database import Database
from amends.store import OpenAIBatch, Store, Written

NOW = 1_800_000_000.0
WRITTEN = Written("completed", {"total": 1, "completed": 1, "failed": 0}, {"completed_at": NOW}, "file_o", None)


def batch(batch_id: str, workspace_id: str = "ws_a", **changes: Any) -> OpenAIBatch:
    whole = {
        "id": batch_id,
        "workspace_id": workspace_id,
        "endpoint": "/v1/embeddings",
        "input_file_id": "file_i",
        "metadata": {"a": "é"},
        "mode": "live",
        "request_id": "req_1",
        "created_by": "key_1",
        "created_at": NOW,
        "deadline": NOW + 86_400,
        **changes,
    }
    return OpenAIBatch(**whole)


def add(database: Database, store: Store, *batches: OpenAIBatch) -> None:
    for each in batches:
        database.write(lambda tx, each=each: store.openai_batches.add(tx, each))


def test_a_batch_comes_back_as_it_was_added(database: Database, store: Store) -> None:
    added = batch("batch_1", output_seconds=3_600)
    add(database, store, added)
    assert store.openai_batches.get("batch_1") == added
    assert store.openai_batches.get("batch_2") is None


def test_a_workspaces_batches_are_listed_newest_first(database: Database, store: Store) -> None:
    add(database, store, batch("batch_1"), batch("batch_2", "ws_b"), batch("batch_3"))
    found = store.openai_batches.find("ws_a", limit=10)
    assert [each.id for each in found] == ["batch_3", "batch_1"]
    assert [each.id for each in store.openai_batches.find("ws_a", limit=10, after="batch_3")] == ["batch_1"]
    assert store.openai_batches.find("ws_a", limit=10, after="batch_1") == []


def test_it_goes_from_reading_to_running_to_written_once(database: Database, store: Store) -> None:
    add(database, store, batch("batch_1"))
    batches = store.openai_batches
    assert not database.write(lambda tx: batches.set_written(tx, "batch_1", WRITTEN))
    assert database.write(lambda tx: batches.set_running(tx, "batch_1", "local/minilm"))
    assert not database.write(lambda tx: batches.set_running(tx, "batch_1", "local/minilm"))
    assert not database.write(lambda tx: batches.ask_to_cancel(tx, "batch_1"))
    assert [each.state for each in batches.unfinished()] == ["running"]
    assert database.write(lambda tx: batches.set_written(tx, "batch_1", WRITTEN))
    assert not database.write(lambda tx: batches.set_written(tx, "batch_1", WRITTEN))
    found = batches.get("batch_1")
    assert found is not None
    assert (found.state, found.status, found.model, found.output_file_id) == (
        "written", "completed", "local/minilm", "file_o",
    )  # fmt: skip
    assert (found.counts, found.times) == (WRITTEN.counts, WRITTEN.times)
    assert batches.unfinished() == []


def test_a_wish_to_cancel_keeps_it_from_running(database: Database, store: Store) -> None:
    add(database, store, batch("batch_1"))
    batches = store.openai_batches
    assert database.write(lambda tx: batches.ask_to_cancel(tx, "batch_1"))
    assert not database.write(lambda tx: batches.set_running(tx, "batch_1", "m"))
    database.write(lambda tx: batches.end_cancelled(tx, "batch_1"))
    found = batches.get("batch_1")
    assert found is not None
    assert (found.state, found.cancelling_at, found.ended_at) == ("cancelled", NOW, NOW)


def test_faults_of_its_input_are_kept(database: Database, store: Store) -> None:
    add(database, store, batch("batch_1"))
    faults = [{"code": "url_mismatch", "line": 3, "message": "é", "param": "url"}]
    database.write(lambda tx: store.openai_batches.fail(tx, "batch_1", faults))
    found = store.openai_batches.get("batch_1")
    assert found is not None
    assert (found.state, list(found.errors)) == ("failed", faults)


def test_those_that_ended_long_ago_are_forgotten(database: Database, store: Store) -> None:
    add(database, store, batch("batch_1"), batch("batch_2"))
    database.write(lambda tx: store.openai_batches.fail(tx, "batch_1", []))
    assert database.write(lambda tx: store.openai_batches.delete_outdated(tx, before=NOW)) == 0
    assert database.write(lambda tx: store.openai_batches.delete_outdated(tx, before=NOW + 1)) == 1
    assert [each.id for each in store.openai_batches.find("ws_a", limit=9)] == ["batch_2"]
