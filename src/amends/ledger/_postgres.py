"""The ledger on PostgreSQL, where claims and commits run side by side.

Whoever moves a run locks it first, and whoever reports under a lease locks that: the row is the fence. A claim takes a span that
nobody is just cutting, and waits for one only where there is no other. Commits of one run meet only in a shard of its counts.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from random import Random

from amends.database import Database, Transaction
from amends.ledger._protocol import Told
from amends.ledger._types import ItemStatus, ResultChunk
from amends.ledger.sql._leasing import LEASING
from amends.ledger.sql._ledger import SqlLedger
from amends.ledger.sql._runs import to_move


class PostgresLedger(SqlLedger):
    """monotonic: for leases and deferrals, in tests; None takes the database's clock."""

    def __init__(
        self,
        database: Database,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] | None = None,
        draw: Random | None = None,
        told: Told = lambda tx, run: None,
    ) -> None:
        super().__init__(database, clock=clock, draw=draw, told=told)
        self._monotonic = monotonic

    def results_by_completion(
        self, run_id: str, *, after: int = -1, status: ItemStatus | None = None, limit: int = 5_000
    ) -> ResultChunk:
        run = self.get(run_id)
        if run is not None and self._read(lambda tx: tx.value(LEASING.is_unplaced, {"run_no": run.no})):
            self._database.write(lambda tx: self._place(tx, run_id))
        return super().results_by_completion(run_id, after=after, status=status, limit=limit)

    def _is_indexed_at_once(self, total: int) -> bool:
        return True  # nobody waits for it

    def _place(self, tx: Transaction, run_id: str) -> None:
        tx.execute(LEASING.place_completed, {"run_no": to_move(tx, run_id).no})

    def _now_ms(self, tx: Transaction) -> int:
        if self._monotonic is not None:
            return int(self._monotonic() * 1000)
        now: int = tx.value(LEASING.now_ms)
        return now
