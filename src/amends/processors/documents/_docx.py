"""Reads Word documents: headers, body with its tables in place, footers."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docx
from docx.table import Table

from ._shape import Limits, unprocessable

__all__ = ["read_docx"]

_OLE_MAGIC = bytes.fromhex("d0cf11e0a1b11ae1")
"""Word wraps a document with a password into an OLE container."""


def read_docx(path: Path, limits: Limits) -> str:
    """Return the document's text: a line a paragraph, a tab between the cells of a table's row.

    Raises ProblemError: DOCUMENT_ENCRYPTED, DOCUMENT_CORRUPTED, DOCUMENT_TOO_LARGE (of what it would unpack to).
    """
    _check_archive(path, limits)
    try:
        return "\n".join(_lines(docx.Document(str(path)))).strip()
    except MemoryError:
        raise
    except Exception as error:  # python-docx raises KeyError, ValueError and lxml's own for a document that is not one
        raise unprocessable("DOCUMENT_CORRUPTED", "The Word document is damaged") from error


def _check_archive(path: Path, limits: Limits) -> None:
    """zipfile never unpacks more of a member than its header says, so the sum of what they say is a bound."""
    with path.open("rb") as file:
        if file.read(len(_OLE_MAGIC)) == _OLE_MAGIC:
            raise unprocessable("DOCUMENT_ENCRYPTED", "The Word document is protected by a password")
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
    # NotImplementedError is zipfile's word for a compression or a version that it does not know
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, EOFError) as error:
        raise unprocessable("DOCUMENT_CORRUPTED", "The Word document is damaged or ends too soon") from error
    if unpacked > limits.archive_bytes:
        detail = f"The Word document would unpack to {unpacked} bytes"
        raise unprocessable("DOCUMENT_TOO_LARGE", detail, limit=limits.archive_bytes, unit="bytes")


def _lines(document: Any) -> Iterator[str]:
    for section in document.sections:
        if not section.header.is_linked_to_previous:
            yield from _block_lines(section.header)
    yield from _block_lines(document)
    for section in document.sections:
        if not section.footer.is_linked_to_previous:
            yield from _block_lines(section.footer)


def _block_lines(container: Any) -> Iterator[str]:
    for block in container.iter_inner_content():
        if isinstance(block, Table):
            yield from _table_lines(block)
        else:
            yield block.text


def _table_lines(table: Table) -> Iterator[str]:
    for row in table.rows:
        cells = {id(cell._tc): cell for cell in row.cells}  # a merged cell is listed once for each column it covers
        yield "\t".join(" ".join(cell.text.split()) for cell in cells.values())
