"""Requests in the words of OpenAI's API, read for the embedded models: what they can do is taken, all else refused by name.

Pure, and cheap to import: the server reads a request here before it troubles a model with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from amends.problems import FieldError, ProblemError, validation_failed

__all__ = ["Chat", "Embeddings", "conversation", "read_chat", "read_embeddings", "refused"]

MAX_INPUTS: Final = 2_048
"""Texts in one request for embeddings."""
_ROLES: Final = frozenset({"system", "developer", "user", "assistant"})
_IGNORED: Final = frozenset(
    {"metadata", "prediction", "prompt_cache_key", "safety_identifier", "service_tier", "store", "user"}
)
"""Parameters that change nothing in an answer, and so may be left unheard."""
_INERT: Final[Mapping[str, tuple[Any, ...]]] = {
    "n": (1,),
    "logprobs": (False,),
    "modalities": (["text"],),
    "parallel_tool_calls": (True, False),
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "functions": ([],),
    "logit_bias": ({},),
}
"""Parameters that are taken with these values, which ask for nothing."""
_MAX_TOKENS: Final = 1_000_000

Place = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Chat:
    """A chat completion that is asked for. schema: of its ``response_format``; ``{}`` is any JSON object, None any text."""

    messages: Sequence[Mapping[str, str]]
    max_tokens: int | None = None
    temperature: float = 0.0
    top_p: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    schema: Mapping[str, Any] | None = None
    stream: bool = False
    include_usage: bool = False


@dataclass(frozen=True, slots=True)
class Embeddings:
    """Embeddings that are asked for, in the order of ``texts``."""

    texts: Sequence[str]
    encoding: Literal["float", "base64"] = "float"


def refused(place: Place, message: str, code: str = "invalid_value") -> ProblemError:
    """A fault of the request at ``place`` in its body."""
    return ProblemError(validation_failed([FieldError.at(("body", *place), message, code)]))


def conversation(value: Any, place: Place) -> list[dict[str, str]]:
    """Return the messages as ``role`` and ``content``. Raises ProblemError ``validation_failed`` that names the faulty one."""
    if not isinstance(value, list) or not value:
        raise refused(place, "messages must be a list with at least one message", "invalid_type")
    return [_message(message, (*place, number)) for number, message in enumerate(value)]


def read_chat(body: Mapping[str, Any]) -> Chat:
    """Raises ProblemError ``validation_failed`` for what is wrong, or what no embedded model can do."""
    members = _Members(body)
    chat = Chat(
        messages=conversation(members.required("messages"), ("messages",)),
        max_tokens=members.whole("max_completion_tokens", 1, _MAX_TOKENS)
        or members.whole("max_tokens", 1, _MAX_TOKENS),
        temperature=members.number("temperature", 0, 2) or 0.0,
        top_p=members.number("top_p", 0, 1),
        seed=members.whole("seed", 0, 2**32 - 1),
        stop=_stop(members.take("stop")),
        frequency_penalty=members.number("frequency_penalty", -2, 2),
        presence_penalty=members.number("presence_penalty", -2, 2),
        schema=_schema(members.take("response_format")),
        stream=members.truth("stream"),
        include_usage=_includes_usage(members.take("stream_options")),
    )
    members.refuse_rest()
    return chat


def read_embeddings(body: Mapping[str, Any], *, dimensions: int) -> Embeddings:
    """dimensions: of the model. Raises ProblemError ``validation_failed``."""
    members = _Members(body)
    given = members.required("input")
    encoding = members.take("encoding_format")
    if encoding not in (None, "float", "base64"):
        raise refused(("encoding_format",), "encoding_format must be float or base64")
    wanted = members.whole("dimensions", 1, _MAX_TOKENS)
    if wanted not in (None, dimensions):
        raise refused(("dimensions",), f"This model's embeddings have {dimensions} dimensions, and no others")
    members.refuse_rest()
    return Embeddings(_texts(given), "base64" if encoding == "base64" else "float")


def _texts(given: Any) -> list[str]:
    if isinstance(given, str):
        given = [given]
    if not isinstance(given, list) or not given:
        raise refused(("input",), "input must be a text or a list of texts with at least one", "invalid_type")
    if len(given) > MAX_INPUTS:
        raise refused(("input",), f"input has {len(given):,} texts; at most {MAX_INPUTS:,} are taken at once")
    for number, text in enumerate(given):
        if not isinstance(text, str):
            raise refused(("input", number), "An input must be text; lists of tokens are not taken", "invalid_type")
        if not text.strip():
            raise refused(("input", number), "An input must not be empty")
    return given


def _message(message: Any, place: Place) -> dict[str, str]:
    if not isinstance(message, Mapping):
        raise refused(place, "A message must be an object with role and content", "invalid_type")
    role = message.get("role")
    if role not in _ROLES:
        raise refused((*place, "role"), "role must be system, developer, user or assistant")
    if message.get("tool_calls"):
        raise refused((*place, "tool_calls"), "This model calls no tools", "unsupported_parameter")
    return {"role": "system" if role == "developer" else role, "content": _content(message.get("content"), place)}


def _content(content: Any, place: Place) -> str:
    place = (*place, "content")
    if isinstance(content, str):
        return content
    if not isinstance(content, list) or not content:
        raise refused(place, "content must be text or a list of parts", "invalid_type")
    texts = []
    for number, part in enumerate(content):
        if not isinstance(part, Mapping) or part.get("type") != "text":
            raise refused((*place, number), "This model reads parts of type text only", "unsupported_parameter")
        if not isinstance(part.get("text"), str):
            raise refused((*place, number, "text"), "text must be text", "invalid_type")
        texts.append(part["text"])
    return "\n".join(texts)


def _stop(given: Any) -> tuple[str, ...]:
    stops = [] if given is None else [given] if isinstance(given, str) else given
    if not isinstance(stops, list) or len(stops) > 4 or not all(isinstance(stop, str) and stop for stop in stops):
        raise refused(("stop",), "stop must be a text or a list of at most four")
    return tuple(stops)


def _schema(given: Any) -> Mapping[str, Any] | None:
    if given is None:
        return None
    kind = given.get("type") if isinstance(given, Mapping) else None
    if kind == "text":
        return None
    if kind == "json_object":
        return {}
    if kind != "json_schema":
        raise refused(("response_format", "type"), "type must be text, json_object or json_schema")
    stated = given.get("json_schema")
    schema = stated.get("schema") if isinstance(stated, Mapping) else None
    if not isinstance(schema, Mapping):
        raise refused(
            ("response_format", "json_schema", "schema"), "schema must be a JSON Schema", "missing_required_parameter"
        )
    return schema


def _includes_usage(given: Any) -> bool:
    if given is None:
        return False
    if not isinstance(given, Mapping):
        raise refused(("stream_options",), "stream_options must be an object", "invalid_type")
    return given.get("include_usage") is True


class _Members:
    """The members of a body, each to be taken once; null is the same as absent."""

    def __init__(self, body: Mapping[str, Any]) -> None:
        self._rest = {name: value for name, value in body.items() if value is not None and name not in _IGNORED}
        self._rest.pop("model", None)

    def take(self, name: str) -> Any:
        return self._rest.pop(name, None)

    def required(self, name: str) -> Any:
        if name not in self._rest:
            raise refused((name,), f"Missing required parameter: '{name}'", "missing_required_parameter")
        return self._rest.pop(name)

    def number(self, name: str, least: float, most: float) -> float | None:
        value = self.take(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise refused((name,), f"{name} must be a number", "invalid_type")
        if not least <= value <= most:
            raise refused((name,), f"{name} must be from {least:,} to {most:,}")
        return float(value)

    def whole(self, name: str, least: int, most: int) -> int | None:
        value = self.take(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            raise refused((name,), f"{name} must be a whole number", "invalid_type")
        if not least <= value <= most:
            raise refused((name,), f"{name} must be from {least:,} to {most:,}")
        return value

    def truth(self, name: str) -> bool:
        value = self.take(name)
        if value is not None and not isinstance(value, bool):
            raise refused((name,), f"{name} must be true or false", "invalid_type")
        return bool(value)

    def refuse_rest(self) -> None:
        """What is left is nothing that an embedded model can do."""
        for name, value in self._rest.items():
            if value not in _INERT.get(name, ()):
                raise refused((name,), f"This model does not take {name} {value!r:.60}", "unsupported_parameter")
