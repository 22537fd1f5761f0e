"""Result lines as CSV and Parquet."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pyarrow.parquet as pq
import pytest

from amends.problems import ProblemError
from amends.server.accept import result_format
from amends.server.tables import CsvTable, ParquetTable, columns_of

SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "count": {"type": ["integer", "null"]},
        "price": {"anyOf": [{"type": "number"}, {"type": "null"}]},
        "paid": {"type": "boolean"},
        "lines": {"type": "array"},
        "status": {"type": "string"},
    },
}
OUTPUT = {"name": 'a "b",\nc', "count": 3, "price": 1.5, "paid": True, "lines": [{"n": 1}], "status": "open"}


def line(custom_id: str, output: Any, error: Any = None) -> bytes:
    status = "errored" if error else "succeeded"
    members = {"object": "batch_prediction.result", "batch_id": "b", "custom_id": custom_id, "status": status}
    return json.dumps({**members, "output": output, "error": error}, separators=(",", ":")).encode() + b"\n"


LINES = line("1", OUTPUT) + line("2", None, {"type": "http://h/errors/file_not_found", "detail": "gone"})


def test_csv_has_a_column_for_each_property() -> None:
    table = CsvTable(columns_of(SCHEMA))
    text = (table.feed(LINES) + table.feed(line("3", {"count": None})) + table.finish()).decode()
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert rows[0] == {
        "custom_id": "1", "status": "succeeded", "name": 'a "b",\nc', "count": "3", "price": "1.5", "paid": "true",
        "lines": '[{"n":1}]', "output.status": "open", "error_type": "", "error_detail": "",
    }  # fmt: skip
    assert (rows[1]["error_type"], rows[1]["error_detail"], rows[1]["name"]) == ("file_not_found", "gone", "")
    assert rows[2]["count"] == ""


def test_parquet_keeps_the_types_of_the_schema() -> None:
    table = ParquetTable(columns_of(SCHEMA))
    read = pq.read_table(io.BytesIO(table.feed(LINES) + table.feed(line("3", {"count": 2**70})) + table.finish()))
    rows = read.to_pylist()
    assert rows[0] == {
        "custom_id": "1", "status": "succeeded", "name": 'a "b",\nc', "count": 3, "price": 1.5, "paid": True,
        "lines": '[{"n":1}]', "output.status": "open", "error_type": None, "error_detail": None,
    }  # fmt: skip
    assert rows[1]["error_type"] == "file_not_found"
    assert rows[2]["count"] is None


def test_without_a_schema_the_output_is_one_column() -> None:
    table = CsvTable(columns_of(None))
    text = (table.feed(line("1", {"text": "hi"})) + table.finish()).decode()
    assert next(iter(csv.DictReader(io.StringIO(text))))["output"] == '{"text":"hi"}'


def test_properties_behind_a_reference_at_the_root_are_found() -> None:
    schema = {
        "$ref": "#/$defs/Invoice",
        "$defs": {"Invoice": {"type": "object", "properties": {"total": {"type": "number"}}}},
    }
    assert [(column.name, column.type) for column in columns_of(schema)] == [("total", "number")]


def test_empty_table_is_still_a_table() -> None:
    table = ParquetTable(columns_of(SCHEMA))
    assert pq.read_table(io.BytesIO(table.finish())).num_rows == 0


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, "ndjson"),
        ("", "ndjson"),
        ("*/*", "ndjson"),
        ("application/json", "ndjson"),
        ("application/x-ndjson", "ndjson"),
        ("application/json; dialect=detail", "ndjson"),
        ("text/csv", "csv"),
        ("TEXT/CSV; charset=utf-8", "csv"),
        ("text/*", "csv"),
        ("application/vnd.apache.parquet", "parquet"),
        ("text/html, text/csv;q=0.5, */*;q=0.1", "csv"),
        ("application/x-ndjson;q=0.2, application/vnd.apache.parquet;q=0.9", "parquet"),
        ("text/csv;q=0, application/x-ndjson", "ndjson"),
    ],
)
def test_accept_chooses_the_format(accept: str | None, expected: str) -> None:
    assert result_format(accept) == expected


@pytest.mark.parametrize("accept", ["image/png", "text/html", "text/csv;q=0", "nonsense", "text/csv;q=x"])
def test_other_formats_are_not_acceptable(accept: str) -> None:
    with pytest.raises(ProblemError) as refused:
        result_format(accept)
    assert refused.value.problem.slug == "not_acceptable"
