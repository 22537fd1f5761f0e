"""What the database knows of resumable uploads: the same on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from amends.database import Database
from amends.store import Store, UploadRecord
from tests.postgres import postgres_url

NOW = 1_800_000_000.0


@contextmanager
def opened(kind: str, tmp_path: Path) -> Iterator[Database]:
    if kind == "sqlite":
        database = Database.open(tmp_path / "amends.db")
        yield database
        database.close()
        return
    with postgres_url() as url:
        database = Database.open(url)
        yield database
        database.close()


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    with opened(request.param, tmp_path) as found:
        yield found


@pytest.fixture
def store(database: Database) -> Store:
    return Store(database, now=lambda: NOW)


def upload(upload_id: str, **more: object) -> UploadRecord:
    plain = UploadRecord(
        upload_id, "ws_a", "größe.bin", None, "user_data", None, "filename Zw==", 10, 0, None, "key_1", NOW, NOW + 60
    )
    return replace(plain, **more)  # type: ignore[arg-type]


def test_an_upload_comes_forward_becomes_a_file_and_stays_that_file(database: Database, store: Store) -> None:
    first = upload("upload_1", media_type="text/plain", expires_after=60)
    database.write(lambda tx: store.uploads.add(tx, first))
    assert store.uploads.get("ws_a", "upload_1") == first
    assert store.uploads.get("ws_b", "upload_1") is None
    assert database.write(lambda tx: store.uploads.advance(tx, "upload_1", 4, NOW + 90))
    assert not database.write(lambda tx: store.uploads.advance(tx, "upload_1", 3, NOW + 90)), "it never goes back"
    assert store.uploads.get("ws_a", "upload_1") == replace(first, received=4, expires_at=NOW + 90)
    assert store.uploads.under_way(["upload_1", "upload_2"]) == {"upload_1"}
    assert database.write(lambda tx: store.uploads.finish(tx, "upload_1", "file_1"))
    assert not database.write(lambda tx: store.uploads.finish(tx, "upload_1", "file_2"))
    assert not database.write(lambda tx: store.uploads.advance(tx, "upload_1", 10, NOW + 90))
    done = store.uploads.get("ws_a", "upload_1")
    assert done == replace(first, received=10, file_id="file_1", expires_at=None)
    assert store.uploads.under_way(["upload_1"]) == set()
    assert database.write(lambda tx: store.uploads.of_file(tx, "file_1")) == ["upload_1"]


def test_expired_uploads_are_gone_at_once_and_forgotten_by_the_sweep(database: Database, store: Store) -> None:
    late, later, live = (upload(f"upload_{n}", expires_at=NOW + at) for n, at in ((1, -2), (2, -1), (3, 1)))
    for each in (later, live, late):
        database.write(lambda tx, each=each: store.uploads.add(tx, each))
    assert store.uploads.get("ws_a", "upload_1") is None
    assert database.write(lambda tx: store.uploads.delete_expired(tx, limit=1)) == ["upload_1"]
    assert database.write(store.uploads.delete_expired) == ["upload_2"]
    assert database.write(store.uploads.delete_expired) == []
    assert not database.write(lambda tx: store.uploads.delete(tx, "ws_b", "upload_3"))
    assert database.write(lambda tx: store.uploads.delete(tx, "ws_a", "upload_3"))
    assert store.uploads.get("ws_a", "upload_3") is None
