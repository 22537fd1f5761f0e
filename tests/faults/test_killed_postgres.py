"""PostgreSQL killed with -9 under a server that works on it: nothing lost or doubled, typed answers meanwhile, recovery by itself."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from amends.engine._engine import _FAILURE_PAUSE_SECONDS
from tests.killing import EXTRACT, Witness, local_client, note, until
from tests.postgres import PostgresServer, shared_server
from tests.problem_shape import assert_problem
from tests.servers import ServerProcess, running_server, server_process

ITEMS = 3_000
KILLS = 3


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    """A server of the tests' own. What a killed process wrote the system still has: only a machine that dies needs ``fsync``."""
    shared_server()  # skips where there is none
    server = PostgresServer()
    yield server
    server.close()


@contextmanager
def gone(postgres: PostgresServer) -> Iterator[None]:
    postgres.kill()
    try:
        yield
    finally:
        postgres.start()


def test_a_database_killed_under_load_loses_and_doubles_nothing(tmp_path: Path, postgres: PostgresServer) -> None:
    url = postgres.new_database()
    with server_process(tmp_path / "data", AMENDS_DATABASE=url, AMENDS_ENGINE_WORKERS="1") as server:
        batch_id = create(server)
        witness = Witness(batch_id)
        with local_client(tmp_path / "data") as client:
            for number in range(KILLS):
                least = (number + 1) * ITEMS // (KILLS + 2)
                until(lambda least=least: witness.look(client) >= least)
                assert witness.look_at_all(client)["outcomes"] < ITEMS, "nothing was left to interrupt"
                with gone(postgres):
                    refusals(server, batch_id)
            until(lambda: client.get(f"/v1/batch-predictions/{batch_id}").json().get("status") == "completed", 120)
            told = witness.check_end(client, ITEMS)
    assert [line["output"]["number"] for line in told] == [f"N-{n}" for n in range(ITEMS)]
    assert {line["attempts"] for line in told} == {1}


def test_a_database_that_is_away_is_a_line_of_the_log_and_not_a_traceback_a_turn(
    tmp_path: Path, postgres: PostgresServer, caplog: pytest.LogCaptureFixture
) -> None:
    with running_server(tmp_path / "data", database=postgres.new_database()) as server:
        logging.getLogger("amends").addHandler(caplog.handler)
        try:
            with gone(postgres):
                until(lambda: "maintenance_failed" in caplog.text)
                time.sleep(3 * _FAILURE_PAUSE_SECONDS)
        finally:
            logging.getLogger("amends").removeHandler(caplog.handler)
        said = [record for record in caplog.records if record.levelno >= logging.ERROR]
        assert not [record.message for record in said if record.exc_info]
        assert len({record.message for record in said}) == len(said)
        assert all("connection" in vars(record)["reason"] for record in said)
        with server.client() as client:
            until(lambda: client.get("/health/ready").status_code == 200)
        clerks = {
            "amends-fetches",
            "amends-openai-intake",
            "amends-openai-outputs",
            "amends-labelling",
            "amends-webhooks",
        }
        assert clerks <= {thread.name for thread in threading.enumerate()}, "it ended one that looks after something"


def create(server: ServerProcess) -> str:
    items = [{"custom_id": f"c{n}", "input": note(n)} for n in range(ITEMS)]
    headers = {"x-api-key": server.key, "idempotency-key": "once"}
    answer = httpx2.post(
        f"{server.base_url}/v1/batch-predictions", json={"items": items, **EXTRACT}, headers=headers, timeout=60
    )
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


def refusals(server: ServerProcess, batch_id: str) -> None:
    """What is told while the database is gone, at once and not after a time-out."""
    with httpx2.Client(base_url=server.base_url, headers={"x-api-key": server.key}, timeout=30) as client:
        started = time.monotonic()
        answers = [
            client.get(f"/v1/batch-predictions/{batch_id}"),
            client.get("/v1/files"),
            client.post(f"/v1/batch-predictions/{batch_id}/cancel", headers={"idempotency-key": "in-vain"}),
            client.get("/health/ready"),
        ]
        for answer in answers:
            problem = assert_problem(answer, "service_unavailable")
            assert 1 <= int(answer.headers["retry-after"]) <= 60
            assert problem["remedy"]["retryable"]
        assert client.get("/health/live").status_code == 200
        assert time.monotonic() - started < 20
