"""The ledger in SQL: what both dialects share, and the statements of both."""

from amends.ledger.sql._runs import visible as run_in_transaction

__all__ = ["run_in_transaction"]
