"""Credits in SQL: every move is part of the transaction of the claim, the commit or the end that it belongs to."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from amends.database import Transaction, load_queries
from amends.ledger._credits import CreditEntry, CreditExceeded, CreditStanding, Funding, Funds, Want, required_at_start
from amends.ledger._types import Outcome, Run

CREDITS = load_queries("amends.ledger.sql", "credits.sql")


def check_start(tx: Transaction, workspace_id: str, price: int, items: int, max_cost: int | None, on: str) -> None:
    """CreditExceeded unless a run with that price can start."""
    if price:
        required, remaining = required_at_start(price, items, max_cost, on), _balance(tx, workspace_id)
        if remaining < required:
            raise CreditExceeded(required, remaining)


def open_hold(tx: Transaction, run: Run) -> None:
    """The run becomes visible: what it holds is counted from now on."""
    if run.price:
        check_start(tx, run.workspace_id, run.price, run.counts.total - run.held, run.max_cost, run.on_credit_exhausted)
        tx.execute(CREDITS.open_hold, (run.no,))


def affordable(tx: Transaction, run_no: int, items: int, on_pause: Callable[[int], None] = lambda run_no: None) -> int:
    """How many of the items the run can claim now, after a block is taken if it needs one. 0: it is paused."""
    tx.lock(CREDITS.lock_hold, (run_no,))
    funds, workspace_id = _funds(tx, run_no)
    if funds.block(items):
        tx.lock(CREDITS.lock_balance, (workspace_id,))
        funds, workspace_id = _funds(tx, run_no)
    if block := funds.block(items):
        _move(tx, run_no, workspace_id, block)
        funds = funds._replace(held=funds.held + block, balance=funds.balance - block)
    count = funds.affordable(items)
    if count == 0 and _pause(tx, run_no, funds.want or "credit"):
        on_pause(run_no)
    return count


def lease(tx: Transaction, run_no: int, amount: int) -> None:
    """What the run holds is now held by a lease; negative: by the run again."""
    tx.execute(CREDITS.add_to_hold, {"run_no": run_no, "held": -amount, "charged": 0})


def settle(tx: Transaction, run_no: int, released: int, outcomes: Sequence[Outcome]) -> None:
    """A lease reported: what it held for that is released, and what the outcomes cost is charged."""
    charged = sum(outcome.cost for outcome in outcomes)
    tx.execute(CREDITS.add_to_hold, {"run_no": run_no, "held": released - charged, "charged": charged})


def fund(tx: Transaction, run: Run) -> Funding:
    """Go on with a run that paused for want of credit, if it can."""
    if run.paused_reason not in ("credit", "cost_cap"):
        return "funded"
    release(tx, run.no)
    funds, _ = _funds(tx, run.no)
    tx.execute(CREDITS.set_reason, {"run_no": run.no, "reason": funds.want})
    return funds.funding


def unchanged(tx: Transaction, run: Run) -> Funding | None:
    """What ``fund`` would answer, where it would change nothing; None where it must look itself."""
    if run.paused_reason not in ("credit", "cost_cap"):
        return "funded"
    funds, _ = _funds(tx, run.no)
    return funds.funding if funds.want == run.paused_reason and not funds.held else None


def release(tx: Transaction, run_no: int) -> None:
    """What the run itself holds is free again. No effect on one without a price."""
    tx.lock(CREDITS.lock_hold, (run_no,))
    row = tx.one(CREDITS.hold, (run_no,))
    if row is not None and row[0]:
        _move(tx, run_no, row[2], -row[0])


def close(tx: Transaction, run: Run, now: float) -> None:
    """The run ended: what it cost goes into the history."""
    if not run.price:
        return
    release(tx, run.no)
    row = tx.one(CREDITS.hold, (run.no,))
    if row is not None and row[1]:
        # The id is the run's, and unique: a second charge for it could not be written.
        add_entry(
            tx,
            CreditEntry(f"charge_{run.id}", run.workspace_id, "charge", -row[1], run.id, None, run.created_by, now),
        )
    tx.execute(CREDITS.close_hold, (run.no,))


def move(tx: Transaction, entry: CreditEntry) -> None:
    """Write an entry down, and what it adds to the balance or takes from it."""
    add_entry(tx, entry)
    tx.execute(CREDITS.add_to_balance, {"workspace_id": entry.workspace_id, "amount": entry.amount})


def add_entry(tx: Transaction, entry: CreditEntry) -> None:
    names = ("id", "workspace_id", "kind", "amount", "run_id", "note", "created_by", "created_at")
    tx.execute(CREDITS.insert_entry, {name: getattr(entry, name) for name in names})


def entries(tx: Transaction, workspace_id: str, limit: int, after: str | None) -> Sequence[CreditEntry]:
    values = {"workspace_id": workspace_id, "limit": limit, "after": after}
    return [CreditEntry(*row) for row in tx.execute(CREDITS.entries, values)]


def standing(tx: Transaction, workspace_id: str) -> CreditStanding:
    row = tx.one(CREDITS.standing, {"workspace_id": workspace_id})
    assert row is not None
    return CreditStanding(*row)


def _balance(tx: Transaction, workspace_id: str) -> int:
    return tx.value(CREDITS.balance, (workspace_id,)) or 0


def _funds(tx: Transaction, run_no: int) -> tuple[Funds, str]:
    row = tx.one(CREDITS.funds, {"run_no": run_no})
    assert row is not None, "a visible run with a price has a hold"
    *funds, workspace_id = row
    return Funds(*funds), workspace_id


def _move(tx: Transaction, run_no: int, workspace_id: str, amount: int) -> None:
    """From the balance to what the run holds."""
    tx.execute(CREDITS.add_to_balance, {"workspace_id": workspace_id, "amount": -amount})
    tx.execute(CREDITS.add_to_hold, {"run_no": run_no, "held": amount, "charged": 0})


def _pause(tx: Transaction, run_no: int, want: Want) -> bool:
    """Pause the run; whether it was not paused for that reason already."""
    release(tx, run_no)
    tx.execute(CREDITS.pause, {"run_no": run_no, "reason": want})
    return tx.changes == 1
