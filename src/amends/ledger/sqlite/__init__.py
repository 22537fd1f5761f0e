"""The ledger on SQLite."""

from amends.ledger.sqlite._ledger import SqliteLedger

__all__ = ["SqliteLedger"]
