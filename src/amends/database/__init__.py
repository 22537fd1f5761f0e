"""One SQLite file, one writer thread: what the ledger and the store stand on."""

from amends.database._database import Database, Transaction
from amends.database._migrations import NewerDatabase
from amends.database._names import new_id, rfc3339
from amends.database._queries import Queries, load_queries

__all__ = ["Database", "NewerDatabase", "Queries", "Transaction", "load_queries", "new_id", "rfc3339"]
