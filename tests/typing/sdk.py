"""The SDK as users write it. Checked by mypy, never run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, assert_type

import httpx2

from amends import AsyncClient, Client, Datapoint, FailedUpload
from amends.client import (
    NO_KEY,
    ApiKeyRecord,
    AsyncDataset,
    AsyncOrder,
    AsyncPage,
    BatchPrediction,
    Clock,
    Conservation,
    CreditEntry,
    CreditEstimate,
    Credits,
    Dataset,
    Deleted,
    DryRun,
    Failures,
    File,
    GiveUpEvent,
    InvitationRecord,
    ItemRecord,
    JobDefinition,
    Journal,
    JournalEntry,
    Manifest,
    Me,
    Order,
    OrderResults,
    Page,
    RateLimit,
    Reconciliation,
    ResponseEvent,
    ResultLine,
    RetryEvent,
    Run,
    Upload,
    Uploaded,
    UploadProgress,
    UserRecord,
    WebhookDelivery,
    WebhookRecord,
    journal_folder,
    read_journal,
)
from amends.exceptions import (
    ApiError,
    Attempt,
    CircuitOpenError,
    FailedUploadException,
    NetworkError,
    PollTimeoutError,
    RateLimitError,
    ValidationError,
)
from amends.problems import Problem, Remedy
from amends.resilience import Breaker, RateRule, Reason, RetryBudget
from amends.testing import FakeClock, FakeTransport, Reply


def read_items() -> Iterator[dict[str, str]]:
    yield {"custom_id": "a", "input": "text"}


async def aread_items() -> AsyncIterator[dict[str, Any]]:
    yield {"custom_id": "a", "input": {"nested": [1, 2]}}


def settings() -> None:
    Client()
    Client("ak_live_x", "https://amends.example", timeout=None, deadline=60.0, max_retries=0)
    Client(NO_KEY, http_client=httpx2.Client(transport=httpx2.HTTPTransport(uds="/run/amends.sock")))
    AsyncClient(http_client=httpx2.AsyncClient())
    Client(budget=None, breaker=Breaker())
    AsyncClient(budget=RetryBudget(50, refill_seconds=5), breaker=Breaker(rule=RateRule, open_seconds=10))
    Client(journal=True).close()
    AsyncClient(journal="work.journal")
    assert_type(Client().with_options(timeout=5, deadline=None), Client)
    assert_type(AsyncClient().with_options(max_retries=1), AsyncClient)


def uploaded(progress: UploadProgress) -> None:
    assert_type(progress.total, int | None)


def journals(path: Path) -> None:
    assert_type(read_journal(path), list[JournalEntry])
    Journal(path).clear()
    assert_type(journal_folder(), Path)


def retried(event: RetryEvent) -> None:
    assert_type(event.wait_seconds, float)


def gave_up(event: GiveUpEvent) -> str:
    return event.reason


def answered(event: ResponseEvent) -> None:
    assert_type(event.rate_limit, RateLimit | None)
    assert_type(event.request_id, str | None)


def work(client: Client, path: Path) -> None:
    file = client.files.upload(path, filename="a.pdf", expires_after=3600, purpose="batch", timeout=None)
    assert_type(file, File)
    assert_type(client.files.upload(b"bytes"), File)
    assert_type(client.files.upload(path, resumable=True), File)
    for one in client.files.upload_many(
        [path, b"bytes", Upload(path, purpose="batch")], at_once=8, on_progress=uploaded
    ):
        assert_type(one, Uploaded)
        assert_type(one.file, File | None)
        assert_type(one.error, Exception | None)
    with path.open("rb") as opened:
        client.files.upload(opened, idempotency_key="mine")
    assert_type(client.files.list(), Page[File])
    assert_type([row.id for row in client.files.list(limit=10)], list[str])
    assert_type(client.files.download(file.id), bytes)
    assert_type(client.files.download(file.id, path), Path)
    assert_type(client.files.delete(file.id), Deleted)
    batch = client.batch_predictions.create(
        [{"custom_id": "a", "file_id": file.id, "page": None}],
        model="local/extract",
        output_schema={"type": "object", "properties": {"total": {"type": "number"}}},
        completion_window="24h",
        validation="strict",
        sample={"n": 10, "seed": 3},
        metadata={"job": "7"},
        deadline=600,
    )
    assert_type(batch, BatchPrediction)
    assert_type(client.batch_predictions.create(read_items(), model="local/echo"), BatchPrediction)
    assert_type(client.batch_predictions.dry_run(read_items(), model="local/echo"), DryRun)
    assert_type(client.batch_predictions.wait(batch.id, timeout=60), BatchPrediction)
    for line in client.batch_predictions.results(batch.id, partial=True, status="errored", order="completion"):
        assert_type(line, ResultLine)
        print(line["custom_id"], line["status"], line["output"])
    child = client.batch_predictions.retry_failed(
        batch.id, types=["file_not_found"], replace=[{"custom_id": "a", "file_id": "file_2"}], model="local/ocr"
    )
    assert_type(child, BatchPrediction)
    assert_type(client.batch_predictions.failures(batch.id), Failures)
    assert_type(client.batch_predictions.item(batch.id, "a"), ItemRecord)
    assert_type(client.batch_predictions.manifest(batch.id), Manifest)
    assert_type(client.batch_predictions.reconcile(batch.id, (id for id in ["a"])), Reconciliation)
    assert_type(client.runs.list(status="completed"), Page[Run])
    assert_type(client.runs.cancel("r"), Run)
    assert_type(client.runs.conservation("r"), Conservation)
    assert_type(client.api_keys.create(role="viewer", mode="test"), ApiKeyRecord)
    assert_type(client.invitations.create(role="admin", email="a@b.c"), InvitationRecord)
    assert_type(client.users.update("u", role="viewer"), UserRecord)
    assert_type(client.webhooks.create(url="https://h", events=["*"]), WebhookRecord)
    assert_type(client.webhooks.deliveries("w", status="dead"), Page[WebhookDelivery])
    assert_type(client.credits.balance(), Credits)
    assert_type(client.credits.estimate(model="local/echo", items=10), CreditEstimate)
    assert_type(client.credits.history(limit=5), Page[CreditEntry])
    assert_type(client.credits.top_up(10, note="paid"), CreditEntry)
    assert_type(client.runs.extend("r", max_cost=5), Run)
    assert_type(client.me(), Me)


def datasets(client: Client) -> None:
    dataset = client.datasets.create("cats")
    assert_type(dataset, Dataset)
    assert_type(client.datasets.get("cats").datapoint_count, int | None)
    assert_type(client.datasets.list(), Page[Dataset])
    given = [
        Datapoint("a.png", group="g"),
        Datapoint(["a.png", "b.png"], context="Which?", private_metadata={"row": 1}),
    ]
    succeeded, failed = dataset.add_datapoints(given, failure_tolerance=0.01, quiet=True, deadline=60)
    assert_type(succeeded, list[Datapoint])
    assert_type(failed, list[FailedUpload])
    dataset.add_datapoints(failed)
    assert_type([one.assets[0].width for one in dataset.datapoints()], list[int | None])
    try:
        dataset.add_datapoints(given, failure_tolerance=0.0)
    except FailedUploadException as error:
        assert_type(error.failed_uploads, list[Datapoint])
        assert_type(error.detailed_failures[0].stage, str | None)
        assert_type(error.detailed_failures[0].problem, Problem)
        assert_type(error.failures_by_reason, dict[str, list[Datapoint]])
        error.retry()


async def adatasets(client: AsyncClient) -> None:
    dataset = await client.datasets.create("cats")
    assert_type(dataset, AsyncDataset)
    succeeded, _ = await dataset.add_datapoints([Datapoint("It rains.", "text")])
    assert_type(succeeded, list[Datapoint])
    assert_type([one.id async for one in await dataset.datapoints(limit=5)], list[str])


async def awork(client: AsyncClient, path: Path) -> None:
    assert_type(await client.files.upload(path), File)
    assert_type(await client.files.upload_many(iter([path])), Sequence[Uploaded])
    assert_type(await client.files.list(), AsyncPage[File])
    assert_type([row.id async for row in await client.files.list()], list[str])
    assert_type(await client.files.download("f"), bytes)
    assert_type(await client.files.download("f", path), Path)
    assert_type(await client.batch_predictions.create(aread_items(), model="local/echo"), BatchPrediction)
    assert_type(await client.batch_predictions.create(read_items(), model="local/echo"), BatchPrediction)
    async for line in client.batch_predictions.results("b", lineage=True):
        assert_type(line, ResultLine)
    assert_type(await client.runs.wait("r"), Run)
    assert_type([entry.amount async for entry in await client.credits.history()], list[float | None])


def labelling(client: Client) -> None:
    definition = client.job.create_locate_job_definition("n", "i", ["a.jpg", Datapoint("b.jpg")], quiet=True)
    assert_type(definition, JobDefinition)
    assert_type(definition.run(), Order)
    order = client.order.create_classification_order("n", "i", ["a", "b"], [["a.jpg"]], confidence_threshold=0.9)
    assert_type(order.get_status(), str)
    assert_type(order.failed_uploads, list[Datapoint])
    assert_type(order.get_results(method="majority"), OrderResults)
    assert_type(client.order.find_orders(status="created"), Page[Order])


async def labelling_async(client: AsyncClient) -> None:
    order = await client.order.create_compare_order("n", "i", [["a.jpg", "b.jpg"]])
    assert_type(await order.run(), AsyncOrder)
    assert_type(await order.get_results(), OrderResults)
    assert_type([row.id async for row in await client.order.find_orders()], list[str])


def failures(client: Client) -> None:
    try:
        client.runs.wait("r", timeout=1)
    except PollTimeoutError as late:
        late.resume(timeout=10)
        assert_type(late.elapsed, float)
    except RateLimitError as limited:
        assert_type(limited.retry_after, float | None)
        assert_type(limited.policy, str | None)
    except ValidationError as invalid:
        assert_type(invalid.errors, list[dict[str, Any]])
    except ApiError as refused:
        assert_type(refused.problem, Problem)
        assert_type(refused.remedy, Remedy)
        assert_type(refused.gave_up, Reason | None)
    except CircuitOpenError as held:
        assert_type(held.retry_at, datetime)
        assert_type(held.attempts, tuple[Attempt, ...])
    except NetworkError as broken:
        print(broken.attempts)


def fakes() -> None:
    clock: Clock = FakeClock()
    transport = FakeTransport(Reply(503), httpx2.ReadError("reset"), lambda request: Reply(json={"path": request.path}))
    Client("k", http_client=transport.http_client(), clock=clock, on_retry=retried, on_give_up=gave_up)
    AsyncClient("k", http_client=transport.async_http_client(), clock=clock, on_response=answered)
