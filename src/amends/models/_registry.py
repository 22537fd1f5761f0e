"""The embedded models by name, and what each takes. Costs nothing to import: the server asks here, workers load."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from ._media import Kind

__all__ = ["MODELS", "Model", "describe", "known"]


@dataclass(frozen=True, slots=True)
class Model:
    """What there is to know of a model before it is loaded.

    takes: kinds of file. takes_input: whether an item may hold text or JSON instead of a file. needs_schema: whether
    ``output_schema`` must be given; where it need not and is, the output is checked against it. batch_size: items at
    once by preference, 1 where together is not faster. prompt: what a prompt does to it.
    """

    name: str
    summary: str
    takes: frozenset[Kind]
    takes_input: bool
    needs_schema: bool
    batch_size: int
    prompt: str

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON has it, its kinds of file in order."""
        return {
            "name": self.name,
            "summary": self.summary,
            "takes": sorted(self.takes),
            "takes_input": self.takes_input,
            "needs_schema": self.needs_schema,
            "batch_size": self.batch_size,
            "prompt": self.prompt,
        }


_NO_PROMPT = "A prompt has no effect."
_DOCUMENTS: frozenset[Kind] = frozenset({"pdf", "image", "text", "html", "csv", "docx"})

_MODELS = (
    Model(
        name="local/echo",
        summary="Answers its input: an object as it is, anything else as {text}. For trying out and for measuring.",
        takes=frozenset({"pdf", "text", "html", "csv", "docx"}),
        takes_input=True,
        needs_schema=False,
        batch_size=1_000,
        prompt=_NO_PROMPT,
    ),
    Model(
        name="local/ocr",
        summary="Reads the text of pictures and PDFs, page by page; a PDF's own text where it has any.",
        takes=frozenset({"image", "pdf"}),
        takes_input=False,
        needs_schema=False,
        batch_size=1,
        prompt=_NO_PROMPT,
    ),
    Model(
        name="local/image-labels",
        summary="Names what is in a picture: the five likeliest of the 1,000 classes of ImageNet.",
        takes=frozenset({"image"}),
        takes_input=False,
        needs_schema=False,
        # Measured on one thread: 10 ms an image singly, 12 ms in eights. Decoding them costs as much again.
        batch_size=1,
        prompt=_NO_PROMPT,
    ),
    Model(
        name="local/extract",
        summary="Finds the values of a JSON Schema in documents and text, by rules first, and says where each stands.",
        takes=_DOCUMENTS,
        takes_input=True,
        needs_schema=True,
        batch_size=1,
        prompt='May say what documents call a property (total is called "Amount payable"); all else has no effect.',
    ),
    Model(
        name="local/minilm",
        summary="Gives the meaning of a text as 384 numbers (all-MiniLM-L6-v2); reads 256 tokens at most.",
        takes=_DOCUMENTS,
        takes_input=True,
        needs_schema=False,
        batch_size=32,
        prompt=_NO_PROMPT,
    ),
    Model(
        name="local/classify",
        summary="Chooses the label of a JSON Schema's enum that fits a text best, by the likeness of their embeddings.",
        takes=_DOCUMENTS,
        takes_input=True,
        needs_schema=True,
        batch_size=32,
        prompt="May say what labels mean, a line each (refund: wants the money back); all else has no effect.",
    ),
    Model(
        name="local/smollm2",
        summary="A very small language model (SmolLM2-135M): answers a prompt, in the form of a JSON Schema if one is given.",
        takes=_DOCUMENTS,
        takes_input=True,
        needs_schema=False,
        batch_size=1,
        prompt="Says what to do with the item.",
    ),
)

MODELS: Mapping[str, Model] = MappingProxyType({model.name: model for model in _MODELS})
"""Every embedded model by name."""


def known(name: str) -> bool:
    """Whether ``name`` is an embedded model."""
    return name in MODELS


def describe(name: str) -> Model:
    """Return what is known of the model. Raises KeyError where there is none of that name."""
    return MODELS[name]
