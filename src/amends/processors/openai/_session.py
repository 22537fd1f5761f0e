"""What a worker's child does with items of kind ``openai``."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from amends.blobs import LocalBlobs
from amends.engine.processor import Failed, Job, Result, Succeeded, Surroundings, WorkItem
from amends.models._asked import Chat, read_chat, read_embeddings, refused
from amends.models._said import chat_completion, embedding_list
from amends.models.providers import find_provider, read_providers
from amends.problems import ProblemError, problem
from amends.processors.predict._session import Loaded, PredictSession, attempt

if TYPE_CHECKING:
    from ._relay import RelayCalls

__all__ = ["OpenAISession"]

_EMBEDDINGS = "/v1/embeddings"
_CHAT = "/v1/chat/completions"
_NEEDS_SCHEMA = frozenset({"local/classify", "local/extract"})

_encode = msgspec.json.Encoder().encode


class _Said(NamedTuple):
    text: str
    finish_reason: str = "stop"
    prompt_tokens: int = 0
    completion_tokens: int = 0


class OpenAISession:
    """Answers items one after the other; what goes wrong with one is that one's problem. clock: wall time."""

    def __init__(self, surroundings: Surroundings, clock: Callable[[], float] = time.time) -> None:
        self._surroundings = surroundings
        self._predict = PredictSession(surroundings)
        self._providers = read_providers(surroundings.settings.get("providers", {}))
        self._clock = clock

    def process(self, job: Job, items: Sequence[WorkItem]) -> Iterator[Result]:
        """Yield one result for each item, as they come. Raises nothing for what an item or a model does."""
        if find_provider(str(job.params.get("model")), self._providers):
            yield from self._relay.process(job, items)
            return
        for item in items:
            yield attempt(item, lambda item=item: self._answered(job, item))  # type: ignore[misc]

    def stop(self, keys: Collection[str]) -> None:
        """Stop what a provider is asked for these items; nothing more is heard of them."""
        self._relay.stop(keys)

    def close(self) -> None:
        """Let go of the models and of the connections."""
        if "_relay" in vars(self):
            self._relay.close()
        self._predict.close()

    @cached_property
    def _relay(self) -> RelayCalls:
        from ._relay import RelayCalls

        return RelayCalls(self._providers, os.environ, LocalBlobs(self._surroundings.blobs), lambda image: "")

    def _answered(self, job: Job, item: WorkItem) -> Succeeded:
        body = msgspec.json.decode(item.payload)["input"]
        answer = self._answer(job, item, body)
        usage = answer["usage"]
        tokens = {"input_tokens": usage["prompt_tokens"], "output_tokens": usage.get("completion_tokens", 0)}
        response = {"status_code": 200, "request_id": _id(item, "req_"), "body": answer}
        return Succeeded(item.seq, _encode(response), usage=_encode(tokens))

    def _answer(self, job: Job, item: WorkItem, body: Mapping[str, Any]) -> dict[str, Any]:
        model, endpoint = job.params["model"], job.params["endpoint"]
        if endpoint == _EMBEDDINGS and model == "local/minilm":
            return _embeddings(self._predict.loaded, body)
        if endpoint == _CHAT:
            chat = read_chat(body)
            said = _chat(self._predict.loaded, chat) if model == "local/smollm2" else self._predicted(job, item, chat)
            return chat_completion(_id(item, "chatcmpl-"), int(self._clock()), body["model"], **said._asdict())
        raise refused(("model",), f"The model {model} does not answer at {endpoint}", "unsupported_model")

    def _predicted(self, job: Job, item: WorkItem, chat: Chat) -> _Said:
        """What a model that holds no conversations says to the text of the users' messages; the system's are its prompt."""
        model = job.params["model"]
        if model in _NEEDS_SCHEMA and not chat.schema:
            message = f"{model} needs a response_format of type json_schema"
            raise refused(("response_format",), message, "missing_required_parameter")
        prompt = "\n".join(message["content"] for message in chat.messages if message["role"] == "system")
        text = "\n\n".join(message["content"] for message in chat.messages if message["role"] == "user")
        params = {"model": model, "prompt": None, "output_schema": chat.schema or None}
        payload = _encode({"input": text, "prompt": prompt or None})
        (result,) = self._predict.process(Job(job.run_id, job.mode, params), [item._replace(payload=payload)])
        if isinstance(result, Failed):
            raise ProblemError(result.problem)
        output = result.output.decode()
        return _Said(text if model == "local/echo" and chat.schema is None else output)


def _chat(loaded: Loaded, chat: Chat) -> _Said:
    from amends.models._smollm2 import PromptTooLong, Question

    members = (
        "messages",
        "max_tokens",
        "temperature",
        "top_p",
        "seed",
        "stop",
        "frequency_penalty",
        "presence_penalty",
        "schema",
    )
    question = Question(**{name: getattr(chat, name) for name in members})
    try:
        found = loaded.chat.answer(question)
    except PromptTooLong as error:
        raise refused(("messages",), str(error), "context_length_exceeded") from error
    if chat.schema is not None and found.finish_reason == "stop":
        _check(chat.schema, found.text)
    return _Said(found.text, found.finish_reason, found.prompt_tokens, found.completion_tokens)


def _check(schema: Mapping[str, Any], text: str) -> None:
    """The model's form is bound by llama.cpp, as far as that understands the schema."""
    from amends.models.extract import schema_errors

    try:
        errors = schema_errors(schema)(msgspec.json.decode(text))
    except ValueError as error:  # of the schema, or of the text, which is no JSON then
        errors = [str(error).partition("\n")[0]]
    if errors:
        raise ProblemError(problem("prediction_failed", f"The answer is not valid against the schema: {errors[0]}"))


def _embeddings(loaded: Loaded, body: Mapping[str, Any]) -> dict[str, Any]:
    from amends.models._minilm import DIMENSIONS

    asked = read_embeddings(body, dimensions=DIMENSIONS)
    found = loaded.embedder.embed(asked.texts)
    in_base64 = asked.encoding == "base64"
    vectors = [one.vector.astype("<f4").tobytes() if in_base64 else one.vector.tolist() for one in found]
    return embedding_list(body["model"], vectors, prompt_tokens=sum(one.tokens for one in found))


def _id(item: WorkItem, prefix: str) -> str:
    """Of the item, so that another try at it has the same."""
    return prefix + sha256(item.key.encode()).hexdigest()[:24]
