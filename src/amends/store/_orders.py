"""Orders: a job definition on its way from tasks to answers.

An order's tasks are made of the datapoints that its dataset has when it first runs, a slice at a time, so that a million of them hold
nobody up. Whoever moves an order or something of it locks its row first: what its counts say is written with what they count.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Literal

from amends.database import Database, Transaction, load_queries
from amends.store._job_definitions import (
    JobDefinition,
    JobKind,
    LabellingSettings,
    literally,
    settings_of,
    to_text,
)

QUERIES = load_queries(__package__, "orders.sql")

OrderStatus = Literal["created", "running", "paused", "completed", "failed", "cancelled"]

ORDER_TRANSITIONS: Final[Mapping[OrderStatus, Mapping[OrderStatus, str]]] = MappingProxyType(
    {
        "created": {"running": "run", "cancelled": "cancelled"},
        "running": {
            "paused": "paused",
            "completed": "every task is done",
            "cancelled": "cancelled",
            "failed": "its datapoints were deleted",
        },
        "paused": {
            "running": "run",
            "completed": "every task is done: answers under way are still taken",
            "cancelled": "cancelled",
            "failed": "its datapoints were deleted",
        },
        "completed": {},
        "failed": {},
        "cancelled": {},
    }
)
"""status → those that may follow it, each with what brings it about. Enforced by conditional updates; drawn in the docs."""

FILLED_AT_ONCE: Final = 5_000


@dataclass(frozen=True, slots=True)
class Order:
    """An order as it stands.

    name: its definition's. tasks, tasks_done, responses: without gold tasks. until_seq: the last datapoint that belongs to it, None
    before it ran; filled_seq: the last one that a task was made of. frees: see ``Tasks``. invitation: hash of its link's token.
    """

    id: str
    workspace_id: str
    definition_id: str
    dataset_id: str
    kind: JobKind
    name: str
    status: OrderStatus
    settings: LabellingSettings
    tasks: int
    tasks_done: int
    gold_tasks: int
    responses: int
    until_seq: int | None
    filled_seq: int
    frees: int
    invitation: bytes | None
    error: str | None
    created_by: str | None
    created_at: float
    running_at: float | None
    paused_at: float | None
    completed_at: float | None
    failed_at: float | None
    cancelled_at: float | None

    @property
    def is_ended(self) -> bool:
        return not ORDER_TRANSITIONS[self.status]

    @property
    def is_filled(self) -> bool:
        """Whether all its tasks are made."""
        return self.until_seq is not None and self.filled_seq >= self.until_seq


class Orders:
    """Orders of all workspaces; whoever asks for one by id looks at its ``workspace_id``.

    on_move: told of an order in the transaction in which its status changes.
    """

    def __init__(self, database: Database, *, now: Callable[[], float]) -> None:
        self._database = database
        self._now = now
        self.on_move: Callable[[Transaction, Order], None] = lambda tx, order: None

    def add(self, tx: Transaction, order_id: str, definition: JobDefinition, *, created_by: str | None) -> Order:
        """Make an order of a definition, with its settings."""
        values = {
            "id": order_id,
            "workspace_id": definition.workspace_id,
            "definition_id": definition.id,
            "dataset_id": definition.dataset_id,
            "kind": definition.kind,
            "settings": to_text(definition.settings.to_dict()),
            "created_by": created_by,
            "created_at": self._now(),
        }
        tx.execute(QUERIES.insert_order, values)
        return self._of(tx, order_id)

    def get(self, order_id: str) -> Order | None:
        with self._database.read() as tx:
            return read_order(tx, order_id)

    def find(
        self,
        workspace_id: str,
        *,
        limit: int,
        after: str | None = None,
        status: OrderStatus | None = None,
        definition_id: str | None = None,
        name: str | None = None,
    ) -> list[Order]:
        """The workspace's orders, newest first, those older than ``after``. name: what their name holds, in any case."""
        values = {
            "workspace_id": workspace_id,
            "limit": limit,
            "after": after,
            "status": status,
            "definition_id": definition_id,
            "name": literally(name),
        }
        with self._database.read() as tx:
            return [_order(row) for row in tx.execute(QUERIES.list_orders, values)]

    def lock(self, tx: Transaction, order_id: str) -> Order | None:
        """The order, which nobody else moves until the transaction ends."""
        return lock_order(tx, order_id)

    def move(self, tx: Transaction, order_id: str, status: OrderStatus, *, error: str | None = None) -> Order | None:
        """Bring it to ``status``; None where its own does not allow that. error: of one that failed."""
        allowed = [each for each, followers in ORDER_TRANSITIONS.items() if status in followers]
        values = {"id": order_id, "status": status, "error": error, "now": self._now(), "from": json.dumps(allowed)}
        tx.execute(QUERIES.set_status, values)
        return self._moved(tx, order_id) if tx.changes == 1 else None

    # Tasks of an order that runs

    def begin(self, tx: Transaction, order: Order) -> int:
        """Say which datapoints belong to it, those that its dataset has now; their number."""
        until = tx.value(QUERIES.last_datapoint, {"dataset_id": order.dataset_id}) or 0
        tx.execute(QUERIES.set_until, {"id": order.id, "until_seq": until})
        return int(until)

    def unfit(self, tx: Transaction, definition: JobDefinition, after_seq: int = 0) -> tuple[int, str | None]:
        """How many of its dataset's datapoints behind ``after_seq`` cannot be asked about in this way, and the first one's id.

        It looks at each of them, unless any would do.
        """
        kind = definition.kind
        if kind != "compare" and not (kind == "classification" and definition.answer_options is None):
            return 0, None
        values = {"dataset_id": definition.dataset_id, "kind": kind, "options": None, "after": after_seq}
        row = tx.one(QUERIES.unfit_datapoints, values)
        assert row is not None
        return row[0], row[1]

    def look_over(self, definition: JobDefinition) -> tuple[int, int, str | None]:
        """The seq of the dataset's last datapoint and ``unfit`` as they stand now, so that no transaction has to look at all."""
        with self._database.read() as tx:
            last = tx.value(QUERIES.last_datapoint, {"dataset_id": definition.dataset_id}) or 0
            return int(last), *self.unfit(tx, definition)

    def known_datapoints(self, tx: Transaction, dataset_id: str, ids: Sequence[str]) -> set[str]:
        """Those of the datapoints that the dataset has."""
        return set(json.loads(tx.value(QUERIES.known_datapoints, {"dataset_id": dataset_id, "ids": json.dumps(ids)})))

    def unfilled(self) -> list[str]:
        """Running orders of all workspaces of which tasks are still to be made."""
        with self._database.read() as tx:
            return [row[0] for row in tx.execute(QUERIES.unfilled_orders)]

    def orphaned(self) -> list[str]:
        """Orders under way, of all workspaces, whose dataset was deleted."""
        with self._database.read() as tx:
            return [row[0] for row in tx.execute(QUERIES.orphaned_orders)]

    def fill(self, tx: Transaction, order: Order, definition: JobDefinition, limit: int = FILLED_AT_ONCE) -> Order:
        """Make the tasks of the next slice of its datapoints. Whoever calls has locked it."""
        span = {"dataset_id": order.dataset_id, "after": order.filled_seq, "until": order.until_seq}
        last = tx.value(QUERIES.last_of_slice, {**span, "limit": limit})
        end = order.until_seq if last is None else last
        options = None if definition.answer_options is None else to_text(list(definition.answer_options))
        settings = order.settings
        made = {**span, "until": end, "order_id": order.id, "kind": order.kind, "options": options}
        gold = {datapoint_id: to_text(truth) for datapoint_id, truth in settings.gold.items()}
        tx.execute(QUERIES.fill_tasks, {**made, "needed": settings.responses_per_datapoint, "gold": json.dumps(gold)})
        tasks = tx.changes
        places = {"order_id": order.id, "after": order.filled_seq, "until": end}
        golden = tx.value(QUERIES.filled_gold, places) if gold else 0
        tx.execute(
            QUERIES.set_filled, {"id": order.id, "filled_seq": end, "tasks": tasks - golden, "gold_tasks": golden}
        )
        self.complete(tx, order.id)
        return self._of(tx, order.id)

    def complete(self, tx: Transaction, order_id: str) -> bool:
        """Complete it if every task is there and done."""
        tx.execute(QUERIES.complete_order, {"id": order_id, "now": self._now()})
        has_completed = tx.changes == 1
        if has_completed:
            self._moved(tx, order_id)
        return has_completed

    # Invitations

    def invite(self, tx: Transaction, order_id: str, token: str | None = None) -> str:
        """The token of a new link to the order's page, which replaces the one before; only its hash is stored."""
        token = token or secrets.token_urlsafe(24)
        tx.execute(QUERIES.set_invitation, {"id": order_id, "invitation": _digest(token)})
        return token

    def by_invitation(self, token: str) -> Order | None:
        """The order whose newest link has the token."""
        digest = _digest(token)
        with self._database.read() as tx:
            order_id = tx.value(QUERIES.get_order_by_invitation, {"invitation": digest})
            order = None if order_id is None else read_order(tx, order_id)
        is_it = order is not None and hmac.compare_digest(order.invitation or b"", digest)
        return order if is_it else None

    def _moved(self, tx: Transaction, order_id: str) -> Order:
        order = self._of(tx, order_id)
        self.on_move(tx, order)
        return order

    def _of(self, tx: Transaction, order_id: str) -> Order:
        order = read_order(tx, order_id)
        assert order is not None
        return order


def read_order(tx: Transaction, order_id: str) -> Order | None:
    """The order as the transaction sees it."""
    row = tx.one(QUERIES.get_order, {"id": order_id})
    return None if row is None else _order(row)


def lock_order(tx: Transaction, order_id: str) -> Order | None:
    """The order, which nobody else moves until the transaction ends."""
    tx.lock(QUERIES.lock_order, (order_id,))
    return read_order(tx, order_id)


def count_responses(tx: Transaction, order_id: str, *, responses: int = 0, done: int = 0, frees: int = 0) -> None:
    """Add to an order's sums."""
    values = {"id": order_id, "responses": responses, "done": done, "frees": frees}
    tx.execute(QUERIES.count_responses, values)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _order(row: Sequence[Any]) -> Order:
    members = list(row)
    members[7] = settings_of(row[7])
    return Order(*members)
