"""``local/smollm2``: a small language model, SmolLM2-135M-Instruct in four bits, on llama.cpp.

llama.cpp's binding is a server: it listens, and whoever reaches it may use it. Here nobody does: it listens on a socket in a
directory of its own that is deleted before the first question, and asks for a key that nobody is told.
"""

from __future__ import annotations

import secrets
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import xllamacpp

from amends.models._weights import verified_path

__all__ = ["CONTEXT_TOKENS", "MAX_TOKENS", "ChatModel", "Completion", "PromptTooLong", "Question"]

CONTEXT_TOKENS: Final = 4_096
"""Prompt and answer together. The model was trained on 8,192; the rest of them would cost another 100 MB."""
MAX_TOKENS: Final = 512
"""Of an answer whose length nobody bounds: the model seldom has more to say, and then says it again and again."""

_SILENT: Final = -1
_COMPACT: Final = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
"""Between the parts of JSON this model would write blank lines until its tokens are used up."""
_OPEN: Final = frozenset(
    {"$ref", "additionalProperties", "allOf", "anyOf", "dependentSchemas", "if", "minProperties", "not", "oneOf",
     "patternProperties", "propertyNames", "unevaluatedProperties"}
)  # fmt: skip
"""Members of a schema that may speak of properties that ``properties`` does not name."""


@dataclass(frozen=True, slots=True)
class Question:
    """A conversation to go on with. messages: ``role`` and ``content`` of each, text only.

    max_tokens: None takes ``MAX_TOKENS``. schema: JSON Schema that the answer keeps to in form, as far as llama.cpp understands
    it (check the answer); ``{}`` is any JSON object.
    seconds: after so long the answer is cut short; None waits.
    """

    messages: Sequence[Mapping[str, str]]
    max_tokens: int | None = None
    temperature: float = 0.0
    top_p: float | None = None
    seed: int | None = None
    stop: Sequence[str] = ()
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    schema: Mapping[str, Any] | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Completion:
    """finish_reason: ``length`` where the answer was cut short, by tokens or by time."""

    text: str
    finish_reason: Literal["stop", "length"]
    prompt_tokens: int
    completion_tokens: int


class PromptTooLong(ValueError):
    """The conversation has more tokens than the model reads. tokens: how many, limit: at most."""

    def __init__(self, tokens: int, limit: int) -> None:
        super().__init__(f"The conversation has {tokens:,} tokens, and the model reads {limit:,} with its answer")
        self.tokens = tokens
        self.limit = limit


class ChatModel:
    """The loaded model. Loading takes half a second and 240 MB; do it once a process. One question at a time.

    threads: how many threads an answer may use. Raises WeightsUnusable where the weights are missing or altered.
    """

    def __init__(self, *, threads: int = 1) -> None:
        with tempfile.TemporaryDirectory(prefix="amends-") as folder:
            self._server: Any = xllamacpp.Server(_parameters(threads, Path(folder, "unused.sock")))

    def answer(self, question: Question, *, on_text: Callable[[str], object] | None = None) -> Completion:
        """Return what the model says. on_text: told each piece as it comes. Raises PromptTooLong."""
        listener = _Listener(question.seconds, on_text)
        refusal = self._server.handle_chat_completions(_request(question), listener.hear)
        error = listener.error or (refusal or {}).get("error")
        if error is not None:
            if error.get("type") == "exceed_context_size_error":
                raise PromptTooLong(error.get("n_prompt_tokens", CONTEXT_TOKENS), CONTEXT_TOKENS)
            raise RuntimeError(f"llama.cpp refused: {error.get('message')}")
        return listener.completion()


class _Listener:
    """Puts the pieces of an answer together, and cuts it short when its time is over."""

    def __init__(self, seconds: float | None, on_text: Callable[[str], object] | None) -> None:
        self._until = None if seconds is None else time.monotonic() + seconds
        self._on_text = on_text
        self._pieces: list[str] = []
        self._reason: Literal["stop", "length"] = "length"
        self._usage: Mapping[str, int] = {}
        self._heard = 0
        self.error: Mapping[str, Any] | None = None

    def hear(self, chunk: Any) -> bool:
        """Take the next piece; True ends the answer."""
        if "error" in chunk:
            self.error = chunk["error"]
            return True
        for choice in chunk.get("choices", ()):
            if piece := choice.get("delta", {}).get("content"):
                self._pieces.append(piece)
                self._heard += 1
                if self._on_text is not None:
                    self._on_text(piece)
            if choice.get("finish_reason") == "stop":
                self._reason = "stop"
        self._usage = chunk.get("usage") or self._usage
        return self._until is not None and time.monotonic() >= self._until

    def completion(self) -> Completion:
        usage = self._usage
        return Completion(
            "".join(self._pieces),
            self._reason,
            usage.get("prompt_tokens", 0),
            usage.get("completion_tokens", self._heard),
        )


def _parameters(threads: int, socket: Path) -> Any:
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(verified_path("smollm2"))
    parameters.n_ctx = CONTEXT_TOKENS
    parameters.n_parallel = 1
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = threads
    parameters.verbosity = _SILENT  # what it has to say would hold the conversation
    # The template that the file brings tells the model that it is SmolLM first, after which this small one answers worse.
    parameters.use_jinja = False
    parameters.warmup = False
    parameters.cache_ram_mib = 0
    parameters.offline = True
    parameters.hostnames = [str(socket)]
    parameters.api_keys = [secrets.token_hex()]
    parameters.cors_origins = ""
    parameters.n_threads_http = 1
    parameters.ui = False
    parameters.endpoint_slots = False
    return parameters


def _request(question: Question) -> dict[str, Any]:
    """Only what is named here reaches llama.cpp, whose requests can do more than answer."""
    request: dict[str, Any] = {
        "messages": [{"role": message["role"], "content": message["content"]} for message in question.messages],
        "max_tokens": MAX_TOKENS if question.max_tokens is None else question.max_tokens,
        "temperature": question.temperature,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    named = ("top_p", "seed", "frequency_penalty", "presence_penalty")
    request |= {name: value for name in named if (value := getattr(question, name)) is not None}
    if question.stop:
        request["stop"] = list(question.stop)
    if question.schema is not None:
        schema = {**_closed(question.schema or {"type": "object"}), "x-guidance": _COMPACT}
        request["response_format"] = {"type": "json_schema", "json_schema": {"name": "output", "schema": schema}}
    return request


def _closed(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema without properties that it does not name: allowed ones, which the model would invent."""
    if "properties" in schema and not _OPEN & schema.keys():
        return {**schema, "additionalProperties": False}
    return schema
