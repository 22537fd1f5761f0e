"""``amends serve`` killed with -9 at random moments while a client creates and reads: nothing lost, doubled or blamed."""

from __future__ import annotations

import hashlib
import random
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from amends.client import Client
from amends.ledger import TERMINAL
from tests.killing import EXTRACT, Witness, free_port, local_client, note, until
from tests.postgres import database_of
from tests.servers import ServerProcess, running_server, server_process

ITEMS = 5_000


class MortalServer:
    """A server that is killed and comes back at the same address."""

    def __init__(self, place: Path, database: str | None = None) -> None:
        self.data = place / "data"
        self._environ = {"AMENDS_ENGINE_WORKERS": "2", **({"AMENDS_DATABASE": database} if database else {})}
        self.kills = 0
        self._port = free_port()
        self._stack = ExitStack()
        self.process = self._start()
        self.key = self.process.key

    def __enter__(self) -> MortalServer:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def base_url(self) -> str:
        return self.process.base_url

    def kill(self) -> None:
        self.process.kill()
        assert self.process.process.returncode == -signal.SIGKILL
        self.kills += 1
        self._stack.close()
        self.process = self._start()

    def _start(self) -> ServerProcess:
        return self._stack.enter_context(server_process(self.data, port=self._port, **self._environ))


class Program:
    """What a user runs meanwhile: create a batch under a key, then read its lines as they come, until it has ended."""

    def __init__(self, server: MortalServer) -> None:
        self.lines: list[dict[str, Any]] = []
        self.batch_id = ""
        self.is_halfway = threading.Event()
        self.may_go_on = threading.Event()
        self.has_sent = threading.Event()
        self.retries = 0
        self._client = Client(
            api_key=server.key, base_url=server.base_url, max_retries=20, on_retry=self._count, timeout=30, deadline=60
        )

    def run(self) -> None:
        with self._client as client:
            self.batch_id = client.batch_predictions.create(items=self._items(), idempotency_key="once", **EXTRACT).id
            ended = False
            while not ended:
                ended = client.batch_predictions.get(self.batch_id).status in TERMINAL
                after = str(self.lines[-1]["cursor"]) if self.lines else None
                for line in client.batch_predictions.results(self.batch_id, order="completion", after=after):
                    self.lines.append(dict(line))
                time.sleep(0.02)

    def create_again(self, server: MortalServer) -> str:
        """The same request another time."""
        with Client(api_key=server.key, base_url=server.base_url) as client:
            return client.batch_predictions.create(items=_items(), idempotency_key="once", **EXTRACT).id

    def _items(self) -> Iterator[dict[str, Any]]:
        for number, item in enumerate(_items()):
            if number == ITEMS // 2:
                self.is_halfway.set()
                assert self.may_go_on.wait(60)
            yield item
        self.has_sent.set()

    def _count(self, event: object) -> None:
        self.retries += 1


def _items() -> Iterator[dict[str, Any]]:
    return ({"custom_id": f"c{n}", "input": note(n)} for n in range(ITEMS))


@pytest.mark.timeout(170)
@pytest.mark.parametrize(("dialect", "kills"), [("sqlite", 10), ("postgres", 5)])
def test_a_server_killed_many_times_loses_doubles_and_blames_nothing(tmp_path: Path, dialect: str, kills: int) -> None:
    draw = random.Random(11)
    with database_of(dialect) as database, MortalServer(tmp_path, database) as server, ThreadPoolExecutor(1) as pool:
        program = Program(server)
        running = pool.submit(program.run)

        assert program.is_halfway.wait(60)
        server.kill()
        assert _batches(server) == [], "a batch that was not sent to its end is there"
        program.may_go_on.set()
        assert program.has_sent.wait(60)
        time.sleep(draw.uniform(0, 0.2))
        server.kill()
        until(lambda: program.batch_id or running.done())
        witness = Witness(program.batch_id)
        for _ in range(kills - 2):
            target = witness.count + draw.randint(1, 400)
            with local_client(server.data) as client:
                until(lambda least=target: witness.look(client) >= least)
                time.sleep(draw.uniform(0, 0.1))
                assert witness.look_at_all(client)["outcomes"] < ITEMS, "nothing was left to interrupt"
            server.kill()
        running.result(120)

        assert server.kills == kills
        assert program.retries >= 2, "the client noticed nothing"
        assert program.create_again(server) == program.batch_id
        assert [batch["id"] for batch in _batches(server)] == [program.batch_id]
        with local_client(server.data) as client:
            told = witness.check_end(client, ITEMS)
            counts = client.get(f"/v1/batch-predictions/{program.batch_id}").json()["request_counts"]
        assert counts == {
            "total": ITEMS,
            "processing": 0,
            "succeeded": ITEMS,
            "errored": 0,
            "canceled": 0,
            "expired": 0,
        }
        assert [line["output"]["number"] for line in told] == [f"N-{n}" for n in range(ITEMS)]
        read = {line.pop("custom_id"): line for line in program.lines}
        assert len(read) == len(program.lines) == ITEMS, "the client read a line twice or not at all"
        for line in told:
            seen = read[line.pop("custom_id")]
            assert seen.pop("cursor")
            assert seen == line


def _batches(server: MortalServer) -> list[dict[str, Any]]:
    with local_client(server.data) as client:
        found: list[dict[str, Any]] = client.get("/v1/batch-predictions?limit=100").json()["data"]
    return found


@pytest.mark.timeout(120)
def test_runs_killed_while_they_end_have_whole_manifests(tmp_path: Path) -> None:
    draw = random.Random(5)
    names = _waiting_batches(tmp_path / "data", 99)
    with MortalServer(tmp_path) as server:
        for _ in range(2):
            least = _ended(server) + draw.randint(1, 5)
            ended = until(lambda least=least: _at_least(least, _ended(server)))
            assert ended < len(names), "nothing was left to interrupt"
            server.kill()
        until(lambda: _ended(server) == len(names))
        with local_client(server.data) as client:
            for name in names:
                lines = client.get(f"/v1/batch-predictions/{name}/results").raise_for_status().content
                manifest = client.get(f"/v1/batch-predictions/{name}/manifest").raise_for_status().json()
                assert manifest["request_counts"]["succeeded"] == manifest["lines"] == lines.count(b"\n") == 5
                assert manifest["sha256"] == hashlib.sha256(lines).hexdigest()


def _waiting_batches(data: Path, number: int) -> list[str]:
    """Small batches on a server without workers, each some fifteen milliseconds of work."""
    items = [{"custom_id": f"c{n}", "input": note(n, lines=60)} for n in range(5)]
    with running_server(data, engine=None) as server, server.client() as client:
        answers = [client.post("/v1/batch-predictions", json={"items": items, **EXTRACT}) for _ in range(number)]
    return [str(answer.raise_for_status().json()["id"]) for answer in answers]


def _at_least(least: int, number: int) -> int | None:
    return number if number >= least else None


def _ended(server: MortalServer) -> int:
    return sum(batch["status"] == "completed" for batch in _batches(server))
