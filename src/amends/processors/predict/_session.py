"""What a worker's child does with items of kind ``predict``."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from amends.blobs import LocalBlobs
from amends.engine.processor import Failed, Job, Result, Succeeded, Surroundings, WorkItem
from amends.models import MODELS, Kind, has_chat
from amends.models.providers import describe_model, find_provider, read_providers

from ._checking import OutputCheck
from ._problems import problem_of
from ._runners import Answer, Echo, Extract, Labels, Ocr, Runner, is_url
from ._texts import Chat, Classify, Embed, Text, TextReader, Texts

if TYPE_CHECKING:
    from PIL import Image

    from amends.models._labels import ImageLabels
    from amends.models._minilm import TextEmbedder
    from amends.models._ocr import TextRecogniser
    from amends.models._smollm2 import ChatModel

    from ._calls import ProviderCalls
    from ._urls import UrlItems

__all__ = ["Loaded", "PredictSession", "attempt"]

_T = TypeVar("_T")

_logger = logging.getLogger(__name__)


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

    @cached_property
    def embedder(self) -> TextEmbedder:
        from amends.models import load_embedder

        return load_embedder(threads=self._threads)

    @cached_property
    def chat(self) -> ChatModel:
        from amends.models import load_chat

        return load_chat(threads=self._threads)

    @cached_property
    def gap_chat(self) -> ChatModel | None:
        """The same model, for who can do without it."""
        from amends.models import WeightsUnusable

        try:
            return self.chat
        except (WeightsUnusable, ImportError) as error:
            _logger.warning("gap_filling_without_model", extra={"reason": str(error)})
            return None


class _Opened(NamedTuple):
    """What answers the items of a job. check: of its outputs against the schema, None where there is none to be checked."""

    job: Job
    runner: Runner | Texts
    check: OutputCheck | None


class PredictSession:
    """Processes items one after the other, or together where the model is faster so or a provider does the work; what goes
    wrong with one is that one's problem.

    environ: where the providers' keys are. loaded: the models so far.
    """

    def __init__(self, surroundings: Surroundings, environ: Mapping[str, str] = os.environ) -> None:
        self._blobs = LocalBlobs(surroundings.blobs)
        self.loaded = Loaded(surroundings.threads)
        self._opened: _Opened | None = None
        self._providers = read_providers(surroundings.settings.get("providers", {}))
        self._environ = environ
        self._fetching = surroundings.settings.get("fetch", {})
        self._fill_gaps = surroundings.settings.get("fill_gaps", "likely")

    def process(self, job: Job, items: Sequence[WorkItem]) -> Iterator[Result]:
        """Yield one result for each item, as they come. With one item, raises nothing for what it or a model does."""
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
        if not items:
            return
        opened = attempt(items[0], lambda: self._open(job))
        if isinstance(opened, Failed):
            yield from (opened._replace(seq=item.seq) for item in items)
        elif isinstance(opened.runner, Texts):
            yield from _together(opened, opened.runner, items)
        else:
            run = opened.runner.run
            for item in items:
                yield attempt(item, lambda item=item: _result(opened, item, run(item.payload)))  # type: ignore[misc]

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
        self._opened = None
        self.loaded = Loaded(0)

    @cached_property
    def _calls(self) -> ProviderCalls:
        from ._calls import ProviderCalls

        return ProviderCalls(self._providers, self._environ, self._blobs, self._recognise)

    def _open(self, job: Job) -> _Opened:
        known = self._opened
        if known is None or (known.job is not job and known.job != job):  # comparing jobs costs as much as an echo
            known = self._opened = self._make(job)
        return known

    def _make(self, job: Job) -> _Opened:
        schema, prompt = job.params.get("output_schema"), job.params.get("prompt")
        runner = self._runner(str(job.params.get("model")), schema, prompt)
        check = None if schema is None or isinstance(runner, Extract) else OutputCheck(schema)
        return _Opened(job, runner, check)

    def _runner(self, model: str, schema: dict[str, Any] | None, prompt: str | None) -> Runner | Texts:
        loaded = self.loaded
        reader = TextReader(self._blobs, self._recognise)
        match model:
            case "local/echo":
                return Echo(self._blobs)
            case "local/ocr":
                return Ocr(self._blobs, self._recognise)
            case "local/image-labels":
                return Labels(self._blobs, lambda image: loaded.labels.predict([image])[0])
            case "local/extract" if schema is not None:
                load_chat = (lambda: loaded.gap_chat) if self._fill_gaps == "model" and has_chat() else None
                is_on = self._fill_gaps != "off"
                return Extract(self._blobs, self._recognise, schema, prompt, fill_gaps=is_on, load_chat=load_chat)
            case "local/minilm":
                return Embed(reader, loaded.embedder)
            case "local/classify" if schema is not None:
                return Classify(reader, loaded.embedder, schema, prompt)
            case "local/smollm2":
                return Chat(reader, loaded.chat, schema, prompt)
        raise LookupError(f"no model {model!r} for these parameters")

    def _recognise(self, image: Image.Image) -> str:
        return self.loaded.recogniser.read(image)


def _together(opened: _Opened, runner: Texts, items: Sequence[WorkItem]) -> Iterator[Result]:
    """What the model raises for several items is not caught: the engine hands them again singly."""
    read: list[tuple[WorkItem, Text]] = []
    for item in items:
        text = attempt(item, partial(runner.read, item.payload))
        if isinstance(text, Failed):
            yield text
        else:
            read.append((item, text))
    texts = [text for _, text in read]
    answers = attempt(items[0], partial(runner.answer, texts)) if len(items) == 1 else runner.answer(texts)
    if isinstance(answers, Failed):
        yield answers
        return
    for (item, _), answer in zip(read, answers, strict=True):
        yield attempt(item, partial(_result, opened, item, answer))


def attempt(item: WorkItem, work: Callable[[], _T]) -> _T | Failed:
    """Do it, or say what it was that went wrong with the item."""
    try:
        return work()
    except Exception as error:
        return Failed(item.seq, problem_of(error, item))


def _result(opened: _Opened, item: WorkItem, answer: Answer) -> Succeeded:
    if opened.check is not None:
        opened.check(answer.output)
    return Succeeded(item.seq, answer.output, answer.evidence, answer.usage)
