"""``client.order``: job definitions on their way to results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Unpack

from ._context import Context, ReadOptions, WriteOptions
from ._labelling import (
    Annotator,
    Invitation,
    JobOptions,
    Method,
    OrderBase,
    OrderStatus,
    Shown,
    act,
    add_annotator,
    find_orders,
    follow,
    get_order,
    list_annotators,
    new_order,
    read_results,
)
from ._loops import AsyncLoop, SyncLoop
from ._operations import given
from ._order_results import OrderResults
from ._pages import AsyncPage, Page
from ._progress import progress

if TYPE_CHECKING:
    from ._jobs import AsyncJobDefinition, AsyncJobs, JobDefinition, Jobs


class Order(OrderBase):
    """An order, as the client that it came from knows it. What changes it, and ``get_status``, bring it up to date."""

    def run(self, **options: Unpack[WriteOptions]) -> Order:
        """Start it, or go on with it where it is paused. The datapoints that its dataset has when it first runs belong to it."""
        return self._act("run", options)

    def pause(self, **options: Unpack[WriteOptions]) -> Order:
        """Have no more tasks handed out; answers under way are still taken."""
        return self._act("pause", options)

    def cancel(self, **options: Unpack[WriteOptions]) -> Order:
        """End it; what was answered stays."""
        return self._act("cancel", options)

    def get_status(self, **options: Unpack[ReadOptions]) -> str:
        """Return how it stands: created, running, paused, completed, failed or cancelled."""
        methods: Orders = self._bound()
        self._take(methods.get_order_by_id(self.id, **options))
        return self.status or ""

    def display_progress_bar(self, *, quiet: bool = False, timeout: float | None = None) -> Order:
        """Show how far it is until it has ended, or rests because it is paused or was not run.

        timeout: seconds, None without end. Raises PollTimeoutError, whose ``resume()`` goes on; the order does in any case.
        """
        methods: Orders = self._bound()
        with progress(f"Order {self.name or self.id}", quiet=quiet) as show:

            def resume(timeout: float | None = None) -> Order:
                return self.display_progress_bar(quiet=quiet, timeout=timeout)

            flow = follow(methods._context, Order, self.id, show, timeout, resume)
            self._take(methods._loop.run(flow))
        return self

    def get_results(self, *, method: Method | None = None, **options: Unpack[ReadOptions]) -> OrderResults:
        """Return what was answered so far. method: how answers are put together, by default as suits the kind."""
        methods: Orders = self._bound()
        return methods._loop.run(read_results(methods._context, OrderResults, self.id, method, options))

    def add_annotator(self, model: str, *, prompt: str | None = None, **options: Unpack[WriteOptions]) -> Annotator:
        """Let a model answer all its tasks, as an annotator of its own. prompt: said to it beside the instruction."""
        methods: Orders = self._bound()
        return methods._loop.run(add_annotator(methods._context, self.id, model, prompt, options))

    def annotators(self, **options: Unpack[ReadOptions]) -> Sequence[Annotator]:
        """Return who answers its tasks, people and models."""
        methods: Orders = self._bound()
        return methods._loop.run(list_annotators(methods._context, self.id, options)).data

    def invite(self, **options: Unpack[WriteOptions]) -> Invitation:
        """Make a link by which people without an account may answer. It replaces the one before."""
        methods: Orders = self._bound()
        return methods._loop.run(act(methods._context, Invitation, self.id, "invitations", options))

    def _act(self, verb: str, options: WriteOptions) -> Order:
        methods: Orders = self._bound()
        self._take(methods._loop.run(act(methods._context, Order, self.id, verb, options)))
        return self


class AsyncOrder(OrderBase):
    """An order, as the client that it came from knows it. What changes it, and ``get_status``, bring it up to date."""

    async def run(self, **options: Unpack[WriteOptions]) -> AsyncOrder:
        """Start it, or go on with it where it is paused. The datapoints that its dataset has when it first runs belong to it."""
        return await self._act("run", options)

    async def pause(self, **options: Unpack[WriteOptions]) -> AsyncOrder:
        """Have no more tasks handed out; answers under way are still taken."""
        return await self._act("pause", options)

    async def cancel(self, **options: Unpack[WriteOptions]) -> AsyncOrder:
        """End it; what was answered stays."""
        return await self._act("cancel", options)

    async def get_status(self, **options: Unpack[ReadOptions]) -> str:
        """Return how it stands: created, running, paused, completed, failed or cancelled."""
        methods: AsyncOrders = self._bound()
        self._take(await methods.get_order_by_id(self.id, **options))
        return self.status or ""

    async def display_progress_bar(self, *, quiet: bool = False, timeout: float | None = None) -> AsyncOrder:  # noqa: ASYNC109 - the same as Order's
        """Show how far it is until it has ended, or rests because it is paused or was not run.

        timeout: seconds, None without end. Raises PollTimeoutError, whose ``resume()`` goes on; the order does in any case.
        """
        methods: AsyncOrders = self._bound()
        with progress(f"Order {self.name or self.id}", quiet=quiet) as show:

            def resume(timeout: float | None = None) -> Any:
                return self.display_progress_bar(quiet=quiet, timeout=timeout)

            flow = follow(methods._context, AsyncOrder, self.id, show, timeout, resume)
            self._take(await methods._loop.run(flow))
        return self

    async def get_results(self, *, method: Method | None = None, **options: Unpack[ReadOptions]) -> OrderResults:
        """Return what was answered so far. method: how answers are put together, by default as suits the kind."""
        methods: AsyncOrders = self._bound()
        return await methods._loop.run(read_results(methods._context, OrderResults, self.id, method, options))

    async def add_annotator(
        self, model: str, *, prompt: str | None = None, **options: Unpack[WriteOptions]
    ) -> Annotator:
        """Let a model answer all its tasks, as an annotator of its own. prompt: said to it beside the instruction."""
        methods: AsyncOrders = self._bound()
        return await methods._loop.run(add_annotator(methods._context, self.id, model, prompt, options))

    async def annotators(self, **options: Unpack[ReadOptions]) -> Sequence[Annotator]:
        """Return who answers its tasks, people and models."""
        methods: AsyncOrders = self._bound()
        return (await methods._loop.run(list_annotators(methods._context, self.id, options))).data

    async def invite(self, **options: Unpack[WriteOptions]) -> Invitation:
        """Make a link by which people without an account may answer. It replaces the one before."""
        methods: AsyncOrders = self._bound()
        return await methods._loop.run(act(methods._context, Invitation, self.id, "invitations", options))

    async def _act(self, verb: str, options: WriteOptions) -> AsyncOrder:
        methods: AsyncOrders = self._bound()
        self._take(await methods._loop.run(act(methods._context, AsyncOrder, self.id, verb, options)))
        return self


class Orders:
    """Orders. The ``create_…`` methods make dataset and job definition, too, see ``client.job``; what they make is not run yet."""

    def __init__(self, loop: SyncLoop, context: Context, jobs: Jobs) -> None:
        self._loop = loop
        self._context = context
        self._jobs = jobs

    def create_classification_order(
        self,
        name: str,
        instruction: str,
        answer_options: Sequence[str] | None,
        datapoints: Shown,
        **options: Unpack[JobOptions],
    ) -> Order:
        """Make an order that asks which of ``answer_options`` fits each datapoint."""
        return self._create("classification", name, instruction, answer_options, datapoints, options)

    def create_compare_order(
        self, name: str, instruction: str, datapoints: Shown, **options: Unpack[JobOptions]
    ) -> Order:
        """Make an order that asks which asset of each datapoint, a list of two or more, is the better one."""
        return self._create("compare", name, instruction, None, datapoints, options)

    def create_free_text_order(
        self, name: str, instruction: str, datapoints: Shown, **options: Unpack[JobOptions]
    ) -> Order:
        """Make an order that asks for a text about each datapoint."""
        return self._create("free_text", name, instruction, None, datapoints, options)

    def create_locate_order(
        self, name: str, instruction: str, datapoints: Shown, **options: Unpack[JobOptions]
    ) -> Order:
        """Make an order that asks for points in each datapoint."""
        return self._create("locate", name, instruction, None, datapoints, options)

    def create_from_job_definition(
        self, job_definition: JobDefinition | str, *, run: bool = False, **options: Unpack[WriteOptions]
    ) -> Order:
        """Make an order of a job definition, or of its id. run: start it at once."""
        definition_id = job_definition if isinstance(job_definition, str) else job_definition.id
        return self._with_client(self._loop.run(new_order(self._context, Order, definition_id, run, options)))

    def get_order_by_id(self, id: str, **options: Unpack[ReadOptions]) -> Order:
        """Return an order, whoever made it."""
        return self._with_client(self._loop.run(get_order(self._context, Order, id, options)))

    def find_orders(
        self,
        *,
        name: str | None = None,
        status: OrderStatus | None = None,
        limit: int | None = None,
        after: str | None = None,
        **options: Unpack[ReadOptions],
    ) -> Page[Order]:
        """Return a page of orders, newest first; iterating it walks all pages. name: what their name holds, in any case."""
        query = given(name=name, status=status, limit=limit, after=after)
        page = Page(*self._loop.run(find_orders(self._context, Order, query, options)))
        page._fetch = lambda cursor: self.find_orders(name=name, status=status, limit=limit, after=cursor, **options)
        for order in page.data:
            self._with_client(order)
        return page

    def _create(
        self,
        kind: Any,
        name: str,
        instruction: str,
        answer_options: Sequence[str] | None,
        datapoints: Shown,
        options: JobOptions,
    ) -> Order:
        made = self._jobs._make(kind, name, instruction, answer_options, datapoints, options, self)
        assert isinstance(made, Order)
        return made

    def _with_client(self, order: Order) -> Order:
        order._methods = self
        return order


class AsyncOrders:
    """Orders. The ``create_…`` methods make dataset and job definition, too, see ``client.job``; what they make is not run yet."""

    def __init__(self, loop: AsyncLoop, context: Context, jobs: AsyncJobs) -> None:
        self._loop = loop
        self._context = context
        self._jobs = jobs

    async def create_classification_order(
        self,
        name: str,
        instruction: str,
        answer_options: Sequence[str] | None,
        datapoints: Shown,
        **options: Unpack[JobOptions],
    ) -> AsyncOrder:
        """Make an order that asks which of ``answer_options`` fits each datapoint."""
        return await self._create("classification", name, instruction, answer_options, datapoints, options)

    async def create_compare_order(
        self, name: str, instruction: str, datapoints: Shown, **options: Unpack[JobOptions]
    ) -> AsyncOrder:
        """Make an order that asks which asset of each datapoint, a list of two or more, is the better one."""
        return await self._create("compare", name, instruction, None, datapoints, options)

    async def create_free_text_order(
        self, name: str, instruction: str, datapoints: Shown, **options: Unpack[JobOptions]
    ) -> AsyncOrder:
        """Make an order that asks for a text about each datapoint."""
        return await self._create("free_text", name, instruction, None, datapoints, options)

    async def create_locate_order(
        self, name: str, instruction: str, datapoints: Shown, **options: Unpack[JobOptions]
    ) -> AsyncOrder:
        """Make an order that asks for points in each datapoint."""
        return await self._create("locate", name, instruction, None, datapoints, options)

    async def create_from_job_definition(
        self, job_definition: AsyncJobDefinition | str, *, run: bool = False, **options: Unpack[WriteOptions]
    ) -> AsyncOrder:
        """Make an order of a job definition, or of its id. run: start it at once."""
        definition_id = job_definition if isinstance(job_definition, str) else job_definition.id
        flow = new_order(self._context, AsyncOrder, definition_id, run, options)
        return self._with_client(await self._loop.run(flow))

    async def get_order_by_id(self, id: str, **options: Unpack[ReadOptions]) -> AsyncOrder:
        """Return an order, whoever made it."""
        return self._with_client(await self._loop.run(get_order(self._context, AsyncOrder, id, options)))

    async def find_orders(
        self,
        *,
        name: str | None = None,
        status: OrderStatus | None = None,
        limit: int | None = None,
        after: str | None = None,
        **options: Unpack[ReadOptions],
    ) -> AsyncPage[AsyncOrder]:
        """Return a page of orders, newest first; iterating it walks all pages. name: what their name holds, in any case."""
        query = given(name=name, status=status, limit=limit, after=after)
        page = AsyncPage(*await self._loop.run(find_orders(self._context, AsyncOrder, query, options)))
        page._fetch = lambda cursor: self.find_orders(name=name, status=status, limit=limit, after=cursor, **options)
        for order in page.data:
            self._with_client(order)
        return page

    async def _create(
        self,
        kind: Any,
        name: str,
        instruction: str,
        answer_options: Sequence[str] | None,
        datapoints: Shown,
        options: JobOptions,
    ) -> AsyncOrder:
        made = await self._jobs._make(kind, name, instruction, answer_options, datapoints, options, self)
        assert isinstance(made, AsyncOrder)
        return made

    def _with_client(self, order: AsyncOrder) -> AsyncOrder:
        order._methods = self
        return order
