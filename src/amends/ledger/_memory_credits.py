"""Credits of the in-memory ledger: balances, what runs hold, the history."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from amends.ledger._credits import (
    CreditEntry,
    CreditExceeded,
    CreditStanding,
    Funding,
    Funds,
    cost_of,
    required_at_start,
)
from amends.ledger._memory_run import RunRecord
from amends.ledger._types import NewRun, Outcome


class Accounts:
    """What every workspace has. What a run holds beside its leases, and was charged, is kept here by the run's id."""

    def __init__(self) -> None:
        self.balances: Counter[str] = Counter()
        self.held: dict[str, int] = {}
        self.charged: Counter[str] = Counter()
        self.entries: list[CreditEntry] = []

    def check_start(self, run: NewRun, items: int, on_exhausted: str) -> None:
        """CreditExceeded unless the run can start."""
        if run.price:
            required = required_at_start(run.price, items, run.max_cost, on_exhausted)
            if self.balances[run.workspace_id] < required:
                raise CreditExceeded(required, self.balances[run.workspace_id])

    def open(self, run: RunRecord) -> None:
        if run.new.price:
            self.held[run.new.id] = 0

    def affordable(self, run: RunRecord, items: int) -> int:
        """How many of the items can be claimed; 0 pauses the run."""
        if not run.new.price:
            return items
        funds = self._funds(run)
        block = funds.block(items)
        self._move(run, block)
        funds = funds._replace(held=funds.held + block, balance=funds.balance - block)
        count = funds.affordable(items)
        if count == 0:
            self.release(run)
            run.paused_reason = funds.want or "credit"
        return count

    def lease(self, run: RunRecord, items: int) -> None:
        """A lease took items; negative: it gave them back."""
        if run.new.price:
            self.held[run.new.id] -= items * run.new.price

    def settle(self, run: RunRecord, released: int, outcomes: Iterable[Outcome]) -> None:
        if run.new.price:
            cost = sum(cost_of(outcome, run.new.price) for outcome in outcomes)
            self.held[run.new.id] += released * run.new.price - cost
            self.charged[run.new.id] += cost

    def fund(self, run: RunRecord) -> Funding:
        if run.paused_reason not in ("credit", "cost_cap"):
            return "funded"
        self.release(run)
        funds = self._funds(run)
        run.paused_reason = funds.want
        return funds.funding

    def release(self, run: RunRecord) -> None:
        """What the run itself holds is free again."""
        self._move(run, -self.held.get(run.new.id, 0))

    def close(self, run: RunRecord, now: float) -> None:
        """The run ended: what it cost goes into the history."""
        self.release(run)
        self.held.pop(run.new.id, None)
        cost, new = self.charged.pop(run.new.id, 0), run.new
        if cost:
            entry = (f"charge_{new.id}", new.workspace_id, "charge", -cost, new.id, None, new.created_by, now)
            self.entries.append(CreditEntry(*entry))  # type: ignore[arg-type]

    def move(self, entry: CreditEntry) -> None:
        self.entries.append(entry)
        self.balances[entry.workspace_id] += entry.amount

    def standing(self, workspace_id: str, runs: Iterable[RunRecord]) -> CreditStanding:
        own = [run for run in runs if run.new.workspace_id == workspace_id and run.new.id in self.held]
        return CreditStanding(
            self.balances[workspace_id],
            sum(self.held[run.new.id] + run.leased * run.new.price for run in own),
            sum(self.charged[run.new.id] for run in own),
            sum(entry.amount for entry in self.entries if entry.workspace_id == workspace_id),
        )

    def find(self, workspace_id: str, limit: int, after: str | None) -> Sequence[CreditEntry]:
        newest_first = [entry for entry in reversed(self.entries) if entry.workspace_id == workspace_id]
        if after is not None:
            ids = [entry.id for entry in newest_first]
            newest_first = newest_first[ids.index(after) + 1 :] if after in ids else []
        return newest_first[:limit]

    def _funds(self, run: RunRecord) -> Funds:
        price = run.new.price
        return Funds(
            held=self.held[run.new.id],
            leased=run.leased * price,
            charged=self.charged[run.new.id],
            unclaimed=run.counts.processing - run.leased - run.view().held,
            balance=self.balances[run.new.workspace_id],
            price=price,
            max_cost=run.max_cost,
        )

    def _move(self, run: RunRecord, amount: int) -> None:
        if amount:
            self.balances[run.new.workspace_id] -= amount
            self.held[run.new.id] += amount
