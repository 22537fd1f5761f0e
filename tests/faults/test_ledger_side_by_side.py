"""Workers of a PostgreSQL ledger at once, reporting twice under one lease, losing leases and reading: each item ends once.

Without the locks it fails within a second.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from random import Random

from amends.database import Database
from amends.ledger import Commit, Deferral, PostgresLedger
from tests.ledgers import create, leased, lines, request, success
from tests.postgres import postgres_url

ITEMS = 1_500


def work(ledger: PostgresLedger, owner: str, draw: Random) -> None:
    """One lease: some of it ends, some waits, some is left; now and then it is reported twice at once, or lost before."""
    lease = ledger.claim(request(owner, max_items=draw.choice([1, 5, 40]), ttl_seconds=draw.choice([0.05, 5.0])))
    if lease is None:
        time.sleep(0.01)
        return
    items = leased(lease)
    draw.shuffle(items)
    cut = draw.randint(0, len(items))
    report = Commit(
        lease.id,
        [success(lease.run_id, item) for item in items[:cut]],
        [Deferral(item.seq, 1, 0.0) for item in items[cut : cut + 1]],
        final=draw.random() < 0.7,
    )
    if draw.random() < 0.2:
        ledger.release_owner(owner)
    if draw.random() < 0.7:
        ledger.perform([report])
        return
    with suppress(ValueError):  # of two reports that say the same the later one is refused or fenced
        twin = threading.Thread(target=lambda: suppressing(lambda: ledger.commit(report)))
        twin.start()
        try:
            ledger.commit(report)
        finally:
            twin.join()


def suppressing(call: Callable[[], object]) -> None:
    with suppress(ValueError):
        call()


def test_side_by_side_each_item_ends_once_and_the_order_of_completion_has_no_gap() -> None:
    with postgres_url() as url:
        database = Database.open(url)
        ledger = PostgresLedger(database)
        runs = [create(ledger, ITEMS) for _ in range(2)]
        errors: list[BaseException] = []
        stopping = threading.Event()

        def until_stopped(step: Callable[[], object]) -> None:
            while not stopping.is_set():
                try:
                    step()
                except BaseException as error:
                    errors.append(error)
                    return

        def tidy() -> None:
            ledger.reap()
            for run in runs:
                ledger.results_by_completion(run.id)

        draws = [Random(seed) for seed in range(6)]
        steps = [lambda n=n: work(ledger, f"worker-{n}", draws[n]) for n in range(6)]
        threads = [threading.Thread(target=until_stopped, args=(step,)) for step in [*steps, tidy]]
        for thread in threads:
            thread.start()
        try:
            while not errors and any(ledger.conservation(run.id).outcomes < ITEMS for run in runs):
                assert all(ledger.conservation(run.id).holds for run in runs)
                time.sleep(0.1)
        finally:
            stopping.set()
            for thread in threads:
                thread.join()
        assert not errors
        for run in runs:
            seen, after = [], -1
            while (chunk := ledger.results_by_completion(run.id, after=after)).last is not None:
                seen += lines(chunk.lines)
                after = chunk.last
            assert [int(line["cursor"]) for line in seen] == list(range(ITEMS))
            assert len({line["custom_id"] for line in seen}) == ITEMS
            assert ledger.finalize(run.id)
        database.close()
