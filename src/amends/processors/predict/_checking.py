"""Checking an output against the run's schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from amends.problems import ProblemError, problem

__all__ = ["OutputCheck"]

_NAMED = 3


class OutputCheck:
    """Called with an output, raises ProblemError unless it is valid. members: further ones of that problem."""

    def __init__(self, schema: Mapping[str, Any], **members: Any) -> None:
        from amends.models.extract import schema_errors

        self._errors = schema_errors(schema)
        self._members = members

    def __call__(self, output: bytes) -> None:
        if errors := self._errors(msgspec.json.decode(output)):
            detail = "The output is not valid against the schema: " + "; ".join(errors[:_NAMED])
            raise ProblemError(problem("prediction_failed", detail, errors_total=len(errors), **self._members))
