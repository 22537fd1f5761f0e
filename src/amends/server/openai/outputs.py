"""The lines of a batch's output and error files, made of its run's result lines. Pure: the same lines every time."""

from __future__ import annotations

import hashlib
from typing import Any, Final, NamedTuple

import msgspec

from amends.problems import Problem, render

_EXPIRED: Final = "This request could not be executed before the completion window expired."
_CANCELLED: Final = "This request was not executed, because the batch was cancelled."


class _Result(msgspec.Struct, gc=False):
    custom_id: str
    status: str
    output: msgspec.Raw = msgspec.Raw(b"null")
    error: msgspec.Raw = msgspec.Raw(b"null")


class FileLine(NamedTuple):
    """A line of one of the two files, with its newline."""

    is_output: bool
    data: bytes


_decode = msgspec.json.Decoder(_Result).decode
_decode_problem = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.json.Encoder().encode


def file_line(batch_id: str, result_line: bytes, public_url: str) -> FileLine:
    """The line that becomes of a whole result line."""
    result = _decode(result_line)
    head = b'{"id":"%b","custom_id":%b,' % (_line_id(batch_id, result.custom_id), _encode(result.custom_id))
    if result.status == "succeeded":
        return FileLine(True, b'%b"response":%b,"error":null}\n' % (head, bytes(result.output)))
    body = _decode_problem(bytes(result.error))
    if result.status == "expired":
        return FileLine(False, head + _error("batch_expired", _EXPIRED))
    if result.status == "canceled":
        return FileLine(False, head + _error("batch_cancelled", _CANCELLED))
    if "line" in body:  # a line of the input that could not be taken
        head = b'{"id":"%b","custom_id":%b,' % (_line_id(batch_id, result.custom_id), _encode(body.get("custom_id")))
        return FileLine(False, head + _error(body["line_code"], body["detail"], body["param"], body["line"]))
    return FileLine(False, b'%b"response":%b,"error":null}\n' % (head, _encode(response_of(body, public_url))))


def response_of(body: dict[str, Any], public_url: str) -> dict[str, Any]:
    """What a request alone would have been answered, whose item ended with the problem of this body."""
    problem = Problem.from_body(body, int(body["status"]))
    status = 400 if problem.slug == "validation_failed" else problem.status
    upstream = problem.extensions.get("upstream_status") if problem.slug == "upstream_failed" else None
    if isinstance(upstream, int) and 400 <= upstream <= 599:
        status = upstream
    said = problem.extensions.get("response_body")
    _, envelope = render(problem.replace(status=status), "envelope", public_url)
    error = {name: envelope["error"][name] for name in ("message", "type", "param", "code")}
    return {"status_code": status, "request_id": problem.request_id, "body": said or {"error": error}}


def _error(code: str, message: str, param: str | None = None, line: int | None = None) -> bytes:
    error = {"code": code, "message": message, "param": param, "line": line}
    return b'"response":null,"error":%b}\n' % _encode(error)


def _line_id(batch_id: str, custom_id: str) -> bytes:
    """The same whenever the file is made: names of a run are unique."""
    return b"batch_req_%b" % hashlib.sha256(f"{batch_id}\n{custom_id}".encode()).hexdigest()[:32].encode()
