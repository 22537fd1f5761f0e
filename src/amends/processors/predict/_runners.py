"""One runner a model: an item's payload in, the output's JSON out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import msgspec

from amends.blobs import BlobNotFound, LocalBlobs
from amends.models import Kind, kind_of
from amends.problems import ProblemError, file_not_found, problem

if TYPE_CHECKING:
    from PIL import Image

    from amends.models._labels import Label
    from amends.models.extract import LoadChat
    from amends.processors.documents import Page, Recognise

__all__ = [
    "Answer",
    "Echo",
    "Extract",
    "File",
    "Labels",
    "Ocr",
    "Opened",
    "Payload",
    "Runner",
    "as_text",
    "decode_payload",
    "is_url",
    "open_file",
    "read_file",
]

_LABEL_SIDE = 256
"""A JPEG is decoded no larger than this on its shorter side: the model sees 224 pixels of it."""


class Answer(NamedTuple):
    """JSON objects. evidence: None where no value was read from a place; usage: None where nothing was counted."""

    output: bytes
    evidence: bytes | None = None
    usage: bytes | None = None


class Runner(Protocol):
    def run(self, payload: bytes) -> Answer:
        """Answer one item. Raises ProblemError for what is wrong with the item."""
        ...


class File(msgspec.Struct):
    id: str
    sha256: str | None = None
    media_type: str = "application/octet-stream"


class Payload(msgspec.Struct):
    """input stays as it came: an echo of it is never decoded."""

    input: msgspec.Raw = msgspec.Raw(b"")
    file: File | None = None
    page: int | None = None
    prompt: str | None = None


decode_payload = msgspec.json.Decoder(Payload).decode
_encode = msgspec.json.encode


def is_url(payload: bytes) -> bool:
    """Whether the item's file is somebody else's to serve: such a payload begins with the URL."""
    return payload.startswith(b'{"url":')


class Opened(NamedTuple):
    path: Path
    kind: Kind


def open_file(blobs: LocalBlobs, file: File, takes: Sequence[Kind] | None = None) -> Opened:
    """Where the file's bytes are and how they are read. Raises ProblemError: not there, or of another kind than it ``takes``."""
    kind = kind_of(file.media_type)
    if kind is None or (takes is not None and kind not in takes):
        detail = f"The model does not process {file.media_type}"
        raise ProblemError(problem("unsupported_file_format", detail, media_type=file.media_type))
    try:
        if file.sha256 is not None and blobs.size(file.sha256) >= 0:
            return Opened(blobs.path(file.sha256), kind)
    except BlobNotFound:
        pass  # deleted since it was accepted
    raise ProblemError(file_not_found(file.id))


def _file_of(payload: Payload, model: str) -> File:
    if payload.file is None:
        raise ProblemError(problem("unsupported_file_format", f"{model} reads files, and the item holds none"))
    return payload.file


class Echo:
    """``local/echo``: bytes in, the same bytes out."""

    def __init__(self, blobs: LocalBlobs) -> None:
        self._blobs = blobs

    def run(self, payload: bytes) -> Answer:
        item = decode_payload(payload)
        if item.file is None:
            raw = bytes(item.input).strip()
            return Answer(raw if raw[:1] == b"{" else b'{"text":%b}' % (raw or b"null"))
        pages = read_file(self._blobs, item.file, item.page, lambda image: "", ("pdf", "text", "html", "csv", "docx"))
        return Answer(_encode({"text": "\n\n".join(page.text for page in pages if page.text)}))


class Ocr:
    """``local/ocr``: the text of each page."""

    def __init__(self, blobs: LocalBlobs, recognise: Recognise) -> None:
        self._blobs, self._recognise = blobs, recognise

    def run(self, payload: bytes) -> Answer:
        item = decode_payload(payload)
        pages = list(read_file(self._blobs, _file_of(item, "local/ocr"), item.page, self._recognise, ("image", "pdf")))
        text = "\n\n".join(page.text for page in pages if page.text)
        return Answer(_encode({"text": text, "pages": [{"page": page.number, "text": page.text} for page in pages]}))


class Labels:
    """``local/image-labels``: the likeliest names of what is in a picture."""

    def __init__(self, blobs: LocalBlobs, predict: Callable[[Image.Image], Sequence[Label]]) -> None:
        self._blobs, self._predict = blobs, predict

    def run(self, payload: bytes) -> Answer:
        from amends.processors.documents import Limits, check_not_empty, load_image

        item = decode_payload(payload)
        opened = open_file(self._blobs, _file_of(item, "local/image-labels"), ("image",))
        check_not_empty(opened.path)
        with load_image(opened.path, page=item.page, side=_LABEL_SIDE, limits=Limits()) as image:
            labels = self._predict(image)
        return Answer(_encode({"labels": [{"name": label.name, "score": label.score} for label in labels]}))


class Extract:
    """``local/extract``: the values a schema asks for, each with its place."""

    def __init__(
        self,
        blobs: LocalBlobs,
        recognise: Recognise,
        schema: Mapping[str, Any],
        prompt: str | None,
        *,
        fill_gaps: bool,
        load_chat: LoadChat | None,
    ) -> None:
        from amends.models.extract import Extractor

        self._blobs, self._recognise, self._prompt = blobs, recognise, prompt
        self._extractor = Extractor(schema, fill_gaps=fill_gaps, load_chat=load_chat)

    def run(self, payload: bytes) -> Answer:
        item = decode_payload(payload)
        if item.file is None:
            pages = [(1, as_text(msgspec.json.decode(item.input)))]
        else:
            pages = [(page.number, page.text) for page in read_file(self._blobs, item.file, item.page, self._recognise)]
        found = self._extractor.extract(pages, prompt=item.prompt or self._prompt)
        return Answer(_encode(found.output), _encode({at: place._asdict() for at, place in found.evidence.items()}))


def read_file(
    blobs: LocalBlobs, file: File, page: int | None, recognise: Recognise, takes: Sequence[Kind] | None = None
) -> Iterator[Page]:
    from amends.processors.documents import read_pages

    opened = open_file(blobs, file, takes)
    return read_pages(opened.path, opened.kind, recognise=recognise, page=page)


def as_text(value: Any) -> str:
    """Text as it is; anything else of JSON as lines ``path words: value``, in which evidence then counts."""
    return value if isinstance(value, str) else "\n".join(_lines(value, ()))


def _lines(value: Any, path: tuple[str, ...]) -> Iterator[str]:
    stack = [(path, value)]
    while stack:  # not recursion: how deep it goes is the caller's choice
        path, value = stack.pop()
        if isinstance(value, dict):
            stack.extend(((*path, str(key)), inner) for key, inner in reversed(value.items()))
        elif isinstance(value, list):
            stack.extend((path, inner) for inner in reversed(value))
        else:
            said = value if isinstance(value, str) else msgspec.json.encode(value).decode()
            yield f"{' '.join(path)}: {said}" if path else said
