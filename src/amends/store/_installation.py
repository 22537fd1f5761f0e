"""Which installation a database belongs to, so that it is not put together with another one's blobs."""

from __future__ import annotations

from amends.database import Transaction, load_queries, new_id

QUERIES = load_queries(__package__, "installation.sql")


def installation_id(tx: Transaction) -> str:
    """The database's name for itself, given when it is first asked for, by its one owner."""
    found: str | None = tx.value(QUERIES.get_id)
    if found is None:
        found = new_id("inst_")
        tx.execute(QUERIES.insert_id, {"id": found})
    return found
