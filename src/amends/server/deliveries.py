"""Sending what webhooks are to be told.

Everything is found in the outbox, so that dying at any moment loses nothing: what was under way is sent once more under the same
id. One message at a time goes to a webhook, and several webhooks are told at a time, so that a slow one holds up itself alone.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import structlog

from amends.database import Transaction
from amends.fetching import Allowed, FetchLimits, Sender, Sent
from amends.resilience import Draw
from amends.server.rounds import Rounds
from amends.server.schedule import is_taken, next_try, reason_to_disable
from amends.server.sealing import CannotOpen
from amends.server.services import Services
from amends.server.signing import signed_headers
from amends.store import Attempt, Delivery, Webhook

log = structlog.get_logger("amends.webhooks")

_LOOK_SECONDS: Final = 0.5
_AT_ONCE: Final = 16


class Deliveries(Rounds):
    """One thread that looks, and up to 16 that send, from ``start`` to ``close``."""

    def __init__(
        self,
        hub: Services,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        draw: Draw = random.random,
        sender: Sender | None = None,
    ) -> None:
        settings = hub.settings.webhooks
        seconds = settings.total_seconds
        self._hub = hub
        self._monotonic = monotonic
        self._draw = draw
        self._sender = sender or Sender(
            limits=FetchLimits(seconds, min(seconds, 10.0), seconds), allowed=Allowed.of(settings.allow)
        )
        self._is_wanted = threading.Event()
        self._lock = threading.Lock()
        self._busy: set[str] = set()
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="amends-webhook")
        super().__init__(
            "webhooks",
            self._begin,
            event="webhook_not_seen_to",
            told=self._is_wanted,
            soon_seconds=0.0,
            late_seconds=_LOOK_SECONDS,
            logger="amends.webhooks",
        )

    def close(self) -> None:
        """Returns when what is under way has been answered or is out of time."""
        super().close()
        self._threads.shutdown()

    def _begin(self) -> bool:
        """Begin to send what is due; whether anything was."""
        with self._lock:
            busy = set(self._busy)
        free = _AT_ONCE - len(busy)
        due = self._hub.store.webhooks.due(busy, free) if free else []
        first = {delivery.webhook_id: delivery for delivery in reversed(due)}
        with self._lock:
            self._busy |= first.keys()
        for delivery in first.values():
            self._threads.submit(self._see_to, delivery)
        return bool(first)

    def _see_to(self, delivery: Delivery) -> None:
        try:
            if not self.stopping.is_set():
                self.deliver(delivery)
        except Exception as error:
            self.rest(error, delivery_id=delivery.id, webhook_id=delivery.webhook_id)
        finally:
            with self._lock:
                self._busy.discard(delivery.webhook_id)
            self._is_wanted.set()

    def deliver(self, delivery: Delivery) -> None:
        """Try once, and write down what became of it."""
        webhook = self._hub.store.webhooks.get(delivery.workspace_id, delivery.webhook_id)
        if webhook is None or webhook.disabled_at is not None:
            self._hub.database.write(lambda tx: self._hub.store.webhooks.drop_pending(tx, delivery.webhook_id))
            return
        at, began = self._hub.now(), self._monotonic()
        sent = self._send(webhook, delivery, at)
        error = sent.error
        if error is None and not is_taken(sent.status):
            error = f"It answered {sent.status}"
        elapsed_ms = round((self._monotonic() - began) * 1000)
        attempt = Attempt(delivery.attempts + 1, at, elapsed_ms, sent.status, error, sent.text)
        self._record(webhook, delivery, attempt, sent.retry_after)

    def _send(self, webhook: Webhook, delivery: Delivery, at: float) -> Sent:
        try:
            headers = signed_headers(self._hub.sealing, webhook, delivery, at)
        except CannotOpen:
            return Sent(None, "Its secret was sealed by another data directory: rotate it")
        return self._sender.post(webhook.url, headers, delivery.body.encode(), now=at)

    def _record(self, webhook: Webhook, delivery: Delivery, attempt: Attempt, retry_after: float | None) -> None:
        now = self._hub.now()
        is_failed = attempt.error is not None
        after = next_try(delivery.tries + 1, now, self._draw, retry_after) if is_failed else None
        failing_days = self._hub.settings.webhooks.failing_days
        reason = reason_to_disable(attempt.status, webhook.failing_since, now, failing_days) if is_failed else None

        def write(tx: Transaction) -> None:
            if self._hub.store.webhooks.record(tx, delivery, attempt, None if reason else after) and reason:
                self._hub.store.webhooks.disable(tx, webhook.id, reason)

        self._hub.database.write(write)
        self._tell(delivery, attempt, is_dead=is_failed and (after is None or reason is not None), reason=reason)

    def _tell(self, delivery: Delivery, attempt: Attempt, *, is_dead: bool, reason: str | None) -> None:
        outcome = "delivered" if attempt.error is None else "dead" if is_dead else "failed"
        self._hub.metrics.webhook_attempt(delivery.type, outcome)
        about = {"webhook_id": delivery.webhook_id, "delivery_id": delivery.id, "message_id": delivery.message_id}
        if attempt.error is None:
            log.debug("webhook_delivered", **about, attempt=attempt.number, milliseconds=attempt.elapsed_ms)
            return
        log.warning(
            "webhook_attempt_failed", **about, type=delivery.type, attempt=attempt.number, status=attempt.status,
            message=attempt.error, is_dead=is_dead,
        )  # fmt: skip
        if reason is not None:
            log.warning("webhook_disabled", webhook_id=delivery.webhook_id, reason=reason)
