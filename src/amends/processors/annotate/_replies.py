"""What a model said, as an answer to the task."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from amends.problems import ProblemError, problem

from ._questions import Question

__all__ = ["Meanings", "answer_of"]

Meanings = Callable[[Sequence[str]], Any]
"""Texts → vectors of length 1, by which their likeness is told."""

MAX_TEXT: Final = 10_000


def answer_of(kind: str, question: Question, output: Mapping[str, Any], meanings: Meanings) -> Any:
    """The answer in the form of the kind. ProblemError where the output holds none."""
    if "labels" in output:
        return option_of(output["labels"], question.options, meanings)
    said = output["answer"] if "answer" in output else output["text"]
    if kind == "compare":
        return question.options.index(said)
    if kind != "free_text":
        return said
    text = str(said).strip()[:MAX_TEXT]
    if not text:
        raise ProblemError(problem("prediction_failed", "The model answered nothing"))
    return text


def option_of(labels: Sequence[Mapping[str, Any]], options: Sequence[str], meanings: Meanings) -> str:
    """The option that what was seen in a picture speaks for: by name where a label names one, else by likeness of meaning.

    labels: ``{"name", "score"}``; a name may list several, separated by commas.
    """
    named = {option: sum(label["score"] for label in labels if _names(label["name"], option)) for option in options}
    if any(named.values()):
        return max(options, key=lambda option: named[option])
    vectors = meanings([*options, *(label["name"] for label in labels)])
    seen = vectors[len(options) :]
    alike = [
        sum(label["score"] * max(0.0, float(vector @ other)) for label, other in zip(labels, seen, strict=True))
        for vector in vectors[: len(options)]
    ]
    return options[alike.index(max(alike))]


def _names(label: str, option: str) -> bool:
    """Whether the option stands in the label as whole words, or the other way round."""
    words, wanted = _words(label), _words(option)
    return bool(wanted) and (
        f" {wanted} " in f" {words} "
        or any(name and f" {name} " in f" {wanted} " for name in map(_words, label.split(",")))
    )


def _words(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))
