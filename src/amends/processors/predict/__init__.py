"""Batch prediction: documents, pictures and text through an embedded model or a provider's.

The owner's process imports only this module, which loads no model and decodes no file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from amends.engine.processor import Job, Needs, Session, Surroundings, Upstream
from amends.models import MODELS, Model, kind_of
from amends.models.providers import (
    Provider,
    describe_model,
    find_provider,
    operation_of,
    read_providers,
    upstream_name,
)
from amends.problems import Problem, file_not_found, problem

__all__ = ["PredictProcessor"]

_TIMEOUT_SECONDS = 300.0
_READING_SECONDS = 60.0
"""What reading an item's document may take before a provider is called."""


class _Asked(NamedTuple):
    """What a job asks. provider: None for an embedded model. model: None where there is no such model."""

    provider: Provider | None
    model: Model | None


class PredictProcessor:
    """The processor of kind ``predict``. Job parameters: ``model``, ``prompt``, ``output_schema``, ``timeout_seconds``."""

    kind = "predict"

    def __init__(self) -> None:
        self._latest: tuple[Job, _Asked] | None = None

    def validate(self, job: Job, payload: Mapping[str, Any]) -> Problem | None:
        """Say what keeps an item from running: a missing or empty file, a type the model does not take, a missing page.

        Only what is recorded of the file is looked at, not its bytes.
        """
        model = self._asked(job).model
        if model is None:
            return problem("batch_item_processing_failed", f"There is no model {job.params.get('model')!r}")
        if "url" in payload:
            return None  # what is there, only fetching it tells
        if "file" in payload:
            return _file_problem(model, payload["file"], payload.get("page"))
        if not model.takes_input:
            return problem("unsupported_file_format", f"{model.name} reads files, and the item holds none")
        return None

    def needs(self, job: Job) -> Needs:
        """Return the batch size that the model is fastest with, and the run's own limit on an item's time if it has one."""
        provider, model = self._asked(job)
        timeout = job.params.get("timeout_seconds")
        # What is fetched is fetched before any of that begins.
        fetching = float(job.settings.get("fetch", {}).get("total_seconds", 0.0))
        if provider is not None:
            assert model is not None, "a provider's model is described"
            return _needs_of(provider, model, job.mode, timeout, fetching)
        return Needs(
            batch_size=model.batch_size if model else 1,
            item_timeout_seconds=_TIMEOUT_SECONDS + fetching if timeout is None else float(timeout),
        )

    def open(self, surroundings: Surroundings) -> Session:
        """Return a session that loads each model when an item first needs it."""
        from ._session import PredictSession

        return PredictSession(surroundings)

    def _asked(self, job: Job) -> _Asked:
        """Looked up once a job: a run is asked about item by item."""
        latest = self._latest
        if latest is None or latest[0] is not job:
            latest = self._latest = (job, _ask_for(job))
        return latest[1]


def _ask_for(job: Job) -> _Asked:
    name = str(job.params.get("model"))
    found = find_provider(name, read_providers(job.settings.get("providers", {})))
    return _Asked(None, MODELS.get(name)) if found is None else _Asked(found[0], describe_model(*found))


def _needs_of(provider: Provider, model: Model, mode: str, timeout: Any, fetching: float) -> Needs:
    """The call is bounded by its session; the engine's own limit is for a child that hangs."""
    seconds = provider.timeout_seconds if timeout is None else min(float(timeout), provider.timeout_seconds)
    operation = operation_of(provider, model.name.partition("/")[2])
    upstreams = tuple(
        Upstream(
            upstream_name(provider, operation, number, mode),
            provider.name,
            provider.concurrency,
            provider.requests_per_minute,
            provider.tokens_per_minute,
        )
        for number in range(len(provider.endpoints))
    )
    return Needs(item_timeout_seconds=seconds + _READING_SECONDS + fetching, upstreams=upstreams)


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
