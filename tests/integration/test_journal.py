"""The journal against a whole server: what was done is not done again, by both clients."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from amends import AsyncClient, Client
from amends.client import JournalEntry, ResponseEvent, read_journal
from amends.client import _resuming as resuming
from amends.client._entries import SentIds
from amends.exceptions import ApiError, ValidationError
from tests.servers import RunningServer

Work = Callable[[Any], Any]
Run = Callable[[Work], Any]


class Crash(Exception):
    """Ends a run of the program in its middle."""


def texts(count: int) -> Iterator[dict[str, Any]]:
    return ({"custom_id": f"item-{number}", "input": f"text {number}"} for number in range(count))


@pytest.fixture(params=["sync", "async"])
def program(request: pytest.FixtureRequest, shell: RunningServer, tmp_path: Path) -> Run:
    """Runs a program with a journal: ``work`` is given a client whose methods are called alike, and may raise Crash."""
    path = tmp_path / "journal"

    def sync(work: Work) -> Any:
        with Client(shell.key, shell.base_url, journal=path) as client:
            return work(client)

    async def asynchronous(work: Work) -> Any:
        async with AsyncClient(shell.key, shell.base_url, journal=path) as client:
            return await asyncio.to_thread(work, Awaited(client, asyncio.get_running_loop()))

    def run(work: Work) -> Any:
        try:
            return sync(work) if request.param == "sync" else asyncio.run(asynchronous(work))
        except Crash:
            return None

    return run


class Awaited:
    """An AsyncClient that is called like a Client, from a thread beside its loop."""

    def __init__(self, target: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._target, self._loop = target, loop

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._target, name)
        if not callable(value):
            return Awaited(value, self._loop)
        return lambda *a, **o: asyncio.run_coroutine_threadsafe(value(*a, **o), self._loop).result(60)


def effects(server: RunningServer) -> int:
    """How many things were created on the server."""
    with server.owner.services.database.read() as tx:
        return int(tx.value("select count(*) from idempotency where resource_id is not null"))


def requests(server: RunningServer) -> int:
    with server.client("") as client:
        lines = client.get("/metrics").text.splitlines()
    counted = [line for line in lines if line.startswith("amends_requests_total") and 'method="POST"' in line]
    return int(sum(float(line.rpartition(" ")[2]) for line in counted))


def test_what_was_done_before_a_crash_is_not_sent_again(program: Run, shell: RunningServer, tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.txt" for number in range(5)]
    for path in paths:
        path.write_bytes(os.urandom(100))
    before = effects(shell)
    seen: list[list[str]] = []

    def work(client: Any, crash: bool) -> None:
        files = [client.files.upload(path) for path in paths[:3]]
        batch = client.batch_predictions.create(texts(20), model="local/echo")
        seen.append([*(file.id for file in files), batch.id])
        if crash:
            raise Crash
        rest = client.files.upload_many(paths)
        assert all(one.is_stored for one in rest)
        # The first three are equal to calls of before, and so are calls of their own.
        assert not {one.file.id for one in rest} & set(seen[0])

    program(lambda client: work(client, True))
    assert effects(shell) == before + 4
    sent = requests(shell)
    program(lambda client: work(client, True))
    assert requests(shell) == sent, "what was finished was sent again"
    program(lambda client: work(client, False))
    assert effects(shell) == before + 4 + 5
    assert seen[0] == seen[1] == seen[2]
    assert not (tmp_path / "journal").exists(), "done is done"
    program(lambda client: work(client, True))
    assert effects(shell) == before + 4 + 5 + 4, "after a good end the same is new work"


def test_an_answer_that_was_lost_is_asked_for_under_its_old_key(
    program: Run, shell: RunningServer, tmp_path: Path
) -> None:
    """As after kill -9 between the server's commit and the client's: the entry is there, its answer is not."""
    import sqlite3

    before, ids = effects(shell), []

    def work(client: Any) -> None:
        ids.append(client.files.upload(b"once", filename="once.txt").id)
        ids.append(client.batch_predictions.create(texts(3), model="local/echo").id)
        raise Crash

    program(work)
    with sqlite3.connect(tmp_path / "journal") as raw:
        assert raw.execute("update entry set answer = null, finished_at = null").rowcount == 2
    raw.close()
    program(work)
    assert ids[:2] == ids[2:]
    with sqlite3.connect(tmp_path / "journal") as raw:
        raw.execute("delete from entry")  # as after a power cut that took the last entries along
        raw.execute("delete from sent")
    raw.close()
    program(work)
    assert ids[:2] == ids[4:]
    assert effects(shell) == before + 2


def test_large_files_go_on_in_the_next_run(program: Run, shell: RunningServer, tmp_path: Path) -> None:
    content = os.urandom(1_000_000)
    files: list[Any] = []

    def work(client: Any) -> None:
        files.append(client.files.upload(content, filename="large.bin", resumable=True, purpose="batch"))
        raise Crash

    program(work)
    program(work)
    assert files[0] == files[1]
    assert (files[0].bytes, files[0].filename, files[0].purpose) == (len(content), "large.bin", "batch")
    (entry,) = read_journal(tmp_path / "journal")
    assert (entry.received, entry.total, entry.resource_id) == (len(content), len(content), files[0].id)


def test_a_large_file_goes_on_with_the_part_that_was_next(
    shell: RunningServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between two parts, it sends the rest; the server has one file, made of both runs."""
    monkeypatch.setattr(resuming, "PART_BYTES", 100_000)
    path = tmp_path / "large.bin"
    path.write_bytes(os.urandom(1_000_000))
    parts: list[int] = []

    def watch(event: ResponseEvent) -> None:
        parts.append(event.method == "PATCH")
        if sum(parts) == 4:
            raise KeyboardInterrupt  # as good as a kill: nothing between here and the end of the program handles it

    def run(**hooks: Any) -> Any:
        with Client(shell.key, shell.base_url, journal=tmp_path / "journal", **hooks) as client:
            return client.files.upload(path, resumable=True)

    with pytest.raises(KeyboardInterrupt):
        run(on_response=watch)
    (entry,) = read_journal(tmp_path / "journal")
    assert (entry.received, entry.total, entry.finished_at) == (300_000, 1_000_000, None)
    rest: list[str] = []
    file = run(on_response=lambda event: rest.append(event.method))
    assert rest.count("PATCH") == 6
    with shell.client() as client:
        assert client.get(f"/v1/files/{file.id}/content").content == path.read_bytes()


def test_a_journal_tells_what_it_holds(program: Run, tmp_path: Path) -> None:
    seen: list[list[JournalEntry]] = []

    def work(client: Any) -> None:
        client.files.upload(b"a", filename="a")
        with pytest.raises(ValidationError):
            client.batch_predictions.create([], model="local/echo")
        seen.append(read_journal(tmp_path / "journal"))

    program(work)
    done, failed = seen[0]
    assert (done.call, done.total, done.ordinal) == ("files.upload", 1, 0)
    assert done.finished_at is not None
    assert (failed.call, failed.finished_at, failed.resource_id) == ("POST /v1/batch-predictions", None, None)


def test_a_refused_call_may_be_mended_and_made_again(program: Run, shell: RunningServer) -> None:
    def work(client: Any) -> None:
        for model in ("local/nonsense", "local/echo"):
            try:
                client.batch_predictions.create(texts(2), model=model)
            except ApiError:
                continue
        raise Crash

    before = effects(shell)
    program(work)
    program(work)
    assert effects(shell) == before + 1


def test_reconcile_knows_what_was_sent_and_names_what_is_missing_or_doubled(
    server: RunningServer, tmp_path: Path
) -> None:
    with Client(server.key, server.base_url, journal=tmp_path / "journal") as client:
        batch = client.batch_predictions.create(texts(25_000), model="local/echo")
        client.batch_predictions.wait(batch.id, timeout=60)
        report = client.batch_predictions.reconcile(batch.id)
        assert (report.is_complete, report.expected, report.received) == (True, 25_000, 25_000)
        sent = SentIds()
        for custom_id in ("lost", "item-7"):
            sent.add(custom_id)
        journal = client._context.journal
        assert journal
        row = {"part": 99, "custom_ids": sent.rows()[0], "resource_id": batch.id}
        journal._connection.execute(
            "insert into sent select fingerprint, ordinal, :part, :custom_ids from entry where resource_id = :resource_id",
            row,
        )
        report = client.batch_predictions.reconcile(batch.id)
        assert (report.is_complete, report.missing, report.doubled) == (False, ("lost",), ("item-7",))
