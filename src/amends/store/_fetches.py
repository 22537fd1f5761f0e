"""Datapoints that wait for URLs to be fetched, and what came of them.

::

    begin (with the run) ──take_over, … ──► contents are the dataset's ──► settle, … ──► settled
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal, NamedTuple

from amends.database import Database, Transaction, load_queries
from amends.store._datasets import Content, NewDatapoint

QUERIES = load_queries(__package__, "fetches.sql")

Status = Literal["created", "existing", "failed"]


@dataclass(frozen=True, slots=True)
class FetchRecord:
    """A run that fetches for a dataset. read_to: as far as its outcomes were taken over, by completion.

    settled_at: when the last datapoint that waited for it had its outcome; None until then.
    """

    run_id: str
    dataset_id: str
    workspace_id: str
    read_to: int
    settled_at: float | None
    created_at: float


class Fetched(NamedTuple):
    """What a URL led to."""

    content: Content
    filename: str | None


class WaitingOutcome(NamedTuple):
    """What became of a datapoint that waited. place: in its call. status: None while it waits. problem: a body. pointer: which
    asset that is about.
    """

    place: int
    status: Status | None
    datapoint_id: str | None
    problem: Mapping[str, Any] | None
    pointer: str | None


class Fetches:
    """Fetching runs and the datapoints that wait for them."""

    def __init__(self, database: Database, *, now: Callable[[], float]) -> None:
        self._database = database
        self._now = now

    def begin(
        self,
        tx: Transaction,
        run_id: str,
        dataset_id: str,
        workspace_id: str,
        urls: Sequence[str],
        waiting: Sequence[tuple[int, NewDatapoint]],
    ) -> None:
        """Write down what a new run's items are, in order, and which datapoints wait, each with its place in its call."""
        values = {"run_id": run_id, "dataset_id": dataset_id, "workspace_id": workspace_id, "now": self._now()}
        tx.execute(QUERIES.insert_fetch, values)
        tx.insert_rows(QUERIES.insert_urls, (run_id,), 2, list(chain.from_iterable(enumerate(urls))))
        rows = [(index, datapoint.to_json()) for index, datapoint in waiting]
        tx.insert_rows(QUERIES.insert_pending, (run_id,), 2, list(chain.from_iterable(rows)))

    def get(self, workspace_id: str, run_id: str) -> FetchRecord | None:
        with self._database.read() as tx:
            row = tx.one(QUERIES.get_fetch, {"run_id": run_id, "workspace_id": workspace_id})
        return FetchRecord(*row) if row else None

    def unsettled(self, limit: int = 100_000) -> list[FetchRecord]:
        """Of all workspaces, the oldest first."""
        with self._database.read() as tx:
            return [FetchRecord(*row) for row in tx.execute(QUERIES.unsettled_fetches, {"limit": limit})]

    def urls(self, run_id: str, seqs: Iterable[int]) -> dict[int, str]:
        """The URLs of some of the run's items."""
        with self._database.read() as tx:
            values = {"run_id": run_id, "seqs": json.dumps(list(seqs))}
            return dict(json.loads(tx.value(QUERIES.urls_of_run, values)))

    def take_over(
        self,
        tx: Transaction,
        fetch: FetchRecord,
        fetched: Mapping[str, Fetched],
        problems: Mapping[int, Mapping[str, Any]],
        read_to: int,
    ) -> None:
        """Keep what URLs led to, and the problems of those that led nowhere, by their items; go on behind ``read_to``."""
        rows = [(url_hash(url), one.content.sha256, one.filename) for url, one in fetched.items()]
        if rows:
            tx.insert_rows(QUERIES.insert_fetched, (fetch.dataset_id,), 3, list(chain.from_iterable(rows)))
        tx.many(
            QUERIES.set_problem,
            [{"run_id": fetch.run_id, "seq": seq, "problem": json.dumps(body)} for seq, body in problems.items()],
        )
        tx.execute(QUERIES.read_on, {"run_id": fetch.run_id, "read_to": read_to})

    def fetched(self, tx: Transaction, dataset_id: str, urls: Iterable[str]) -> dict[str, Fetched]:
        """What the dataset knows of these URLs."""
        hashes = {url_hash(url): url for url in urls}
        values = {"dataset_id": dataset_id, "hashes": json.dumps(list(hashes))}
        found = json.loads(tx.value(QUERIES.fetched_urls, values))
        return {hashes[row[0]]: Fetched(Content(*row[2:]), row[1]) for row in found}

    def known(self, dataset_id: str, urls: Iterable[str]) -> dict[str, Fetched]:
        """``fetched`` as it stands now."""
        with self._database.read() as tx:
            return self.fetched(tx, dataset_id, urls)

    def problems(self, tx: Transaction, run_id: str, urls: Iterable[str]) -> dict[str, Mapping[str, Any]]:
        """Why some of these URLs were not fetched."""
        values = {"run_id": run_id, "urls": json.dumps(list(urls))}
        return {url: json.loads(body) for url, body in json.loads(tx.value(QUERIES.problems_of, values))}

    def waiting(self, tx: Transaction, run_id: str, limit: int) -> list[tuple[int, NewDatapoint]]:
        """The first datapoints that still wait, each with its place in its call."""
        rows = tx.execute(QUERIES.waiting_datapoints, {"run_id": run_id, "limit": limit})
        return [(index, NewDatapoint.from_json(text)) for index, text in rows]

    def settle(self, tx: Transaction, run_id: str, outcomes: Iterable[WaitingOutcome]) -> None:
        """Write down what became of datapoints; those that have an outcome keep it."""
        rows = [
            {
                "run_id": run_id,
                "index_no": one.place,
                "status": one.status,
                "datapoint_id": one.datapoint_id,
                "problem": None if one.problem is None else json.dumps(one.problem),
                "pointer": one.pointer,
            }
            for one in outcomes
        ]
        tx.many(QUERIES.settle_datapoint, rows)

    def finish(self, tx: Transaction, run_id: str) -> bool:
        """Say that it is settled, unless a datapoint still waits; whether it is."""
        tx.execute(QUERIES.settle_fetch, {"run_id": run_id, "now": self._now()})
        return tx.changes == 1

    def outcomes(self, run_id: str) -> list[WaitingOutcome]:
        """Of all datapoints that waited or wait, in the order of their call."""
        with self._database.read() as tx:
            rows = list(tx.execute(QUERIES.outcomes, {"run_id": run_id}))
        return [
            WaitingOutcome(place, status, datapoint_id, json.loads(problem) if problem else None, pointer)
            for place, status, datapoint_id, problem, pointer in rows
        ]

    def forget(self, tx: Transaction, run_id: str) -> None:
        """Remove all that is known of it; datapoints stay."""
        for query in (QUERIES.delete_pending, QUERIES.delete_urls, QUERIES.delete_fetch):
            tx.execute(query, (run_id,))

    def forget_of(self, tx: Transaction, dataset_id: str, limit: int = 100) -> int:
        """Forget up to ``limit`` of a dataset's; how many."""
        rows = list(tx.execute(QUERIES.fetches_of_dataset, {"dataset_id": dataset_id, "limit": limit}))
        for (run_id,) in rows:
            self.forget(tx, run_id)
        return len(rows)

    def forget_outdated(self, tx: Transaction, *, before: float, limit: int = 100) -> int:
        """Forget up to ``limit`` of those that were settled before; how many."""
        rows = list(tx.execute(QUERIES.outdated_fetches, {"before": before, "limit": limit}))
        for (run_id,) in rows:
            self.forget(tx, run_id)
        return len(rows)


def url_hash(url: str) -> str:
    """What a URL, which may be longer than a key, is found by."""
    return hashlib.sha256(url.encode()).hexdigest()
