"""One handler for everything that can go wrong while a request is answered.

Whatever is raised, by a route, a dependency or the framework, comes by the entrance, becomes a Problem (``problem_of``) and leaves
in the dialect of its route (``problem_response``). Nothing else in the server composes an error response.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final, cast

import msgspec
import structlog
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Scope

from amends.problems import (
    DIALECTS,
    Dialect,
    FieldError,
    Problem,
    ProblemError,
    headers,
    idempotency_in_progress,
    problem,
    render,
    validation_failed,
)
from amends.store import Fenced

log = structlog.get_logger("amends.server")

_DIALECT_OF_PREFIX: Final[tuple[tuple[str, Dialect], ...]] = (
    ("/v1/videos/", "flat"),
    ("/v1/sessions/", "flat"),
    ("/api/", "detail"),
    ("/openai/v1/", "envelope"),
)
_SLUG_OF_STATUS: Final = {
    400: "malformed_request",
    401: "no_authentication",
    403: "insufficient_permissions",
    404: "resource_not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    409: "conflict",
    413: "payload_too_large",
    415: "unsupported_media_type",
    422: "validation_failed",
    503: "service_unavailable",
}
_NEVER_SHOWN: Final = frozenset(
    {"authorization", "x-api-key", "password", "current_password", "new_password", "refresh_token", "invitation"}
)


def problem_of(error: BaseException) -> Problem:
    """The problem that an exception stands for; anything unforeseen is ``internal_server_error`` and says nothing of the inside."""
    if (raised := _within(error)) is not None:
        return raised.problem
    if isinstance(error, Fenced):
        return idempotency_in_progress(1.0)  # another holder of the same key overtook this one; nothing was written
    if isinstance(error, RequestValidationError):
        return _of_validation(error.errors())
    if isinstance(error, HTTPException):
        return _of_status(error)
    return problem("internal_server_error")


def _within(error: BaseException | None) -> ProblemError | None:
    """A ProblemError that the framework wrapped in one of its own (it answers 400 to whatever reading a body raises)."""
    seen = 0
    while error is not None and seen < 8:
        if isinstance(error, ProblemError):
            return error
        error, seen = error.__cause__, seen + 1
    return None


def _of_status(error: HTTPException) -> Problem:
    slug = _SLUG_OF_STATUS.get(
        error.status_code, "malformed_request" if error.status_code < 500 else "internal_server_error"
    )
    if slug == "method_not_allowed":
        allow = (error.headers or {}).get("Allow", "")
        return problem(slug, allow=[method.strip() for method in allow.split(",") if method.strip()])
    return problem(slug)


def _of_validation(errors: Iterable[Mapping[str, Any]]) -> Problem:
    faults = list(errors)
    for fault in faults:
        if fault["type"] == "json_invalid":
            position = fault["loc"][-1] if isinstance(fault["loc"][-1], int) else 0
            return problem(
                "malformed_request",
                f"The body is not JSON: {fault.get('ctx', {}).get('error', 'unreadable')} at character {position}",
            )
    return validation_failed([_field_error(fault) for fault in faults])


def _field_error(fault: Mapping[str, Any]) -> FieldError:
    loc = tuple(fault["loc"])
    secret = any(str(step).lower() in _NEVER_SHOWN for step in loc)
    context = fault.get("ctx") or {}
    return FieldError.at(
        loc,
        str(context["error"]) if fault["type"] == "value_error" and "error" in context else fault["msg"],
        fault["type"],
        code=context.get("code"),
        input=None if secret or fault["type"] == "missing" else _shown(fault.get("input")),
    )


def _shown(value: Any) -> Any:
    """A value small enough to be sent back; None for anything large or not JSON."""
    try:
        return value if len(json.dumps(value, allow_nan=False)) <= 1_000 else None
    except (TypeError, ValueError):
        return None


def dialect_for(path: str, accept: str | None) -> Dialect:
    """The route's dialect, unless ``Accept: application/json; dialect=…`` names another."""
    for media_range in accept.split(",") if accept and "dialect" in accept.lower() else ():
        media_type, *parameters = (part.strip() for part in media_range.split(";"))
        if media_type.lower() == "application/json":
            for parameter in parameters:
                name, _, value = parameter.partition("=")
                if name.strip().lower() == "dialect" and (wanted := value.strip().strip('"').lower()) in DIALECTS:
                    return cast("Dialect", wanted)
    whole = path + "/"
    for prefix, dialect in _DIALECT_OF_PREFIX:
        if whole.startswith(prefix):
            return dialect
    return "problem"


def problem_response(what: Problem, scope: Scope, public_url: str) -> Response:
    """The response to a request that ended in ``what``."""
    path = scope.get("path", "/")
    accept = None
    for name, value in scope.get("headers", ()):
        if name == b"accept":
            accept = value.decode("latin-1")
            break
    whole = what.met_at(path, scope.get("state", {}).get("request_id"))
    if whole.status == 422 and path.startswith("/openai/"):
        whole = whole.replace(status=400)  # OpenAI's clients know no other status of a request that is not valid
    media_type, body = render(whole, dialect_for(path, accept), public_url)
    extra = headers(whole)
    if whole.status == 413:
        # The rest of the body is still under way: this connection cannot carry another request.
        extra["connection"] = "close"
    return _Refusal(_encoded(body), whole.status, extra, media_type)


class _Refusal(Response):
    """A response whose headers are put down as they are, which takes half as long as having them looked through."""

    def init_headers(self, headers: Mapping[str, str] | None = None) -> None:
        own = {"content-length": str(len(self.body)), "content-type": self.media_type or "", **(headers or {})}
        self.raw_headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in own.items()]


def refusal(error: ProblemError, scope: Scope, public_url: str) -> Response:
    """The response to a request whose handler ended in a problem before it had begun to answer; noted in the log."""
    note_failure(error.problem, error, scope, has_started=False)
    return problem_response(error.problem, scope, public_url)


def _encoded(body: dict[str, Any]) -> bytes:
    try:
        return msgspec.json.encode(body)
    except UnicodeEncodeError:
        # What was sent is quoted, and JSON can name half a surrogate pair, which UTF-8 cannot: it leaves as it came, escaped.
        return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode(errors="backslashreplace")


def note_failure(what: Problem, error: Exception, scope: Scope, *, has_started: bool) -> None:
    """Log what is the server's own fault, or broke an answer off."""
    if what.status < 500 and not has_started:
        return
    fields = {"method": scope["method"], "path": scope["path"], "problem": what.slug, "code": what.code}
    if what.status >= 500 and what.slug == "internal_server_error":
        log.error("request_crashed", **fields, exc_info=error, response_started=has_started)
    else:
        log.warning("request_failed", **fields, detail=what.detail, response_started=has_started)
