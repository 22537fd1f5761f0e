"""Reads what is text already: plain text and Markdown, HTML as seen, CSV as a table."""

from __future__ import annotations

import codecs
import csv
import re
from pathlib import Path

from selectolax.lexbor import LexborHTMLParser, LexborNode

from ._shape import Limits, unprocessable

__all__ = ["decode", "read_csv", "read_html", "read_text"]

_BOMS = (  # the longer first: UTF-32 little-endian begins as UTF-16 does
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_CONTROL = re.compile(rb"[\x01-\x06\x0e-\x1a\x1c-\x1f\x7f]")
_CONTROL_SHARE = 0.02
_META_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([\w.:-]{1,40})", re.IGNORECASE)


def read_text(path: Path, limits: Limits) -> str:
    """Return the file's text. Raises ProblemError: TEXT_UNREADABLE, DOCUMENT_TOO_LARGE."""
    return decode(_load(path, limits))


def decode(data: bytes, declared: str | None = None) -> str:
    """Return bytes as text with ``\\n`` at line ends.

    In this order: a byte order mark, ``declared`` (a charset's name, ignored where unknown or wrong), UTF-8,
    Windows-1252, Latin-1. Raises ProblemError TEXT_UNREADABLE for what is not text at all.
    """
    for bom, charset in _BOMS:
        if data.startswith(bom):
            return _tidy(_strictly(data[len(bom) :], charset))
    if b"\x00" in data or len(_CONTROL.findall(data)) > _CONTROL_SHARE * len(data):
        raise _unreadable()
    for candidate in (declared or "utf-8", "utf-8", "cp1252"):
        try:
            return _tidy(data.decode(candidate))
        except (LookupError, ValueError):  # no such charset, or not that one
            continue
    return _tidy(data.decode("latin-1"))


def _strictly(data: bytes, charset: str) -> str:
    try:
        text = data.decode(charset)
    except UnicodeDecodeError as error:
        raise _unreadable() from error
    if "\x00" in text:
        raise _unreadable()
    return text


def _tidy(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _unreadable() -> Exception:
    return unprocessable("TEXT_UNREADABLE", "The file is not text in an encoding that can be told")


def _load(path: Path, limits: Limits) -> bytes:
    with path.open("rb") as file:
        data = file.read(limits.text_bytes + 1)
    if len(data) > limits.text_bytes:
        detail = f"The text is longer than {limits.text_bytes} bytes"
        raise unprocessable("DOCUMENT_TOO_LARGE", detail, limit=limits.text_bytes, unit="bytes")
    return data


# HTML ----------------------------------------------------------------------------------------------------------------

_UNSEEN = {"head", "script", "style", "template", "noscript", "svg", "iframe", "object", "select", "-comment"}
_CELLS = {"td", "th"}
_ROWS = {"br", "dd", "dt", "li", "tr"}
_BLOCKS = {
    "address", "article", "aside", "blockquote", "body", "caption", "details", "div", "dl", "fieldset", "figcaption",
    "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "main", "nav", "ol", "p", "pre",
    "section", "summary", "table", "ul",
}  # fmt: skip
_BREAK = "\n"
_CELL_BREAK = "\t"


def read_html(path: Path, limits: Limits) -> str:
    """Return the text that a browser would show: a line a block, a tab between the cells of a table's row.

    Raises ProblemError: TEXT_UNREADABLE, DOCUMENT_TOO_LARGE.
    """
    data = _load(path, limits)
    meta = _META_CHARSET.search(data[:4096])
    return html_text(decode(data, meta[1].decode("ascii", "replace") if meta else None))


def html_text(html: str) -> str:
    """Return the visible text of HTML source. Never raises: HTML has no errors, only odd trees."""
    root = LexborHTMLParser(html).root
    pieces: list[str] = []
    # A stack and not recursion: nesting is the document's choice. A string on it is text to be put out on leaving.
    stack: list[LexborNode | str] = [root] if root is not None else []
    while stack:
        top = stack.pop()
        if isinstance(top, str):
            pieces.append(top)
            continue
        tag = top.tag or ""
        if tag == "-text":
            pieces.append(re.sub(r"\s+", " ", top.text_content or ""))
        elif tag not in _UNSEEN:
            before, after = _marks(tag)
            pieces.append(before)
            stack.append(after)
            stack.extend(reversed(list(top.iter(include_text=True))))
    return _settle("".join(pieces))


def _marks(tag: str) -> tuple[str, str]:
    if tag in _CELLS:
        return "", _CELL_BREAK
    if tag in _ROWS:
        return "", _BREAK
    return (_BREAK, _BREAK) if tag in _BLOCKS else ("", "")


def _settle(text: str) -> str:
    # Each pattern begins where its run begins: tried at every character of a long run, it would take for ever.
    text = re.sub(r"(?<!\n)\n+\t", "\t", text)  # a block inside a cell does not end the row
    text = re.sub(r"(?<=[\n\t]) +|(?<! ) +(?=[\n\t])", "", text)
    text = re.sub(r"(?<!\t)\t+(?=\n|$)", "", text)
    return re.sub(r"\n{3,}", "\n\n", re.sub(r"[ \u00a0]{2,}", " ", text)).strip()


# CSV -----------------------------------------------------------------------------------------------------------------

_DELIMITERS = ",;\t|"


def read_csv(path: Path, limits: Limits) -> str:
    """Return the table as text: a line a row, a tab between cells, line ends inside a cell as spaces.

    Raises ProblemError: TEXT_UNREADABLE, DOCUMENT_TOO_LARGE.
    """
    text = decode(_load(path, limits))
    try:
        rows = csv.reader(text.splitlines(keepends=True), delimiter=_delimiter(text))
        return "\n".join("\t".join(" ".join(cell.split()) for cell in row) for row in rows)
    except csv.Error:  # a cell above csv's own limit: no table, then, but still text
        return text


def _delimiter(text: str) -> str:
    """The one that cuts the first lines into the same number of cells, most of them; the comma on a draw."""
    lines = [line for line in text[:65_536].splitlines()[:20] if line.strip()]

    def worth(delimiter: str) -> tuple[bool, int]:
        counts = [line.count(delimiter) for line in lines]
        return (bool(counts) and min(counts) == max(counts) > 0, min(counts, default=0))

    return max(_DELIMITERS, key=worth)
