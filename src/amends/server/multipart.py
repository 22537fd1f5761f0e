"""Reading multipart forms whose files go straight into the blob store, whatever their size."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from amends.blobs import BlobWriter
from amends.problems import FieldError, ProblemError, problem, validation_failed
from amends.server.limits import too_large
from amends.server.settings import LimitSettings

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

_WRITE_BYTES: Final = 1 << 20
_PART_HEADER_BYTES: Final = 8 << 10
_FILE_FIELD: Final = "file"


@dataclass(slots=True)
class Part:
    """One part of a form."""

    headers: dict[str, bytes] = field(default_factory=dict)
    name: str = ""
    filename: str | None = None
    media_type: str | None = None
    value: bytearray = field(default_factory=bytearray)


@dataclass(slots=True)
class Form:
    """A form as it was sent. filename: as given; media_type: as declared, None where it was not."""

    fields: Mapping[str, str]
    has_file: bool
    filename: str
    media_type: str | None


class FormParser(ABC):
    """Takes the body of a request apart, within limits. What becomes of a part is said by whoever derives from it."""

    def __init__(self, limits: LimitSettings) -> None:
        self._limits = limits
        self._part = Part()
        self._header_name = b""
        self._header_value = b""
        self._header_bytes = 0
        self._pending_bytes = 0
        self._is_complete = False

    @abstractmethod
    def _open_part(self, part: Part) -> None:
        """Its headers are known, and its content comes."""

    @abstractmethod
    def _take(self, data: bytes) -> None:
        """The next piece of the content of ``self._part``; what has to be written is counted in ``_pending_bytes``."""

    @abstractmethod
    def _close_part(self) -> None:
        """All of ``self._part`` is there."""

    @abstractmethod
    async def _write(self) -> None:
        """Write what is pending."""

    async def _parse(self, request: Request) -> None:
        """Read the body to its end. Raises ProblemError for what is no such form or exceeds a limit."""
        parser = MultipartParser(_boundary(request), self._callbacks())
        try:
            async for piece in request.stream():
                parser.write(piece)
                if self._pending_bytes >= _WRITE_BYTES:
                    await self._flush()
            parser.finalize()
        except FormParserError as error:
            raise ProblemError(problem("malformed_request", "The body is not a well-formed multipart form.")) from error
        if not self._is_complete:
            raise ProblemError(problem("malformed_request", "The multipart form ends before its closing boundary."))
        await self._flush()

    async def _flush(self) -> None:
        await self._write()
        self._pending_bytes = 0

    def _callbacks(self) -> MultipartCallbacks:
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._on_header_name,
            "on_header_value": self._on_header_value,
            "on_header_end": self._end_header,
            "on_headers_finished": self._end_headers,
            "on_part_data": lambda data, start, end: self._take(data[start:end]),
            "on_part_end": self._close_part,
            "on_end": self._end,
        }

    def _begin(self) -> None:
        self._part = Part()
        self._header_bytes = 0

    def _on_header_name(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]
        self._count_header(end - start)

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]
        self._count_header(end - start)

    def _count_header(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > _PART_HEADER_BYTES:
            raise ProblemError(problem("malformed_request", "The headers of a part of the form are too long."))

    def _end_header(self) -> None:
        self._part.headers[self._header_name.decode("latin-1").lower()] = self._header_value
        self._header_name = self._header_value = b""

    def _end_headers(self) -> None:
        part = self._part
        _, options = parse_options_header(part.headers.get("content-disposition", b""))
        part.name = text_of(options.get(b"name", b""))
        part.filename = text_of(options[b"filename"]) if b"filename" in options else None
        part.media_type = part.headers["content-type"].decode("latin-1") if "content-type" in part.headers else None
        self._open_part(part)

    def _end(self) -> None:
        self._is_complete = True


class FormReader(FormParser):
    """Reads a form of one file: the part ``file`` goes to ``writer``, the others are kept."""

    def __init__(self, writer: BlobWriter, limits: LimitSettings) -> None:
        super().__init__(limits)
        self._writer = writer
        self._fields: dict[str, str] = {}
        self._file: Part | None = None
        self._pending = bytearray()

    async def read(self, request: Request) -> Form:
        """Read the body to its end. Raises ProblemError for what is no such form or exceeds a limit."""
        await self._parse(request)
        file = self._file or Part()
        return Form(self._fields, self._file is not None, file.filename or _FILE_FIELD, file.media_type)

    async def _write(self) -> None:
        if self._writer.size + len(self._pending) > self._limits.file_bytes:
            raise too_large(self._limits.file_bytes, "file")
        if self._pending:
            data, self._pending = bytes(self._pending), bytearray()
            await asyncio.to_thread(self._writer.write, data)

    def _open_part(self, part: Part) -> None:
        if part.name == _FILE_FIELD:
            if self._file is not None:
                raise invalid_part(_FILE_FIELD, "Only one file can be uploaded in a request", "too_long")
            self._file = part
        elif part.name in self._fields:
            raise invalid_part(part.name, f"The field {part.name} stands twice", "value_error")
        elif len(self._fields) >= self._limits.multipart_fields:
            raise ProblemError(
                problem("malformed_request", f"The form has more than {self._limits.multipart_fields} fields.")
            )

    def _take(self, data: bytes) -> None:
        if self._part is self._file:
            self._pending += data
            self._pending_bytes += len(data)
            return
        self._part.value += data
        if len(self._part.value) > self._limits.multipart_field_bytes:
            raise too_large(self._limits.multipart_field_bytes, f"field {self._part.name}")

    def _close_part(self) -> None:
        if self._part is not self._file:
            self._fields[self._part.name] = text_of(bytes(self._part.value))


def _boundary(request: Request) -> bytes:
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind != b"multipart/form-data":
        raise ProblemError(problem("unsupported_media_type", "A file is uploaded as multipart/form-data."))
    if not options.get(b"boundary"):
        raise ProblemError(problem("malformed_request", "The Content-Type names no boundary."))
    return options[b"boundary"]


def text_of(data: bytes) -> str:
    """The text of a name or field. ProblemError malformed_request."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise ProblemError(problem("malformed_request", "The form holds text that is not UTF-8.")) from None


def invalid_part(name: str, message: str, kind: str) -> ProblemError:
    """The refusal of a form for one of its parts."""
    return ProblemError(validation_failed([FieldError.at(("body", name), message, kind)]))
