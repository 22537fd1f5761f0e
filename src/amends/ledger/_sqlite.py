"""The ledger on SQLite."""

from __future__ import annotations

import time
from collections.abc import Callable
from random import Random

from amends.database import Database, Transaction, boot_id
from amends.ledger._protocol import Told
from amends.ledger.sql._leasing import LEASING, give_back_all
from amends.ledger.sql._ledger import SqlLedger
from amends.ledger.sql._runs import RUNS


class SqliteLedger(SqlLedger):
    """The ledger on SQLite.

    monotonic: for leases and deferrals, so that a clock jump or a sleeping laptop expires nothing; another ``boot`` expires every
    lease.
    """

    def __init__(
        self,
        database: Database,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        draw: Random | None = None,
        boot: str | None = None,
        told: Told = lambda tx, run: None,
    ) -> None:
        super().__init__(database, clock=clock, draw=draw, told=told)
        self._monotonic = monotonic
        self._notice_boot(boot or boot_id())

    def _now_ms(self, tx: Transaction) -> int:
        return int(self._monotonic() * 1000)

    def _notice_boot(self, boot: str) -> None:
        def work(tx: Transaction) -> None:
            if tx.value(RUNS.boot_id) == boot:
                return
            tx.execute(RUNS.set_boot_id, {"boot_id": boot})
            tx.execute(RUNS.everything_due)
            leases = [row[0] for row in tx.execute(LEASING.all_leases)]
            give_back_all(tx, leases, self._now_ms(tx))

        self._database.write(work)
