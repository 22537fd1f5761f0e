"""Datapoints on the wire: as they are sent, and what is wrong with those that are not taken."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

import msgspec
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from amends.fetching import MAX_URL_CHARS
from amends.problems import FieldError, Problem, ProblemError, problem, validation_failed
from amends.server.arrays import array_pieces
from amends.server.limits import is_deeper
from amends.server.wire import field_error

MAX_DATAPOINTS: Final = 10_000
MAX_MEDIA_CONTEXTS: Final = 10
MAX_ASSETS: Final = 100
MAX_METADATA_BYTES: Final = 16 << 10
MAX_TEXT: Final = 100_000

_NUL: Final = "\0"
_PIECE_BYTES: Final = 64 << 10
_raw_array = msgspec.json.Decoder(list[msgspec.Raw])
_SHA256: Final = r"^[0-9a-f]{64}$"

Words = Annotated[str, StringConstraints(min_length=1, max_length=MAX_TEXT, pattern=r"\S")]
Name = Annotated[str, Field(min_length=1, max_length=1_024)]


class AssetBody(BaseModel):
    """One thing of a datapoint: exactly one of text, url, file_id, sha256 and part.

    sha256: of content that comes as the form's part of that name, or that a dataset or file of the workspace has. part: any other part.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    text: Words | None = None
    url: Annotated[str, Field(min_length=1, max_length=MAX_URL_CHARS)] | None = None
    file_id: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    sha256: Annotated[str, Field(pattern=_SHA256)] | None = None
    part: Name | None = None
    filename: Name | None = Field(default=None, description="Of a sha256.")

    @model_validator(mode="after")
    def _is_one(self) -> AssetBody:
        if len(self.model_fields_set - {"filename"}) != 1 or self.is_nothing:
            raise _fault("one_asset", "An asset is exactly one of text, url, file_id, sha256 and part")
        if self.filename is not None and self.sha256 is None:
            raise _fault(
                "filename_of_sha256", "filename belongs to a sha256; a file and a part have names of their own"
            )
        return self

    @property
    def is_nothing(self) -> bool:
        return self.text is self.url is self.file_id is self.sha256 is self.part is None


class DatapointBody(BaseModel):
    """One datapoint as it is sent."""

    model_config = ConfigDict(extra="forbid", strict=True)

    assets: list[AssetBody] = Field(min_length=1, max_length=MAX_ASSETS)
    data_type: Literal["media", "text"] = "media"
    context: Words | None = Field(default=None, description="A text that is shown beside it; not with sentence.")
    media_context: list[AssetBody] = Field(default_factory=list, max_length=MAX_MEDIA_CONTEXTS)
    sentence: Words | None = Field(default=None, description="A sentence whose words are what it is about.")
    private_metadata: dict[str, Any] | None = Field(default=None, description="Never shown to people who label.")
    group: Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=r"\S")] | None = None
    answer_options: list[Annotated[str, StringConstraints(min_length=1, max_length=1_024)]] | None = Field(
        default=None, min_length=1, max_length=100
    )

    @model_validator(mode="after")
    def _fits(self) -> DatapointBody:
        if self.context is not None and self.sentence is not None:
            raise _fault("sentence_and_context", "sentence and context are not given both")
        is_text = self.data_type == "text"
        for asset in self.assets:
            if (asset.text is not None) != is_text:
                what = "texts" if is_text else "files and URLs"
                raise _fault(
                    "asset_of_other_type", f"The assets of a datapoint of data_type '{self.data_type}' are {what}"
                )
        if any(asset.text is not None for asset in self.media_context):
            raise _fault("text_as_media_context", "A media context is a file or URL; a text is given as context")
        if self.private_metadata is not None and len(json.dumps(self.private_metadata)) > MAX_METADATA_BYTES:
            raise _fault("metadata_too_long", f"private_metadata has at most {MAX_METADATA_BYTES} bytes as JSON")
        return self

    @property
    def everything(self) -> Iterator[tuple[str, AssetBody]]:
        """Every asset and media context with its pointer within the datapoint."""
        for name, assets in (("assets", self.assets), ("media_context", self.media_context)):
            yield from ((f"/{name}/{index}", asset) for index, asset in enumerate(assets))


def _fault(code: str, message: str) -> PydanticCustomError:
    return PydanticCustomError("value_error", message, {"code": code})


@dataclass(frozen=True, slots=True)
class Sent:
    """What was sent at one place of a call: a datapoint, or what is wrong with it."""

    index: int
    body: DatapointBody | None
    problem: Problem | None = None


def read_datapoints(data: bytes, nesting: int, *, is_ndjson: bool) -> list[Sent]:
    """The datapoints of a JSON array, or of NDJSON, one a line. Raises ProblemError for what is neither, or holds too many."""
    return [_read(index, line, nesting) for index, line in enumerate(_lines(data) if is_ndjson else _elements(data))]


def _lines(data: bytes) -> Sequence[bytes]:
    """Counted before they are taken apart: a body may be nothing but millions of line ends."""
    text = data.removesuffix(b"\n")
    _check_count(text.count(b"\n") + 1 if data.strip() else 0)
    return text.split(b"\n")


def _elements(data: bytes) -> Sequence[bytes]:
    """Some at a time, and no more kept than are taken, for the same reason."""
    found: list[bytes] = []
    count = 0
    try:
        whole = msgspec.json.decode(data.strip(), type=msgspec.Raw)
        if bytes(memoryview(whole)[:1]) != b"[":
            raise ProblemError(
                validation_failed([FieldError.at(("body",), "Input should be a valid list", "list_type")])
            )
        for _, piece in array_pieces(whole, _PIECE_BYTES):
            elements = _raw_array.decode(piece)
            count += len(elements)
            found += map(bytes, elements[: MAX_DATAPOINTS - len(found)])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProblemError(problem("malformed_request", f"The body is not JSON: {error}")) from error
    _check_count(count)
    return found


def _check_count(count: int) -> None:
    if not 1 <= count <= MAX_DATAPOINTS:
        kind = "too_short" if count < 1 else "too_long"
        message = f"A call adds 1 to {MAX_DATAPOINTS} datapoints, and this one has {count}"
        raise ProblemError(validation_failed([FieldError.at(("body",), message, kind, code="datapoints")]))


def _read(index: int, line: bytes, nesting: int) -> Sent:
    place = ("body", index)
    try:
        line.decode()
        if line.count(b"[") + line.count(b"{") > nesting and is_deeper(line, nesting):
            raise ValueError(f"The datapoint is nested more than {nesting} levels deep")
        value = msgspec.json.decode(line)
        if b"\\u0000" in line and _has_nul(value):
            raise ValueError("A datapoint holds no NUL characters")
        return Sent(index, DatapointBody.model_validate(value))
    except ValidationError as error:
        faults = [field_error(fault, place) for fault in error.errors(include_url=False, include_input=False)]
    except (ValueError, RecursionError) as error:
        why = "The datapoint is not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
        faults = [FieldError.at(place, why, "json_invalid")]
    return Sent(index, None, validation_failed(faults))


def _has_nul(value: Any) -> bool:
    if isinstance(value, str):
        return _NUL in value
    if isinstance(value, Mapping):
        return any(_has_nul(key) or _has_nul(member) for key, member in value.items())
    return isinstance(value, list) and any(map(_has_nul, value))
