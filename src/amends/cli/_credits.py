"""``amends credits``: what the workspace has, what it spent, what work would cost."""

from __future__ import annotations

from amends.client import Credits, Record

from ._connection import connect
from ._console import Words, local_time
from ._options import Common


def balance(common: Common) -> None:
    """Show what there is."""
    with connect(common) as connection:
        found = connection.client.credits.balance()
    if not _as_document(common.words, found):
        common.words.data(f"{_amount(found.balance)} {found.unit}")
        common.words.say(_aside(found))


def top_up(common: Common, amount: float, note: str | None) -> None:
    """Add credits."""
    with connect(common) as connection:
        entry = connection.client.credits.top_up(amount, note=note)
        found = connection.client.credits.balance()
    if not _as_document(common.words, entry):
        common.words.data(f"{_amount(found.balance)} {found.unit}")


def estimate(common: Common, model: str, items: int) -> None:
    """Say what items would cost."""
    with connect(common) as connection:
        found = connection.client.credits.estimate(model=model, items=items)
    if not _as_document(common.words, found):
        common.words.data(f"{_amount(found.cost)} {found.unit}")
        common.words.say(
            f"{items:,} items at {_amount(found.price)}; {_amount(found.balance)} there"
            + ("" if found.suffices else ", which does not suffice")
        )


def history(common: Common, limit: int) -> None:
    """Show the newest top-ups and charges."""
    with connect(common) as connection:
        entries = list(connection.client.credits.history(limit=limit).data)
    if common.words.is_json:
        common.words.document([entry.model_dump(mode="json") for entry in entries])
    else:
        rows = (
            (local_time(entry.created_at), entry.kind, _amount(entry.amount), entry.run_id or entry.note or "")
            for entry in entries
        )
        common.words.table(("at", "kind", "amount", "for"), rows)


def _as_document(words: Words, found: Record) -> bool:
    if words.is_json:
        words.document(found.model_dump(mode="json"))
    return words.is_json


def _amount(credits: float | None) -> str:
    return f"{credits or 0.0:,.6f}".rstrip("0").rstrip(".")


def _aside(found: Credits) -> str:
    return f"{_amount(found.held)} held by running work, {_amount(found.charged)} charged to it so far"
