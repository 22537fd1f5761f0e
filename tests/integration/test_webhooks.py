"""Telling others what happened: signed, at least once, and never where it must not go."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import pytest
from standardwebhooks.webhooks import WebhookVerificationError

from amends import Client
from amends.database import Transaction
from amends.resilience import Closed, Opened
from amends.server.housekeeping import Housekeeping
from amends.server.schedule import PAUSES
from amends.server.telling import tell_of_breakers
from tests.orders import dataset_on, text
from tests.postgres import database_of
from tests.problem_shape import assert_problem
from tests.receivers import Receiver, running_receiver
from tests.servers import RunningServer, running_server

T = TypeVar("T")
EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "receive_webhook.py"
HOOKS = "/v1/webhooks"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, sql_dialect: str) -> Iterator[RunningServer]:
    flags: dict[str, Any] = {"webhooks__allow": ("127.0.0.0/8",), "webhooks__total_seconds": 5.0}
    with (
        database_of(sql_dialect) as database,
        running_server(tmp_path_factory.mktemp("hooks") / "data", database=database, **flags) as running,
    ):
        yield running


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with running_receiver() as running:
        yield running


def until(claim: Callable[[], T], seconds: float = 60.0) -> T:
    end = time.monotonic() + seconds
    while not (value := claim()):
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.02)
    return value


def hook(client: httpx2.Client, url: str, *events: str) -> dict[str, Any]:
    answer = client.post(HOOKS, json={"url": url, "events": list(events or ["*"])})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"{HOOKS}/{made['id']}"
    return made


def test(client: httpx2.Client, made: dict[str, Any]) -> str:
    """Have the webhook told something; the path of the delivery."""
    answer = client.post(f"{HOOKS}/{made['id']}/test")
    assert answer.status_code == 200, answer.text
    return f"{HOOKS}/{made['id']}/deliveries/{answer.json()['id']}"


test.__test__ = False  # type: ignore[attr-defined] # no test itself


def ended(client: httpx2.Client, path: str, attempts: int = 1) -> dict[str, Any]:
    """The delivery once so much has been tried."""
    return until(lambda: (found := client.get(path).json())["attempts"] >= attempts and found)


def run_batch(client: httpx2.Client, **more: Any) -> str:
    items = [{"custom_id": "a", "input": {}}, {"custom_id": "b", "input": {}}]
    answer = client.post("/v1/batch-predictions", json={"model": "local/echo", "items": items, **more})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


def fresh(server: RunningServer, name: str) -> httpx2.Client:
    """A client of a workspace of its own, so that nobody else's batches are told."""
    return server.client(server.new_key("owner", workspace=name))


def test_the_end_of_a_batch_is_told_with_what_it_is(server: RunningServer, receiver: Receiver) -> None:
    with fresh(server, "ends") as client:
        made = hook(client, f"{receiver.url}/hook", "batch.completed", "batch.cancelled", "batch.paused")
        assert made["secret"].startswith("whsec_")
        run_id = run_batch(client)
        [first] = receiver.wait_for(1)
        said = first.verified(made["secret"])
        assert set(said) == {"type", "timestamp", "data"}
        assert said["type"] == "batch.completed"
        assert said["data"] == client.get(f"/v1/batch-predictions/{run_id}").json()
        assert first.message_id.startswith("msg_")
        assert first.headers["content-type"] == "application/json"
        paused = run_batch(client, limit_items=1)
        said = receiver.wait_for(2)[1].verified(made["secret"])
        assert (said["type"], said["data"]["id"], said["data"]["paused_reason"]) == ("batch.paused", paused, "limit")
        client.post(f"/v1/batch-predictions/{paused}/cancel").raise_for_status()
        assert receiver.wait_for(3)[2].verified(made["secret"])["type"] == "batch.cancelled"
        assert len({each.message_id for each in receiver.received}) == 3


def test_what_ended_badly_is_told_and_who_does_not_listen_is_told_nothing(
    server: RunningServer, receiver: Receiver
) -> None:
    with fresh(server, "bad ends") as client:
        made = hook(client, f"{receiver.url}/bad", "batch.failed", "batch.expired")
        other = hook(client, f"{receiver.url}/other", "breaker.opened")
        items = [{"custom_id": "a", "file_id": "file_of_nobody"}]
        run_batch(client, items=items, validation="strict")
        assert receiver.wait_for(1)[0].verified(made["secret"])["type"] == "batch.failed"
        held = run_batch(client, limit_items=1)
        client.post(f"/v1/batch-predictions/{held}/expire").raise_for_status()
        assert receiver.wait_for(2)[1].verified(made["secret"])["type"] == "batch.expired"
        assert receiver.of("/other") == []
        assert client.get(f"{HOOKS}/{other['id']}/deliveries").json()["data"] == []


def test_a_run_that_cannot_pay_is_told_once(
    tmp_path_factory: pytest.TempPathFactory, sql_dialect: str, receiver: Receiver
) -> None:
    flags: dict[str, Any] = {"webhooks__allow": ("127.0.0.0/8",), "credits__price": 1.0}
    with (
        database_of(sql_dialect) as database,
        running_server(tmp_path_factory.mktemp("poor") / "data", database=database, **flags) as server,
        server.client() as client,
    ):
        client.post("/v1/credits/top-ups", json={"amount": 1}).raise_for_status()
        made = hook(client, receiver.url + "/", "batch.paused", "batch.completed")
        run_batch(client)
        said = receiver.wait_for(1)[0].verified(made["secret"])
        assert (said["type"], said["data"]["paused_reason"]) == ("batch.paused", "credit")
        client.post("/v1/credits/top-ups", json={"amount": 1}).raise_for_status()
        types = [each.verified(made["secret"])["type"] for each in receiver.wait_for(2)]
        assert types == ["batch.paused", "batch.completed"]


def test_what_becomes_of_an_order_is_told_as_it_comes_about(
    server: RunningServer, client: httpx2.Client, receiver: Receiver
) -> None:
    made = hook(client, receiver.url + "/", "order.running", "order.paused", "order.completed")
    dataset_id, _ = dataset_on(server, text("tom"), text("rex"))
    body = {"kind": "classification", "name": "Pets", "instruction": "What is it?", "dataset_id": dataset_id}
    settings = {"answer_options": ["cat", "dog"], "settings": {"responses_per_datapoint": 1}}
    definition = client.post("/v1/job-definitions", json={**body, **settings}).json()["id"]
    order_id = client.post("/v1/orders", json={"job_definition_id": definition, "run": True}).json()["id"]
    for verb in ("pause", "run"):
        client.post(f"/v1/orders/{order_id}/{verb}").raise_for_status()
    receiver.wait_for(3)
    for _ in range(2):
        assert len(receiver.received) == 3
        task = client.post(f"/v1/orders/{order_id}/tasks/next", json={"annotator": "ada"}).json()["task"]
        client.post(f"/v1/task-leases/{task['lease_id']}/respond", json={"answer": "cat"}).raise_for_status()
    said = [each.verified(made["secret"]) for each in receiver.wait_for(4)]
    types = ["order.running", "order.paused", "order.running", "order.completed"]
    assert [each["type"] for each in said] == types
    assert [each["data"]["counts"]["tasks"] for each in said] == [2] * 4
    assert said[-1]["data"] == client.get(f"/v1/orders/{order_id}").json()


def test_breakers_are_told_to_every_workspace_that_listens(server: RunningServer, receiver: Receiver) -> None:
    services = server.owner.services
    with fresh(server, "one") as one, fresh(server, "two") as two:
        secrets = {
            name: hook(who, f"{receiver.url}/{name}", "breaker.opened", "breaker.closed")["secret"]
            for name, who in (("one", one), ("two", two))
        }
        tell = tell_of_breakers(services.database, services.store.webhooks, now=lambda: 1_000.0, monotonic=lambda: 5.0)
        tell("acme/large", Opened(35.0, "20 of 25 calls failed"))
        for name, secret in secrets.items():
            said = receiver.wait_for(1, f"/{name}")[0].verified(secret)
            assert said["type"] == "breaker.opened"
            assert said["data"] == {
                "upstream": "acme/large", "why": "20 of 25 calls failed", "tried_again_at": "1970-01-01T00:17:10.000Z",
            }  # fmt: skip
        tell("acme/large", Closed(31.5))
        said = receiver.wait_for(2, "/one")[1].verified(secrets["one"])
        assert (said["type"], said["data"]) == (
            "breaker.closed",
            {"upstream": "acme/large", "opened_for_seconds": 31.5},
        )


def test_what_is_not_taken_is_tried_again_under_the_same_id_and_every_try_is_on_record(
    client: httpx2.Client, receiver: Receiver
) -> None:
    receiver.status, receiver.text = 500, b"not today"
    made = hook(client, f"{receiver.url}/again", "batch.failed")
    path = test(client, made)
    failed = ended(client, path)
    assert (failed["status"], failed["type"]) == ("pending", "webhook.test")
    assert failed["next_attempt_at"] > failed["created_at"]
    [tried] = failed["tries"]
    assert (tried["number"], tried["status"], tried["error"], tried["answer"]) == (
        1, 500, "It answered 500", "not today",
    )  # fmt: skip
    assert client.get(f"{HOOKS}/{made['id']}").json()["failing_since"] is not None
    receiver.status = 200
    first, second = receiver.wait_for(2)
    assert second.message_id == first.message_id == failed["message_id"]
    assert second.at - first.at >= PAUSES[0] - 0.5
    delivered = until(lambda: (found := client.get(path).json())["status"] == "delivered" and found)
    assert [each["status"] for each in delivered["tries"]] == [500, 200]
    assert client.get(f"{HOOKS}/{made['id']}").json()["failing_since"] is None


def test_a_delivery_can_be_asked_for_again(client: httpx2.Client, receiver: Receiver) -> None:
    made = hook(client, receiver.url + "/")
    path = test(client, made)
    assert ended(client, path)["status"] == "delivered"
    again = client.post(f"{path}/redeliver").json()
    assert again["status"] == "pending"
    assert ended(client, path, 2)["status"] == "delivered"
    assert len({each.message_id for each in receiver.received}) == 1
    assert len(receiver.received) == 2
    assert_problem(client.post(f"{path}x/redeliver"), "resource_not_found", error_code="WEBHOOK_DELIVERY_NOT_FOUND")
    rows = client.get(f"{HOOKS}/{made['id']}/deliveries", params={"status": "delivered"}).json()["data"]
    assert [row["id"] for row in rows] == [again["id"]]
    assert client.get(f"{HOOKS}/{made['id']}/deliveries", params={"status": "dead"}).json()["data"] == []


def test_what_is_gone_is_told_nothing_more_until_somebody_says_so(client: httpx2.Client, receiver: Receiver) -> None:
    receiver.status = 410
    made = hook(client, receiver.url + "/")
    path = test(client, made)
    assert ended(client, path)["status"] == "dead"
    gone = client.get(f"{HOOKS}/{made['id']}").json()
    assert (gone["enabled"], gone["disabled_reason"]) == (False, "It answered 410 Gone.")
    refused = client.post(f"{HOOKS}/{made['id']}/test")
    assert_problem(refused, "conflict", error_code="INVALID_STATE", detail="The webhook is disabled")
    receiver.status = 204
    back = client.patch(f"{HOOKS}/{made['id']}", json={"enabled": True}).json()
    assert (back["enabled"], back["disabled_reason"]) == (True, None)
    client.post(f"{path}/redeliver").raise_for_status()
    assert ended(client, path, 2)["status"] == "delivered"


def test_a_webhook_that_nothing_reached_for_days_is_disabled(
    server: RunningServer, client: httpx2.Client, receiver: Receiver
) -> None:
    receiver.status = 500
    made = hook(client, receiver.url + "/")
    ended(client, test(client, made))
    sql = "update webhook set failing_since = failing_since - 5.1 * 86400 where id = ?"
    server.owner.services.database.write(lambda tx: list(tx.execute(sql, (made["id"],))))
    path = test(client, made)
    assert ended(client, path)["status"] == "dead"
    assert client.get(f"{HOOKS}/{made['id']}").json()["disabled_reason"] == "Nothing has reached it for 5 days."
    others = client.get(f"{HOOKS}/{made['id']}/deliveries").json()["data"]
    assert {row["status"] for row in others} == {"dead"}


def test_while_a_secret_is_rotated_both_verify(
    server: RunningServer, client: httpx2.Client, receiver: Receiver
) -> None:
    made = hook(client, receiver.url + "/")
    rotated = client.post(f"{HOOKS}/{made['id']}/rotate").json()
    assert rotated["secret"] != made["secret"]
    test(client, made)
    [both] = receiver.wait_for(1)
    assert both.headers["webhook-signature"].count("v1,") == 2
    for secret in (made["secret"], rotated["secret"]):
        assert both.verified(secret)["type"] == "webhook.test"
    database = server.owner.services.database
    sql = "update webhook set former_until = 1 where id = ?"
    database.write(lambda tx: list(tx.execute(sql, (made["id"],))))
    test(client, made)
    later = receiver.wait_for(2)[1]
    later.verified(rotated["secret"])
    with pytest.raises(WebhookVerificationError):
        later.verified(made["secret"])


def test_secrets_are_stored_sealed_and_shown_once(server: RunningServer, client: httpx2.Client) -> None:
    key = {"idempotency-key": "one hook"}
    body = {"url": "http://127.0.0.1:9/", "events": ["batch.failed"]}
    first, again = (client.post(HOOKS, json=body, headers=key) for _ in range(2))
    assert again.json() == first.json()
    assert again.headers["idempotency-replayed"] == "true"
    secret = first.json()["secret"]
    assert secret not in client.get(f"{HOOKS}/{first.json()['id']}").text + client.get(HOOKS).text
    assert secret.removeprefix("whsec_").encode() not in server.stored_bytes()


def test_a_secret_of_another_data_directory_is_said_to_be_one(
    server: RunningServer, client: httpx2.Client, receiver: Receiver
) -> None:
    made = hook(client, receiver.url + "/")
    sql = "update webhook set secret = :other where id = :id"

    def spoil(tx: Transaction) -> None:
        list(tx.execute(sql, {"other": b"x" * 64, "id": made["id"]}))

    server.owner.services.database.write(spoil)
    [tried] = ended(client, test(client, made))["tries"]
    assert tried["error"] == "Its secret was sealed by another data directory: rotate it"
    secret = client.post(f"{HOOKS}/{made['id']}/rotate").json()["secret"]
    test(client, made)
    assert receiver.wait_for(1)[0].verified(secret)["type"] == "webhook.test"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://10.0.0.1/hook", "is not public (a private network)"),
        ("http://169.254.169.254/latest", "is not public (link-local, where clouds keep their metadata)"),
        ("http://[::1]:9/", "is not public (this machine)"),
        ("http://127.0.0.1:1/", "could not be connected to"),
    ],
)
def test_nothing_is_sent_where_it_must_not_go(client: httpx2.Client, url: str, said: str) -> None:
    [tried] = ended(client, test(client, hook(client, url)))["tries"]
    assert tried["status"] is None
    assert said in tried["error"]


def test_a_redirect_is_not_followed(client: httpx2.Client, receiver: Receiver) -> None:
    receiver.status, receiver.headers = 302, {"location": f"{receiver.url}/elsewhere"}
    [tried] = ended(client, test(client, hook(client, f"{receiver.url}/here")))["tries"]
    assert tried["error"] == "It answered 302"
    assert receiver.of("/elsewhere") == []


def test_a_slow_receiver_holds_up_itself_alone(client: httpx2.Client, receiver: Receiver) -> None:
    receiver.by_path["/slow"] = None
    slow, quick = hook(client, f"{receiver.url}/slow"), hook(client, f"{receiver.url}/quick")
    paths = [test(client, slow) for _ in range(3)]
    receiver.wait_for(1, "/slow")
    assert ended(client, test(client, quick))["status"] == "delivered"
    assert len(receiver.of("/slow")) == 1, "one at a time"
    assert "did not answer in time" in ended(client, paths[0])["tries"][0]["error"]
    client.delete(f"{HOOKS}/{slow['id']}").raise_for_status()


@pytest.mark.parametrize(
    "body",
    [
        {"url": "ftp://example.org", "events": ["*"]},
        {"url": "https://user:pass@example.org", "events": ["*"]},
        {"url": "https://example.org", "events": []},
        {"url": "https://example.org", "events": ["batch.begun"]},
        {"url": "https://example.org", "events": ["*"], "secret": "mine"},
    ],
    ids=str,
)
def test_what_is_no_webhook_is_refused(client: httpx2.Client, body: dict[str, Any]) -> None:
    assert_problem(client.post(HOOKS, json=body), "validation_failed")


def test_webhooks_are_an_admins_business(server: RunningServer) -> None:
    with server.client(server.new_key("member")) as member:
        body = {"url": "https://example.org", "events": ["*"]}
        detail = "You do not have permission to create this webhook"
        assert_problem(member.post(HOOKS, json=body), "insufficient_permissions", detail=detail)
        assert_problem(member.get(HOOKS), "insufficient_permissions")


def test_a_deleted_webhook_goes_with_all_that_it_was_told(
    server: RunningServer, client: httpx2.Client, receiver: Receiver
) -> None:
    made = hook(client, receiver.url + "/")
    path = test(client, made)
    ended(client, path)
    answer = client.delete(f"{HOOKS}/{made['id']}")
    assert answer.json() == {"id": made["id"], "object": "webhook", "deleted": True}
    for gone in (path, f"{HOOKS}/{made['id']}", f"{HOOKS}/{made['id']}/deliveries"):
        assert_problem(client.get(gone), "resource_not_found", detail="Webhook not found")
    Housekeeping(server.owner.services).tick()
    with server.owner.services.database.read() as tx:
        for sql in (
            "select count(*) from webhook where id = ?",
            "select count(*) from webhook_delivery where webhook_id = ?",
        ):
            assert tx.value(sql, (made["id"],)) == 0


def test_a_workspace_has_so_many_webhooks_and_no_more(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    place = tmp_path_factory.mktemp("few")
    with running_server(place, engine=None, limits__webhooks=1) as server, server.client() as client:
        hook(client, "https://example.org/")
        refused = client.post(HOOKS, json={"url": "https://example.org/", "events": ["*"]})
        assert_problem(refused, "conflict", error_code="INVALID_STATE")


def test_the_metrics_show_what_was_told_and_what_was_not(client: httpx2.Client, receiver: Receiver) -> None:
    ended(client, test(client, hook(client, receiver.url + "/")))
    text = client.get("/metrics").text
    assert 'amends_webhook_attempts_total{outcome="delivered",type="webhook.test"}' in text
    assert 'amends_webhook_deliveries{state="dead"}' in text
    assert 'amends_webhook_deliveries{state="pending"}' in text


def test_a_message_is_sent_to_the_byte_as_it_was_signed(client: httpx2.Client, receiver: Receiver) -> None:
    made = hook(client, receiver.url + "/")
    found = ended(client, test(client, made))
    [came] = receiver.received
    assert json.loads(came.body) == found["body"]
    assert int(came.headers["content-length"]) == len(came.body)
    assert int(came.headers["webhook-timestamp"]) <= time.time()


def test_the_example_verifies_what_comes(client: httpx2.Client) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    made = hook(client, f"http://127.0.0.1:{port}/")
    command = [sys.executable, str(EXAMPLE), made["secret"], str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == f"Listening on {port}\n"
            forged = httpx2.post(f"http://127.0.0.1:{port}/", json={"type": "webhook.test"}, trust_env=False)
            assert forged.status_code == 400
            path = test(client, made)
            assert process.stdout.readline() == f"webhook.test {{'webhook_id': '{made['id']}'}}\n"
            assert ended(client, path)["status"] == "delivered"
        finally:
            process.terminate()


def test_the_sdk_does_all_of_it(server: RunningServer, receiver: Receiver) -> None:
    with Client(server.key, server.base_url) as client:
        made = client.webhooks.create(url=receiver.url + "/", events=["batch.failed"], description="mine")
        assert made.secret is not None
        assert made.secret not in repr(made)
        sent = client.webhooks.test(made.id)
        [came] = receiver.wait_for(1)
        assert came.verified(made.secret)["type"] == "webhook.test"
        whole = until(lambda: (found := client.webhooks.delivery(made.id, sent.id)).status == "delivered" and found)
        assert whole.tries is not None
        assert [each.status for each in whole.tries] == [204]
        assert client.webhooks.redeliver(made.id, sent.id).message_id == came.message_id
        assert [row.id for row in client.webhooks.deliveries(made.id)] == [sent.id]
        rotated = client.webhooks.rotate(made.id).secret
        assert rotated not in (None, made.secret)
        assert client.webhooks.update(made.id, enabled=False).enabled is False
        assert made.id in [row.id for row in client.webhooks.list()]
        assert client.webhooks.delete(made.id).deleted
