"""Models as annotators: an order's tasks, each asked as an item, each answered as a person would answer it.

What is asked is put in the words of the processor that predicts; what that says is read as an answer. The owner's process imports only
this module, which loads no model and decodes no file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from amends.engine.processor import Job, Needs, Session, Surroundings
from amends.models import kind_of
from amends.problems import Problem, file_not_found, problem
from amends.processors.annotate._abilities import described, refusal
from amends.processors.predict import PredictProcessor

__all__ = ["KIND", "AnnotateProcessor", "refusal"]

KIND: Final = "annotate"


class AnnotateProcessor:
    """The processor of kind ``annotate``. Job parameters: ``model``, ``prompt``, ``kind`` and ``instruction`` (of the job definition).

    An item holds ``assets`` and ``media_context`` (each ``{"text": …}`` or ``{"file": …}``), ``context``, ``sentence`` and
    ``options``; its output is ``{"answer": …}``.
    """

    kind = KIND

    def __init__(self) -> None:
        self._predict = PredictProcessor()

    def validate(self, job: Job, payload: Mapping[str, Any]) -> Problem | None:
        """Say what keeps the model from answering: an asset of a kind that it does not take."""
        name = str(job.params.get("model"))
        model = described(name, job.settings)
        if model is None:
            return problem("batch_item_processing_failed", f"There is no model {name!r}")
        for asset in payload["assets"]:
            file = asset.get("file")
            if file is None:
                if not model.takes_input:
                    return problem("unsupported_file_format", f"{name} reads files, and the task holds a text")
            elif not file.get("sha256"):
                return file_not_found(file["id"])
            elif kind_of(file["media_type"]) not in model.takes:
                detail = f"{name} does not process {file['media_type']}"
                return problem("unsupported_file_format", detail, media_type=file["media_type"])
        return None

    def needs(self, job: Job) -> Needs:
        """Those of the model, whoever asks it."""
        return self._predict.needs(job)

    def open(self, surroundings: Surroundings) -> Session:
        """Return a session that loads each model when an item first needs it."""
        from ._session import AnnotateSession

        return AnnotateSession(surroundings)
