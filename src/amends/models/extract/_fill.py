"""Finds a value for each target and builds the output; what it cannot find it says, and never makes up."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from ._document import Cell, Document, Pair
from ._filling import LoadChat, fill
from ._gaps import Gap
from ._labels import KNOWN, SORTS, concepts, fit
from ._schema import ListNode, Node, ObjectNode, ValueNode
from ._tables import read_rows
from ._targets import ListTarget, Target, pointer
from ._values import CURRENCY_CODES, Found

__all__ = ["Filler", "Place", "ValueNotInSource"]

_MIN_SCORE = 0.4
_LOOSE_TRUST = 0.7
_LOOSE_COST_A_WORD = 0.03
_LOOSE_WORDS = 8
_LOOSE_FIT = 0.85
_LABEL_WORDS = 4
_MAX_STRING_CHARS = 500
_LIST_FIT = 0.6
_EMPTY = frozenset({"n/a", "n.a.", "na", "none", "null", "nil", "unknown", "tbd", "k.a.", "keine", "aucun", "s/o"})
_BETWEEN = {
    "a", "an", "the", "of", "is", "are", "was", "be", "by", "from", "in", "to", "on", "at",
    "for", "as", "now", "only", "just", "comes", "amounts", "amounting", "equals", "dated", "your", "our", "you", "we",
    "pay", "payable", "owed", "due", "=", "will", "has", "been", "beträgt", "est", "von", "am", "vom", "ist",
    "de", "le", "sum", "value", "n°", "nº",
}  # fmt: skip
"""Words that may stand between a label and its value in a sentence; any other would name something else."""


class Place(NamedTuple):
    """Where a value was read. page: None is the whole document; start and end: characters, end exclusive."""

    page: int | None
    start: int
    end: int


class _Candidate(NamedTuple):
    score: float
    target: Target
    value: Any
    place: Place


class _Value(NamedTuple):
    value: Any
    place: Place
    target: Target


class ValueNotInSource(RuntimeError):
    """A value does not stand where it was read: a fault of ours, and better no output than that one."""


class _NotFound:
    pass


_NOT_FOUND = _NotFound()


@dataclass
class Filler:
    """Fills one schema from one document. After ``build``: ``evidence`` by pointer, ``missing`` pointers, and
    those that the rules did not find and were ``filled``.

    fill_gaps: whether what the rules leave open is looked for in sentences. load_chat: gives the language model that chooses
    where several values are about as likely; None leaves that open.
    """

    document: Document
    targets: list[tuple[Target, ...]]
    lists: list[ListTarget]
    fill_gaps: bool = True
    load_chat: LoadChat | None = None
    evidence: dict[str, Place] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    filled: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._values: dict[str, _Value] = {}
        self._taken: set[Place] = set()
        self._lists = {target.pointer: target for target in self.lists}
        self._text_of = dict(self.document.pages)

    def build(self, root: ObjectNode) -> dict[str, Any]:
        """Return the output. Where ``missing`` is not empty afterwards, it is not valid."""
        self._assign()
        output = self._object(root, "", self.missing)
        return output

    @cached_property
    def _whole(self) -> str:
        return "\n\n".join(text for _, text in self.document.pages if text)

    # Choosing ---------------------------------------------------------------------------------------------------------

    def _assign(self) -> None:
        candidates = [found for group in self.targets for found in self._candidates(group)]
        candidates.sort(key=lambda found: (-found.score, found.place.page or 0, found.place.start))
        for found in candidates:
            if found.target.pointer not in self._values and found.place not in self._taken:
                self._take(_Value(found.value, found.place, found.target))
        for group in self.targets:
            if group[0].pointer not in self._values and (found_alone := self._only_one(group)):
                self._take(found_alone)

        if self.fill_gaps:
            self._fill_gaps()

    def _fill_gaps(self) -> None:
        gaps = [Gap(group) for group in self.targets if group[0].pointer not in self._values and _may_be_filled(group)]
        for gap, candidate in fill(self.document.pages, gaps, self._is_free, self.load_chat) if gaps else ():
            self._take(_Value(candidate.found.value, Place(*candidate.place), candidate.target))
            self.filled.append(gap.pointer)

    def _is_free(self, page: int, start: int, end: int) -> bool:
        return not any(taken.page == page and taken.start < end and start < taken.end for taken in self._taken)

    def _take(self, value: _Value) -> None:
        self._values[value.target.pointer] = value
        self._taken.add(value.place)

    def _record(self, here: str, value: _Value) -> Any:
        """Give a value out, after it was read again where its evidence says it stands."""
        page, start, end = value.place
        source = self._whole if page is None else self._text_of[page]
        raw = source[start:end]
        if raw != value.value and all(found.value != value.value for found in value.target.read(raw)):
            raise ValueNotInSource(f"{here} is not at page {page}, {start} to {end}")
        self.evidence[here] = value.place
        return value.value

    def _candidates(self, group: tuple[Target, ...]) -> Iterator[_Candidate]:
        for target in group:
            if target.wants_text:
                yield from self._whole_text(target)
                continue
            yield from self._from_pairs(target)
            if target.loose:
                yield from self._from_text(target)

    def _whole_text(self, target: Target) -> Iterator[_Candidate]:
        pages = self.document.pages
        if len(pages) == 1:
            number, text = pages[0]
            place = Place(number, 0, len(text))
        else:
            text = self._whole
            place = Place(None, 0, len(text))
        if text.strip() and target.checker.is_valid(text):
            yield _Candidate(2.0, target, text, place)

    def _from_pairs(self, target: Target) -> Iterator[_Candidate]:
        for pair in self._pairs_about(target):
            score = pair.trust * fit(pair.label, target.label, self.document.headings[pair.line])
            if score >= _MIN_SCORE and (found := self._in_cell(target, pair)):
                yield _Candidate(score, target, found.value, _placed(pair.value, found))

    def _pairs_about(self, target: Target) -> Iterator[Pair]:
        seen: set[int] = set()
        for word in target.label.words:
            for number in self._pairs_by_word.get(word, ()):
                if number not in seen:
                    seen.add(number)
                    yield self.document.pairs[number]

    @cached_property
    def _pairs_by_word(self) -> dict[str, list[int]]:
        index: dict[str, list[int]] = {}
        for number, pair in enumerate(self.document.pairs):
            for word in pair.label:
                index.setdefault(word, []).append(number)
        return index

    def _in_cell(self, target: Target, pair: Pair) -> Found | None:
        text = pair.value.text
        if not target.whole:
            return next(target.read(text), None)
        value = text[:_MAX_STRING_CHARS].rstrip()
        if _says_nothing(value) or not target.checker.is_valid(value) or (pair.trust < 1 and self._is_a_label(value)):
            return None
        return Found(value, 0, len(value))

    def _is_a_label(self, text: str) -> bool:
        found = concepts(text)
        return found <= KNOWN or any(found in group[0].label.names for group in self.targets)

    def _from_text(self, target: Target) -> Iterator[_Candidate]:
        """Values in running text behind the words of their label: "the total amount due is EUR 45.50"."""
        for line in self.document.lines:
            if not line.text or not concepts(line.text) & target.label.words:
                continue
            done = 0
            for found in target.read(line.text):
                before = line.text[done : found.start].split()[-_LOOSE_WORDS:]
                done = found.end
                if score := _loose_score(before, target):
                    place = Place(line.page, line.start + found.start, line.start + found.end)
                    yield _Candidate(score, target, found.value, place)

    def _only_one(self, group: tuple[Target, ...]) -> _Value | None:
        for target in group:
            if not target.alone or not self._is_spoken_of(target):
                continue
            found = list(self._everywhere(target))
            free = [value for value in found if value.place not in self._taken]
            if free and len({value.value for value in found}) == 1:
                return free[0]
        return None

    def _is_spoken_of(self, target: Target) -> bool:
        """A lone date is a ``date``, and a ``due_date`` only where the document speaks of anything due."""
        return target.has_own_form or any(name - SORTS <= self._spoken for name in target.label.names)

    @cached_property
    def _spoken(self) -> frozenset[str]:
        return frozenset[str]().union(*(concepts(line.text) for line in self.document.lines))

    def _everywhere(self, target: Target) -> Iterator[_Value]:
        for page, text in self.document.pages:
            for found in target.read(text):
                yield _Value(found.value, Place(page, found.start, found.end), target)

    # Building ---------------------------------------------------------------------------------------------------------

    def _object(self, node: ObjectNode, base: str, missing: list[str]) -> dict[str, Any]:
        output: dict[str, Any] = {}
        for name, alternatives in node.properties.items():
            here = pointer(base, name)
            lacking: list[str] = []
            value = self._property(here, alternatives, name in node.required, lacking)
            if value is not _NOT_FOUND:
                output[name] = value
            elif not alternatives or any(alternative.nullable for alternative in alternatives):
                output[name] = None
            elif name in node.required:
                missing += lacking or [here]
        missing += [pointer(base, name) for name in sorted(node.required - node.properties.keys())]
        return output

    def _property(self, here: str, alternatives: tuple[Node, ...], required: bool, missing: list[str]) -> Any:
        for node in alternatives:
            if isinstance(node, ValueNode):
                value: Any = self._value(here)
            elif isinstance(node, ListNode):
                value = self._list(here, missing)
            else:
                value = self._nested(node, here, required, missing)
            if value is not _NOT_FOUND:
                return value
        return _NOT_FOUND

    def _value(self, here: str) -> Any:
        if here not in self._values:
            return _NOT_FOUND
        return self._record(here, self._values[here])

    def _nested(self, node: ObjectNode, here: str, required: bool, missing: list[str]) -> Any:
        known = set(self.evidence)
        lacking: list[str] = []
        output = self._object(node, here, lacking)
        found_any = len(self.evidence) > len(known)
        if not lacking and (found_any or (required and not node.nullable)):
            return output
        for where in self.evidence.keys() - known:
            del self.evidence[where]
        missing += lacking
        return _NOT_FOUND

    def _list(self, here: str, missing: list[str]) -> Any:
        target = self._lists.get(here)
        if target is None:
            return _NOT_FOUND
        return self._rows(target, missing) if target.row else self._items(target)

    def _rows(self, target: ListTarget, missing: list[str]) -> Any:
        output: list[dict[str, Any]] = []
        found: dict[str, _Value] = {}
        for row in read_rows(self.document, target):
            here = pointer(target.pointer, len(output))
            item: dict[str, Any] = {}
            for name, alternatives in target.columns.items():
                value = _first(alternatives, row.cells.get(name))
                if value is not None:
                    item[name] = value.value
                    found[pointer(here, name)] = value
                elif _takes_null(target.row, name):
                    item[name] = None
                elif target.row and name in target.row.required:
                    missing.append(pointer(here, name))
            output.append(item)
        if not output or missing:
            return _NOT_FOUND
        for where, value in found.items():
            self._record(where, value)
        return output

    def _items(self, target: ListTarget) -> Any:
        values = self._listed(target) or self._all_alone(target)
        if not values:
            return _NOT_FOUND
        return [self._record(pointer(target.pointer, number), value) for number, value in enumerate(values)]

    def _listed(self, target: ListTarget) -> list[_Value]:
        """The values behind the list's label: "Tags: red, green", or the bullets below a heading."""
        best = max(self.document.pairs, key=lambda pair: pair.trust * fit(pair.label, target.label), default=None)
        if best and best.trust * fit(best.label, target.label) >= _LIST_FIT and best.trust == 1.0:
            return [value for cell in _split(best.value) if (value := _first(target.items, cell))]
        return [value for cell in self._bullets(target) if (value := _first(target.items, cell))]

    def _bullets(self, target: ListTarget) -> Iterator[Cell]:
        below = False
        for line in self.document.lines:
            text = line.text.strip()
            marker = text[:2].rstrip()
            if below and marker in ("-", "*", "•", "–", "·"):
                start = line.start + line.text.index(marker) + len(marker)
                rest = line.text[line.text.index(marker) + len(marker) :]
                start += len(rest) - len(rest.lstrip())
                yield Cell(line.page, start, start + len(rest.strip()), rest.strip())
            elif text:
                if below and marker:
                    below = False
                below = len(text) <= 60 and fit(concepts(text.rstrip(":")), target.label) >= _LIST_FIT

    def _all_alone(self, target: ListTarget) -> list[_Value]:
        for item in target.items:
            if item.alone:
                distinct: dict[Any, _Value] = {}
                for value in self._everywhere(item):
                    distinct.setdefault(value.value, value)
                return list(distinct.values())
        return []


def _may_be_filled(group: tuple[Target, ...]) -> bool:
    """Not the whole text; nor yes and no, which a sentence says of anything."""
    return not any(target.wants_text or target.is_truth for target in group)


def _says_nothing(text: str) -> bool:
    """Whether a form was left empty there: a dash, "n/a", or the label of the next line."""
    return text.casefold() in _EMPTY or text.endswith((":", "：")) or not any(map(str.isalnum, text))


def _placed(cell: Cell, found: Found) -> Place:
    return Place(cell.page, cell.start + found.start, cell.start + found.end)


def _loose_score(before: list[str], target: Target) -> float:
    """How surely the words before a value are its label; 0 where they are not. The nearer, the surer."""
    for distance in range(len(before)):
        if distance and not _is_between(before[-distance]):
            break
        words = before[: len(before) - distance]
        for length in range(1, min(_LABEL_WORDS, len(words)) + 1):
            how_well = fit(concepts(" ".join(words[-length:])), target.label)
            if how_well >= _LOOSE_FIT:
                return max(_MIN_SCORE, how_well * _LOOSE_TRUST - _LOOSE_COST_A_WORD * distance)
    around = concepts(" ".join(before))
    return _MIN_SCORE if any(len(name) > 1 and name <= around for name in target.label.names) else 0.0


def _is_between(word: str) -> bool:
    bare = word.strip(".,:;()[]$€£¥\"'").casefold()
    return not bare or bare in _BETWEEN or bare.upper() in CURRENCY_CODES


def _first(alternatives: tuple[Target, ...], cell: Cell | None) -> _Value | None:
    """The first value that a cell holds for any of the alternatives."""
    if cell is None or not cell.text:
        return None
    for target in alternatives:
        if target.whole or target.wants_text:
            found = Found(cell.text, 0, len(cell.text)) if target.checker.is_valid(cell.text) else None
        else:
            found = next(target.read(cell.text), None)
        if found:
            return _Value(found.value, _placed(cell, found), target)
    return None


def _split(cell: Cell) -> Iterator[Cell]:
    start = 0
    for part in cell.text.replace(";", ",").split(","):
        stripped = part.strip()
        at = cell.start + start + len(part) - len(part.lstrip())
        start += len(part) + 1
        if stripped:
            yield Cell(cell.page, at, at + len(stripped), stripped)


def _takes_null(row: ObjectNode | None, name: str) -> bool:
    return row is not None and any(node.nullable for node in row.properties[name])
