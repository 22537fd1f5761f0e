"""Byte ranges of a stored blob (RFC 9110, section 14)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from fastapi import Request
from starlette.responses import Response, StreamingResponse

from amends.blobs import LocalBlobs
from amends.problems import problem
from amends.server.errors import problem_response
from amends.server.services import services

_RANGE: Final = re.compile(r"bytes=\s*(\d*)-(\d*)\s*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes from ``start`` up to and without ``end``."""

    start: int
    end: int


def requested_span(header: str | None, size: int) -> Span | None:
    """The part that a Range header asks for; None for the whole.

    Several ranges at once and what cannot be read are answered with the whole, as the RFC allows. Raises ValueError for a range
    that lies beyond the end.
    """
    match = _RANGE.fullmatch(header or "")
    if not match or not any(match.groups()):
        return None
    first, last = match.groups()
    if not first:
        start, end = max(0, size - int(last)), size
    else:
        start, end = int(first), min(size, int(last) + 1) if last else size
        if last and int(last) < int(first):
            return None
    if start >= size or start >= end:
        raise ValueError("beyond the end")
    return Span(start, end)


def blob_response(request: Request, blobs: LocalBlobs, sha256: str, size: int, headers: dict[str, str]) -> Response:
    """The blob or the part of it that is asked for. The hash is the entity tag, so a part always belongs to the same whole."""
    tag = f'"{sha256}"'
    headers = {**headers, "ETag": tag, "Accept-Ranges": "bytes"}
    if tag in [part.strip().removeprefix("W/") for part in request.headers.get("if-none-match", "").split(",")]:
        return Response(status_code=304, headers=headers)
    wants_part = request.headers.get("if-range", tag) == tag
    try:
        span = requested_span(request.headers.get("range") if wants_part else None, size)
    except ValueError:
        what = problem(
            "range_not_satisfiable", f"The file has {size} bytes; the range lies beyond its end.", bytes=size
        )
        refused = problem_response(what, request.scope, services(request).public_url)
        refused.headers["Content-Range"] = f"bytes */{size}"
        return refused
    whole = span or Span(0, size)
    headers["Content-Length"] = str(whole.end - whole.start)
    if span:
        headers["Content-Range"] = f"bytes {span.start}-{span.end - 1}/{size}"
    return StreamingResponse(blobs.read(sha256, whole.start, whole.end), 206 if span else 200, headers)
