"""Tables in and out: CSV, Parquet and JSON Lines, each row a mapping from column to value, in the order of the file."""

from __future__ import annotations

import base64
import csv
import errno
import json
import math
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final, Literal

from ._exits import BadUsage, LocalFailure

Format = Literal["jsonl", "csv", "parquet"]

# Characters. The csv module refuses cells of more than 128 Ki by default, and a text in a column may well be longer.
MAX_CELL: Final = 1 << 28

_FORMATS: Mapping[str, Format] = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".parquet": "parquet"}


@dataclass(frozen=True, slots=True)
class Table:
    """columns: in the order of the file (JSON Lines: of first appearance). rows: missing cells are absent.

    types: of Parquet columns, so that they are written back as they were.
    """

    columns: tuple[str, ...]
    rows: Sequence[Mapping[str, Any]]
    types: Mapping[str, Any] = field(default_factory=dict)


def format_of(path: Path) -> Format | None:
    """The format that a name's ending stands for; None for any other ending."""
    return _FORMATS.get(path.suffix.lower())


def output_format(path: Path) -> Format:
    """As ``format_of``, refusing what cannot be written."""
    found = format_of(path)
    if found is None:
        raise BadUsage(f"{path}: results are written as .jsonl, .csv or .parquet")
    return found


def check_output(path: Path) -> None:
    """Refuse, before any work is done, a place to which results could not be written."""
    output_format(path)
    place = next(parent for parent in path.absolute().parents if parent.exists())
    with as_local_failure(path):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not place.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        if not os.access(place, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def read_table(path: Path) -> Table:
    """Read a whole table; BadUsage names the file and the line that cannot be read."""
    kind = format_of(path)
    try:
        if kind == "csv":
            return _read_csv(path)
        return _read_parquet(path) if kind == "parquet" else _read_jsonl(path)
    except UnicodeDecodeError as error:
        raise BadUsage(f"{path}: not UTF-8 text ({error.reason} at byte {error.start})") from error
    except OSError as error:
        raise BadUsage(f"{path}: {error.strerror or error}") from error


def _read_csv(path: Path) -> Table:
    csv.field_size_limit(MAX_CELL)
    with path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.reader(stream, strict=True)
        try:
            columns = tuple(next(reader, ()))
            rows = [_csv_row(path, reader.line_num, columns, cells) for cells in reader if cells]
        except csv.Error as error:
            raise BadUsage(f"{path}: line {reader.line_num}: {error}") from error
    doubled = [name for name, times in Counter(columns).items() if times > 1]
    if doubled:  # a row is a mapping: one of the two would be lost, and --join would write the other twice
        raise BadUsage(f"{path}: column {doubled[0]!r} is there twice")
    return Table(columns, rows)


def _csv_row(path: Path, line: int, columns: Sequence[str], cells: Sequence[str]) -> Mapping[str, str]:
    """A shorter row lacks its last cells; a longer one is refused, since its cells would be lost or in the wrong column."""
    if any(cells[len(columns) :]):
        raise BadUsage(f"{path}: line {line}: {len(cells)} cells, but {len(columns)} columns")
    return dict(zip(columns, cells, strict=False))


def _read_jsonl(path: Path) -> Table:
    rows: list[dict[str, Any]] = []
    with path.open(encoding="utf-8-sig") as stream:
        for number, line in enumerate(stream, 1):
            if line.strip():
                rows.append(_json_row(path, number, line))
    return Table(tuple(dict.fromkeys(name for row in rows for name in row)), rows)


def _json_row(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        row = json.loads(line, parse_constant=_refuse_constant)
        if "\\u" in line:
            json.dumps(row, ensure_ascii=False).encode()  # half of a surrogate pair is no text that could be sent
    except RecursionError as error:
        raise BadUsage(f"{path}: line {number}: nested too deeply") from error
    except UnicodeEncodeError as error:
        raise BadUsage(f"{path}: line {number}: {error.object[error.start]!r} alone is no character") from error
    except ValueError as error:
        raise BadUsage(f"{path}: line {number}: {error}") from error
    if not isinstance(row, dict):
        raise BadUsage(f"{path}: line {number}: an object is expected")
    return row


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _arrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise LocalFailure("Parquet needs pyarrow: pip install 'amends[server]'") from error
    return pyarrow, pyarrow.parquet


def _read_parquet(path: Path) -> Table:
    pyarrow, parquet = _arrow()
    try:
        table = parquet.read_table(path)
    except (pyarrow.ArrowException, ValueError) as error:
        raise BadUsage(f"{path}: {str(error).splitlines()[0]}") from error
    rows = [{key: cell for key, cell in row.items() if cell is not None} for row in table.to_pylist()]
    return Table(tuple(table.column_names), rows, {entry.name: entry.type for entry in table.schema})


@contextmanager
def as_local_failure(path: Path) -> Iterator[None]:
    """Turn what the file system refuses into the line that names the file."""
    try:
        yield
    except OSError as error:
        raise LocalFailure(f"{path}: {error.strerror or error}") from error


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A file that takes its place only when it is whole: a killed command leaves the old one or none."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    with as_local_failure(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with partial.open("wb") as stream:
                yield stream
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


def write_table(
    path: Path,
    columns: Sequence[str],
    rows: Iterable[Mapping[str, Any]],
    types: Mapping[str, Any] | None = None,
) -> None:
    """Write a table in the format of the name.

    CSV holds nested values as JSON text, and so does Parquet in columns that are not among ``types``, those of a Parquet table.
    """
    kind = output_format(path)
    with replacing(path) as stream:
        if kind == "jsonl":
            for row in rows:
                line = {name: _as_json(row[name]) for name in columns if name in row}
                stream.write(json.dumps(line, ensure_ascii=False, separators=(",", ":"), default=str).encode() + b"\n")
        elif kind == "csv":
            text = _CsvLines(stream)
            writer = csv.writer(text)
            writer.writerow(columns)
            writer.writerows([_cell(row.get(name)) for name in columns] for row in rows)
        else:
            _write_parquet(stream, columns, rows, types or {})


class _CsvLines:
    """What csv.writer writes to; bytes go on at once, so no row is held."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        return self._stream.write(text.encode())


def _as_json(value: Any) -> Any:
    """What JSON has no word for: not a number, and infinity, are null; bytes are Base64. All else is text by ``str``."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, dict):
        return {name: _as_json(entry) for name, entry in value.items()}
    return [_as_json(entry) for entry in value] if isinstance(value, list) else value


def _cell(value: Any) -> Any:
    if isinstance(value, dict | list | bool):
        return json.dumps(_as_json(value), ensure_ascii=False, default=str)
    return _as_json(value) if isinstance(value, bytes) else value


def _write_parquet(
    stream: IO[bytes], columns: Sequence[str], rows: Iterable[Mapping[str, Any]], types: Mapping[str, Any]
) -> None:
    pyarrow, parquet = _arrow()
    held = list(rows)
    arrays = {}
    for name in columns:
        cells = [row.get(name) for row in held]
        try:
            arrays[name] = pyarrow.array(cells, types[name]) if name in types else pyarrow.array(map(_nested, cells))
        except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError):  # a column of several types
            arrays[name] = pyarrow.array([None if cell is None else str(_cell(cell)) for cell in cells])
        if arrays[name].type == pyarrow.null() and name not in types:  # such as error where nothing failed
            arrays[name] = arrays[name].cast(pyarrow.string())
    parquet.write_table(pyarrow.table(arrays), stream)


def _nested(value: Any) -> Any:
    return _cell(value) if isinstance(value, dict | list) else value
