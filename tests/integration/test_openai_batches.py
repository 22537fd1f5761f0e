"""``/openai/v1/batches``, by OpenAI's own client: lines in, lines out, and every way a batch can go wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.openai_client import chat_line, client_of, ended, faults_of, lines_of, named, submit
from tests.servers import RunningServer

SCHEMA = {"type": "object", "properties": {"topic": {"enum": ["billing", "delivery"]}}, "required": ["topic"]}
FORMAT = {"type": "json_schema", "json_schema": {"name": "topic", "schema": SCHEMA}}


@pytest.fixture(scope="module")
def client(server: RunningServer) -> Iterator[openai.OpenAI]:
    with client_of(server) as opened:
        yield opened


def test_a_batch_is_answered_with_the_documented_lines(client: openai.OpenAI) -> None:
    made = submit(client, [chat_line(f"r{n}", f"text {n}") for n in range(5)], metadata={"of": "tests"})
    assert (made.object, made.status, made.model) == ("batch", "validating", None)
    batch = ended(client, made)
    assert batch.status == "completed"
    assert batch.request_counts is not None
    assert batch.request_counts.model_dump() == {"total": 5, "completed": 5, "failed": 0}
    assert (batch.model, batch.metadata, batch.error_file_id) == ("local/echo", {"of": "tests"}, None)
    assert batch.in_progress_at is not None
    assert batch.completed_at is not None
    assert batch.created_at <= batch.in_progress_at <= batch.completed_at <= batch.expires_at  # type: ignore[operator]
    lines = lines_of(client, batch.output_file_id)
    assert named(lines) == [f"r{n}" for n in range(5)]
    assert len({line["id"] for line in lines}) == 5
    for number, line in enumerate(lines):
        assert set(line) == {"id", "custom_id", "response", "error"}
        assert line["error"] is None
        assert set(line["response"]) == {"status_code", "request_id", "body"}
        assert line["response"]["status_code"] == 200
        completion = line["response"]["body"]
        assert completion["object"] == "chat.completion"
        assert completion["choices"][0]["message"]["content"] == f"text {number}"


def test_its_files_are_files_of_both_surfaces(client: openai.OpenAI, server: RunningServer) -> None:
    batch = ended(client, submit(client, [chat_line("only")]))
    assert batch.output_file_id is not None
    file = client.files.retrieve(batch.output_file_id)
    assert (file.purpose, file.status, file.filename) == ("batch_output", "processed", f"{batch.id}_output.jsonl")
    with server.client() as http:
        ours = http.get(f"/v1/files/{file.id}").json()
        assert ours == http.get(f"/openai/v1/files/{file.id}").json()
        assert ours["bytes"] == len(client.files.content(file.id).content)


def test_a_batch_is_a_run_of_the_engine(client: openai.OpenAI, server: RunningServer) -> None:
    batch = ended(client, submit(client, [chat_line("a"), chat_line("b", n=2)]))
    with server.client() as http:
        run = http.get(f"/v1/runs/{batch.id}").json()
        assert run["status"] == "completed"
        assert run["request_counts"]["succeeded"] == run["request_counts"]["errored"] == 1
        (group,) = http.get(f"/v1/runs/{batch.id}/failures").json()["data"]
        assert group["slug"] == "validation_failed"


def test_a_request_that_its_model_refuses_is_a_line_of_the_error_file(client: openai.OpenAI) -> None:
    batch = ended(client, submit(client, [chat_line("good"), chat_line("bad", n=2), chat_line("worse", messages=[])]))
    assert batch.status == "completed"
    assert named(lines_of(client, batch.output_file_id)) == ["good"]
    bad, worse = lines_of(client, batch.error_file_id)
    assert (bad["error"], bad["response"]["status_code"]) == (None, 400)
    assert bad["response"]["body"]["error"] == {
        "message": "This model does not take n 2",
        "type": "invalid_request_error",
        "param": "n",
        "code": "unsupported_parameter",
    }
    assert worse["response"]["body"]["error"]["param"] == "messages"


def test_nothing_that_succeeded_means_no_output_file(client: openai.OpenAI) -> None:
    batch = ended(client, submit(client, [chat_line("bad", n=2)]))
    assert (batch.status, batch.output_file_id) == ("completed", None)
    assert named(lines_of(client, batch.error_file_id)) == ["bad"]


def test_embedded_models_answer_at_their_endpoints(client: openai.OpenAI) -> None:
    embeddings = [
        json.dumps({"custom_id": "e", "method": "POST", "url": "/v1/embeddings",
                    "body": {"model": "local/minilm", "input": ["a cat", "a dog"]}})
    ]  # fmt: skip
    batch = ended(client, submit(client, embeddings, endpoint="/v1/embeddings"))
    (line,) = lines_of(client, batch.output_file_id)
    assert [len(row["embedding"]) for row in line["response"]["body"]["data"]] == [384, 384]

    labels = [chat_line("c", "I was charged twice", model="local/classify", response_format=FORMAT)]
    (line,) = lines_of(client, ended(client, submit(client, labels)).output_file_id)
    assert json.loads(line["response"]["body"]["choices"][0]["message"]["content"]) == {"topic": "billing"}

    talk = [chat_line("t", "What is the capital of France?", model="local/smollm2", max_tokens=20)]
    (line,) = lines_of(client, ended(client, submit(client, talk)).output_file_id)
    assert "Paris" in line["response"]["body"]["choices"][0]["message"]["content"]
    assert line["response"]["body"]["usage"]["completion_tokens"] > 3


BAD_LINES: list[tuple[str, str, str | None]] = [
    ("{nope", "invalid_json_line", None),
    ("[1]", "invalid_json_line", None),
    ('"text"', "invalid_json_line", None),
    ('{"custom_id": "\\ud800", "method": "POST"', "invalid_json_line", None),
    ('{"method": "POST", "url": "/v1/chat/completions", "body": {}}', "missing_required_parameter", "custom_id"),
    ('{"custom_id": "a", "url": "/v1/chat/completions", "body": {}}', "missing_required_parameter", "method"),
    ('{"custom_id": "a", "method": "POST", "body": {}}', "missing_required_parameter", "url"),
    ('{"custom_id": "a", "method": "POST", "url": "/v1/chat/completions"}', "missing_required_parameter", "body"),
    ('{"custom_id": 7, "method": "POST", "url": "/v1/chat/completions", "body": {}}', "invalid_custom_id", "custom_id"),
    (
        '{"custom_id": "", "method": "POST", "url": "/v1/chat/completions", "body": {}}',
        "invalid_custom_id",
        "custom_id",
    ),
    ('{"custom_id": "a", "method": "GET", "url": "/v1/chat/completions", "body": {}}', "invalid_method", "method"),
    ('{"custom_id": "a", "method": "POST", "url": "/v1/embeddings", "body": {}}', "url_mismatch", "url"),
    ('{"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": []}', "invalid_type", "body"),
    (
        '{"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {}}',
        "missing_required_parameter",
        "body.model",
    ),
    (chat_line("a", model="local/smollm2"), "model_mismatch", "body.model"),
    (chat_line("a", stream=True), "unsupported_parameter", "body.stream"),
    (chat_line("first"), "duplicate_custom_id", "custom_id"),
]


def test_every_bad_line_of_an_input_file_is_named(client: openai.OpenAI) -> None:
    file = [chat_line("first"), *(line for line, _, _ in BAD_LINES), "", chat_line("last")]
    batch = ended(client, submit(client, file))
    assert batch.status == "failed"
    assert batch.failed_at is not None
    assert (batch.output_file_id, batch.error_file_id) == (None, None)
    assert faults_of(batch) == [(code, number, param) for number, (_, code, param) in enumerate(BAD_LINES, 2)]


def test_per_item_only_the_bad_lines_fail(client: openai.OpenAI) -> None:
    file = [chat_line("first"), *(line for line, _, _ in BAD_LINES), "", chat_line("last")]
    batch = ended(client, submit(client, file, metadata={"validation": "per_item"}))
    assert batch.status == "completed"
    assert batch.errors is None
    assert named(lines_of(client, batch.output_file_id)) == ["first", "last"]
    errors = lines_of(client, batch.error_file_id)
    assert [(line["error"]["code"], line["error"]["line"], line["error"]["param"]) for line in errors] == [
        (code, number, param) for number, (_, code, param) in enumerate(BAD_LINES, 2)
    ]
    assert all(line["response"] is None for line in errors)
    assert len({line["id"] for line in errors}) == len(BAD_LINES)
    assert errors[-1]["custom_id"] == "first"


@pytest.mark.parametrize(
    ("data", "faults"),
    [
        (b"", [("empty_file", None, None)]),
        (b"\n \n", [("empty_file", None, None)]),
        (b"\x89PNG\r\n\x1a\n\x00\x00", [("invalid_json_line", 1, None), ("invalid_json_line", 2, None),
                                        ("invalid_json_line", 3, None)]),
        (chat_line("a", model="no/such-model").encode(), [("model_not_found", 1, "body.model")]),
        (chat_line("a", model="local/minilm").encode(), [("unsupported_model", 1, "body.model")]),
        (chat_line("a", model="local/ocr").encode(), [("unsupported_model", 1, "body.model")]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("metadata", [{}, {"validation": "per_item"}])
def test_a_file_without_a_good_line_fails_the_batch(
    client: openai.OpenAI, data: bytes, faults: list[Any], metadata: dict[str, str]
) -> None:
    batch = ended(client, submit(client, data, metadata=metadata))
    assert batch.status == "failed"
    assert faults_of(batch) == faults


def test_white_space_windows_newlines_and_deep_or_long_bodies_are_taken_or_named(client: openai.OpenAI) -> None:
    deep: Any = "x"
    for _ in range(80):
        deep = [deep]
    pretty = chat_line("tabs").replace('"body": ', '"body":\t ').replace(", ", ",\t")
    file = [pretty, chat_line("long", "x" * 200_000), chat_line("deep", user=deep), chat_line("é😀")]
    batch = ended(client, submit(client, "\r\n".join(file).encode(), metadata={"validation": "per_item"}))
    assert named(lines_of(client, batch.output_file_id)) == ["tabs", "long", "é😀"]
    (fault,) = lines_of(client, batch.error_file_id)
    assert fault["error"]["code"] == "invalid_json_line"


SLOW = {"model": "local/smollm2", "max_tokens": 60}


def slow_batch(client: openai.OpenAI) -> openai.types.Batch:
    """A batch of which some lines are answered, and most are not yet."""
    batch = submit(client, [chat_line(f"r{n}", "Tell me a story", **SLOW) for n in range(60)])
    while batch.request_counts is None or not 0 < batch.request_counts.completed < 40:
        assert batch.status in ("validating", "in_progress"), batch
        batch = client.batches.retrieve(batch.id)
    return batch


def test_cancelled_lines_are_in_the_error_file_and_what_was_done_stays(client: openai.OpenAI) -> None:
    batch = slow_batch(client)
    assert client.batches.cancel(batch.id).status == "cancelling"
    batch = ended(client, batch)
    assert batch.status == "cancelled"
    assert batch.cancelled_at is not None
    done, rest = lines_of(client, batch.output_file_id), lines_of(client, batch.error_file_id)
    assert len(done) + len(rest) == 60
    assert {line["error"]["code"] for line in rest} == {"batch_cancelled"}
    assert all(line["response"] is None for line in rest)
    assert client.batches.cancel(batch.id).status == "cancelled"  # answered unchanged


def test_expired_lines_are_in_the_error_file(client: openai.OpenAI, server: RunningServer) -> None:
    batch = slow_batch(client)
    with server.client() as http:
        assert http.post(f"/v1/runs/{batch.id}/expire").status_code == 200
    batch = ended(client, batch)
    assert batch.status == "expired"
    assert {line["error"]["code"] for line in lines_of(client, batch.error_file_id)} == {"batch_expired"}


def test_a_finished_batch_cannot_be_cancelled(client: openai.OpenAI) -> None:
    for lines in ([chat_line("a")], ["{nope"]):
        batch = ended(client, submit(client, lines))
        with pytest.raises(openai.ConflictError) as refused:
            client.batches.cancel(batch.id)
        assert refused.value.code == "invalid_state"
        assert refused.value.response.headers["x-should-retry"] == "false"


def test_a_list_is_walked_to_its_end(server: RunningServer) -> None:
    with client_of(server, server.new_key(workspace="lists")) as client:
        made = [submit(client, [chat_line("a")]).id for _ in range(5)]
        assert [batch.id for batch in client.batches.list(limit=2)] == made[::-1]
        assert client.batches.list(after=made[0]).data == []


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"endpoint": "/v1/moderations"}, "endpoint"),
        ({"completion_window": "1h"}, "completion_window"),
        ({"input_file_id": "file_of_nobody"}, "input_file_id"),
        ({"metadata": {"k" * 65: "v"}}, "metadata"),
        ({"output_expires_after": {"anchor": "created_at", "seconds": 60}}, "output_expires_after.seconds"),
        ({"extra_body": {"priority": 9}}, "priority"),
    ],
)
def test_a_refused_batch_answers_400_and_names_the_parameter(
    client: openai.OpenAI, change: dict[str, Any], param: str
) -> None:
    whole = {"input_file_id": "file_x", "endpoint": "/v1/chat/completions", "completion_window": "24h", **change}
    with pytest.raises(openai.BadRequestError) as refused:
        client.batches.create(**whole)
    assert refused.value.type == "invalid_request_error"
    assert (refused.value.param or "").startswith(param)


def test_an_input_needs_the_purpose_of_one(client: openai.OpenAI) -> None:
    file = client.files.create(file=("a.jsonl", chat_line("a").encode()), purpose="user_data")
    with pytest.raises(openai.BadRequestError) as refused:
        client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
    assert (refused.value.param, refused.value.code) == ("input_file_id", "invalid_purpose")


def test_a_batch_of_another_workspace_is_not_found(client: openai.OpenAI, server: RunningServer) -> None:
    batch = submit(client, [chat_line("a")])
    with client_of(server, server.new_key(workspace="strangers")) as stranger:
        for ask in (stranger.batches.retrieve, stranger.batches.cancel):
            with pytest.raises(openai.NotFoundError) as refused:
                ask(batch.id)
            assert refused.value.code == "batch_not_found"
        assert stranger.batches.list().data == []


def test_output_files_expire_when_they_were_asked_to(client: openai.OpenAI) -> None:
    options: dict[str, Any] = {"output_expires_after": {"anchor": "created_at", "seconds": 3_600}}
    batch = ended(client, submit(client, [chat_line("a")], **options))
    assert batch.output_file_id is not None
    file = client.files.retrieve(batch.output_file_id)
    assert file.expires_at == file.created_at + 3_600


def test_simulated_failures_of_test_mode_reach_the_error_file(server: RunningServer) -> None:
    with client_of(server, server.new_key(mode="test")) as client:
        line = chat_line("a", "[[simulate: upstream_failed]]")
        batch = ended(client, submit(client, [line, chat_line("b")]))
    with client_of(server) as client:
        (failed,) = lines_of(client, batch.error_file_id)
    assert failed["error"] is None
    assert failed["response"]["status_code"] >= 400
    assert failed["response"]["body"]["error"]["type"] in ("server_error", "rate_limit_error", "invalid_request_error")


def test_the_example_of_the_documentation_says_what_it_says_there(server: RunningServer) -> None:
    environ = os.environ | {"OPENAI_BASE_URL": f"{server.base_url}/openai/v1", "OPENAI_API_KEY": server.key}
    done = subprocess.run(
        [sys.executable, "examples/openai_batch.py"],
        env=environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    page = Path("docs/howto/openai.md").read_text("utf-8")
    assert f"It prints\n\n```\n{done.stdout}```\n" in page
