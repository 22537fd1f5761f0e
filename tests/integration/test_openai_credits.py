"""What callers who wait pay: the price of a call, or what it cost at the provider, for an answer and for nothing else."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import openai
import pytest

from amends import Client
from tests.openai_client import client_of
from tests.providers import provided_server
from tests.servers import RunningServer
from tests.upstream import Call, Deed, Say, Upstream, chat, embedding, refusal, running_upstream

TOKENS = {"prompt_tokens": 1_000_000, "completion_tokens": 500_000}
"""Of an answer: 3 + 2 of the provider's currency, 100 credits each."""


def answer(call: Call) -> Deed:
    """Of a provider that counts its tokens, refuses "bad", and takes a while over "slow"."""
    if call.text == "bad":
        return refusal(400, "not that")
    if call.path.endswith("/embeddings"):
        return Say({key: value for key, value in embedding([1.0]).items() if key != "usage"})
    return Say(chat("yes", **TOKENS), after_seconds=2 if call.text == "slow" else 0)


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with running_upstream(answer) as running:
        yield running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[RunningServer]:
    flags = {"credits__prices": {"acme/m": 400.0, "acme/e": 2.0}, "credits__per_cost": 100.0}
    data = tmp_path_factory.mktemp("charging") / "data"
    price = {"input": 3.0, "output": 4.0}
    with provided_server(data, upstream, flags=flags, models=["m"], embedding_models=["e"], price=price) as running:
        yield running


@pytest.fixture
def key(server: RunningServer, request: pytest.FixtureRequest) -> str:
    """Of an owner of a workspace of the test's own, without a credit."""
    return server.new_key(workspace=f"of {request.node.name}")


def ask(caller: openai.OpenAI, text: str, idempotency_key: str | None = None) -> str | None:
    headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
    said = caller.chat.completions.create(
        model="acme/m", messages=[{"role": "user", "content": text}], extra_headers=headers
    )
    return said.choices[0].message.content


def balance(client: Client) -> float | None:
    assert client.credits.conservation().holds
    return client.credits.balance().balance


def test_an_answer_is_charged_as_the_provider_counted_it_and_a_failure_is_not(server: RunningServer, key: str) -> None:
    with Client(key, server.base_url) as client, client_of(server, key) as caller:
        client.credits.top_up(1_000)
        assert ask(caller, "good") == "yes"
        with pytest.raises(openai.BadRequestError):
            ask(caller, "bad")
        caller.embeddings.create(model="acme/e", input="a text", encoding_format="float")
        assert balance(client) == 1_000 - 500 - 2
        charges = [entry for entry in client.credits.history() if entry.kind == "charge"]
        assert [(entry.amount, entry.run_id, entry.note) for entry in charges] == [
            (-2.0, None, "/v1/embeddings acme/e"),
            (-500.0, None, "/v1/chat/completions acme/m"),
        ]


def test_a_request_repeated_under_its_key_is_charged_once(server: RunningServer, key: str) -> None:
    with Client(key, server.base_url) as client, client_of(server, key) as caller:
        client.credits.top_up(1_000)
        assert [ask(caller, "good", "one"), ask(caller, "good", "one")] == ["yes", "yes"]
        assert balance(client) == 500


def test_without_credit_nobody_is_asked(server: RunningServer, upstream: Upstream, key: str) -> None:
    with Client(key, server.base_url) as client, client_of(server, key) as caller:
        client.credits.top_up(399)
        before = len(upstream.calls)
        with pytest.raises(openai.APIStatusError) as refused:
            ask(caller, "good")
        assert (refused.value.status_code, refused.value.code) == (402, "credit_exceeded")
        details = refused.value.body["details"]  # type: ignore[index]
        assert (details["required"], details["remaining"]) == (400, 399)
        assert len(upstream.calls) == before
        assert balance(client) == 399


def test_calls_under_way_hold_what_they_may_cost(server: RunningServer, upstream: Upstream, key: str) -> None:
    with Client(key, server.base_url) as client, client_of(server, key) as caller, ThreadPoolExecutor(2) as pool:
        client.credits.top_up(1_000)
        before = len(upstream.calls)
        under_way = [pool.submit(ask, caller, "slow") for _ in range(2)]
        until = time.monotonic() + 20
        while len(upstream.calls) < before + 2 and time.monotonic() < until:
            time.sleep(0.01)
        for _ in range(3):  # 800 of the 1,000 are held, and nothing is charged yet
            with pytest.raises(openai.APIStatusError) as refused:
                ask(caller, "good")
            assert refused.value.status_code == 402
        assert [one.result(20) for one in under_way] == ["yes", "yes"]
        assert balance(client) == 0
