"""What ``amends run`` is given, as items: the files of a folder, files, or the rows of a manifest."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from ._exits import BadUsage
from ._tables import Table, format_of, read_table

PATH_COLUMNS: Final = ("file", "path")
INPUT_COLUMNS: Final = ("text", "input")
MAX_CUSTOM_ID: Final = 256


@dataclass(frozen=True, slots=True)
class Input:
    """One item to be. Exactly one of path (a local file), file_id (a file the server has) and value (text or JSON) counts.

    page: None is the whole file. prompt: None takes the run's.
    """

    custom_id: str
    path: Path | None = None
    file_id: str | None = None
    value: Any = None
    page: int | None = None
    prompt: str | None = None


@dataclass(frozen=True, slots=True)
class Inputs:
    """All items of a run, in order. manifest and table: where they came from a manifest, for --join."""

    items: Sequence[Input]
    digest: str
    manifest: Path | None = None
    table: Table | None = field(default=None, repr=False)


def read_inputs(arguments: Sequence[Path]) -> Inputs:
    """Read a folder, files or one manifest. BadUsage where an argument is not there or holds nothing."""
    if not arguments:
        raise BadUsage("Nothing to run: name a folder, files, or a manifest (.csv, .parquet, .jsonl)")
    for argument in arguments:
        _check_readable(argument)
    if len(arguments) == 1 and arguments[0].is_file() and format_of(arguments[0]):
        return _from_manifest(arguments[0])
    return _from_files(arguments)


def _check_readable(path: Path) -> None:
    if not path.exists():
        raise BadUsage(f"No such {'folder or file' if not path.suffix else 'file'}: {path}")
    if not os.access(path, os.R_OK):
        raise BadUsage(f"{path}: Permission denied")


def _from_files(arguments: Sequence[Path]) -> Inputs:
    items: dict[str, Input] = {}
    for argument in arguments:
        for path in _walk(argument) if argument.is_dir() else (argument,):
            name = path.relative_to(argument) if argument.is_dir() and len(arguments) == 1 else path
            custom_id = custom_id_of(name.as_posix())
            items[custom_id] = Input(custom_id, path=path)
    if not items:
        raise BadUsage(f"No files in {', '.join(map(str, arguments))} (names that begin with a dot are left out)")
    digest = hashlib.sha256()
    for item in items.values():
        digest.update(os.fsencode(item.path.resolve()) + b"\0" if item.path else b"")
    return Inputs(tuple(items.values()), digest.hexdigest())


def _walk(folder: Path) -> Iterator[Path]:
    """Every file below the folder in the order of its path; hidden ones, and so a data directory, are left out."""
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(place, name) for name in sorted(files) if not name.startswith("."))


def custom_id_of(name: str) -> str:
    """A custom_id for a path: the path itself where it is 1 to 256 printable characters, else a readable stand-in."""
    raw = os.fsencode(name)
    printable = "".join(
        character if character.isprintable() else quote(os.fsencode(character), safe="") for character in name
    )
    if len(printable) <= MAX_CUSTOM_ID:
        return printable
    return f"{printable[:100]}…{printable[-100:]}~{hashlib.sha256(raw).hexdigest()[:16]}"


def _from_manifest(path: Path) -> Inputs:
    table = read_table(path)
    if not table.rows:
        raise BadUsage(f"{path}: no rows")
    if not {*PATH_COLUMNS, *INPUT_COLUMNS, "file_id"} & set(table.columns):
        raise BadUsage(
            f"{path}: a manifest has a column file, path, text, input or file_id; to process the table itself, give its folder"
        )
    items: list[Input] = []
    seen: dict[str, int] = {}
    for number, row in enumerate(table.rows, 1):
        item = _row_input(path, number, row, seen)
        if item.custom_id in seen:
            raise BadUsage(
                f"{path}: Duplicate custom_id '{item.custom_id}' in rows {seen[item.custom_id]} and {number}"
            )
        seen[item.custom_id] = number
        items.append(item)
    return Inputs(tuple(items), hashlib.sha256(path.read_bytes()).hexdigest(), path, table)


def _row_input(manifest: Path, number: int, row: Mapping[str, Any], seen: Mapping[str, int]) -> Input:
    name = _first(row, PATH_COLUMNS)
    page = _page(manifest, number, row.get("page"))
    prompt = str(row["prompt"]) if row.get("prompt") else None
    custom_id = str(row["custom_id"]) if row.get("custom_id") not in (None, "") else ""
    if not custom_id:
        custom_id = custom_id_of(f"{name}#page={page}" if name and page else str(name or f"row-{number}"))
        custom_id = custom_id_of(f"{name}#row={number}") if custom_id in seen else custom_id
    if name:
        return Input(custom_id, path=manifest.parent / str(name), page=page, prompt=prompt)
    if row.get("file_id"):
        return Input(custom_id, file_id=str(row["file_id"]), page=page, prompt=prompt)
    value = next((row[column] for column in INPUT_COLUMNS if row.get(column) is not None), None)
    if value is None:
        raise BadUsage(f"{manifest}: row {number} has neither a file nor an input")
    return Input(custom_id, value=_as_json(value), prompt=prompt)


def _as_json(value: Any) -> Any:
    """A cell as JSON can hold it: Parquet also knows dates, decimals and bytes, which become text."""
    return value if isinstance(value, str) else json.loads(json.dumps(value, default=str))


def _first(row: Mapping[str, Any], columns: Iterable[str]) -> Any:
    return next((row[column] for column in columns if row.get(column) not in (None, "")), None)


def _page(manifest: Path, number: int, cell: Any) -> int | None:
    if cell in (None, ""):
        return None
    try:
        page = int(cell)
    except (TypeError, ValueError):
        page = 0
    if page < 1 or page != float(cell):
        raise BadUsage(f"{manifest}: row {number}: page must be a whole number from 1, not {cell!r}")
    return page


def read_schema(argument: str | None) -> dict[str, Any] | None:
    """The output schema: a file, or the JSON itself where the argument begins with a brace. BadUsage where it is none."""
    if argument is None:
        return None
    if argument.lstrip().startswith("{"):
        text, name = argument, "--schema"
    else:
        name = argument
        try:
            text = Path(argument).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
            raise BadUsage(f"{argument}: {reason}") from error
    try:
        schema = json.loads(text)
    except ValueError as error:
        raise BadUsage(f"{name}: not JSON: {error}") from error
    if not isinstance(schema, dict):
        raise BadUsage(f"{name}: a JSON Schema is an object")
    return schema
