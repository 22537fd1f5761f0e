"""``client.runs``: durable bulk work of any kind."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Generic, TypeVar, Unpack, cast

from ._context import Context, ReadOptions, WriteOptions
from ._events import RunEvent
from ._loops import AsyncLoop, SyncLoop
from ._models import Conservation, Failures, Run
from ._operations import Replacement, RunOperations, given
from ._pages import AsyncPage, Page

R = TypeVar("R", bound=Run)


class RunMethods(Generic[R]):
    """What any run can be asked."""

    def __init__(self, loop: SyncLoop, operations: RunOperations[R]) -> None:
        self._loop = loop
        self._runs = operations

    def get(self, id: str, **options: Unpack[ReadOptions]) -> R:
        """Return the run as it stands."""
        return self._loop.run(self._runs.get(id, options))

    def list(
        self,
        *,
        status: str | None = None,
        idempotency_key: str | None = None,
        limit: int | None = None,
        after: str | None = None,
        **options: Unpack[ReadOptions],
    ) -> Page[R]:
        """Return a page of runs, newest first, ``limit`` (1 to 100) at most; iterating it walks all pages.

        status: only these. idempotency_key: only the one created under that key. after: an id, or a page's next_cursor.
        """
        query = given(status=status, idempotency_key=idempotency_key, limit=limit, after=after)
        page = Page(*self._loop.run(self._runs.list(query, options)))
        page._fetch = lambda cursor: self.list(
            status=status, idempotency_key=idempotency_key, limit=limit, after=cursor, **options
        )
        return page

    def cancel(self, id: str, **options: Unpack[WriteOptions]) -> R:
        """Stop it: items without an outcome become ``canceled``. ConflictError where it has ended otherwise."""
        return self._loop.run(self._runs.act(id, "cancel", options))

    def extend(self, id: str, *, max_cost: float | None = None, **options: Unpack[WriteOptions]) -> R:
        """Go on with the items that a ``limit_items`` or ``sample`` held back, or beyond what the run was to cost.

        max_cost: what it may cost from now on; without it, one that reached its bound has none any more.
        """
        body = None if max_cost is None else {"max_cost": max_cost}
        return self._loop.run(self._runs.act(id, "extend", options, body))

    def failures(self, id: str, **options: Unpack[ReadOptions]) -> Failures:
        """Return what did not succeed, grouped by type, with remedies and examples."""
        return self._loop.run(self._runs.read(Failures, id, "failures", options))

    def retry_failed(
        self,
        id: str,
        *,
        types: Iterable[str] | None = None,
        custom_ids: Iterable[str] | None = None,
        replace: Iterable[Replacement] | None = None,
        model: str | None = None,
        prompt: str | None = None,
        **options: Unpack[WriteOptions],
    ) -> R:
        """Try failed items again in a child run, whose ``parent_id`` is this one; return the child.

        types, custom_ids: only these; None for all that failed. replace: other inputs for some of them. model, prompt:
        other ones for all. ConflictError where an unfinished child holds them, or there is nothing to retry.
        """
        return self._loop.run(self._runs.retry(id, types, custom_ids, replace, model, prompt, options))

    def wait(self, id: str, *, timeout: float | None = None) -> R:
        """Return the run once it has ended, well or not, or holds because its first part is done or it cost what it may.

        timeout: seconds, None without end. Raises PollTimeoutError, whose ``resume()`` waits on; the run goes on.
        """
        return self._loop.run(
            self._runs.wait(id, timeout, lambda timeout=None: self.wait(id, timeout=timeout)),
        )

    def events(self, id: str, *, after: str | None = None, **options: Unpack[ReadOptions]) -> Iterator[RunEvent]:
        """Iterate over what happens to the run until it has ended: its changes, each item that errors, its end.

        after: an event's ``id`` to go on after; None tells every failure from the first. Goes on where a connection breaks, and
        through a restart of the server. A paused run is watched on. ``timeout`` bounds each silence; the server breaks its own
        every 15 s. Left early, ``close()`` it to have the connection back at once.
        """
        return cast("Iterator[RunEvent]", self._loop.iterate(self._runs.watch(id, after, options)))

    def expire(self, id: str, **options: Unpack[WriteOptions]) -> R:
        """Close its completion window now: items without an outcome become ``expired``."""
        return self._loop.run(self._runs.act(id, "expire", options))

    def purge(self, id: str, **options: Unpack[WriteOptions]) -> R:
        """Delete its result lines now, and only these; reading them is GoneError from then on."""
        return self._loop.run(self._runs.act(id, "purge", options))


class Runs(RunMethods[Run]):
    """Runs of any kind."""

    def __init__(self, loop: SyncLoop, context: Context) -> None:
        super().__init__(loop, RunOperations(context, "/v1/runs", Run))

    def conservation(self, id: str, **options: Unpack[ReadOptions]) -> Conservation:
        """Return where its items are; ``holds`` says that none is lost."""
        return self._loop.run(self._runs.read(Conservation, id, "conservation", options))


class AsyncRunMethods(Generic[R]):
    """What any run can be asked."""

    def __init__(self, loop: AsyncLoop, operations: RunOperations[R]) -> None:
        self._loop = loop
        self._runs = operations

    async def get(self, id: str, **options: Unpack[ReadOptions]) -> R:
        """Return the run as it stands."""
        return await self._loop.run(self._runs.get(id, options))

    async def list(
        self,
        *,
        status: str | None = None,
        idempotency_key: str | None = None,
        limit: int | None = None,
        after: str | None = None,
        **options: Unpack[ReadOptions],
    ) -> AsyncPage[R]:
        """Return a page of runs, newest first, ``limit`` (1 to 100) at most; iterating it walks all pages.

        status: only these. idempotency_key: only the one created under that key. after: an id, or a page's next_cursor.
        """
        query = given(status=status, idempotency_key=idempotency_key, limit=limit, after=after)
        page = AsyncPage(*await self._loop.run(self._runs.list(query, options)))
        page._fetch = lambda cursor: self.list(
            status=status, idempotency_key=idempotency_key, limit=limit, after=cursor, **options
        )
        return page

    async def cancel(self, id: str, **options: Unpack[WriteOptions]) -> R:
        """Stop it: items without an outcome become ``canceled``. ConflictError where it has ended otherwise."""
        return await self._loop.run(self._runs.act(id, "cancel", options))

    async def extend(self, id: str, *, max_cost: float | None = None, **options: Unpack[WriteOptions]) -> R:
        """Go on with the items that a ``limit_items`` or ``sample`` held back, or beyond what the run was to cost.

        max_cost: what it may cost from now on; without it, one that reached its bound has none any more.
        """
        body = None if max_cost is None else {"max_cost": max_cost}
        return await self._loop.run(self._runs.act(id, "extend", options, body))

    async def failures(self, id: str, **options: Unpack[ReadOptions]) -> Failures:
        """Return what did not succeed, grouped by type, with remedies and examples."""
        return await self._loop.run(self._runs.read(Failures, id, "failures", options))

    async def retry_failed(
        self,
        id: str,
        *,
        types: Iterable[str] | None = None,
        custom_ids: Iterable[str] | None = None,
        replace: Iterable[Replacement] | None = None,
        model: str | None = None,
        prompt: str | None = None,
        **options: Unpack[WriteOptions],
    ) -> R:
        """Try failed items again in a child run, whose ``parent_id`` is this one; return the child.

        types, custom_ids: only these; None for all that failed. replace: other inputs for some of them. model, prompt:
        other ones for all. ConflictError where an unfinished child holds them, or there is nothing to retry.
        """
        return await self._loop.run(self._runs.retry(id, types, custom_ids, replace, model, prompt, options))

    async def wait(self, id: str, *, timeout: float | None = None) -> R:  # noqa: ASYNC109 - the same as Client's
        """Return the run once it has ended, well or not, or holds because its first part is done or it cost what it may.

        timeout: seconds, None without end. Raises PollTimeoutError, whose ``resume()`` waits on; the run goes on.
        """
        return await self._loop.run(
            self._runs.wait(id, timeout, lambda timeout=None: self.wait(id, timeout=timeout)),
        )

    def events(self, id: str, *, after: str | None = None, **options: Unpack[ReadOptions]) -> AsyncIterator[RunEvent]:
        """Iterate over what happens to the run until it has ended: its changes, each item that errors, its end. Not awaited itself.

        after: an event's ``id`` to go on after; None tells every failure from the first. Goes on where a connection breaks, and
        through a restart of the server. A paused run is watched on. ``timeout`` bounds each silence; the server breaks its own
        every 15 s. Left early, ``close()`` it to have the connection back at once.
        """
        return cast("AsyncIterator[RunEvent]", self._loop.iterate(self._runs.watch(id, after, options)))

    async def expire(self, id: str, **options: Unpack[WriteOptions]) -> R:
        """Close its completion window now: items without an outcome become ``expired``."""
        return await self._loop.run(self._runs.act(id, "expire", options))

    async def purge(self, id: str, **options: Unpack[WriteOptions]) -> R:
        """Delete its result lines now, and only these; reading them is GoneError from then on."""
        return await self._loop.run(self._runs.act(id, "purge", options))


class AsyncRuns(AsyncRunMethods[Run]):
    """Runs of any kind."""

    def __init__(self, loop: AsyncLoop, context: Context) -> None:
        super().__init__(loop, RunOperations(context, "/v1/runs", Run))

    async def conservation(self, id: str, **options: Unpack[ReadOptions]) -> Conservation:
        """Return where its items are; ``holds`` says that none is lost."""
        return await self._loop.run(self._runs.read(Conservation, id, "conservation", options))
