"""What the ledger says of credits, and the decisions about them that all ledgers share.

Amounts are whole numbers of millionths of a credit, so that no sum is ever rounded. Credit moves in blocks::

    balance ──block──► what a run holds ──claim──► what its leases hold ──commit──► charged ──end of the run──► entry
       ▲                 │        ▲                        │
       └──pause or end───┘        └──failed or given back──┘

The workspace's one row is touched once in ``BLOCK_ITEMS`` items; a run without a price touches none of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from amends.ledger._types import Outcome

CREDIT: Final = 1_000_000
"""One credit."""

BLOCK_ITEMS: Final = 10_000
"""A run takes credit for so many items at once."""

Want = Literal["credit", "cost_cap"]
"""For want of what a run pauses: the workspace's credit is used up, or the run cost what it may."""

Funding = Literal["funded", "waiting", "exhausted"]


@dataclass(frozen=True, slots=True)
class CreditStanding:
    """A workspace's credit. balance: what can be taken for new work; below 0 where work cost more than was estimated.

    held: set aside for work under way. charged: by runs that have not ended. recorded: the sum of the entries.
    """

    balance: int
    held: int
    charged: int
    recorded: int

    @property
    def holds(self) -> bool:
        """Whether nothing was lost and nothing came from nowhere."""
        return self.balance + self.held + self.charged == self.recorded


@dataclass(frozen=True, slots=True)
class CreditEntry:
    """A line of a workspace's history: a top-up (positive), or a charge (negative): what a run cost, written at its end, or a
    single call, which has no run."""

    id: str
    workspace_id: str
    kind: Literal["top_up", "charge"]
    amount: int
    run_id: str | None
    note: str | None
    created_by: str | None
    created_at: float


class CreditExceeded(Exception):
    """The work cannot start. required: the least it needs; remaining: what the workspace has."""

    def __init__(self, required: int, remaining: int) -> None:
        super().__init__(f"{required} needed, {remaining} there")
        self.required = required
        self.remaining = remaining


class Funds(NamedTuple):
    """What decides about a run's next lease. held: by the run itself; leased: by its leases; unclaimed: items."""

    held: int
    leased: int
    charged: int
    unclaimed: int
    balance: int
    price: int
    max_cost: int | None

    @property
    def room(self) -> int | None:
        """What the run may still claim before it costs what it may; None without a bound."""
        return None if self.max_cost is None else self.max_cost - self.charged - self.leased

    @property
    def want(self) -> Want | None:
        """What is lacking for one item more, with all that is free put to it."""
        if self.room is not None and self.room < self.price:
            return "cost_cap"
        return "credit" if self.held + self.balance < self.price else None

    @property
    def funding(self) -> Funding:
        """Whether the run can go on and, where it cannot, whether that may change by itself."""
        if self.want is None:
            return "funded"
        return "waiting" if self.leased or self.want == "cost_cap" else "exhausted"

    def block(self, items: int) -> int:
        """What to take from the balance before ``items`` are claimed."""
        if self.held >= items * self.price:
            return 0
        most = min(BLOCK_ITEMS, max(self.unclaimed, 1)) * self.price
        if self.room is not None:
            most = min(most, self.room)
        return max(0, min(most - self.held, self.balance))

    def affordable(self, items: int) -> int:
        """How many of the items what the run holds suffices for."""
        held = self.held if self.room is None else min(self.held, self.room)
        return max(0, min(items, held // self.price))


def check_top_up(entry: CreditEntry) -> None:
    """ValueError unless the entry adds something."""
    if entry.kind != "top_up" or entry.amount <= 0:
        raise ValueError("a top-up adds more than nothing")


def check_charge(entry: CreditEntry) -> None:
    """ValueError unless the entry takes something, for work that is no run's."""
    if entry.kind != "charge" or entry.amount >= 0 or entry.run_id is not None:
        raise ValueError("a charge takes more than nothing")


def cost_of(outcome: Outcome, price: int) -> int:
    """What an outcome costs: nothing unless it is a success, the price unless its own cost is known."""
    return (outcome.cost or price) if outcome.status == "succeeded" else 0


def with_costs(outcomes: Iterable[Outcome], price: int) -> list[Outcome]:
    """The outcomes of a run with a price, each with what it costs."""
    return [outcome._replace(cost=cost_of(outcome, price)) for outcome in outcomes]


def required_at_start(price: int, items: int, max_cost: int | None, on_exhausted: str) -> int:
    """What must be free before a run begins: all it may cost where it would fail for want of it, else one item's price."""
    if on_exhausted != "fail":
        return price
    return items * price if max_cost is None else min(items * price, max_cost)
