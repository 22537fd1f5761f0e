"""Rate limits and admission on a real server: what passes, what is refused, and what every answer tells."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from amends import Client
from amends.client import RetryEvent
from amends.exceptions import RateLimitError
from amends.problems import problem
from amends.server.rounds import Rounds
from amends.store import Annotator
from tests.engines import until
from tests.jobs import Job
from tests.ledgers import manifest_of, read
from tests.problem_shape import assert_problem
from tests.servers import RunningServer, running_server

BATCH = {"model": "local/echo", "items": [{"custom_id": "a", "input": {}}]}
TIGHT = {
    "limits__reads_per_minute": 30,
    "limits__writes_per_minute": 12,
    "limits__uploads_per_minute": 3,
    "limits__running_batches": 2,
}


@pytest.fixture(scope="module")
def tight(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("tight") / "data", engine=None, **TIGHT) as running:
        yield running


@pytest.fixture
def client(tight: RunningServer) -> Iterator[httpx2.Client]:
    """With a key nobody has used yet."""
    with tight.client(tight.new_key()) as opened:
        yield opened


def told(answer: httpx2.Response) -> tuple[str, int, int]:
    """(kind, limit, remaining), after a look at whether all headers agree."""
    headers = answer.headers
    policy = re.fullmatch(r'"(\w+)";q=(\d+);w=60', headers["ratelimit-policy"])
    state = re.fullmatch(r'"(\w+)";r=(\d+);t=(\d+)', headers["ratelimit"])
    assert policy, headers["ratelimit-policy"]
    assert state, headers["ratelimit"]
    assert policy[1] == state[1]
    assert (policy[2], state[2]) == (headers["x-ratelimit-limit"], headers["x-ratelimit-remaining"])
    assert abs(int(headers["x-ratelimit-reset"]) - time.time()) <= 120
    assert 0 <= int(state[3]) <= 60
    return policy[1], int(policy[2]), int(state[2])


def test_good_and_failing_answers_tell_what_is_left(client: httpx2.Client) -> None:
    asked = [
        (client.get("/v1/me"), "reads", 30, 29),
        (client.get("/v1/files/none"), "reads", 30, 28),
        (client.post("/v1/batch-predictions", json={}), "writes", 12, 11),
        (client.post("/v1/files", files={"file": ("a.txt", b"abc")}), "uploads", 3, 2),
        (client.put("/v1/files"), "writes", 12, 10),
    ]
    for answer, kind, limit, left in asked:
        found = told(answer)
        assert found[:2] == (kind, limit)
        assert left <= found[2] < limit  # more, where the machine was so slow that some came back


def test_beyond_the_limit_a_key_is_refused_and_told_when_to_come(tight: RunningServer, client: httpx2.Client) -> None:
    answers = [client.post("/v1/files", json={}) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [415, 415, 415, 429]
    refused = answers[-1]
    assert_problem(refused, "rate_limit_exceeded")
    seconds = int(refused.headers["retry-after"])
    assert 1 <= seconds <= 20
    assert refused.json()["detail"] == f"Rate limit exceeded. Try again in {seconds} seconds."
    assert (refused.json()["policy"], refused.json()["limit"]) == ("uploads", 3)
    assert told(refused) == ("uploads", 3, 0)
    assert client.get("/v1/me").status_code == 200
    with tight.client(tight.new_key()) as other:
        assert other.post("/v1/files", files={"file": ("a.txt", b"abc")}).status_code == 200


def test_pages_and_who_is_not_known_are_told_of_no_limit(tight: RunningServer) -> None:
    with tight.client("") as nobody:
        for path in ("/health/live", "/errors/conflict", "/openapi.json", "/v1/me"):
            assert "ratelimit" not in nobody.get(path).headers


def test_the_local_socket_is_not_limited(tight: RunningServer) -> None:
    with tight.local_client() as local:
        answers = [local.get("/v1/me") for _ in range(40)]
        assert {answer.status_code for answer in answers} == {200}
        assert "ratelimit" not in answers[0].headers
        runs = [local.post("/v1/batch-predictions", json=BATCH).json()["id"] for _ in range(4)]
        for run_id in runs:
            assert local.post(f"/v1/runs/{run_id}/cancel").status_code == 200


def test_a_workspace_with_all_its_batches_running_is_asked_to_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Rounds, "leave_alone", lambda rounds, name: None)  # it looks again at once
    with running_server(tmp_path / "data", engine=None, **TIGHT) as server, server.client() as client:
        first, second = (
            client.post("/v1/batch-predictions", json=BATCH, headers={"idempotency-key": key}) for key in "ab"
        )
        assert (first.status_code, second.status_code) == (200, 200)
        refused = client.post("/v1/batch-predictions", json=BATCH, headers={"idempotency-key": "c"})
        assert_problem(refused, "rate_limit_exceeded")
        sentence = "Too many batch prediction requests are already in progress for this workspace."
        assert refused.json()["detail"] == sentence
        assert (refused.json()["policy"], refused.json()["limit"]) == ("running_batches", 2)
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        assert client.post("/v1/batch-predictions", json={**BATCH, "dry_run": True}).status_code == 200
        again = client.post("/v1/batch-predictions", json=BATCH, headers={"idempotency-key": "b"})
        assert again.headers["idempotency-replayed"] == "true"
        with server.client(server.new_key(workspace="elsewhere")) as stranger:
            assert stranger.post("/v1/batch-predictions", json=BATCH).status_code == 200
        # A model that is to answer an order waits, too, until there is room for the run that asks it.
        job = Job(server, "classification", "What is it?", [["a text"]], options=["a", "b"])
        job.add_model("local/classify")
        time.sleep(0.7)
        assert model_of(server, job).run_state == "waiting"
        end(server, second.json()["id"])
        until(lambda: model_of(server, job).run_state != "waiting")
        end(server, str(model_of(server, job).run_id))
        # Nothing of it was kept: with room again the same key makes a batch.
        end(server, first.json()["id"])
        made = client.post("/v1/batch-predictions", json=BATCH, headers={"idempotency-key": "c"})
        assert made.status_code == 200
        assert "idempotency-replayed" not in made.headers


def model_of(server: RunningServer, job: Job) -> Annotator:
    (model,) = server.owner.services.store.annotators.of_order(job.id)
    return model


def end(server: RunningServer, run_id: str) -> None:
    """Bring a run to its end by hand, as there is no engine."""
    ledger = server.ledger
    run = ledger.cancel(run_id)
    ledger.sweep(run.id, "canceled", problem("batch_cancelled"))
    ledger.finish(run.id, manifest_of(read(ledger, run)))


def test_the_sdk_waits_and_says_so_where_it_may_not(tight: RunningServer) -> None:
    retries: list[RetryEvent] = []
    with Client(tight.new_key(), tight.base_url, on_retry=retries.append) as client:
        while not retries:
            client.runs.list()
    assert retries[0].wait_seconds >= 1
    assert isinstance(retries[0].error, RateLimitError)
    with Client(tight.new_key(), tight.base_url, max_retries=0) as hasty, pytest.raises(RateLimitError) as caught:
        ask_without_end(hasty)
    assert caught.value.retry_after is not None
    assert 1 <= caught.value.retry_after <= 3
    assert (caught.value.policy, caught.value.limit) == ("reads", 30)


def ask_without_end(client: Client) -> None:
    while True:
        client.runs.list()


def test_whoever_came_by_a_link_has_a_limit_of_their_own(tight: RunningServer) -> None:
    job = Job(tight, "free_text", "Say it.", [["a text"]])
    with httpx2.Client(headers={"Origin": tight.base_url}, timeout=30, trust_env=False) as guest:
        guest.get(job.link())
        for name in ("Anna", "Ben"):
            assert guest.post(f"{tight.base_url}/label/{job.id}/join", data={"name": name}).status_code == 303
            said = [guest.post(f"{tight.base_url}/label/{job.id}/tasks", json={}) for _ in range(13)]
            assert [one.status_code for one in said] == [200] * 12 + [429], name
            assert told(said[0]) == ("writes", 12, 11)
            assert 1 <= int(said[-1].headers["retry-after"]) <= 60
