"""The ledger on PostgreSQL."""

from amends.ledger.postgres._ledger import PostgresLedger

__all__ = ["PostgresLedger"]
