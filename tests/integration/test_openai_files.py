"""``/openai/v1/files`` and ``/openai/v1/models``, by OpenAI's own client."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.openai_client import chat_line, client_of, ended, submit
from tests.servers import RunningServer


@pytest.fixture(scope="module")
def client(shell: RunningServer) -> Iterator[openai.OpenAI]:
    with client_of(shell) as opened:
        yield opened


def test_a_file_is_uploaded_read_listed_and_deleted(shell: RunningServer) -> None:
    with client_of(shell, shell.new_key(workspace="one file")) as client:
        made = client.files.create(file=("lines.jsonl", b'{"a": 1}\n'), purpose="batch")
        assert (made.object, made.purpose, made.bytes, made.status) == ("file", "batch", 9, "processed")
        assert made.expires_at == pytest.approx(made.created_at + 30 * 86_400, abs=2)
        assert client.files.retrieve(made.id) == made
        assert client.files.content(made.id).content == b'{"a": 1}\n'
        assert list(client.files.list()) == [made]
        assert client.files.delete(made.id).deleted
        with pytest.raises(openai.NotFoundError) as gone:
            client.files.retrieve(made.id)
        assert gone.value.code == "file_not_found"
        assert list(client.files.list()) == []


def test_it_is_the_same_file_on_both_surfaces(client: openai.OpenAI, shell: RunningServer) -> None:
    made = client.files.create(file=("a.txt", b"text"), purpose="user_data")
    with shell.client() as http:
        assert http.get(f"/v1/files/{made.id}").json() == made.model_dump(exclude={"status_details"})
        other = http.post("/v1/files", files={"file": ("b.txt", b"text")}).json()
    assert client.files.retrieve(other["id"]).bytes == 4


def test_a_list_is_walked_by_pages_and_by_purpose(shell: RunningServer) -> None:
    with client_of(shell, shell.new_key(workspace="many files")) as client:
        made = [client.files.create(file=("a", b"x"), purpose="batch" if n % 2 else "user_data").id for n in range(5)]
        assert [file.id for file in client.files.list(limit=2)] == made[::-1]
        assert [file.id for file in client.files.list(purpose="batch")] == made[3::-2]
        assert client.files.list(after=made[0]).data == []


def test_an_expiry_is_counted_from_the_creation(client: openai.OpenAI) -> None:
    expiry: Any = {"anchor": "created_at", "seconds": 7_200}
    made = client.files.create(file=("a", b"x"), purpose="batch", expires_after=expiry)
    assert made.expires_at == made.created_at + 7_200


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"purpose": "fine-tune"}, "purpose"),
        ({"purpose": "batch", "expires_after": {"anchor": "created_at", "seconds": 60}}, "expires_after[seconds]"),
        ({"purpose": "batch", "expires_after": {"anchor": "born", "seconds": 7_200}}, "expires_after[anchor]"),
        ({"purpose": "batch", "expires_after": {"anchor": "created_at"}}, "expires_after[seconds]"),
        ({"purpose": "batch", "extra_body": {"colour": "red"}}, "colour"),
    ],
)
def test_a_refused_upload_answers_400_and_names_the_parameter(
    client: openai.OpenAI, options: dict[str, Any], param: str
) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.files.create(file=("a", b"x"), **options)
    assert (refused.value.type, refused.value.param) == ("invalid_request_error", param)


def test_query_parameters_are_refused_with_400_too(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.files.list(limit=0)
    assert refused.value.param == "limit"


def test_what_batches_make_is_listed_on_both_surfaces(server: RunningServer) -> None:
    with client_of(server) as client:
        made = ended(client, submit(client, [chat_line("a")]))
        assert [file.id for file in client.files.list(purpose="batch_output")] == [made.output_file_id]
    with server.client() as http:
        listed = http.get("/v1/files", params={"purpose": "batch_output"}).json()["data"]
        assert [file["id"] for file in listed] == [made.output_file_id]


def test_models_are_listed_and_found(client: openai.OpenAI) -> None:
    names = {model.id for model in client.models.list()}
    assert {"local/echo", "local/minilm", "local/classify", "local/smollm2", "local/extract"} <= names
    assert "local/ocr" not in names  # reads files, and no request holds one
    assert client.models.retrieve("local/minilm").owned_by == "amends"
    with pytest.raises(openai.NotFoundError) as refused:
        client.models.retrieve("no/such")
    assert refused.value.code == "model_not_found"


def test_a_bad_key_has_openais_code(shell: RunningServer) -> None:
    with client_of(shell, "sk-wrong") as client, pytest.raises(openai.AuthenticationError) as refused:
        client.models.list()
    assert (refused.value.code, refused.value.type) == ("invalid_api_key", "authentication_error")


def test_a_role_that_may_not_is_refused(shell: RunningServer) -> None:
    with client_of(shell, shell.new_key("viewer")) as client:
        with pytest.raises(openai.PermissionDeniedError):
            client.files.create(file=("a", b"x"), purpose="batch")
        with pytest.raises(openai.PermissionDeniedError):
            client.chat.completions.create(model="local/echo", messages=[{"role": "user", "content": "x"}])
