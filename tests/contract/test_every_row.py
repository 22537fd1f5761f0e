"""Every row of the catalogue, provoked as its page says: over HTTP and through the SDK, on endpoints and in items.

Made from the catalogue, so a new row fails here until it can be had on demand.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

import httpx2
import pytest

from amends import Client, exceptions
from amends.engine import Engine, EngineSettings
from amends.exceptions import ApiError
from amends.ledger import SqliteLedger
from amends.problems import CATALOGUE, STANDARD_MEMBERS, Problem, Row, problem
from amends.server.composition import processor_settings
from amends.server.settings import Settings
from tests.batches import PATH, read
from tests.contract import provoking
from tests.contract.provoking import WAYS, Scene
from tests.hosts import running_host
from tests.problem_shape import assert_problem
from tests.providers import provider_of
from tests.servers import RunningServer, running_server
from tests.upstream import refusal, running_upstream

ROWS = list(CATALOGUE.values())
OF_ENDPOINTS = [row for row in ROWS if "E" in row.where]
OF_ITEMS = [row for row in ROWS if "L" in row.where]


def by_slug(rows: list[Row]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("row", rows, ids=[row.slug for row in rows])


def impatient_engine(settings: Settings, ledger: SqliteLedger, data: Path) -> Engine:
    """An engine that gives an item two tries: what may pass is tried again, and the tests do not wait long for its end."""
    return Engine(
        ledger,
        blobs=data / "blobs",
        processor_settings=processor_settings(settings),
        settings=EngineSettings(workers=1, max_attempts=2),
    )


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("server") / "data", engine=impatient_engine) as running:
        yield running


@pytest.fixture(scope="module")
def key(server: RunningServer) -> str:
    return server.new_key(mode="test")


@pytest.fixture(scope="module")
def ended(server: RunningServer, key: str) -> dict[str, dict[str, Any]]:
    """The result lines of one batch with an item for every row that items end in, by slug, read over HTTP."""
    items = [{"custom_id": row.slug, "input": {"text": row.simulations[-1]}} for row in OF_ITEMS]
    with server.client(key) as client:
        run_id = client.post(PATH, json={"items": items, "model": "local/echo"}).json()["id"]
        end = time.monotonic() + 60
        while client.get(f"{PATH}/{run_id}").json()["status"] != "completed":
            assert time.monotonic() < end
            time.sleep(0.05)
        return {line["custom_id"]: line for line in read(client, run_id)}


def test_every_row_is_met_somewhere() -> None:
    assert {row.slug for row in OF_ENDPOINTS} | {row.slug for row in OF_ITEMS} == set(CATALOGUE)


@by_slug(OF_ENDPOINTS)
def test_an_endpoint_answers_with_it_over_http(server: RunningServer, key: str, row: Row) -> None:
    header, _, what = row.simulations[0].partition(": ")
    with server.client(key) as client:
        body = assert_problem(client.get("/v1/me", headers={header: what}), row.slug)
    for name, value in problem(row.slug, **row.example).extensions.items():
        assert body[name] == value


@by_slug(OF_ENDPOINTS)
def test_the_sdk_raises_its_exception_with_its_fields(server: RunningServer, key: str, row: Row) -> None:
    header, _, what = row.simulations[0].partition(": ")
    with (
        httpx2.Client(headers={header: what}, trust_env=False) as http,
        Client(key, server.base_url, http_client=http, max_retries=0) as client,
        pytest.raises(ApiError) as raised,
    ):
        client.me()
    error, expected = raised.value, problem(row.slug, **row.example)
    assert type(error) is getattr(exceptions, row.exception)
    assert (error.status_code, error.problem.slug, error.error_code) == (row.status, row.slug, expected.error_code)
    assert error.remedy == expected.remedy
    assert error.retry_after == expected.retry_after
    assert error.request_id
    assert len(error.attempts) == 1
    for name, value in expected.extensions.items():
        assert error.problem.extensions[name] == value
        if hasattr(type(error), name) and name != "retry_after":
            assert getattr(error, name) == value


@by_slug(OF_ITEMS)
def test_an_item_ends_in_it_over_http(ended: dict[str, dict[str, Any]], row: Row) -> None:
    line, expected = ended[row.slug], problem(row.slug, **row.example)
    assert line["status"] in ("errored", "canceled", "expired")
    assert line["output"] is None
    error = line["error"]
    assert error["type"].endswith(f"/errors/{row.slug}")
    assert (error["status"], error["title"], error["error_code"]) == (row.status, row.title, expected.error_code)
    assert error["remedy"] == expected.remedy.to_dict()
    assert {name: error[name] for name in expected.extensions} == expected.extensions
    is_tried_again = expected.remedy.retryable and row.slug not in ("batch_cancelled", "batch_expired")
    assert line["attempts"] == (2 if is_tried_again else 1)


def test_every_item_reaches_the_sdk_with_its_problem(server: RunningServer, key: str) -> None:
    with Client(key, server.base_url) as client:
        items = ({"custom_id": row.slug, "input": {"simulate": row.slug}} for row in OF_ITEMS)
        batch = client.batch_predictions.create(items, model="local/echo")
        assert client.batch_predictions.wait(batch.id, timeout=60).status == "completed"
        found = {line["custom_id"]: line["error"] for line in client.batch_predictions.results(batch.id)}
    assert found.keys() == {row.slug for row in OF_ITEMS}
    for row in OF_ITEMS:
        error, expected = Problem.from_body(found[row.slug]), problem(row.slug, **row.example)
        assert (error.slug, error.status, error.error_code) == (row.slug, row.status, expected.error_code)
        assert error.remedy == expected.remedy
        assert error.extensions == expected.extensions


@by_slug(ROWS)
def test_its_page_and_the_command_line_say_how(server: RunningServer, row: Row) -> None:
    with server.client("") as client:
        page = client.get(f"/errors/{row.slug}", headers={"Accept": "text/html"}).text
        body = client.get(f"/errors/{row.slug}").json()
    assert row.simulations
    assert all(escape(one) in page for one in (row.provoke, *row.simulations))
    assert (body["provoke"], body["simulate"]) == (row.provoke, list(row.simulations))


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A server on which every row can be provoked for real, a host with no pages, and a provider that is always busy."""
    place = tmp_path_factory.mktemp("scene")
    with running_upstream(lambda call: refusal(429, "busy")) as upstream, running_host() as host:
        flags: dict[str, Any] = {
            "fetch__allow": ("127.0.0.1",),
            "limits__json_body_bytes": provoking.BODY_BYTES,
            "limits__json_bodies_bytes": provoking.BODIES_BYTES,
            "limits__uploads_per_minute": provoking.UPLOADS_A_MINUTE,
            "credits__prices": {provoking.PRICED: 2.0},
            "providers": {"acme": provider_of(upstream).to_table()},
        }
        with (
            running_server(place / "data", engine=impatient_engine, **flags) as server,
            server.client() as client,
            server.client(server.new_key(mode="test")) as tester,
        ):
            yield Scene(server, client, tester, host, place)


def test_there_is_a_way_to_provoke_every_row() -> None:
    assert WAYS.keys() == CATALOGUE.keys()


@by_slug(ROWS)
def test_what_its_page_says_provokes_it(scene: Scene, row: Row) -> None:
    met = WAYS[row.slug](scene)
    if isinstance(met, httpx2.Response):
        assert_problem(met, row.slug)
        return
    assert met["type"].endswith(f"/errors/{row.slug}")
    assert (met["status"], met["title"]) == (row.status, row.title)
    assert row.admits(met["error_code"])
    assert set(met) <= {*STANDARD_MEMBERS, *row.members}
