"""Results onto disk or stdout: lines as they stream, or the manifest's table with what became of each row."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from amends.client import Client

from ._console import Words
from ._inputs import Inputs
from ._tables import Table, output_format, replacing, write_table

MEDIA_TYPES: Mapping[str, str] = {
    "jsonl": "application/x-ndjson",
    "csv": "text/csv",
    "parquet": "application/vnd.apache.parquet",
}


def write_results(
    client: Client, run_id: str, output: Path | None, words: Words, *, is_partial: bool = False, status: str | None = None
) -> None:
    """Write the merged lineage of a run: to ``output`` in the format of its name, else as lines to stdout.

    A file takes its place only when it is whole. is_partial: of an unfinished run, the lines up to its first unfinished item.
    """
    kind = "jsonl" if output is None else output_format(output)
    chunks = client.batch_predictions.download(
        run_id, media_type=MEDIA_TYPES[kind], lineage=True, partial=is_partial, status=status
    )
    if output is None:
        for chunk in chunks:
            sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()
        return
    with replacing(output) as stream:
        for chunk in chunks:
            stream.write(chunk)
    words.say(f"Results: {output}")


def write_joined(client: Client, run_id: str, inputs: Inputs, table: Table, output: Path, words: Words) -> None:
    """Write the manifest's table with ``output``, ``status`` and ``error`` beside every column it has.

    A column of that name in the manifest keeps it; ours is then called ``amends_status`` and so on.
    """
    names = {name: f"amends_{name}" if name in table.columns else name for name in ("output", "status", "error")}
    as_text = output_format(output) != "jsonl"
    lines = {line["custom_id"]: line for line in client.batch_predictions.results(run_id, lineage=True)}

    def rows() -> Iterator[dict[str, Any]]:
        for item, row in zip(inputs.items, table.rows, strict=True):
            line = lines.get(item.custom_id, {})
            yield {
                **row,
                names["output"]: line.get("output"),
                names["status"]: line.get("status", "processing"),
                names["error"]: sentence(line["error"]) if as_text and line.get("error") else line.get("error"),
            }

    write_table(output, [*table.columns, *names.values()], rows())
    words.say(f"Table: {output}")


def slug_of(problem: Mapping[str, Any]) -> str:
    """The type of a problem as people call it: the last part of its address."""
    return str(problem.get("type", "")).rstrip("/").rsplit("/", 1)[-1]


def sentence(problem: Mapping[str, Any]) -> str:
    """``file_not_found: File 'x' does not exist …``"""
    return f"{slug_of(problem)}: {problem.get('detail') or problem.get('title')}"
