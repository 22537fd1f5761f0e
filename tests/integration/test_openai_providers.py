"""``/openai/v1`` onto a configured provider: a real endpoint behind a real server, asked by OpenAI's own client."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from amends import Client
from tests.killing import until
from tests.openai_client import chat_line, client_of, ended, faults_of, lines_of, named, submit
from tests.providers import provided_server
from tests.servers import RunningServer
from tests.upstream import Call, Cut, Deed, Hang, Say, Upstream, chat, embedding, refusal, running_upstream

HI: list[Any] = [{"role": "user", "content": "hi"}]


def answer(call: Call) -> Deed:
    if not call.path.endswith("/chat/completions"):
        return (
            Say({"object": "thing", "path": call.path, "asked": call.body})
            if "completions" in call.path or ("responses" in call.path)
            else Say(embedding([1.0, 0.5]))
        )
    match call.text:
        case "bad":
            return refusal(400, "not that", code="no_such_thing")
        case "limited":
            return refusal(429, "slow down", retry_after=2)
        case "broken":
            return refusal(500, "oops")
        case "flaky":
            return refusal(500, "once") if call.headers["amends-attempt"] == "0" else Say(chat("at last"))
        case "cut":
            return Cut()
        case "hang":
            return Hang()
        case "no json":
            return Say(b"<html>")
    return Say(chat(f"{call.body['model']}: {call.text}"), headers={"x-request-id": "req_upstream"})


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with running_upstream(answer) as running:
        yield running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[RunningServer]:
    data: Path = tmp_path_factory.mktemp("provided") / "data"
    with provided_server(data, upstream, models=["m"], embedding_models=["e"]) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: RunningServer) -> Iterator[openai.OpenAI]:
    with client_of(server) as opened:
        yield opened


def test_a_batch_goes_to_the_provider_as_it_is(client: openai.OpenAI, upstream: Upstream) -> None:
    before = len(upstream.calls)
    lines = [chat_line(f"r{n}", f"text {n}", model="acme/m", temperature=0.5, tools=[]) for n in range(8)]
    batch = ended(client, submit(client, lines))
    found = lines_of(client, batch.output_file_id)
    assert named(found) == [f"r{n}" for n in range(8)]
    said = [line["response"]["body"]["choices"][0]["message"]["content"] for line in found]
    assert said == [f"m: text {n}" for n in range(8)]
    assert {line["response"]["request_id"] for line in found} == {"req_upstream"}
    asked = upstream.calls[before:]
    assert len(asked) == 8
    assert {call.body["temperature"] for call in asked} == {0.5}
    assert {call.key for call in asked} == {f"{batch.id}:{n}" for n in range(8)}


def test_failures_upstream_are_lines_of_the_error_file(client: openai.OpenAI) -> None:
    lines = [chat_line(text, text, model="acme/m") for text in ("good", "bad", "flaky", "no json")]
    batch = ended(client, submit(client, lines))
    assert batch.status == "completed"
    assert sorted(named(lines_of(client, batch.output_file_id))) == ["flaky", "good"]
    errors = {line["custom_id"]: line for line in lines_of(client, batch.error_file_id)}
    assert errors.keys() == {"bad", "no json"}
    assert all(line["error"] is None for line in errors.values())
    refused = errors["bad"]["response"]
    assert refused["status_code"] == 400
    assert refused["body"]["error"] == {"message": "not that", "type": "error", "param": None, "code": "no_such_thing"}
    assert errors["no json"]["response"]["status_code"] == 502


@pytest.mark.parametrize("endpoint", ["/v1/responses", "/v1/completions", "/v1/embeddings"])
def test_other_endpoints_go_to_the_provider(client: openai.OpenAI, upstream: Upstream, endpoint: str) -> None:
    body = {"model": "acme/e" if endpoint == "/v1/embeddings" else "acme/m", "input": "x", "prompt": "x"}
    line = json.dumps({"custom_id": "a", "method": "POST", "url": endpoint, "body": body})
    batch = ended(client, submit(client, [line], endpoint=endpoint))
    (found,) = lines_of(client, batch.output_file_id)
    assert found["response"]["status_code"] == 200
    assert upstream.calls[-1].path == endpoint
    assert upstream.calls[-1].body["model"] in ("m", "e")


def test_a_model_that_the_provider_does_not_serve_is_not_there(client: openai.OpenAI) -> None:
    batch = ended(client, submit(client, [chat_line("a", model="acme/other")]))
    assert faults_of(batch) == [("model_not_found", 1, "body.model")]
    assert {"acme/m", "acme/e"} <= {model.id for model in client.models.list()}


def test_a_caller_who_waits_is_answered_by_the_provider(client: openai.OpenAI, upstream: Upstream) -> None:
    found = client.chat.completions.create(model="acme/m", messages=HI, logit_bias={"1": 1})
    assert found.choices[0].message.content == "m: hi"
    assert upstream.calls[-1].body["logit_bias"] == {"1": 1}
    stream = client.chat.completions.create(model="acme/m", messages=HI, stream=True)
    assert "".join(choice.delta.content or "" for chunk in stream for choice in chunk.choices) == "m: hi"
    assert "stream" not in upstream.calls[-1].body
    assert client.embeddings.create(model="acme/e", input="x").data[0].embedding == [1.0, 0.5]


@pytest.mark.parametrize(
    ("text", "raised", "status"),
    [
        ("bad", openai.BadRequestError, 400),
        ("limited", openai.RateLimitError, 429),
        ("broken", openai.InternalServerError, 503),
        ("cut", openai.InternalServerError, 503),
        ("no json", openai.InternalServerError, 503),
    ],
)
def test_what_fails_there_is_said_and_asked_once(
    client: openai.OpenAI, upstream: Upstream, text: str, raised: type[openai.APIStatusError], status: int
) -> None:
    before = len(upstream.calls)
    with pytest.raises(raised) as refused:
        client.chat.completions.create(model="acme/m", messages=[{"role": "user", "content": text}])
    assert refused.value.status_code == status
    assert len(upstream.calls) == before + 1
    if status == 429:
        assert refused.value.response.headers["retry-after"] == "2"
    if status == 400:
        assert refused.value.response.headers["x-should-retry"] == "false"


def test_a_caller_who_goes_or_whose_time_is_over_closes_the_call(client: openai.OpenAI, upstream: Upstream) -> None:
    messages: list[Any] = [{"role": "user", "content": "hang"}]
    with pytest.raises(openai.APITimeoutError):
        client.with_options(timeout=0.5).chat.completions.create(model="acme/m", messages=messages)
    until(lambda: upstream.calls[-1].was_left)
    with pytest.raises(openai.InternalServerError) as refused:
        client.chat.completions.create(model="acme/m", messages=messages, extra_headers={"Amends-Timeout": "0.4"})
    assert refused.value.status_code == 503
    until(lambda: upstream.calls[-1].was_left)


def test_cancelling_a_batch_closes_what_is_under_way(client: openai.OpenAI, upstream: Upstream) -> None:
    batch = submit(client, [chat_line(f"r{n}", "hang", model="acme/m") for n in range(3)])
    until(lambda: upstream.under_way > 0)
    client.batches.cancel(batch.id)
    batch = ended(client, batch)
    assert batch.status == "cancelled"
    assert {line["error"]["code"] for line in lines_of(client, batch.error_file_id)} == {"batch_cancelled"}
    until(lambda: upstream.under_way == 0)


def test_a_call_that_a_cancel_stops_is_on_record_since_it_may_cost(server: RunningServer, upstream: Upstream) -> None:
    with Client(server.key, server.base_url) as client:
        items = [{"custom_id": f"r{n}", "input": "hang"} for n in range(3)]
        batch = client.batch_predictions.create(items=items, model="acme/m")
        until(lambda: upstream.under_way == 3)
        client.batch_predictions.cancel(batch.id)
        assert client.batch_predictions.wait(batch.id, timeout=30).status == "cancelled"
        for n in range(3):
            record = client.batch_predictions.item(batch.id, f"r{n}")
            assert record.status == "canceled"
            (attempt,) = record.attempts
            assert attempt.error is not None
            assert attempt.error["possibly_billed"] is True
            assert attempt.error["remedy"]["billed"] is False, "no credit was spent"
