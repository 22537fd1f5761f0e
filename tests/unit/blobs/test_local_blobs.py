from __future__ import annotations

import errno
import hashlib
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amends.blobs import BlobNotFound, LocalBlobs
from amends.problems import ProblemError

CONTENT = b"the same bytes" * 1_000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def blobs(tmp_path: Path) -> LocalBlobs:
    return LocalBlobs(tmp_path / "blobs")


def files_of(blobs: LocalBlobs) -> list[Path]:
    return [path for path in blobs.root.rglob("*") if path.is_file()]


def test_a_blob_is_found_under_the_hash_of_its_content(blobs: LocalBlobs) -> None:
    blob = blobs.put(CONTENT)
    assert (blob.sha256, blob.size) == (SHA256, len(CONTENT))
    assert blobs.get(SHA256) == CONTENT
    assert blobs.exists(SHA256)
    assert blobs.size(SHA256) == len(CONTENT)
    assert blobs.path(SHA256) == blobs.root / SHA256[:2] / SHA256[2:]


def test_pieces_and_the_whole_are_the_same_blob_stored_once(blobs: LocalBlobs) -> None:
    whole = blobs.put(CONTENT)
    assert blobs.put(CONTENT[start : start + 999] for start in range(0, len(CONTENT), 999)) == whole
    assert len(files_of(blobs)) == 1


@given(
    content=st.binary(max_size=300),
    start=st.integers(0, 310),
    end=st.none() | st.integers(0, 310),
    piece=st.integers(1, 50),
)
def test_a_part_is_what_slicing_gives(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, start: int, end: int | None, piece: int
) -> None:
    blobs = LocalBlobs(tmp_path_factory.getbasetemp() / "shared-blobs")
    blob = blobs.put(content)
    assert b"".join(blobs.read(blob.sha256, start, end, piece)) == content[start:end]


def test_what_is_not_there_is_not_found(blobs: LocalBlobs) -> None:
    with pytest.raises(BlobNotFound):
        blobs.get(SHA256)
    with pytest.raises(BlobNotFound):
        blobs.size(SHA256)
    assert not blobs.delete(SHA256)


@pytest.mark.parametrize("name", ["", "../../etc/passwd", SHA256.upper(), SHA256 + "\n", SHA256[:-1], "g" * 64])
def test_no_name_from_outside_becomes_a_path(blobs: LocalBlobs, name: str) -> None:
    with pytest.raises(ValueError, match="SHA-256"):
        blobs.path(name)


def test_a_writer_left_without_commit_leaves_nothing(blobs: LocalBlobs) -> None:
    with blobs.writer() as writer:
        writer.write(CONTENT)
        assert len(files_of(blobs)) == 1
    assert files_of(blobs) == []


def test_many_writers_of_the_same_content_agree(blobs: LocalBlobs) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert {blob.sha256 for blob in pool.map(lambda _: blobs.put(CONTENT), range(64))} == {SHA256}
    assert [path.read_bytes() for path in files_of(blobs)] == [CONTENT]


def test_a_full_disk_is_a_problem_and_leaves_nothing(blobs: LocalBlobs, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ProblemError) as raised:
        blobs.put(CONTENT)
    assert raised.value.problem.slug == "insufficient_storage"
    assert files_of(blobs) == []


def test_a_disk_that_is_really_full_is_a_problem(blobs: LocalBlobs) -> None:
    with blobs.writer() as writer:
        os.dup2(os.open("/dev/full", os.O_WRONLY), writer._file.fileno())
        with pytest.raises(ProblemError) as raised:
            writer.write(CONTENT)
    assert raised.value.problem.status == 507
    assert files_of(blobs) == []


def test_a_broken_disk_is_not_taken_for_a_full_one(blobs: LocalBlobs, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OSError, match="Input/output"):
        blobs.put(CONTENT)


WRITES_FOR_EVER = """
import sys
from amends.blobs import LocalBlobs
blobs = LocalBlobs(sys.argv[1])
number = 0
while True:
    number += 1
    with blobs.writer() as writer:
        for _ in range(20):
            writer.write(number.to_bytes(8, "big") * 4096)
        if number == 3:
            print("writing", flush=True)
        writer.commit()
"""


@pytest.mark.parametrize("attempt", range(5))
def test_a_writer_killed_midway_leaves_whole_blobs_only(blobs: LocalBlobs, attempt: int) -> None:
    with subprocess.Popen([sys.executable, "-c", WRITES_FOR_EVER, str(blobs.root)], stdout=subprocess.PIPE) as writer:
        assert writer.stdout
        writer.stdout.readline()
        writer.send_signal(signal.SIGKILL)
        writer.wait()
    whole = [path for path in files_of(blobs) if path.parent.name != "tmp"]
    assert len(whole) >= 2
    for path in whole:
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.parent.name + path.name
    assert blobs.clear_strays() <= 1
    assert sorted(files_of(blobs)) == sorted(whole)
