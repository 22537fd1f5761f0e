"""Requests in OpenAI's words: what embedded models take of them, and what is refused by name."""

from __future__ import annotations

import pytest

from amends.models._asked import Chat, Embeddings, read_chat, read_embeddings
from amends.problems import ProblemError, render

HI = [{"role": "user", "content": "hi"}]


def refusal(read, body, **options):
    with pytest.raises(ProblemError) as raised:
        read(body, **options)
    problem = raised.value.problem
    assert problem.slug == "validation_failed"
    error = render(problem, "envelope", "http://127.0.0.1")[1]["error"]
    assert problem.errors[0].message in error["message"]
    return error["param"], problem.errors[0].code


def test_a_whole_request_is_read():
    body = {
        "model": "local/smollm2",
        "messages": [
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
            {"role": "assistant", "content": "c", "tool_calls": None, "refusal": None},
        ],
        "max_completion_tokens": 9,
        "temperature": 1,
        "top_p": 0.5,
        "seed": 7,
        "stop": "END",
        "frequency_penalty": -1,
        "presence_penalty": None,
        "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}},
        "stream": True,
        "stream_options": {"include_usage": True},
        "n": 1,
        "tools": [],
        "user": "somebody",
        "metadata": {"a": "b"},
    }
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "a\nb"},
        {"role": "assistant", "content": "c"},
    ]
    assert read_chat(body) == Chat(
        messages, 9, 1.0, 0.5, 7, ("END",), -1.0, None, {"type": "object"}, stream=True, include_usage=True
    )


@pytest.mark.parametrize(("given", "schema"), [(None, None), ({"type": "text"}, None), ({"type": "json_object"}, {})])
def test_a_response_format_is_text_any_object_or_a_schema(given, schema):
    assert read_chat({"messages": HI, "response_format": given}).schema == schema


@pytest.mark.parametrize(
    ("change", "param", "code"),
    [
        ({"messages": None}, "messages", "missing_required_parameter"),
        ({"messages": []}, "messages", "invalid_type"),
        ({"messages": "hi"}, "messages", "invalid_type"),
        ({"messages": ["hi"]}, "messages[0]", "invalid_type"),
        ({"messages": [*HI, {"role": "tool", "content": "x"}]}, "messages[1].role", "invalid_value"),
        ({"messages": [{"role": "user"}]}, "messages[0].content", "invalid_type"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
            "messages[0].content[0]",
            "unsupported_parameter",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": 1}]}]},
            "messages[0].content[0].text",
            "invalid_type",
        ),
        (
            {"messages": [{"role": "assistant", "content": "x", "tool_calls": [{}]}]},
            "messages[0].tool_calls",
            "unsupported_parameter",
        ),
        ({"n": 2}, "n", "unsupported_parameter"),
        ({"tools": [{"type": "function"}]}, "tools", "unsupported_parameter"),
        ({"logprobs": True}, "logprobs", "unsupported_parameter"),
        ({"grammar": "root ::= x"}, "grammar", "unsupported_parameter"),
        ({"max_tokens": 0}, "max_tokens", "invalid_value"),
        ({"max_tokens": True}, "max_tokens", "invalid_type"),
        ({"max_tokens": 1.5}, "max_tokens", "invalid_type"),
        ({"temperature": 3}, "temperature", "invalid_value"),
        ({"temperature": "hot"}, "temperature", "invalid_type"),
        ({"seed": -1}, "seed", "invalid_value"),
        ({"stop": ["a"] * 5}, "stop", "invalid_value"),
        ({"stop": [""]}, "stop", "invalid_value"),
        ({"stream": "yes"}, "stream", "invalid_type"),
        ({"stream_options": 1}, "stream_options", "invalid_type"),
        ({"response_format": {"type": "xml"}}, "response_format.type", "invalid_value"),
        ({"response_format": "json"}, "response_format.type", "invalid_value"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}},
            "response_format.json_schema.schema",
            "missing_required_parameter",
        ),
    ],
)
def test_what_is_wrong_with_a_chat_is_named(change, param, code):
    assert refusal(read_chat, {"messages": HI, **change}) == (param, code)


def test_embeddings_are_of_one_text_or_several():
    assert read_embeddings({"input": "a", "model": "x"}, dimensions=384) == Embeddings(["a"])
    several = {"input": ["a", "b"], "encoding_format": "base64", "dimensions": 384, "user": "u"}
    assert read_embeddings(several, dimensions=384) == Embeddings(["a", "b"], "base64")


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({}, "input", "missing_required_parameter"),
        ({"input": []}, "input", "invalid_type"),
        ({"input": 7}, "input", "invalid_type"),
        ({"input": ["a", [1, 2]]}, "input[1]", "invalid_type"),
        ({"input": ["a", " "]}, "input[1]", "invalid_value"),
        ({"input": ["a"] * 2_049}, "input", "invalid_value"),
        ({"input": "a", "encoding_format": "int8"}, "encoding_format", "invalid_value"),
        ({"input": "a", "dimensions": 256}, "dimensions", "invalid_value"),
        ({"input": "a", "task": "query"}, "task", "unsupported_parameter"),
    ],
)
def test_what_is_wrong_with_embeddings_is_named(body, param, code):
    assert refusal(read_embeddings, body, dimensions=384) == (param, code)
