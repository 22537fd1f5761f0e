"""Runners of models that read a text: embeddings, labels, and conversation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from amends.blobs import LocalBlobs
from amends.problems import ProblemError, problem

from ._runners import Answer, Payload, as_text, decode_payload, read_file

if TYPE_CHECKING:
    from amends.models._classify import Classifier
    from amends.models._minilm import TextEmbedder
    from amends.models._smollm2 import ChatModel
    from amends.processors.documents import Recognise

__all__ = ["Chat", "Classify", "Embed", "Text", "TextReader", "Texts"]

_EMBEDDING_DIGITS = 7
"""Behind the point: what a float of 32 bits holds of numbers below 1."""

_CLASSIFIERS_KEPT = 64
"""A classifier is made for each prompt, and items may bring their own."""

_encode = msgspec.json.encode


class TextReader:
    """Reads the text of an item: its input, or all that its file says."""

    def __init__(self, blobs: LocalBlobs, recognise: Recognise) -> None:
        self._blobs, self._recognise = blobs, recognise

    def text_of(self, item: Payload) -> str:
        """Return it, never empty. Raises ProblemError for what is wrong with the item."""
        if item.file is None:
            text = as_text(msgspec.json.decode(item.input))
        else:
            pages = read_file(self._blobs, item.file, item.page, self._recognise)
            text = "\n\n".join(page.text for page in pages if page.text)
        if not text.strip():
            raise ProblemError(problem("prediction_failed", "There is no text to read"))
        return text


class Text(NamedTuple):
    """An item's text, never empty, and its own prompt."""

    text: str
    prompt: str | None


class Texts(ABC):
    """For models that are faster with several texts at once."""

    def __init__(self, reader: TextReader) -> None:
        self._reader = reader

    def read(self, payload: bytes) -> Text:
        """Return what is to be answered. Raises ProblemError for what is wrong with the item."""
        item = decode_payload(payload)
        return Text(self._reader.text_of(item), item.prompt)

    @abstractmethod
    def answer(self, texts: Sequence[Text]) -> list[Answer]:
        """Answer them, in their order."""


class Embed(Texts):
    """``local/minilm``: the embedding of a text's beginning."""

    def __init__(self, reader: TextReader, embedder: TextEmbedder) -> None:
        super().__init__(reader)
        self._embedder = embedder

    def answer(self, texts: Sequence[Text]) -> list[Answer]:
        return [
            Answer(
                _encode(
                    {
                        "embedding": [round(number, _EMBEDDING_DIGITS) for number in found.vector.tolist()],
                        "truncated": found.truncated,
                    }
                ),
                usage=_usage(found.tokens),
            )
            for found in self._embedder.embed([text.text for text in texts])
        ]


class Chat:
    """``local/smollm2``: what the model says to the prompt and the item's text, or to the conversation that the item holds."""

    def __init__(
        self, reader: TextReader, chat: ChatModel, schema: Mapping[str, Any] | None, prompt: str | None
    ) -> None:
        self._reader, self._chat, self._schema, self._prompt = reader, chat, schema, prompt

    def run(self, payload: bytes) -> Answer:
        from amends.models._smollm2 import PromptTooLong, Question

        messages = self._messages(payload)
        try:
            found = self._chat.answer(Question(messages, schema=self._schema))
        except PromptTooLong as error:
            raise ProblemError(problem("payload_too_large", str(error), limit=error.limit, unit="tokens")) from error
        if found.finish_reason == "length":
            detail = f"The answer was cut short after {found.completion_tokens} tokens"
            raise ProblemError(problem("prediction_failed", detail, hint="Ask for less in the prompt, and retry."))
        output = _encode({"text": found.text} if self._schema is None else _json_object(found.text))
        return Answer(output, usage=_usage(found.prompt_tokens, found.completion_tokens))

    def _messages(self, payload: bytes) -> Sequence[Mapping[str, str]]:
        item = decode_payload(payload)
        prompt = item.prompt or self._prompt
        given = msgspec.json.decode(item.input) if item.file is None else None
        if isinstance(given, dict) and "messages" in given:
            told = [] if prompt is None else [{"role": "system", "content": prompt}]
            return [*told, *_conversation(given["messages"])]
        text = self._reader.text_of(item)
        return [{"role": "user", "content": text if prompt is None else f"{prompt}\n\n{text}"}]


class Classify(Texts):
    """``local/classify``: the labels of the schema that fit a text."""

    def __init__(
        self, reader: TextReader, embedder: TextEmbedder, schema: Mapping[str, Any], prompt: str | None
    ) -> None:
        super().__init__(reader)
        self._embedder, self._schema, self._prompt = embedder, schema, prompt
        self._classifiers: dict[str | None, Classifier] = {}
        self._classifier(prompt)  # a schema without labels is refused at once

    def answer(self, texts: Sequence[Text]) -> list[Answer]:
        answers: dict[int, Answer] = {}
        by_prompt = sorted(range(len(texts)), key=lambda number: texts[number].prompt or "")
        for prompt, numbers in groupby(by_prompt, key=lambda number: texts[number].prompt or None):
            chosen = list(numbers)
            outputs = self._classifier(prompt or self._prompt).classify([texts[number].text for number in chosen])
            answers |= {number: Answer(_encode(output)) for number, output in zip(chosen, outputs, strict=True)}
        return [answers[number] for number in range(len(texts))]

    def _classifier(self, prompt: str | None) -> Classifier:
        from amends.models import load_classifier

        if prompt not in self._classifiers:
            if len(self._classifiers) >= _CLASSIFIERS_KEPT:
                self._classifiers.clear()
            try:
                self._classifiers[prompt] = load_classifier(self._embedder, self._schema, prompt)
            except ValueError as error:
                detail = f"The output schema cannot be used: {error}"
                raise ProblemError(problem("prediction_failed", detail)) from error
        return self._classifiers[prompt]


def _conversation(value: Any) -> Sequence[Mapping[str, str]]:
    from amends.models._asked import conversation

    try:
        return conversation(value, ("messages",))
    except ProblemError as error:
        raise ProblemError(problem("prediction_failed", error.problem.detail)) from error


def _json_object(text: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as error:
        raise ProblemError(problem("prediction_failed", "The model's answer is no JSON object")) from error


def _usage(input_tokens: int, output_tokens: int = 0) -> bytes:
    return _encode({"input_tokens": input_tokens, "output_tokens": output_tokens})
