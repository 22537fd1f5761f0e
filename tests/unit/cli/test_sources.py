"""What this machine remembers of a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from amends.cli._inputs import Inputs, read_inputs
from amends.cli._sources import Source, Sources, fingerprint, upload_key


@pytest.fixture
def inputs(tmp_path: Path) -> Inputs:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("a")
    return read_inputs([tmp_path / "in"])


def print_of(inputs: Inputs, **changes: object) -> str:
    stated: dict[str, object] = {"model": "m", "prompt": None, "schema": None, "is_test": False}
    return fingerprint(inputs, **{**stated, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("change", [{"model": "n"}, {"prompt": "p"}, {"schema": {"type": "object"}}, {"is_test": True}])
def test_runs_differ_when_model_prompt_schema_or_mode_do(inputs: Inputs, change: dict[str, object]) -> None:
    assert print_of(inputs) == print_of(inputs)
    assert print_of(inputs) != print_of(inputs, **change)


def test_folder_differs_when_a_file_is_added(inputs: Inputs, tmp_path: Path) -> None:
    before = print_of(inputs)
    (tmp_path / "in" / "b.txt").write_text("b")
    assert print_of(read_inputs([tmp_path / "in"])) != before


def test_upload_key_stays_while_the_file_is_unchanged_and_changes_with_it(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("1")
    before = upload_key(path, "print")
    assert upload_key(path, "print") == before
    path.write_text("22")
    assert upload_key(path, "print") != before


def test_link_is_sent_under_a_key_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    (tmp_path / "b").symlink_to("a")
    assert upload_key(tmp_path / "a", "print") != upload_key(tmp_path / "b", "print")


def test_source_is_recalled_as_it_was_remembered(tmp_path: Path) -> None:
    sources = Sources(tmp_path)
    source = Source({"a": tmp_path / "a.txt", "ü": tmp_path / "\udcff"}, tmp_path / "m.csv")
    sources.remember("bpred_1", source)
    assert sources.recall("bpred_1") == source


def test_run_of_elsewhere_has_no_source(tmp_path: Path) -> None:
    assert Sources(tmp_path).recall("bpred_2") == Source({})


def test_new_changes_the_key_and_later_runs_find_that_one(tmp_path: Path) -> None:
    sources = Sources(tmp_path)
    first = sources.creation_key("p", is_new=False)
    second = sources.creation_key("p", is_new=True)
    assert first != second
    assert sources.creation_key("p", is_new=False) == second
