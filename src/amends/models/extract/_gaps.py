"""What the rules left open: which values stand near enough to words about it, each the only likely one.

In running text the nearest value of the right sort is mostly the one that a sentence speaks of, and where it is not, the
sentence mostly has another that is as near, says "not", or speaks of another property that is nearer. Those are left alone.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from . import _values
from ._hints import Hints, words_of
from ._targets import Target
from ._values import CURRENCY_CODES, MONTHS, Found, Habits

__all__ = ["Candidate", "Gap", "IsFree", "Proposal", "Sentence", "Tie", "apart", "proposals"]

_MAX_SENTENCE_CHARS = 600
_MAX_SENTENCES_A_GAP = 40
_MAX_SENTENCES_A_WORD = 200
_MAX_VALUES = 16
"""A sentence with more is a list, in which nearness says nothing."""
_MAX_HINTS = 8
_MAX_DISTANCE = 14
_MARGIN = 3
"""A second value that is farther away than the first by no more than this makes both unlikely."""
_FAR = 99
_CLAUSE_COST = 3
_BACKWARDS_COST = 2

_CLAUSE = re.compile(r"[,:]|\b(?:and|but|while|whereas|which|who)\b")
_NEGATION = re.compile(
    r"\b(?:not|never|no|none|nothing|nobody|nor|without|instead|unknown|cannot)\b|n['’]t\b|;", re.IGNORECASE
)
_APPOSITION = re.compile(r"[\s,]*\([^()]*$")
_END = re.compile(
    r"""(?<![\s.][A-Z])(?<!\b(?:Mr|Ms|Dr|No|St|no|vs|ca))(?<!\b(?:Mrs|Inc|Ltd|Nos|Art))(?<!\bProf)
        [.!?]["”')\]]*(?=\s+["“(\[]?[^\Wa-z]|\s*$)
    | \n[ \t]*(?=\n) | \n(?=[ \t]*(?:[-*•–]|\d{1,2}[.)])\s)""",
    re.VERBOSE,
)
_CELLS = re.compile(r"\t|\||   |;\S")
_ROW_CHARS = 40

_CURRENCY = r"(?:(?:US|C|A)?[$€£₹¥]|\b(?:" + "|".join(sorted(CURRENCY_CODES)) + r")\b)"
_CURRENCY_BEFORE, _CURRENCY_AFTER = re.compile(_CURRENCY + r"\s?$"), re.compile(r"[ \u00a0]?" + _CURRENCY)
_MONEY = frozenset(
    {"amount", "price", "total", "subtotal", "tax", "fee", "rent", "salary", "cost", "deposit", "charge", "budget",
     "payment", "balance", "discount", "premium", "penalty", "bonus", "excess", "wage", "honorarium", "postage", "due"}
)  # fmt: skip
_NO_NUMBER = re.compile(r"\d{1,2}:\d\d(?::\d\d)?|(?m:^)[ \t]*\d{1,2}[.)](?=\s)|[§#]\s?\d+|\d+(?:st|nd|rd|th)\b")
_YEARS = range(1900, 2101)
_CODES = frozenset({"number", "code", "voucher", "id", "reference", "coupon", "iban"})
_CAPITALISED = r"[^\W\da-z_][\w'’&-]*(?:\.[\w'’&-]+)*"
_NAME = re.compile(
    rf"(?<![\w.@]){_CAPITALISED}(?: (?:(?:de|da|di|du|von|van|der|den|la|le|el|al|bin|and|of|&) ){{0,2}}{_CAPITALISED})*"
)
_TITLE = re.compile(r"(?:(?:Mr|Mrs|Ms|Miss|Dr|Prof|Professor)\b\.?\s*)+")
_NO_NAME = frozenset(
    {"the", "a", "an", "i", "we", "you", "he", "she", "it", "they", "this", "that", "these", "our", "your", "his", "her",
     "its", "their", "in", "on", "at", "by", "to", "for", "from", "of", "with", "before", "after", "until", "if", "when",
     "as", "no", "not", "and", "or", "but", "dear", "mr", "mrs", "ms", "dr", "re", "please", "thank", "thanks", "yours",
     "all", "any", "either", "each", "there", "here", "should", "note", "following", "according", "between"}
)  # fmt: skip
"""What only begins a sentence."""

IsFree = Callable[[int, int, int], bool]
"""Whether no other property has the page's characters from start to end."""


class Sentence(NamedTuple):
    """A stretch of a page that speaks of one thing: a sentence, or a row. start: in the page's text."""

    page: int
    start: int
    text: str


class Candidate(NamedTuple):
    """A value that may be a gap's. distance: from the words that hint at the gap; the smaller, the likelier."""

    distance: int
    target: Target
    found: Found
    sentence: Sentence

    @property
    def place(self) -> tuple[int, int, int]:
        """Page, start and end."""
        page, offset, _ = self.sentence
        return page, offset + self.found.start, offset + self.found.end

    @property
    def said(self) -> str:
        """The value as the document has it, on one line."""
        return " ".join(self.sentence.text[self.found.start : self.found.end].split())


@dataclass(frozen=True)
class Gap:
    """A value that is still to be found. targets: alternatives of how it is read."""

    targets: tuple[Target, ...]

    @property
    def pointer(self) -> str:
        return self.targets[0].pointer

    @cached_property
    def hints(self) -> Hints:
        return Hints(self.targets[0].label)

    def values_in(self, sentence: Sentence) -> list[tuple[Target, Found]]:
        """Every value of the gap's sort in the sentence."""
        return [(target, found) for target in self.targets for found in _values_in(target, sentence.text)]


class Proposal(NamedTuple):
    """A likely value of a gap."""

    gap: Gap
    candidate: Candidate


class Tie(NamedTuple):
    """A gap that several values could fill, each about as likely. candidates: one a value, likelier ones first."""

    gap: Gap
    candidates: tuple[Candidate, ...]


def proposals(
    pages: Sequence[tuple[int, str]], gaps: Sequence[Gap], is_free: IsFree
) -> tuple[list[Proposal], list[Tie]]:
    """Return the gaps that a single value is likely for, and those that several are."""
    spoken = _sentences(pages, gaps)
    found = [(gap, list(_candidates(gap, spoken[gap.pointer], is_free))) for gap in gaps]
    nearest: dict[tuple[int, int, int], int] = {}
    for _, own in found:
        for one in own:
            nearest[one.place] = min(nearest.get(one.place, _FAR), one.distance)
    settled: list[Proposal] = []
    ties: list[Tie] = []
    for gap, own in found:
        # A value that stands nearer to the words about another property is that one's.
        left = sorted((one for one in own if one.distance == nearest[one.place]), key=lambda one: (one[0], one.place))
        rivals: dict[object, Candidate] = {}
        for one in left:
            if one.distance <= left[0].distance + _MARGIN:
                rivals.setdefault(one.found.value, one)
        if len(rivals) == 1:
            settled.append(Proposal(gap, left[0]))
        elif rivals:
            ties.append(Tie(gap, tuple(rivals.values())))
    return settled, ties


def apart(proposed: Sequence[Proposal]) -> Iterator[Proposal]:
    """The proposals that share no place with a likelier one, likelier ones first."""
    taken: list[tuple[int, int, int]] = []
    for one in sorted(proposed, key=lambda one: (one.candidate.distance, one.candidate.place)):
        page, start, end = one.candidate.place
        if not any(page == other and start < last and first < end for other, first, last in taken):
            taken.append((page, start, end))
            yield one


def _candidates(gap: Gap, sentences: Sequence[Sentence], is_free: IsFree) -> Iterator[Candidate]:
    for sentence in sentences:
        values = gap.values_in(sentence)
        if not 0 < len(values) <= _MAX_VALUES:
            continue
        about = [(start, end) for start, end, word in words_of(sentence.text) if gap.hints.about(word)][:_MAX_HINTS]
        stands = [found for _, found in values]
        for target, found in values:
            distance = min((_distance(sentence.text, found, hint, stands) for hint in about), default=_FAR)
            one = Candidate(distance, target, found, sentence)
            if distance <= _MAX_DISTANCE and is_free(*one.place):
                yield one


def _distance(text: str, value: Found, hint: tuple[int, int], values: Sequence[Found]) -> int:
    """Words between a hint and a value, more where a clause ends between them; too many where another value stands there."""
    start, end = hint
    if start < value.end and value.start < end:
        return _FAR
    backwards = value.end <= start
    low, high = (value.end, start) if backwards else (end, value.start)
    between = text[low:high]
    if backwards and _APPOSITION.match(between):  # Jane Doe (hereinafter the "Tenant")
        return 0
    if ("(" in between) != (")" in between):  # what is said in brackets is said of what stands before them
        return _FAR
    if _NEGATION.search(between) or any(low <= other.start and other.end <= high for other in values):
        return _FAR
    return len(between.split()) + _CLAUSE_COST * len(_CLAUSE.findall(between)) + _BACKWARDS_COST * backwards


# Values ---------------------------------------------------------------------------------------------------------------


def _values_in(target: Target, text: str) -> Iterator[Found]:
    if target.whole:
        yield from (found for found in _names(target, text) if target.checker.is_valid(found.value))
    elif target.is_number:
        yield from _amounts(target, text)
    else:
        yield from target.read(text)


def _amounts(target: Target, text: str) -> Iterator[Found]:
    """Numbers that are no part of a date, a time, an ordinal or the like; amounts of money only, for what is money."""
    other = [match.span() for match in _NO_NUMBER.finditer(text)]
    for read in (_values.dates(Habits(day_first=True)), _values.datetimes, _values.phones):
        other += [(found.start, found.end) for found in read(text)]
    is_money = bool(target.label.words & _MONEY)
    for found in target.read(text):
        if any(first < found.end and found.start < last for first, last in other):
            continue
        if _has_currency(text, found) or not (is_money or found.value in _YEARS):
            yield found


def _has_currency(text: str, found: Found) -> bool:
    before = text[max(0, found.start - 5) : found.start]
    return bool(_CURRENCY_BEFORE.search(before) or _CURRENCY_AFTER.match(text, found.end))


def _names(target: Target, text: str) -> Iterator[Found]:
    """Names of people, firms and things; codes where the property is one."""
    if target.label.words & _CODES:
        yield from _values.identifiers(text)
        return
    for match in _NAME.finditer(text):
        start, end = match.span()
        while words := text[start:end].split(None, 1):
            if title := _TITLE.match(text, start, end):
                start = title.end()
            elif words[0].lower() in _NO_NAME:
                start += len(words[0]) + 1
            else:
                break
        value = text[start:end]
        if len(value) > 2 and value not in CURRENCY_CODES and value.lower() not in MONTHS:
            yield Found(value, start, end)


# Sentences ------------------------------------------------------------------------------------------------------------


def _sentences(pages: Sequence[tuple[int, str]], gaps: Sequence[Gap]) -> dict[str, list[Sentence]]:
    """Pointer of each gap → the sentences that speak of it, in their order; of many the first."""
    found: dict[str, list[Sentence]] = {gap.pointer: [] for gap in gaps}
    for sentence in _speaking(pages, gaps):
        words = {word for _, _, word in words_of(sentence.text)}
        for gap in gaps:
            if len(found[gap.pointer]) < _MAX_SENTENCES_A_GAP and gap.hints.are_in(words):
                found[gap.pointer].append(sentence)
    return found


def _speaking(pages: Sequence[tuple[int, str]], gaps: Sequence[Gap]) -> Iterator[Sentence]:
    """Sentences with any word about any gap; of those with a word that is everywhere, the first."""
    left: dict[str, int] = {}
    for number, text in pages:
        ends: list[int] = []
        beyond = 0
        for at, _, word in words_of(text):
            if word not in left:
                left[word] = _MAX_SENTENCES_A_WORD if any(gap.hints.about(word) for gap in gaps) else 0
            if at < beyond or not left[word]:
                continue
            left[word] -= 1
            ends = ends or _ends(text)
            following = bisect_right(ends, at)
            first, beyond = ends[following - 1], ends[following]
            if beyond - first <= _MAX_SENTENCE_CHARS:
                yield Sentence(number, first, text[first:beyond])


def _ends(text: str) -> list[int]:
    """Where sentences end, and rows that are no prose; the text's own ends are the first and the last."""
    ends = {0, len(text) + 1, *(match.end() for match in _END.finditer(text))}
    start = 0
    lines = text.split("\n")
    for line, below in zip(lines, (*lines[1:], ""), strict=True):
        start += len(line) + 1
        is_row = len(line) < _ROW_CHARS and not below[:1].islower()
        if is_row or _CELLS.search(line) or _CELLS.search(below):
            ends.add(start)
    return sorted(ends)
