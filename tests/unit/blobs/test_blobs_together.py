"""Many blobs made durable together: named only once their bytes are on the disk, by whichever flush the system has."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from amends.blobs import LocalBlobs, _together, flush_together, publish_together
from amends.problems import ProblemError


@pytest.fixture
def blobs(tmp_path: Path) -> LocalBlobs:
    return LocalBlobs(tmp_path / "blobs")


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was done, in order: ``all`` for a flush of everything, ``flush`` and ``name`` for each."""
    done: list[str] = []
    sync_all, sync_path, replace = _together._sync_all, _together.sync_path, os.replace

    def noted(what: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any) -> Any:
            result = work(*arguments)
            done.append(what)
            return result

        return run

    monkeypatch.setattr(_together, "_sync_all", noted("all", sync_all))
    monkeypatch.setattr(_together, "sync_path", noted("flush", sync_path))
    monkeypatch.setattr(os, "replace", noted("name", replace))
    return done


def store(blobs: LocalBlobs, contents: list[bytes]) -> list[str]:
    with ExitStack() as stack:
        writers = [stack.enter_context(blobs.writer()) for _ in contents]
        for writer, content in zip(writers, contents, strict=True):
            writer.write(content)
        flush_together(blobs, writers)
        return [blob.sha256 for blob in publish_together(blobs, writers)]


@pytest.mark.parametrize("count", [1, 4, 5, 300])
@pytest.mark.parametrize("is_calm", [True, False])
def test_every_blob_is_there_whole_and_was_flushed_before_it_was_named(
    blobs: LocalBlobs, steps: list[str], monkeypatch: pytest.MonkeyPatch, count: int, is_calm: bool
) -> None:
    monkeypatch.setattr(_together, "_is_calm", lambda: is_calm)
    contents = [os.urandom(50) for _ in range(count - 1)] + [b"same"]
    digests = store(blobs, contents)
    assert digests == [hashlib.sha256(content).hexdigest() for content in contents]
    assert [blobs.get(digest) for digest in digests] == contents
    assert list((blobs.root / "tmp").iterdir()) == []
    first, last = steps.index("name"), len(steps) - steps[::-1].index("name")
    before, names, after = steps[:first], steps[first:last], steps[last:]
    assert names == ["name"] * count
    has_all = is_calm and _together._syncfs() is not None
    folders = {digest[:2] for digest in digests}
    assert before == (["all"] if has_all and count > 4 else ["flush"] * count)
    assert after == (["all"] if has_all and len(folders) >= 4 else ["flush"] * (len(folders) + 1))


def test_where_much_waits_to_be_written_each_is_flushed_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for said, is_calm in (
        ("Dirty:  100 kB\nWriteback:  0 kB\n", True),
        ("Dirty:  65000 kB\nWriteback:  2000 kB\n", False),
        ("nothing of the kind\n", False),
    ):
        (tmp_path / "meminfo").write_text(said)
        monkeypatch.setattr(_together, "_MEMINFO", tmp_path / "meminfo")
        assert _together._is_calm() == is_calm
    monkeypatch.setattr(_together, "_MEMINFO", tmp_path / "none")
    assert not _together._is_calm()


def test_a_full_disk_is_its_problem_and_leaves_nothing(blobs: LocalBlobs, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_together, "_is_calm", lambda: False)
    monkeypatch.setattr(_together, "sync_path", full)
    with pytest.raises(ProblemError) as raised:
        store(blobs, [b"a", b"b"])
    assert raised.value.problem.slug == "insufficient_storage"
    assert [path for path in blobs.root.rglob("*") if path.is_file()] == []
