"""``client.runs``: durable bulk work of any kind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Generic, TypedDict, TypeVar, Unpack

from ._bodies import JsonBody
from ._context import ReadOptions, WriteOptions
from ._events import RunEvent, watch
from ._exchange import Call
from ._flow import Flow, Stream
from ._models import Conservation, Failures, Record, Run
from ._operations import Rows, fetch, fetch_once, fetch_rows, given, segment
from ._twins import AsyncResource, Methods, SyncResource, method, paged, streamed
from ._waiting import wait

M = TypeVar("M", bound=Record)
ARun = TypeVar("ARun", bound=Run)


class Replacement(TypedDict, total=False):
    """What an item is retried with: ``custom_id`` names it; what is not given stays as it was."""

    custom_id: str
    file_id: str
    url: str
    input: Any
    page: int | None
    prompt: str


class RunMethods(Methods, Generic[ARun]):
    """What any run can be asked. _root: the path of the collection of its kind."""

    _root: str
    _model: type[ARun]

    @method
    def get(self, id: str, **options: Unpack[ReadOptions]) -> Flow[ARun]:
        """Return the run as it stands."""
        return fetch(self._context, self._model, options, "GET", self._path(id))

    @paged
    def list(
        self,
        *,
        status: str | None = None,
        idempotency_key: str | None = None,
        limit: int | None = None,
        after: str | None = None,
        **options: Unpack[ReadOptions],
    ) -> Flow[Rows[ARun]]:
        """Return a page of runs, newest first, ``limit`` (1 to 100) at most; iterating it walks all pages.

        status: only these. idempotency_key: only the one created under that key. after: an id, or a page's next_cursor.
        """
        query = given(status=status, idempotency_key=idempotency_key, limit=limit, after=after)
        return fetch_rows(self._context, self._model, options, self._root, query)

    @method
    def cancel(self, id: str, **options: Unpack[WriteOptions]) -> Flow[ARun]:
        """Stop it: items without an outcome become ``canceled``. ConflictError where it has ended otherwise."""
        return self._act(id, "cancel", options)

    @method
    def extend(self, id: str, *, max_cost: float | None = None, **options: Unpack[WriteOptions]) -> Flow[ARun]:
        """Go on with the items that a ``limit_items`` or ``sample`` held back, or beyond what the run was to cost.

        max_cost: what it may cost from now on; without it, one that reached its bound has none any more.
        """
        return self._act(id, "extend", options, None if max_cost is None else {"max_cost": max_cost})

    @method
    def failures(self, id: str, **options: Unpack[ReadOptions]) -> Flow[Failures]:
        """Return what did not succeed, grouped by type, with remedies and examples."""
        return self._read(Failures, id, "failures", options)

    @method
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
    ) -> Flow[ARun]:
        """Try failed items again in a child run, whose ``parent_id`` is this one; return the child.

        types, custom_ids: only these; None for all that failed. replace: other inputs for some of them. model, prompt:
        other ones for all. ConflictError where an unfinished child holds them, or there is nothing to retry.
        """
        chosen = given(types=types, custom_ids=custom_ids, replace=replace)
        for name, values in chosen.items():
            if isinstance(values, str):
                raise TypeError(f"{name} is an iterable of strings, not one string")
            chosen[name] = list(values)
        return self._act(id, "retry", options, {**chosen, **given(model=model, prompt=prompt)})

    @method
    def wait(self, id: str, *, timeout: float | None = None) -> Flow[ARun]:
        """Return the run once it has ended, well or not, or holds because its first part is done or it cost what it may.

        timeout: seconds, None without end. Raises PollTimeoutError, whose ``resume()`` waits on; the run goes on.
        """
        call = Call("GET", self._path(id), is_patient=True)
        resume = lambda timeout=None: self.wait(id, timeout=timeout)  # noqa: E731
        return wait(self._context, call, self._model, id, timeout, resume)

    @streamed
    def events(self, id: str, *, after: str | None = None, **options: Unpack[ReadOptions]) -> Stream[RunEvent]:
        """Iterate over what happens to the run until it has ended: its changes, each item that errors, its end.

        after: an event's ``id`` to go on after; None tells every failure from the first. Goes on where a connection breaks, and
        through a restart of the server. A paused run is watched on. ``timeout`` bounds each silence; the server breaks its own
        every 15 s. Left early, ``close()`` it to have the connection back at once. Of an ``AsyncClient`` it is iterated with
        ``async for``, not awaited itself, and left with ``aclose()``.
        """
        return watch(self._context, f"/v1/runs/{segment(id)}", after, options)

    @method
    def expire(self, id: str, **options: Unpack[WriteOptions]) -> Flow[ARun]:
        """Close its completion window now: items without an outcome become ``expired``."""
        return self._act(id, "expire", options)

    @method
    def purge(self, id: str, **options: Unpack[WriteOptions]) -> Flow[ARun]:
        """Delete its result lines now, and only these; reading them is GoneError from then on."""
        return self._act(id, "purge", options)

    def _path(self, id: str, what: str = "") -> str:
        return f"{self._root}/{segment(id)}{what}"

    def _act(self, id: str, action: str, options: WriteOptions, body: Mapping[str, Any] | None = None) -> Flow[ARun]:
        content = None if body is None else JsonBody(body)
        return fetch_once(self._context, self._model, options, "POST", self._path(id, f"/{action}"), body=content)

    def _read(self, model: type[M], id: str, what: str, options: ReadOptions) -> Flow[M]:
        return fetch(self._context, model, options, "GET", self._path(id, f"/{what}"))


class _Runs(RunMethods[Run]):
    _root = "/v1/runs"
    _model = Run

    @method
    def conservation(self, id: str, **options: Unpack[ReadOptions]) -> Flow[Conservation]:
        """Return where its items are; ``holds`` says that none is lost."""
        return self._read(Conservation, id, "conservation", options)


class Runs(_Runs, SyncResource):
    """Runs of any kind."""


class AsyncRuns(_Runs, AsyncResource):
    """Runs of any kind."""
