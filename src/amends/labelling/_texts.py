"""Free text: which answers are the same, and which of them stands for all."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

_COMPARED_CHARS: Final = 280
_COMPARED_TEXTS: Final = 12
"""The distance takes the product of two lengths, and every pair has one: texts are compared by their beginnings, and only the
heaviest of them."""


@dataclass(frozen=True, slots=True)
class TextGroup:
    """Answers that are the same but for case, blanks and punctuation at the end. text: as most said it; members: their places."""

    text: str
    weight: float
    members: tuple[int, ...]


def normalised(text: str) -> str:
    """The text by which answers are compared: NFKC, case folded, blanks made one, punctuation at its ends left out."""
    folded = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    return folded.strip(".,;:!?…\"'()[] ") or folded


def group_texts(texts: Sequence[str], weights: Sequence[float]) -> list[TextGroup]:
    """The groups of equal answers, the heaviest first; of equally heavy ones the one whose text sorts first."""
    members: dict[str, list[int]] = {}
    for place, text in enumerate(texts):
        members.setdefault(normalised(text), []).append(place)
    groups = [_group(texts, weights, places) for places in members.values()]
    return sorted(groups, key=lambda group: (-group.weight, normalised(group.text)))


def _group(texts: Sequence[str], weights: Sequence[float], places: Sequence[int]) -> TextGroup:
    spelled: dict[str, float] = {}
    for place in places:
        spelled[texts[place]] = spelled.get(texts[place], 0.0) + weights[place]
    text = min(spelled, key=lambda each: (-spelled[each], each))
    return TextGroup(text, sum(weights[place] for place in places), tuple(places))


def medoid(groups: Sequence[TextGroup]) -> TextGroup:
    """The group that is nearest to all others, by edit distance over length, each weighing as much as its answers.

    One that holds more than half of the weight is it in any case. ValueError for none.
    """
    if not groups:
        raise ValueError("there is no answer")
    whole = sum(group.weight for group in groups)
    if groups[0].weight * 2 > whole or len(groups) == 1:
        return groups[0]
    compared = groups[:_COMPARED_TEXTS]
    texts = [normalised(group.text)[:_COMPARED_CHARS] for group in compared]
    away = np.zeros(len(texts))
    for one in range(len(texts)):
        for other in range(one):
            distance = edit_distance(texts[one], texts[other]) / max(len(texts[one]), len(texts[other]), 1)
            away[one] += distance * compared[other].weight
            away[other] += distance * compared[one].weight
    return compared[min(range(len(texts)), key=lambda place: (away[place], place))]


def edit_distance(one: str, other: str) -> int:
    """Levenshtein's distance: insertions, deletions and substitutions that make one text the other.

    A row of the table at a time: an insertion costs what is left of it plus the way there, so the least of those is a running minimum.
    """
    if len(one) < len(other):
        one, other = other, one
    if not other:
        return len(one)
    letters = np.array([ord(letter) for letter in other])
    steps = np.arange(len(other) + 1)
    row = steps.copy()
    for place, letter in enumerate(one, start=1):
        above = np.minimum(row[1:] + 1, row[:-1] + (letters != ord(letter)))
        row = np.minimum.accumulate(np.concatenate(([place], above)) - steps) + steps
    return int(row[-1])
