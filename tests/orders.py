"""Orders and datasets made straight in the store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from amends.database import Database, Transaction, new_id
from amends.store import (
    Asset,
    DatasetRecord,
    JobDefinition,
    JobKind,
    LabellingSettings,
    NewDatapoint,
    Order,
    Responded,
    Store,
    TaskLease,
)
from tests.servers import RunningServer

WORKSPACE = "ws_a"
OPTIONS = ("cat", "dog", "bird")


@dataclass
class Desk:
    """An order and what may be done with it, each in a transaction of its own."""

    database: Database
    store: Store
    order_id: str
    definition: JobDefinition

    def write(self, work: Callable[[Transaction], Any]) -> Any:
        return self.database.write(work)

    @property
    def order(self) -> Order:
        found = self.store.orders.get(self.order_id)
        assert found is not None
        return found

    def run(self) -> Order:
        def work(tx: Transaction) -> Order:
            order = self.store.orders.lock(tx, self.order_id)
            assert order is not None
            if order.until_seq is None:
                self.store.orders.begin(tx, order)
            moved = self.store.orders.move(tx, self.order_id, "running")
            assert moved is not None
            return moved

        order: Order = self.write(work)
        while not order.is_filled:
            order = self.fill()
        return order

    def move(self, status: Any) -> Order | None:
        moved: Order | None = self.write(lambda tx: self.store.orders.move(tx, self.order_id, status))
        return moved

    def fill(self, limit: int = 5_000) -> Order:
        def work(tx: Transaction) -> Order:
            order = self.store.orders.lock(tx, self.order_id)
            assert order is not None
            return self.store.orders.fill(tx, order, self.definition, limit)

        order: Order = self.write(work)
        return order

    def annotator(self, name: str, **more: Any) -> str:
        return str(self.write(lambda tx: self.store.annotators.ensure(tx, self.order_id, name, **more)).id)

    def next(self, annotator_id: str, ttl_seconds: float | None = None) -> TaskLease | None:
        lease: TaskLease | None = self.write(
            lambda tx: self.store.tasks.next_task(tx, self.order_id, annotator_id, ttl_seconds)
        )
        return lease

    def respond(self, lease: TaskLease | str, answer: Any) -> Responded | None:
        lease_id = lease if isinstance(lease, str) else lease.id
        found: Responded | None = self.write(lambda tx: self.store.tasks.respond(tx, lease_id, answer, 5))
        return found

    def check(self) -> None:
        """Whether the order's sums are what they count."""
        sums = self.store.tasks.sums(self.order_id)
        assert sums.holds(self.order), (sums, self.order)


def new_order(
    database: Database,
    store: Store,
    *,
    datapoints: int = 3,
    kind: JobKind = "classification",
    gold: Sequence[int] = (),
    assets: int = 1,
    **settings: Any,
) -> Desk:
    """An order of so many datapoints, created and not run. gold: places of those whose truth is the first option."""
    number = len(store.orders.find(WORKSPACE, limit=100))
    dataset = DatasetRecord(f"ds_{number}", WORKSPACE, f"set {number}", None, 1.0)
    given = [
        NewDatapoint("text", tuple(Asset("text", text=f"{place} {part}") for part in range(assets)))
        for place in range(datapoints)
    ]

    def write(tx: Transaction) -> JobDefinition:
        store.datasets.add(tx, dataset)
        added = store.datasets.add_datapoints(tx, dataset.id, given) if given else []
        assert added is not None
        truth = {added[place].id: OPTIONS[0] for place in gold}
        definition = JobDefinition(
            f"jobdef_{number}", WORKSPACE, dataset.id, kind, f"Job {number}", "What is it?",
            OPTIONS if kind == "classification" else None, LabellingSettings(gold=truth, **settings), None, 1.0,
        )  # fmt: skip
        store.job_definitions.add(tx, definition)
        store.orders.add(tx, f"order_{number}", definition, created_by=None)
        return definition

    return Desk(database, store, f"order_{number}", database.write(write))


def dataset_on(
    server: RunningServer, *datapoints: NewDatapoint, name: str | None = None, workspace_id: str | None = None
) -> tuple[str, list[str]]:
    """A dataset with these datapoints in the server's own store: its id, and theirs."""
    services = server.owner.services
    dataset_id = new_id("ds_")
    workspace = workspace_id or services.default_workspace_id

    def write(tx: Transaction) -> list[str]:
        services.store.datasets.add(tx, DatasetRecord(dataset_id, workspace, name or dataset_id, None, 1.0))
        added = services.store.datasets.add_datapoints(tx, dataset_id, datapoints) if datapoints else []
        assert added is not None
        return [one.id for one in added]

    return dataset_id, services.database.write(write)


def text(*assets: str, **more: Any) -> NewDatapoint:
    """A datapoint of texts."""
    return NewDatapoint("text", tuple(Asset("text", text=asset) for asset in assets), **more)


def texts(*words: str) -> list[NewDatapoint]:
    return [text(word) for word in words]
