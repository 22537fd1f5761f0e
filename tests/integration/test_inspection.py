"""The child that decides what files are, asked for real."""

from __future__ import annotations

import asyncio
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
