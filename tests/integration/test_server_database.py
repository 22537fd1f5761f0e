"""A server on PostgreSQL: who may own the database, which directory goes with it, and what is told where that fails."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from amends.database import Database, DatabaseTaken
from amends.server.owner import DataDirectoryError, Owner
from amends.server.settings import Settings
from tests.batches import create
from tests.commands import Commands
from tests.postgres import postgres_url
from tests.servers import running_server


@pytest.fixture
def url() -> Iterator[str]:
    with postgres_url() as url:
        yield url


@pytest.fixture
def amends(tmp_path: Path) -> Commands:
    return Commands(tmp_path)


def test_a_database_has_one_owner_and_the_next_one_finds_everything(tmp_path: Path, url: str) -> None:
    with running_server(tmp_path / "one", engine=None, database=url) as first:
        with first.client() as client:
            batch_id = create(client, ["a", "b"])
        with pytest.raises(DatabaseTaken, match="is held by another process") as caught:
            Owner(Settings().with_flags(data=tmp_path / "two", database=url), engine=None).__enter__()
        assert "amends" in str(caught.value)
        key = first.key
    with running_server(tmp_path / "two", engine=None, database=url, key=key) as second, second.client() as client:
        assert client.get(f"/v1/batch-predictions/{batch_id}").json()["request_counts"]["total"] == 2
    assert not list(tmp_path.glob("*/amends.db"))


def test_a_directory_is_not_put_together_with_another_database(tmp_path: Path, url: str) -> None:
    with running_server(tmp_path, engine=None, database=url):
        pass
    with pytest.raises(DataDirectoryError, match="holds the blobs of another database"):
        Owner(Settings().with_flags(data=tmp_path), engine=None).__enter__()
    with running_server(tmp_path, engine=None, database=url):
        pass


def test_an_owner_that_died_is_succeeded_within_a_moment(url: str) -> None:
    first, second = Database.open(url), Database.open(url)
    first.own()
    started = time.monotonic()
    with pytest.raises(DatabaseTaken):
        second.own()
    assert time.monotonic() - started > 1, "it may just be going"
    first.close()
    second.own()
    second.close()


def test_a_database_that_does_not_answer_is_one_line_without_its_password(amends: Commands) -> None:
    address = "postgresql://ada:s3cret@127.0.0.1:1/amends"
    said = amends("serve", "--port", "0", AMENDS_DATABASE=address)
    assert said.code == 1
    assert "postgresql://ada:********@127.0.0.1:1/amends cannot be opened" in said.err
    assert "s3cret" not in said.err + said.out
    assert "Traceback" not in said.err


def test_doctor_and_config_tell_of_the_database(amends: Commands, url: str) -> None:
    found = {one["name"]: one for one in amends("doctor", "--json", AMENDS_DATABASE=url).document}
    assert found["Database"]["is_ok"]
    assert found["Database"]["detail"].startswith("PostgreSQL ")
    shown = amends("config", "--json", AMENDS_DATABASE="postgresql://ada:s3cret@db/amends")
    assert "s3cret" not in shown.out
    assert "postgresql://ada:********@db/amends" in shown.out
