"""The event stream of a run: what it tells, where it goes on, and that nobody waits for its end who should not."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from amends import Client
from amends.client._events import EventParser, SentEvent
from amends.server.events import event, place_of
from tests.batches import create, finish, run_of, work
from tests.problem_shape import assert_problem
from tests.servers import RunningServer, running_server


@pytest.fixture(scope="module")
def client(shell: RunningServer) -> Iterator[httpx2.Client]:
    with shell.client() as client:
        yield client


def path_of(run_id: str) -> str:
    return f"/v1/runs/{run_id}/events"


def heard(client: httpx2.Client, run_id: str, last: str | None = None, *, until: int | None = None) -> list[SentEvent]:
    """The events from ``last`` on: all, or the first ``until``."""
    found: list[SentEvent] = []
    parser = EventParser()
    headers = {"Last-Event-ID": last} if last else {}
    with client.stream("GET", path_of(run_id), headers=headers) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        for piece in response.iter_bytes():
            found += parser.feed(piece)
            if until is not None and len(found) >= until:
                break
    return found


def test_failures_are_told_in_the_order_of_completion_then_the_end(shell: RunningServer, client: httpx2.Client) -> None:
    run_id = create(client, ["a", "b", "c", "d"])
    work(shell, run_id, {"b": "prediction_failed", "d": "file_not_found"})
    finish(shell, run_id)
    first, second, end = heard(client, run_id)
    assert [first.type, second.type, end.type] == ["failure", "failure", "end"]
    assert ('"custom_id":"b"' in first.data, '"custom_id":"d"' in second.data) == (True, True)
    assert [first.id, second.id, end.id] == ["1", "3", "end"]
    assert '"status":"completed"' in end.data


def test_who_comes_again_misses_no_failure_and_hears_none_twice(shell: RunningServer, client: httpx2.Client) -> None:
    run_id = create(client, [str(number) for number in range(12)])
    work(shell, run_id, {"3": "prediction_failed", "9": "prediction_failed"})
    finish(shell, run_id)
    everything = heard(client, run_id)
    for index, known in enumerate(everything[:-1]):
        assert heard(client, run_id, known.id) == everything[index + 1 :]


def test_the_run_is_told_when_it_changes_and_only_then(shell: RunningServer, client: httpx2.Client) -> None:
    run_id = create(client, ["a", "b"])
    found: list[SentEvent] = []

    def listen() -> None:
        with shell.client() as own:
            found.extend(heard(own, run_id))

    listener = threading.Thread(target=listen)
    listener.start()
    while not found and listener.is_alive():
        time.sleep(1.2)  # two ticks in which nothing happens
        work(shell, run_id, {"b": "prediction_failed"})
        finish(shell, run_id)
        listener.join(20)
    kinds = [each.type for each in found]
    assert kinds[0] == "run"
    assert kinds.count("run") <= 2  # before and, where a tick fell between them, after the work
    assert kinds[-2:] in (["failure", "end"], ["run", "end"])
    assert kinds.count("failure") == 1


def test_after_the_end_there_is_nothing(shell: RunningServer, client: httpx2.Client) -> None:
    run_id = create(client, ["a"])
    work(shell, run_id)
    finish(shell, run_id)
    assert client.get(path_of(run_id), headers={"Last-Event-ID": "end"}).status_code == 204
    assert client.get(path_of(run_id), params={"after": "end"}).status_code == 204


@pytest.mark.parametrize("last", ["-1", "1.5", "x", "9" * 30, "٣"])
def test_an_id_of_no_event_is_refused(shell: RunningServer, client: httpx2.Client, last: str) -> None:
    run_id = create(client, ["a"])
    work(shell, run_id)
    assert_problem(client.get(path_of(run_id), params={"after": last}), "validation_failed")


def test_ids_and_events_are_written_as_the_standard_reads_them() -> None:
    assert (place_of(None), place_of(""), place_of("12"), place_of("end")) == (-1, -1, 12, None)
    assert event("run", b"{}", -1) == b"event: run\ndata: {}\n\n"
    assert event("failure", b"{}", 7) == b"event: failure\nid: 7\ndata: {}\n\n"


def test_a_listener_does_not_keep_the_server_from_stopping(tmp_path: Path) -> None:
    ended: list[list[SentEvent]] = []
    with running_server(tmp_path / "data", engine=None) as server:
        with server.client() as client:
            run_id = create(client, ["a"])
        own = server.client()
        listener = threading.Thread(target=lambda: ended.append(heard(own, run_id)))
        listener.start()
        while run_of(server, run_id).state != "in_progress":
            time.sleep(0.01)
        time.sleep(0.3)
        started = time.monotonic()
    assert time.monotonic() - started < 8  # the grace alone is ten seconds
    listener.join(10)
    own.close()
    assert [each.type for each in ended[0]] == ["run"]


def test_a_stream_ends_by_itself_after_a_while_and_the_sdk_goes_on(tmp_path: Path) -> None:
    with running_server(tmp_path / "data", limits__event_stream_seconds=0.1) as server:
        with server.client() as plain:
            waiting = create(plain, ["held", "too"], limit_items=1)
            assert "end" not in [each.type for each in heard(plain, waiting)]
        with Client(server.key, server.base_url) as sdk:
            run = sdk.batch_predictions.create(
                ({"custom_id": str(n), "input": n} for n in range(300)), model="local/echo"
            )
            told = list(sdk.runs.events(run.id))
        assert told[-1].type == "end"
        assert told[-1].run is not None
        assert told[-1].run.is_complete
