"""A server killed between what happens and its telling: whoever listens is told all the same, under the same id."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2
import psycopg
import pytest

from tests.killing import until
from tests.postgres import own_database
from tests.receivers import Receiver, running_receiver
from tests.servers import ServerProcess, server_process

ENDED = ("completed",)
ALLOW = {"AMENDS_WEBHOOKS_ALLOW": "127.0.0.0/8", "AMENDS_ENGINE_WORKERS": "1"}
# Writing the message takes a while, as on a disk that is slow just then: whoever sees that a batch has ended, and kills, comes
# before the message is written, unless both become visible at once.
SLOW = """
create table if not exists ten (n);
insert into ten values (0), (1), (2), (3), (4), (5), (6), (7), (8), (9);
create trigger slow before insert on webhook_delivery begin
  select count(*) from ten a, ten b, ten c, ten d, ten e, ten f, ten g;
end;
"""
SLOW_POSTGRES = """
create function amends.slow() returns trigger language plpgsql as $$ begin perform pg_sleep(0.5); return new; end $$;
create trigger slow before insert on amends.webhook_delivery for each row execute function amends.slow();
"""


def client_of(server: ServerProcess, key: str) -> httpx2.Client:
    return httpx2.Client(base_url=server.base_url, headers={"x-api-key": key}, timeout=30, trust_env=False)


def start_batch(client: httpx2.Client) -> str:
    items = [{"custom_id": "a", "input": {}}]
    return str(client.post("/v1/batch-predictions", json={"model": "local/echo", "items": items}).json()["id"])


def make_slow(data: Path) -> None:
    if (url := own_database(data)) is not None:
        with psycopg.connect(url) as database:
            database.execute(SLOW_POSTGRES)
        return
    with closing(sqlite3.connect(data / "amends.db", timeout=30)) as file:
        file.executescript(SLOW)


def await_end(data: Path, run_id: str) -> None:
    """Return at the commit that ends the run: as it stands in the database, since an answer of the server may come later."""
    if (url := own_database(data)) is not None:
        with psycopg.connect(url, autocommit=True) as database:
            until(lambda: database.execute("select state from amends.run where id = %s", (run_id,)).fetchone() == ENDED)
        return
    with closing(sqlite3.connect(f"file:{data / 'amends.db'}?mode=ro", uri=True)) as file:
        until(lambda: file.execute("select state from run where id = ?", (run_id,)).fetchone() == ENDED)


def hook(client: httpx2.Client, receiver: Receiver) -> dict[str, Any]:
    body = {"url": f"{receiver.url}/hook", "events": ["batch.completed"]}
    made: dict[str, Any] = client.post("/v1/webhooks", json=body).json()
    return made


@pytest.mark.timeout(180)
def test_what_had_happened_when_the_server_was_killed_is_told_by_the_next(tmp_path: Path) -> None:
    data, ended = tmp_path / "data", []
    with running_receiver() as receiver:
        with server_process(data, **ALLOW) as server:
            key = server.key
            with client_of(server, key) as client:
                made = hook(client, receiver)
                make_slow(data)
                ended.append(start_batch(client))
            await_end(data, ended[-1])
            server.kill()
        receiver.received.clear()  # by the first server, should it have come to that

        receiver.status = None  # the second gets no answer before it is killed, too
        with server_process(data, **ALLOW) as server:
            [under_way] = receiver.wait_for(1)
            server.kill()
        assert under_way.verified(made["secret"])["data"]["id"] == ended[0]

        receiver.status = 204
        with server_process(data, **ALLOW) as server, client_of(server, key) as client:
            again = receiver.wait_for(2)[1]
            assert again.message_id == under_way.message_id
            assert again.body == under_way.body
            [delivery] = client.get(f"/v1/webhooks/{made['id']}/deliveries").json()["data"]
            end = time.monotonic() + 30
            while delivery["status"] != "delivered":
                assert time.monotonic() < end
                [delivery] = client.get(f"/v1/webhooks/{made['id']}/deliveries").json()["data"]
            assert delivery["attempts"] == 1, "what a killed server tried is on nobody's record"
            assert delivery["message_id"] == again.message_id
