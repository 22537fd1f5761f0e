"""Providers: their configuration, their answers, and calls to a real server that behaves in every way."""

from __future__ import annotations

import asyncio
import json
import pickle

import pytest

from amends.models.providers import (
    CallFailed,
    Content,
    Endpoint,
    Picture,
    Price,
    ProviderClient,
    chat_body,
    describe_model,
    find_provider,
    read_chat,
    read_embedding,
    read_providers,
)
from amends.problems import ProblemError
from tests.upstream import Cut, Hang, Say, chat, embedding, refusal, running_upstream

ADDRESS = "https://api.acme.example/v1"
SCHEMA = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}


def provider(**table):
    return read_providers({"acme": {"base_url": ADDRESS, **table}})["acme"]


def test_a_provider_is_read_with_all_it_may_have():
    read = read_providers(
        {
            "acme": {
                "endpoints": [{"base_url": ADDRESS + "/", "key_variable": "B"}, "http://127.0.0.1:1/v1"],
                "key_variable": "A",
                "models": ["small"],
                "embedding_models": ["vectors"],
                "takes_images": True,
                "has_json_schema": False,
                "concurrency": 3,
                "requests_per_minute": 60,
                "tokens_per_minute": 1_000,
                "timeout_seconds": 1.5,
                "max_output_tokens": 100,
                "price": {"input": 1, "output": 2.5},
            }
        }
    )["acme"]
    assert read.endpoints == (Endpoint(ADDRESS, "B"), Endpoint("http://127.0.0.1:1/v1", "A"))
    assert read.price == Price(1.0, 2.5)
    assert read.serves("small")
    assert read.serves("vectors")
    assert not read.serves("large")
    assert read_providers({"acme": json.loads(json.dumps(read.to_table()))}) == {"acme": read}


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ({}, "either base_url or endpoints"),
        ({"base_url": ADDRESS, "endpoints": [ADDRESS]}, "either base_url or endpoints"),
        ({"endpoints": []}, "list of addresses"),
        ({"endpoints": [{"url": ADDRESS}]}, "base_url and, if it needs one, key_variable"),
        ({"base_url": "ftp://acme.example"}, "http or https"),
        ({"base_url": 5}, "http or https"),
        ({"base_url": "https://me:secret@acme.example/v1"}, "no credentials"),
        ({"base_url": ADDRESS, "key_variable": "sk-live-1234"}, "never the key itself"),
        ({"base_url": ADDRESS, "key": "sk-live-1234"}, "no setting 'key'"),
        ({"base_url": ADDRESS, "concurrency": 0}, "whole number from 1"),
        ({"base_url": ADDRESS, "concurrency": True}, "whole number from 1"),
        ({"base_url": ADDRESS, "timeout_seconds": 0}, "more than 0"),
        ({"base_url": ADDRESS, "requests_per_minute": -1}, "not negative"),
        ({"base_url": ADDRESS, "price": 1}, "input and output"),
        ({"base_url": ADDRESS, "price": {"in": 1}}, "input and output"),
        ({"base_url": ADDRESS, "models": "small"}, "list of names"),
        ({"base_url": ADDRESS, "takes_images": "yes"}, "true or false"),
    ],
)
def test_a_faulty_provider_is_refused_by_name_and_without_repeating_a_key(table, complaint):
    with pytest.raises(ValueError, match=complaint) as caught:
        read_providers({"acme": table})
    assert "acme" in str(caught.value)
    assert "1234" not in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("name", ["local", "models", "A", "", "a/b", "-a"])
def test_a_provider_cannot_be_named_so(name):
    with pytest.raises(ValueError, match="no name for a provider"):
        read_providers({name: {"base_url": ADDRESS}})


def test_a_model_is_the_provider_and_the_rest_of_the_name():
    providers = {"acme": provider()}
    found = find_provider("acme/meta/llama-3", providers)
    assert found is not None
    assert found[1] == "meta/llama-3"
    assert find_provider("acme/", providers) is None
    assert find_provider("acme", providers) is None
    assert find_provider("other/x", providers) is None


def test_pictures_are_taken_only_where_the_provider_takes_them():
    assert "image" not in describe_model(provider(), "m").takes
    assert "image" in describe_model(provider(takes_images=True), "m").takes
    assert "image" not in describe_model(provider(takes_images=True, embedding_models=["m"]), "m").takes


# Bodies


def test_text_is_one_message_with_the_prompt_before_it():
    body = chat_body(provider(max_output_tokens=9), "m", Content("the item"), prompt="Sum up.", schema=SCHEMA)
    assert body["messages"] == [{"role": "user", "content": "Sum up.\n\nthe item"}]
    assert body["response_format"]["json_schema"]["schema"] == SCHEMA
    assert body["max_tokens"] == 9


def test_the_schema_goes_into_the_prompt_where_there_is_no_mode_for_it():
    body = chat_body(provider(has_json_schema=False), "m", Content("x"), prompt=None, schema=SCHEMA)
    assert "response_format" not in body
    assert '"required":["text"]' in body["messages"][0]["content"]


def test_pictures_are_parts_beside_the_text():
    body = chat_body(provider(), "m", Content(pictures=[Picture("image/jpeg", b"\x01")]), prompt="Look.", schema=None)
    assert body["messages"][0]["content"] == [
        {"type": "text", "text": "Look."},
        {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,AQ=="}},
    ]


def test_a_conversation_stays_as_it_is_behind_the_prompt():
    messages = [{"role": "user", "content": "hello"}]
    body = chat_body(provider(), "m", Content(messages=messages), prompt="Be brief.", schema=None)
    assert body["messages"] == [{"role": "system", "content": "Be brief."}, *messages]


# Answers


def read(body, *, has_schema=True, **table):
    return read_chat(
        provider(**table), body if isinstance(body, bytes) else json.dumps(body).encode(), has_schema=has_schema
    )


def test_an_answer_is_its_json_with_tokens_and_cost():
    answer = read(chat({"text": "x"}), price={"input": 2, "output": 4})
    assert json.loads(answer.output) == {"text": "x"}
    assert json.loads(answer.usage or b"") == {"input_tokens": 10, "output_tokens": 5, "cost": 0.00004}


def test_without_a_schema_the_text_is_the_output():
    assert json.loads(read(chat("hello"), has_schema=False).output) == {"text": "hello"}


def test_a_fence_around_the_json_is_taken_off():
    assert json.loads(read(chat('```json\n{"a": 1}\n```')).output) == {"a": 1}


@pytest.mark.parametrize(
    ("body", "slug", "sentence"),
    [
        (chat("no json"), "prediction_failed", "is no JSON"),
        (chat("[1]"), "prediction_failed", "no JSON object"),
        (chat(None, refusal="I cannot help"), "prediction_failed", "refused the item: I cannot help"),
        ({"choices": [{"finish_reason": "length", "message": {"content": "{"}}]}, "prediction_failed", "cut short"),
        ({"choices": [{"finish_reason": "content_filter", "message": {}}]}, "prediction_failed", "refused"),
        ({"choices": [{"message": {"content": None}}]}, "prediction_failed", "no text"),
        ({"choices": []}, "upstream_failed", "no chat completion"),
        ({"choices": [5]}, "upstream_failed", "no chat completion"),
        ([], "upstream_failed", "no JSON object"),
        (b"<html>", "upstream_failed", "no JSON"),
        (b"\xff", "upstream_failed", "no JSON"),
        (b"[" * 5_000, "upstream_failed", "no JSON"),
    ],
)
def test_an_answer_without_a_good_output_says_what_it_lacks(body, slug, sentence):
    with pytest.raises(ProblemError) as caught:
        read(body)
    assert caught.value.problem.slug == slug
    assert sentence in caught.value.problem.detail
    assert caught.value.problem.extensions["provider"] == "acme"


def test_an_embedding_is_its_numbers():
    assert json.loads(read_embedding(provider(), json.dumps(embedding([1, 0.5])).encode()).output) == {
        "embedding": [1.0, 0.5]
    }
    with pytest.raises(ProblemError, match="without an embedding"):
        read_embedding(provider(), b'{"data": []}')


# Calls


def call(upstream, *, environ=None, timeout_seconds=None, key="run:1", attempt=2, **table):
    async def run():
        made = provider(**{"base_url": upstream.base_url, "timeout_seconds": 5.0, **table})
        async with ProviderClient(made, environ or {}, clock=lambda: 1_000.0) as client:
            return await client.call(
                "chat/completions", {"model": "m"}, key=key, attempt=attempt, timeout_seconds=timeout_seconds
            )

    return asyncio.run(run())


def test_a_call_carries_key_attempt_time_and_credential():
    with running_upstream(lambda call: Say(chat("hello"))) as upstream:
        reply = call(upstream, environ={"ACME_KEY": " sk-1 "}, key_variable="ACME_KEY", timeout_seconds=3.0)
        (seen,) = upstream.calls
    assert json.loads(reply.body)["choices"][0]["message"]["content"] == "hello"
    assert seen.path == "/v1/chat/completions"
    assert seen.headers["authorization"] == "Bearer sk-1"
    assert seen.headers["idempotency-key"] == "run:1"
    assert seen.headers["amends-attempt"] == "2"
    assert seen.headers["amends-timeout"] == "3.000"


@pytest.mark.parametrize(
    ("deed", "code", "status", "retry_after"),
    [
        (refusal(429, retry_after=7), "UPSTREAM_RATE_LIMITED", 429, 7.0),
        (refusal(429), "UPSTREAM_RATE_LIMITED", 429, 1.0),
        (refusal(429, code="insufficient_quota"), "UPSTREAM_REFUSED", 429, None),
        (Say({}, 429, {"Retry-After": "Thu, 01 Jan 1970 00:17:00 GMT"}), "UPSTREAM_RATE_LIMITED", 429, 20.0),
        (refusal(500), "UPSTREAM_ERROR", 500, None),
        (refusal(503, retry_after=9), "UPSTREAM_ERROR", 503, 9.0),
        (refusal(408), "UPSTREAM_TIMEOUT", 408, None),
        (refusal(504), "UPSTREAM_TIMEOUT", 504, None),
        (refusal(400), "UPSTREAM_REFUSED", 400, None),
        (refusal(401), "UPSTREAM_REFUSED", 401, None),
        (refusal(403), "UPSTREAM_REFUSED", 403, None),
        (refusal(404), "UPSTREAM_REFUSED", 404, None),
        (refusal(413), "UPSTREAM_REFUSED", 413, None),
        (refusal(422), "UPSTREAM_REFUSED", 422, None),
        (Say(None, 302, {"Location": "http://127.0.0.1:1/"}), "UPSTREAM_REFUSED", 302, None),
        (Cut(is_begun=True), "UPSTREAM_ERROR", None, None),
        (Cut(is_begun=False), "UPSTREAM_ERROR", None, None),
    ],
)
def test_a_failed_call_is_a_typed_problem(deed, code, status, retry_after):
    with running_upstream(lambda call: deed) as upstream, pytest.raises(CallFailed) as caught:
        call(upstream)
    problem = caught.value.problem
    assert (problem.error_code, problem.extensions["upstream_status"]) == (code, status)
    assert problem.retry_after == retry_after
    assert problem.remedy.retryable == (code != "UPSTREAM_REFUSED")
    assert problem.extensions["provider"] == "acme"
    assert len(upstream.calls) == 1
    assert pickle.loads(pickle.dumps(caught.value)).status == caught.value.status


def test_a_provider_that_hangs_or_drips_is_left_in_time():
    with running_upstream(lambda call: Hang()) as upstream, pytest.raises(CallFailed) as caught:
        call(upstream, timeout_seconds=0.2)
    assert caught.value.problem.error_code == "UPSTREAM_TIMEOUT"
    assert not caught.value.problem.remedy.safe_new_key


def test_a_provider_that_is_not_there_is_a_cut_connection():
    with running_upstream() as upstream:
        pass
    with pytest.raises(CallFailed, match="connection to the provider 'acme' failed"):
        call(upstream)


def test_a_cancelled_call_closes_its_connection():
    async def run(upstream):
        async with ProviderClient(provider(base_url=upstream.base_url), {}) as client:
            task = asyncio.create_task(client.call("chat/completions", {}))
            while not upstream.calls:
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            while not upstream.calls[0].was_left:
                await asyncio.sleep(0.01)

    with running_upstream(lambda call: Hang()) as upstream:
        asyncio.run(run(upstream))


@pytest.mark.parametrize("value", [None, "", "ä", "a\nb"])
def test_a_missing_or_impossible_key_is_said_before_anything_is_sent(value):
    environ = {} if value is None else {"ACME_KEY": value}
    with running_upstream() as upstream, pytest.raises(CallFailed, match="ACME_KEY") as caught:
        call(upstream, environ=environ, key_variable="ACME_KEY")
    assert not upstream.calls
    assert not caught.value.problem.remedy.retryable


def test_a_refusal_that_repeats_the_key_is_told_without_it():
    with running_upstream(lambda call: refusal(401, "wrong key sk-1")) as upstream, pytest.raises(CallFailed) as caught:
        call(upstream, environ={"ACME_KEY": "sk-1"}, key_variable="ACME_KEY")
    assert caught.value.problem.detail == "The provider 'acme' answered 401: wrong key ********"


def test_who_waits_is_served_by_the_next_endpoint():
    async def run(addresses):
        async with ProviderClient(provider(base_url=None, endpoints=addresses), {}) as client:
            return await client.call_any("chat/completions", {})

    with running_upstream(lambda call: refusal(503)) as down, running_upstream() as up:
        assert asyncio.run(run([down.base_url, up.base_url])).status == 200
        assert (len(down.calls), len(up.calls)) == (1, 1)
    with running_upstream(lambda call: refusal(400)) as strict, running_upstream() as up:
        with pytest.raises(CallFailed):
            asyncio.run(run([strict.base_url, up.base_url]))
        assert not up.calls
