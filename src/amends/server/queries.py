"""Query parameters that an operation does not know are refused: a misspelt filter must not show everything."""

from __future__ import annotations

from typing import Any

from fastapi import Request

from amends.problems import FieldError, ProblemError, validation_failed


def refuse_unknown_parameters(request: Request) -> None:
    """ProblemError validation_failed naming each query parameter that the OpenAPI document does not list for the operation."""
    if not request.scope["query_string"]:
        return
    known = _known(request.app.openapi(), request.scope["route"].path_format, request.method)
    unknown = [name for name in request.query_params if name not in known]
    if unknown:
        raise ProblemError(validation_failed([_fault(name, known) for name in unknown]))


def _known(document: dict[str, Any], path: str, method: str) -> set[str]:
    parameters = document["paths"][path][method.lower()].get("parameters", ())
    return {parameter["name"] for parameter in parameters if parameter["in"] == "query"}


def _fault(name: str, known: set[str]) -> FieldError:
    choice = f"; this operation knows {', '.join(sorted(known))}" if known else "; this operation knows none"
    return FieldError.at(("query", name[:64]), f"There is no such parameter{choice}", "extra_forbidden")
