import json
from typing import Any

import pytest

from amends.problems import Problem, parse

HTML = b"<!DOCTYPE html><html><head><title>\n 502 Bad &amp; Worse\n</title></head><body>\xff</body></html>"


def parse_json(status: int, body: Any) -> Problem:
    return parse(status, "application/json", json.dumps(body).encode())


@pytest.mark.parametrize(
    ("status", "slug", "retryable"),
    [
        (400, "malformed_request", False),
        (401, "no_authentication", False),
        (404, "resource_not_found", False),
        (408, "malformed_request", True),
        (418, "malformed_request", False),
        (422, "validation_failed", False),
        (425, "malformed_request", True),
        (429, "rate_limit_exceeded", True),
        (500, "internal_server_error", True),
        (502, "service_unavailable", True),
        (503, "service_unavailable", True),
        (504, "service_unavailable", True),
        (507, "insufficient_storage", True),
        (599, "internal_server_error", True),
    ],
)
@pytest.mark.parametrize(("media_type", "body"), [("text/html", HTML), (None, b""), ("application/json", b"{}")])
def test_an_answer_that_says_nothing_takes_the_class_of_its_status(
    status: int, slug: str, retryable: bool, media_type: str | None, body: bytes
) -> None:
    read = parse(status, media_type, body)
    assert (read.slug, read.status, read.remedy.retryable) == (slug, status, retryable)
    assert read.detail
    assert read.title


def test_a_gateways_page_is_quoted_by_its_title() -> None:
    read = parse(502, "text/html; charset=utf-8", HTML)
    assert read.detail == "The server, or a gateway before it, answered 502 Bad Gateway: 502 Bad & Worse"
    assert (read.error_code, read.remedy.safe_new_key) == ("HTTP_502", False)
    assert parse(502, None, b"  <html><H1>Down <b>now</b></H1>").detail.endswith(": Down now")


def test_a_text_is_quoted_within_bounds() -> None:
    assert parse(503, "text/plain", b"upstream connect\x1b[31m error").detail.endswith(": upstream connect [31m error")
    assert len(parse(503, "text/plain", b"x" * 100_000).detail) < 300


def test_a_gateways_message_becomes_the_detail() -> None:
    assert parse_json(429, {"message": "Too Many Requests"}).detail == "Too Many Requests"
    assert parse_json(404, {"detail": "Not Found"}).detail == "Not Found"


def test_an_openai_error_is_understood() -> None:
    foreign = {"error": {"message": "Slow down", "type": "requests", "param": None, "code": "rate_limit_exceeded"}}
    read = parse_json(429, foreign)
    assert (read.slug, read.detail, read.error_code) == ("rate_limit_exceeded", "Slow down", "RATE_LIMIT_EXCEEDED")


def test_fastapis_own_validation_error_is_understood() -> None:
    read = parse_json(422, {"detail": [{"type": "missing", "loc": ["body", "a", 0], "msg": "Field required"}]})
    assert read.slug == "validation_failed"
    assert read.detail == "a.0: Field required"
    assert read.errors[0].pointer == "/a/0"


def test_an_unknown_type_keeps_its_name_and_takes_its_class() -> None:
    read = parse_json(409, {"type": "https://elsewhere.example/errors/brand_new?x#y", "title": "New", "detail": "Hm"})
    assert (read.slug, read.title, read.detail, read.status) == ("brand_new", "New", "Hm", 409)
    assert read.remedy.retryable is False
    assert parse_json(409, {"type": "about:blank"}).slug == "conflict"


def test_the_status_of_the_answer_wins_and_an_items_own_is_taken() -> None:
    body = {"type": "/errors/file_not_found", "status": 422}
    assert Problem.from_body(body, 500).status == 500
    assert Problem.from_body(body).status == 422
    assert Problem.from_body({"type": "/errors/file_not_found", "status": "x"}).status == 422
    assert Problem.from_body({}).status == 500


def test_an_error_code_finds_its_row_where_no_type_is_told() -> None:
    assert parse_json(422, {"error": "gone", "error_code": "FILE_NOT_FOUND"}).slug == "file_not_found"
    assert parse_json(404, {"detail": "gone", "error_code": "FILE_NOT_FOUND"}).slug == "resource_not_found"


@pytest.mark.parametrize(
    "body",
    [
        b"null",
        b"[]",
        b'"text"',
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b"9" * 10_000,
        b'{"status": NaN, "retry_after": Infinity, "remedy": {"retry_after": 1e999}}',
        b'{"retry_after": ' + b"9" * 400 + b"}",
        b'{"detail": "\\ud800", "title": 3, "errors": [1, {"loc": 5, "pointer": []}, {"loc": [null, 1.5, "a"]}]}',
        b'{"error": {"message": ["x"], "code": 7, "details": {"type": {}, "remedy": []}}}',
        b'{"detail": [1, null, {"msg": 4, "loc": {"a": 1}, "type": null}]}',
        b'{"type": "' + b"/" * 10_000 + b'", "error_code": "x' + b"y" * 500 + b'"}',
        b"\xff\xfe\x00\xd8",
        b"<title" * 50_000,
        b"<title></title>",
        b"\x00" * 100,
        '{"detail": "süß"}'.encode("utf-16"),
    ],
)
@pytest.mark.parametrize("status", [0, 200, 404, 503, 999])
def test_hostile_bodies_end_in_a_problem(status: int, body: bytes) -> None:
    read = parse(status, None, body)
    assert read.status == status
    assert read.detail.encode()
    json.dumps(read.to_body("http://x"))
