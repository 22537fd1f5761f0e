"""What a worker's child does with items of kind ``predict``."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from amends.blobs import LocalBlobs
from amends.engine.processor import Failed, Job, Result, Succeeded, Surroundings, WorkItem
from amends.models import MODELS, Kind
from amends.models.providers import describe_model, find_provider, read_providers

from ._checking import OutputCheck
from ._problems import problem_of
from ._runners import Answer, Echo, Extract, Labels, Ocr, Runner, is_url

if TYPE_CHECKING:
    from amends.models._labels import ImageLabels
    from amends.models._ocr import TextRecogniser

    from ._calls import ProviderCalls
    from ._urls import UrlItems

__all__ = ["PredictSession"]


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
    """Processes items one after the other, or all at once where a provider does the work; what goes wrong with one is that one's problem.

    environ: where the providers' keys are.
    """

    def __init__(self, surroundings: Surroundings, environ: Mapping[str, str] = os.environ) -> None:
        self._blobs = LocalBlobs(surroundings.blobs)
        self._loaded = Loaded(surroundings.threads)
        self._runner: tuple[Job, Runner] | None = None
        self._providers = read_providers(surroundings.settings.get("providers", {}))
        self._environ = environ
        self._fetching = surroundings.settings.get("fetch", {})

    def process(self, job: Job, items: Sequence[WorkItem]) -> Iterator[Result]:
        """Yield one result for each item, in order or, of a provider's, as they come. Raises nothing for what an item or a model does."""
        if not any(is_url(item.payload) for item in items):
            yield from self._processed(job, items)
            return
        for group in self._urls.ready(items, self._takes(job)):
            yield from (done for done in group if isinstance(done, Failed))
            yield from self._processed(job, [item for item in group if isinstance(item, WorkItem)])

    def _processed(self, job: Job, items: Sequence[WorkItem]) -> Iterator[Result]:
        if find_provider(str(job.params.get("model")), self._providers):
            yield from self._calls.process(job, items)
            return
        for item in items:
            yield self._process(job, item)

    def _takes(self, job: Job) -> Collection[Kind]:
        """The kinds of file that the job's model takes."""
        name = str(job.params.get("model"))
        provided = find_provider(name, self._providers)
        model = describe_model(*provided) if provided else MODELS.get(name)
        return frozenset() if model is None else model.takes

    @cached_property
    def _urls(self) -> UrlItems:
        from ._urls import UrlItems

        return UrlItems(self._blobs, self._fetching)

    def stop(self, keys: Collection[str]) -> None:
        """Stop what a provider is asked for these items; nothing more is heard of them."""
        self._calls.stop(keys)

    def close(self) -> None:
        """Let go of the models and of the connections."""
        if "_calls" in vars(self):
            self._calls.close()
        self._runner = None
        self._loaded = Loaded(0)

    @cached_property
    def _calls(self) -> ProviderCalls:
        from ._calls import ProviderCalls

        return ProviderCalls(
            self._providers, self._environ, self._blobs, lambda image: self._loaded.recogniser.read(image)
        )

    def _process(self, job: Job, item: WorkItem) -> Result:
        try:
            answer = self._runner_of(job).run(item.payload)
        except Exception as error:
            return Failed(item.seq, problem_of(error, item))
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
        self._runner = runner
        self._check = OutputCheck(schema)

    def run(self, payload: bytes) -> Answer:
        answer = self._runner.run(payload)
        self._check(answer.output)
        return answer
