"""The one assertion on the error contract, for every path that can fail."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

import httpx2

from amends.problems import CATALOGUE, Problem, parse

_REMEDY = {"action", "retryable", "retry_after", "fault", "safe_new_key", "billed", "hint"}
_LEAKS = re.compile(r"Traceback|site-packages|\.py\b|\bsqlite|\bapsw\b|SELECT ", re.IGNORECASE)


def assert_problem(
    answer: httpx2.Response, slug: str, *, error_code: str | None = None, detail: str | None = None
) -> dict[str, Any]:
    """The answer is a problem of the catalogue, in the right shape and with the right headers; its body.

    slug: the type expected. error_code, detail: exactly so, None for any that the row allows.
    """
    row = CATALOGUE[slug]
    assert answer.status_code == row.status, (answer.status_code, answer.text)
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert urlsplit(body["type"]).path == f"/errors/{slug}"
    assert (body["title"], body["status"]) == (row.title, row.status)
    assert row.admits(body["error_code"])
    assert body["code"] == body["error_code"].lower()
    assert body["request_id"] == answer.headers["x-request-id"]
    assert body["instance"] == answer.request.url.path
    assert body["detail"]
    assert not _LEAKS.search(answer.text), answer.text
    assert set(body["remedy"]) == _REMEDY
    _assert_headers(answer, body)
    _assert_errors(body)
    assert error_code in (None, body["error_code"])
    assert detail in (None, body["detail"])
    read = parse(answer.status_code, answer.headers["content-type"], answer.content)
    assert isinstance(read, Problem)
    assert read.slug == slug
    return body


def assert_detail(
    answer: httpx2.Response, slug: str, *, error_code: str | None = None, detail: str | None = None
) -> dict[str, Any]:
    """The answer is a problem as clients of ``/api`` read it; its body."""
    row = CATALOGUE[slug]
    assert answer.status_code == row.status, (answer.status_code, answer.text)
    assert answer.headers["content-type"] == "application/json"
    body: dict[str, Any] = answer.json()
    assert row.admits(body["error_code"])
    assert body["request_id"] == answer.headers["x-request-id"]
    assert isinstance(body["detail"], list if answer.status_code == 422 else str)
    assert not _LEAKS.search(answer.text), answer.text
    assert set(body["remedy"]) == _REMEDY
    _assert_headers(answer, body)
    assert error_code in (None, body["error_code"])
    assert detail in (None, body["detail"])
    return body


def assert_enveloped(answer: httpx2.Response, slug: str | None = None) -> dict[str, Any]:
    """The answer is a problem as OpenAI's clients read it; its ``details``. slug: None for any."""
    assert answer.headers["content-type"] == "application/json"
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code", "details"}
    details: dict[str, Any] = error["details"]
    assert details["status"] == answer.status_code
    assert details["request_id"] == answer.headers["x-request-id"]
    assert error["message"]
    assert not _LEAKS.search(answer.text), answer.text
    found = urlsplit(details["type"]).path.rpartition("/")[2]
    assert found in CATALOGUE
    assert slug in (None, found)
    _assert_headers(answer, details)
    return details


def _assert_headers(answer: httpx2.Response, body: dict[str, Any]) -> None:
    assert "location" not in answer.headers
    assert ("www-authenticate" in answer.headers) == (answer.status_code == 401)
    assert ("allow" in answer.headers) == (answer.status_code == 405)
    if "retry-after" in answer.headers:
        assert 1 <= int(answer.headers["retry-after"]) <= 60
    if not body["remedy"]["retryable"]:
        assert answer.headers["x-should-retry"] == "false"
    if answer.status_code == 409 and body["error_code"] != "IDEMPOTENCY_IN_PROGRESS":
        assert answer.headers["x-should-retry"] == "false"


def _assert_errors(body: dict[str, Any]) -> None:
    for error in body.get("errors", ()):
        assert {"pointer", "code", "message", "loc", "type"} <= set(error)
        assert error["loc"][0] in ("body", "query", "path", "header")
    if body.get("errors"):
        assert body["errors_total"] >= len(body["errors"])
        assert len(body["errors"]) <= 1_000
