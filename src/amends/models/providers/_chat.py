"""Chat completions and embeddings as bodies: what is asked, and what an answer says."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import msgspec

from amends.problems import ProblemError, problem

from ._failures import unreadable
from ._provider import Provider

__all__ = [
    "CHAT",
    "EMBEDDINGS",
    "Answer",
    "Content",
    "Picture",
    "chat_body",
    "embeddings_body",
    "read_chat",
    "read_embedding",
]

CHAT: Final = "chat/completions"
EMBEDDINGS: Final = "embeddings"

_AS_SCHEMA_SAYS: Final = "Answer with a JSON object that is valid against this JSON Schema, and nothing else:\n"


class Picture(NamedTuple):
    media_type: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Content:
    """What an item holds: text, pictures, or a whole conversation (``messages`` as a chat completion takes them)."""

    text: str = ""
    pictures: Sequence[Picture] = ()
    messages: Sequence[Any] | None = None


class Answer(NamedTuple):
    """output: a JSON object. usage: a JSON object, None where the provider counted nothing."""

    output: bytes
    usage: bytes | None = None


def chat_body(
    provider: Provider, model: str, content: Content, *, prompt: str | None, schema: Mapping[str, Any] | None
) -> dict[str, Any]:
    """The body of a chat completion. The prompt stands before the item, so that providers can keep what they made of it."""
    body: dict[str, Any] = {"model": model, "messages": _messages(provider, content, prompt, schema)}
    if provider.max_output_tokens is not None:
        body["max_tokens"] = provider.max_output_tokens
    if schema is not None and provider.has_json_schema:
        body["response_format"] = {"type": "json_schema", "json_schema": {"name": "output", "schema": schema}}
    return body


def embeddings_body(model: str, content: Content) -> dict[str, Any]:
    """The body of one text's embedding."""
    return {"model": model, "input": content.text, "encoding_format": "float"}


def _messages(provider: Provider, content: Content, prompt: str | None, schema: Mapping[str, Any] | None) -> list[Any]:
    told = [] if prompt is None else [prompt]
    if schema is not None and not provider.has_json_schema:
        told.append(_AS_SCHEMA_SAYS + msgspec.json.encode(schema).decode())
    if content.messages is not None:
        return [*({"role": "system", "content": text} for text in told), *content.messages]
    texts = [*told, content.text] if content.text else told
    if not content.pictures:
        return [{"role": "user", "content": "\n\n".join(texts)}]
    parts: list[dict[str, Any]] = [{"type": "text", "text": text} for text in texts]
    parts += [{"type": "image_url", "image_url": {"url": _data_url(picture)}} for picture in content.pictures]
    return [{"role": "user", "content": parts}]


def _data_url(picture: Picture) -> str:
    return f"data:{picture.media_type};base64,{base64.b64encode(picture.data).decode()}"


def read_chat(provider: Provider, body: bytes, *, has_schema: bool) -> Answer:
    """The output of a chat completion, not yet checked against a schema.

    Raises ProblemError: ``upstream_failed`` for a body that is no chat completion, ``prediction_failed`` where the model ran and
    refused, was cut short, or wrote no JSON though a schema was given. Without one the output is ``{"text": …}``.
    """
    whole = _decoded(provider, body)
    usage = _usage(provider, whole)
    try:
        choice = whole["choices"][0]
        message = choice["message"]
        text, refusal, reason = message.get("content"), message.get("refusal"), choice.get("finish_reason")
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise ProblemError(unreadable(provider.name, 200, "a body that is no chat completion")) from error
    if (isinstance(refusal, str) and refusal) or reason == "content_filter":
        said = f": {refusal[:300]}" if isinstance(refusal, str) and refusal else " for its content"
        raise _failed(provider, f"The model refused the item{said}", "Change the item or the prompt, and retry.")
    if reason == "length":
        hint = "Raise the provider's max_output_tokens, or ask for less, and retry."
        raise _failed(provider, "The model's answer was cut short at its largest length", hint)
    if not isinstance(text, str):
        raise _failed(provider, "The model's answer holds no text", "Check that the model answers in text, and retry.")
    if not has_schema:
        return Answer(msgspec.json.encode({"text": text}), usage)
    return Answer(_json_object(provider, text), usage)


def read_embedding(provider: Provider, body: bytes) -> Answer:
    """``{"embedding": [numbers]}``. Raises ProblemError for a body that holds none."""
    whole = _decoded(provider, body)
    try:
        vector = [float(number) for number in whole["data"][0]["embedding"]]
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise ProblemError(unreadable(provider.name, 200, "a body without an embedding")) from error
    return Answer(msgspec.json.encode({"embedding": vector}), _usage(provider, whole))


def _decoded(provider: Provider, body: bytes) -> dict[str, Any]:
    try:
        whole = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProblemError(unreadable(provider.name, 200, "a body that is no JSON")) from error
    if not isinstance(whole, dict):
        raise ProblemError(unreadable(provider.name, 200, "a body that is no JSON object"))
    return whole


def _json_object(provider: Provider, text: str) -> bytes:
    text = _unfenced(text)
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as error:
        raise _failed(
            provider, "The model's answer is no JSON", "Say in the prompt that JSON is wanted, and retry."
        ) from error
    if not isinstance(value, dict):
        raise _failed(provider, "The model's answer is no JSON object", "Say in the prompt that an object is wanted.")
    return msgspec.json.encode(value)


def _unfenced(text: str) -> str:
    """Without the code fence in which models like to wrap JSON where no JSON mode keeps them from it."""
    text = text.strip()
    if text.startswith("```") and text.endswith("```") and "\n" in text:
        return text[text.index("\n") : -3].strip()
    return text


def _usage(provider: Provider, whole: Mapping[str, Any]) -> bytes | None:
    said = whole.get("usage")
    if not isinstance(said, dict):
        return None
    counted = {
        name: said.get(f"{old}_tokens") for name, old in (("input_tokens", "prompt"), ("output_tokens", "completion"))
    }
    tokens = {name: count if isinstance(count, int) and count >= 0 else 0 for name, count in counted.items()}
    cost = provider.price.of(tokens["input_tokens"], tokens["output_tokens"])
    return msgspec.json.encode({**tokens, "cost": round(cost, 9)})


def _failed(provider: Provider, detail: str, hint: str) -> ProblemError:
    return ProblemError(problem("prediction_failed", detail, hint=hint, provider=provider.name))
