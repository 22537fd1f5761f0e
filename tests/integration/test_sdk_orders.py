"""The SDK's job definitions and orders against a real server."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from amends import AsyncClient, Client, Datapoint
from amends.exceptions import ConfigurationError, FailedUploadException, PollTimeoutError, ValidationError
from tests.orders import dataset_on, text, texts
from tests.providers import provided_server
from tests.samples import photo
from tests.servers import RunningServer
from tests.upstream import Call, Say, chat, running_upstream

OPTIONS = ["refund", "bug report"]
ROOT = Path(__file__).parent.parent.parent
WORDS = ["I want my money back", "The app crashes when I open it"]


@pytest.fixture(scope="module")
def client(server: RunningServer) -> Iterator[Client]:
    with Client(server.key, server.base_url) as opened:
        yield opened


def answer(server: RunningServer, order_id: str, annotator: str, said: Any) -> int:
    """Answer all there is, as a program would."""
    count = 0
    with server.client() as http:
        while True:
            body = {"annotator": annotator}
            task = http.post(f"/v1/orders/{order_id}/tasks/next", json=body).json()["task"]
            if task is None:
                return count
            http.post(f"/v1/task-leases/{task['lease_id']}/respond", json={"answer": said}).raise_for_status()
            count += 1


def test_an_order_of_texts_is_made_run_answered_by_a_model_and_read(client: Client, tmp_path: Path) -> None:
    metadata = [{"row": 1}, None]
    order = client.order.create_classification_order(
        "Mail", "What is it about?", OPTIONS, WORDS, data_type="text", responses_per_datapoint=1,
        contexts=[None, "a crash"], private_metadata=metadata, quiet=True,
    )  # fmt: skip
    assert (order.get_status(), order.failed_uploads) == ("created", [])
    assert order.run() is order
    assert order.add_annotator("local/classify").kind == "model"
    order.display_progress_bar(timeout=60)
    assert (order.status, order.is_ended, order.counts and order.counts.tasks_done) == ("completed", True, 2)
    results = order.get_results()
    assert [line.answer for line in results.data] == OPTIONS
    assert [line.private_metadata for line in results.data] == metadata
    assert [line.context for line in results.data] == [None, "a crash"]
    table = results.to_pandas()
    assert list(table["answer"]) == OPTIONS
    assert table.index.name == "datapoint_id"
    rows = list(csv.DictReader(io.StringIO(results.to_csv(tmp_path / "r.csv"))))
    assert [row["answer"] for row in rows] == OPTIONS
    assert json.loads(rows[0]["private_metadata"]) == {"row": 1}
    assert json.loads(results.to_json(tmp_path / "r.json"))["status"] == "completed"
    assert (tmp_path / "r.json").read_text("utf-8").startswith("{")
    (annotator,) = order.annotators()
    assert (annotator.name, annotator.responses) == ("local/classify", 2)
    assert "to_pandas" in dir(order.get_results(method="majority"))


def test_photos_are_named_by_an_embedded_model(client: Client) -> None:
    photos = [str(photo(name)) for name in ("chelsea.png", "coffee.png", "rocket.jpg")]
    options = ["cup of coffee", "rocket", "cat"]
    order = client.order.create_classification_order(
        "Photos of things", "What is it?", options, photos, responses_per_datapoint=1, quiet=True
    ).run()
    order.add_annotator("local/image-labels")
    assert order.display_progress_bar(quiet=True, timeout=60).status == "completed"
    assert [line.answer for line in order.get_results().data] == ["cat", "cup of coffee", "rocket"]


def test_a_providers_model_compares_pictures_as_an_annotator(tmp_path: Path) -> None:
    def prefer_the_second(call: Call) -> Say:
        assert [part["type"] for part in call.body["messages"][-1]["content"]] == ["text", "image_url"] * 2
        assert call.body["messages"][0]["content"].endswith("Which is sharper?")
        return Say(chat({"answer": "B"}))

    with (
        running_upstream(prefer_the_second) as upstream,
        provided_server(tmp_path / "data", upstream, takes_images=True) as server,
        Client(server.key, server.base_url) as client,
    ):
        pair = [str(photo(name)) for name in ("chelsea.png", "coffee.png")]
        order = client.order.create_compare_order(
            "Sharp", "Which is sharper?", [pair], responses_per_datapoint=1, quiet=True
        ).run()
        order.add_annotator("acme/m")
        assert order.display_progress_bar(quiet=True, timeout=60).status == "completed"
        results = order.get_results()
        assert results.data[0].answer == 1
        assert [(one["asset"], one["wins"]) for one in results.ranking] == [("coffee.png", 1), ("chelsea.png", 0)]


def test_a_job_definition_runs_as_often_as_one_likes(server: RunningServer, client: Client) -> None:
    definition = client.job.create_free_text_job_definition(
        "Describe", "What is it?", ["a", "b"], data_type="text", responses_per_datapoint=1, quiet=True
    )
    first, second = definition.run(), definition.run()
    assert first.id != second.id
    assert first.get_status() == "running"
    assert answer(server, first.id, "ada", "a thing") == 2
    assert (first.get_status(), second.get_status()) == ("completed", "running")
    assert second.pause().status == "paused"
    assert second.display_progress_bar(quiet=True).status == "paused"
    assert second.cancel().status == "cancelled"
    again = client.job.get_job_definition_by_id(definition.id)
    assert (again.kind, again.settings and again.settings["responses_per_datapoint"]) == ("free_text", 1)
    assert next(iter(client.job.find_job_definitions(name="describe"))).id == definition.id
    assert {order.id for order in client.order.find_orders(name="Describe")} == {first.id, second.id}


def test_comparing_and_locating_are_made_likewise(server: RunningServer, client: Client) -> None:
    options = {"data_type": "text", "responses_per_datapoint": 1, "quiet": True}
    compare = client.order.create_compare_order("Better", "Which?", [["a", "b"], ["b", "c"]], **options).run()  # type: ignore[arg-type]
    answer(server, compare.id, "ada", 1)
    assert [one["asset"] for one in compare.get_results().ranking] == ["c", "b", "a"]
    locate = client.order.create_locate_order("Where", "Where?", ["x"], **options).run()  # type: ignore[arg-type]
    answer(server, locate.id, "ada", [{"x": 0.5, "y": 0.5}])
    assert locate.get_results().data[0].answer == [{"x": 0.5, "y": 0.5}]


def test_the_same_script_again_goes_on_in_the_same_dataset(client: Client) -> None:
    def make() -> Any:
        return client.job.create_free_text_job_definition("Again", "?", ["a", "b"], data_type="text", quiet=True)

    first, second = make(), make()
    assert first.dataset_id == second.dataset_id
    assert client.datasets.get(first.dataset_id).datapoint_count == 2
    other = client.job.create_free_text_job_definition("Again", "?", ["a", "c"], data_type="text", quiet=True)
    assert other.dataset_id != first.dataset_id


def test_a_partial_failure_leaves_what_can_be_run_and_is_mended(client: Client, tmp_path: Path) -> None:
    photo = tmp_path / "there.png"
    missing = tmp_path / "missing.png"
    photo.write_bytes(_png(1))
    with pytest.raises(FailedUploadException) as raised:
        client.order.create_classification_order("Photos", "?", OPTIONS, [str(photo), str(missing)], quiet=True)
    error = raised.value
    assert [datapoint.asset for datapoint in error.failed_uploads] == [str(missing)]
    assert error.order.run().counts.tasks == 1
    missing.write_bytes(_png(2))
    order = error.retry()
    assert order.id == error.order.id
    assert client.datasets.get(order.dataset_id).datapoint_count == 2
    assert pickle.loads(pickle.dumps(error)).order.id == order.id


def test_nothing_that_stands_makes_no_order_until_it_is_mended(client: Client, tmp_path: Path) -> None:
    missing = tmp_path / "missing.png"
    with pytest.raises(FailedUploadException) as raised:
        client.order.create_classification_order(
            "None", "?", OPTIONS, [str(missing)], failure_tolerance=1.0, quiet=True
        )
    assert (raised.value.order, raised.value.job_definition) == (None, None)
    missing.write_bytes(_png(3))
    assert raised.value.retry().run().counts.tasks == 1


def test_failures_within_the_tolerance_are_told_by_what_is_returned(client: Client, tmp_path: Path) -> None:
    photo = tmp_path / "there.png"
    photo.write_bytes(_png(4))
    given = [str(photo), str(tmp_path / "missing.png")]
    order = client.order.create_classification_order("Some", "?", OPTIONS, given, failure_tolerance=0.5, quiet=True)
    assert [datapoint.asset for datapoint in order.failed_uploads] == given[1:]
    assert order.detailed_failures[0].stage == "read"
    assert order.status == "created"


def test_what_is_said_beside_datapoints_must_fit_them(client: Client) -> None:
    make = client.order.create_free_text_order
    with pytest.raises(ValueError, match="contexts has 1 entries for 2 datapoints"):
        make("n", "?", ["a", "b"], data_type="text", contexts=["x"])
    with pytest.raises(ValueError, match="there is nothing to ask about"):
        make("n", "?", [])
    with pytest.raises(TypeError, match="not one string"):
        make("n", "?", "abc", data_type="text")
    with pytest.raises(ValueError, match="has its own context"):
        make("n", "?", [Datapoint("a", "text", context="own")], contexts=["x"])
    with pytest.raises(ValueError, match="fraction"):
        make("n", "?", ["a"], data_type="text", failure_tolerance=2)
    with pytest.raises(ValidationError, match="is one sure"):
        make("n", "?", ["a"], data_type="text", confidence_threshold=0.9, quiet=True)


def test_gold_is_given_with_a_dataset_that_stands(server: RunningServer, client: Client) -> None:
    dataset_id, ids = dataset_on(server, *texts("tom", "rex"))
    definition = client.job.create_from_dataset(
        "classification", "Gold", "?", dataset_id, answer_options=["cat", "dog"], gold={ids[0]: "cat"}, gold_every=2
    )
    assert definition.settings
    assert (definition.settings["gold"], definition.settings["gold_every"]) == (1, 2)
    order = definition.run()
    assert order.counts
    assert (order.counts.tasks, order.counts.gold_tasks) == (1, 1)


def test_waiting_has_an_end_that_can_be_put_off(server: RunningServer, client: Client) -> None:
    dataset_id, _ = dataset_on(server, text("tom"))
    order = client.job.create_from_dataset("free_text", "Slow", "?", dataset_id, responses_per_datapoint=1).run()
    with pytest.raises(PollTimeoutError) as raised:
        order.display_progress_bar(quiet=True, timeout=0.2)
    assert raised.value.status == "running"
    answer(server, order.id, "ada", "a cat")
    assert raised.value.resume(timeout=60).status == "completed"


def test_an_invitation_names_the_page(client: Client, server: RunningServer) -> None:
    dataset_id, _ = dataset_on(server, text("tom"))
    order = client.job.create_from_dataset("free_text", "Invite", "?", dataset_id).run()
    link = order.invite()
    assert link.url == f"{server.base_url}/label/{order.id}?invitation={link.token}"
    assert link.token not in repr(link)


def test_a_copy_from_another_process_says_what_it_lacks(client: Client, server: RunningServer) -> None:
    dataset_id, _ = dataset_on(server, text("tom"))
    definition = client.job.create_from_dataset("free_text", "Copied", "?", dataset_id)
    copy = pickle.loads(pickle.dumps(definition))
    assert copy.name == "Copied"
    with pytest.raises(ConfigurationError, match=definition.id):
        copy.run()


def test_the_async_client_does_the_same(server: RunningServer, tmp_path: Path) -> None:
    async def main() -> None:
        async with AsyncClient(server.key, server.base_url) as client:
            options: Any = {"data_type": "text", "responses_per_datapoint": 1, "quiet": True}
            order = await client.order.create_classification_order("Async", "?", OPTIONS, WORDS, **options)
            await order.run()
            await order.add_annotator("local/classify")
            await order.display_progress_bar(timeout=60)
            assert await order.get_status() == "completed"
            assert [line.answer for line in (await order.get_results()).data] == OPTIONS
            assert len(await order.annotators()) == 1
            definition = await client.job.get_job_definition_by_id(order.job_definition_id or "")
            again = await definition.run()
            assert (await again.pause()).status == "paused"
            assert [found.id async for found in await client.order.find_orders(name="async", status="paused")] == [
                again.id
            ]
            missing = tmp_path / "missing.png"
            with pytest.raises(FailedUploadException) as raised:
                await client.order.create_classification_order("Lost", "?", OPTIONS, [str(missing)], quiet=True)
            missing.write_bytes(_png(5))
            mended = await raised.value.retry()
            assert (await mended.run()).counts.tasks == 1

    asyncio.run(main())


@pytest.mark.parametrize("by_id", [True, False])
def test_an_order_left_behind_by_a_script_that_died_is_found_and_finished(
    server: RunningServer, tmp_path: Path, by_id: bool
) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        keys = {"AMENDS_API_KEY": server.key, "AMENDS_BASE_URL": server.base_url}
        command = [sys.executable, str(ROOT / "examples" / "orders_find_left_behind.py"), *arguments]
        return subprocess.run(
            command, cwd=tmp_path, env={**os.environ, **keys}, capture_output=True, text=True, timeout=150, check=False
        )

    made = run("make")
    order_id = made.stdout.strip()
    assert (made.returncode, order_id[:6]) == (1, "order_")
    finished = run("finish", *([order_id] if by_id else []))
    assert finished.returncode == 0, finished.stderr
    first, *lines, last = finished.stdout.splitlines()
    assert (first, last) == (f"{order_id} is created", f"{order_id} is completed")
    assert [line.split("  ")[0].strip() for line in lines] == ["refund", "bug report", "delivery", "refund"]


def _png(shade: int) -> bytes:
    """A small picture that no other shade is the same as."""
    from PIL import Image

    with io.BytesIO() as file:
        Image.new("RGB", (8, 8), (shade, 0, 0)).save(file, "PNG")
        return file.getvalue()
