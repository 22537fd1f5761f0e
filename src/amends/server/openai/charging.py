"""What is paid for an answer that the caller waits for: held while the work runs, charged with the answer, nothing for a failure.

The hold is in memory: one process answers all callers of a database, and where it dies neither answer nor charge was given.
The charge is one entry of the history, in the transaction that stores the answer under the request's key, so that a repeated
request is not charged again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from amends.database import new_id
from amends.ledger import CreditEntry
from amends.models.providers import Price
from amends.problems import ProblemError
from amends.server.auth import Caller
from amends.server.idempotency import Guard
from amends.server.prices import lacking, millionths, price_of
from amends.server.services import Services
from amends.server.threads import in_thread


@dataclass(slots=True)
class Payment:
    """Of one call. amount: in millionths of a credit, what is held for it until ``settle`` says what it cost."""

    hub: Services
    who: Caller
    note: str
    amount: int

    def settle(self, usage: Any, price: Price | None) -> None:
        """Take what the answer cost by the provider's own prices, where they are charged on, instead of the price of a call."""
        rate = self.hub.settings.credits.per_cost
        if self.amount and rate and price is not None and isinstance(usage, Mapping):
            cost = price.of(_count(usage, "prompt_tokens"), _count(usage, "completion_tokens"))
            self.amount = max(1, millionths(cost * rate)) if cost > 0 else self.amount

    async def store(self, guard: Guard, content: bytes, media_type: str) -> None:
        """Write the charge down, and the answer under the request's key, where there is either."""

        def also(tx: Any) -> None:
            guard.store(tx, 200, content, headers={"content-type": media_type})

        if self.amount:
            await in_thread(self.hub.ledger.charge, self._entry(), also=also)
        elif guard.key is not None:
            await in_thread(self.hub.database.write, also)

    def _entry(self) -> CreditEntry:
        now = self.hub.now()
        who, note = self.who, self.note
        return CreditEntry(
            new_id("charge_", now=now), who.workspace_id, "charge", -self.amount, None, note, who.principal, now
        )


@asynccontextmanager
async def paid(hub: Services, who: Caller, model: str, endpoint: str) -> AsyncIterator[Payment]:
    """Hold the price of a call while it runs. model: as the caller named it. ProblemError credit_exceeded where there is too little."""
    payment = Payment(hub, who, f"{endpoint} {model}", price_of(hub.settings, model))
    held, price = hub.call_holds, payment.amount
    if not price:
        yield payment
        return
    held[who.workspace_id] += price
    try:
        await _check(hub, who.workspace_id, price)
        yield payment
    finally:
        held[who.workspace_id] -= price
        if not held[who.workspace_id]:
            del held[who.workspace_id]


async def _check(hub: Services, workspace_id: str, price: int) -> None:
    """Look until nothing moved meanwhile: what another call held may by now be charged, and must not count twice."""
    wanted = -1
    while wanted != hub.call_holds[workspace_id]:
        wanted = hub.call_holds[workspace_id]
        balance = (await in_thread(hub.ledger.credit, workspace_id)).balance
        if balance >= wanted:
            return
    raise ProblemError(lacking(hub, price, max(0, balance - wanted + price)))


def _count(usage: Mapping[str, Any], name: str) -> int:
    count = usage.get(name)
    return count if isinstance(count, int) and count >= 0 else 0
