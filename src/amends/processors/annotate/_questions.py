"""A task as it is asked of a model that predicts: what it is shown, what it is told, and the form of what it is to say."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from string import ascii_uppercase
from typing import Any, Final, NamedTuple

import msgspec

from amends.blobs import LocalBlobs
from amends.problems import ProblemError, problem

__all__ = ["Question", "question_of"]

_MOST_PICTURE_BYTES: Final = 20 << 20
_NAMES: Final = ascii_uppercase
_FORMS: Final = {
    "free_text": "Answer with a short text.",
    "locate": "Answer with the points asked for: x is the part of the picture's width from the left, y of its height from the top.",
}
_TAKES_A_FILE_ALONE: Final = ("local/image-labels", "local/ocr", "local/classify")

_encode = msgspec.json.Encoder().encode


class Question(NamedTuple):
    """payload: the item as it is predicted. options: what there is to choose among, as the model is to say it."""

    payload: bytes
    prompt: str | None
    schema: Mapping[str, Any] | None
    options: tuple[str, ...]


def question_of(params: Mapping[str, Any], task: Mapping[str, Any], blobs: LocalBlobs | None) -> Question:
    """The task as the model of these parameters is asked. blobs: where pictures are, None for a model that sees none.

    ProblemError for what it cannot be shown.
    """
    model, kind, assets = str(params["model"]), str(params["kind"]), task["assets"]
    options = (
        tuple(task["options"])
        if kind == "classification"
        else tuple(_NAMES[: len(assets)] if kind == "compare" else ())
    )
    if kind == "compare" and len(assets) > len(_NAMES):
        raise ProblemError(problem("prediction_failed", f"A model is shown at most {len(_NAMES)} assets to compare"))
    if model in _TAKES_A_FILE_ALONE:
        schema = _schema(kind, options) if model == "local/classify" else None
        return Question(_encode(_alone(assets, model)), params.get("prompt"), schema, options)
    if model == "local/smollm2" and kind == "free_text":
        schema = None
    else:
        schema = _schema(kind, options)
    prompt = "\n\n".join(_told(params, task, kind))
    return Question(_encode(_shown(assets, task["media_context"], blobs, kind)), prompt, schema, options)


def _alone(assets: Sequence[Mapping[str, Any]], model: str) -> Mapping[str, Any]:
    if len(assets) > 1:
        raise ProblemError(problem("prediction_failed", f"{model} looks at one asset, and the task has {len(assets)}"))
    return _member(assets[0])


def _member(asset: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"input": asset["text"]} if "text" in asset else {"file": asset["file"]}


def _told(params: Mapping[str, Any], task: Mapping[str, Any], kind: str) -> Iterator[str]:
    if params.get("prompt"):
        yield params["prompt"]
    yield params["instruction"]
    if task.get("context"):
        yield f"Context: {task['context']}"
    if task.get("sentence"):
        yield f"Sentence: {task['sentence']}"
    if kind in _FORMS:
        yield _FORMS[kind]


def _shown(
    assets: Sequence[Mapping[str, Any]], media_context: Sequence[Mapping[str, Any]], blobs: LocalBlobs | None, kind: str
) -> Mapping[str, Any]:
    """One text or file as it is; several, or pictures with others beside them, as a conversation of one message."""
    if len(assets) == 1 and not media_context:
        return _member(assets[0])
    if all("text" in asset for asset in assets) and not media_context:
        return {"input": "\n\n".join(_named(assets))}
    if blobs is None:
        raise ProblemError(
            problem("prediction_failed", "The model sees one picture at most, and the task shows several")
        )
    parts: list[dict[str, Any]] = []
    for place, asset in enumerate((*assets, *media_context)):
        name = f"{_NAMES[place]}:" if place < len(assets) else "To compare with:"
        parts.append({"type": "text", "text": f"{name} {asset['text']}" if "text" in asset else name})
        if "file" in asset:
            parts.append({"type": "image_url", "image_url": {"url": _data_url(asset["file"], blobs)}})
    return {"input": {"messages": [{"role": "user", "content": parts}]}}


def _named(assets: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for place, asset in enumerate(assets):
        yield f"{_NAMES[place]}: {asset['text']}"


def _data_url(file: Mapping[str, Any], blobs: LocalBlobs) -> str:
    if not file["media_type"].startswith("image/") or (file.get("bytes") or 0) > _MOST_PICTURE_BYTES:
        detail = f"'{file['id']}' is no picture that can be sent to the model"
        raise ProblemError(problem("unsupported_file_format", detail, media_type=file["media_type"]))
    content = blobs.get(file["sha256"])
    return f"data:{file['media_type']};base64,{base64.b64encode(content).decode()}"


def _schema(kind: str, options: Sequence[str]) -> Mapping[str, Any]:
    """The form of the output: an object with one property, ``answer``."""
    part = {"type": "number", "minimum": 0, "maximum": 1}
    point = {
        "type": "object",
        "properties": {"x": part, "y": part},
        "required": ["x", "y"],
        "additionalProperties": False,
    }
    forms: Mapping[str, Mapping[str, Any]] = {
        "free_text": {"type": "string", "minLength": 1},
        "locate": {"type": "array", "items": point, "minItems": 1, "maxItems": 100},
    }
    answer = forms.get(kind) or {"type": "string", "enum": list(options)}
    return {"type": "object", "properties": {"answer": answer}, "required": ["answer"], "additionalProperties": False}
