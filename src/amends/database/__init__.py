"""SQLite's file with its one writer thread, or a PostgreSQL database: what the ledger and the store stand on."""

from amends.database._migrations import NewerDatabase
from amends.database._names import new_id, rfc3339
from amends.database._protocol import Database, DatabaseUnusable, Duplicate, Transaction
from amends.database._queries import Queries, load_queries

__all__ = [
    "Database",
    "DatabaseUnusable",
    "Duplicate",
    "NewerDatabase",
    "Queries",
    "Transaction",
    "load_queries",
    "new_id",
    "rfc3339",
]
