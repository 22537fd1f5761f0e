"""The child that decides what files are, asked for real."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from amends.server.inspector import Inspection, Inspector


@pytest.fixture(scope="module")
def inspector() -> Iterator[Inspector]:
    inspector = Inspector()
    yield inspector
    inspector.close()


@pytest.mark.parametrize(
    ("content", "is_text"),
    [
        (b"some text", True),
        ("Größe 12\n".encode(), True),
        ("\ufeffwith a mark".encode(), True),
        ("ä".encode() * 40_000, True),
        (b"invoice 12\r\ntotal 7\r\n", True),
        (b"\xff\xfe\x00\x12\x99 no text \x00", False),
        (bytes(range(256)) * 8, False),
    ],
)
def test_few_words_are_text_and_arbitrary_bytes_are_not(
    inspector: Inspector, tmp_path: Path, content: bytes, is_text: bool
) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    found: Inspection = asyncio.run(inspector.inspect(path))
    assert found.is_text is is_text


def test_child_killed_by_somebody_else_costs_no_file_its_type(inspector: Inspector, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"some text")
    for number in (signal.SIGKILL, signal.SIGTERM):
        asyncio.run(inspector.inspect(path))
        assert inspector._child
        os.kill(inspector._child.pid, number)
        assert asyncio.run(inspector.inspect(path)).is_text


def test_signals_of_the_terminal_do_not_reach_the_child(inspector: Inspector, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"some text")
    asyncio.run(inspector.inspect(tmp_path / "file"))
    assert inspector._child
    assert os.getpgid(inspector._child.pid) != os.getpgrp()
