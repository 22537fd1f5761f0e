"""What a worker's child does with items of kind ``predict``."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec

from amends.blobs import LocalBlobs
from amends.engine.processor import Failed, Job, Result, Succeeded, Surroundings, WorkItem
from amends.problems import Problem, ProblemError, problem

from ._runners import Answer, Echo, Extract, Labels, Ocr, Runner

if TYPE_CHECKING:
    from amends.models._labels import ImageLabels
    from amends.models._ocr import TextRecogniser

__all__ = ["PredictSession"]

_log = logging.getLogger("amends.processors.predict")


class Loaded:
    """The models of one child, each loaded when it is first asked for and then kept."""

    def __init__(self, threads: int) -> None:
        self._threads = threads

    @cached_property
    def recogniser(self) -> TextRecogniser:
        from amends.models import load_recogniser

        return load_recogniser(threads=self._threads)

    @cached_property
    def labels(self) -> ImageLabels:
        from amends.models import load_labels

        return load_labels(threads=self._threads)


class PredictSession:
    """Processes items one after the other; what goes wrong with one is that one's problem."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._blobs = LocalBlobs(surroundings.blobs)
        self._loaded = Loaded(surroundings.threads)
        self._runner: tuple[Job, Runner] | None = None

    def process(self, job: Job, items: Sequence[WorkItem]) -> Iterator[Result]:
        """Yield one result for each item, in order. Raises nothing for what an item or a model does."""
        for item in items:
            yield self._process(job, item)

    def close(self) -> None:
        """Let go of the models."""
        self._runner = None
        self._loaded = Loaded(0)

    def _process(self, job: Job, item: WorkItem) -> Result:
        try:
            answer = self._runner_of(job).run(item.payload)
        except ProblemError as error:
            return Failed(item.seq, error.problem)
        except MemoryError:
            return Failed(item.seq, problem("batch_item_processing_failed", error_code="ITEM_OUT_OF_MEMORY"))
        except Exception:
            _log.exception("item_failed", extra={"item": item.key})
            return Failed(item.seq, _unexpected())
        return Succeeded(item.seq, answer.output, answer.evidence)

    def _runner_of(self, job: Job) -> Runner:
        known = self._runner
        if known is None or (known[0] is not job and known[0] != job):  # comparing jobs costs as much as an echo
            known = self._runner = (job, self._make_runner(job))
        return known[1]

    def _make_runner(self, job: Job) -> Runner:
        loaded = self._loaded
        schema, prompt = job.params.get("output_schema"), job.params.get("prompt")
        match job.params.get("model"):
            case "local/echo":
                runner: Runner = Echo(self._blobs)
            case "local/ocr":
                runner = Ocr(self._blobs, lambda image: loaded.recogniser.read(image))
            case "local/image-labels":
                runner = Labels(self._blobs, lambda image: loaded.labels.predict([image])[0])
            case "local/extract" if schema is not None:
                return Extract(self._blobs, lambda image: loaded.recogniser.read(image), schema, prompt)
            case name:
                raise LookupError(f"no model {name!r} for these parameters")
        return runner if schema is None else _Checked(runner, schema)


class _Checked:
    """A runner whose output must be valid against the run's schema."""

    def __init__(self, runner: Runner, schema: dict[str, Any]) -> None:
        from amends.models.extract import schema_errors

        self._runner = runner
        self._errors = schema_errors(schema)

    def run(self, payload: bytes) -> Answer:
        answer = self._runner.run(payload)
        if errors := self._errors(msgspec.json.decode(answer.output)):
            detail = "The output is not valid against the schema: " + "; ".join(errors[:3])
            raise ProblemError(problem("prediction_failed", detail, errors_total=len(errors)))
        return answer


def _unexpected() -> Problem:
    return problem("batch_item_processing_failed")
