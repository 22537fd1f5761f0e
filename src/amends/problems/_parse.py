"""Reading a problem out of whatever a server or a gateway answered. Nothing here raises, whatever the bytes.

Every member is taken only if it is of the right kind; the rest comes from the catalogue: from the row of the type,
else of the error code, else of the status.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final, cast

from ._catalogue import CATALOGUE
from ._row import Row
from ._value import ACTIONS, FAULTS, STANDARD_MEMBERS, Action, Fault, FieldError, Problem, Remedy, pointer_to

_MAX_BODY_BYTES: Final = 16 * 1024 * 1024
_MAX_QUOTE_CHARS: Final = 200

# Where a status belongs to no row of an endpoint: gateways answer 502 and 504 for a server that is away.
_STATUS_SLUGS: Final = {502: "service_unavailable", 504: "service_unavailable", 422: "validation_failed"}
# RFC 9110: the server, or what stands before it, closed an idle request (15.5.9) or would not risk a replay
# (RFC 8470, 5.2): sent again it may pass.
_PASSING_STATUSES: Final = frozenset({408, 425})


def parse(status: int, media_type: str | None, body: bytes) -> Problem:
    """Read the problem of an answer with a failing ``status``, in any dialect, or of a page, or of nothing at all.

    ``media_type``: the Content-Type as it came, None where there was none; content decides all the same.
    """
    content = _load(body)
    if isinstance(content, dict):
        return _read_object(content, status)
    return _blank(status, _quote(media_type or "", body[:_MAX_BODY_BYTES]))


def _load(body: bytes) -> Any:
    if len(body) > _MAX_BODY_BYTES:
        return None
    try:
        return json.loads(body)
    except (ValueError, RecursionError):  # not JSON or not text; nested beyond reading
        return None


def _read_object(content: dict[str, Any], status: int) -> Problem:
    error, detail = content.get("error"), content.get("detail")
    if isinstance(error, dict):
        return _read_envelope(error, status)
    if isinstance(error, str):
        rest = {name: value for name, value in content.items() if name != "error"}
        return read_body({**rest, "detail": error}, status)
    if isinstance(detail, list):
        return _read_detail_list(content, detail, status)
    if detail is None and isinstance(content.get("message"), str):  # as many gateways answer
        return read_body({**content, "detail": content["message"]}, status)
    return read_body(content, status)


def _read_envelope(error: dict[str, Any], status: int) -> Problem:
    details = error.get("details")
    if isinstance(details, dict) and "type" in details:
        return read_body({**details, "detail": error.get("message")}, status)
    members = {"detail": error.get("message"), "code": error.get("code"), "param": error.get("param")}
    return read_body({name: value for name, value in members.items() if value is not None}, status)


def _read_detail_list(content: dict[str, Any], rows: list[Any], status: int) -> Problem:
    """Read FastAPI's own shape of a validation error, ours of the ``detail`` dialect included."""
    errors = [
        {"message": row.get("msg"), "loc": row.get("loc"), "type": row.get("type"), "input": row.get("input")}
        for row in rows
        if isinstance(row, dict)
    ]
    detail = "; ".join(error.sentence for error in _errors(errors))
    rest = {name: value for name, value in content.items() if name != "field"}
    return read_body({**rest, "errors": errors, "detail": detail or None}, status)


def read_body(body: Mapping[str, Any], status: int | None) -> Problem:
    """Read one problem object; see ``Problem.from_body``."""
    status = _status(body, status)
    slug, row = _type(body, status)
    error_code = _error_code(body, row, status)
    remedy = _remedy(body, _default_remedy(row, error_code, status), status)
    return Problem(
        slug=slug,
        status=status,
        title=_text(body.get("title")) or _title(slug, row, status),
        detail=_text(body.get("detail")) or _default_detail(row, status),
        error_code=error_code,
        remedy=remedy,
        instance=_text(body.get("instance")),
        request_id=_text(body.get("request_id")),
        errors=_errors(body.get("errors")),
        extensions={str(name): value for name, value in body.items() if name not in STANDARD_MEMBERS},
    )


def _blank(status: int, quote: str) -> Problem:
    """Make the problem of an answer that says nothing more than its status, or only what ``quote`` holds."""
    sentence = f"The server, or a gateway before it, answered {status} {_phrase(status)}".rstrip()
    return read_body({"detail": f"{sentence}: {quote}" if quote else sentence}, status)


def _status(body: Mapping[str, Any], status: int | None) -> int:
    if status is not None:
        return status
    told = body.get("status")
    if isinstance(told, int) and not isinstance(told, bool) and 100 <= told <= 599:
        return told
    row = CATALOGUE.get(_slug(body) or "")
    return row.status if row else 500


def _slug(body: Mapping[str, Any]) -> str | None:
    told = body.get("type")
    if not isinstance(told, str):
        return None
    last = re.split(r"[?#]", told, maxsplit=1)[0].rstrip("/").rpartition("/")[2]
    return last if re.fullmatch(r"[a-z][a-z0-9_]{0,63}", last) else None


def _type(body: Mapping[str, Any], status: int) -> tuple[str, Row]:
    slug = _slug(body)
    if slug is not None:
        return slug, CATALOGUE.get(slug) or _row_of_status(status)
    row = _row_of_code(_told_error_code(body), status) or _row_of_status(status)
    return row.slug, row


def _row_of_code(error_code: str | None, status: int) -> Row | None:
    rows = (row for row in CATALOGUE.values() if row.status == status and error_code and row.admits(error_code))
    return next(rows, None)


def _row_of_status(status: int) -> Row:
    """Return the endpoint's row of a status, else that of its class (RFC 9110, 15: treat x99 as x00)."""
    if slug := _STATUS_SLUGS.get(status):
        return CATALOGUE[slug]
    rows = (row for row in CATALOGUE.values() if row.status == status and "E" in row.where)
    return next(rows, CATALOGUE["internal_server_error" if status >= 500 else "malformed_request"])


def _told_error_code(body: Mapping[str, Any]) -> str | None:
    for name in ("error_code", "code"):
        told = body.get(name)
        if isinstance(told, str) and re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,127}", told):
            return told.upper()
    return None


def _error_code(body: Mapping[str, Any], row: Row, status: int) -> str:
    return _told_error_code(body) or (row.default_error_code if row.status == status else f"HTTP_{status}")


def _title(slug: str, row: Row, status: int) -> str:
    return row.title if row.slug == slug and row.status == status else _phrase(status) or row.title


def _default_detail(row: Row, status: int) -> str:
    told = f"The server answered {status} {_phrase(status)}".rstrip()
    return told if row.status != status or "{" in row.detail else row.detail


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def _remedy(body: Mapping[str, Any], default: Remedy, status: int) -> Remedy:
    told = body.get("remedy")
    told = told if isinstance(told, dict) else {}
    action, fault = told.get("action"), told.get("fault")
    seconds = _seconds(told.get("retry_after"))
    return Remedy(
        action=cast("Action", action) if action in ACTIONS else default.action,
        retryable=_bool(told.get("retryable"), default.retryable),
        retry_after=_seconds(body.get("retry_after")) if seconds is None else seconds,
        fault=cast("Fault", fault) if fault in FAULTS else default.fault,
        safe_new_key=_bool(told.get("safe_new_key"), default.safe_new_key),
        billed=_bool(told.get("billed"), default.billed),
        hint=_text(told.get("hint")) or default.hint,
    )


def _default_remedy(row: Row, error_code: str, status: int) -> Remedy:
    """Return the row's verdict, or that of the class of a status which the row only stands in for."""
    if row.status == status:
        return row.remedy_for(error_code)
    if status in _PASSING_STATUSES:
        return Remedy("retry", True, None, "service", False, False, "Repeat the request.")
    if status >= 500:  # a gateway cannot tell how far the server came
        return Remedy("retry", True, None, "service", False, False, "Repeat it under the same Idempotency-Key.")
    return Remedy("fix_input", False, None, "caller", True, False, "Change the request as the answer says.")


def _errors(told: Any) -> tuple[FieldError, ...]:
    return tuple(_field_error(row) for row in told if isinstance(row, dict)) if isinstance(told, list) else ()


def _field_error(row: dict[str, Any]) -> FieldError:
    loc = row.get("loc")
    place = tuple(step for step in loc if isinstance(step, str | int)) if isinstance(loc, list) else ()
    kind = _text(row.get("type")) or _text(row.get("code")) or "value_error"
    return FieldError(
        pointer=_text(row.get("pointer")) or (pointer_to(place[1:]) if place[:1] == ("body",) else ""),
        code=_text(row.get("code")) or kind,
        message=_text(row.get("message")) or "Invalid value",
        loc=place,
        type=kind,
        custom_id=_text(row.get("custom_id")),
        input=row.get("input"),
    )


def _text(told: Any) -> str | None:
    # A lone surrogate, which JSON can spell, could neither be printed nor logged.
    return told.encode("utf-8", "replace").decode() if isinstance(told, str) and told else None


def _bool(told: Any, default: bool) -> bool:
    return told if isinstance(told, bool) else default


def _seconds(told: Any) -> float | None:
    if isinstance(told, bool) or not isinstance(told, int | float):
        return None
    try:
        return told if math.isfinite(told) and told >= 0 else None
    except OverflowError:  # an integer beyond any float
        return None


def _quote(media_type: str, body: bytes) -> str:
    """Return what a person could read of a page or a text: a page's title, or the beginning; bounded."""
    if "html" in media_type.lower() or body.lstrip()[:1] == b"<":
        from html import unescape  # here, for its tables take longer to load than this whole package

        return _sentence(unescape(_html_title(body).decode("utf-8", "replace")))
    if b"\0" in body[:1024]:
        return ""
    return _sentence(body[: 4 * _MAX_QUOTE_CHARS].decode("utf-8", "replace"))


def _html_title(body: bytes) -> bytes:
    lower = body.lower()
    for tag in (b"title", b"h1"):
        opening = lower.find(b"<" + tag)
        start = lower.find(b">", opening) + 1 if opening >= 0 else 0
        end = lower.find(b"</" + tag, start) if start else -1
        if end >= 0:
            return re.sub(rb"<[^<>]*>", b" ", body[start:end][: 4 * _MAX_QUOTE_CHARS])
    return b""


def _sentence(text: str) -> str:
    words = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return words if len(words) <= _MAX_QUOTE_CHARS else words[: _MAX_QUOTE_CHARS - 1] + "…"
