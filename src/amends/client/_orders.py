"""``client.order``: job definitions on their way to results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Generic, Unpack

from ._bodies import JsonBody
from ._bound import bound, bound_rows
from ._context import Context, ReadOptions, WriteOptions
from ._datasets import AsyncDataset, Dataset, DatasetBase
from ._exceptions import PollTimeoutError, Resume
from ._exchange import Call, exchange
from ._flow import Flow, Sleep
from ._jobs import AsyncJobDefinition, JobDefinition
from ._labelling import (
    Annotator,
    Annotators,
    Invitation,
    JobOptions,
    Method,
    OrderBase,
    OrderCounts,
    OrderStatus,
    Shown,
)
from ._making import ORDERS, ADefinition, AnOrder, Asked, Making, new_order
from ._models import read
from ._operations import Rows, fetch, fetch_once, fetch_rows, given, segment
from ._order_results import OrderResults
from ._progress import Show, progress
from ._twins import AsyncResource, Awaited, Called, Methods, SyncResource, changing, method, paged

_RESTING: Final = frozenset({"completed", "failed", "cancelled", "created", "paused"})
_FIRST_PAUSE_SECONDS: Final = 0.1
_LAST_PAUSE_SECONDS: Final = 5.0
_GROWTH: Final = 1.3


class _Order(OrderBase):
    @changing
    def run(self, **options: Unpack[WriteOptions]) -> Flow[None]:
        """Start it, or go on with it where it is paused. The datapoints that its dataset has when it first runs belong to it."""
        return self._act("run", options)

    @changing
    def pause(self, **options: Unpack[WriteOptions]) -> Flow[None]:
        """Have no more tasks handed out; answers under way are still taken."""
        return self._act("pause", options)

    @changing
    def cancel(self, **options: Unpack[WriteOptions]) -> Flow[None]:
        """End it; what was answered stays."""
        return self._act("cancel", options)

    @method
    def get_status(self, **options: Unpack[ReadOptions]) -> Flow[str]:
        """Return how it stands: created, running, paused, completed, failed or cancelled."""
        self._take((yield from fetch(self._context, OrderBase, options, "GET", self._path())))
        return self.status or ""

    @changing
    def display_progress_bar(self, *, quiet: bool = False, timeout: float | None = None) -> Flow[None]:
        """Show how far it is until it has ended, or rests because it is paused or was not run.

        timeout: seconds, None without end. Raises PollTimeoutError, whose ``resume()`` goes on; the order does in any case.
        """
        resume = lambda timeout=None: self.display_progress_bar(quiet=quiet, timeout=timeout)  # noqa: E731
        with progress(f"Order {self.name or self.id}", quiet=quiet) as show:
            self._take((yield from _follow(self._context, self.id, show, timeout, resume)))

    @method
    def get_results(self, *, method: Method | None = None, **options: Unpack[ReadOptions]) -> Flow[OrderResults]:
        """Return what was answered so far. method: how answers are put together, by default as suits the kind."""
        headers = {"Accept": "application/json"}
        call = Call("GET", self._path("/results"), given(method=method), headers=headers, is_bulk=True)
        return read(OrderResults, (yield from exchange(self._context, call, options)))

    @method
    def add_annotator(
        self, model: str, *, prompt: str | None = None, **options: Unpack[WriteOptions]
    ) -> Flow[Annotator]:
        """Let a model answer all its tasks, as an annotator of its own. prompt: said to it beside the instruction."""
        body = JsonBody(given(model=model, prompt=prompt))
        return fetch_once(self._context, Annotator, options, "POST", self._path("/annotators"), body=body)

    @method
    def annotators(self, **options: Unpack[ReadOptions]) -> Flow[Sequence[Annotator]]:
        """Return who answers its tasks, people and models."""
        return (yield from fetch(self._context, Annotators, options, "GET", self._path("/annotators"))).data

    @method
    def invite(self, **options: Unpack[WriteOptions]) -> Flow[Invitation]:
        """Make a link by which people without an account may answer. It replaces the one before."""
        return fetch_once(self._context, Invitation, options, "POST", self._path("/invitations"))

    def _act(self, verb: str, options: WriteOptions) -> Flow[None]:
        self._take((yield from fetch_once(self._context, OrderBase, options, "POST", self._path(f"/{verb}"))))

    def _path(self, what: str = "") -> str:
        return f"{ORDERS}/{segment(self.id)}{what}"


class Order(_Order, Called):
    """An order, as the client that it came from knows it. What changes it, and ``get_status``, bring it up to date."""


class AsyncOrder(_Order, Awaited):
    """An order, as the client that it came from knows it. What changes it, and ``get_status``, bring it up to date."""


def _follow(context: Context, id: str, show: Show, timeout: float | None, resume: Resume) -> Flow[OrderBase]:
    """Show how far an order is until it has ended or rests; each look is later than the one before, up to 5 s."""
    started, pause = context.clock.monotonic(), _FIRST_PAUSE_SECONDS
    while True:
        order = yield from fetch(context, OrderBase, {}, "GET", f"{ORDERS}/{segment(id)}")
        counts = order.counts or OrderCounts()
        show(counts.tasks_done or 0, 0, counts.tasks or 0)
        if order.status in _RESTING:
            return order
        elapsed = context.clock.monotonic() - started
        if timeout is not None and elapsed >= timeout:
            raise PollTimeoutError(id, order.status or "", elapsed, resume)
        yield Sleep(pause if timeout is None else min(pause, timeout - elapsed))
        pause = min(_LAST_PAUSE_SECONDS, pause * _GROWTH)


class _Orders(Methods, Generic[AnOrder, ADefinition]):
    _model: type[AnOrder]
    _dataset: type[DatasetBase]
    _definition: type[ADefinition]

    @method
    def create_classification_order(
        self,
        name: str,
        instruction: str,
        answer_options: Sequence[str] | None,
        datapoints: Shown,
        **options: Unpack[JobOptions],
    ) -> Flow[AnOrder]:
        """Make an order that asks which of ``answer_options`` fits each datapoint."""
        return self._make(Asked("classification", name, instruction, answer_options), datapoints, options)

    @method
    def create_compare_order(
        self, name: str, instruction: str, datapoints: Shown, **options: Unpack[JobOptions]
    ) -> Flow[AnOrder]:
        """Make an order that asks which asset of each datapoint, a list of two or more, is the better one."""
        return self._make(Asked("compare", name, instruction), datapoints, options)

    @method
    def create_free_text_order(
        self, name: str, instruction: str, datapoints: Shown, **options: Unpack[JobOptions]
    ) -> Flow[AnOrder]:
        """Make an order that asks for a text about each datapoint."""
        return self._make(Asked("free_text", name, instruction), datapoints, options)

    @method
    def create_locate_order(
        self, name: str, instruction: str, datapoints: Shown, **options: Unpack[JobOptions]
    ) -> Flow[AnOrder]:
        """Make an order that asks for points in each datapoint."""
        return self._make(Asked("locate", name, instruction), datapoints, options)

    @method
    def create_from_job_definition(
        self, job_definition: ADefinition | str, *, run: bool = False, **options: Unpack[WriteOptions]
    ) -> Flow[AnOrder]:
        """Make an order of a job definition, or of its id. run: start it at once."""
        definition_id = job_definition if isinstance(job_definition, str) else job_definition.id
        return new_order(self, self._model, definition_id, run, options)

    @method
    def get_order_by_id(self, id: str, **options: Unpack[ReadOptions]) -> Flow[AnOrder]:
        """Return an order, whoever made it."""
        return bound(self, fetch(self._context, self._model, options, "GET", f"{ORDERS}/{segment(id)}"))

    @paged
    def find_orders(
        self,
        *,
        name: str | None = None,
        status: OrderStatus | None = None,
        limit: int | None = None,
        after: str | None = None,
        **options: Unpack[ReadOptions],
    ) -> Flow[Rows[AnOrder]]:
        """Return a page of orders, newest first; iterating it walks all pages. name: what their name holds, in any case."""
        query = given(name=name, status=status, limit=limit, after=after)
        return bound_rows(self, fetch_rows(self._context, self._model, options, ORDERS, query))

    def _make(self, asked: Asked, shown: Shown, options: JobOptions) -> Flow[AnOrder]:
        made = yield from Making(self, self._dataset, self._definition, self._model, asked, options).run(shown)
        assert isinstance(made, self._model)
        return made


class Orders(_Orders[Order, JobDefinition], SyncResource):
    """Orders. The ``create_…`` methods make dataset and job definition, too, see ``client.job``; what they make is not run yet."""

    _model = Order
    _dataset = Dataset
    _definition = JobDefinition


class AsyncOrders(_Orders[AsyncOrder, AsyncJobDefinition], AsyncResource):
    """Orders. The ``create_…`` methods make dataset and job definition, too, see ``client.job``; what they make is not run yet."""

    _model = AsyncOrder
    _dataset = AsyncDataset
    _definition = AsyncJobDefinition
