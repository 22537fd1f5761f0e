"""What of an item is sent to a provider: its text, its pictures, or the conversation it holds."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

import msgspec
from PIL import Image

from amends.blobs import LocalBlobs
from amends.models.providers import Content, Picture
from amends.problems import ProblemError, problem
from amends.processors.documents import Recognise, draw_pages, read_pages, unprocessable

from ._runners import Opened, Payload, decode_payload, open_file

__all__ = ["Asked", "read_asked"]

MAX_PICTURES: Final = 50
MAX_TEXT_CHARS: Final = 8 << 20
_LONGEST_SIDE: Final = 2_048
"""Providers make larger pictures smaller themselves, and a request has to be paid for by the byte before."""

_QUALITY: Final = 90


class Asked(NamedTuple):
    """prompt: the item's own, None where it has none."""

    content: Content
    prompt: str | None


def read_asked(blobs: LocalBlobs, payload: bytes, recognise: Recognise, *, as_pictures: bool) -> Asked:
    """Read an item for a provider. as_pictures: pages of PDFs and images go as pictures, otherwise their text does.

    Raises ProblemError for what is wrong with the item.
    """
    item = decode_payload(payload)
    content = (
        _input(item) if item.file is None else _file(open_file(blobs, item.file), item.page, recognise, as_pictures)
    )
    return Asked(content, item.prompt)


def _input(item: Payload) -> Content:
    value = msgspec.json.decode(item.input)
    if isinstance(value, str):
        return _text([value])
    if isinstance(value, Mapping) and isinstance(value.get("messages"), list) and value["messages"]:
        return Content(messages=value["messages"])
    return _text([bytes(item.input).decode()])


def _file(opened: Opened, page: int | None, recognise: Recognise, as_pictures: bool) -> Content:
    if as_pictures and opened.kind in ("pdf", "image"):
        return _drawn(draw_pages(opened.path, opened.kind, page=page))
    return _text(
        page.text for page in read_pages(opened.path, opened.kind, recognise=recognise, page=page) if page.text
    )


def _text(pages: Iterable[str]) -> Content:
    text = "\n\n".join(pages)
    if len(text) > MAX_TEXT_CHARS:
        detail = f"The item holds {len(text)} characters; at most {MAX_TEXT_CHARS} are sent to a provider"
        raise ProblemError(problem("payload_too_large", detail, limit=MAX_TEXT_CHARS, unit="characters"))
    return Content(text)


def _drawn(images: Iterable[Image.Image]) -> Content:
    pictures: list[Picture] = []
    for image in images:
        if len(pictures) == MAX_PICTURES:
            detail = f"The document has more than {MAX_PICTURES} pages to be sent as pictures; ask for single ones"
            raise unprocessable("DOCUMENT_TOO_LARGE", detail, limit=MAX_PICTURES, unit="pages")
        pictures.append(_encoded(image))
    return Content(pictures=pictures)


def _encoded(image: Image.Image) -> Picture:
    image.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE))
    with io.BytesIO() as file:
        image.save(file, "JPEG", quality=_QUALITY)
        return Picture("image/jpeg", file.getvalue())
