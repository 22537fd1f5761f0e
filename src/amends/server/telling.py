"""What webhooks are told of: the turns that runs, orders and breakers take."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import structlog

from amends.database import Database, Transaction, rfc3339
from amends.ledger import Run, Told
from amends.resilience import Closed, Opened
from amends.server.wire import KIND, batch_body
from amends.store import EventType, Order, Webhooks

log = structlog.get_logger("amends.webhooks")

_OF_STATE: dict[str, EventType] = {
    "completed": "batch.completed",
    "failed": "batch.failed",
    "expired": "batch.expired",
    "cancelled": "batch.cancelled",
}

_OF_ORDER: dict[str, EventType] = {
    "running": "order.running",
    "paused": "order.paused",
    "completed": "order.completed",
    "failed": "order.failed",
    "cancelled": "order.cancelled",
}


def tell_of_runs(webhooks: Webhooks) -> Told:
    """In the transaction in which a batch ends or is paused."""

    def told(tx: Transaction, run: Run) -> None:
        if run.kind == KIND:
            type = _OF_STATE.get(run.state, "batch.paused")
            webhooks.emit(tx, run.workspace_id, type, batch_body(run, run.public_url))

    return told


def tell_of_orders(webhooks: Webhooks) -> Callable[[Transaction, Order], None]:
    """In the transaction in which an order's status changes."""

    def told(tx: Transaction, order: Order) -> None:
        from amends.server.orders import (
            order_body,
        )  # a group of routes, made when it is asked for: see amends.server.groups

        webhooks.emit(tx, order.workspace_id, _OF_ORDER[order.status], order_body(order))

    return told


def tell_of_breakers(
    database: Database,
    webhooks: Webhooks,
    *,
    now: Callable[[], float] = time.time,
    monotonic: Callable[[], float] = time.monotonic,
) -> Callable[[str, Opened | Closed], None]:
    """Beside the engine, which does not wait for it: how a breaker stands is written down nowhere, so there is nothing that the
    message could be written together with. Every workspace that listens is told, since all share the upstreams.
    """

    def told(upstream: str, event: Opened | Closed) -> None:
        if isinstance(event, Opened):
            until = rfc3339(now() + max(0.0, event.until - monotonic()))
            type: EventType = "breaker.opened"
            data: dict[str, Any] = {"upstream": upstream, "why": event.why, "tried_again_at": until}
        else:
            type = "breaker.closed"
            data = {"upstream": upstream, "opened_for_seconds": round(event.after_seconds, 3)}
        written = database.submit(lambda tx: webhooks.emit_to_all(tx, type, data))
        written.add_done_callback(lambda done: _note(done.exception(), upstream))

    return told


def _note(error: BaseException | None, upstream: str) -> None:
    if error is not None:
        log.error("breaker_not_told", upstream=upstream, exc_info=error)
