"""The same problem in the shapes that different clients expect: pure functions to (media type, body)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, Literal

from ._value import STANDARD_MEMBERS, FieldError, Problem

Dialect = Literal["problem", "detail", "flat", "envelope"]

PROBLEM_JSON: Final = "application/problem+json"
JSON: Final = "application/json"

# Pydantic says why a UUID is none in many ways; clients of the surface that speaks `detail` compare this one.
_INVALID_UUID: Final = "Input should be a valid UUID"


def render(problem: Problem, dialect: Dialect, public_url: str) -> tuple[str, dict[str, Any]]:
    """Return the media type and the JSON object of ``problem`` in ``dialect``; KeyError for an unknown dialect."""
    return DIALECTS[dialect](problem, public_url)


def _render_problem(problem: Problem, public_url: str) -> tuple[str, dict[str, Any]]:
    return PROBLEM_JSON, problem.to_body(public_url)


def _render_detail(problem: Problem, public_url: str) -> tuple[str, dict[str, Any]]:
    body: dict[str, Any] = {"detail": problem.detail, "error_code": problem.error_code}
    if problem.status == 422:
        body["detail"] = [_pydantic_row(error) for error in problem.errors] or [
            {"type": problem.code, "loc": ["body"], "msg": problem.detail, "input": None}
        ]
    fields = {error.path for error in problem.errors if error.path}
    if len(fields) == 1:
        body["field"] = fields.pop()
    return JSON, _with_members(body, problem)


def _render_flat(problem: Problem, public_url: str) -> tuple[str, dict[str, Any]]:
    body: dict[str, Any] = {"error": problem.detail, "error_code": problem.error_code}
    if problem.errors:
        body["errors"] = [error.to_dict() for error in problem.errors]
    return JSON, _with_members(body, problem)


def _render_envelope(problem: Problem, public_url: str) -> tuple[str, dict[str, Any]]:
    details = problem.to_body(public_url)
    del details["detail"]
    code = problem.errors[0].code if problem.errors else problem.code
    if problem.error_code == "AUTHENTICATION_FAILED":
        code = "invalid_api_key"
    error = {
        "message": problem.detail,
        "type": _openai_word(problem.status),
        "param": _parameter(problem.errors[0]) if problem.errors else None,
        "code": code,
        "details": details,
    }
    return JSON, {"error": error}


def _with_members(body: dict[str, Any], problem: Problem) -> dict[str, Any]:
    body["remedy"] = problem.remedy.to_dict()
    for name, value in problem.extensions.items():
        if name not in STANDARD_MEMBERS:
            body.setdefault(name, value)
    body["request_id"] = problem.request_id
    return body


def _pydantic_row(error: FieldError) -> dict[str, Any]:
    return {
        "type": error.type,
        "loc": list(error.loc),
        "msg": _INVALID_UUID if error.type == "uuid_parsing" else error.message,
        "input": None if error.type == "missing" else error.input,
    }


def _openai_word(status: int) -> str:
    if status >= 500:
        return "server_error"
    return {401: "authentication_error", 429: "rate_limit_error"}.get(status, "invalid_request_error")


def _parameter(error: FieldError) -> str | None:
    """Return the field as OpenAI writes it: ``items[0].custom_id``; None for the body as a whole."""
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.loc[1:])
    return "".join(steps).removeprefix(".") or None


DIALECTS: Final[Mapping[str, Callable[[Problem, str], tuple[str, dict[str, Any]]]]] = MappingProxyType(
    {"problem": _render_problem, "detail": _render_detail, "flat": _render_flat, "envelope": _render_envelope}
)
"""Every dialect by its name."""
