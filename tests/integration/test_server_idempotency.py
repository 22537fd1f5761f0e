"""What happens behind an Idempotency-Key happens once. The table runs over every mutating route of the OpenAPI document."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any, cast
from uuid import uuid4

import httpx2
import pytest

from amends.database import Transaction
from amends.problems import ProblemError, problem
from amends.store import IdempotencyKeys, Scope
from tests.problem_shape import assert_detail, assert_enveloped, assert_problem
from tests.servers import RunningServer

Send = Callable[[httpx2.Client, dict[str, str]], httpx2.Response]


@pytest.fixture(scope="module")
def client(shell: RunningServer) -> Iterator[httpx2.Client]:
    with shell.client() as opened:
        yield opened


def new_file(client: httpx2.Client) -> str:
    return str(client.post("/v1/files", files={"file": ("a.txt", uuid4().bytes, "text/plain")}).json()["id"])


def new_key(client: httpx2.Client) -> str:
    return str(client.post("/v1/api-keys", json={"role": "viewer"}).json()["id"])


def new_batch(client: httpx2.Client, **more: Any) -> str:
    answer = client.post("/v1/batch-predictions", json={**batch(), **more})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


def batch(items: int = 3) -> dict[str, Any]:
    return {"model": "local/echo", "items": [{"custom_id": f"c{number}", "input": {}} for number in range(items)]}


def json_of(method: str, path: str, body: Any = None) -> Send:
    return lambda client, headers: client.request(method, path, headers=headers, json=body)


def upload(name: str = "same.txt", content: bytes = b"same") -> Send:
    return lambda client, headers: client.post(
        "/v1/files", files={"file": (name, content, "text/plain")}, headers=headers
    )


def ndjson(*lines: bytes) -> Send:
    head = {"content-type": "application/x-ndjson"}
    return lambda client, headers: client.post(
        "/v1/batch-predictions", content=b"\n".join(lines), headers={**headers, **head}
    )


def new_upload(client: httpx2.Client) -> str:
    return str(client.post("/v1/uploads", headers={**TUS, "upload-length": "6"}).headers["location"])


def tus(method: str, path: str, content: bytes = b"", **more: str) -> Send:
    """A request of the protocol of resumable uploads."""
    head = {**TUS, **{name.replace("_", "-"): value for name, value in more.items()}}
    if content:
        head["content-type"] = "application/offset+octet-stream"
    return lambda client, headers: client.request(method, path, content=content, headers={**headers, **head})


TUS = {"tus-resumable": "1.0.0"}
NDJSON = (b'{"model": "local/echo"}', b'{"custom_id": "a", "input": {"x": 1}}', b'{"custom_id": "b", "input": {}}')

CHAT = {"model": "local/echo", "messages": [{"role": "user", "content": "hi"}]}
EMBEDDINGS = {"model": "local/minilm", "input": "hi"}


def openai_upload() -> Send:
    return lambda client, headers: client.post(
        "/openai/v1/files", files={"file": ("a.jsonl", b"{}")}, data={"purpose": "batch"}, headers=headers
    )


def openai_batch(client: httpx2.Client) -> dict[str, Any]:
    file = openai_upload()(client, {}).json()["id"]
    return {"input_file_id": file, "endpoint": "/v1/chat/completions", "completion_window": "24h"}


def new_openai_batch(client: httpx2.Client) -> str:
    """One of a single good line, whose run stays where it is without workers."""
    line = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": CHAT}
    lines = ("a.jsonl", json.dumps(line).encode())
    file = client.post("/openai/v1/files", files={"file": lines}, data={"purpose": "batch"}).json()["id"]
    whole = {"input_file_id": file, "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    return str(client.post("/openai/v1/batches", json=whole).json()["id"])


TEXTS = [{"data_type": "text", "assets": [{"text": text}]} for text in ("one", "two")]


def new_dataset(client: httpx2.Client) -> str:
    return str(client.post("/v1/datasets", json={"name": uuid4().hex}).json()["id"])


def datapoints_path(client: httpx2.Client) -> str:
    return f"/v1/datasets/{new_dataset(client)}/datapoints"


def new_definition(client: httpx2.Client) -> str:
    path = datapoints_path(client)
    client.post(path, json=TEXTS)
    return str(client.post("/v1/job-definitions", json=definition(path.split("/")[3])).json()["id"])


def definition(dataset_id: str) -> dict[str, Any]:
    return {"kind": "free_text", "name": "n", "instruction": "What is it?", "dataset_id": dataset_id}


def order_path(client: httpx2.Client, rest: str = "", *, run: bool = True) -> str:
    body = {"job_definition_id": new_definition(client), "run": run}
    return f"/v1/orders/{client.post('/v1/orders', json=body).json()['id']}{rest}"


def lease_path(client: httpx2.Client, rest: str) -> str:
    task = client.post(order_path(client, "/tasks/next")).json()["task"]
    return f"/v1/task-leases/{task['lease_id']}{rest}"


def answered_path(client: httpx2.Client, rest: str) -> str:
    path = order_path(client)
    for _ in range(2):
        lease_id = client.post(f"{path}/tasks/next").json()["task"]["lease_id"]
        client.post(f"/v1/task-leases/{lease_id}/respond", json={"answer": "a"})
    return path + rest


EMAILS = (f"person{number}@example.org" for number in count())
PASSWORD = "correct horse battery"


def new_person(client: httpx2.Client) -> dict[str, Any]:
    """A new account, with its email and the tokens of who logged in."""
    email = next(EMAILS)
    user = client.post("/api/auth/register", json={"email": email, "password": PASSWORD}).json()
    tokens = client.post("/api/auth/login", json={"email": email, "password": PASSWORD}).json()
    return {**user, **tokens}


def new_user(client: httpx2.Client) -> str:
    """A user of the client's own workspace."""
    name = uuid4().hex
    made = client.post("/v1/api-keys", json={"role": "member", "user": name}).json()
    return str(made["user_id"])


def another_password(client: httpx2.Client) -> Send:
    token = new_person(client)["access_token"]
    body = {"current_password": PASSWORD, "new_password": "another horse battery"}
    return lambda client, headers: client.request(
        "POST", "/api/auth/password", headers={**headers, "authorization": f"Bearer {token}"}, json=body
    )


def registration() -> Send:
    return json_of("POST", "/api/auth/register", {"email": next(EMAILS), "password": PASSWORD})


def new_invitation(client: httpx2.Client) -> str:
    return str(client.post("/v1/invitations", json={"role": "member"}).json()["id"])


WEBHOOK = {"url": "http://127.0.0.1:9/hook", "events": ["batch.completed"]}


def new_webhook(client: httpx2.Client) -> str:
    return "/v1/webhooks/" + str(client.post("/v1/webhooks", json=WEBHOOK).json()["id"])


def new_delivery(client: httpx2.Client) -> str:
    path = new_webhook(client)
    return f"{path}/deliveries/{client.post(f'{path}/test').json()['id']}"


# operation → how to make a request of it, once there is a client. Runs hold after their first item, so that none ends by itself.
CALLS: dict[str, Callable[[httpx2.Client], Send]] = {
    "POST /v1/files": lambda client: upload(),
    "PATCH /v1/files/{file_id}": lambda client: json_of("PATCH", f"/v1/files/{new_file(client)}", {"filename": "b"}),
    "DELETE /v1/files/{file_id}": lambda client: json_of("DELETE", f"/v1/files/{new_file(client)}"),
    "POST /v1/uploads": lambda client: tus("POST", "/v1/uploads", upload_length="6"),
    "POST /v1/uploads (whole)": lambda client: tus("POST", "/v1/uploads", b"abcdef", upload_length="6"),
    "PATCH /v1/uploads/{upload_id}": lambda client: tus("PATCH", new_upload(client), b"abc", upload_offset="0"),
    "PATCH /v1/uploads/{upload_id} (last)": lambda client: tus(
        "PATCH", new_upload(client), b"abcdef", upload_offset="0"
    ),
    "DELETE /v1/uploads/{upload_id}": lambda client: tus("DELETE", new_upload(client)),
    "POST /openai/v1/files": lambda client: openai_upload(),
    "DELETE /openai/v1/files/{file_id}": lambda client: json_of("DELETE", f"/openai/v1/files/{new_file(client)}"),
    "POST /openai/v1/batches": lambda client: json_of("POST", "/openai/v1/batches", openai_batch(client)),
    "POST /openai/v1/batches/{batch_id}/cancel": lambda client: json_of(
        "POST", f"/openai/v1/batches/{new_openai_batch(client)}/cancel"
    ),
    "POST /openai/v1/chat/completions": lambda client: json_of("POST", "/openai/v1/chat/completions", CHAT),
    "POST /openai/v1/embeddings": lambda client: json_of("POST", "/openai/v1/embeddings", EMBEDDINGS),
    "POST /v1/datasets": lambda client: json_of("POST", "/v1/datasets", {"name": uuid4().hex}),
    "DELETE /v1/datasets/{dataset_id}": lambda client: json_of("DELETE", f"/v1/datasets/{new_dataset(client)}"),
    "POST /v1/datasets/{dataset_id}/datapoints": lambda client: json_of("POST", datapoints_path(client), TEXTS),
    "POST /v1/datasets/{dataset_id}/datapoints (URLs)": lambda client: json_of(
        "POST", datapoints_path(client), [*TEXTS, {"assets": [{"url": "https://example.org/a.png"}]}]
    ),
    "POST /v1/datasets/{dataset_id}/assets/check": lambda client: json_of(
        "POST", f"/v1/datasets/{new_dataset(client)}/assets/check", {"sha256": ["ab" * 32]}
    ),
    "POST /v1/job-definitions": lambda client: json_of("POST", "/v1/job-definitions", definition(new_dataset(client))),
    "POST /v1/orders": lambda client: json_of("POST", "/v1/orders", {"job_definition_id": new_definition(client)}),
    "POST /v1/orders/{order_id}/run": lambda client: json_of("POST", order_path(client, "/run", run=False)),
    "POST /v1/orders/{order_id}/pause": lambda client: json_of("POST", order_path(client, "/pause")),
    "POST /v1/orders/{order_id}/cancel": lambda client: json_of("POST", order_path(client, "/cancel")),
    "POST /v1/orders/{order_id}/invitations": lambda client: json_of("POST", order_path(client, "/invitations")),
    "POST /v1/orders/{order_id}/annotators": lambda client: json_of(
        "POST", order_path(client, "/annotators", run=False), {"model": "local/smollm2"}
    ),
    "POST /v1/orders/{order_id}/tasks/next": lambda client: json_of("POST", order_path(client, "/tasks/next")),
    "POST /v1/orders/{order_id}/tasks/undo": lambda client: json_of("POST", answered_path(client, "/tasks/undo")),
    "POST /v1/task-leases/{lease_id}/respond": lambda client: json_of(
        "POST", lease_path(client, "/respond"), {"answer": "a cat"}
    ),
    "POST /v1/task-leases/{lease_id}/renew": lambda client: json_of("POST", lease_path(client, "/renew")),
    "POST /v1/task-leases/{lease_id}/skip": lambda client: json_of("POST", lease_path(client, "/skip")),
    "POST /v1/api-keys": lambda client: json_of("POST", "/v1/api-keys", {"role": "member"}),
    "DELETE /v1/api-keys/{key_id}": lambda client: json_of("DELETE", f"/v1/api-keys/{new_key(client)}"),
    "POST /v1/credits/top-ups": lambda client: json_of("POST", "/v1/credits/top-ups", {"amount": 2}),
    "POST /api/auth/register": lambda client: registration(),
    "POST /api/auth/password": another_password,
    "PATCH /v1/users/{user_id}": lambda client: json_of("PATCH", f"/v1/users/{new_user(client)}", {"role": "viewer"}),
    "DELETE /v1/users/{user_id}": lambda client: json_of("DELETE", f"/v1/users/{new_user(client)}"),
    "POST /v1/invitations": lambda client: json_of("POST", "/v1/invitations", {"role": "member"}),
    "DELETE /v1/invitations/{invitation_id}": lambda client: json_of(
        "DELETE", f"/v1/invitations/{new_invitation(client)}"
    ),
    "POST /v1/webhooks": lambda client: json_of("POST", "/v1/webhooks", WEBHOOK),
    "PATCH /v1/webhooks/{webhook_id}": lambda client: json_of("PATCH", new_webhook(client), {"description": "b"}),
    "DELETE /v1/webhooks/{webhook_id}": lambda client: json_of("DELETE", new_webhook(client)),
    "POST /v1/webhooks/{webhook_id}/rotate": lambda client: json_of("POST", f"{new_webhook(client)}/rotate"),
    "POST /v1/webhooks/{webhook_id}/test": lambda client: json_of("POST", f"{new_webhook(client)}/test"),
    "POST /v1/webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver": lambda client: json_of(
        "POST", f"{new_delivery(client)}/redeliver"
    ),
    "POST /v1/batch-predictions": lambda client: json_of("POST", "/v1/batch-predictions", batch()),
    "POST /v1/batch-predictions (NDJSON)": lambda client: ndjson(*NDJSON),
    "POST /v1/batch-predictions/{batch_id}/cancel": lambda client: json_of(
        "POST", f"/v1/batch-predictions/{new_batch(client, limit_items=1)}/cancel"
    ),
    "POST /v1/batch-predictions/{batch_id}/extend": lambda client: json_of(
        "POST", f"/v1/batch-predictions/{new_batch(client, limit_items=1)}/extend"
    ),
    "POST /v1/runs/{run_id}/cancel": lambda client: json_of(
        "POST", f"/v1/runs/{new_batch(client, limit_items=1)}/cancel"
    ),
    "POST /v1/runs/{run_id}/extend": lambda client: json_of(
        "POST", f"/v1/runs/{new_batch(client, limit_items=1)}/extend"
    ),
    "POST /v1/batch-predictions/{batch_id}/expire": lambda client: json_of(
        "POST", f"/v1/batch-predictions/{new_batch(client, limit_items=1)}/expire"
    ),
    "POST /v1/runs/{run_id}/expire": lambda client: json_of(
        "POST", f"/v1/runs/{new_batch(client, limit_items=1)}/expire"
    ),
}
# These take no key: their answers are secrets, which are kept nowhere, or they end what would say whose key it is.
KEYLESS = {"POST /api/auth/login", "POST /api/auth/refresh", "POST /api/auth/logout"}
# These are somebody's who is not the client.
PERSONS = {"POST /api/auth/register", "POST /api/auth/password"}
# These need a run that has ended, and so a worker.
ENDED_CALLS = {
    f"POST {root}/{action}": (
        lambda run_id, root=root, action=action: json_of("POST", f"{root.split('{')[0]}{run_id}/{action}")
    )
    for root in ("/v1/runs/{run_id}", "/v1/batch-predictions/{batch_id}")
    for action in ("retry", "purge")
}


def ended_batch(client: httpx2.Client) -> str:
    items = [{"custom_id": "fails", "file_id": "file_of_nobody"}, {"custom_id": "works", "input": {}}]
    path = "/v1/batch-predictions/" + new_batch(client, items=items)
    for _ in range(200):
        if client.get(path).json()["status"] == "completed":
            return path.rpartition("/")[2]
        threading.Event().wait(0.05)
    raise AssertionError("the batch did not end")


def test_every_mutating_operation_is_in_a_table(shell: RunningServer) -> None:
    with shell.client() as client:
        paths = client.get("/openapi.json").json()["paths"]
    mutating = {
        f"{method.upper()} {path}"
        for path, found in paths.items()
        for method in found
        if method in ("post", "put", "patch", "delete")
    }
    assert mutating - KEYLESS == {name for name in (*CALLS, *ENDED_CALLS) if "(" not in name}


@pytest.mark.parametrize("operation", ENDED_CALLS)
def test_the_same_key_twice_on_an_ended_run_does_the_work_once(server: RunningServer, operation: str) -> None:
    with server.client() as client:
        send, key = ENDED_CALLS[operation](ended_batch(client)), {"idempotency-key": uuid4().hex}
        first, again = send(client, key), send(client, key)
        assert first.status_code < 300, first.text
        assert again.headers["idempotency-replayed"] == "true"
        assert (again.status_code, again.json()) == (first.status_code, first.json())


@pytest.mark.parametrize("operation", CALLS)
def test_the_same_key_twice_does_the_work_once(client: httpx2.Client, operation: str) -> None:
    send, key = CALLS[operation](client), {"idempotency-key": uuid4().hex}
    first, again = send(client, key), send(client, key)
    assert first.status_code < 300, first.text
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert (again.status_code, again.content and again.json()) == (first.status_code, first.content and first.json())
    for name in ("location", "content-type", "upload-offset", "amends-file-id"):
        assert again.headers.get(name) == first.headers.get(name)


@pytest.mark.parametrize("operation", CALLS)
def test_the_same_key_many_times_at_once_does_the_work_once(client: httpx2.Client, operation: str) -> None:
    send, key = CALLS[operation](client), {"idempotency-key": uuid4().hex}
    barrier = threading.Barrier(8)

    def at_once(_: int) -> httpx2.Response:
        barrier.wait()
        return send(client, key)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(at_once, range(8)))
    done = [answer for answer in answers if answer.status_code < 300]
    assert len([answer for answer in done if "idempotency-replayed" not in answer.headers]) == 1
    assert len({answer.text for answer in done}) == 1
    for answer in answers:
        if answer not in done:
            check = assert_enveloped if "/openai/" in operation else assert_problem
            check = assert_detail if "/api/" in operation else check
            assert check(answer, "conflict")["error_code"] == "IDEMPOTENCY_IN_PROGRESS"
            assert answer.headers["x-should-retry"] == "true"
            assert int(answer.headers["retry-after"]) >= 1


def elsewise(**members: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """What is told, with some members changed."""
    return lambda told: {**told, **members}


# What is sent instead, where that is not an empty object instead of nothing.
OTHER_BODIES: dict[str, Any] = {
    "POST /openai/v1/batches": elsewise(metadata={"other": "yes"}),
    "POST /openai/v1/chat/completions": elsewise(messages=[{"role": "user", "content": "other"}]),
    "POST /openai/v1/embeddings": elsewise(input="other"),
    "PATCH /v1/files/{file_id}": {"filename": "c"},
    "POST /v1/datasets": {"name": "another"},
    "POST /v1/datasets/{dataset_id}/datapoints": TEXTS[:1],
    "POST /v1/datasets/{dataset_id}/datapoints (URLs)": TEXTS,
    "POST /v1/datasets/{dataset_id}/assets/check": {"sha256": ["cd" * 32]},
    "POST /v1/job-definitions": elsewise(name="other"),
    "POST /v1/orders": elsewise(run=True),
    "POST /v1/orders/{order_id}/annotators": {"model": "local/ocr"},
    "POST /v1/task-leases/{lease_id}/respond": {"answer": "a dog"},
    "POST /v1/api-keys": {"role": "viewer"},
    "POST /v1/credits/top-ups": {"amount": 3},
    "POST /api/auth/register": elsewise(password="another horse battery"),
    "POST /api/auth/password": elsewise(new_password="yet another horse battery"),
    "PATCH /v1/users/{user_id}": {"role": "admin"},
    "POST /v1/invitations": {"role": "viewer"},
    "POST /v1/webhooks": elsewise(description="other"),
    "PATCH /v1/webhooks/{webhook_id}": {"description": "c"},
    "POST /v1/batch-predictions": batch(4),
    "POST /v1/uploads (whole)": b"abcdeg",
    "PATCH /v1/uploads/{upload_id}": b"abd",
    "PATCH /v1/uploads/{upload_id} (last)": b"abcdeg",
}
OTHER_SENDS: dict[str, Send] = {
    "POST /v1/uploads": tus("POST", "/v1/uploads", upload_length="7"),
    "POST /v1/files": upload(content=b"other"),
    "POST /openai/v1/files": lambda client, headers: client.post(
        "/openai/v1/files", files={"file": ("a.jsonl", b"{ }")}, data={"purpose": "batch"}, headers=headers
    ),
    "POST /v1/batch-predictions (NDJSON)": ndjson(*NDJSON, b'{"custom_id": "c", "input": {}}'),
}


# What takes no body, whatever is sent.
BODILESS = {"DELETE /v1/uploads/{upload_id}"}
# What the bytes say themselves: a part that was kept is not kept again, and who repeats it is told where to go on.
RESUMABLE = {"PATCH /v1/uploads/{upload_id}", "PATCH /v1/uploads/{upload_id} (last)"}


class WithBody:
    """A client that sends another body than it is told."""

    def __init__(self, client: httpx2.Client, body: Any) -> None:
        self._client, self._body = client, body

    def request(self, method: str, path: str, *, headers: dict[str, str], **told: Any) -> httpx2.Response:
        kind = "content" if isinstance(self._body, bytes) else "json"
        body = self._body(told[kind]) if callable(self._body) else self._body
        assert told[kind] != body
        return self._client.request(method, path, headers=headers, **{kind: body})


def altered(operation: str, send: Send) -> Send:
    """The same request with another body."""
    if operation in OTHER_SENDS:
        return OTHER_SENDS[operation]
    body = OTHER_BODIES.get(operation, {})
    return lambda client, headers: send(cast("httpx2.Client", WithBody(client, body)), headers)


@pytest.mark.parametrize("operation", [name for name in CALLS if name not in BODILESS])
def test_the_same_key_with_another_body_is_a_conflict(client: httpx2.Client, operation: str) -> None:
    send, key = CALLS[operation](client), {"idempotency-key": uuid4().hex}
    assert send(client, key).status_code < 300
    other = altered(operation, send)(client, key)
    assert (other.status_code, "idempotency_conflict" in other.text.lower()) == (409, True), other.text
    assert other.headers["x-should-retry"] == "false"
    assert send(client, key).headers["idempotency-replayed"] == "true"


def test_another_name_of_a_file_is_another_body(client: httpx2.Client) -> None:
    key = {"idempotency-key": uuid4().hex}
    assert upload()(client, key).status_code == 200
    assert_problem(upload("other.txt")(client, key), "conflict", error_code="IDEMPOTENCY_CONFLICT")


@pytest.mark.parametrize("operation", [name for name in CALLS if name not in PERSONS])
def test_another_workspace_with_the_same_key_is_told_nothing_of_it(
    shell: RunningServer, client: httpx2.Client, operation: str
) -> None:
    send, key = CALLS[operation](client), {"idempotency-key": uuid4().hex}
    assert send(client, key).status_code < 300
    with shell.client(shell.new_key(workspace="stranger")) as stranger:
        theirs = send(stranger, key)
    assert "idempotency-replayed" not in theirs.headers
    assert theirs.status_code != 409, theirs.text
    if "{" in operation:
        assert theirs.status_code == 404
    assert send(client, key).headers["idempotency-replayed"] == "true"


@pytest.mark.parametrize("operation", [name for name in CALLS if name not in RESUMABLE])
def test_a_failure_of_the_server_is_not_stored_and_leaves_the_key_free(
    shell: RunningServer, client: httpx2.Client, operation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk fails at the last moment, when the work is done and its answer is being stored."""
    send, key = CALLS[operation](client), {"idempotency-key": uuid4().hex}

    def fail(*_: Any, **__: Any) -> None:
        raise ProblemError(problem("service_unavailable"))

    with monkeypatch.context() as patch:
        patch.setattr(shell.owner.services.store.idempotency, "answer", fail)
        failed = send(client, key)
    assert (failed.status_code, "service_unavailable" in failed.text.lower()) == (503, True), failed.text
    again = send(client, key)
    assert again.status_code < 300, again.text
    assert "idempotency-replayed" not in again.headers
    assert send(client, key).content == again.content


STREAMED = {
    "POST /v1/batch-predictions (NDJSON)": (
        "/v1/batch-predictions",
        "application/x-ndjson",
        b"\n".join(NDJSON) + b"\n",
    ),
    "POST /v1/files": (
        "/v1/files",
        "multipart/form-data; boundary=x",
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="late.txt"\r\n\r\nlate\r\n--x--\r\n',
    ),
}


@pytest.mark.parametrize("operation", STREAMED)
def test_a_holder_that_was_taken_for_dead_cannot_write_late(shell: RunningServer, operation: str) -> None:
    """Another process finds the claim lapsed, takes the key and answers it, while the first is still reading its body."""
    path, media_type, body = STREAMED[operation]
    key = uuid4().hex
    headers = {"idempotency-key": key, "x-api-key": shell.key, "content-type": media_type}
    database = shell.owner.services.database
    other = IdempotencyKeys(database, now=lambda: time.time() + 3_600, process="another")
    with shell.client() as client:
        workspace_id = client.get("/v1/me").json()["workspace_id"]
        before = client.get(path, params={"limit": 100}).json()["data"]
    scope = Scope.of(workspace_id, "POST", path, key)

    def answer_first(tx: Transaction) -> None:
        other.take(tx, scope, "other", digest=b"d")
        other.answer(tx, scope, "other", digest=b"d", status=200, headers={}, body=b"{}")

    def pieces() -> Iterator[bytes]:
        yield body[: len(body) // 2]
        time.sleep(0.2)  # the server has begun, and waits for the rest
        database.write(answer_first)
        yield body[len(body) // 2 :]

    with httpx2.Client(base_url=shell.base_url, timeout=30) as client:
        late = client.post(path, content=pieces(), headers=headers)
    assert_problem(late, "conflict", error_code="IDEMPOTENCY_IN_PROGRESS")
    with shell.client() as client:
        assert client.get(path, params={"limit": 100}).json()["data"] == before


def test_a_body_is_compared_as_parsed_content(client: httpx2.Client) -> None:
    key = {"idempotency-key": uuid4().hex, "content-type": "application/json"}
    first = client.post("/v1/api-keys", content=b'{"role":"member","name":"x"}', headers=key)
    again = client.post("/v1/api-keys", content=b'{ "name": "\\u0078",\n "role": "member" }', headers=key)
    assert first.json() == again.json()
    file_key = {"idempotency-key": uuid4().hex}
    one = client.post(
        "/v1/files",
        files={"file": ("a", b"abc")},
        headers={**file_key, "content-type": "multipart/form-data; boundary=one"},
    )
    two = client.post(
        "/v1/files",
        files={"file": ("a", b"abc")},
        headers={**file_key, "content-type": "multipart/form-data; boundary=two"},
    )
    assert one.json() == two.json()


def test_a_key_is_the_callers_own_for_that_method_and_path(shell: RunningServer, client: httpx2.Client) -> None:
    key = {"idempotency-key": uuid4().hex}
    body = {"role": "member"}
    first = client.post("/v1/api-keys", json=body, headers=key).json()
    file = upload()(client, key)
    assert file.status_code == 200
    with shell.client(shell.new_key(workspace="elsewhere")) as stranger:
        theirs = stranger.post("/v1/api-keys", json=body, headers=key)
        assert theirs.status_code == 201
        assert theirs.json()["id"] != first["id"]


def test_a_refused_request_leaves_its_key_free(client: httpx2.Client) -> None:
    key = {"idempotency-key": uuid4().hex}
    assert_problem(client.post("/v1/api-keys", json={"role": "king"}, headers=key), "validation_failed")
    assert client.post("/v1/api-keys", json={"role": "member"}, headers=key).status_code == 201
    file_key = {"idempotency-key": uuid4().hex}
    assert_problem(client.post("/v1/files", files={"no": ("a", b"abc")}, headers=file_key), "validation_failed")
    assert upload()(client, file_key).status_code == 200


@pytest.mark.parametrize("value", ["", "x" * 256, "tab\tinside", "é"])
def test_a_key_that_is_none_is_refused(client: httpx2.Client, value: str) -> None:
    answer = client.post("/v1/api-keys", json={"role": "member"}, headers=[(b"idempotency-key", value.encode())])
    assert_problem(answer, "malformed_request")


def test_the_longest_key_is_taken(client: httpx2.Client) -> None:
    key = {"idempotency-key": uuid4().hex.ljust(255, "~")}
    assert client.post("/v1/api-keys", json={"role": "member"}, headers=key).status_code == 201


def test_a_replayed_secret_is_given_only_to_who_brought_the_credential(
    shell: RunningServer, client: httpx2.Client
) -> None:
    key, body = {"idempotency-key": uuid4().hex}, {"role": "member"}
    first = client.post("/v1/api-keys", json=body, headers=key).json()
    with shell.client(shell.new_key()) as colleague:
        answer = colleague.post("/v1/api-keys", json=body, headers=key)
        assert_problem(answer, "conflict", error_code="IDEMPOTENCY_CONFLICT")
    stored = shell.stored_bytes()
    assert first["id"].encode() in stored
    assert first["key"].encode() not in stored
    assert first["key"].removeprefix("ak_live_").encode() not in stored


def test_what_was_made_is_found_by_its_key(client: httpx2.Client) -> None:
    key = uuid4().hex
    made = json_of("POST", "/v1/batch-predictions", batch())(client, {"idempotency-key": key}).json()
    found = client.get("/v1/batch-predictions", params={"idempotency_key": key}).json()
    assert [row["id"] for row in found["data"]] == [made["id"]]
    assert client.get("/v1/batch-predictions", params={"idempotency_key": "never used"}).json()["data"] == []


def test_a_key_whose_holder_hung_up_midway_is_free_again(shell: RunningServer) -> None:
    key = {"idempotency-key": uuid4().hex, "x-api-key": shell.key, "content-type": "application/x-ndjson"}

    async def hang_up() -> None:
        async def lines() -> Any:
            yield b"\n".join(NDJSON) + b"\n"
            await asyncio.sleep(0.2)
            raise ConnectionError("gone")

        async with httpx2.AsyncClient(base_url=shell.base_url) as client:
            with pytest.raises(ConnectionError):
                await client.post("/v1/batch-predictions", content=lines(), headers=key)

    asyncio.run(hang_up())
    with shell.client() as client:
        for _ in range(50):
            answer = ndjson(*NDJSON)(client, key)
            if answer.status_code == 200:
                break
            assert_problem(answer, "conflict", error_code="IDEMPOTENCY_IN_PROGRESS")
            threading.Event().wait(0.05)
        assert answer.status_code == 200
        assert "idempotency-replayed" not in answer.headers
