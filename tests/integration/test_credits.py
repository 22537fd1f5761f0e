"""Credits over HTTP, through the SDK and by the CLI, with real workers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from amends import AsyncClient, Client
from amends.client import BatchPrediction
from amends.exceptions import ConflictError, ForbiddenError, PaymentRequiredError, ValidationError
from tests.commands import Commands
from tests.jobs import Job
from tests.killing import until
from tests.problem_shape import assert_problem
from tests.servers import RunningServer, running_server

PRICES = {"local/echo": 0.5, "local/extract": 2.0}
SCHEMA = {"type": "object", "properties": {"invoice_number": {"type": "string"}}, "required": ["invoice_number"]}


@pytest.fixture(scope="module")
def paid(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server that has prices."""
    folder = tmp_path_factory.mktemp("paid")
    with running_server(folder / "data", credits__prices=PRICES, credits__upgrade_url="https://pay.example") as running:
        yield running


@pytest.fixture
def client(paid: RunningServer, request: pytest.FixtureRequest) -> Iterator[Client]:
    """The owner of a workspace of the test's own, without a credit."""
    with Client(paid.new_key(workspace=f"of {request.node.name}"), paid.base_url) as opened:
        yield opened


def rows(count: int) -> list[dict[str, Any]]:
    return [{"custom_id": str(number), "input": {"n": number}} for number in range(count)]


def settled(client: Client, batch_id: str) -> BatchPrediction:
    """The batch, when it has ended or pauses and nothing of it runs."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        batch = client.batch_predictions.get(batch_id)
        if batch.is_ended or (batch.paused_reason and client.runs.conservation(batch_id).leased == 0):
            return batch
        time.sleep(0.02)
    raise AssertionError(f"{batch_id} neither ended nor paused")


def amounts(client: Client) -> tuple[float | None, float | None, float | None]:
    assert client.credits.conservation().holds
    found = client.credits.balance()
    return found.balance, found.held, found.charged


def succeeded(batch: BatchPrediction) -> int | None:
    assert batch.request_counts
    return batch.request_counts.succeeded


def test_a_new_workspace_has_nothing_and_an_owner_can_add(paid: RunningServer, client: Client) -> None:
    found = client.credits.balance()
    assert (found.balance, found.held, found.charged, found.unit) == (0.0, 0.0, 0.0, "credits")
    assert found.upgrade_url == "https://pay.example"
    entry = client.credits.top_up(12.5, note="invoice 7")
    assert (entry.kind, entry.amount, entry.note, entry.run_id) == ("top_up", 12.5, "invoice 7", None)
    assert amounts(client) == (12.5, 0.0, 0.0)


@pytest.mark.parametrize("role", ["viewer", "member", "admin"])
def test_only_an_owner_tops_up_and_everybody_may_look(paid: RunningServer, role: Any) -> None:
    with Client(paid.new_key(role), paid.base_url) as other:
        with pytest.raises(ForbiddenError, match="You do not have permission to top up this workspace"):
            other.credits.top_up(1)
        assert other.credits.balance().unit == "credits"


@pytest.mark.parametrize("amount", [0, -1, 1e-9, 1e12, "5", None, True])
def test_a_senseless_amount_is_refused(paid: RunningServer, amount: Any) -> None:
    with paid.client() as client:
        assert_problem(client.post("/v1/credits/top-ups", json={"amount": amount}), "validation_failed")


def test_a_top_up_under_one_key_is_made_once(client: Client) -> None:
    first = client.credits.top_up(5, idempotency_key="pay-1")
    assert client.credits.top_up(5, idempotency_key="pay-1").id == first.id
    assert amounts(client) == (5.0, 0.0, 0.0)


def test_the_history_is_paged_newest_first(client: Client) -> None:
    for amount in range(1, 6):
        client.credits.top_up(amount)
    page = client.credits.history(limit=2)
    assert [entry.amount for entry in page.data] == [5.0, 4.0]
    assert [entry.amount for entry in page] == [5.0, 4.0, 3.0, 2.0, 1.0]


def test_estimate_and_dry_run_say_what_work_would_cost(client: Client) -> None:
    client.credits.top_up(10)
    estimate = client.credits.estimate(model="local/echo", items=30)
    assert (estimate.price, estimate.cost, estimate.balance, estimate.suffices) == (0.5, 15.0, 10.0, False)
    assert client.credits.estimate(model="local/echo", items=20).suffices
    with pytest.raises(ValidationError, match="not known"):
        client.credits.estimate(model="nobody/nothing", items=1)
    batches = client.batch_predictions
    assert batches.dry_run(rows(30), model="local/echo").cost == 15.0
    assert batches.dry_run(rows(30), model="local/echo", max_cost=4.0).cost == 4.0
    missing = [*rows(2), {"custom_id": "no", "file_id": "file_none"}]
    assert batches.dry_run(missing, model="local/echo").cost == 1.0
    assert amounts(client) == (10.0, 0.0, 0.0)


def test_work_without_credit_does_not_start_and_says_what_is_lacking(client: Client) -> None:
    client.credits.top_up(0.4)
    with pytest.raises(PaymentRequiredError) as caught:
        client.batch_predictions.create(rows(3), model="local/echo", idempotency_key="once")
    error = caught.value
    assert (error.status_code, error.required, error.remaining, error.unit) == (402, 0.5, 0.4, "credits")
    assert error.upgrade_url == "https://pay.example"
    assert (error.remedy.action, error.remedy.retryable, error.remedy.billed) == ("top_up", False, False)
    assert len(error.attempts) == 1
    assert not client.batch_predictions.list().data
    client.credits.top_up(10)
    made = client.batch_predictions.create(rows(3), model="local/echo", idempotency_key="once")
    assert succeeded(client.batch_predictions.wait(made.id, timeout=60)) == 3


def test_what_succeeded_is_charged_and_what_failed_is_not(client: Client) -> None:
    client.credits.top_up(100)
    items = [*({"custom_id": f"good-{n}", "input": f"Invoice number: X-{n}"} for n in range(7))]
    items += [{"custom_id": f"bad-{n}", "input": "Nothing of the kind"} for n in range(3)]
    batch = client.batch_predictions.create(items, model="local/extract", output_schema=SCHEMA)
    ended = client.batch_predictions.wait(batch.id, timeout=60)
    assert succeeded(ended) == 7
    assert amounts(client) == (86.0, 0.0, 0.0)
    entry = client.credits.history().data[0]
    assert (entry.kind, entry.amount, entry.run_id) == ("charge", -14.0, batch.id)
    for line in client.batch_predictions.results(batch.id, status="errored"):
        assert line["error"] is not None
        assert line["error"]["remedy"]["billed"] is False


def test_a_batch_pauses_and_goes_on_by_itself_after_a_top_up(client: Client) -> None:
    client.credits.top_up(5)
    batch = client.batch_predictions.create(rows(40), model="local/echo")
    paused = settled(client, batch.id)
    assert (paused.status, paused.paused_reason, succeeded(paused)) == ("in_progress", "credit", 10)
    assert amounts(client) == (0.0, 0.0, 5.0)
    client.credits.top_up(100)
    assert succeeded(client.batch_predictions.wait(batch.id, timeout=60)) == 40
    assert amounts(client) == (85.0, 0.0, 0.0)


def test_a_batch_that_is_to_fail_needs_all_it_may_cost_and_ends_without_credit(client: Client) -> None:
    client.credits.top_up(10)
    create = client.batch_predictions.create
    with pytest.raises(PaymentRequiredError, match=r"This needs 20 credits and 10 remain") as caught:
        create(rows(40), model="local/echo", on_credit_exhausted="fail")
    assert caught.value.required == 20.0
    # Another batch spends meanwhile what this one counted on.
    first = create(rows(20), model="local/echo", on_credit_exhausted="fail", limit_items=1)
    settled(client, first.id)
    second = create(rows(15), model="local/echo")
    client.batch_predictions.wait(second.id, timeout=60)
    client.batch_predictions.extend(first.id)
    ended = client.batch_predictions.wait(first.id, timeout=60)
    assert (ended.status, succeeded(ended)) == ("failed", 5)
    assert ended.error is not None
    assert ended.error["error_code"] == "CREDIT_EXCEEDED"
    assert ended.error["remedy"]["billed"] is True
    assert (ended.error["required"], ended.error["remaining"], ended.error["unit"]) == (7.5, 0.0, "credits")
    left = list(client.batch_predictions.results(first.id, status="canceled"))
    assert len(left) == 15
    assert {line["error"]["error_code"] for line in left if line["error"]} == {"CREDIT_EXCEEDED"}
    assert not any(line["error"]["remedy"]["billed"] for line in left if line["error"])
    assert amounts(client) == (0.0, 0.0, 0.0)
    client.credits.top_up(100)
    child = client.batch_predictions.retry_failed(first.id)
    assert succeeded(client.batch_predictions.wait(child.id, timeout=60)) == 15


def test_a_batch_stops_at_what_it_may_cost_until_it_is_extended(client: Client) -> None:
    client.credits.top_up(100)
    batch = client.batch_predictions.create(rows(40), model="local/echo", max_cost=4.0)
    held = client.batch_predictions.wait(batch.id, timeout=60)
    assert held.paused_reason == "cost_cap"
    assert succeeded(settled(client, batch.id)) == 8
    assert len(list(client.batch_predictions.results(batch.id))) == 8
    client.batch_predictions.extend(batch.id, max_cost=6.0)
    assert succeeded(settled(client, batch.id)) in (8, 12)  # the answer may come before the next items are claimed
    while succeeded(settled(client, batch.id)) == 8:
        time.sleep(0.02)
    assert succeeded(settled(client, batch.id)) == 12
    client.batch_predictions.extend(batch.id)
    assert succeeded(client.batch_predictions.wait(batch.id, timeout=60)) == 40
    assert amounts(client) == (80.0, 0.0, 0.0)
    with pytest.raises(ConflictError):
        client.batch_predictions.extend(batch.id, max_cost=50)


def test_the_async_client_does_the_same(paid: RunningServer) -> None:
    async def work() -> None:
        async with AsyncClient(paid.new_key(workspace="async"), paid.base_url) as client:
            await client.credits.top_up(3)
            assert (await client.credits.balance()).balance == 3.0
            assert (await client.credits.estimate(model="local/echo", items=4)).cost == 2.0
            assert [entry.amount async for entry in await client.credits.history()] == [3.0]
            assert (await client.credits.conservation()).holds

    asyncio.run(work())


def test_the_commands_show_and_add(tmp_path: Path) -> None:
    with running_server(tmp_path / "data", credits__price=0.1) as server:
        amends = Commands(tmp_path, {"AMENDS_DATA": str(server.data)})
        assert amends("credits").out == "0 credits\n"
        assert amends("credits", "top-up", "2.5", "--note", "paid").out == "2.5 credits\n"
        assert amends("credits", "estimate", "--model", "local/echo", "--items", "30").out == "3 credits\n"
        assert "top_up  2.5     paid" in amends("credits", "history").out
        assert "Credit" in amends("doctor").out


def test_a_model_that_cannot_be_paid_waits_for_a_top_up_and_makes_no_run_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_server(tmp_path / "data", credits__price=1.0) as server, server.client() as client:
        ledger, begun = server.ledger, []
        open_run = ledger.open_run
        monkeypatch.setattr(ledger, "open_run", lambda run, **more: (begun.append(run.id), open_run(run, **more))[1])
        texts = [["A cat sleeps."], ["A train leaves."]]
        job = Job(
            server, "classification", "What is it?", texts, options=["animal", "vehicle"], responses_per_datapoint=1
        )
        job.add_model("local/classify")
        for _ in range(20):
            time.sleep(0.05)
            assert job.shown()["status"] == "running"
        assert begun == []
        assert client.post("/v1/credits/top-ups", json={"amount": 2}).status_code == 200
        until(lambda: job.shown()["status"] == "completed")
        assert len(begun) == 1
        assert client.get("/v1/credits").json()["balance"] == 0
