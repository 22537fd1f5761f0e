"""SQLite's file with its one writer thread, or a PostgreSQL database: what the ledger and the store stand on."""

from amends.database._address import is_postgres, masked
from amends.database._boot import boot_id
from amends.database._migrations import NewerDatabase
from amends.database._names import new_id, rfc3339
from amends.database._protocol import Database, DatabaseTaken, DatabaseUnusable, Duplicate, Transaction
from amends.database._queries import Queries, load_queries

__all__ = [
    "Database",
    "DatabaseTaken",
    "DatabaseUnusable",
    "Duplicate",
    "NewerDatabase",
    "Queries",
    "Transaction",
    "boot_id",
    "is_postgres",
    "load_queries",
    "masked",
    "new_id",
    "rfc3339",
]
