"""The limit: the ledger's own SQL statements on one connection, with nothing around them.

No engine, no worker, no JSON parsed, no hash computed, no thread: rows are made before the clock starts, and each
transaction is as durable as the ledger's (WAL, ``synchronous=FULL``). It says how much of the time is SQLite's own.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any

import apsw

from amends.database import Database, new_id
from amends.database._database import SqliteTransaction
from amends.ledger import ResultLines
from amends.ledger.sql._creating import CREATING
from amends.ledger.sql._keys import first_key, key_of
from amends.ledger.sql._leasing import LEASING
from amends.ledger.sql._reading import READING
from amends.ledger.sql._runs import RUNS
from benchmarks.engine.candidates._shared import Stopwatch, Task, report, task_from

SLICE = 10_000
RUN = 1


class Statements:
    """One run, moved by hand."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self._tx = SqliteTransaction(connection)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("begin immediate")
        yield
        self._connection.execute("commit")

    def open(self, run_id: str) -> None:
        members: dict[str, Any] = dict.fromkeys((
            "completion_window", "deadline", "limit_items", "sample_n", "sample_seed", "parent_id", "created_by"))  # fmt: skip
        members |= {
            "id": run_id, "workspace_id": "ws", "kind": "predict", "model": "local/echo", "params": b"{}", "mode": "live",
            "metadata": "{}", "request_id": "", "public_url": "", "validation": "per_item", "failure_tolerance": 1.0,
            "priority": 0, "created_at": time.time(), "price": 0, "max_cost": None, "on_credit_exhausted": "pause",
        }  # fmt: skip
        with self._transaction():
            self._tx.execute(CREATING.insert_run, members)

    def append(self, start: int, rows: Sequence[tuple[str, bytes, bytes]]) -> None:
        flat = [value for offset, row in enumerate(rows) for value in (offset, *row)]
        with self._transaction():
            self._tx.insert_rows(CREATING.insert_items, (first_key(RUN) + start,), 4, flat)
            self._tx.execute(CREATING.add_to_total, {"run_no": RUN, "items": len(rows)})

    def index(self) -> None:
        names = [row[0] for row in self._tx.execute(CREATING.sorted_names, {"run_no": RUN, "slice": SLICE})]
        for text in names:
            with self._transaction():
                self._tx.execute(CREATING.insert_names, {"run_no": RUN, "names": text})

    def work_off(self, leases: Sequence[tuple[int, int]], outcomes: Sequence[tuple[Any, ...]]) -> None:
        """Claim each lease, then write its outcomes and claim the next in one transaction, as workers do."""
        with self._transaction():
            self._claim(*leases[0])
        for (lo, hi), following in zip(leases, [*leases[1:], None], strict=True):
            with self._transaction():
                self._commit(lo, hi, outcomes[lo : hi + 1])
                if following is not None:
                    self._claim(*following)

    def _claim(self, lo: int, hi: int) -> None:
        self._tx.value(LEASING.pack, {"lo": key_of(RUN, lo), "hi": key_of(RUN, hi)})
        self._tx.execute(LEASING.insert_lease, {
            "id": f"lease-{lo}", "run_no": RUN, "lo": lo, "hi": hi, "lapses": 0, "owner": "w", "remaining": hi - lo + 1,
            "expires_ms": 0})  # fmt: skip

    def _commit(self, lo: int, hi: int, outcomes: Sequence[tuple[Any, ...]]) -> None:
        flat = list(chain.from_iterable(outcomes))
        self._tx.insert_rows(LEASING.insert_outcomes, (first_key(RUN), time.time()), 7, flat)
        self._tx.execute(LEASING.insert_completion, {"run_no": RUN, "start": lo, "lo": lo, "hi": hi})
        counts = {"succeeded": len(outcomes), "errored": 0, "canceled": 0, "expired": 0}
        self._tx.execute(RUNS.count_outcomes, {"run_no": RUN, **counts})
        self._tx.execute(LEASING.drop_lease, (f"lease-{lo}",))

    def read(self, total: int, head: str) -> int:
        read = 0
        while read < total:
            row = self._tx.one(READING.lines, {
                "after": key_of(RUN, read - 1), "before": key_of(RUN, total), "status": None, "head": head,
                "limit": SLICE})  # fmt: skip
            assert row is not None
            read += row[1]
        return read


def measure(task: Task) -> None:
    Database.open(task.data / "amends.db").close()
    connection = apsw.Connection(str(task.data / "amends.db"))
    for name, value in (("journal_mode", "wal"), ("synchronous", "full"), ("cache_size", -16_000)):
        connection.pragma(name, value)
    run_id = new_id("bpred_")
    size = task.lease or SLICE
    lines = ResultLines(run_id, "req", "http://127.0.0.1")
    rows, outcomes = [], []
    for seq in range(task.items):
        custom_id, text = secrets.token_hex(12), b'{"text":"%b"}' % secrets.token_hex(70).encode()
        payload = b'{"input":%b}' % text
        rows.append((custom_id, payload, hashlib.sha256(payload).digest()))
        outcomes.append((seq, "succeeded", None, 1, 0, lines.succeeded(custom_id, text), 0))
    statements, watch = Statements(connection), Stopwatch()
    with watch.phase("create"):
        statements.open(run_id)
        for start in range(0, task.items, SLICE):
            statements.append(start, rows[start : start + SLICE])
        statements.index()
    with watch.phase("last outcome"):
        leases = [(lo, min(task.items, lo + size) - 1) for lo in range(0, task.items, size)]
        statements.work_off(leases, outcomes)
    with watch.phase("last result read"):
        assert statements.read(task.items, "{") == task.items
    report(task, watch)


if __name__ == "__main__":
    measure(task_from())
