"""Query parameters that an operation does not know are refused: a misspelt filter must not show everything."""

from __future__ import annotations

from collections.abc import Set

from fastapi import Request
from fastapi.dependencies.models import Dependant

from amends.problems import FieldError, ProblemError, validation_failed


def known_parameters(handler: Dependant) -> frozenset[str]:
    """The query parameters that a handler takes, or anything that it depends on."""
    own = (field.alias for field in handler.query_params)
    return frozenset(own).union(*map(known_parameters, handler.dependencies))


def refuse_unknown_parameters(request: Request, known: Set[str]) -> None:
    """ProblemError validation_failed naming each query parameter that is none of those."""
    if not request.scope["query_string"]:
        return
    unknown = [name for name in request.query_params if name not in known]
    if unknown:
        raise ProblemError(validation_failed([_fault(name, known) for name in unknown]))


def _fault(name: str, known: Set[str]) -> FieldError:
    choice = f"; this operation knows {', '.join(sorted(known))}" if known else "; this operation knows none"
    return FieldError.at(("query", name[:64]), f"There is no such parameter{choice}", "extra_forbidden")
