"""Credit runs out in the middle of a batch of 1,000, and the server is killed with -9 meanwhile: nothing done is lost or
charged twice, a top-up lets it finish, and what failed costs nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from amends.client import BatchPrediction, Client
from tests.killing import EXTRACT, free_port, note, until
from tests.servers import ServerProcess, server_process

ITEMS = 1_000
FAILING = 100
PRICE = 0.25
PAID_FOR = 400


class Place:
    """A data directory and an address whose server is killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        self.port = free_port()
        self.key = ""

    @contextmanager
    def serving(self) -> Iterator[tuple[ServerProcess, Client]]:
        settings = {"AMENDS_CREDITS_PRICE": str(PRICE), "AMENDS_ENGINE_WORKERS": "2"}
        with server_process(self.data, port=self.port, **settings) as server:
            self.key = self.key or server.key
            with Client(self.key, server.base_url, max_retries=5) as client:
                yield server, client


def items() -> Iterator[dict[str, Any]]:
    """Every tenth says nothing that could be extracted."""
    for number in range(ITEMS):
        is_bad = number % (ITEMS // FAILING) == 3
        yield {"custom_id": f"c{number}", "input": "Nothing of the kind" if is_bad else note(number, lines=60)}


def counts(batch: BatchPrediction) -> tuple[int, int, int]:
    """(succeeded, errored, processing)."""
    found = batch.request_counts
    assert found is not None
    return found.succeeded or 0, found.errored or 0, found.processing or 0


def credit(client: Client) -> tuple[float, float, float]:
    """(balance, held, charged), which add up to the history."""
    assert client.credits.conservation().holds
    found = client.credits.balance()
    return found.balance or 0.0, found.held or 0.0, found.charged or 0.0


def lines_of(client: Client, batch_id: str) -> dict[str, dict[str, Any]]:
    read = [dict(line) for line in client.batch_predictions.results(batch_id, order="completion")]
    by_name = {line["custom_id"]: {name: value for name, value in line.items() if name != "cursor"} for line in read}
    assert len(by_name) == len(read)
    return by_name


@pytest.mark.timeout(170)
def test_a_batch_pauses_without_credit_and_a_top_up_lets_it_finish(tmp_path: Path) -> None:
    place = Place(tmp_path)
    with place.serving() as (server, client):
        client.credits.top_up(PAID_FOR * PRICE, note="the first")
        batch_id = client.batch_predictions.create(items=items(), **EXTRACT).id
        until(lambda: counts(client.batch_predictions.get(batch_id))[0] >= 50)
        server.kill()

    with place.serving() as (server, client):
        before = counts(client.batch_predictions.get(batch_id))
        assert before[0] < PAID_FOR, "nothing was left to interrupt"
        until(lambda: counts(client.batch_predictions.get(batch_id))[0] >= min(PAID_FOR, before[0] + 50))
        server.kill()

    with place.serving() as (server, client):
        until(lambda: counts(client.batch_predictions.get(batch_id))[0] == PAID_FOR)
        paused = until(lambda: is_paused(client.batch_predictions.get(batch_id)))
        succeeded, errored, processing = counts(paused)
        assert (succeeded, processing) == (PAID_FOR, ITEMS - PAID_FOR - errored)
        assert paused.status == "in_progress"
        assert credit(client) == (0.0, 0.0, PAID_FOR * PRICE)
        done = lines_of(client, batch_id)
        server.kill()

    with place.serving() as (server, client):
        time.sleep(1.0)  # it must stay as it is, and not do a little more on each start
        assert counts(client.batch_predictions.get(batch_id)) == (succeeded, errored, processing)
        assert credit(client) == (0.0, 0.0, PAID_FOR * PRICE)
        client.credits.top_up(ITEMS * PRICE, note="the second")
        until(lambda: counts(client.batch_predictions.get(batch_id))[0] >= PAID_FOR + 50)
        server.kill()

    with place.serving() as (_, client):
        ended = client.batch_predictions.wait(batch_id, timeout=90)
        assert ended.status == "completed"
        assert counts(ended) == (ITEMS - FAILING, FAILING, 0)
        told = lines_of(client, batch_id)
        assert len(told) == ITEMS
        assert {name: told[name] for name in done} == done, "what was done before the pause changed"
        failed = [line for line in told.values() if line["status"] == "errored"]
        assert len(failed) == FAILING
        assert not any(line["error"]["remedy"]["billed"] for line in failed)
        cost = (ITEMS - FAILING) * PRICE
        assert credit(client) == ((PAID_FOR + ITEMS) * PRICE - cost, 0.0, 0.0)
        history = client.credits.history().data
        assert [(entry.kind, entry.amount) for entry in history] == [
            ("charge", -cost),
            ("top_up", ITEMS * PRICE),
            ("top_up", PAID_FOR * PRICE),
        ]
        assert history[0].run_id == batch_id


def is_paused(batch: BatchPrediction) -> BatchPrediction | None:
    """The batch, once it pauses and nothing of it runs any more."""
    return batch if batch.paused_reason == "credit" else None
