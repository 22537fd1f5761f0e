"""Documents as pages of text: PDF, images by OCR, text, Markdown, HTML, CSV, DOCX.

Shared by the kinds of work that read documents. Everything here runs in a worker's child: decoding somebody's file is
the most dangerous thing the service does.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from amends.models import Kind

from ._images import draw_image, load_image, read_image
from ._shape import Limits, Page, Recognise, unprocessable, unsupported_page

if TYPE_CHECKING:
    from PIL import Image

__all__ = [
    "Limits",
    "Page",
    "Recognise",
    "check_not_empty",
    "draw_pages",
    "load_image",
    "read_pages",
    "unprocessable",
]


def read_pages(
    path: Path, kind: Kind, *, recognise: Recognise, page: int | None = None, limits: Limits | None = None
) -> Iterator[Page]:
    """Yield the text of each page in order, reading on only as it is asked for.

    path: its name does not matter, only ``kind`` does (``amends.models.kind_of`` a media type). page: from 1, only this one; None is
    the whole file. A file without pages is one page with number 1, of which ``page`` may not be asked for.
    recognise: is called for each picture of text. Raises ProblemError and nothing else for whatever is in the file:
    ``unprocessable_content`` with FILE_EMPTY, IMAGE_CORRUPTED, IMAGE_TOO_LARGE, DOCUMENT_CORRUPTED, DOCUMENT_ENCRYPTED,
    DOCUMENT_TOO_LARGE or TEXT_UNREADABLE, and ``unsupported_file_format`` for a page that is not there.
    """
    limits = limits or Limits()
    check_not_empty(path)
    chars = 0
    for read in _pages(path, kind, recognise, page, limits):
        chars += len(read.text)
        if chars > limits.text_bytes:
            detail = f"The document holds more than {limits.text_bytes} characters of text"
            raise unprocessable("DOCUMENT_TOO_LARGE", detail, limit=limits.text_bytes, unit="characters")
        yield read


def draw_pages(
    path: Path, kind: Kind, *, page: int | None = None, limits: Limits | None = None
) -> Iterator[Image.Image]:
    """Yield each page of a PDF or a TIFF, or the one picture of any other image file, in RGB and upright.

    page: from 1, only this one. Raises ProblemError as ``read_pages`` does; ValueError for a kind that is no picture.
    """
    limits = limits or Limits()
    check_not_empty(path)
    if kind == "pdf":
        from ._pdf import draw_pdf

        return draw_pdf(path, page, limits)
    if kind == "image":
        return draw_image(path, page, limits)
    raise ValueError(f"a {kind} file has no picture")


def check_not_empty(path: Path) -> None:
    """Raises ProblemError FILE_EMPTY for a file of no bytes."""
    if path.stat().st_size == 0:
        raise unprocessable("FILE_EMPTY", "The file is empty")


def _pages(path: Path, kind: Kind, recognise: Recognise, page: int | None, limits: Limits) -> Iterator[Page]:
    # Readers are imported where they are used: a child that only labels images needs no PDF library.
    if kind == "pdf":
        from ._pdf import read_pdf

        return read_pdf(path, page, recognise, limits)
    if kind == "image":
        return read_image(path, page, recognise, limits)
    if page is not None:
        raise unsupported_page(page, None)
    return iter((Page(1, _whole_text(path, kind, limits)),))


def _whole_text(path: Path, kind: Kind, limits: Limits) -> str:
    if kind == "docx":
        from ._docx import read_docx

        return read_docx(path, limits)
    from . import _text

    readers = {"text": _text.read_text, "html": _text.read_html, "csv": _text.read_csv}
    return readers[kind](path, limits)
