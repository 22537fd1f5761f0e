"""What reading a document gives, what bounds it, and the problems it can end in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from PIL import Image

from amends.problems import ProblemError, problem

__all__ = ["Limits", "Page", "Recognise", "unprocessable", "unsupported_page"]

Recognise = Callable[[Image.Image], str]
"""Reads the text off a picture (``amends.models``: ``local/ocr``)."""


class Page(NamedTuple):
    """The text of one page. number: from 1; a file without pages is one page. Line ends are ``\\n``, columns stand
    apart by a tab or by three spaces."""

    number: int
    text: str


@dataclass(frozen=True, slots=True)
class Limits:
    """What reading may cost. It all happens in a child that the engine bounds as well; these give the better error.

    image_pixels: of a decoded picture. render_pixels: of a page drawn for OCR, which is drawn smaller rather than
    refused. text_bytes: of a text file, and of all text read from a document. archive_bytes: of everything a DOCX
    unpacks to.
    """

    image_pixels: int = 100_000_000
    render_pixels: int = 12_000_000
    text_bytes: int = 64 * 2**20
    archive_bytes: int = 256 * 2**20


def unprocessable(error_code: str, detail: str, **members: Any) -> ProblemError:
    """The right kind of file, but it cannot be processed."""
    return ProblemError(problem("unprocessable_content", detail, error_code=error_code, **members))


def unsupported_page(page: int, pages: int | None) -> ProblemError:
    """A page was asked for that is not there. pages: None for a file without pages."""
    if pages is None:
        return ProblemError(problem("unsupported_file_format", f"Page {page} of a file without pages", page=page))
    detail = f"Page {page} was asked for, and the file has {pages}"
    return ProblemError(problem("unsupported_file_format", detail, page=page, pages=pages))
