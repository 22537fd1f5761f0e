"""A provider's model as any other model is described."""

from __future__ import annotations

from typing import Final

from amends.models._media import Kind
from amends.models._registry import Model

from ._provider import Provider

__all__ = ["describe_model"]

_TEXTS: Final[frozenset[Kind]] = frozenset({"pdf", "text", "html", "csv", "docx"})
_WITH_PICTURES: Final[frozenset[Kind]] = frozenset({*_TEXTS, "image"})


def describe_model(provider: Provider, model: str) -> Model:
    """What there is to know of ``model``, as the provider calls it."""
    is_embedding = model in provider.embedding_models
    takes = _WITH_PICTURES if provider.takes_images and not is_embedding else _TEXTS
    return Model(
        name=f"{provider.name}/{model}",
        summary="Answers with a vector." if is_embedding else "Answers as its provider does.",
        takes=takes,
        takes_input=True,
        needs_schema=False,
        batch_size=1,
        prompt="A prompt has no effect." if is_embedding else "Goes to the model before the item.",
    )
