"""The SDK against a whole server: what is sent, run, waited for, read, mended and reconciled, by both clients."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from amends import AsyncClient, Client
from amends.client import NO_KEY
from amends.exceptions import (
    AuthError,
    ConflictError,
    ForbiddenError,
    GoneError,
    NotFoundError,
    PollTimeoutError,
    ValidationError,
)
from tests.servers import RunningServer, running_server

Use = Callable[[Callable[[Any], Any]], Any]


def texts(count: int) -> Iterator[dict[str, Any]]:
    return ({"custom_id": f"item-{number}", "input": f"text {number}"} for number in range(count))


@pytest.fixture(params=["sync", "async"])
def use(request: pytest.FixtureRequest, server: RunningServer) -> Use:
    """Drive either client through ``work``, which is written once: what it calls goes through ``do``."""

    def drive(work: Callable[[Any], Any]) -> Any:
        if request.param == "sync":
            with Client(server.key, server.base_url) as client:
                return work(client)
        return asyncio.run(_adrive(work, server))

    return drive


class _Awaiting:
    """An AsyncClient that is called like a Client, from a thread beside its loop."""

    def __init__(self, target: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._target, self._loop = target, loop

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._target, name)
        return _Awaiting(value, self._loop) if hasattr(value, "_loop") else self._calling(value)

    def _calling(self, method: Any) -> Any:
        def call(*args: Any, **options: Any) -> Any:
            value = method(*args, **options)
            return asyncio.run_coroutine_threadsafe(self._done(value), self._loop).result(60)

        return call

    async def _done(self, value: Any) -> Any:
        if inspect.isasyncgen(value):
            return [line async for line in value]
        value = await value
        return [row async for row in value] if hasattr(value, "__aiter__") else value


async def _adrive(work: Callable[[Any], Any], server: RunningServer) -> Any:
    async with AsyncClient(server.key, server.base_url) as client:
        return await asyncio.to_thread(work, _Awaiting(client, asyncio.get_running_loop()))


def test_batch_from_generator_to_reconciled_results(use: Use) -> None:
    def work(client: Any) -> None:
        batch = client.batch_predictions.create(texts(2_500), model="local/echo", metadata={"job": "7"})
        assert batch.request_counts.total == 2_500
        assert batch.metadata == {"job": "7"}
        done = client.batch_predictions.wait(batch.id, timeout=60)
        assert done.is_complete
        lines = list(client.batch_predictions.results(batch.id))
        assert [line["custom_id"] for line in lines] == [item["custom_id"] for item in texts(2_500)]
        assert lines[7]["output"] == {"text": "text 7"}
        report = client.batch_predictions.reconcile(batch.id, (item["custom_id"] for item in texts(2_500)))
        assert report.is_complete, report
        short = client.batch_predictions.reconcile(batch.id, ["item-0", "item-lost"])
        assert short.missing == ("item-lost",)
        assert len(short.unexpected) == 2_499
        assert client.batch_predictions.manifest(batch.id).lines == 2_500
        record = client.batch_predictions.item(batch.id, "item-3")
        assert record.outcome["output"] == {"text": "text 3"}
        rest = list(client.batch_predictions.results(batch.id, after="item-2497"))
        assert [line["custom_id"] for line in rest] == ["item-2498", "item-2499"]
        conservation = client.runs.conservation(batch.id)
        assert (conservation.holds, conservation.outcomes) == (True, 2_500)

    use(work)


def test_files_travel_there_and_back(use: Use, tmp_path: Path) -> None:
    path = tmp_path / "größe.txt"
    path.write_bytes("Zwölf Boxkämpfer".encode())

    def work(client: Any) -> None:
        file = client.files.upload(path, expires_after=3600)
        assert (file.filename, file.bytes, file.media_type) == ("größe.txt", len(path.read_bytes()), "text/plain")
        assert client.files.get(file.id) == file
        assert client.files.download(file.id) == path.read_bytes()
        assert client.files.download(file.id, tmp_path / "back").read_bytes() == path.read_bytes()
        assert file.id in [row.id for row in client.files.list(limit=100)]
        assert client.files.delete(file.id).deleted
        with pytest.raises(NotFoundError) as caught:
            client.files.get(file.id)
        assert caught.value.error_code == "FILE_NOT_FOUND"

    use(work)


def test_failed_items_are_mended_and_retried(use: Use) -> None:
    def work(client: Any) -> None:
        file = client.files.upload(b"Invoice 17\n\nTotal: 25.00 EUR\nDate: 2026-01-02\n", filename="a.txt")
        items = [{"custom_id": "good", "file_id": file.id}, {"custom_id": "lost", "file_id": "file_nowhere"}]
        schema = {"type": "object", "properties": {"total": {"type": "number"}}}
        batch = client.batch_predictions.create(items, model="local/extract", output_schema=schema)
        done = client.batch_predictions.wait(batch.id, timeout=60)
        assert (done.is_ended, done.is_complete) == (True, False)
        (group,) = client.batch_predictions.failures(batch.id).data
        assert (group.slug, group.count, group.examples[0].custom_id) == ("file_not_found", 1, "lost")
        mended = [{"custom_id": "lost", "file_id": file.id}]
        child = client.batch_predictions.retry_failed(batch.id, types=["file_not_found"], replace=mended)
        assert (child.parent_id, child.root_id) == (batch.id, batch.id)
        assert client.runs.wait(child.id, timeout=60).is_complete
        merged = list(client.batch_predictions.results(batch.id, lineage=True))
        assert [(line["custom_id"], line["status"]) for line in merged] == [
            ("good", "succeeded"),
            ("lost", "succeeded"),
        ]
        assert [line["output"] for line in merged] == [{"total": 25.0}] * 2
        errored = list(client.batch_predictions.results(batch.id, status="errored"))
        assert [line["error"]["code"] for line in errored] == ["file_not_found"]
        assert client.batch_predictions.reconcile(batch.id, ["good", "lost"], lineage=True).is_complete

    use(work)


def test_part_first_then_the_rest(use: Use) -> None:
    def work(client: Any) -> None:
        batch = client.batch_predictions.create(texts(50), model="local/echo", limit_items=5)
        held = client.batch_predictions.wait(batch.id, timeout=60)
        assert (held.status, held.paused_reason) == ("in_progress", "limit")
        assert len(list(client.batch_predictions.results(batch.id, partial=True))) == 5
        client.batch_predictions.extend(batch.id)
        assert client.batch_predictions.wait(batch.id, timeout=60).is_complete

    use(work)


def test_wait_that_ends_too_soon_resumes(tmp_path: Path) -> None:
    with running_server(tmp_path / "data", engine=None) as server, Client(server.key, server.base_url) as client:
        batch = client.batch_predictions.create(texts(3), model="local/echo")
        with pytest.raises(PollTimeoutError) as caught:
            client.batch_predictions.wait(batch.id, timeout=0.2)
        assert caught.value.run_id == batch.id
        assert caught.value.elapsed >= 0.2
        with pytest.raises(PollTimeoutError):
            caught.value.resume(timeout=0)


def test_dry_run_counts_and_runs_nothing(use: Use) -> None:
    def work(client: Any) -> None:
        items = [{"custom_id": "a", "input": "x"}, {"custom_id": "b", "file_id": "file_nowhere"}]
        report = client.batch_predictions.dry_run(iter(items), model="local/echo")
        assert (report.request_counts.total, report.request_counts.errored, report.cost) == (2, 1, 0)

    use(work)


def test_refusals_name_what_is_wrong(use: Use) -> None:
    def work(client: Any) -> None:
        doubled = iter([{"custom_id": "a", "input": "x"}, {"custom_id": "a", "input": "y"}])
        with pytest.raises(ValidationError) as caught:
            client.batch_predictions.create(doubled, model="local/echo")
        assert caught.value.errors[0]["pointer"] == "/items/1/custom_id"
        assert caught.value.errors[0]["custom_id"] == "a"
        assert "Duplicate custom_id 'a' in batch" in str(caught.value)
        with pytest.raises(ValidationError):
            client.batch_predictions.create([], model="local/echo")
        with pytest.raises(ValidationError):
            client.batch_predictions.create(texts(1), model="local/nonsense")
        with pytest.raises(NotFoundError):
            client.batch_predictions.get("bpred_nowhere")
        with pytest.raises(NotFoundError):
            list(client.batch_predictions.results("bpred_nowhere"))

    use(work)


def test_same_key_makes_one_batch(use: Use, request: pytest.FixtureRequest) -> None:
    key = f"key of {request.node.name}"

    def work(client: Any) -> None:
        first = client.batch_predictions.create(texts(3), model="local/echo", idempotency_key=key)
        again = client.batch_predictions.create(texts(3), model="local/echo", idempotency_key=key)
        assert first.id == again.id
        assert [row.id for row in client.batch_predictions.list(idempotency_key=key)] == [first.id]
        with pytest.raises(ConflictError) as caught:
            client.batch_predictions.create(texts(4), model="local/echo", idempotency_key=key)
        assert caught.value.code == "idempotency_conflict"

    use(work)


def test_lists_walk_all_pages(use: Use) -> None:
    def work(client: Any) -> None:
        made = {client.batch_predictions.create(texts(1), model="local/echo").id for _ in range(5)}
        assert made <= {row.id for row in client.batch_predictions.list(limit=2)}
        assert made <= {row.id for row in client.runs.list(limit=3)}

    use(work)


def test_purged_results_are_gone(use: Use) -> None:
    def work(client: Any) -> None:
        batch = client.batch_predictions.create(texts(2), model="local/echo")
        client.runs.wait(batch.id, timeout=60)
        client.runs.purge(batch.id)
        with pytest.raises(GoneError):
            list(client.batch_predictions.results(batch.id))

    use(work)


def test_keys_open_what_their_role_allows(use: Use, server: RunningServer) -> None:
    def work(client: Any) -> None:
        assert client.me().role == "owner"
        made = client.api_keys.create(role="viewer", name="reader")
        with Client(made.key, server.base_url) as viewer:
            assert viewer.me().role == "viewer"
            with pytest.raises(ForbiddenError):
                viewer.batch_predictions.create(texts(1), model="local/echo")
            assert made.id in [row.id for row in client.api_keys.list(limit=100)]
            client.api_keys.revoke(made.id)
            with pytest.raises(AuthError, match="Invalid authentication credentials"):
                viewer.me()

    use(work)


def test_async_items_are_streamed(server: RunningServer) -> None:
    async def items() -> AsyncIterator[dict[str, Any]]:
        for item in texts(1_000):
            yield item

    async def work() -> int:
        async with AsyncClient(server.key, server.base_url) as client:
            batch = await client.batch_predictions.create(items(), model="local/echo")
            await client.batch_predictions.wait(batch.id, timeout=60)
            return len([line async for line in client.batch_predictions.results(batch.id, order="completion")])

    assert asyncio.run(work()) == 1_000


def test_failing_iterable_leaves_no_batch(tmp_path: Path) -> None:
    def broken() -> Iterator[dict[str, Any]]:
        yield from texts(20_000)
        raise RuntimeError("the disk is gone")

    with running_server(tmp_path / "data", engine=None) as server, Client(server.key, server.base_url) as client:
        with pytest.raises(RuntimeError, match="the disk is gone"):
            client.batch_predictions.create(broken(), model="local/echo", idempotency_key="k")
        assert list(client.batch_predictions.list()) == []
        # The dropped one gave its key free.
        assert client.batch_predictions.create(texts(1), model="local/echo", idempotency_key="k").request_counts


def test_local_socket_is_the_owners_way_in(server: RunningServer) -> None:
    import httpx2

    http = httpx2.Client(transport=httpx2.HTTPTransport(uds=str(server.owner.socket)))
    with http, Client(NO_KEY, "http://local", http_client=http) as client:
        assert client.me().role == "owner"
        batch = client.batch_predictions.create(texts(10), model="local/echo")
        assert client.batch_predictions.wait(batch.id, timeout=60).is_complete
