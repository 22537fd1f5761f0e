"""Words that hint at a property in running text: its own, in any of their forms, and what is said for them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from ._labels import SORTS, Label, concepts

__all__ = ["Hints", "words_of"]

_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_ENDINGS = (
    "ations", "ation", "ated", "ments", "ment", "ings", "ing", "ions", "ion", "ances", "ance", "ences", "ence", "ures",
    "ure", "ees", "ee", "ers", "er", "ors", "or", "als", "al", "ies", "ed", "es", "y", "e", "s",
)  # fmt: skip
_LEAST_STEM = 4
_FAMILIES = (
    "start begin begins began beginning commence commences effective",
    "end expire expires expiry terminate terminates termination ends lapse lapses until",
    "deadline until latest later due",
    "birth born",
    "admission admitted admit",
    "maximum max most limit limited exceed",
    "minimum min least",
    "salary wage wages salaries",
    "cost costs price charge",
    "departure leave leaves depart",
    "physician doctor",
    "payment pay paid pays",
    "weight weigh weighs weighed",
    "height tall",
    "signature sign signed signing",
    "agreement agreed agree",
    "decision decided decide",
    "total altogether",
    "discount rebate",
)
"""What a sentence says for the first word, where that is not a form of it."""
_FAMILY_OF: dict[str, set[str]] = {}
for _number, _family in enumerate(_FAMILIES):
    for _word in _family.split():
        _FAMILY_OF.setdefault(_word, set()).add(f"#{_number}")

_UNITS = frozenset({"mm", "cm", "kg", "km", "percent", "eur", "usd", "gbp", "chf", "id"})
_SAID_OF_ANYTHING = SORTS | _UNITS | {"name", "amount", "value", "full", "annual", "monthly", "code", "at", "on", "by"}
"""Words of a property's name that a sentence leaves out."""


def words_of(text: str) -> Iterator[tuple[int, int, str]]:
    """Yield each word of letters: where it stands, and itself in lower case."""
    for match in _WORD.finditer(text):
        yield match.start(), match.end(), match[0].lower()


def _meanings(word: str) -> frozenset[str]:
    """What a word may stand for; two words are of one kind where they share any of it."""
    stem = _stem(word)
    return frozenset({stem, *concepts(word), *_FAMILY_OF.get(word, ()), *_FAMILY_OF.get(stem, ())})


def _stem(word: str) -> str:
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= _LEAST_STEM - (ending in ("ing", "ed", "ings")):
            word = word[: -len(ending)]
            break
    return word[:-1] if len(word) > _LEAST_STEM and word[-1] == word[-2] and word[-1] not in "sl" else word


class Hints:
    """The words by which a sentence speaks of a property: every one of a name has to be there, but for those that say little."""

    def __init__(self, label: Label) -> None:
        names = [name - _SAID_OF_ANYTHING or name for name in label.names]
        self._names = [{word: _meanings(word) for word in name} for name in names if name]
        self._known: dict[str, frozenset[str]] = {}

    def about(self, word: str) -> frozenset[str]:
        """The words of the property's names that ``word`` is a form of, or is said for."""
        if word not in self._known:
            meant = _meanings(word)
            self._known[word] = frozenset(
                own for name in self._names for own, meanings in name.items() if meanings & meant
            )
        return self._known[word]

    def are_in(self, words: Iterable[str]) -> bool:
        """Whether the words of a sentence suffice."""
        found = frozenset[str]().union(*map(self.about, words))
        return any(name.keys() <= found for name in self._names)
