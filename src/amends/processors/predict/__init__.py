"""Batch prediction: documents, pictures and text through an embedded model.

The owner's process imports only this module, which loads no model and decodes no file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from amends.engine.processor import Job, Needs, Session, Surroundings
from amends.models import MODELS, Model, kind_of
from amends.problems import Problem, file_not_found, problem

__all__ = ["PredictProcessor"]

_TIMEOUT_SECONDS = 300.0


class PredictProcessor:
    """The processor of kind ``predict``. Job parameters: ``model``, ``prompt``, ``output_schema``, ``timeout_seconds``."""

    kind = "predict"

    def validate(self, job: Job, payload: Mapping[str, Any]) -> Problem | None:
        """Say what keeps an item from running: a missing or empty file, a type the model does not take, a missing page.

        Only what is recorded of the file is looked at, not its bytes.
        """
        model = MODELS.get(str(job.params.get("model")))
        if model is None:
            return problem("batch_item_processing_failed", f"There is no model {job.params.get('model')!r}")
        if "file" in payload:
            return _file_problem(model, payload["file"], payload.get("page"))
        if not model.takes_input:
            return problem("unsupported_file_format", f"{model.name} reads files, and the item holds none")
        return None

    def needs(self, job: Job) -> Needs:
        """Return the batch size that the model is fastest with, and the run's own limit on an item's time if it has one."""
        model = MODELS.get(str(job.params.get("model")))
        timeout = job.params.get("timeout_seconds")
        return Needs(
            batch_size=model.batch_size if model else 1,
            item_timeout_seconds=_TIMEOUT_SECONDS if timeout is None else float(timeout),
        )

    def open(self, surroundings: Surroundings) -> Session:
        """Return a session that loads each model when an item first needs it."""
        from ._session import PredictSession

        return PredictSession(surroundings)


def _file_problem(model: Model, file: Mapping[str, Any], page: int | None) -> Problem | None:
    if not file.get("sha256"):
        return file_not_found(file["id"])
    if file.get("bytes") == 0:
        return problem("unprocessable_content", "The file is empty", error_code="FILE_EMPTY")
    media_type = file.get("media_type") or "application/octet-stream"
    kind = kind_of(media_type)
    if kind not in model.takes:
        return problem("unsupported_file_format", f"{model.name} does not process {media_type}", media_type=media_type)
    return None if page is None else _page_problem(page, media_type, file.get("pages"))


def _page_problem(page: int, media_type: str, pages: int | None) -> Problem | None:
    if pages is not None and not 1 <= page <= pages:
        detail = f"Page {page} was asked for, and the file has {pages}"
        return problem("unsupported_file_format", detail, page=page, pages=pages)
    # Where nobody could count a file's pages, its reader will.
    if pages is None and not media_type.startswith(("application/pdf", "image/tiff")):
        return problem("unsupported_file_format", f"Page {page} of a file without pages", page=page)
    return None
