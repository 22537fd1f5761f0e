import json
from typing import Any

import pytest

from amends.problems import (
    CATALOGUE,
    DIALECTS,
    FieldError,
    duplicate_custom_id,
    invalid_credentials,
    not_found,
    parse,
    problem,
    render,
    token_expired,
    validation_failed,
)

URL = "http://127.0.0.1:8080"


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("slug", CATALOGUE)
def test_every_row_survives_every_dialect(slug: str, dialect: Any) -> None:
    sent = problem(slug, **CATALOGUE[slug].example).replace(request_id="req_1")
    media_type, body = render(sent, dialect, URL)
    read = parse(sent.status, media_type, json.dumps(body).encode())
    assert media_type == ("application/problem+json" if dialect == "problem" else "application/json")
    assert (read.slug, read.status, read.title, read.detail) == (sent.slug, sent.status, sent.title, sent.detail)
    assert (read.error_code, read.request_id, read.remedy) == (sent.error_code, "req_1", sent.remedy)
    assert read.extensions == sent.extensions
    assert [error.loc for error in read.errors] == (
        [error.loc for error in sent.errors] or ([("body",)] if dialect == "detail" and sent.status == 422 else [])
    )


def test_detail_is_a_sentence_with_members() -> None:
    _, body = render(not_found("collection", "abc").replace(request_id="req_1"), "detail", URL)
    del body["remedy"]
    assert body == {
        "detail": "Collection not found",
        "error_code": "COLLECTION_NOT_FOUND",
        "collection_id": "abc",
        "request_id": "req_1",
    }


def test_detail_shows_validation_as_fastapi_does() -> None:
    missing = FieldError.at(("body", "name"), "Field required", "missing", input={"secret": 1})
    _, body = render(validation_failed([missing]), "detail", URL)
    assert body["detail"] == [{"type": "missing", "loc": ["body", "name"], "msg": "Field required", "input": None}]
    assert (body["error_code"], body["field"], body["request_id"]) == ("VALIDATION_ERROR", "name", None)


def test_detail_says_one_sentence_for_every_bad_uuid() -> None:
    message = "Input should be a valid UUID, invalid character: found `x` at 1"
    bad = FieldError.at(("path", "id"), message, "uuid_parsing", input="x")
    _, body = render(validation_failed([bad]), "detail", URL)
    assert body["detail"][0] == {
        "type": "uuid_parsing",
        "loc": ["path", "id"],
        "msg": "Input should be a valid UUID",
        "input": "x",
    }


def test_detail_names_no_field_where_several_are_at_fault() -> None:
    errors = [FieldError.at(("body", name), "Field required", "missing") for name in "ab"]
    assert "field" not in render(validation_failed(errors), "detail", URL)[1]


@pytest.mark.parametrize("slug", [slug for slug, row in CATALOGUE.items() if row.status == 422])
def test_every_422_has_a_list_as_detail(slug: str) -> None:
    _, body = render(problem(slug), "detail", URL)
    assert [set(row) for row in body["detail"]] == [{"type", "loc", "msg", "input"}]


def test_flat_puts_the_sentence_under_error() -> None:
    made = problem("malformed_request", "timestamp is malformed", field="timestamp", error="sneaky")
    _, body = render(made, "flat", URL)
    del body["remedy"]
    assert body == {
        "error": "timestamp is malformed",
        "error_code": "BAD_REQUEST",
        "field": "timestamp",
        "request_id": None,
    }


def test_flat_keeps_the_errors_of_a_validation() -> None:
    _, body = render(validation_failed([duplicate_custom_id("a", 0)]), "flat", URL)
    assert body["errors"][0]["pointer"] == "/items/0/custom_id"


@pytest.mark.parametrize(
    ("slug", "word"),
    [
        ("no_authentication", "authentication_error"),
        ("rate_limit_exceeded", "rate_limit_error"),
        ("service_unavailable", "server_error"),
        ("upstream_failed", "server_error"),
        ("conflict", "invalid_request_error"),
        ("validation_failed", "invalid_request_error"),
    ],
)
def test_envelope_uses_the_words_of_openai(slug: str, word: str) -> None:
    assert render(problem(slug), "envelope", URL)[1]["error"]["type"] == word


def test_envelope_has_exactly_its_members() -> None:
    _, body = render(validation_failed([duplicate_custom_id("a", 4)]), "envelope", URL)
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "param", "code", "details"}
    assert (body["error"]["param"], body["error"]["code"]) == ("items[4].custom_id", "duplicate_custom_id")
    assert body["error"]["details"]["remedy"]["action"] == "fix_input"


def test_envelope_calls_a_bad_key_what_openai_calls_it() -> None:
    assert render(invalid_credentials(), "envelope", URL)[1]["error"]["code"] == "invalid_api_key"
    assert render(token_expired(), "envelope", URL)[1]["error"]["code"] == "token_expired"


def test_an_unknown_dialect_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(KeyError):
        render(problem("conflict"), "klingon", URL)  # type: ignore[arg-type]
