"""``local/classify``: which of a schema's labels fits a text best, by the likeness of their embeddings.

No model was trained on the labels: a label's words, and what the schema or the prompt says of it, are all there is to go by.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from amends.models._minilm import TextEmbedder, Vector
from amends.models.extract._schema import ListNode, Node, ValueNode, compile_schema

__all__ = ["Classifier", "LabelSet", "labels_of"]

WINDOWS = 8
"""Of a long text so many stretches of 256 tokens are read; their mean stands for it."""

_SHARPNESS = 20.0
"""Likeness (a cosine) to share: softmax over so many times it. On three small sets the best label's mean share was then
.84, and it was right in .88."""
_NEARLY = 0.7
"""A list of labels takes those that are at least so many times as alike as the likeliest."""
_SAID = "This is {}."
"""How a label is said before it is embedded: the best of six ways on the same sets."""
_SCORE_NAMES = ("score", "confidence")
_ALL_SCORES = "scores"


@dataclass(frozen=True)
class LabelSet:
    """A property to fill: its labels and what is known of each. is_list: several may fit."""

    name: str
    meanings: Mapping[str, str]
    is_list: bool


class Classifier:
    """Classifies by one schema. prompt: may say what labels mean, a line each: ``refund: wants the money back``.

    Raises ValueError where the schema names no labels.
    """

    def __init__(self, embedder: TextEmbedder, schema: Mapping[str, Any], prompt: str | None = None) -> None:
        self._embedder = embedder
        self._schema = schema
        self._prompt = prompt
        self._labels = labels_of(schema)

    def classify(self, texts: Sequence[str]) -> list[dict[str, Any]]:
        """Return the output for each text, in the order of ``texts``; none of them is empty.

        A property with an ``enum`` gets the likeliest label, a list of them every label nearly as likely (``_NEARLY``),
        likeliest first. A number ``{property}_score``, or ``score`` or ``confidence`` where there is one such
        property, gets the likeliest label's share; an object ``scores`` every label's, by property where there are several.
        """
        found = self._embedder.embed_whole(texts, windows=WINDOWS)
        return [self._output(embedding.vector) for embedding in found]

    def _output(self, vector: Vector) -> dict[str, Any]:
        output: dict[str, Any] = {}
        shares = {}
        for labels in self._labels:
            likeness = self._vectors[labels.name] @ vector
            order = np.argsort(-likeness, kind="stable")
            ranked = [list(labels.meanings)[number] for number in order]
            near = int(np.sum(likeness >= _NEARLY * likeness[order[0]])) if likeness[order[0]] > 0 else 1
            output[labels.name] = ranked[:near] if labels.is_list else ranked[0]
            shares[labels.name] = dict(zip(ranked, _shares(likeness[order]), strict=True))
        return output | dict(self._scores(shares))

    def _scores(self, shares: Mapping[str, Mapping[str, float]]) -> Iterator[tuple[str, Any]]:
        wanted = self._schema.get("properties", {})
        for name, found in shares.items():
            best = next(iter(found.values()))
            for score in (f"{name}_score", *(_SCORE_NAMES if len(shares) == 1 else ())):
                if score in wanted and score not in shares:
                    yield score, best
        if _ALL_SCORES in wanted and _ALL_SCORES not in shares:
            yield _ALL_SCORES, dict(next(iter(shares.values()))) if len(shares) == 1 else shares

    @cached_property
    def _vectors(self) -> dict[str, Any]:
        """Each property's labels as rows."""
        vectors = {}
        for labels in self._labels:
            said = [_said(name, meaning, self._prompt) for name, meaning in labels.meanings.items()]
            vectors[labels.name] = np.stack([embedding.vector for embedding in self._embedder.embed(said)])
        return vectors


def _shares(likeness: Vector) -> list[float]:
    """They add up to 1."""
    weights = np.exp(_SHARPNESS * (likeness - likeness.max()))
    return [round(share, 4) for share in (weights / weights.sum()).tolist()]


def labels_of(schema: Mapping[str, Any]) -> list[LabelSet]:
    """Return the properties that hold labels: strings with an ``enum``, ``const`` alternatives, or lists of either.

    Raises ValueError where there are none, or where the schema cannot be read.
    """
    found = []
    for name, alternatives in compile_schema(schema).properties.items():
        items = next((node.items for node in alternatives if isinstance(node, ListNode)), None)
        meanings = _meanings(alternatives if items is None else items)
        if meanings:
            found.append(LabelSet(name, meanings, is_list=items is not None))
    if not found:
        raise ValueError('no property has labels: give one an "enum" of strings')
    return found


def _meanings(alternatives: Sequence[Node]) -> dict[str, str]:
    meanings: dict[str, str] = {}
    for node in alternatives:
        if isinstance(node, ValueNode) and node.type == "string":
            told = (
                str(node.schema.get("description") or node.schema.get("title") or "") if "const" in node.schema else ""
            )
            meanings |= {label: told for label in node.choices or () if isinstance(label, str) and label.strip()}
    return meanings


def _said(name: str, meaning: str, prompt: str | None) -> str:
    spoken = re.sub(r"[_-]+", " ", name).strip() or name
    if prompt:
        line = re.search(rf"^\W*{re.escape(name)}\W*?\s*[:=]\s*(\S.*)$", prompt, re.IGNORECASE | re.MULTILINE)
        meaning = line[1].strip() if line else meaning
    return f"{_SAID.format(spoken)} {meaning}".strip()
