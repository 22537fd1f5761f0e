"""``local/extract``: a document's text to the values that a JSON Schema asks for, by rules alone.

Key and value lines, tables, dates, money and the forms that ``format``, ``pattern`` and ``enum`` describe. Every value
says where it stands and is read again there before it is given out; what the document does not say is null where the
schema allows it, left out where it is optional, and a failure otherwise. Nothing is guessed: 03/04/2026 in a document
that does not show which comes first is no date, and a bare $ is no currency.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from amends.problems import ProblemError, problem

from ._document import Document
from ._fill import Filler, Place
from ._schema import compile_schema, validator
from ._targets import ListTarget, targets_of
from ._values import habits_of

__all__ = ["Extraction", "Place", "extract"]

_HABIT_CHARS = 200_000
_MAX_ERRORS_TOLD = 3


class Extraction(NamedTuple):
    """output: valid against the schema. evidence: JSON pointer into it → where that value stands."""

    output: dict[str, Any]
    evidence: dict[str, Place]


def extract(pages: Sequence[tuple[int, str]], schema: Mapping[str, Any], *, prompt: str | None = None) -> Extraction:
    """Return what the pages say of the properties of ``schema`` (JSON Schema 2020-12, its root an object).

    pages: number and text of each. prompt: may say what the document calls a property (``total: Amount payable``,
    ``total is called "Zahlbetrag"``); anything else in it has no effect, since no language model reads it.
    A string property ``text`` or ``content`` without a form of its own receives the page's text, or that of all pages
    with an empty line between them, whose place then has no page.

    Raises ProblemError ``prediction_failed``, with ``missing`` pointers, where a required value is not in the document,
    and where what was found is not valid against the whole schema.
    """
    try:
        root = compile_schema(schema)
        whole = validator(schema)
        filler = _filler(pages, root, prompt)
    except (ValueError, RecursionError) as error:
        raise ProblemError(problem("prediction_failed", f"The output schema cannot be used: {error}")) from error
    output = filler.build(root)
    if filler.missing:
        names = ", ".join(where.removeprefix("/").replace("/", ".") for where in filler.missing)
        raise ProblemError(
            problem("prediction_failed", f"The document has no value for: {names}", missing=filler.missing)
        )
    _check(whole, output)
    return Extraction(output, filler.evidence)


def _filler(pages: Sequence[tuple[int, str]], root: Any, prompt: str | None) -> Filler:
    sample = "\n".join(text for _, text in pages[:50])[:_HABIT_CHARS]
    found = list(targets_of(root, habits_of(sample), prompt))
    groups = [group for group in found if not isinstance(group, ListTarget)]
    lists = [target for target in found if isinstance(target, ListTarget)]
    vocabulary = frozenset[str]().union(*(group[0].label.words for group in groups))
    return Filler(Document(pages, vocabulary), groups, lists)


def _check(whole: Any, output: dict[str, Any]) -> None:
    errors = [f"{_where(error)}: {error.message}" for error in whole.iter_errors(output)]
    if errors:
        detail = "The values found are not valid against the schema: " + "; ".join(errors[:_MAX_ERRORS_TOLD])
        raise ProblemError(problem("prediction_failed", detail, errors_total=len(errors)))


def _where(error: Any) -> str:
    return "".join(f"/{step}" for step in error.instance_path) or "/"
