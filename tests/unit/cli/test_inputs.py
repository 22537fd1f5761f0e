"""What ``amends run`` is given, as items."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import pytest

from amends.cli._exits import BadUsage
from amends.cli._inputs import custom_id_of, read_inputs, read_schema


def folder(tmp_path: Path, *names: str) -> Path:
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path


def manifest(tmp_path: Path, *rows: dict[str, str]) -> Path:
    path = tmp_path / "manifest.csv"
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(dict.fromkeys(name for row in rows for name in row)))
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_folder_gives_every_file_below_it_by_its_relative_path_in_order(tmp_path: Path) -> None:
    place = folder(tmp_path, "b.txt", "a/z.txt", "a/b/c.txt", "c.txt")
    assert [item.custom_id for item in read_inputs([place]).items] == ["b.txt", "c.txt", "a/z.txt", "a/b/c.txt"]


def test_hidden_files_and_a_data_directory_are_left_out(tmp_path: Path) -> None:
    place = folder(tmp_path, "a.txt", ".hidden", ".amends/amends.db", "sub/.x")
    assert [item.custom_id for item in read_inputs([place]).items] == ["a.txt"]


def test_what_the_command_writes_is_no_input_of_it(tmp_path: Path) -> None:
    place = folder(tmp_path, "a.txt", "out.jsonl", "data/amends.db", "sub/out.jsonl")
    found = read_inputs([place], leave_out=[place / "out.jsonl", place / "data"])
    assert [item.custom_id for item in found.items] == ["a.txt", "sub/out.jsonl"]


def test_files_whose_names_have_the_same_stand_in_are_two_items(tmp_path: Path) -> None:
    found = read_inputs([folder(tmp_path, "a\nb.txt", "a%0Ab.txt")]).items
    assert len({item.custom_id for item in found}) == 2
    assert {item.path for item in found} == {tmp_path / "a\nb.txt", tmp_path / "a%0Ab.txt"}


def test_folder_that_cannot_be_read_is_an_item_and_no_gap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = folder(tmp_path, "a.txt", "closed/b.txt")
    scandir = os.scandir

    def refuse(path: str) -> object:  # root, who runs tests in containers, may read everything
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert [item.custom_id for item in read_inputs([place]).items] == ["a.txt", "closed"]


def test_files_are_named_as_given_and_doubles_count_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder(tmp_path, "a.txt", "b.txt"))
    found = read_inputs([Path("b.txt"), Path("a.txt"), Path("./b.txt")])
    assert [item.custom_id for item in found.items] == ["b.txt", "a.txt"]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda place: place / "nowhere", "No such folder or file"),
        (lambda place: place / "nowhere.csv", "No such file"),
        (lambda place: place, "No files in"),
    ],
)
def test_argument_that_is_not_there_or_holds_nothing_is_bad_usage(tmp_path: Path, make: object, said: str) -> None:
    with pytest.raises(BadUsage, match=said):
        read_inputs([make(tmp_path)])  # type: ignore[operator]


def test_manifest_rows_become_items_with_page_prompt_and_id(tmp_path: Path) -> None:
    path = manifest(
        tmp_path,
        {"file": "a.pdf", "page": "2", "custom_id": "", "prompt": "", "colour": "red"},
        {"file": "a.pdf", "page": "", "custom_id": "mine", "prompt": "total?", "colour": "blue"},
    )
    first, second = read_inputs([path]).items
    assert (first.custom_id, first.path, first.page, first.prompt) == ("a.pdf#page=2", tmp_path / "a.pdf", 2, None)
    assert (second.custom_id, second.page, second.prompt) == ("mine", None, "total?")


def test_every_column_of_a_manifest_travels(tmp_path: Path) -> None:
    found = read_inputs([manifest(tmp_path, {"text": "x", "colour": "red"})])
    assert found.table is not None
    assert found.table.columns == ("text", "colour")
    assert found.table.rows == [{"text": "x", "colour": "red"}]


def test_rows_without_id_get_one_each_even_for_the_same_file(tmp_path: Path) -> None:
    path = manifest(tmp_path, {"file": "a.txt"}, {"file": "a.txt"}, {"file": "b.txt"})
    ids = [item.custom_id for item in read_inputs([path]).items]
    assert ids == ["a.txt", "a.txt#row=2", "b.txt"]


def test_same_manifest_about_files_elsewhere_is_another_run(tmp_path: Path) -> None:
    digests = set()
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        digests.add(read_inputs([manifest(tmp_path / name, {"file": "a.txt"})]).digest)
    assert len(digests) == 2


def test_files_called_otherwise_are_another_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = folder(tmp_path, "in/a.txt")
    monkeypatch.chdir(place)
    assert read_inputs([Path("in")]).digest != read_inputs([Path("in/a.txt")]).digest


@pytest.mark.parametrize("page", ["3", "3.0"])
def test_page_may_be_written_as_a_data_frame_writes_it(tmp_path: Path, page: str) -> None:
    (found,) = read_inputs([manifest(tmp_path, {"file": "a.pdf", "page": page})]).items
    assert found.page == 3
    assert found.custom_id == "a.pdf#page=3"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"input": NaN}', "line 1: NaN is no JSON"),
        ('{"text": "\\ud800"}', "line 1: .* alone is no character"),
        ('{"input": ' + "[" * 100_000 + "]" * 100_000 + "}", "line 1: nested too deeply"),
        ('{"file": "a.pdf", "page": 1e400}', "row 1: page must be"),
    ],
)
def test_line_that_json_would_not_carry_is_named(tmp_path: Path, line: str, said: str) -> None:
    (tmp_path / "m.jsonl").write_text(line)
    with pytest.raises(BadUsage, match=said):
        read_inputs([tmp_path / "m.jsonl"])


def test_json_lines_carry_json_inputs_and_file_ids(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    rows = [
        {"input": {"n": 1}, "custom_id": "a"},
        {"file_id": "file_1", "custom_id": "b"},
        {"text": "", "custom_id": "c"},
    ]
    path.write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    one, two, three = read_inputs([path]).items
    assert (one.value, two.file_id, three.value) == ({"n": 1}, "file_1", "")


def test_parquet_manifest_keeps_types(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    import pyarrow.parquet as parquet

    parquet.write_table(pyarrow.table({"text": ["a", "b"], "page": [None, None], "n": [1, 2]}), tmp_path / "m.parquet")
    found = read_inputs([tmp_path / "m.parquet"])
    assert [item.value for item in found.items] == ["a", "b"]
    assert found.table is not None
    assert [row["n"] for row in found.table.rows] == [1, 2]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([{"text": "a", "custom_id": "x"}, {"text": "b", "custom_id": "x"}], "Duplicate custom_id 'x' in rows 1 and 2"),
        ([{"file": "a.pdf", "page": "two"}], "row 1: page must be a whole number from 1"),
        ([{"file": "a.pdf", "page": "0"}], "row 1: page must be a whole number from 1"),
        ([{"colour": "red"}], "a manifest has a column file"),
        ([{"file": "", "colour": "red"}], "row 1 has neither a file nor a URL nor an input"),
    ],
)
def test_bad_manifest_is_named_with_its_row(tmp_path: Path, rows: list[dict[str, str]], said: str) -> None:
    with pytest.raises(BadUsage, match=said):
        read_inputs([manifest(tmp_path, *rows)])


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b'text\n"never closed', b""])
def test_manifest_that_is_no_table_is_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m.csv").write_bytes(content)
    with pytest.raises(BadUsage, match=r"m\.csv"):
        read_inputs([tmp_path / "m.csv"])


@pytest.mark.parametrize("name", ["m.parquet", "m.jsonl"])
def test_garbage_of_any_format_is_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"not a table at all")
    with pytest.raises(BadUsage, match=name):
        read_inputs([tmp_path / name])


def test_custom_id_is_printable_and_no_longer_than_256_and_differs_where_names_differ() -> None:
    assert custom_id_of("a/b.txt") == "a/b.txt"
    assert custom_id_of("new\nline") == "new%0Aline"
    assert custom_id_of(os.fsdecode(b"bad\xff")).isprintable()
    one, two = custom_id_of("d/" * 300 + "a"), custom_id_of("d/" * 301 + "a")
    assert one != two
    assert len(one) <= 256
    assert one.isprintable()


@pytest.mark.parametrize(("text", "said"), [("{nope", "not JSON"), ("[1]", "a JSON Schema is an object")])
def test_schema_that_is_none_is_bad_usage(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "s.json").write_text(text)
    with pytest.raises(BadUsage, match=said):
        read_schema(str(tmp_path / "s.json"))


def test_schema_is_a_file_or_the_json_itself(tmp_path: Path) -> None:
    (tmp_path / "s.json").write_text('{"type": "object"}')
    assert read_schema(str(tmp_path / "s.json")) == read_schema('{"type": "object"}') == {"type": "object"}
    assert read_schema(None) is None
    (tmp_path / "s.json").write_text('{"type": "object"}', "utf-8-sig")  # as some editors do
    assert read_schema(str(tmp_path / "s.json")) == {"type": "object"}
    with pytest.raises(BadUsage, match=r"s2.json: No such file"):
        read_schema(str(tmp_path / "s2.json"))


def test_what_json_cannot_hold_becomes_text(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    import datetime

    import pyarrow.parquet as parquet

    parquet.write_table(pyarrow.table({"input": [{"on": datetime.date(2026, 3, 1)}]}), tmp_path / "m.parquet")
    assert read_inputs([tmp_path / "m.parquet"]).items[0].value == {"on": "2026-03-01"}
