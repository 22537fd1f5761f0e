"""What is to be labelled, as the caller says it, and what of it goes on the wire."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

MAX_MEDIA_CONTEXTS: Final = 10

_FILE_ID: Final = re.compile(r"file_[0-9a-hjkmnp-tv-z]{26}")
_URL: Final = re.compile(r"https?://", re.IGNORECASE)

Kind = Literal["text", "url", "file_id", "path"]


@dataclass(slots=True)
class Datapoint:
    """One thing that people are asked about.

    asset: a local path, a URL or a file's id; a text under ``data_type="text"``; several of them are shown together.
    context: a text shown beside it. media_context: pictures and the like shown beside it, ten at most. sentence: one whose
    words are what it is about; not together with context. private_metadata: comes back with results, and is shown to nobody
    who labels. group: keeps datapoints together. answer_options: for this one alone.

    Raises ValueError for what cannot be one.
    """

    asset: str | list[str]
    data_type: Literal["media", "text"] = "media"
    context: str | None = None
    media_context: str | list[str] | None = None
    sentence: str | None = None
    private_metadata: Mapping[str, Any] | None = None
    group: str | None = None
    answer_options: Sequence[str] | None = None

    def __post_init__(self) -> None:
        if self.data_type not in ("media", "text"):
            raise ValueError(f"data_type is 'media' or 'text', not {self.data_type!r}")
        if not self.assets or not all(asset.strip() for asset in self.assets):
            raise ValueError("asset is a path, a URL, a file's id or a text, or a list of them; none is empty")
        for name in ("context", "sentence", "group"):
            text = getattr(self, name)
            if text is not None and not text.strip():
                raise ValueError(f"{name} is not empty; leave it out where there is none")
        if self.context is not None and self.sentence is not None:
            raise ValueError("context and sentence are not given both")
        if len(self.media_contexts) > MAX_MEDIA_CONTEXTS:
            raise ValueError(
                f"a datapoint has at most {MAX_MEDIA_CONTEXTS} media contexts, not {len(self.media_contexts)}"
            )

    @property
    def assets(self) -> list[str]:
        """Its assets as a list."""
        return _listed("asset", self.asset)

    @property
    def media_contexts(self) -> list[str]:
        """Its media contexts as a list."""
        return [] if self.media_context is None else _listed("media_context", self.media_context)


def _listed(name: str, given: str | list[str]) -> list[str]:
    if isinstance(given, str):
        return [given]
    if not isinstance(given, Sequence) or not all(isinstance(one, str) for one in given):
        raise TypeError(f"{name} is a string or a list of strings, not {given!r}")
    return list(given)


def kind_of(asset: str, data_type: str = "media") -> Kind:
    """What an asset is taken for."""
    if data_type == "text":
        return "text"
    if _URL.match(asset):
        return "url"
    return "file_id" if _FILE_ID.fullmatch(asset) else "path"


def line_of(datapoint: Datapoint, contents: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    """The datapoint as the server takes it. contents: what stands for each local path in it."""

    def said(asset: str, data_type: str) -> Mapping[str, str]:
        kind = kind_of(asset, data_type)
        return contents[asset] if kind == "path" else {kind: asset}

    members: dict[str, Any] = {
        "assets": [said(asset, datapoint.data_type) for asset in datapoint.assets],
        "data_type": datapoint.data_type,
        "context": datapoint.context,
        "media_context": [said(asset, "media") for asset in datapoint.media_contexts] or None,
        "sentence": datapoint.sentence,
        "private_metadata": datapoint.private_metadata,
        "group": datapoint.group,
        "answer_options": None if datapoint.answer_options is None else list(datapoint.answer_options),
    }
    return {name: value for name, value in members.items() if value is not None}


def paths_of(datapoint: Datapoint) -> list[str]:
    """The local paths among what it shows."""
    shown = [] if datapoint.data_type == "text" else list(datapoint.assets)
    return [asset for asset in (*shown, *datapoint.media_contexts) if kind_of(asset) == "path"]
