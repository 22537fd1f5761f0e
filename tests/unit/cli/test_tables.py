"""Tables out: what is written reads back, and a failed write leaves what was there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from amends.cli._exits import BadUsage, LocalFailure
from amends.cli._tables import check_output, output_format, read_table, write_table

ROWS = [{"a": "x", "n": 1, "o": {"k": [1]}}, {"a": 'ü, "q"\n', "n": None, "o": None}]


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_table_reads_back(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"t.{suffix}"
    write_table(path, ("a", "n", "o"), ROWS)
    found = read_table(path)
    assert found.columns == ("a", "n", "o")
    assert [row["a"] for row in found.rows] == [row["a"] for row in ROWS]
    assert str(found.rows[0]["n"]) == "1"
    assert found.rows[0]["o"] in ({"k": [1]}, '{"k": [1]}')


def test_parquet_columns_are_written_back_as_they_were(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    import pyarrow.parquet as parquet

    made = pyarrow.table(
        {
            "small": pyarrow.array([1, None], pyarrow.int32()),
            "struct": [{"x": 1}, None],
            "bytes": [b"\xff", None],
            "nothing": pyarrow.array([None, None], pyarrow.string()),
        }
    )
    parquet.write_table(made, tmp_path / "in.parquet")
    table = read_table(tmp_path / "in.parquet")
    rows = [{**row, "output": {"a": 1}} for row in table.rows]
    write_table(tmp_path / "out.parquet", [*table.columns, "output", "error"], rows, table.types)
    found = parquet.read_table(tmp_path / "out.parquet")
    assert found.select(made.column_names).equals(made)
    assert found["output"].to_pylist() == ['{"a": 1}', '{"a": 1}']
    assert found["error"].type == pyarrow.string()


def test_what_json_has_no_word_for_is_null_or_base64(tmp_path: Path) -> None:
    row = {"a": float("nan"), "b": [float("inf"), {"c": b"\xff"}]}
    write_table(tmp_path / "t.jsonl", ("a", "b"), [row])
    assert (tmp_path / "t.jsonl").read_text() == '{"a":null,"b":[null,{"c":"/w=="}]}\n'
    write_table(tmp_path / "t.csv", ("b",), [row, {"b": b"\xff"}])
    assert [one["b"] for one in read_table(tmp_path / "t.csv").rows] == ['[null, {"c": "/w=="}]', "/w=="]


def test_column_of_several_types_is_text_in_parquet(tmp_path: Path) -> None:
    write_table(tmp_path / "t.parquet", ("a",), [{"a": 1}, {"a": "x"}, {}])
    assert [row.get("a") for row in read_table(tmp_path / "t.parquet").rows] == ["1", "x", None]


@pytest.mark.parametrize(
    ("content", "columns", "row"),
    [
        ("\ufefftext,n\r\na,1\r\n", ("text", "n"), {"text": "a", "n": "1"}),
        (",text\n0,a\n", ("", "text"), {"": "0", "text": "a"}),  # the index of a data frame has no name
        ("text,n\na\n", ("text", "n"), {"text": "a"}),
        ("text,n\na,1,,\n", ("text", "n"), {"text": "a", "n": "1"}),
        ("text\n\na\n", ("text",), {"text": "a"}),
        ("text\n" + "x" * 200_000, ("text",), {"text": "x" * 200_000}),
    ],
)
def test_csv_of_other_programs_is_read_whole(
    tmp_path: Path, content: str, columns: tuple[str, ...], row: dict[str, str]
) -> None:
    (tmp_path / "t.csv").write_text(content, "utf-8", newline="")
    found = read_table(tmp_path / "t.csv")
    assert (found.columns, list(found.rows)) == (columns, [row])


@pytest.mark.parametrize(
    ("content", "said"),
    [("text,n\na,1,2\n", "line 2: 3 cells, but 2 columns"), ("text,n,n\na,1,2\n", "column 'n' is there twice")],
)
def test_csv_that_would_lose_cells_is_refused(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "t.csv").write_text(content)
    with pytest.raises(BadUsage, match=said):
        read_table(tmp_path / "t.csv")


def test_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text("old")

    def rows() -> Iterator[Mapping[str, Any]]:
        yield {"a": 1}
        raise RuntimeError("killed here")

    with pytest.raises(RuntimeError):
        write_table(path, ("a",), rows())
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_unwritable_place_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LocalFailure, match=r"file/t\.csv"):
        write_table(tmp_path / "file" / "t.csv", ("a",), [])


def test_place_that_cannot_be_written_to_is_refused_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.csv").mkdir()
    check_output(tmp_path / "new" / "folders" / "t.csv")
    for path in (tmp_path / "file" / "t.csv", tmp_path / "folder.csv"):
        with pytest.raises(LocalFailure, match=path.name):
            check_output(path)


def test_unknown_ending_is_refused() -> None:
    with pytest.raises(BadUsage, match=r"\.jsonl, \.csv or \.parquet"):
        output_format(Path("x.xlsx"))
