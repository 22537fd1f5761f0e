"""The ledger on SQLite."""

from amends.ledger.sqlite._ledger import SqliteLedger
from amends.ledger.sqlite._runs import visible as run_in_transaction

__all__ = ["SqliteLedger", "run_in_transaction"]
