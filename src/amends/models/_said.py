"""Answers in the words of OpenAI's API. Pure: ids and times are handed in."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

__all__ = ["chat_completion", "completion_events", "embedding_list"]


def chat_completion(
    completion_id: str,
    created: int,
    model: str,
    text: str,
    *,
    finish_reason: str = "stop",
    prompt_tokens: int = 0,
    completion_tokens: int = 0,
) -> dict[str, Any]:
    """A chat completion with one choice. model: as the request names it."""
    message = {"role": "assistant", "content": text, "refusal": None}
    return {
        "id": completion_id,
        "object": "chat.completion",
        "created": created,
        "model": model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish_reason}],
        "usage": {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": completion_tokens,
            "total_tokens": prompt_tokens + completion_tokens,
        },
    }


def completion_events(completion: Mapping[str, Any], *, include_usage: bool) -> Iterator[str]:
    """The same as the events of a stream (SSE): what each choice says comes in one piece."""
    head = {name: completion.get(name) for name in ("id", "created", "model")} | {"object": "chat.completion.chunk"}
    for choice in completion.get("choices", ()):
        delta = {"index": choice.get("index", 0), "delta": choice.get("message", {}), "finish_reason": None}
        end = {"index": choice.get("index", 0), "delta": {}, "finish_reason": choice.get("finish_reason")}
        for part in (delta, end):
            yield _event(head | {"choices": [part]} | ({"usage": None} if include_usage else {}))
    if include_usage:
        yield _event(head | {"choices": [], "usage": completion.get("usage")})
    yield "data: [DONE]\n\n"


def embedding_list(model: str, vectors: Sequence[Sequence[float] | bytes], *, prompt_tokens: int) -> dict[str, Any]:
    """Embeddings in the order of their texts, each as numbers or, given as bytes, in base64."""
    return {
        "object": "list",
        "data": [
            {"object": "embedding", "index": number, "embedding": _shown(vector)}
            for number, vector in enumerate(vectors)
        ],
        "model": model,
        "usage": {"prompt_tokens": prompt_tokens, "total_tokens": prompt_tokens},
    }


def _shown(vector: Sequence[float] | bytes) -> Any:
    return base64.b64encode(vector).decode() if isinstance(vector, bytes) else list(vector)


def _event(body: Mapping[str, Any]) -> str:
    return f"data: {json.dumps(body, ensure_ascii=False, separators=(',', ':'))}\n\n"
