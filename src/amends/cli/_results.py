"""Results onto disk or stdout: lines as they stream, or the manifest's table with what became of each row."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from amends.client import Client

from ._console import Words
from ._inputs import Inputs
from ._tables import Table, as_local_failure, output_format, write_table

Status = Literal["succeeded", "errored", "canceled", "expired"]


def write_results(
    client: Client,
    run_id: str,
    output: Path | None,
    words: Words,
    *,
    is_partial: bool = False,
    status: Status | None = None,
) -> None:
    """Write the merged lineage of a run: to ``output`` in the format of its name, else as lines to stdout.

    A file takes its place only when it is whole. is_partial: of an unfinished run, the lines up to its first unfinished item.
    """
    fetch = client.batch_predictions.download
    if output is not None:
        kind = output_format(output)
        with as_local_failure(output):
            output.parent.mkdir(parents=True, exist_ok=True)
            fetch(run_id, output, format=kind, lineage=True, partial=is_partial, status=status)
        words.say(f"Results: {output}")
        return
    with tempfile.TemporaryDirectory(prefix="amends-") as place:
        lines = fetch(run_id, Path(place, "results"), lineage=True, partial=is_partial, status=status)
        with lines.open("rb") as stream:
            shutil.copyfileobj(stream, sys.stdout.buffer)
        sys.stdout.buffer.flush()


def write_joined(client: Client, run_id: str, inputs: Inputs, table: Table, output: Path, words: Words) -> None:
    """Write the manifest's table with ``output``, ``status`` and ``error`` beside every column it has.

    A column of that name in the manifest keeps it; ours is then called ``amends_status`` and so on.
    """
    names = {name: f"amends_{name}" if name in table.columns else name for name in ("output", "status", "error")}
    is_text = output_format(output) != "jsonl"
    lines = {line["custom_id"]: line for line in client.batch_predictions.results(run_id, lineage=True)}

    def rows() -> Iterator[dict[str, Any]]:
        for item, row in zip(inputs.items, table.rows, strict=True):
            line = lines.get(item.custom_id, {})
            yield {
                **row,
                names["output"]: line.get("output"),
                names["status"]: line.get("status", "processing"),
                names["error"]: _error(line.get("error"), is_text=is_text),
            }

    write_table(output, [*table.columns, *names.values()], rows(), table.types)
    words.say(f"Table: {output}")


def _error(error: Mapping[str, Any] | None, *, is_text: bool) -> Any:
    return sentence(error) if is_text and error else error


def slug_of(problem: Mapping[str, Any]) -> str:
    """The type of a problem as people call it: the last part of its address."""
    return str(problem.get("type", "")).rstrip("/").rsplit("/", 1)[-1]


def sentence(problem: Mapping[str, Any]) -> str:
    """``file_not_found: File 'x' does not exist …``"""
    return f"{slug_of(problem)}: {problem.get('detail') or problem.get('title')}"
