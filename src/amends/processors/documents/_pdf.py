"""Reads PDFs page by page: the text layer where a page has one, OCR where it has none."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c
from PIL import Image

from ._shape import Limits, Page, Recognise, unprocessable, unsupported_page

__all__ = ["draw_pdf", "read_pdf"]

_OCR_DPI = 200
_POINTS_PER_INCH = 72
_SCANT_CHARS = 16
"""A page with a picture and fewer characters than this is a scan with a stamp or a page number on it."""

_WIDE_GAP = 1.2
"""A gap of this many line heights between two words parts columns; a space between words is about 0.3."""

_COLUMN_BREAK = "   "
Box = tuple[float, float, float, float]
_UNREADABLE = re.compile("[\ue000-\uf8ff\ufffd\x00-\x08\x0e-\x1f]")  # fonts without a usable character map


def read_pdf(path: Path, page: int | None, recognise: Recognise, limits: Limits) -> Iterator[Page]:
    """Yield the text of each page; one page is in memory at a time.

    page: only this one. Raises ProblemError: DOCUMENT_ENCRYPTED, DOCUMENT_CORRUPTED, and for a page beyond the last.
    """
    with closing(_open(path)) as document:
        for number in _numbers(document, page):
            yield Page(number, _read_page(document, number, recognise, limits))


def draw_pdf(path: Path, page: int | None, limits: Limits) -> Iterator[Image.Image]:
    """Yield a picture of each page. Raises ProblemError as ``read_pdf`` does."""
    with closing(_open(path)) as document:
        for number in _numbers(document, page):
            with closing(_load_page(document, number)) as loaded:
                yield _draw(loaded, number, limits)


def _numbers(document: pdfium.PdfDocument, page: int | None) -> Iterable[int]:
    pages = len(document)
    if not pages:
        raise unprocessable("DOCUMENT_CORRUPTED", "The PDF has no pages")
    if page is not None and page > pages:
        raise unsupported_page(page, pages)
    return range(1, pages + 1) if page is None else (page,)


def _open(path: Path) -> pdfium.PdfDocument:
    try:
        return pdfium.PdfDocument(path)
    except pdfium.PdfiumError as error:
        if error.err_code == pdfium_c.FPDF_ERR_PASSWORD:
            raise unprocessable("DOCUMENT_ENCRYPTED", "The PDF is protected by a password") from error
        raise unprocessable("DOCUMENT_CORRUPTED", "The PDF is damaged or ends too soon") from error


def _read_page(document: pdfium.PdfDocument, number: int, recognise: Recognise, limits: Limits) -> str:
    with closing(_load_page(document, number)) as page:
        text = _text_layer(page)
        if not _needs_ocr(page, text):
            return text
        seen = recognise(_draw(page, number, limits))
    return seen if len(seen) >= len(text) or _UNREADABLE.search(text) else text


def _load_page(document: pdfium.PdfDocument, number: int) -> pdfium.PdfPage:
    try:
        return document[number - 1]
    except pdfium.PdfiumError as error:
        raise unprocessable("DOCUMENT_CORRUPTED", f"Page {number} of the PDF is damaged", page=number) from error


def _draw(page: pdfium.PdfPage, number: int, limits: Limits) -> Image.Image:
    scale = _OCR_DPI / _POINTS_PER_INCH
    points = max(page.get_width() * page.get_height(), 1.0)
    try:
        bitmap = page.render(scale=min(scale, math.sqrt(limits.render_pixels / points)))
    except (pdfium.PdfiumError, ValueError, OSError) as error:
        raise unprocessable("DOCUMENT_CORRUPTED", f"Page {number} cannot be drawn", page=number) from error
    with closing(bitmap):
        picture: Image.Image = bitmap.to_pil().convert("RGB")
    return picture


def _needs_ocr(page: pdfium.PdfPage, text: str) -> bool:
    legible = len(re.sub(r"\s", "", _UNREADABLE.sub("", text)))
    if legible >= max(_SCANT_CHARS, len(_UNREADABLE.findall(text))):
        return False
    drawn = page.get_objects(filter=_DRAWN, max_depth=3)
    # Without text on it a page of lines may still be lettering; with a few letters only a picture may hold more.
    return any(drawn) if not legible else any(thing.type == pdfium_c.FPDF_PAGEOBJ_IMAGE for thing in drawn)


_DRAWN = (pdfium_c.FPDF_PAGEOBJ_IMAGE, pdfium_c.FPDF_PAGEOBJ_PATH, pdfium_c.FPDF_PAGEOBJ_TEXT)


def _text_layer(page: pdfium.PdfPage) -> str:
    try:
        layer = page.get_textpage()
    except pdfium.PdfiumError:
        return ""
    with closing(layer):
        count = layer.count_chars()
        text = layer.get_text_range() if count > 0 else ""
        if len(text) == count:  # one character an index, so that boxes can be asked for
            text = _with_columns(layer, text)
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\x02", "-").replace("\ufffe", "-")
    return text.replace("\x00", "").rstrip()


def _with_columns(layer: pdfium.PdfTextPage, text: str) -> str:
    """Mark where columns part: PDFium writes one space or a line end there, depending on how wide the gap is."""
    parts: list[str] = []
    done = 0
    for match in re.finditer(r"(?<=\S)(?: +|\r\n)(?=\S)", text):
        left, right = layer.get_charbox(match.start() - 1, loose=True), layer.get_charbox(match.end(), loose=True)
        if _are_columns(left, right):
            parts += (text[done : match.start()], _COLUMN_BREAK)
            done = match.end()
    return "".join((*parts, text[done:]))


def _are_columns(left: Box, right: Box) -> bool:
    """Whether two characters, each (left, bottom, right, top), stand on one line with more than a space between."""
    height = max(left[3] - left[1], right[3] - right[1])
    beside = min(left[3], right[3]) - max(left[1], right[1]) > height / 2
    return beside and right[0] - left[2] > _WIDE_GAP * height
