"""Requests in the words of OpenAI's API, one an item, answered by the model that they name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from amends.engine.processor import Job, Needs, Session, Surroundings
from amends.problems import Problem, problem
from amends.processors.predict import PredictProcessor

__all__ = ["OpenAIProcessor"]


class OpenAIProcessor:
    """The processor of kind ``openai``. Job parameters: ``model`` (aliases followed) and ``endpoint`` (``/v1/…``).

    An item holds its request's body as ``input``, or as ``fault`` what is wrong with the line that it was to be.
    """

    kind = "openai"

    def __init__(self) -> None:
        self._predict = PredictProcessor()

    def validate(self, job: Job, payload: Mapping[str, Any]) -> Problem | None:
        """The problem of a line that is no request."""
        fault = payload.get("fault")
        if fault is None:
            return None
        members = {"line": fault["line"], "line_code": fault["code"], "param": fault["param"]}
        return problem("validation_failed", fault["message"], custom_id=payload.get("custom_id"), **members)

    def needs(self, job: Job) -> Needs:
        """Those of the model, whoever asks it."""
        return self._predict.needs(job)

    def open(self, surroundings: Surroundings) -> Session:
        """Return a session that loads each model when an item first needs it."""
        from ._session import OpenAISession

        return OpenAISession(surroundings)
