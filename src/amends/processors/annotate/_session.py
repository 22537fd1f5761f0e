"""What a worker's child does with items of kind ``annotate``."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any, Final

import msgspec

from amends.blobs import LocalBlobs
from amends.engine.processor import Failed, Job, Result, Succeeded, Surroundings, WorkItem
from amends.models.providers import find_provider, read_providers
from amends.problems import ProblemError, problem
from amends.processors.predict._problems import problem_of
from amends.processors.predict._session import PredictSession

from ._questions import Question, question_of
from ._replies import answer_of

__all__ = ["AnnotateSession"]

_JOBS_KEPT: Final = 64
_VECTORS_KEPT: Final = 2_000

_encode = msgspec.json.Encoder().encode


class AnnotateSession:
    """Asks the session that predicts, and reads what it says as an answer. Its methods may be called by several threads at once."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._predict = PredictSession(surroundings)
        self._blobs = LocalBlobs(surroundings.blobs)
        self._providers = read_providers(surroundings.settings.get("providers", {}))
        self._jobs: OrderedDict[tuple[str, bytes, str], Job] = OrderedDict()
        self._vectors: Mapping[str, Any] = {}

    def process(self, job: Job, items: Sequence[WorkItem]) -> Iterator[Result]:
        """Yield one result for each item, as they come. Raises nothing for what one item or a model does."""
        asked: dict[int, Question] = {}
        groups: dict[tuple[str, ...], list[WorkItem]] = {}
        for item in items:
            try:
                question = self._question(job, item)
            except Exception as error:
                yield Failed(item.seq, problem_of(error, item))
                continue
            asked[item.seq] = question
            groups.setdefault(question.options, []).append(item._replace(payload=question.payload))
        for options, group in groups.items():
            inner = self._inner(job, asked[group[0].seq], options)
            for result in self._predict.process(inner, group):
                yield self._read(job, asked[result.seq], result)

    def stop(self, keys: Collection[str]) -> None:
        """Stop what a provider is asked for these items; nothing more is heard of them."""
        self._predict.stop(keys)

    def close(self) -> None:
        """Let go of the models and of the connections."""
        self._predict.close()

    def _question(self, job: Job, item: WorkItem) -> Question:
        found = find_provider(str(job.params["model"]), self._providers)
        sees = found is not None and found[0].takes_images
        task: Mapping[str, Any] = msgspec.json.decode(item.payload)
        return question_of(job.params, task, self._blobs if sees else None)

    def _inner(self, job: Job, question: Question, options: tuple[str, ...]) -> Job:
        """The job as it is asked for these options: the same object each time, since what answers it is kept by that."""
        key = (job.run_id, sha256(repr((options, question.schema)).encode()).digest(), job.upstream)
        inner = self._jobs.get(key)
        if inner is None:
            params = {"model": job.params["model"], "prompt": question.prompt, "output_schema": question.schema}
            run_id = f"{job.run_id}/{key[1].hex()[:16]}"
            inner = self._jobs[key] = Job(run_id, job.mode, params, job.settings, job.deadline, job.upstream)
            if len(self._jobs) > _JOBS_KEPT:
                self._jobs.popitem(last=False)
        return inner

    def _read(self, job: Job, question: Question, result: Result) -> Result:
        if isinstance(result, Failed):
            return result
        try:
            output: Mapping[str, Any] = msgspec.json.decode(result.output)
            answer = answer_of(str(job.params["kind"]), question, output, self._meanings)
        except ProblemError as error:
            return Failed(result.seq, error.problem)
        except (KeyError, TypeError, ValueError) as error:
            what = problem("prediction_failed", f"The model's output is no answer to the task: {error!r}")
            return Failed(result.seq, what)
        return Succeeded(result.seq, _encode({"answer": answer}), usage=result.usage)

    def _meanings(self, texts: Sequence[str]) -> Any:
        """One vector of length 1 a text. Options, and the names of what pictures show, come again and again: they are read once."""
        known = {text: self._vectors.get(text) for text in texts}
        new = [text for text, vector in known.items() if vector is None]
        if new:
            known.update(zip(new, (found.vector for found in self._predict.loaded.embedder.embed(new)), strict=True))
            kept = self._vectors if len(self._vectors) < _VECTORS_KEPT else {}
            self._vectors = {**kept, **known}  # a new one, since other threads read the old one
        return [known[text] for text in texts]
