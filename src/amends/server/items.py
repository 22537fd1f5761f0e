"""Reading the items of a new batch, quickly where they are good and thoroughly where they are not.

Three paths, each taken only where the one before fails: a whole piece of NDJSON at once, each line by itself, and for a bad line
the model of ``wire``, which names every fault. The quick ones decide nothing on their own: what they take, the model would take.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Final

import msgspec
from pydantic import ValidationError

from amends.fetching import MAX_URL_CHARS, BadUrl, read_url
from amends.ledger import NewItem
from amends.problems import MAX_ERRORS, FieldError
from amends.server.limits import is_deeper
from amends.server.wire import MAX_CUSTOM_ID, MAX_PAGE, ItemBody, field_error
from amends.store import FileRef

_ABSENT: Final = msgspec.Raw(b"")
_NO_INPUT: Final = frozenset({b"", b"null"})

MAX_INLINE_BYTES: Final = 64 * 1024
"""A larger payload is kept as a blob and referred to as ``@sha256``."""


class ItemLine(msgspec.Struct, forbid_unknown_fields=True, gc=False, frozen=True):
    """One item as it was sent. input: JSON as it was written, empty or ``null`` where there is none."""

    custom_id: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_CUSTOM_ID)]
    file_id: Annotated[str, msgspec.Meta(min_length=1, max_length=4_096)] | None = None
    input: msgspec.Raw = _ABSENT
    url: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_URL_CHARS)] | None = None
    page: Annotated[int, msgspec.Meta(ge=1, le=MAX_PAGE)] | None = None
    prompt: str | None = None


_line = msgspec.json.Decoder(ItemLine)
_array = msgspec.json.Decoder(list[ItemLine])
_raw_array = msgspec.json.Decoder(list[msgspec.Raw])
_encode = msgspec.json.Encoder().encode
_sha256 = hashlib.sha256


class Faults:
    """The faults of one request: the first thousand, and how many there are.

    Behind these a bad item counts once, however much is wrong with it: looking closer costs more than taking a good one.
    """

    def __init__(self) -> None:
        self.first: list[FieldError] = []
        self.total = 0

    def add(self, faults: Iterable[FieldError]) -> None:
        for fault in faults:
            self.total += 1
            if not self.is_full:
                self.first.append(fault)

    @property
    def is_full(self) -> bool:
        """Whether further faults are only counted."""
        return len(self.first) >= MAX_ERRORS

    def count(self) -> None:
        """Note one more without saying what it is."""
        self.total += 1

    def __bool__(self) -> bool:
        return self.total > 0


def read_lines(data: bytes, start: int, faults: Faults, *, nesting: int) -> list[ItemLine]:
    """The good items of some whole lines of NDJSON; what is wrong with the others goes to ``faults``.

    data: lines joined by newlines, without one at its end. start: the index of the first. nesting: the deepest allowed.
    """
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n")
    items = _read_lines_at_once(data, nesting)
    if items is None:
        items = _read_each(data.split(b"\n"), start, faults, nesting)
    return items


def _read_lines_at_once(data: bytes, nesting: int) -> list[ItemLine] | None:
    # ``decode_lines`` takes any white space between and within values. One object a line it is if each newline stands between
    # a closing and an opening brace, as many objects came out as there are lines, and no newline got into an input.
    newlines = data.count(b"\n")
    if data.count(b"}\n{") != newlines:
        return None
    try:
        data.decode()  # an input that is passed on as it was written is not looked into by the decoder
        items = _line.decode_lines(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    if len(items) != newlines + 1:
        return None
    return items if all(_is_sound(item, nesting) for item in items) else None


def read_array(data: bytes, start: int, faults: Faults, *, nesting: int) -> list[ItemLine]:
    """The same for a JSON array. start: the index of its first element."""
    try:
        data.decode()
        items = _array.decode(data)
        if all(_is_sound(item, nesting, several_lines=True) for item in items):
            return items
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        pass
    each = [bytes(raw) for raw in _raw_array.decode(data)]
    return _read_each(each, start, faults, nesting, several_lines=True)


def _is_sound(item: ItemLine, nesting: int, *, several_lines: bool = False) -> bool:
    """What the decoder does not check: it is on the path of every item, so cheap tests come first."""
    raw = bytes(item.input)
    if not item.custom_id.isprintable():
        return False
    if raw in _NO_INPUT:
        return item.file_id is not None if item.url is None else item.file_id is None and _is_fetchable(item.url)
    if (
        item.file_id is not None
        or item.url is not None
        or item.page is not None
        or (b"\n" in raw and not several_lines)
    ):
        return False
    return raw.count(b"[") + raw.count(b"{") < nesting or not is_deeper(raw, nesting - 1)


def _is_fetchable(url: str) -> bool:
    try:
        read_url(url)
    except BadUrl:
        return False
    return True


def _read_each(
    lines: Sequence[bytes], start: int, faults: Faults, nesting: int, *, several_lines: bool = False
) -> list[ItemLine]:
    items = []
    for index, line in enumerate(lines, start):
        if faults.is_full and not line.lstrip().startswith(b"{"):
            faults.count()
            continue
        try:
            line.decode()
            item = _line.decode(line)
            if _is_sound(item, nesting, several_lines=several_lines):
                items.append(item)
                continue
            why = f"The item is nested more than {nesting} levels deep"
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            why = _sentence(error, line)
        if faults.is_full:
            faults.count()
        else:
            faults.add(_faults_of(line, index, why))
    return items


def _sentence(error: Exception, line: bytes) -> str:
    if not line.strip():
        return "A blank line is no item"
    if isinstance(error, UnicodeDecodeError):
        return "The item is not UTF-8"
    return "The item is nested too deep" if isinstance(error, RecursionError) else f"The item is unreadable: {error}"


def _faults_of(line: bytes, index: int, why: str) -> list[FieldError]:
    """Every fault of a bad item; ``why`` where the model finds none (not even JSON)."""
    place = ("body", "items", index)
    custom_id = None
    try:
        value = msgspec.json.decode(line)
        if isinstance(value, dict) and isinstance(value.get("custom_id"), str):
            custom_id = value["custom_id"]
        ItemBody.model_validate(value)
    except ValidationError as error:
        return [field_error(fault, place, custom_id) for fault in error.errors(include_url=False, include_input=False)]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        pass
    return [FieldError.at(place, why, "json_invalid", custom_id=custom_id)]


def rows_of(items: Sequence[ItemLine], files: Mapping[str, FileRef]) -> list[NewItem]:
    """The rows of some items. files: the stored ones of those that the items name."""
    rows = []
    for item in items:
        raw = bytes(item.input)
        if item.url is not None:
            payload = url_payload(item.url, item.page, item.prompt)
        elif item.file_id is not None:
            payload = file_payload(item.file_id, files.get(item.file_id), item.page, item.prompt)
        elif b"\n" in raw or b"\t" in raw or b"\r" in raw:  # pretty-printed; payloads stand in lines with tabs
            payload = input_payload(bytes(msgspec.json.format(raw, indent=-1)), item.prompt)
        elif item.prompt is None:
            payload = b'{"input":%b}' % raw
        else:
            payload = input_payload(raw, item.prompt)
        rows.append(NewItem(item.custom_id, payload, _sha256(payload).digest()))
    return rows


def file_payload(file_id: str, file: FileRef | None, page: int | None, prompt: str | None) -> bytes:
    """The payload of an item made from a file. file: None where there is no such file."""
    if file is None:
        reference: dict[str, Any] = {"id": file_id, "sha256": None}
    else:
        reference = {
            "id": file_id,
            "sha256": file.sha256,
            "media_type": file.media_type,
            "pages": file.pages,
            "filename": file.filename,
            "bytes": file.bytes,
        }
    return _encode({"file": reference, "page": page} | ({} if prompt is None else {"prompt": prompt}))


def url_payload(url: str, page: int | None, prompt: str | None) -> bytes:
    """The payload of an item whose file a worker fetches."""
    return _encode({"url": url, "page": page} | ({} if prompt is None else {"prompt": prompt}))


def input_payload(raw: bytes, prompt: str | None) -> bytes:
    """The payload of an item made from text or JSON, which is put in as it was written."""
    if prompt is None:
        return b'{"input":%b}' % raw
    return b'{"input":%b,"prompt":%b}' % (raw, _encode(prompt))


def sent_digest(items: Sequence[ItemLine], rows: Sequence[NewItem]) -> bytes:
    """What the digest of a streamed body is fed with: the items as they were sent, whatever has become of their files since."""
    return b"".join(
        _encode((row.custom_id, item.file_id, item.page, item.prompt) if item.file_id is not None else row.custom_id)
        + (b"" if item.file_id is not None else row.input_hash)
        for item, row in zip(items, rows, strict=True)
    )


def file_ids(items: Sequence[ItemLine]) -> set[str]:
    """The files that the items name."""
    return {item.file_id for item in items if item.file_id is not None}


def slices(items: Sequence[NewItem], max_items: int, max_bytes: int) -> Iterator[list[NewItem]]:
    """The items in order, cut where either bound would be passed; each slice holds at least one."""
    current: list[NewItem] = []
    size = 0
    for item in items:
        if current and (len(current) >= max_items or size + len(item.payload) > max_bytes):
            yield current
            current, size = [], 0
        current.append(item)
        size += len(item.payload)
    if current:
        yield current
