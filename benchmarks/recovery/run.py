"""How long after a worker is lost do its items run again?

    python -m benchmarks.recovery.run                  # 50 workers killed with -9, 50 frozen (SIGSTOP), defaults otherwise

*Killed*: the supervisor with -9, so that the executor notices. *Frozen*: supervisor and child stand still, as when their machine is
gone or its network is: nobody notices until the lease runs out (ttl_seconds, 10 s). The clock runs from the signal until the first
and until the last item that the worker held is leased to another or has its outcome. Items take 0.3 s each. Items that were lost twice
before are spared: the third time they wait for all others, by design. Fails where an item is
lost, or p99 of the first item passes 5 s (killed) or 15 s (frozen).
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from amends.database import Database
from amends.engine import Engine, EngineSettings, WorkerStatus
from amends.ledger import NewItem, NewRun, SqliteLedger
from benchmarks._machine import ROOT, machine, own_versions

RESULTS = Path(__file__).with_name("results")
LIMITS = {"killed": 5.0, "frozen": 15.0}
ITEM_SECONDS = 0.3
PARAMS = b'{"model":"local/extract","output_schema":{"type":"object","properties":{"text":{"type":"string"}}}}'
"""A model that takes its items singly: of one that takes a thousand at once, a lease holds as many."""
POLL_SECONDS = 0.005
PATIENCE_SECONDS = 120.0
HELD = """
select l.owner, l.id, group_concat(i.key & 4294967295) from lease l join item i
  on i.key between (l.run_no << 32) | l.lo and (l.run_no << 32) | l.hi
where l.lapses < 2 and not exists (select 1 from outcome o where o.key = i.key) group by l.owner, l.id"""
AGAIN = """
select count(*) from json_each(:seqs) s where
  exists (select 1 from outcome o where o.key = (:run_no << 32) | s.value)
  or exists (select 1 from lease l where l.run_no = :run_no and s.value between l.lo and l.hi and l.id <> :id)"""

Loss = Literal["killed", "frozen"]


@dataclass
class Lost:
    """A worker that was lost, the items it held, and how long they waited."""

    lease_id: str
    seqs: list[int]
    at: float
    first_seconds: float | None = None
    all_seconds: float | None = None


@dataclass
class Bench:
    """An engine at work on one run of slow items."""

    engine: Engine
    ledger: SqliteLedger
    database: Database
    run_no: int
    run_id: str
    workers: int
    losses: list[Lost] = field(default_factory=list)

    def lose(self, how: Loss, most: int) -> None:
        """Lose up to so many workers at once, and wait until all they held runs again."""
        busy = self._busy()
        lost = [self._strike(worker, *busy[worker.worker_id], how) for worker in self._workers(busy)[:most]]
        self.losses += lost
        until = time.monotonic() + PATIENCE_SECONDS
        while any(each.all_seconds is None for each in lost):
            for each in lost:
                self._look(each)
            assert time.monotonic() < until, "items did not come back"
            time.sleep(POLL_SECONDS)

    def _busy(self) -> dict[str, tuple[str, list[int]]]:
        """What each worker holds and has no outcome yet, by its id; asked until all workers hold something."""
        until = time.monotonic() + PATIENCE_SECONDS
        while True:
            with self.database.read() as tx:
                rows = list(tx.execute(HELD))
            held = {owner: (lease_id, [int(seq) for seq in seqs.split(",")]) for owner, lease_id, seqs in rows}
            alive = {worker.worker_id for worker in self._workers(held)}
            if len(alive) == self.workers:
                return held
            assert time.monotonic() < until, "workers did not come back"
            time.sleep(POLL_SECONDS)

    def _workers(self, held: dict[str, Any]) -> list[WorkerStatus]:
        return [each for each in self.engine.workers() if each.worker_id in held and each.pid and each.child_pid]

    def _strike(self, worker: WorkerStatus, lease_id: str, seqs: list[int], how: Loss) -> Lost:
        assert worker.pid
        assert worker.child_pid
        if how == "killed":
            os.kill(worker.pid, signal.SIGKILL)
        else:
            os.kill(worker.pid, signal.SIGSTOP)
            os.kill(worker.child_pid, signal.SIGSTOP)
        return Lost(lease_id, seqs, time.monotonic())

    def _look(self, lost: Lost) -> None:
        if lost.all_seconds is not None:
            return
        parameters = {"seqs": json.dumps(lost.seqs), "run_no": self.run_no, "id": lost.lease_id}
        with self.database.read() as tx:
            again = tx.value(AGAIN, parameters)
        waited = time.monotonic() - lost.at
        if again and lost.first_seconds is None:
            lost.first_seconds = waited
        if again == len(lost.seqs):
            lost.all_seconds = waited


@contextmanager
def bench(scratch: Path, items: int, workers: int) -> Iterator[Bench]:
    database = Database.open(scratch / "amends.db")
    ledger = SqliteLedger(database)
    run_id = "bpred_recovery"
    ledger.open_run(NewRun(run_id, "ws", "predict", "local/extract", PARAMS, time.time(), mode="test"))
    payload = json.dumps({"input": f"A note. [[simulate: ok; delay={ITEM_SECONDS}]]"}).encode()
    ledger.append(run_id, [NewItem(f"item-{number}", payload, b"") for number in range(items)])
    run = ledger.seal(run_id, validate=False)
    engine = Engine(ledger, blobs=scratch / "blobs", settings=EngineSettings(workers=workers))
    engine.start()
    try:
        yield Bench(engine, ledger, database, run.no, run_id, workers)
    finally:
        engine.close(0)
        database.close()


def measure(how: Loss, losses: int, *, scratch: Path, workers: int = 4, at_once: int = 1) -> dict[str, Any]:
    """Lose so many workers; the waits in seconds, and what conservation says afterwards."""
    with tempfile.TemporaryDirectory(dir=scratch) as place, bench(Path(place), 10_000, workers) as running:
        while len(running.losses) < losses:
            running.lose(how, min(at_once, losses - len(running.losses)))
        sums = running.ledger.conservation(running.run_id)
        run = running.ledger.get(running.run_id)
        assert run is not None
        assert sums.holds, sums
        assert run.counts.errored == 0, "a lost worker convicts nobody"
    first = sorted(each.first_seconds or 0.0 for each in running.losses)
    whole = sorted(each.all_seconds or 0.0 for each in running.losses)
    held = [len(each.seqs) for each in running.losses]
    return {
        "how": how,
        "losses": losses,
        "items_held": sum(held),
        "first_item": summary(first),
        "last_item": summary(whole),
        "limit_seconds": LIMITS[how],
        "seconds": {"first_item": [round(each, 3) for each in first], "last_item": [round(each, 3) for each in whole]},
    }


def summary(seconds: Sequence[float]) -> dict[str, float]:
    """p50, p99 (by rank) and the longest."""
    rank = max(0, -(-99 * len(seconds) // 100) - 1)
    return {
        "p50": round(statistics.median(seconds), 3),
        "p99": round(seconds[rank], 3),
        "longest": round(seconds[-1], 3),
    }


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.recovery.run", description=__doc__.splitlines()[0])
    parser.add_argument("--losses", type=int, default=50)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--scratch", type=Path)
    parser.add_argument("--name", default="losses-50", help="the result's file name; none is written for '-'")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="amends-bench-", dir=options.scratch) as scratch:
        where = machine(Path(scratch))
        found = [
            measure("killed", options.losses, scratch=Path(scratch), workers=options.workers),
            measure(
                "frozen", options.losses, scratch=Path(scratch), workers=options.workers, at_once=options.workers - 1
            ),
        ]
    result = {
        "question": __doc__.splitlines()[0],
        "command": {"losses": options.losses, "workers": options.workers, "item_seconds": ITEM_SECONDS},
        "machine": where,
        "versions": own_versions("amends", "apsw"),
        "losses": found,
    }
    for each in found:
        print(f"{each['how']:8} first item p50 {each['first_item']['p50']:.2f} s, p99 {each['first_item']['p99']:.2f} s; "
              f"last item p50 {each['last_item']['p50']:.2f} s, p99 {each['last_item']['p99']:.2f} s")  # fmt: skip
    if options.name != "-":
        RESULTS.mkdir(exist_ok=True)
        path = RESULTS / f"{options.name}.json"
        path.write_text(json.dumps(result, indent=1) + "\n")
        print(f"kept as {path.relative_to(ROOT)}", file=sys.stderr)
    late = [each for each in found if each["first_item"]["p99"] > each["limit_seconds"]]
    return 1 if late else 0


if __name__ == "__main__":
    raise SystemExit(main())
