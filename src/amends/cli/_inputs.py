"""What ``amends run`` is given, as items: the files of a folder, files, or the rows of a manifest."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
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
    """One item to be. Exactly one of path (a local file), file_id (a file the server has), url (which it fetches) and value
    (text or JSON) counts.

    page: None is the whole file. prompt: None takes the run's.
    """

    custom_id: str
    path: Path | None = None
    file_id: str | None = None
    url: str | None = None
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


def read_inputs(arguments: Sequence[Path], *, leave_out: Collection[Path] = ()) -> Inputs:
    """Read a folder, files or one manifest. BadUsage where an argument is not there or holds nothing.

    leave_out: what is no input though it lies in the folder: where the results go, and the data directory.
    """
    if not arguments:
        raise BadUsage("Nothing to run: name a folder, files, or a manifest (.csv, .parquet, .jsonl)")
    for argument in arguments:
        _check_readable(argument)
    if len(arguments) == 1 and arguments[0].is_file() and format_of(arguments[0]):
        return _from_manifest(arguments[0])
    return _from_files(arguments, frozenset(map(os.path.realpath, leave_out)))


def _check_readable(path: Path) -> None:
    if not path.exists():
        raise BadUsage(f"No such {'folder or file' if not path.suffix else 'file'}: {path}")
    if not os.access(path, os.R_OK):
        raise BadUsage(f"{path}: Permission denied")


def _from_files(arguments: Sequence[Path], leave_out: frozenset[str]) -> Inputs:
    items: dict[str, Input] = {}
    for argument in arguments:
        for path in _walk(argument, leave_out) if argument.is_dir() else (argument,):
            name = path.relative_to(argument) if argument.is_dir() and len(arguments) == 1 else path
            custom_id = custom_id_of(name.as_posix())
            if custom_id in items and items[custom_id].path != path:  # the stand-in of one name is the other's name
                custom_id = _told_apart(custom_id, name.as_posix())
            items[custom_id] = Input(custom_id, path=path)
    if not items:
        raise BadUsage(f"No files in {', '.join(map(str, arguments))} (names that begin with a dot are left out)")
    return Inputs(tuple(items.values()), _digest(items.values()))


def _digest(items: Iterable[Input], manifest: bytes = b"") -> str:
    """Of where every file is and how its item is called: the same words about files that lie elsewhere are another run."""
    digest = hashlib.sha256(manifest)
    for item in items:
        if item.path is not None:
            digest.update(b"%b\0%b\0" % (item.custom_id.encode(), os.fsencode(item.path.resolve())))
    return digest.hexdigest()


def _walk(folder: Path, leave_out: frozenset[str]) -> Iterator[Path]:
    """Every file below the folder in the order of its path; hidden ones, and so a data directory, are left out.

    A folder that cannot be read is given in place of its files, so that it is an item that fails and not a silent gap.
    """
    unread: list[Path] = []
    for place, folders, files in os.walk(folder, onerror=lambda error: unread.append(Path(error.filename))):
        real = os.path.realpath(place)
        folders[:], files = (
            sorted(name for name in names if not name.startswith(".") and os.path.join(real, name) not in leave_out)
            for names in (folders, files)
        )
        yield from (Path(place, name) for name in files)
    yield from unread


def custom_id_of(name: str) -> str:
    """A custom_id for a path: the path itself where it is 1 to 256 printable characters, else a readable stand-in."""
    printable = "".join(
        character if character.isprintable() else quote(os.fsencode(character), safe="") for character in name
    )
    return printable if len(printable) <= MAX_CUSTOM_ID else _told_apart(f"{printable[:100]}…{printable[-100:]}", name)


def _told_apart(readable: str, name: str) -> str:
    """A stand-in that no other name has: part of the name's hash stands at its end."""
    return f"{readable[:201]}~{hashlib.sha256(os.fsencode(name)).hexdigest()[:16]}"


def _from_manifest(path: Path) -> Inputs:
    table = read_table(path)
    if not table.rows:
        raise BadUsage(f"{path}: no rows")
    if not {*PATH_COLUMNS, *INPUT_COLUMNS, "file_id", "url"} & set(table.columns):
        raise BadUsage(
            f"{path}: a manifest has a column file, path, url, text, input or file_id; to process the table itself, give its folder"
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
    return Inputs(tuple(items), _digest(items, path.read_bytes()), path, table)


def _row_input(manifest: Path, number: int, row: Mapping[str, Any], seen: Mapping[str, int]) -> Input:
    name, url = _first(row, PATH_COLUMNS), _first(row, ("url",))
    page = _page(manifest, number, row.get("page"))
    prompt = str(row["prompt"]) if row.get("prompt") else None
    custom_id = str(row["custom_id"]) if row.get("custom_id") not in (None, "") else ""
    if not custom_id:
        called = name or (url and str(url).partition("?")[0])  # a query may hold a signature
        custom_id = custom_id_of(f"{called}#page={page}" if called and page else str(called or f"row-{number}"))
        custom_id = custom_id_of(f"{called}#row={number}") if custom_id in seen else custom_id
    if name:
        return Input(custom_id, path=manifest.parent / str(name), page=page, prompt=prompt)
    if row.get("file_id"):
        return Input(custom_id, file_id=str(row["file_id"]), page=page, prompt=prompt)
    if url:
        return Input(custom_id, url=str(url), page=page, prompt=prompt)
    value = next((row[column] for column in INPUT_COLUMNS if row.get(column) is not None), None)
    if value is None:
        raise BadUsage(f"{manifest}: row {number} has neither a file nor a URL nor an input")
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
        page = float(cell)  # 3.0 too: so writes a spreadsheet or a data frame whose column has gaps
    except (TypeError, ValueError):
        page = 0.0
    if page < 1 or not page.is_integer():
        raise BadUsage(f"{manifest}: row {number}: page must be a whole number from 1, not {cell!r}")
    return int(page)


def read_schema(argument: str | None) -> dict[str, Any] | None:
    """The output schema: a file, or the JSON itself where the argument begins with a brace. BadUsage where it is none."""
    if argument is None:
        return None
    if argument.lstrip().startswith("{"):
        text, name = argument, "--schema"
    else:
        name = argument
        try:
            text = Path(argument).read_text("utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
            raise BadUsage(f"{argument}: {reason}") from error
    try:
        schema = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadUsage(f"{name}: not JSON: {error}") from error
    if not isinstance(schema, dict):
        raise BadUsage(f"{name}: a JSON Schema is an object")
    return schema
