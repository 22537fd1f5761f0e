"""The lines of a batch's input file: good ones as rows of its run, bad ones with all that OpenAI's error objects name."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Annotated, Any, Final, Literal, NamedTuple

import apsw
import msgspec

from amends.server.limits import is_deeper
from amends.server.wire import MAX_CUSTOM_ID

SLICE_LINES: Final = 5_000
SLICE_BYTES: Final = 4 << 20

_REQUIRED: Final = ("custom_id", "method", "url", "body")


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a line. line: its number from 1, None of the file as a whole."""

    code: str
    message: str
    line: int | None = None
    param: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return it as ``errors.data`` has it."""
        return {"code": self.code, "line": self.line, "message": self.message, "param": self.param}


class Numbered(NamedTuple):
    """A line as it stands in the file. data: None where it is longer than is taken."""

    number: int
    data: bytes | None


class Request(NamedTuple):
    """A good line. body: its JSON as it was written."""

    number: int
    custom_id: str
    body: bytes


class Refused(NamedTuple):
    """A bad line. custom_id: None where it has none that can be used."""

    number: int
    custom_id: str | None
    fault: Fault


class Expected(NamedTuple):
    """What every line of a batch must say. model: as the first line names it; unfit: what is wrong with it, None if nothing is."""

    endpoint: str
    model: str
    unfit: Callable[[int], Fault] | None
    nesting: int


class _Sent(msgspec.Struct, gc=False, frozen=True):
    custom_id: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_CUSTOM_ID)]
    method: Literal["POST"]
    url: str
    body: msgspec.Raw


class _Body(msgspec.Struct, gc=False, frozen=True):
    model: str
    stream: Literal[False] | None = None


_decode = msgspec.json.Decoder(_Sent).decode
_decode_body = msgspec.json.Decoder(_Body).decode
_decode_any = msgspec.json.Decoder().decode
_UNREADABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def numbered_lines(pieces: Iterable[bytes], longest: int) -> Iterator[Numbered]:
    """Split a file into its lines without holding more than one longer than ``longest``; blank ones are left out."""
    number, rest, is_too_long = 1, b"", False
    for piece in pieces:
        *whole, last = piece.split(b"\n")
        for line in whole:
            line, rest = rest + line, b""
            if is_too_long or len(line) > longest:
                yield Numbered(number, None)
            elif line.strip():
                yield Numbered(number, line)
            number, is_too_long = number + 1, False
        rest = b"" if is_too_long else rest + last
        if len(rest) > longest:
            rest, is_too_long = b"", True
    if is_too_long:
        yield Numbered(number, None)
    elif rest.strip():
        yield Numbered(number, rest)


def sliced(lines: Iterable[Numbered]) -> Iterator[list[Numbered]]:
    """The same, so many at a time as are worth a transaction."""
    current: list[Numbered] = []
    size = 0
    for line in lines:
        current.append(line)
        size += len(line.data or b"")
        if len(current) >= SLICE_LINES or size >= SLICE_BYTES:
            yield current
            current, size = [], 0
    if current:
        yield current


def first_model(lines: Iterable[Numbered]) -> str | None:
    """The model of the first line that names one."""
    for line in lines:
        try:
            return _decode_body(_decode(line.data or b"").body).model
        except _UNREADABLE:
            continue
    return None


def read_line(line: Numbered, expected: Expected) -> Request | Refused:
    """The request on a line, or what is wrong with it."""
    number, data = line
    try:
        sent = _decode(data or b"")
        body = bytes(sent.body)
        is_good = (
            sent.custom_id.isprintable()
            and sent.url == expected.endpoint
            and _decode_body(body).model == expected.model
            and body[:1] == b"{"
            and expected.unfit is None
        )
        if is_good and not is_deeper(body, expected.nesting):
            body.decode()  # what is passed on as it was written is not looked into by the decoder
            return Request(number, sent.custom_id, compact(body))
    except _UNREADABLE:
        pass
    return _refused(number, data, expected)


def compact(body: bytes) -> bytes:
    """JSON without the white space that may not stand in a payload."""
    if b"\t" in body or b"\r" in body or b"\n" in body:
        return bytes(msgspec.json.format(body, indent=-1))
    return body


def _refused(number: int, data: bytes | None, expected: Expected) -> Refused:
    if data is None:
        return Refused(number, None, Fault("invalid_json_line", "This line is longer than is taken", number))
    try:
        data.decode()
        members = _decode_any(data)
    except _UNREADABLE:
        return Refused(number, None, Fault("invalid_json_line", "This line is not parseable as valid JSON", number))
    if not isinstance(members, dict):
        return Refused(number, None, Fault("invalid_json_line", "This line is no JSON object", number))
    fault = _fault(number, members, expected)
    custom_id = members.get("custom_id")
    return Refused(number, custom_id if _is_name(custom_id) else None, fault)


def _is_name(custom_id: Any) -> bool:
    return isinstance(custom_id, str) and 0 < len(custom_id) <= MAX_CUSTOM_ID and custom_id.isprintable()


def _fault(number: int, members: Mapping[str, Any], expected: Expected) -> Fault:
    """The first of what is wrong with a line that is an object."""
    for name in _REQUIRED:
        if members.get(name) is None:
            return Fault("missing_required_parameter", f"Missing required parameter: '{name}'", number, name)
    if not _is_name(members["custom_id"]):
        message = f"custom_id must be 1 to {MAX_CUSTOM_ID} printable characters"
        return Fault("invalid_custom_id", message, number, "custom_id")
    if members["method"] != "POST":
        return Fault("invalid_method", "The method must be POST", number, "method")
    if members["url"] != expected.endpoint:
        message = f"The URL provided for this request does not match the batch endpoint {expected.endpoint}"
        return Fault("url_mismatch", message, number, "url")
    return _fault_of_body(number, members["body"], expected)


def _fault_of_body(number: int, body: Any, expected: Expected) -> Fault:
    if not isinstance(body, dict):
        return Fault("invalid_type", "The body must be an object", number, "body")
    model = body.get("model")
    if model is None:
        return Fault("missing_required_parameter", "Missing required parameter: 'body.model'", number, "body.model")
    if model != expected.model:
        message = f"All requests of a batch must use the same model, and the first names '{expected.model}'"
        return Fault("model_mismatch", message, number, "body.model")
    if expected.unfit is not None:
        return expected.unfit(number)
    if body.get("stream"):
        return Fault("unsupported_parameter", "A batch cannot be streamed", number, "body.stream")
    return Fault("invalid_json_line", f"The body is nested more than {expected.nesting} levels deep", number, "body")


class Names:
    """The custom_ids seen so far, in a temporary file that is gone when it is closed: a million of them fit into no promise on memory."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(16)  # so that nobody can prepare names that collide
        self._seen = apsw.Connection("")
        self._seen.execute("create table seen (name integer primary key, line integer not null) strict")

    def close(self) -> None:
        self._seen.close()

    def repeated(self, requests: Sequence[Request | Refused]) -> dict[int, int]:
        """Take the names of some lines; of those that were there before the number of the line and that of the first."""
        named = [[self._hash(line.custom_id), line.number] for line in requests if line.custom_id is not None]
        given = json.dumps(named)
        self._seen.execute(_TAKE, (given,))
        return dict(list(self._seen.execute(_REPEATED, (given,))))

    def _hash(self, name: str) -> int:
        digest = blake2b(name.encode(), digest_size=8, key=self._key).digest()
        return int.from_bytes(digest, "big", signed=True)


_TAKE: Final = "insert or ignore into seen select value ->> 0, value ->> 1 from json_each(?)"
_REPEATED: Final = """
  select given.value ->> 1, line from json_each(?) as given join seen on seen.name = given.value ->> 0
  where line <> given.value ->> 1"""
