"""Webhooks: whom to tell what happened, and an outbox of what they are still to be told.

What is told is written in the transaction in which it happens, so that a crash leaves both or neither; somebody else sends it::

    emit ──► pending ──answered 2xx──► delivered
              │  ▲
      not, and│  │later (a schedule, or when asked to)
    out of time  │
              ▼  │
             dead
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, get_args

from amends.database import Database, Transaction, load_queries, new_id, rfc3339

QUERIES = load_queries(__package__, "webhooks.sql")

EventType = Literal[
    "batch.completed",
    "batch.failed",
    "batch.expired",
    "batch.cancelled",
    "batch.paused",
    "order.running",
    "order.paused",
    "order.completed",
    "order.failed",
    "order.cancelled",
    "breaker.opened",
    "breaker.closed",
    "webhook.test",
]
DeliveryState = Literal["pending", "delivered", "dead"]

EVENTS: Final[tuple[EventType, ...]] = get_args(EventType)
ALL_EVENTS: Final = "*"


@dataclass(frozen=True, slots=True)
class Webhook:
    """Whom to tell. events: types, or ``*`` for all. secret: sealed; former_secret: the one before, which signs too until then.

    failing_since: of a row of failures without one delivery. disabled_at: None while it is told things.
    """

    id: str
    workspace_id: str
    url: str
    description: str | None
    events: Sequence[str]
    secret: bytes = field(repr=False)
    former_secret: bytes | None = field(repr=False)
    former_until: float | None
    failing_since: float | None
    disabled_at: float | None
    disabled_reason: str | None
    created_by: str | None
    created_at: float


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message to one webhook. message_id: the same for all who are told, at each try. body: what is sent, to the byte.

    tries: since it was last asked to be sent; attempts: in all. next_at: None once it has ended.
    """

    id: str
    workspace_id: str
    webhook_id: str
    message_id: str
    type: str
    body: str
    state: DeliveryState
    tries: int
    attempts: int
    next_at: float | None
    created_at: float
    ended_at: float | None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try. status: what was answered, None where nothing was; error: what was wrong then. answer: its first characters."""

    number: int
    at: float
    elapsed_ms: int
    status: int | None
    error: str | None
    answer: str


class Webhooks:
    """Every question but those of who sends is bound to a workspace."""

    def __init__(self, database: Database, *, now: Callable[[], float]) -> None:
        self._database = database
        self._now = now

    def count(self, tx: Transaction, workspace_id: str) -> int:
        """How many the workspace has; nobody adds to them until the transaction ends."""
        tx.lock(QUERIES.lock_workspace, (workspace_id,))
        found: int = tx.value(QUERIES.count_webhooks, {"workspace_id": workspace_id})
        return found

    def add(self, tx: Transaction, webhook: Webhook) -> None:
        names = ("id", "workspace_id", "url", "description", "secret", "created_by", "created_at")
        values = {name: getattr(webhook, name) for name in names}
        tx.execute(QUERIES.insert_webhook, {**values, "events": json.dumps(list(webhook.events))})

    def get(self, workspace_id: str, webhook_id: str) -> Webhook | None:
        with self._database.read() as tx:
            return self._get(tx, workspace_id, webhook_id)

    def to_change(self, tx: Transaction, workspace_id: str, webhook_id: str) -> Webhook | None:
        """The webhook, which nobody else changes until the transaction ends."""
        tx.lock(QUERIES.lock_webhook, (webhook_id,))
        return self._get(tx, workspace_id, webhook_id)

    def find(self, workspace_id: str, *, limit: int, after: str | None = None) -> list[Webhook]:
        """The workspace's webhooks, newest first."""
        with self._database.read() as tx:
            values = {"workspace_id": workspace_id, "after": after, "limit": limit}
            return [_webhook(row) for row in tx.execute(QUERIES.list_webhooks, values)]

    def update(self, tx: Transaction, webhook: Webhook) -> None:
        """Write down URL, description, events, and whether it is told things; its secrets are changed by ``rotate``."""
        names = ("id", "url", "description", "disabled_at", "disabled_reason", "failing_since")
        values = {name: getattr(webhook, name) for name in names}
        tx.execute(QUERIES.update_webhook, {**values, "events": json.dumps(list(webhook.events))})

    def rotate(self, tx: Transaction, webhook: Webhook, secret: bytes, former_until: float) -> bool:
        """Sign with another secret, and until then with the present one, too; False where it was rotated meanwhile."""
        values = {"id": webhook.id, "was": webhook.secret, "secret": secret, "former_until": former_until}
        tx.execute(QUERIES.rotate, values)
        return tx.changes == 1

    def delete(self, tx: Transaction, workspace_id: str, webhook_id: str) -> bool:
        """Tell it nothing any more; whether it was there."""
        values = {"id": webhook_id, "workspace_id": workspace_id, "now": self._now(), "nothing": b""}
        tx.execute(QUERIES.delete_webhook, values)
        return tx.changes == 1

    # The outbox

    def emit(self, tx: Transaction, workspace_id: str, type: str, data: Mapping[str, Any]) -> str | None:
        """Write down, in the transaction in which it happens, what the workspace's webhooks are to be told.

        At least once each, under the id that is returned; None where nobody listens, and so nothing is written.
        """
        tx.lock(QUERIES.lock_listeners, (workspace_id,))
        rows = list(tx.execute(QUERIES.listeners, {"workspace_id": workspace_id}))
        told = [webhook_id for webhook_id, events in rows if is_told(json.loads(events), type)]
        if not told:
            return None
        message_id, body = new_id("msg_", now=self._now()), self._body(type, data)
        for webhook_id in told:
            self._deliver(tx, workspace_id, webhook_id, message_id, type, body)
        return message_id

    def emit_to_all(self, tx: Transaction, type: str, data: Mapping[str, Any]) -> None:
        """The same for what concerns the whole installation."""
        for (workspace_id,) in list(tx.execute(QUERIES.listening_workspaces)):
            self.emit(tx, workspace_id, type, data)

    def test(self, tx: Transaction, webhook: Webhook) -> Delivery:
        """Tell this one something, whatever it listens to."""
        body = self._body("webhook.test", {"webhook_id": webhook.id})
        message_id = new_id("msg_", now=self._now())
        return self._deliver(tx, webhook.workspace_id, webhook.id, message_id, "webhook.test", body)

    def due(self, busy: Iterable[str], limit: int) -> list[Delivery]:
        """What is to be sent now, of webhooks that are not busy."""
        with self._database.read() as tx:
            values = {"now": self._now(), "busy": json.dumps(list(busy)), "limit": limit}
            return [Delivery(*row) for row in tx.execute(QUERIES.due_deliveries, values)]

    def delivery(self, webhook_id: str, delivery_id: str) -> Delivery | None:
        with self._database.read() as tx:
            row = tx.one(QUERIES.get_delivery, {"id": delivery_id, "webhook_id": webhook_id})
        return Delivery(*row) if row else None

    def deliveries(
        self, webhook_id: str, *, limit: int, after: str | None = None, state: DeliveryState | None = None
    ) -> list[Delivery]:
        """The webhook's deliveries, newest first."""
        with self._database.read() as tx:
            values = {"webhook_id": webhook_id, "after": after, "state": state, "limit": limit}
            return [Delivery(*row) for row in tx.execute(QUERIES.list_deliveries, values)]

    def attempts(self, delivery_id: str) -> list[Attempt]:
        """What was tried so far, in order."""
        with self._database.read() as tx:
            return [Attempt(*row) for row in tx.execute(QUERIES.attempts, {"delivery_id": delivery_id})]

    def record(self, tx: Transaction, delivery: Delivery, attempt: Attempt, next_at: float | None) -> bool:
        """Write down what became of a try. next_at: of the next one after a failure, None for none.

        False where the delivery was not as it stood when the try began, and so nothing was written.
        """
        tx.lock(QUERIES.lock_webhook, (delivery.webhook_id,))  # before its deliveries, as everybody does
        is_delivered = attempt.error is None
        state: DeliveryState = "delivered" if is_delivered else "dead" if next_at is None else "pending"
        values = {"id": delivery.id, "attempts": delivery.attempts, "state": state, "next_at": next_at}
        tx.execute(QUERIES.set_delivery, {**values, "ended_at": None if state == "pending" else self._now()})
        if tx.changes != 1:
            return False
        whole = {name: getattr(attempt, name) for name in Attempt.__slots__}
        tx.execute(QUERIES.insert_attempt, {**whole, "delivery_id": delivery.id})
        note = QUERIES.note_delivered if is_delivered else QUERIES.note_failed
        tx.execute(
            note, {"id": delivery.webhook_id} if is_delivered else {"id": delivery.webhook_id, "now": self._now()}
        )
        return True

    def disable(self, tx: Transaction, webhook_id: str, reason: str) -> None:
        """Tell it nothing any more, nor what was still to be told, until somebody says otherwise."""
        tx.execute(QUERIES.disable, {"id": webhook_id, "reason": reason, "now": self._now()})
        self.drop_pending(tx, webhook_id)

    def drop_pending(self, tx: Transaction, webhook_id: str) -> None:
        """What it was still to be told is dead."""
        tx.execute(QUERIES.drop_pending, {"webhook_id": webhook_id, "now": self._now()})

    def send_again(self, tx: Transaction, webhook_id: str, delivery_id: str) -> Delivery | None:
        """Begin anew with a delivery, whatever became of it; None where there is no such one."""
        ids = {"id": delivery_id, "webhook_id": webhook_id}
        tx.execute(QUERIES.send_again, {**ids, "now": self._now()})
        row = tx.one(QUERIES.get_delivery, ids)
        return Delivery(*row) if row else None

    def backlog(self) -> Mapping[str, int]:
        """How many deliveries are pending and dead."""
        with self._database.read() as tx:
            return dict(tx.execute(QUERIES.backlog))

    def delete_outdated(self, tx: Transaction, *, before: float, limit: int = 500) -> int:
        """Forget up to ``limit`` deliveries that ended by then or whose webhook is gone; how many they were."""
        rows = list(tx.execute(QUERIES.outdated_deliveries, {"before": before, "limit": limit}))
        ids = {"ids": json.dumps([row[0] for row in rows])}
        tx.execute(QUERIES.delete_attempts, ids)
        tx.execute(QUERIES.delete_deliveries, ids)
        if not rows:
            tx.execute(QUERIES.delete_gone)
        return len(rows)

    def _get(self, tx: Transaction, workspace_id: str, webhook_id: str) -> Webhook | None:
        row = tx.one(QUERIES.get_webhook, {"id": webhook_id, "workspace_id": workspace_id})
        return _webhook(row) if row else None

    def _body(self, type: str, data: Mapping[str, Any]) -> str:
        body = {"type": type, "timestamp": rfc3339(self._now()), "data": data}
        return json.dumps(body, ensure_ascii=False, separators=(",", ":"))

    def _deliver(
        self, tx: Transaction, workspace_id: str, webhook_id: str, message_id: str, type: str, body: str
    ) -> Delivery:
        now = self._now()
        made = Delivery(
            new_id("dlv_", now=now), workspace_id, webhook_id, message_id, type, body, "pending", 0, 0, now, now, None
        )
        names = ("id", "workspace_id", "webhook_id", "message_id", "type", "body")
        tx.execute(QUERIES.insert_delivery, {**{name: getattr(made, name) for name in names}, "now": now})
        return made


def is_told(events: Sequence[str], type: str) -> bool:
    """Whether somebody who listens to ``events`` is told of this."""
    return type in events or ALL_EVENTS in events


def _webhook(row: tuple[Any, ...]) -> Webhook:
    webhook = Webhook(*row)
    return replace(webhook, events=json.loads(row[4]))
