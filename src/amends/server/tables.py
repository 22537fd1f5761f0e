"""Result lines as tables: CSV and Parquet, converted as they stream by.

Columns: ``custom_id``, ``status``, one for each top-level property of the output schema (without a schema one, ``output``),
``error_type`` (a slug) and ``error_detail``. Nested values stand as JSON text.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

import msgspec

ColumnType = Literal["string", "integer", "number", "boolean", "any"]

_FIXED: Final = ("custom_id", "status", "error_type", "error_detail")
_COLUMN_TYPES: Final[Mapping[Any, ColumnType]] = {
    "string": "string",
    "integer": "integer",
    "number": "number",
    "boolean": "boolean",
}
_INT64: Final = 2**63
_NULL: Final = b"null"


class Table(Protocol):
    """Takes whole result lines, gives the bytes of the table so far."""

    def feed(self, lines: bytes) -> bytes: ...

    def finish(self) -> bytes:
        """What is left to be sent after the last line."""
        ...


@dataclass(frozen=True, slots=True)
class Column:
    """One column of outputs. member: the property it shows; None for the whole output."""

    name: str
    member: str | None
    type: ColumnType


class _Error(msgspec.Struct):
    type: str
    detail: str = ""


class _Line(msgspec.Struct):
    custom_id: str
    status: str
    output: msgspec.Raw
    error: _Error | None


_line = msgspec.json.Decoder(_Line)
_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_text = msgspec.json.Decoder(str)


def columns_of(schema: Mapping[str, Any] | None) -> Sequence[Column]:
    """The columns of outputs under a schema; a property named like a fixed column is shown as ``output.{name}``."""
    properties = _root(schema or {}).get("properties")
    if not isinstance(properties, Mapping) or not properties:
        return (Column("output", None, "any"),)
    return tuple(
        Column(f"output.{name}" if name in _FIXED else name, name, _column_type(shape))
        for name, shape in properties.items()
    )


def _root(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema of the root object, its own ``$ref`` into ``$defs`` followed."""
    reference = schema.get("$ref")
    if isinstance(reference, str) and reference.startswith("#/$defs/"):
        found = schema.get("$defs", {}).get(reference.removeprefix("#/$defs/"))
        return found if isinstance(found, Mapping) else schema
    return schema


def _column_type(shape: Any) -> ColumnType:
    """The one type of a property that may also be null; ``any`` where it is not so simple."""
    if not isinstance(shape, Mapping):
        return "any"
    branches = shape.get("anyOf", (shape,))
    types: set[Any] = set()
    for branch in branches if isinstance(branches, Sequence) else ():
        given = branch.get("type", "any") if isinstance(branch, Mapping) else "any"
        types.update(given if isinstance(given, list) else [given])
    types.discard("null")
    return _COLUMN_TYPES.get(types.pop(), "any") if len(types) == 1 else "any"


def _rows(lines: bytes, columns: Sequence[Column]) -> Iterator[tuple[_Line, Sequence[bytes]]]:
    """Each line with the JSON of its columns, ``null`` where there is nothing."""
    for line in _line.decode_lines(lines):
        raw = bytes(line.output)
        if raw == _NULL:
            yield line, [_NULL] * len(columns)
        elif columns[0].member is None:
            yield line, [raw]
        else:
            members = _members.decode(raw)
            yield line, [bytes(members.get(column.member or "", _NULL)) for column in columns]


def _as_text(raw: bytes) -> str | None:
    if raw == _NULL:
        return None
    return _text.decode(raw) if raw.startswith(b'"') else raw.decode()


def _error_of(line: _Line) -> tuple[str | None, str | None]:
    if line.error is None:
        return None, None
    return line.error.type.rsplit("/", 1)[-1], line.error.detail


class CsvTable:
    """RFC 4180, UTF-8; null is an empty field."""

    media_type = "text/csv; charset=utf-8; header=present"

    def __init__(self, columns: Sequence[Column]) -> None:
        self._columns = columns
        self._buffer = io.StringIO(newline="")
        self._writer = csv.writer(self._buffer)
        self._writer.writerow(
            ["custom_id", "status", *(column.name for column in columns), "error_type", "error_detail"]
        )

    def feed(self, lines: bytes) -> bytes:
        for line, values in _rows(lines, self._columns):
            self._writer.writerow([line.custom_id, line.status, *map(_as_text, values), *_error_of(line)])
        return self._take()

    def finish(self) -> bytes:
        return self._take()

    def _take(self) -> bytes:
        text = self._buffer.getvalue()
        self._buffer.seek(0)
        self._buffer.truncate()
        return text.encode()


class ParquetTable:
    """A row group for each ``feed``. A number outside the 64 bits of its column is null."""

    media_type = "application/vnd.apache.parquet"

    def __init__(self, columns: Sequence[Column]) -> None:
        import pyarrow as pa  # large, and used nowhere else in the server
        import pyarrow.parquet as pq

        types = {
            "string": pa.string(),
            "any": pa.string(),
            "integer": pa.int64(),
            "number": pa.float64(),
            "boolean": pa.bool_(),
        }
        self._columns = columns
        self._schema = pa.schema(
            [("custom_id", pa.string()), ("status", pa.string())]
            + [(column.name, types[column.type]) for column in columns]
            + [("error_type", pa.string()), ("error_detail", pa.string())]
        )
        self._batch: Callable[..., Any] = pa.record_batch
        self._sink = _Sink()
        self._writer = pq.ParquetWriter(pa.PythonFile(self._sink, mode="w"), self._schema, compression="zstd")

    def feed(self, lines: bytes) -> bytes:
        rows = list(_rows(lines, self._columns))
        errors = [_error_of(line) for line, _ in rows]
        cells: list[list[Any]] = [[line.custom_id for line, _ in rows], [line.status for line, _ in rows]]
        for index, column in enumerate(self._columns):
            read = _READERS[column.type]
            cells.append([read(values[index]) for _, values in rows])
        cells += [[error[0] for error in errors], [error[1] for error in errors]]
        if rows:
            self._writer.write_batch(self._batch(cells, schema=self._schema))
        return self._sink.take()

    def finish(self) -> bytes:
        self._writer.close()
        return self._sink.take()


def _as_integer(raw: bytes) -> int | None:
    try:
        value = int(raw)
    except ValueError:  # 3.0 is an integer to JSON Schema
        number = _as_number(raw)
        value = int(number) if number is not None and number.is_integer() else _INT64
    return value if -_INT64 <= value < _INT64 else None


def _as_number(raw: bytes) -> float | None:
    try:
        return float(raw)
    except ValueError:
        return None


def _as_boolean(raw: bytes) -> bool | None:
    return {b"true": True, b"false": False}.get(raw)


_READERS: Final[Mapping[ColumnType, Callable[[bytes], Any]]] = {
    "string": _as_text,
    "any": _as_text,
    "integer": _as_integer,
    "number": _as_number,
    "boolean": _as_boolean,
}


class _Sink(io.RawIOBase):
    """A file that hands on what was written and forgets it."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._position = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        piece = bytes(data)
        self._pieces.append(piece)
        self._position += len(piece)
        return len(piece)

    def tell(self) -> int:
        return self._position

    def take(self) -> bytes:
        taken = b"".join(self._pieces)
        self._pieces.clear()
        return taken
