"""``local/extract``: a document's text to the values that a JSON Schema asks for, by rules first.

Key and value lines, tables, dates, money and the forms that ``format``, ``pattern`` and ``enum`` describe. Every value
says where it stands and is read again there before it is given out; what the document does not say is null where the
schema allows it, left out where it is optional, and a failure otherwise. Nothing is guessed: 03/04/2026 in a document
that does not show which comes first is no date, and a bare $ is no currency. What the rules leave open a language model may
help to fill, with values that stand in the document next to words about the property.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jsonschema_rs

from amends.problems import ProblemError, problem

from ._document import Document
from ._fill import Filler, Place
from ._filling import LoadChat
from ._schema import compile_schema, validator
from ._targets import ListTarget, targets_of
from ._values import habits_of

__all__ = ["Extraction", "Extractor", "LoadChat", "Place", "schema_errors"]

_HABIT_PAGES = 50
_HABIT_CHARS = 200_000
_MAX_ERRORS_TOLD = 3


class Extraction(NamedTuple):
    """output: valid against the schema. evidence: JSON pointer into it → where that value stands."""

    output: dict[str, Any]
    evidence: dict[str, Place]


class Extractor:
    """Extracts by one schema, compiled once.

    schema: JSON Schema 2020-12, its root an object. fill_gaps: whether what the rules leave open is looked for in sentences.
    load_chat: gives the language model that chooses where several values are about as likely, called when a document has such;
    None, also as its answer, leaves that open.
    Raises ProblemError ``prediction_failed`` for a schema that cannot be used.
    """

    def __init__(self, schema: Mapping[str, Any], *, fill_gaps: bool = True, load_chat: LoadChat | None = None) -> None:
        self._fill_gaps, self._load_chat = fill_gaps, load_chat
        try:
            self._whole = validator(schema)  # first: what it lets through has the shape that compiling relies on
            self._root = compile_schema(schema)
        except (ValueError, RecursionError, jsonschema_rs.ReferencingError) as error:
            reason = str(error).partition("\n")[0]
            raise ProblemError(problem("prediction_failed", f"The output schema cannot be used: {reason}")) from error

    def extract(self, pages: Sequence[tuple[int, str]], *, prompt: str | None = None) -> Extraction:
        """Return what the pages say of the schema's properties.

        pages: number and text of each. prompt: may say what the document calls a property (``total: Amount payable``,
        ``total is called "Zahlbetrag"``); anything else in it has no effect, since no language model reads it.
        A string property ``text`` or ``content`` without a form of its own receives the page's text, or that of all
        pages with an empty line between them, whose place then has no page.

        Raises ProblemError ``prediction_failed``, with ``missing`` pointers, where a required value is not in the
        document, and where what was found is not valid against the whole schema.
        """
        filler = self._filler(pages, prompt, fill_gaps=self._fill_gaps)
        output = filler.build(self._root)
        if filler.filled and not self._whole.is_valid(output):
            # What was filled may stand in the way of what the schema says of the whole.
            filler = self._filler(pages, prompt, fill_gaps=False)
            output = filler.build(self._root)
        if filler.missing:
            names = ", ".join(where.removeprefix("/").replace("/", ".") for where in filler.missing)
            detail = f"The document has no value for: {names}"
            raise ProblemError(problem("prediction_failed", detail, missing=filler.missing))
        if errors := _messages(self._whole, output):
            detail = "The values found are not valid against the schema: " + "; ".join(errors[:_MAX_ERRORS_TOLD])
            raise ProblemError(problem("prediction_failed", detail, errors_total=len(errors)))
        return Extraction(output, filler.evidence)

    def _filler(self, pages: Sequence[tuple[int, str]], prompt: str | None, *, fill_gaps: bool) -> Filler:
        sample = "\n".join(text for _, text in pages[:_HABIT_PAGES])[:_HABIT_CHARS]
        found = list(targets_of(self._root, habits_of(sample), prompt))
        groups = [group for group in found if not isinstance(group, ListTarget)]
        lists = [target for target in found if isinstance(target, ListTarget)]
        vocabulary = frozenset[str]().union(*(group[0].label.words for group in groups))
        return Filler(Document(pages, vocabulary), groups, lists, fill_gaps, self._load_chat)


def schema_errors(schema: Mapping[str, Any]) -> Callable[[Any], list[str]]:
    """Return what says why an output is not valid against ``schema``, [] where it is. Raises ValueError for a bad one."""
    whole = validator(schema)
    return lambda output: _messages(whole, output)


def _messages(whole: jsonschema_rs.Validator, output: Any) -> list[str]:
    return [f"{_where(error)}: {error.message}" for error in whole.iter_errors(output)]


def _where(error: jsonschema_rs.ValidationError) -> str:
    return "".join(f"/{step}" for step in error.instance_path) or "/"
