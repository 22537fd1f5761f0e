"""What is looked for: each single value of the schema with its place in the output, its label and how it is read."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import jsonschema_rs

from . import _values
from ._labels import Label, label_of, prompt_labels
from ._schema import ListNode, ObjectNode, ValueNode, validator
from ._values import Found, Habits, Reader

__all__ = ["ListTarget", "Target", "list_target", "pointer", "target_of", "targets_of"]

_WHOLE_TEXT_NAMES = ("text", "content")
_RATE = re.compile(r"percent|rate|ratio|share|pct", re.IGNORECASE)
_MAX_VALUE_CHARS = 500
_MAX_PATTERN_WORDS = 5


@dataclass(frozen=True)
class Target:
    """One value to find.

    whole: a value is all of a cell, not something recognised in it. loose: it may be read in running text behind its
    label's words. alone: it may be taken without a label where the document holds only one of its sort. has_own_form:
    the schema says what this very value looks like (``pattern``, ``enum``), so that its form is label enough.
    """

    pointer: str
    label: Label
    reader: Reader
    checker: jsonschema_rs.Validator
    whole: bool = False
    loose: bool = False
    alone: bool = False
    has_own_form: bool = False
    wants_text: bool = False
    is_number: bool = False
    is_truth: bool = False

    def read(self, text: str) -> Iterator[Found]:
        """Yield the values in ``text`` that the schema allows here."""
        for found in self.reader(text):
            if self.checker.is_valid(found.value):
                yield found


@dataclass(frozen=True)
class ListTarget:
    """A list to find: ``columns`` of its rows by property for objects, ``item`` for single values."""

    pointer: str
    label: Label
    row: ObjectNode | None
    columns: Mapping[str, tuple[Target, ...]]
    items: tuple[Target, ...]


def pointer(base: str, name: str | int) -> str:
    """Append a step to a JSON pointer (RFC 6901)."""
    return f"{base}/{str(name).replace('~', '~0').replace('/', '~1')}"


def targets_of(
    node: ObjectNode, habits: Habits, prompt: str | None, base: str = "", within: str = ""
) -> Iterator[tuple[Target, ...] | ListTarget]:
    """Yield what to look for, alternatives of one value together, nested objects flattened."""
    for name, alternatives in node.properties.items():
        here = pointer(base, name)
        values = tuple(
            target_of(here, name, alternative, habits, prompt, within)
            for alternative in alternatives
            if isinstance(alternative, ValueNode)
        )
        if values:
            yield values
        for alternative in alternatives:
            if isinstance(alternative, ListNode):
                yield list_target(here, name, alternative, habits, prompt)
            elif isinstance(alternative, ObjectNode):
                yield from targets_of(alternative, habits, prompt, here, name)


def target_of(here: str, name: str, node: ValueNode, habits: Habits, prompt: str | None, within: str = "") -> Target:
    """Return how to look for one value, chosen by its schema first and by its name where that says nothing."""
    label = label_of(name, (*node.hints, *prompt_labels(prompt, name)), within)
    checker = validator({key: value for key, value in node.schema.items() if not key.startswith("$")})
    if node.choices is not None:
        reader = _values.choices(node.choices)
        return Target(here, label, reader, checker, loose=True, alone=node.type == "string", has_own_form=True)
    if node.type == "boolean":
        return Target(here, label, _values.truths, checker, is_truth=True)
    if node.type != "string":
        percent = bool(_RATE.search(name))
        reader = _values.numbers(habits, whole=node.type == "integer", percent=percent)
        return Target(here, label, reader, checker, loose=True, is_number=True)
    return _string_target(here, name, node, label, checker, habits)


def _string_target(
    here: str, name: str, node: ValueNode, label: Label, checker: jsonschema_rs.Validator, habits: Habits
) -> Target:
    by_format = {
        "date": _values.dates(habits),
        "date-time": _values.datetimes,
        "email": _values.emails,
        "idn-email": _values.emails,
        "uri": _values.uris,
        "iri": _values.uris,
    }
    if reader := by_format.get(node.format or ""):
        return Target(here, label, reader, checker, loose=True, alone=True)
    words = label.words
    if "currency" in words:
        return Target(here, label, _values.currencies, checker, loose=True, alone=True)
    if "pattern" in node.schema:
        return Target(here, label, _grams(checker), checker, loose=True, alone=True, has_own_form=True)
    for concept, form in (("email", _values.emails), ("phone", _values.phones), ("website", _values.uris)):
        if concept in words:
            return Target(here, label, form, checker, loose=True, alone=True)
    if name in _WHOLE_TEXT_NAMES and node.format is None:
        return Target(here, label, _everything, checker, wants_text=True)
    if "date" in words:
        return Target(here, label, _as_written(_values.dates(Habits(day_first=True))), checker, loose=True)
    return Target(here, label, _values.identifiers, checker, whole=True, loose="number" in words)


def _as_written(reader: Reader) -> Reader:
    def read(text: str) -> Iterator[Found]:
        for found in reader(text):
            yield Found(text[found.start : found.end], found.start, found.end)

    return read


def _everything(text: str) -> Iterator[Found]:
    if stripped := text.strip():
        start = text.index(stripped)
        yield Found(stripped, start, start + len(stripped))


def _grams(checker: jsonschema_rs.Validator) -> Reader:
    """Read runs of words that the schema's ``pattern`` accepts, the shortest first at each word.

    The pattern is run by the validator on short strings and never by Python's ``re`` on a page: it is the caller's, and
    may be one that takes for ever (the validator's engine bounds its steps).
    """

    def read(text: str) -> Iterator[Found]:
        words = list(re.finditer(r"\S+", text))
        skip_to = 0
        for first, word in enumerate(words):
            if first < skip_to:
                continue
            for last in range(first, min(len(words), first + _MAX_PATTERN_WORDS)):
                if found := _accepted(text, word.start(), words[last].end(), checker):
                    yield found
                    skip_to = last + 1
                    break

    return read


def _accepted(text: str, start: int, end: int, checker: jsonschema_rs.Validator) -> Found | None:
    raw = text[start:end]
    if len(raw) > _MAX_VALUE_CHARS:
        return None
    for candidate in dict.fromkeys((raw, raw.strip(".,;:!?()[]{}\"'“”‘’"))):
        if candidate and checker.is_valid(candidate):
            at = start + raw.index(candidate)
            return Found(candidate, at, at + len(candidate))
    return None


def list_target(here: str, name: str, node: ListNode, habits: Habits, prompt: str | None) -> ListTarget:
    """Return how to look for a list: by the columns of its rows, or by what its values look like."""
    label = label_of(name, (*node.hints, *prompt_labels(prompt, name)))
    row = next((item for item in node.items if isinstance(item, ObjectNode)), None)
    columns = {
        column: tuple(
            target_of(pointer(here, column), column, alternative, habits, prompt)
            for alternative in alternatives
            if isinstance(alternative, ValueNode)
        )
        for column, alternatives in (row.properties.items() if row else ())
    }
    items = tuple(target_of(here, name, item, habits, prompt) for item in node.items if isinstance(item, ValueNode))
    return ListTarget(here, label, row, columns, items)
