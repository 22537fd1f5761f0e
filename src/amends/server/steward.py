"""What happens to orders beside requests: their tasks are made, models are asked, and what those say becomes responses.

One thread finds its work in the store, so that dying at any moment loses nothing. A model's outcome becomes a response in the
transaction that moves the cursor past it, and an annotator has one response at most to a task: none is lost, and none counted twice::

    waiting ──open_run ─► append … ─► seal, set_run_state (in one transaction)──► running ──outcomes, cursor──► taken
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, Final

import msgspec

from amends.database import Transaction
from amends.ledger import CreditExceeded, InvalidTransition, NewItem, Run, TooManyRuns, filled_lines
from amends.server.annotating import new_item, new_run
from amends.server.items import MAX_INLINE_BYTES
from amends.server.labelling import definition_of
from amends.server.rounds import Rounds
from amends.server.services import Services
from amends.store import Annotator, ModelAnswer, Order

_LOOK_SECONDS: Final = 0.1
"""How late a model's outcome becomes a response."""
_IDLE_SECONDS: Final = 0.5
_ITEMS_AT_ONCE: Final = 200
_LINES_AT_ONCE: Final = 500


class _Stopped(Exception):
    """The server is going down; the next one goes on."""


class Steward(Rounds):
    """A thread that makes tasks and asks models. What is under way when it is closed is gone on with by the next owner."""

    def __init__(self, hub: Services) -> None:
        self._hub = hub
        super().__init__(
            "labelling",
            self.tick,
            event="labelling_not_seen_to",
            told=hub.labelling_work,
            soon_seconds=_LOOK_SECONDS,
            late_seconds=_IDLE_SECONDS,
        )

    def tick(self) -> bool:
        """Do what there is to do now; whether more may be soon."""
        for order_id in self._hub.store.orders.orphaned():
            self._see_to(self.fail, order_id)
        for order_id in self._hub.store.orders.unfilled():
            self._see_to(self.fill, order_id)
        models = self._hub.store.annotators.with_run()
        for annotator in models:
            self._see_to(self.begin if annotator.run_state == "waiting" else self.take, annotator)
        return bool(models)

    # Tasks

    def fill(self, order_id: str) -> None:
        """Make all tasks of an order that are still to be made."""
        while self._hub.database.write(lambda tx: self._fill_slice(tx, order_id)):
            self._check_going()

    def fail(self, order_id: str) -> None:
        """End an order that there is nothing left to ask about; what was answered stays."""
        orders = self._hub.store.orders
        self._hub.database.write(lambda tx: orders.move(tx, order_id, "failed", error="Its dataset was deleted."))

    def _fill_slice(self, tx: Transaction, order_id: str) -> bool:
        orders = self._hub.store.orders
        order = orders.lock(tx, order_id)
        if order is None or order.status != "running" or order.is_filled:
            return False
        return not orders.fill(tx, order, definition_of(self._hub, order)).is_filled

    # Models

    def begin(self, annotator: Annotator) -> None:
        """Make the run that asks a model, once its order has all its tasks."""
        order = self._hub.store.orders.get(annotator.order_id)
        if order is None or order.status in ("cancelled", "failed"):
            self._set_state(annotator, "taken")
        elif order.is_filled and order.status in ("running", "completed"):
            self._make_run(order, annotator)

    def _make_run(self, order: Order, annotator: Annotator) -> None:
        ledger = self._hub.ledger
        definition = definition_of(self._hub, order)
        run = new_run(self._hub, order, definition, annotator)
        if run.price > ledger.credit(run.workspace_id).balance:
            return  # it waits for a top-up; to find that out at the end would mean to make the run ten times a second
        while ledger.clean():
            pass  # a run of this id that another process was receiving when it died
        pins = ExitStack()
        try:
            ledger.open_run(run, most=self._hub.settings.limits.running_batches)
            for datapoints in self._items(order):
                ledger.append(run.id, [self._kept(new_item(definition, one), pins) for one in datapoints])
                self._check_going()
            set_running: Callable[[Any], None] = lambda tx: self._hub.store.annotators.set_run_state(  # noqa: E731
                tx, annotator.id, "running"
            )
            ledger.seal(run.id, validate=True, also=set_running)
        except (CreditExceeded, TooManyRuns):
            self.leave_alone(annotator.id)  # another took what there was, or others of the workspace have to end first
            return
        finally:
            ledger.abandon(run.id)  # no effect on a sealed one
            pins.close()
        if self._hub.engine is not None:
            self._hub.engine.wake()

    def _items(self, order: Order) -> Iterator[Any]:
        after = 0
        while datapoints := self._hub.store.datasets.datapoints(order.dataset_id, after, _ITEMS_AT_ONCE):
            wanted = [one for one in datapoints if order.until_seq is not None and one.seq <= order.until_seq]
            if wanted:
                yield wanted
            after = datapoints[-1].seq

    def _kept(self, item: NewItem, pins: ExitStack) -> NewItem:
        """The item, with a long payload stored apart and kept from the sweep until the ledger points to it."""
        if len(item.payload) <= MAX_INLINE_BYTES:
            return item
        pins.enter_context(self._hub.pins.pinned(item.input_hash.hex()))
        return item._replace(payload=b"@" + self._hub.blobs.put(item.payload).sha256.encode())

    def take(self, annotator: Annotator) -> None:
        """Let what a model said since become responses; end with the run."""
        assert annotator.run_id is not None
        order = self._hub.store.orders.get(annotator.order_id)
        run = self._hub.ledger.get(annotator.run_id)
        if order is None or order.status in ("cancelled", "failed"):
            self._stop(run)
            self._set_state(annotator, "taken")
            return
        is_over = run is None or run.is_terminal  # looked at before the outcomes, so that none comes in between
        cursor = annotator.run_cursor
        while run is not None:
            chunk = self._hub.ledger.results_by_completion(run.id, after=cursor, limit=_LINES_AT_ONCE)
            if chunk.last is None:
                break
            cursor = chunk.last
            self._take_lines(annotator, chunk.lines, cursor)
            self._check_going()
        if is_over:
            self._set_state(annotator, "taken")

    def _take_lines(self, annotator: Annotator, lines: bytes, cursor: int) -> None:
        whole = b"".join(filled_lines(lines, self._hub.blobs.get))
        answers = [
            ModelAnswer(line["custom_id"], line["output"]["answer"], line.get("elapsed_ms"))
            for line in map(msgspec.json.decode, whole.splitlines())
            if line["status"] == "succeeded"
        ]

        def write(tx: Transaction) -> None:
            self._hub.store.tasks.answer_as_model(tx, annotator.order_id, annotator.id, answers)
            self._hub.store.annotators.move_cursor(tx, annotator.id, cursor)

        self._hub.database.write(write)

    def _stop(self, run: Run | None) -> None:
        if run is not None and not run.is_terminal:
            try:
                self._hub.ledger.cancel(run.id)
            except InvalidTransition:
                return  # it ended by itself meanwhile

    def _set_state(self, annotator: Annotator, state: Any) -> None:
        self._hub.database.write(lambda tx: self._hub.store.annotators.set_run_state(tx, annotator.id, state))

    def _check_going(self) -> None:
        if self.stopping.is_set():
            raise _Stopped

    def _see_to(self, work: Callable[[Any], None], what: Any) -> None:
        name = str(getattr(what, "id", what))
        if self.is_left_alone(name):
            return
        try:
            self._check_going()
            work(what)
        except _Stopped:
            return
        except Exception as error:
            self.put_off(name, error, what=name)
