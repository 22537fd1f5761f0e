"""``/openai/v1/chat/completions`` and ``/embeddings`` while the caller waits, by OpenAI's own client."""

from __future__ import annotations

import base64
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx2
import numpy as np
import openai
import psutil
import pytest

from amends.models import load_embedder
from tests.killing import until
from tests.openai_client import client_of
from tests.problem_shape import assert_enveloped
from tests.servers import RunningServer

HI: list[Any] = [{"role": "user", "content": "What is the capital of France?"}]
STORY: list[Any] = [{"role": "user", "content": "Tell me a very long story about a cat and a dog."}]


@pytest.fixture(scope="module")
def client(shell: RunningServer) -> Iterator[openai.OpenAI]:
    with client_of(shell) as opened:
        yield opened


def test_a_conversation_is_answered(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="local/smollm2", messages=HI)
    (choice,) = answer.choices
    assert "Paris" in (choice.message.content or "")
    assert (answer.object, answer.model, choice.finish_reason) == ("chat.completion", "local/smollm2", "stop")
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 10


def test_a_stream_says_the_same_in_one_piece(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(
        model="local/smollm2", messages=HI, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    said = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert "Paris" in said
    assert [choice.finish_reason for chunk in chunks for choice in chunk.choices] == [None, "stop"]
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens > 3


def test_a_schema_is_kept_to(client: openai.OpenAI) -> None:
    schema = {"type": "object", "properties": {"size": {"enum": ["small", "large"]}}, "required": ["size"]}
    wanted: Any = {"type": "json_schema", "json_schema": {"name": "size", "schema": schema}}
    messages: list[Any] = [{"role": "user", "content": "An elephant"}]
    for model in ("local/smollm2", "local/classify"):
        answer = client.chat.completions.create(model=model, messages=messages, response_format=wanted)
        assert json.loads(answer.choices[0].message.content or "")["size"] in ("small", "large")
    read: Any = {"type": "object", "properties": {"total": {"type": "number"}}, "required": ["total"]}
    wanted["json_schema"]["schema"] = read
    messages[0]["content"] = "Total: 40.50 EUR"
    answer = client.chat.completions.create(model="local/extract", messages=messages, response_format=wanted)
    assert json.loads(answer.choices[0].message.content or "") == {"total": 40.5}


def test_embeddings_are_those_of_the_model_in_both_encodings(client: openai.OpenAI, shell: RunningServer) -> None:
    texts = ["a cat", "a dog", "interest rates"]
    answer = client.embeddings.create(model="local/minilm", input=texts)  # the client asks for base64
    assert [row.index for row in answer.data] == [0, 1, 2]
    expected = [one.vector for one in load_embedder().embed(texts)]
    np.testing.assert_allclose([row.embedding for row in answer.data], expected, atol=1e-5)
    with shell.client() as http:
        plain = http.post("/openai/v1/embeddings", json={"model": "local/minilm", "input": texts[0]}).json()
        packed = http.post(
            "/openai/v1/embeddings", json={"model": "local/minilm", "input": texts[0], "encoding_format": "base64"}
        ).json()
    unpacked = np.frombuffer(base64.b64decode(packed["data"][0]["embedding"]), "<f4")
    np.testing.assert_allclose(plain["data"][0]["embedding"], unpacked, atol=1e-6)
    assert plain["usage"]["prompt_tokens"] == 4


@pytest.mark.parametrize(
    ("options", "param", "code"),
    [
        ({"model": "no/such"}, "model", "model_not_found"),
        ({"model": "local/minilm"}, "model", "unsupported_model"),
        ({"n": 2}, "n", "unsupported_parameter"),
        ({"messages": []}, "messages", "invalid_type"),
        ({"messages": [{"role": "user", "content": "word " * 6_000}]}, "messages", "context_length_exceeded"),
        ({"model": "local/classify"}, "response_format", "missing_required_parameter"),
        ({"extra_headers": {"Amends-Timeout": "soon"}}, None, "bad_request"),
    ],
)
def test_a_refused_request_answers_400_and_names_the_parameter(
    client: openai.OpenAI, options: dict[str, Any], param: str | None, code: str
) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(**{"model": "local/smollm2", "messages": HI, **options})
    assert (refused.value.param, refused.value.code, refused.value.type) == (param, code, "invalid_request_error")


@pytest.mark.parametrize(
    "body", [b"", b"nope", b"[]", b'{"model": 1}', b'{"messages": []}', b'{"model": "local/echo"}']
)
def test_a_body_that_is_no_request_is_refused(shell: RunningServer, body: bytes) -> None:
    with shell.client() as http:
        answer = http.post("/openai/v1/chat/completions", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert_enveloped(answer)


def test_a_deadline_stops_the_work(client: openai.OpenAI, shell: RunningServer) -> None:
    client.chat.completions.create(model="local/smollm2", messages=HI, max_tokens=1)
    (pid,) = shell.owner.services.answering.pids()
    with pytest.raises(openai.InternalServerError) as refused:
        client.chat.completions.create(model="local/smollm2", messages=STORY, extra_headers={"Amends-Timeout": "0.3"})
    assert (refused.value.status_code, refused.value.code) == (503, "service_unavailable")
    assert "0.3 seconds" in refused.value.message
    until(lambda: not psutil.pid_exists(pid))
    assert client.chat.completions.create(model="local/echo", messages=HI).choices


def test_a_caller_who_goes_takes_the_work_along(client: openai.OpenAI, shell: RunningServer) -> None:
    client.chat.completions.create(model="local/smollm2", messages=HI, max_tokens=1)
    (pid,) = shell.owner.services.answering.pids()
    with pytest.raises(openai.APITimeoutError):
        client.with_options(timeout=0.5).chat.completions.create(model="local/smollm2", messages=STORY)
    until(lambda: pid not in shell.owner.services.answering.pids())


def test_a_child_that_dies_ends_one_request_and_no_other(client: openai.OpenAI, shell: RunningServer) -> None:
    client.chat.completions.create(model="local/smollm2", messages=HI, max_tokens=1)
    (pid,) = shell.owner.services.answering.pids()
    killer = threading.Timer(0.5, os.kill, (pid, signal.SIGKILL))
    killer.start()
    with pytest.raises(openai.InternalServerError) as refused:
        client.chat.completions.create(model="local/smollm2", messages=STORY, max_tokens=500)
    killer.join()
    assert refused.value.status_code == 500
    assert "Paris" in (
        client.chat.completions.create(model="local/smollm2", messages=HI).choices[0].message.content or ""
    )


def test_the_server_answers_others_while_a_model_works(client: openai.OpenAI, shell: RunningServer) -> None:
    before = _modules_of_this_process()  # other tests of this process may have loaded a model of their own
    client.chat.completions.create(model="local/smollm2", messages=HI, max_tokens=1)
    thread = threading.Thread(
        target=lambda: client.chat.completions.create(model="local/smollm2", messages=STORY, max_tokens=150)
    )
    thread.start()
    answered = 0
    with shell.client() as http:
        while thread.is_alive():
            assert http.get("/v1/me").status_code == 200
            answered += 1
            time.sleep(0.01)
    assert answered > 10
    assert "xllamacpp" not in _modules_of_this_process() - before


def test_the_same_key_gives_the_same_answer(shell: RunningServer) -> None:
    body = {"model": "local/smollm2", "messages": HI, "temperature": 1.5, "max_tokens": 20}
    with shell.client() as http:
        first, again = (
            http.post("/openai/v1/chat/completions", json=body, headers={"idempotency-key": "one"}) for _ in range(2)
        )
    assert first.json() == again.json()
    assert again.headers["idempotency-replayed"] == "true"


def test_more_callers_than_are_let_in_are_told_to_wait(shell: RunningServer) -> None:
    def ask(http: httpx2.Client, statuses: list[int]) -> None:
        body = {"model": "local/smollm2", "messages": STORY, "max_tokens": 400}
        answer = http.post("/openai/v1/chat/completions", json=body, headers={"amends-timeout": "3"})
        statuses.append(answer.status_code)
        if answer.status_code == 503:
            assert_enveloped(answer)
            assert int(answer.headers["retry-after"]) >= 1

    statuses: list[int] = []
    with shell.client() as http:
        threads = [threading.Thread(target=ask, args=(http, statuses)) for _ in range(80)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(statuses) == 80
        assert set(statuses) <= {200, 503}
        assert 503 in statuses


def _modules_of_this_process() -> set[str]:
    """The server runs in this process: what it loads is here."""
    import sys

    return set(sys.modules)
