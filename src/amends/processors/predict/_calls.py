"""Items that a provider answers: many calls at a time on one event loop, each result as it comes."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from functools import cached_property
from queue import SimpleQueue
from typing import Any

from amends.blobs import LocalBlobs
from amends.engine.processor import Failed, Job, Result, Succeeded, WorkItem
from amends.models.providers import (
    CHAT,
    EMBEDDINGS,
    Answer,
    Content,
    Provider,
    ProviderClient,
    Reply,
    chat_body,
    embeddings_body,
    endpoint_of,
    find_provider,
    operation_of,
    read_chat,
    read_embedding,
)
from amends.problems import Problem
from amends.processors.documents import Recognise
from amends.resilience import Deadline

from ._checking import OutputCheck
from ._content import read_asked
from ._problems import problem_of

__all__ = ["Asking", "ProviderCalls"]

_RUNS_REMEMBERED = 64

Done = tuple[WorkItem, "Future[Reply]"]


class ProviderCalls:
    """Processes the items of jobs whose model a provider has. May be used by several threads at once.

    clock: wall time, on which runs' deadlines are.
    """

    def __init__(
        self,
        providers: Mapping[str, Provider],
        environ: Mapping[str, str],
        blobs: LocalBlobs,
        recognise: Recognise,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._providers = providers
        self._environ = environ
        self._blobs = blobs
        self._recognise = recognise
        self._clock = clock
        self._reading = threading.Lock()  # PDFium is for one thread at a time
        self._lock = threading.Lock()
        self._clients: dict[str, ProviderClient] = {}
        self._running: dict[str, Future[Reply]] = {}
        self._wanted: set[str] = set()
        self._asking: OrderedDict[str, Asking] = OrderedDict()

    def process(self, job: Job, items: Sequence[WorkItem]) -> Iterator[Result]:
        """Yield one result for each item as it comes; none for those that are stopped."""
        asking = self._asking_of(job)
        done: SimpleQueue[Done] = SimpleQueue()
        waiting = 0
        with self._lock:
            self._wanted.update(item.key for item in items)
        for item in items:
            try:
                waiting += self._start(asking, job, item, done)
            except Exception as error:
                yield Failed(item.seq, problem_of(error, item))
        for _ in range(waiting):
            item, call = done.get()
            try:
                answer = asking.read(call.result())
            except CancelledError:
                continue
            except Exception as error:
                yield Failed(item.seq, self.problem_of(error, item))
            else:
                yield Succeeded(item.seq, answer.output, usage=answer.usage)

    def stop(self, keys: Collection[str]) -> None:
        """Cancel the calls of these items, which closes their connections."""
        with self._lock:
            self._wanted.difference_update(keys)
            calls = [self._running[key] for key in keys if key in self._running]
        for call in calls:
            call.cancel()

    def close(self) -> None:
        """Cancel every call and let go of the connections."""
        if "_loop" not in vars(self):
            return
        with self._lock:
            keys = list(self._running)
        self.stop(keys)
        for client in self._clients.values():
            asyncio.run_coroutine_threadsafe(client.aclose(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @cached_property
    def _loop(self) -> asyncio.AbstractEventLoop:
        loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=loop.run_forever, name="provider-calls", daemon=True)
        self._thread.start()
        return loop

    def asking_for(self, job: Job) -> Asking:
        """How the job asks."""
        return Asking(job, self._providers)

    def body_of(self, asking: Asking, item: WorkItem) -> Mapping[str, Any]:
        """What is asked for the item. Raises ProblemError for what is wrong with it."""
        with self._reading:
            asked = read_asked(self._blobs, item.payload, self._recognise, as_pictures=asking.as_pictures)
        return asking.body(asked.content, asked.prompt)

    def problem_of(self, error: Exception, item: WorkItem) -> Problem:
        """The problem of an item whose call failed, or whose answer is none."""
        return problem_of(error, item)

    def _asking_of(self, job: Job) -> Asking:
        """Made once a run: a schema is compiled for it."""
        with self._lock:
            asking = self._asking.get(job.run_id)
            if asking is None:
                asking = self._asking[job.run_id] = self.asking_for(job)
                if len(self._asking) > _RUNS_REMEMBERED:
                    self._asking.popitem(last=False)
            return asking

    def _start(self, asking: Asking, job: Job, item: WorkItem, done: SimpleQueue[Done]) -> bool:
        """Begin an item's call; False where it was stopped before it began."""
        call = self._client(asking.provider).call(
            asking.path,
            self.body_of(asking, item),
            key=item.key,
            attempt=item.attempts,
            timeout_seconds=self._seconds(asking.provider, job),
            endpoint=endpoint_of(job.upstream),
        )
        with self._lock:
            if item.key not in self._wanted:
                call.close()
                return False
            future = self._running[item.key] = asyncio.run_coroutine_threadsafe(call, self._loop)
        future.add_done_callback(lambda future: self._note_end(item, future, done))
        return True

    def _note_end(self, item: WorkItem, call: Future[Reply], done: SimpleQueue[Done]) -> None:
        with self._lock:
            del self._running[item.key]
            self._wanted.discard(item.key)
        done.put((item, call))

    def _client(self, provider: Provider) -> ProviderClient:
        with self._lock:
            client = self._clients.get(provider.name)
            if client is None:
                client = self._clients[provider.name] = ProviderClient(provider, self._environ)
            return client

    def _seconds(self, provider: Provider, job: Job) -> float:
        """How long a call may take: as long as the provider may, the item may, and the run goes on."""
        seconds = min(provider.timeout_seconds, float(job.params.get("timeout_seconds") or provider.timeout_seconds))
        if job.deadline is None:
            return seconds
        return min(seconds, max(0.001, Deadline(job.deadline).remaining(self._clock())))


class Asking:
    """How a job asks its provider, and how it reads what comes."""

    def __init__(self, job: Job, providers: Mapping[str, Provider]) -> None:
        found = find_provider(str(job.params.get("model")), providers)
        if found is None:
            raise LookupError(f"no provider has {job.params.get('model')!r}")
        self.provider, self.model = found
        self._is_embedding = operation_of(self.provider, self.model) == "embeddings"
        self.as_pictures = self.provider.takes_images and not self._is_embedding
        self.path = EMBEDDINGS if self._is_embedding else CHAT
        self._prompt = job.params.get("prompt")
        self._schema: Mapping[str, Any] | None = job.params.get("output_schema")
        self._check = None if self._schema is None else OutputCheck(self._schema, provider=self.provider.name)

    def body(self, content: Content, prompt: str | None) -> dict[str, Any]:
        if self._is_embedding:
            return embeddings_body(self.model, content)
        return chat_body(self.provider, self.model, content, prompt=prompt or self._prompt, schema=self._schema)

    def read(self, reply: Reply) -> Answer:
        if self._is_embedding:
            answer = read_embedding(self.provider, reply.body)
        else:
            answer = read_chat(self.provider, reply.body, has_schema=self._schema is not None)
        if self._check is not None:
            self._check(answer.output)
        return answer
