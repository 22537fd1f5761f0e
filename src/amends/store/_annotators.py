"""Annotators: the people and models that answer an order's tasks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from amends.database import Database, Duplicate, Transaction, load_queries, new_id
from amends.store._keys import Mode
from amends.store._orders import lock_order

QUERIES = load_queries(__package__, "annotators.sql")

AnnotatorKind = Literal["person", "model"]
RunState = Literal["waiting", "running", "taken"]


@dataclass(frozen=True, slots=True)
class Annotator:
    """Who answers tasks of one order.

    user_id: None for who came by an invitation, and for models. handed: tasks handed to it; gold_asked, gold_right: of those whose
    truth is known. marks, exhausted_at: see ``Tasks``. model, prompt, mode, request_id, run_id, run_state, run_cursor: of a model,
    whose run is ``waiting`` to be made, ``running``, or ``taken``: all its outcomes are responses. created_by: the principal whose
    program it answers by, None for who came to the page.
    """

    id: str
    order_id: str
    name: str
    kind: AnnotatorKind
    user_id: str | None
    handed: int
    gold_asked: int
    gold_right: int
    marks: str
    exhausted_at: int | None
    model: str | None
    prompt: str | None
    mode: Mode | None
    request_id: str | None
    run_id: str | None
    run_state: RunState | None
    run_cursor: int
    created_by: str | None
    created_at: float


class Annotators:
    """Whoever is asked for an annotator of a name or user that is new makes it."""

    def __init__(self, database: Database, *, now: Callable[[], float]) -> None:
        self._database = database
        self._now = now

    def ensure(
        self,
        tx: Transaction,
        order_id: str,
        name: str,
        kind: AnnotatorKind = "person",
        user_id: str | None = None,
        created_by: str | None = None,
    ) -> Annotator:
        """The order's annotator who is that user, or else has that name; made if new, by ``created_by``."""
        lock_order(tx, order_id)
        if user_id is not None:
            row = tx.one(QUERIES.annotator_of_user, {"order_id": order_id, "user_id": user_id})
        else:
            row = tx.one(QUERIES.annotator_of_name, {"order_id": order_id, "kind": kind, "name": name})
        more = {"user_id": user_id, "created_by": created_by}
        return Annotator(*row) if row else self._add(tx, order_id, name, kind, more)

    def welcome(self, tx: Transaction, order_id: str, name: str) -> tuple[Annotator, bool]:
        """Whoever of the order has that name and is no user, and whether they are new, and so whoever said it."""
        lock_order(tx, order_id)
        known = tx.one(QUERIES.annotator_of_name, {"order_id": order_id, "kind": "person", "name": name})
        return (Annotator(*known), False) if known else (self._add(tx, order_id, name, "person", {}), True)

    def add_model(
        self,
        tx: Transaction,
        order_id: str,
        model: str,
        *,
        prompt: str | None,
        mode: Mode,
        request_id: str,
        created_by: str | None,
    ) -> Annotator:
        """Let a model answer every task of the order. Duplicate: it does already."""
        lock_order(tx, order_id)
        if tx.one(QUERIES.annotator_of_name, {"order_id": order_id, "kind": "model", "name": model}):
            raise Duplicate
        of_model = {
            "model": model,
            "prompt": prompt,
            "mode": mode,
            "request_id": request_id,
            "run_id": new_id("run_", now=self._now()),
            "run_state": "waiting",
            "created_by": created_by,
        }
        return self._add(tx, order_id, model, "model", of_model)

    def _add(self, tx: Transaction, order_id: str, name: str, kind: AnnotatorKind, more: dict[str, Any]) -> Annotator:
        now = self._now()
        nothing = dict.fromkeys(
            ("user_id", "model", "prompt", "mode", "request_id", "run_id", "run_state", "created_by")
        )
        annotator_id = new_id("ann_", now=now)
        whole = {"id": annotator_id, "order_id": order_id, "name": name, "kind": kind, "created_at": now}
        tx.execute(QUERIES.insert_annotator, {**nothing, **whole, **more})
        found = read_annotator(tx, annotator_id)
        assert found is not None
        return found

    def get(self, annotator_id: str) -> Annotator | None:
        with self._database.read() as tx:
            return read_annotator(tx, annotator_id)

    def of_order(self, order_id: str) -> list[Annotator]:
        """All annotators of an order, in the order in which they came."""
        with self._database.read() as tx:
            return [Annotator(*row) for row in tx.execute(QUERIES.annotators_of_order, {"order_id": order_id})]

    def count(self, annotator_id: str) -> int:
        """How many responses it gave. What it costs grows with those, and not with the order's."""
        with self._database.read() as tx:
            return int(tx.value(QUERIES.count_responses_of, {"annotator_id": annotator_id}))

    def counts(self, order_id: str) -> dict[str, int]:
        """Responses by annotator, of those who gave any."""
        with self._database.read() as tx:
            return {row[0]: row[1] for row in tx.execute(QUERIES.responses_by_annotator, {"order_id": order_id})}

    def with_run(self) -> list[Annotator]:
        """Models of all workspaces whose run is to be made, or whose outcomes are to be taken."""
        with self._database.read() as tx:
            return [Annotator(*row) for row in tx.execute(QUERIES.annotators_with_run)]

    def set_run_state(self, tx: Transaction, annotator_id: str, state: RunState) -> None:
        tx.execute(QUERIES.set_run_state, {"id": annotator_id, "run_state": state})

    def move_cursor(self, tx: Transaction, annotator_id: str, cursor: int) -> None:
        """All outcomes up to ``cursor`` are responses."""
        tx.execute(QUERIES.move_cursor, {"id": annotator_id, "run_cursor": cursor})


def read_annotator(tx: Transaction, annotator_id: str) -> Annotator | None:
    """The annotator as the transaction sees it."""
    row: Sequence[Any] | None = tx.one(QUERIES.get_annotator, {"id": annotator_id})
    return None if row is None else Annotator(*row)
