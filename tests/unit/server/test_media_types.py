from __future__ import annotations

import pytest

from amends.models import media_type_of
from amends.server.inspector import Inspection

PDF = Inspection("application/pdf", is_text=False, pages=3)
TEXT = Inspection("text/html", is_text=True)
NOTHING = Inspection("inode/x-empty", is_text=False)


@pytest.mark.parametrize(
    ("found", "size", "declared", "filename", "expected"),
    [
        (PDF, 10, "text/plain", "a.txt", "application/pdf"),
        (TEXT, 10, "application/pdf", "a.pdf", "text/plain"),
        (TEXT, 10, "text/markdown; charset=utf-8", "a.txt", "text/markdown"),
        (TEXT, 10, "text/plain", "notes.md", "text/markdown"),
        (TEXT, 10, "application/octet-stream", "t.csv", "text/csv"),
        (TEXT, 10, None, "page.html", "text/html"),
        (TEXT, 10, "image/png", "a.png", "text/plain"),
        (TEXT, 10, "application/vnd.api+json", "a", "application/vnd.api+json"),
        (TEXT, 10, None, "no-suffix", "text/plain"),
        (Inspection(), 10, "image/png", "a.png", "application/octet-stream"),
        (NOTHING, 0, "application/pdf", "a.pdf", "application/pdf"),
        (NOTHING, 0, None, "a.pdf", "application/pdf"),
        (NOTHING, 0, None, "a", "application/octet-stream"),
        (NOTHING, 0, "no type\r\nat all", "a", "application/octet-stream"),
    ],
)
def test_content_decides_and_among_texts_what_was_said(
    found: Inspection, size: int, declared: str | None, filename: str, expected: str
) -> None:
    assert media_type_of(found, size, declared, filename) == expected
